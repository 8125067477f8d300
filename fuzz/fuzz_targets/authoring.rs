//! Authoring: can an advisory, a catalogue or a playbook make its reader panic, or a draft that is no pack?

#![no_main]

use directive::draft::{Known, draft};
use directive::pack::{Files, Pack};
use directive::{advisory, kev, playbook};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let known = Known {
        id: "ed-29-07",
        zone: "America/New_York",
        now: jiff::Timestamp::UNIX_EPOCH,
        advisory: None,
        entries: &[],
        order: None,
    };
    let holds = |known: &Known<'_>| {
        let files: Files = draft(known).files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        Pack::parse("draft", &files).is_ok()
    };
    if let Ok(advisory) = advisory::parse(bytes) {
        holds(&Known { advisory: Some((&advisory, "a")), ..known });
    }
    if let Ok(catalogue) = kev::parse(bytes) {
        let entries: Vec<_> = catalogue.vulnerabilities.iter().take(3).map(|entry| (entry, "k")).collect();
        assert!(holds(&Known { entries: &entries, ..known }), "a catalogue that is read makes no pack");
    }
    if let Ok(order) = playbook::import(bytes, "ed-29-07", "UTC") {
        holds(&Known { order: Some((&order, "p")), ..known });
    }
});
