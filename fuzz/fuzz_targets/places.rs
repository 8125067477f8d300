//! Places: can a database of where addresses are make its reader panic, hang or take memory without end?

#![no_main]

use check::hunt::geo::Geo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(geo) = Geo::read(bytes.to_vec()) else { return };
    // The name is for a terminal: nothing of the database may act there.
    assert!(!geo.name().chars().any(char::is_control));
    for address in ["198.51.100.7", "203.0.113.200", "192.0.2.1", "198.18.0.1", "2001:db8::7", "::"] {
        let country = address.parse().ok().and_then(|address| geo.country(address));
        assert!(country.is_none_or(|country| country.len() <= 3 && country.is_ascii()));
    }
});
