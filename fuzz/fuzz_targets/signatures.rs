//! Signatures: can a key, a signature or a bundle of somebody else's make its reader panic, or count for other bytes?
//!
//! The first two bytes say how long the key is; what follows is the signature, and the rest of the name is fixed data.

#![no_main]

use libfuzzer_sys::fuzz_target;
use signer::openpgp::Keys;
use signer::{minisign, sigstore};

const DATA: &[u8] = b"the update\n";

fuzz_target!(|bytes: &[u8]| {
    let [high, low, rest @ ..] = bytes else { return };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (key, signature) = rest.split_at(length.min(rest.len()));
    let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    if let Ok(keys) = Keys::parse(key) {
        if keys.detached(DATA, signature, now).is_ok() {
            assert!(keys.detached(b"another update\n", signature, now).is_err(), "one signature counts for two texts");
        }
        let _ = keys.clear(signature, now);
    }
    let (Ok(key), Ok(signature)) = (std::str::from_utf8(key), std::str::from_utf8(signature)) else { return };
    let _ = minisign::detached(key, DATA, signature);
    assert!(sigstore::bundle(None, sigstore::By::Key(key), DATA, signature).is_err(), "nobody here has a key");
});
