//! An update is proved from what the case holds, with real evidence and a real check.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{arg, portcullis, records, stderr, stdout};

/// An appliance whose version file tells the fixed version, and the list of what the vendor ships with it.
struct Place(tempfile::TempDir);

impl Place {
    /// `program` is what lies where the vendor's program should.
    fn new(program: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("evidence");
        fs::create_dir_all(root.join("home/bin")).unwrap();
        let version = "export DSREL_MAJOR=9\nexport DSREL_MINOR=1\nexport DSREL_COMMENT=\"R11.4\"\n";
        fs::write(root.join("home/VERSION"), version).unwrap();
        fs::write(root.join("home/bin/web"), program).unwrap();
        let line = |text: &str, path: &str| format!("{:x}  .{path}\n", Hex(Sha256::digest(text).into()));
        let list = line(version, "/home/VERSION") + &line("the new program", "/home/bin/web");
        fs::write(dir.path().join("list"), format!("# version: 9.1R11.4\n{list}")).unwrap();
        let scope = "organisation = \"Example Agency\"\nnetworks = [\"127.0.0.1/32\"]\nports = [1]\n\n[[instance]]\n\
                     name = \"vpn1\"\naddress = \"127.0.0.1:1\"\nevidence = \"evidence\"\nmanifest = \"list\"\n";
        fs::write(dir.path().join("scope.toml"), scope).unwrap();
        let place = Self(dir);
        let (scope, case) = (place.path("scope.toml"), place.path("case"));
        let respond = ["respond", "-q", "--pack", "ed-21-03", "--exercise", "2021-05-04T12:00:00Z"];
        let output = portcullis().args(respond).args(["--scope", arg(&scope), "--case", arg(&case)]).output().unwrap();
        assert!(output.status.code() != Some(2), "{}", stderr(&output));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.0.path()).join(name)
    }

    fn prove(&self, rest: &[&str]) -> std::process::Output {
        let case = self.path("case");
        portcullis().args(["update", "prove", "--case", arg(&case)]).args(rest).output().unwrap()
    }
}

/// Digits of a digest.
struct Hex([u8; 32]);

impl std::fmt::LowerHex for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[test]
fn new_version_file_over_old_programs_is_caught_by_name() {
    let place = Place::new("the old program");
    let output = place.prove(&["vpn1", "--since", "2021-05-04T10:00:00Z"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("update-faked vpn1:"), "{text}");
    assert!(text.contains("update vpn1 to 9.1R11.4: refuted"), "{text}");
    assert!(text.contains("NO   files: 1 files are not those of 9.1R11.4"), "{text}");
    assert!(text.contains("its own word (does not count): file /home/VERSION says 9.1R11.4"), "{text}");
    let json = place.prove(&["vpn1", "--since", "2021-05-04T10:00:00Z", "--json"]);
    assert_eq!(records(&json).len(), 3);
}

#[test]
fn the_files_alone_prove_no_update_and_what_is_missing_is_named() {
    let place = Place::new("the new program");
    let output = place.prove(&["vpn1", "--since", "2021-05-04T10:00:00Z"]);
    assert_eq!(output.status.code(), Some(3), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("yes  files: 2 files are those that the vendor shipped with 9.1R11.4"), "{text}");
    assert!(text.contains("update-unproved"), "{text}");
    // A check of the time before the update says nothing of it.
    let text = stdout(&place.prove(&["vpn1", "--since", "2021-05-05T10:00:00Z"]));
    assert!(text.contains("-    files: no check came after the update"), "{text}");
}

#[test]
fn what_cannot_be_asked_about_an_update_is_refused_with_a_hint() {
    let place = Place::new("the new program");
    for (arguments, words) in [
        (vec!["vpn9", "--since", "2021-05-04T10:00:00Z"], "known: vpn1"),
        (vec!["vpn1", "--since", "yesterday"], "yesterday"),
        (vec!["vpn1", "--since", "2021-05-04T10:00:00Z", "--version", "9.1R11.3"], "closes nothing"),
        (vec!["vpn1", "--since", "2021-05-04T10:00:00Z", "--pack", "nonesuch"], "there is no pack"),
    ] {
        let output = place.prove(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stdout(&output));
        assert!(stderr(&output).contains(words), "{words:?} is not in: {}", stderr(&output));
    }
}
