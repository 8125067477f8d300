//! Packages: can a list, an index, a package or a configuration make its reader panic, or let in what is not named?
//!
//! A zero byte parts the list from the index, and that from the package.

#![no_main]

use directive::configuration::compare;
use libfuzzer_sys::fuzz_target;
use signer::openpgp::Keys;
use update::apt::Release;
use update::dnf::{Repomd, signed};
use update::verify::Subject;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let [list, index, package] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let subject = Subject { file: "x", bytes: package };
    if let Ok(release) = Release::unsigned(&String::from_utf8_lossy(list), now)
        && let Ok(index) = release.index(index)
        && let Ok(verified) = index.package(subject)
    {
        assert_eq!(verified.sha256(), subject.sha256(), "another package is let in");
    }
    if let Ok(repomd) = Repomd::unsigned(list) {
        let _ = repomd.package(index, subject);
    }
    static KEYS: std::sync::OnceLock<Option<Keys>> = std::sync::OnceLock::new();
    let key = include_bytes!("../corpus/signatures/key.asc");
    if let Some(keys) = KEYS.get_or_init(|| Keys::parse(&key[2..]).ok()) {
        assert!(signed(keys, Subject { file: "x.rpm", bytes }, now).is_err(), "nobody here has the key");
    }
    if let Ok(compared) = compare(list, index, &String::from_utf8_lossy(package)) {
        assert_eq!(compared.unexplained.is_empty() && compared.explained.is_empty(), list == index);
    }
});
