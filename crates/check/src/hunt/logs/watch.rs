//! Watch: what does each event of a log tell?
//!
//! One look at each event for everything: the tables of a pack, indicators, accounts, the timeline. What is kept is
//! bounded per log, however often a rule matches.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use directive::hunting::TellingEvent;
use directive::record::{Evidence, Moment, Severity};
use directive::text::{Text, escape};
use jiff::Timestamp;
use logs::{Action, Clock, Event, Format, Report, Sink};

use super::super::Hunt;
use super::super::people::People;
use super::Seen;
use super::scanner::Passing;
use super::starts::Starts;
use crate::integrity::bare;

/// Findings of one rule in one log that are kept one by one.
const KEPT_OF_ONE_RULE: u64 = 100;

/// Moments of one log that are kept, the first ones.
const MOMENTS: usize = 20_000;

/// Hours that are remembered of a log: a hundred years.
const HOURS: usize = 900_000;

/// Numbers that are remembered of a log.
const COUNTS: usize = 100_000;

/// Characters of a message that a moment or a finding shows.
const WORDS: usize = 300;

/// Answers of a web server by which a request did not get what it asked for.
const REFUSED: [&str; 6] = ["400", "401", "403", "404", "405", "410"];

/// Looks at the events of one log.
pub(super) struct Watch<'a> {
    hunt: &'a Hunt,
    clause: Option<&'a str>,
    seen: Seen,
    passing: Passing<'a>,
    starts: Starts,
    by_rule: HashMap<String, u64>,
    wanted: &'a HashSet<String>,
    /// Whether lines without certain words may stay unread.
    is_literal: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(hunt: &'a Hunt, place: usize, path: &Text, clause: Option<&'a str>) -> Self {
        let seen = Seen {
            place,
            path: path.clone(),
            report: Report::default(),
            clock: Clock::Zoned,
            findings: Vec::new(),
            beyond: 0,
            moments: Vec::new(),
            unkept_moments: 0,
            people: People::default(),
            hours: HashSet::new(),
            codes: HashMap::new(),
            counts: Vec::new(),
            passed: BTreeMap::new(),
        };
        let passing = Passing::new(&hunt.scanners);
        let (starts, by_rule) = (Starts::default(), HashMap::new());
        Self { hunt, clause, seen, passing, starts, by_rule, wanted: &hunt.wanted_codes, is_literal: false }
    }

    pub(super) fn finish(mut self, report: Report) -> Seen {
        self.seen.report = report;
        self.seen.passed = self.passing.finish();
        let (starts, unkept) = self.starts.finish();
        self.seen.moments.extend(starts);
        self.seen.unkept_moments += unkept;
        self.seen
    }

    /// Keeps a finding about an event.
    fn finding(&mut self, found: Match<'_>, event: &Event) {
        let Match { code, severity, rule, why, attack } = found;
        let count = self.by_rule.entry(rule.to_string()).or_default();
        *count += 1;
        if *count > KEPT_OF_ONE_RULE {
            self.seen.beyond += 1;
            return;
        }
        let (severity, why) = attempt(event, severity, why);
        let who = event.actor.as_ref().map(|actor| format!(", by {}", escape(&actor.user))).unwrap_or_default();
        let from = event.address.map(|address| format!(", from {address}")).unwrap_or_default();
        let mut finding = bare(code, severity, self.seen.path.as_bytes(), format!("{why}{who}{from}"), self.clause);
        finding.place = Some(format!("line {}", event.number));
        finding.rule = Some(rule.into_owned());
        finding.attack = attack.into_owned();
        let excerpt = Some(Text::excerpt(event.message.as_bytes(), 200));
        finding.evidence = Some(Evidence { sha256: None, excerpt });
        finding.times.extend(event.at.map(|at| ("event".to_owned(), at)));
        self.seen.findings.push(finding);
    }

    fn tables(&mut self, event: &Event) {
        let matches = matches(self.hunt, event);
        if matches.is_empty() {
            return;
        }
        let whose = self.passing.whose(event);
        // A table tells what happened on the instance, whoever did it; only what was tried is passed over.
        let is_tried = matches!(event.action, Action::Request | Action::LoginFailed);
        let is_over = |found: &Match<'_>| whose.is_some() && (found.code != "telltale-event" || is_tried);
        let (over, kept): (Vec<_>, Vec<_>) = matches.into_iter().partition(is_over);
        if let Some(n) = whose.filter(|_| !over.is_empty()) {
            self.passing.pass(n, event, over.iter().map(|found| &*found.rule));
        }
        kept.into_iter().for_each(|found| self.finding(found, event));
    }

    /// What is added up over a whole log.
    fn numbers(&mut self, event: &Event) {
        if let Some(at) = event.at
            && self.seen.hours.len() < HOURS
        {
            self.seen.hours.insert(at.as_second().div_euclid(3600));
        }
        if let Some(code) = event.code.as_ref().filter(|code| self.wanted.contains(*code)) {
            let (count, latest) = self.seen.codes.entry(code.clone()).or_default();
            *count += 1;
            *latest = (*latest).max(event.at);
        }
        if self.hunt.tamper.counts.is_empty() || self.seen.counts.len() >= COUNTS {
            return;
        }
        let words = String::from_utf8_lossy(event.message.as_bytes());
        for (n, row) in self.hunt.tamper.counts.iter().enumerate() {
            let number = row.matches.captures(&words).and_then(|found| found.name("count")?.as_str().parse().ok());
            let is_reset = event.code.as_ref().is_some_and(|code| row.reset_by.contains(code));
            if number.is_some() || is_reset {
                self.seen.counts.push((n, event.at, number));
            }
        }
    }

    /// A place in the timeline for what is worth one: not each page that somebody asked for.
    fn moment(&mut self, event: &Event) {
        let Some(time) = event.at else { return };
        if event.action == Action::Process {
            return self.starts.saw(event, time, &self.seen.path);
        }
        if !is_notable(event) {
            return;
        }
        if self.seen.moments.len() >= MOMENTS {
            self.seen.unkept_moments += 1;
            return;
        }
        let words = String::from_utf8_lossy(event.message.as_bytes());
        self.seen.moments.push(Moment {
            time,
            what: event.action.as_str().to_owned(),
            why: escape(words.chars().take(WORDS).collect::<String>()),
            path: Some(self.seen.path.clone()),
            line: Some(event.number),
            clock: event.clock.as_str().to_owned(),
            account: event.actor.as_ref().map(|actor| actor.user.clone()),
            address: event.address.map(|address| address.to_string()),
            code: event.code.clone(),
            severity: None,
        });
    }
}

impl Sink for Watch<'_> {
    fn next(&mut self, block: &[u8]) -> Option<usize> {
        match self.hunt.access.as_ref().filter(|_| self.is_literal) {
            Some(literals) => literals.next(block),
            None => (!block.is_empty()).then_some(0),
        }
    }

    fn format(&mut self, format: Format) {
        self.is_literal = format == Format::Access;
    }

    fn event(&mut self, event: Event) {
        // The least trustworthy clock of a log is what can be said of it.
        self.seen.clock = self.seen.clock.max(event.clock);
        self.passing.saw(&event);
        self.tables(&event);
        self.numbers(&event);
        self.seen.people.saw(&event, &self.hunt.accounts);
        self.moment(&event);
    }
}

/// What matches an event.
struct Match<'m> {
    code: &'static str,
    severity: Severity,
    rule: Cow<'m, str>,
    why: String,
    attack: Cow<'m, [String]>,
}

/// Holds an event against tables, rules and indicators.
fn matches<'m>(hunt: &'m Hunt, event: &Event) -> Vec<Match<'m>> {
    let rows = hunt.tamper.events.iter().filter(|row| tells(row, event)).map(|row| Match {
        code: "telltale-event",
        severity: row.severity,
        rule: Cow::from(&row.id),
        why: row.why.clone(),
        attack: Cow::from(&row.attack),
    });
    let rules = hunt.sigma.look(event).into_iter().map(|found| {
        let what = found.description.as_deref().map(|what| format!(": {}", escape(what))).unwrap_or_default();
        let why = format!("a rule matches it: {}{what}", escape(&found.title));
        let (rule, attack) = (Cow::from(found.rule), Cow::from(found.attack));
        Match { code: "sigma-match", severity: found.severity, rule, why, attack }
    });
    let indicators = hunt.indicators.event(event).into_iter().map(|hit| {
        let why = format!("a published indicator names it by {}: {}", hit.seen, escape(&hit.indicator.name));
        let (rule, attack) = (Cow::from(&hit.indicator.id), Cow::from(&hit.indicator.attack));
        Match { code: "indicator-match", severity: hit.severity, rule, why, attack }
    });
    rows.chain(rules).chain(indicators).collect()
}

fn tells(row: &TellingEvent, event: &Event) -> bool {
    let by_code = row.codes.is_empty() || event.code.as_ref().is_some_and(|code| row.codes.contains(code));
    let fits =
        |pattern: &directive::pattern::Pattern| pattern.is_match(&String::from_utf8_lossy(event.message.as_bytes()));
    by_code && row.matches.as_ref().is_none_or(fits) && !(row.codes.is_empty() && row.matches.is_none())
}

/// A request that was refused is an attempt, and no sign that somebody came in.
fn attempt(event: &Event, severity: Severity, why: String) -> (Severity, String) {
    let status = event.field("sc-status").or_else(|| event.field("status"));
    match status.filter(|status| event.action == Action::Request && REFUSED.contains(status)) {
        Some(status) => (severity.min(Severity::Low), format!("{why}; an attempt, answered with {status}")),
        None => (severity, why),
    }
}

fn is_notable(event: &Event) -> bool {
    !matches!(event.action, Action::Request | Action::Other | Action::LoginFailed)
}

/// The earlier of two times, where one is missing the other.
pub(super) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}
