//! Sftp: can a server on the other side make its client panic, hang or take memory without end?

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| remote::converse(bytes));
