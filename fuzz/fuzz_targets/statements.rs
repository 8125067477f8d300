//! Statements: can what somebody says he signed make its reader panic, or can two texts be one statement?

#![no_main]

use attest::{Attestation, PublicKey, Receipt, SecretKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(attestation) = Attestation::parse(text) {
        assert_eq!(attestation.text(), text, "two texts are one attestation");
    }
    if let Ok(receipt) = Receipt::parse(text) {
        assert_eq!(receipt.text(), text, "two texts are one receipt");
    }
    let _ = PublicKey::parse(text);
    let _ = SecretKey::parse(text, None);
    if let Some((text, signature)) = text.split_once("\n\n") {
        assert!(Attestation::signer(text, signature).is_err(), "nobody here has a key");
    }
});
