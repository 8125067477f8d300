//! The shipped directives: does every due time come out as the text says it?

#![expect(clippy::unwrap_used, reason = "an integration test")]

use std::path::{Path, PathBuf};

use directive::deadline::Due;
use directive::example::judge;
use feed::folder::load;

fn packs() -> Vec<PathBuf> {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let mut packs: Vec<_> = packs.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    packs.sort();
    assert!(packs.len() >= 4, "{packs:?}");
    packs
}

#[test]
fn every_shipped_pack_says_what_its_examples_expect() {
    for pack in packs() {
        let unmet = judge(&load(&pack).unwrap());
        assert!(unmet.is_empty(), "{}: {unmet:?}", pack.display());
    }
}

#[test]
fn every_action_with_a_time_has_an_example_of_it() {
    for path in packs() {
        let pack = load(&path).unwrap();
        for action in &pack.directive.actions {
            let id = action.id.get_ref();
            let shown = pack.expected.deadlines.iter().any(|example| example.action.get_ref() == id);
            assert!(shown || matches!(action.due, Due::Untimed), "{}: {id} has no [[deadline]]", path.display());
        }
    }
}

#[test]
fn no_shipped_directive_has_a_slip_in_its_own_words() {
    // ED 20-03 had one; the pack of a directive with one would say so in `directive lint`.
    for path in packs() {
        let pack = load(&path).unwrap();
        let slips: Vec<_> = pack.directive.actions.iter().flat_map(|action| action.due.slips()).collect();
        assert!(slips.is_empty(), "{}: {slips:?}", path.display());
    }
}

#[test]
fn guidance_v3_of_ed_21_01_takes_the_place_of_action_4() {
    let pack = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ed-21-01")).unwrap();
    let in_force = |at: &str| {
        let actions = pack.in_force(at.parse().unwrap());
        actions.iter().any(|action| action.id.get_ref() == "4.c")
    };
    assert!(in_force("2020-12-20T00:00:00Z"));
    assert!(!in_force("2021-01-07T00:00:00Z"));
}
