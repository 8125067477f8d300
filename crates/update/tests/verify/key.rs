//! Key: a real key of GnuPG, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use signer::Fingerprint;
use signer::openpgp::Keys;

pub(crate) struct Key {
    dir: tempfile::TempDir,
    print: String,
}

impl Key {
    pub(crate) fn new() -> Self {
        let mut key = Self { dir: tempfile::tempdir().unwrap(), print: String::new() };
        // RSA, since rpm of Debian 12 signs with nothing newer.
        key.gpg(&["--quick-generate-key", "Vendor <psirt@example.com>", "rsa3072", "sign", "never"]);
        let listed = String::from_utf8(key.gpg(&["--list-keys", "--with-colons"])).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        key.print = line.split(':').nth(9).unwrap().to_owned();
        key
    }

    pub(crate) fn home(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn print(&self) -> &str {
        &self.print
    }

    #[track_caller]
    pub(crate) fn gpg(&self, arguments: &[&str]) -> Vec<u8> {
        let common = ["--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", "--quiet"];
        let mut gpg = Command::new("gpg");
        let done = gpg.env("GNUPGHOME", self.dir.path()).args(common).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }

    pub(crate) fn pinned(&self) -> Keys {
        let pin: Fingerprint = self.print.parse().unwrap();
        Keys::parse(&self.gpg(&["--export"])).unwrap().pinned(&[pin]).unwrap()
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("data");
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn detached(&self, bytes: &[u8]) -> Vec<u8> {
        let data = self.file(bytes);
        self.gpg(&["--output", "-", "--detach-sign", data.to_str().unwrap()])
    }

    pub(crate) fn clear(&self, text: &[u8]) -> Vec<u8> {
        let data = self.file(text);
        self.gpg(&["--output", "-", "--clear-sign", data.to_str().unwrap()])
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.dir.path()).args(["--kill", "all"]).output();
    }
}

/// Runs a program in a folder.
#[track_caller]
pub(crate) fn run(dir: &Path, words: &[&str]) -> Vec<u8> {
    let done = Command::new(words[0]).args(&words[1..]).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}
