//! Minisign: does what the real program signs count, and nothing else?
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "an integration test with real programs")]

use std::fs;
use std::process::Command;

use signer::{Refused, minisign};

struct Keys {
    dir: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        let keys = Self { dir: tempfile::tempdir().unwrap() };
        keys.run(&["-G", "-W", "-p", &keys.path("key.pub"), "-s", &keys.path("key")]);
        keys
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        let done = Command::new("minisign").args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn sign(&self, data: &[u8]) -> String {
        let (file, key) = (self.path("data"), self.path("key"));
        fs::write(&file, data).unwrap();
        self.run(&["-S", "-s", &key, "-m", &file, "-x", &self.path("sig"), "-t", "timestamp:1618905600\tfile:data"]);
        fs::read_to_string(self.path("sig")).unwrap()
    }

    fn public(&self) -> String {
        fs::read_to_string(self.path("key.pub")).unwrap()
    }
}

#[test]
fn a_signature_of_the_pinned_key_counts_and_tells_when_it_was_made() {
    let keys = Keys::new();
    let signature = keys.sign(b"data");
    let signed = minisign::detached(&keys.public(), b"data", &signature).unwrap();
    assert_eq!(signed.made().to_string(), "2021-04-20T08:00:00Z");
    let line = keys.public().lines().nth(1).unwrap().to_owned();
    assert_eq!(signed.key().as_str(), format!("minisign:{line}"));
    assert_eq!(minisign::detached(&line, b"data", &signature), Ok(signed));
}

#[test]
fn a_changed_byte_another_key_and_a_changed_comment_are_refused() {
    let (keys, other) = (Keys::new(), Keys::new());
    let signature = keys.sign(b"data");
    assert!(matches!(minisign::detached(&keys.public(), b"dat4", &signature), Err(Refused::Changed { .. })));
    assert!(matches!(minisign::detached(&other.public(), b"data", &signature), Err(Refused::OtherKey { .. })));
    let later = signature.replace("1618905600", "1918905600");
    assert_ne!(later, signature);
    assert!(matches!(minisign::detached(&keys.public(), b"data", &later), Err(Refused::Changed { .. })));
    for text in ["", "untrusted comment: x\n", &"x".repeat(20_000)] {
        assert!(minisign::detached(&keys.public(), b"data", text).is_err());
        assert!(minisign::detached(text, b"data", &signature).is_err());
    }
}
