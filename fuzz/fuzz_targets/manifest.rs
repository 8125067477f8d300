//! Manifest: can a list that somebody hands us make its reader panic, hang or take memory without end?

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(problems) = check::Manifest::from_operator("list", bytes) {
        // The message is for a terminal: nothing of the list may act there.
        assert!(!problems.to_string().chars().any(|c| c.is_control() && c != '\n'));
    }
});
