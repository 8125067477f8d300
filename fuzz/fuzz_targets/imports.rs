//! Imports: can a file that is said to be of another tool make its reader panic, hang or take memory without end?

#![no_main]

use discover::import::{Columns, Import, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { claims: 1000, text: 100, ..Limits::default() };
    if let Ok(import) = Import::read("any", bytes, &Columns::new(), &limits) {
        assert!(import.claims.len() <= limits.claims && import.names.len() <= limits.claims);
        assert!(import.claims.iter().all(|claim| claim.names.iter().all(|name| name.len() <= limits.text)));
    }
});
