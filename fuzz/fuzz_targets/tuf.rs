//! Tuf: can a repository of directives make a client panic, hang or trust what nobody signed?
//!
//! The first byte picks a role, the rest is what the repository has for it; everything else it has is the same bytes.

#![no_main]

use std::sync::OnceLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tuf::client::{Client, Limits, init};
use tuf::secret::SecretKey;
use tuf::source::Source;
use tuf::{Error, Refused};

/// A repository that answers everything with the same bytes.
struct Parrot<'b>(&'b [u8]);

impl Source for Parrot<'_> {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        if self.0.len() as u64 > limit {
            return Err(Refused::TooLong { what: path.to_owned(), limit }.into());
        }
        // No row of roots without an end: none of them could be signed.
        Ok((!path.ends_with("root.json") || self.0.first() == Some(&b'{')).then(|| self.0.to_vec()))
    }
}

/// A root that is trusted.
fn root() -> &'static [u8] {
    static ROOT: OnceLock<Vec<u8>> = OnceLock::new();
    ROOT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::generate().unwrap();
        let (root, online) = (vec![key.public()], vec![key.public()]);
        let roles = tuf::publish::Roles { root, root_threshold: 1, online, online_threshold: 1 };
        let (now, then) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(1 << 32).unwrap());
        tuf::publish::Repository::new(dir.path()).sign_root(&roles, &[key], then, now).unwrap();
        std::fs::read(dir.path().join("metadata/1.root.json")).unwrap()
    })
}

fuzz_target!(|bytes: &[u8]| {
    let [pick, rest @ ..] = bytes else { return };
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_second(1_600_000_000).unwrap();
    if pick % 2 == 0 {
        let _ = init(dir.path(), rest, now);
        return;
    }
    init(dir.path(), root(), now).unwrap();
    assert!(Client::refresh(&Parrot(rest), dir.path(), now, Limits::default()).is_err());
});
