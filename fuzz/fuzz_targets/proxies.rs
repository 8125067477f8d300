//! Proxies: can the configuration of a proxy make its reader panic, or name a place that is not in it?

#![no_main]

use libfuzzer_sys::fuzz_target;
use mitigate::engine::{haproxy, nginx};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = nginx::blocks(text);
    let _ = haproxy::sections(text);
});
