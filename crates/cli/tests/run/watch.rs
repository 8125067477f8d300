//! Advisories become duties, with a provider that a real `gpg` signs for and a real nginx serves, and a real case.

#[path = "../../../csaf/tests/provider/maker.rs"]
#[allow(dead_code, reason = "tests of `csaf` use more of it")]
mod maker;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use directive::record::{Body, Record};

use self::maker::{FIRST, HOME, Provider, Said, Server, Signer, free};
use crate::{arg, portcullis, records, root, stderr, stdout};

/// A case with one appliance, whose version file tells its version, beside a provider.
struct Place {
    dir: tempfile::TempDir,
    provider: Provider,
}

impl Place {
    fn new(home: &str, version: &str) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), provider: Provider::new(home) };
        let scope = "organisation = \"Example Agency\"\nnetworks = [\"127.0.0.1/32\"]\nports = [1]\n\n[[instance]]\n\
                     name = \"vpn1\"\naddress = \"127.0.0.1:1\"\nevidence = \"evidence\"\n";
        fs::create_dir_all(place.path("evidence/home")).unwrap();
        fs::write(place.path("scope.toml"), scope).unwrap();
        place.respond(version, &["--exercise", "2021-09-01T00:00:00Z"]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    /// Its files tell this version, and are looked at.
    fn respond(&self, comment: &str, more: &[&str]) {
        let version = format!("export DSREL_MAJOR=9\nexport DSREL_MINOR=1\nexport DSREL_COMMENT=\"{comment}\"\n");
        fs::write(self.path("evidence/home/VERSION"), version).unwrap();
        let (scope, case) = (self.path("scope.toml"), self.path("case"));
        let respond = ["respond", "-q", "--pack", "ed-21-03", "--scope", arg(&scope), "--case", arg(&case)];
        let output = portcullis().args(respond).args(more).output().unwrap();
        assert!(output.status.code() != Some(2), "{}", stderr(&output));
    }

    /// The pack of the case, which names these as providers, under the provider's key.
    fn pack(&self, providers: &[&str]) -> PathBuf {
        let pack = self.path("pack/ed-21-03");
        fs::create_dir_all(self.path("pack")).unwrap();
        let copied = Command::new("cp").arg("-r").arg(root().join("packs/ed-21-03")).arg(&pack).status().unwrap();
        assert!(copied.success());
        let (keys, print) = (fs::read_to_string(self.provider.path("keys.asc")).unwrap(), &self.provider.signer.print);
        let one = |at: &&str| {
            format!("[[provider]]\nmetadata = \"{at}\"\nfingerprints = [\"{print}\"]\nkeys = \"\"\"\n{keys}\"\"\"\n")
        };
        let text: String = providers.iter().map(one).collect();
        let known = fs::read_to_string(pack.join("update.toml")).unwrap_or_default();
        fs::write(pack.join("update.toml"), known + "\n" + &text).unwrap();
        pack
    }

    fn watch_at(&self, provider: &str, more: &[&str]) -> Output {
        self.watching(provider).arg("--once").args(more).output().unwrap()
    }

    fn watching(&self, provider: &str) -> Command {
        let (case, keys) = (self.path("case"), self.provider.path("keys.asc"));
        let mut watch = portcullis();
        watch.args(["update", "watch", "--case", arg(&case), "--key", arg(&keys)]);
        watch.args(["--fingerprint", &self.provider.signer.print, "--provider", provider]);
        watch
    }

    /// Looks at the provider's folder.
    fn watch(&self, more: &[&str]) -> Output {
        self.watch_at(arg(self.provider.dir.path()), more)
    }

    /// Looks, and holds the exit code and the text against what is expected.
    #[track_caller]
    fn sees(&self, more: &[&str], code: i32, words: &[&str]) -> String {
        let output = self.watch(more);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(code), "{text}{}", stderr(&output));
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        text
    }

    fn command(&self, arguments: &[&str]) -> Output {
        portcullis().args(arguments).args(["--case", arg(&self.path("case"))]).output().unwrap()
    }
}

/// The same product, in the version that fixed the first advisory.
fn second() -> Said<'static> {
    Said {
        id: "SA44960",
        cve: "CVE-2021-22965",
        affected: "vers:generic/<9.1R12.1",
        fixed: Some("9.1R12.1"),
        released: "2021-08-31T12:00:00.000Z",
        updated: "2021-08-31T12:00:00.000Z",
        ..FIRST
    }
}

#[test]
fn a_fixed_version_that_becomes_affected_owes_an_update_again_by_a_clock_of_its_own() {
    let mut place = Place::new(HOME, "R11.4");
    place.sees(&[], 0, &[]);
    place.provider.publish(&FIRST);
    let owed = "owed by 2021-08-04T16:00:00Z: vpn1 ed-21-03/3 Install the vendor's update";
    let why = "SA44858 of Example PSIRT calls the version affected: 9.1R12 fixes it since 2021-08-02 16:00 UTC";
    let signed = format!("signed by {}", place.provider.signer.print);
    place.sees(&[], 1, &[owed, why, "affected: before 9.1R12", &signed]);
    place.sees(&[], 0, &[]);
    let refused =
        place.command(&["update", "prove", "vpn1", "--version", "9.1R11.4", "--since", "2021-08-01T00:00:00Z"]);
    assert!(stderr(&refused).contains("9.1R11.4 is affected itself"), "{}", stderr(&refused));

    place.respond("R12", &["--again"]);
    let done = ["case", "done", "ed-21-03/3", "--instance", "vpn1", "--by", "J. Doe", "--note", "9.1R12 is installed"];
    assert!(place.command(&done).status.success());
    place.sees(&[], 0, &[]);
    place.provider.publish(&second());
    let text = place.sees(&[], 1, &["owed by 2021-09-02T12:00:00Z: vpn1 ed-21-03/3", "SA44960 of Example PSIRT calls"]);
    assert!(!text.contains("SA44858"), "{text}");
    let report = stdout(&place.command(&["report", "render", "--to", "text"]));
    assert!(report.contains("SA44960") && report.contains("affected"), "{report}");

    // Its newer version takes it back.
    let updated = "2021-08-31T18:00:00.000Z";
    place.provider.publish(&Said { version: 2, affected: "vers:generic/<9.1R11", updated, ..second() });
    place.sees(&[], 0, &["advisory SA44960 of Example PSIRT, version 2"]);
    let shown = stdout(&place.command(&["case", "show", "--type", "advisory"]));
    let digest = serde_json::from_str::<serde_json::Value>(shown.lines().last().unwrap()).unwrap()["sha256"].clone();
    let kept = place.path("case/evidence").join(&digest.as_str().unwrap()[..2]).join(digest.as_str().unwrap());
    assert_eq!(fs::read(kept).unwrap(), fs::read(place.provider.path("white/2021/sa44960.json")).unwrap());
    assert!(place.command(&["case", "verify"]).status.success());
}

#[test]
fn the_catalogue_of_exploited_vulnerabilities_sets_a_day_of_its_own() {
    let mut place = Place::new(HOME, "R11.4");
    place.provider.publish(&second());
    let catalogue = |released: &str, due: &str| {
        let text = format!(
            r#"{{"title": "t", "dateReleased": "{released}", "vulnerabilities": [{{"cveID": "CVE-2021-22965",
            "vendorProject": "Ivanti", "product": "Pulse Connect Secure", "vulnerabilityName": "A denial of service",
            "dateAdded": "2021-08-31", "dueDate": "{due}"}}, {{"cveID": "CVE-2019-11510", "vendorProject": "Ivanti",
            "product": "Pulse Connect Secure", "vulnerabilityName": "An older one", "dateAdded": "2021-08-31",
            "dueDate": "2021-08-31"}}]}}"#
        );
        fs::write(place.path("kev.json"), text).unwrap();
    };
    let kev = place.path("kev.json");
    catalogue("2021-08-31T00:00:00Z", "2021-09-01");
    let words = "wants CVE-2021-22965 closed by 2021-09-01";
    let text = place.sees(&["--kev", arg(&kev)], 1, &["owed by 2021-09-02T03:59:59Z: vpn1 ed-21-03/3", words]);
    assert!(!text.contains("CVE-2019-11510"), "nothing here is open to it: {text}");
    assert!(text.contains("due 2021-09-02 12:00 UTC"), "the other clock is told too: {text}");
    place.sees(&["--kev", arg(&kev)], 0, &[]);
    catalogue("2021-08-01T00:00:00Z", "2031-09-01");
    place.sees(&["--kev", arg(&kev)], 3, &["kev-rolled-back"]);
    // Without a provider, the catalogue alone is watched.
    catalogue("2021-09-01T00:00:00Z", "2021-09-11");
    let alone = place.command(&["update", "watch", "--once", "--kev", arg(&kev)]);
    let text = stdout(&alone);
    assert!(text.contains("owed by 2021-09-02T12:00:00Z") && text.contains("closed by 2021-09-11"), "{text}");
}

#[test]
fn an_advisory_that_is_not_verified_starts_no_clock_and_is_asked_for_again() {
    let mut place = Place::new(HOME, "R11.4");
    let path = place.provider.publish(&FIRST);
    let signed = fs::read(&path).unwrap();
    let forged = String::from_utf8(signed.clone()).unwrap().replace("9.1R12", "9.1R99");
    fs::write(&path, forged).unwrap();
    place.provider.seal(&path);
    let text = place.sees(
        &[],
        3,
        &["required gap advisory-signature-refused https://psirt.example/csaf/white/2021/sa44858.json"],
    );
    assert!(!text.contains("owed"), "{text}");
    let found = place.command(&["report", "render", "--to", "json"]);
    assert!(stdout(&found).contains("advisory-signature-refused"), "the report tells it: {}", stdout(&found));
    place.sees(&[], 3, &["advisory-signature-refused"]);
    fs::write(&path, signed).unwrap();
    place.provider.seal(&path);
    place.sees(&[], 1, &["owed by 2021-08-04T16:00:00Z: vpn1 ed-21-03/3"]);
}

#[test]
fn an_older_version_of_a_document_and_a_second_text_of_one_are_refused() {
    let mut place = Place::new(HOME, "R11.4");
    let newer = Said { version: 2, updated: "2021-08-10T00:00:00.000Z", ..FIRST };
    place.provider.publish(&newer);
    place.sees(&[], 1, &["version 2", "owed by"]);
    // The older one says that nothing is affected; the list dates it as new.
    let older = Said { affected: "vers:generic/<9.1R11", updated: "2021-08-11T00:00:00.000Z", ..FIRST };
    place.provider.publish(&older);
    place.sees(&[], 3, &["advisory-rolled-back", "version 1 is handed out, and version 2 is known"]);
    let other = Said { affected: "vers:generic/<9.1R11", ..newer };
    let bytes = other.document(HOME).to_string();
    place.provider.publish_bytes("sa44858.json", bytes.as_bytes(), "2021-08-12T00:00:00.000Z");
    place.sees(&[], 3, &["advisory-changed", "version 2 is known with other bytes"]);
}

#[test]
fn an_advisory_on_another_product_is_none_of_ours_and_one_that_may_be_ours_is_told() {
    let mut place = Place::new(HOME, "R11.4");
    place.provider.publish(&Said { vendor: "Example", product: "Gateway", cpe: None, ..FIRST });
    let text = place.sees(&[], 0, &[]);
    assert!(!text.contains("SA44858"), "{text}");
    place.provider.publish(&Said {
        id: "SA2",
        vendor: "Somebody",
        cpe: None,
        updated: "2021-08-10T00:00:00.000Z",
        ..FIRST
    });
    place.sees(&[], 3, &["required gap advisory-undecided SA2 of Example PSIRT: Pulse Connect Secure vers:generic"]);
}

#[test]
fn a_server_is_watched_and_every_line_is_a_record() {
    let port = free();
    let mut place = Place::new(&format!("http://127.0.0.1:{port}"), "R11.4");
    place.provider.publish(&FIRST);
    let _server = Server::start(place.provider.dir.path(), port, "");
    let metadata = format!("http://127.0.0.1:{port}/provider-metadata.json");
    let output = place.watch_at(&metadata, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let records = records(&output);
    let is = |of: fn(&Body) -> bool| records.iter().filter(|record: &&Record| of(&record.body)).count();
    assert_eq!(is(|body| matches!(body, Body::Advisory(_))), 1);
    assert_eq!(is(|body| matches!(body, Body::Look(_))), 1);
    assert_eq!(is(|body| matches!(body, Body::Duty(_))), 1);
}

#[test]
fn a_server_whose_certificate_nobody_vouches_for_is_not_believed() {
    let (plain, secure) = (free(), free());
    let mut place = Place::new(&format!("https://localhost:{secure}"), "R11.4");
    place.provider.publish(&FIRST);
    let (key, certificate) = (place.path("key.pem"), place.path("certificate.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = openssl.args(["-keyout", arg(&key), "-out", arg(&certificate)]).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let site = format!(
        "listen 127.0.0.1:{secure} ssl; ssl_certificate {}; ssl_certificate_key {};",
        certificate.display(),
        key.display()
    );
    let _server = Server::start(place.provider.dir.path(), plain, &site);
    let metadata = format!("https://localhost:{secure}/provider-metadata.json");
    let output = place.watch_at(&metadata, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(stderr(&output).contains("the provider could not be looked at"), "{}", stderr(&output));
    assert!(stderr(&output).contains("certificate"), "{}", stderr(&output));
    // The pack names this provider, and one that is not there.
    let nobody = format!("https://localhost:{}/provider-metadata.json", free());
    let pack = place.pack(&[&nobody, &metadata]);
    let alone = |more: &[&str]| {
        let mut watch = portcullis();
        watch.args(["update", "watch", "--once", "--case", arg(&place.path("case")), "--pack", arg(&pack)]);
        watch.args(more).env("SSL_CERT_FILE", &certificate).output().unwrap()
    };
    let output = alone(&[]);
    assert_eq!(output.status.code(), Some(2), "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains("the provider could not be looked at"), "{}", stderr(&output));
    assert!(stdout(&output).contains("owed by 2021-08-04T16:00:00Z"), "{}", stdout(&output));
    // A copy of his files on a stick is held against the same keys.
    let output = alone(&["--provider", arg(place.provider.dir.path())]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let mut trusting = place.watching(&metadata);
    let output = trusting.arg("--once").env("SSL_CERT_FILE", &certificate).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn whoever_watches_on_is_told_news_and_nothing_twice() {
    let mut place = Place::new(HOME, "R11.4");
    place.provider.publish(&Said { id: "SA2", vendor: "Somebody", cpe: None, ..FIRST });
    fs::remove_file(place.provider.path("white/2021/sa2.json.asc")).unwrap();
    let mut watch = place.watching(arg(place.provider.dir.path()));
    let mut watch = watch.args(["--every", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    assert!(first.contains("advisory-unsigned"), "{first}");
    // It looks while the provider's files change: one that is half there is told, and taken when it is whole.
    place.provider.publish(&FIRST);
    let told: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("owed by")).collect();
    assert!(told.iter().any(|line| line.starts_with("advisory SA44858")), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("advisory-unsigned") && line.contains("sa2.json")), "{told:?}");
    place.provider.publish(&second());
    let told: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("owed by")).collect();
    assert!(!told.iter().any(|line| line.starts_with("advisory SA44858")), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("advisory SA44960")), "{told:?}");
    assert!(Command::new("kill").args(["-INT", &watch.id().to_string()]).status().unwrap().success());
    assert!(matches!(watch.wait().unwrap().code(), Some(0 | 1 | 3)));
    assert!(place.command(&["case", "verify"]).status.success());
}

#[test]
fn what_cannot_be_watched_is_refused_with_a_reason() {
    let place = Place::new(HOME, "R11.4");
    let output = place.watch_at("http://psirt.example/provider-metadata.json", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("without TLS anybody on the way can change what comes"), "{}", stderr(&output));
    let stranger = Signer::new("never");
    let (case, keys) = (place.path("case"), place.provider.path("keys.asc"));
    let mut watch = portcullis();
    watch.args(["update", "watch", "--once", "--case", arg(&case), "--provider", arg(place.provider.dir.path())]);
    let output = watch.args(["--key", arg(&keys), "--fingerprint", &stranger.print]).output().unwrap();
    assert!(stderr(&output).contains("none of these keys is pinned"), "{}", stderr(&output));
    let nothing = place.command(&["update", "watch", "--once"]);
    assert!(stderr(&nothing).contains("the packs name no provider of advisories"), "{}", stderr(&nothing));
    let unpinned = place.command(&["update", "watch", "--once", "--provider", arg(place.provider.dir.path())]);
    assert!(stderr(&unpinned).contains("nobody says whose signature counts"), "{}", stderr(&unpinned));
    let output = place.watch_at(arg(&place.path("nowhere")), &[]);
    assert!(stderr(&output).contains("name the folder that holds `provider-metadata.json`"), "{}", stderr(&output));
}

/// The documents of these tests are what vendors publish, to the public validator.
#[test]
fn the_public_validator_takes_the_documents_that_are_watched() {
    let program = root().join("target/validators/csaf/csaf.mjs");
    if !program.exists() {
        assert!(std::env::var_os("CI").is_none(), "{} is not there, and CI must ask it", program.display());
        return;
    }
    let mut provider = Provider::new(HOME);
    let files = [
        provider.publish(&FIRST),
        provider.publish(&second()),
        provider.publish(&Said { id: "SA3", fixed: None, ..FIRST }),
    ];
    let output = Command::new("node").arg(program).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
