//! Rules: can a rule or an indicator of others make its reader panic or hang, or hide a line of a log?

#![no_main]

use std::collections::BTreeMap;

use hunt::indicator::{self, Indicators};
use hunt::literals::{Literals, Words};
use hunt::sigma::{self, Rules};
use libfuzzer_sys::fuzz_target;
use logs::{Event, Format, Settings, Sink};

// The first byte picks what is read; then come the rules, a zero byte, and an access log.
fuzz_target!(|bytes: &[u8]| {
    let Some((pick, rest)) = bytes.split_first() else { return };
    let (rules, log) = match rest.iter().position(|byte| *byte == 0) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[][..]),
    };
    if pick % 2 == 0 {
        let files = BTreeMap::from([("any.yml".to_owned(), rules.to_vec())]);
        let (rules, broken) = Rules::compile(&files, sigma::Limits::default());
        assert!(broken.iter().all(|broken| !broken.report.is_empty()));
        hides_nothing(rules.words_for(Format::Access), log, &|event| rules.look(event).len());
    } else {
        let files = BTreeMap::from([("any.txt".to_owned(), rules.to_vec())]);
        let (indicators, problems) = Indicators::read(&files, indicator::Limits::default());
        problems.iter().for_each(|problem| assert!(!problem.to_string().is_empty()));
        hides_nothing(indicators.words(), log, &|event| indicators.event(event).len());
    }
});

/// What is found with every line read must be found when lines without a word are passed over.
fn hides_nothing(words: Words, log: &[u8], found: &dyn Fn(&Event) -> usize) {
    let mut settings = Settings::new(jiff::Timestamp::constant(1_750_000_000, 0));
    settings.format = Some(Format::Access);
    let mut all = Watch { literals: None, found, seen: Vec::new() };
    logs::read(log, settings.clone(), &mut all);
    let Some(literals) = words.and_then(Literals::new) else { return };
    let mut some = Watch { literals: Some(literals), found, seen: Vec::new() };
    logs::read(log, settings, &mut some);
    assert_eq!(all.seen, some.seen);
}

struct Watch<'f> {
    literals: Option<Literals>,
    found: &'f dyn Fn(&Event) -> usize,
    seen: Vec<(u64, usize)>,
}

impl Sink for Watch<'_> {
    fn next(&mut self, block: &[u8]) -> Option<usize> {
        match &self.literals {
            Some(literals) => literals.next(block),
            None => (!block.is_empty()).then_some(0),
        }
    }

    fn event(&mut self, event: Event) {
        match (self.found)(&event) {
            0 => {}
            found => self.seen.push((event.number, found)),
        }
    }
}
