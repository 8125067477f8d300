//! Deb: can a package make its reader panic, hang, take memory without end, or list a path that climbs?

#![no_main]

use check::manifest::deb::{Limits, read};
use directive::progress::Unwatched;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { control_bytes: 1 << 20, data_bytes: 4 << 20, files: 1024, text_bytes: 1 << 16 };
    if let Err(error) = read("x.deb", Box::new(std::io::Cursor::new(bytes.to_vec())), &limits, &Unwatched) {
        // The message is for a terminal, which escapes it; it must not be long.
        assert!(error.to_string().len() < 20_000);
    }
});
