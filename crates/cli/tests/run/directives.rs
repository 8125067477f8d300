//! `directive publish` and `fetch`: does a directive come as it was signed, and never an older one?

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};

use super::*;

/// An authority with its keys and its repository, and an operator.
struct Place(tempfile::TempDir);

impl Place {
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Makes a key; its public half.
    fn key(&self, name: &str) -> String {
        let output = run(&["directive", "publish", "key", &self.path(name)]);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).trim().to_owned()
    }

    fn root(&self, roots: &[&str], threshold: &str, online: &str, sign: &[&str]) -> Output {
        let repository = self.path("repository");
        let signs: Vec<String> = sign.iter().map(|name| self.path(name)).collect();
        let mut arguments = vec!["directive", "publish", "root", &repository, "--online-key", online];
        arguments.extend(["--root-threshold", threshold]);
        roots.iter().for_each(|key| arguments.extend(["--root-key", key]));
        signs.iter().for_each(|file| arguments.extend(["--sign", file]));
        run(&arguments)
    }

    fn packs(&self, packs: &[&str], key: &str) -> Output {
        let (repository, key) = (self.path("repository"), self.path(key));
        let mut arguments = vec!["directive", "publish", "packs", &repository, "--sign", &key];
        arguments.extend(packs);
        run(&arguments)
    }

    fn fetch(&self, from: &str, root: Option<&str>) -> Output {
        let to = self.path("here");
        let mut arguments = vec!["directive", "fetch", from, "--to", &to];
        root.iter().for_each(|root| arguments.extend(["--root", root]));
        run(&arguments)
    }
}

/// A repository with one pack: two keys of the root, of which both must sign, and one at hand.
fn published() -> (Place, [String; 3]) {
    let place = Place(tempfile::tempdir().unwrap());
    let keys = ["safe-1", "safe-2", "desk"].map(|name| place.key(name));
    let output = place.root(&[&keys[0], &keys[1]], "2", &keys[2], &["safe-1", "safe-2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = place.packs(&["packs/ed-21-03"], "desk");
    assert!(output.status.success(), "{}", stderr(&output));
    (place, keys)
}

/// A copy of a pack whose directive says something else.
fn changed(place: &Place) -> String {
    let pack = place.path("ed-21-03");
    let copy = Command::new("cp").args(["-r", arg(&root().join("packs/ed-21-03")), &pack]).status().unwrap();
    assert!(copy.success());
    fs::write(Path::new(&pack).join("SOURCES.md"), "changed by a supplement\n").unwrap();
    let directive = Path::new(&pack).join("directive.toml");
    let text = fs::read_to_string(&directive).unwrap();
    fs::write(directive, text.replacen("2021-04-23T17:00", "2021-04-22T12:00", 1)).unwrap();
    pack
}

/// A server of files that others use too.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a folder on loopback; its address.
fn serve(folder: &str) -> (Server, String) {
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder]);
    let mut server = Server(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let port = line.split_whitespace().nth(5).unwrap_or_else(|| panic!("{line}")).to_owned();
    (server, format!("http://127.0.0.1:{port}"))
}

#[test]
fn packs_come_from_a_stick_and_from_a_server_as_they_were_signed() {
    let (place, _) = published();
    let (repository, root_file) = (place.path("repository"), place.path("repository/metadata/1.root.json"));
    let output = place.fetch(&repository, Some(&root_file));
    assert_eq!((output.status.code(), stdout(&output).contains("new")), (Some(1), true), "{}", stderr(&output));
    let mut compare = Command::new("diff");
    compare.args(["-r", arg(&root().join("packs/ed-21-03")), &place.path("here/ed-21-03")]);
    assert!(compare.status().unwrap().success());
    assert_eq!(records(&run(&["directive", "fetch", "--json", &repository, "--to", &place.path("here")])).len(), 1);
    let (_server, address) = serve(&repository);
    let output = place.fetch(&address, None);
    assert_eq!((output.status.code(), stdout(&output).contains("unchanged")), (Some(0), true), "{}", stderr(&output));

    let output = place.packs(&[&changed(&place)], "desk");
    assert!(output.status.success(), "{}", stderr(&output));
    let output = place.fetch(&address, None);
    assert_eq!((output.status.code(), stdout(&output).contains("changed")), (Some(1), true), "{}", stderr(&output));
    assert!(stdout(&output).contains("Action 1 is due at another time."), "{}", stdout(&output));
    let mut text = String::new();
    fs::File::open(place.path("here/ed-21-03/SOURCES.md")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "changed by a supplement\n");
    let show = portcullis().env("PORTCULLIS_PACKS", place.path("here")).args(["directive", "list"]).output().unwrap();
    assert!(stdout(&show).contains("ed-21-03"));
}

#[test]
fn a_stick_with_an_older_state_is_refused_and_nothing_here_changes() {
    let (place, _) = published();
    let (repository, root_file) = (place.path("repository"), place.path("repository/metadata/1.root.json"));
    let old = place.path("old");
    assert!(Command::new("cp").args(["-r", &repository, &old]).status().unwrap().success());
    assert!(place.packs(&[&changed(&place)], "desk").status.success());
    assert_eq!(place.fetch(&repository, Some(&root_file)).status.code(), Some(1));
    let output = place.fetch(&old, None);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("somebody shows an old state"), "{}", stderr(&output));
    assert!(stderr(&output).contains("timestamp has version 1, and version 2 was seen before"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(place.path("here/ed-21-03/SOURCES.md")).unwrap(), "changed by a supplement\n");
}

#[test]
fn a_file_that_was_exchanged_on_the_way_is_refused_and_half_a_pack_is_none() {
    let (place, _) = published();
    let (repository, root_file) = (place.path("repository"), place.path("repository/metadata/1.root.json"));
    let folder = Path::new(&repository).join("targets/packs/ed-21-03");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let product = entries.into_iter().find(|path| path.to_string_lossy().ends_with(".product.toml")).unwrap();
    let bytes = fs::read_to_string(&product).unwrap();
    fs::write(&product, bytes.replacen("9.1", "9.2", 1)).unwrap();
    let output = place.fetch(&repository, Some(&root_file));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("packs/ed-21-03/product.toml has another digest"), "{}", stderr(&output));
    assert!(!Path::new(&place.path("here/ed-21-03")).exists());
}

#[test]
fn keys_rotate_by_the_old_and_the_new_and_an_operator_follows_by_himself() {
    let (place, [one, two, desk]) = published();
    let (repository, root_file) = (place.path("repository"), place.path("repository/metadata/1.root.json"));
    assert_eq!(place.fetch(&repository, Some(&root_file)).status.code(), Some(1));
    let (third, new_desk) = (place.key("safe-3"), place.key("desk-2"));
    // One of the two old keys is not enough, whoever else signs.
    let output = place.root(&[&one, &third], "2", &new_desk, &["safe-1", "safe-3"]);
    assert!(stderr(&output).contains("signed by 1 of the keys that count, and 2 must"), "{}", stderr(&output));
    assert!(place.root(&[&one, &third], "2", &new_desk, &["safe-1", "safe-2", "safe-3"]).status.success());
    // The desk that was replaced signs nothing any more.
    let output = place.packs(&[], "desk");
    assert!(stderr(&output).contains("signed by 0 of the keys that count"), "{}", stderr(&output));
    assert!(place.packs(&[], "desk-2").status.success());
    let output = place.fetch(&repository, None);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(fs::read_to_string(place.path("here/.trusted/root.json")).unwrap().contains(&third));
    assert!(![&one, &third, &new_desk].contains(&&two) && desk != new_desk);
}

#[test]
fn nothing_is_fetched_without_a_root_that_is_trusted_and_no_key_is_overwritten() {
    let (place, _) = published();
    let repository = place.path("repository");
    let output = place.fetch(&repository, None);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no root is trusted yet"), "{}", stderr(&output));
    let again = run(&["directive", "publish", "key", &place.path("desk")]);
    assert_eq!(again.status.code(), Some(2), "{}", stdout(&again));
}

#[test]
fn a_changed_deadline_is_shown_with_what_it_reopens() {
    let place = Place(tempfile::tempdir().unwrap());
    let (before, after) = (root().join("packs/ed-21-03"), changed(&place));
    let output = run(&["directive", "diff", arg(&before), &after]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        said.contains("~ SOURCES.md") && said.contains("due by") && said.contains("is due at another time"),
        "{said}"
    );
    let told = records(&run(&["directive", "diff", "--json", arg(&before), &after]));
    let why = |record: &Record| match &record.body {
        Body::Finding(finding) => finding.why.clone(),
        _ => String::new(),
    };
    assert!(told.iter().map(why).any(|why| why == "Action 1 is due at another time."), "{told:?}");
    let output = run(&["directive", "diff", arg(&before), arg(&before)]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""));
}
