//! Recog: can a database of fingerprints, or what it is held against, make its reader panic, hang or take memory
//! without end?

#![no_main]

use discover::recog::Database;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // A database; and, behind it, what a server sent.
    let (xml, sent) = text.split_once('\0').unwrap_or((&text, "SSH-2.0-OpenSSH_9.2p1 Debian-2"));
    if let Ok(database) = Database::parse("any.xml", xml) {
        database.check_examples(&|_| Some(sent.as_bytes().to_vec()));
        assert_eq!(database.recognise(sent).found, database.recognise_one_by_one(sent).found);
    }
});
