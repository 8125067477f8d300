//! A person with a text editor writes a pack: from an advisory to an exercise, without a compiler.

use std::fs;

use crate::{arg, portcullis, run, stderr, stdout};

const ADVISORY: &str = "crates/directive/tests/advisory/example-gateway.csaf.json";

#[test]
fn a_pack_grows_from_an_advisory_to_one_that_is_worked_from() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["directive", "new", "ed-29-07", "--csaf", ADVISORY, "-o", arg(dir.path())]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("action 3: by when"), "{}", stderr(&output));
    let pack = dir.path().join("ed-29-07");
    assert_eq!(stdout(&output).trim(), arg(&pack));

    let lint = run(&["directive", "lint", arg(&pack)]);
    assert!(lint.status.success(), "{}", stdout(&lint));
    let tested = run(&["directive", "test", arg(&pack)]);
    assert!(tested.status.success(), "{}", stdout(&tested));
    assert!(stderr(&tested).contains("2 versions, 0 due times, 0 instances; all as expected"), "{}", stderr(&tested));

    // What a person adds: a time in the order's own words, with its slip, and an example of it.
    let directive = pack.join("directive.toml");
    let text = fs::read_to_string(&directive).unwrap();
    let due = "when = { version = [\"affected\"] }\ndue = { by = \"2029-07-06T14:00[America/New_York]\", \
               text = \"by 2:00 pm EST, Friday, July 6, 2029\" }";
    fs::write(&directive, text.replacen("when = { version = [\"affected\"] }", due, 1)).unwrap();
    let examples = pack.join("examples.toml");
    let mut text = fs::read_to_string(&examples).unwrap();
    text.push_str("\n[[deadline]]\naction = \"3\"\ndue = \"2029-07-06T14:00:00-05:00\"\n");
    fs::write(&examples, &text).unwrap();
    let lint = run(&["directive", "lint", arg(&pack)]);
    assert!(lint.status.success(), "{}", stdout(&lint));
    assert!(stderr(&lint).contains("A slip of the directive itself, action 3"), "{}", stderr(&lint));
    let tested = run(&["directive", "test", arg(&pack)]);
    assert_eq!(tested.status.code(), Some(1));
    let said = stdout(&tested);
    assert!(
        said.contains("deadline of 3: expected 2029-07-06T19:00:00Z, and the pack says 2029-07-06T18:00:00Z"),
        "{said}"
    );
    fs::write(&examples, text.replace("14:00:00-05:00", "14:00:00-04:00")).unwrap();
    assert!(run(&["directive", "test", arg(&pack)]).status.success());

    // The same program works from it.
    let scope = dir.path().join("scope.toml");
    fs::write(&scope, "organisation = \"Example Agency\"\nnetworks = [\"127.0.0.1/32\"]\nports = [1]\n").unwrap();
    let case = dir.path().join("case");
    let output = portcullis()
        .args(["respond", "--exercise", "2029-05-04T12:00:00Z", "-q", "--pack", arg(&pack)])
        .args(["--scope", arg(&scope), "--case", arg(&case)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("ed-29-07"), "{}", stdout(&output));
}

#[test]
fn an_example_that_does_not_hold_is_told_with_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("ed-21-03");
    copy(&crate::root().join("packs/ed-21-03"), &pack);
    let log = pack.join("examples/proxy-saw-an-exploit/var/log/nginx/access.log");
    fs::copy(pack.join("examples/ordinary-requests/var/log/nginx/access.log"), &log).unwrap();
    let tested = run(&["directive", "test", arg(&pack)]);
    assert_eq!(tested.status.code(), Some(1), "{}", stdout(&tested));
    let said = stdout(&tested);
    assert!(
        said.contains("instance proxy-saw-an-exploit: expected mismatch, and the check says inconclusive"),
        "{said}"
    );
    assert!(said.contains("expected the finding sigma-match /var/log/nginx/access.log"), "{said}");

    let rule = pack.join("hunt/sigma/log-cleared.yml");
    fs::write(&rule, "title: broken\ndetection: [").unwrap();
    let lint = run(&["directive", "lint", arg(&pack)]);
    assert_eq!(lint.status.code(), Some(1));
    assert!(stdout(&lint).contains("hunt/sigma/log-cleared.yml"), "{}", stdout(&lint));
}

#[test]
fn every_shipped_pack_holds_to_its_examples() {
    for pack in crate::root().join("packs").read_dir().unwrap() {
        let pack = pack.unwrap().path();
        let tested = run(&["directive", "test", arg(&pack)]);
        assert!(tested.status.success(), "{}: {}{}", pack.display(), stdout(&tested), stderr(&tested));
    }
}

#[test]
fn a_playbook_makes_a_pack_and_a_pack_makes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["directive", "show", "ed-21-03", "--to", "cacao"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let file = dir.path().join("playbook.json");
    fs::write(&file, &output.stdout).unwrap();
    let made = run(&["directive", "new", "ed-21-03", "--cacao", arg(&file), "-o", arg(dir.path())]);
    assert_eq!(made.status.code(), Some(1), "{}", stderr(&made));
    let again = run(&["directive", "show", arg(&dir.path().join("ed-21-03")), "--to", "cacao"]);
    assert!(again.stdout == output.stdout, "the playbook of the playbook is another");
}

#[test]
fn what_is_no_beginning_of_a_pack_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    fs::create_dir(&there).unwrap();
    for (arguments, words) in [
        (vec!["there"], "is there already"),
        (vec!["Not-An-Id"], "no pack can be made of this"),
        (vec!["a", "--zone", "EDT"], "no pack can be made of this"),
        (vec!["a", "--csaf", "Cargo.toml"], "is no CSAF document"),
        (vec!["a", "--csaf", "nonesuch"], "cannot read nonesuch"),
        (vec!["a", "--kev", ADVISORY, "--cve", "CVE-1"], "is no KEV catalogue"),
        (vec!["a", "--cacao", ADVISORY], "cannot be used"),
    ] {
        let output = portcullis().args(["directive", "new", "-o", arg(dir.path())]).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{words:?} is not in: {}", stderr(&output));
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 1, "something was left");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(path, to.join(name)).unwrap();
        }
    }
}
