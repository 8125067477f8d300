//! Answers: can what comes back for a packet of ours, or for a handshake over UDP, make its reader panic or hang?

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| discover::hear(bytes));
