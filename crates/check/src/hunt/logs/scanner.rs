//! Scanner: which events are those of a scanner that may look, and what did it set off?
//!
//! What a scanner of the scope tried is no finding: it would be found on every run. It is not forgotten either: for
//! each log and scanner one gap says how many events rules match, which rules, and when.
//! Never passes over what came of it: a login, a changed account or setting, a cleared log, a crash are findings as
//! ever, whoever caused them. The address decides, and never a name that the client gives itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use directive::record::Gap;
use directive::scope::Scanner;
use directive::text::escape;
use jiff::Timestamp;
use logs::{Action, Event};

/// Sessions that are remembered; a host has some hundred at once.
const SESSIONS: usize = 10_000;

/// Rules that a gap names.
const RULES: usize = 5;

/// Rules that are remembered.
const REMEMBERED: usize = 1_000;

/// The number of a session that was never set.
const UNSET: [&str; 3] = ["4294967295", "-1", "unset"];

/// What of one log belongs to scanners.
pub(super) struct Passing<'a> {
    scanners: &'a [Scanner],
    /// From where sessions were opened, by the number that the kernel gave them; scanners' sessions only.
    sessions: HashMap<String, IpAddr>,
    passed: BTreeMap<usize, Passed>,
}

/// What one scanner set off in one log.
#[derive(Default)]
pub(super) struct Passed {
    events: u64,
    /// Requests that were answered as if they had worked.
    answered: u64,
    first_answered: u64,
    commands: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    rules: BTreeSet<String>,
}

impl<'a> Passing<'a> {
    pub(super) fn new(scanners: &'a [Scanner]) -> Self {
        Self { scanners, sessions: HashMap::new(), passed: BTreeMap::new() }
    }

    pub(super) fn finish(self) -> BTreeMap<usize, Passed> {
        self.passed
    }

    /// Takes note of sessions that begin: a command names its session, and not from where that was opened.
    pub(super) fn saw(&mut self, event: &Event) {
        if self.scanners.is_empty() || event.program.as_deref() != Some("audit") {
            return;
        }
        // Numbers begin anew with the system.
        if event.code.as_deref() == Some("SYSTEM_BOOT") {
            self.sessions.clear();
        }
        let Some(session) = event.field("ses").filter(|session| !UNSET.contains(session)) else { return };
        match event.address {
            Some(address) => {
                let is_known = self.scanners.iter().any(|scanner| scanner.covers(address, event.at));
                if is_known && self.sessions.len() < SESSIONS {
                    self.sessions.insert(session.to_owned(), address);
                } else {
                    self.sessions.remove(session);
                }
            }
            // The kernel gives a number to a new session before anybody says from where it comes.
            None if event.code.as_deref() == Some("LOGIN") => {
                self.sessions.remove(session);
            }
            None => {}
        }
    }

    /// The scanner that an event comes from, if a scanner's attempt is all that it can be.
    pub(super) fn whose(&self, event: &Event) -> Option<usize> {
        match event.action {
            Action::Request | Action::LoginFailed | Action::Other => {
                let (address, agent) = (event.address?, event.user_agent());
                self.scanners.iter().position(|one| one.covers(address, event.at) && one.is_called(agent))
            }
            Action::Process => {
                let address = *self.sessions.get(event.field("ses")?)?;
                let command = event.field("CommandLine").unwrap_or_default();
                // A session may last longer than the window.
                self.scanners.iter().position(|one| one.covers(address, event.at) && one.runs(command))
            }
            _ => None,
        }
    }

    /// Counts an event that these rules match.
    pub(super) fn pass<'r>(&mut self, n: usize, event: &Event, rules: impl Iterator<Item = &'r str>) {
        let passed = self.passed.entry(n).or_default();
        passed.events += 1;
        passed.commands += u64::from(event.action == Action::Process);
        let status = event.field("sc-status").or_else(|| event.field("status")).unwrap_or_default();
        if event.action == Action::Request && status.starts_with('2') {
            passed.answered += 1;
            if passed.first_answered == 0 {
                passed.first_answered = event.number;
            }
        }
        passed.first = passed.first.into_iter().chain(event.at).min();
        passed.last = passed.last.max(event.at);
        for rule in rules {
            if passed.rules.len() < REMEMBERED {
                passed.rules.insert(rule.to_owned());
            }
        }
    }
}

impl Passed {
    /// What was passed over, so that a person can look.
    pub(super) fn gap(&self, scanner: &Scanner) -> Gap {
        let when = match (self.first, self.last) {
            (Some(first), Some(last)) => format!(" from {first} to {last}"),
            _ => String::new(),
        };
        let mut why =
            format!("{} events that rules match are those of the scanner {}{when}", self.events, scanner.name);
        if self.commands > 0 {
            why += &format!("; {} of them are commands in its sessions", self.commands);
        }
        if self.answered > 0 {
            let (count, line) = (self.answered, self.first_answered);
            why += &format!("; {count} of them are requests that were answered with success, the first in line {line}");
        }
        let named: Vec<String> = self.rules.iter().take(RULES).map(escape).collect();
        why += &format!("; rules: {}", named.join(", "));
        if let Some(more) = self.rules.len().checked_sub(RULES).filter(|more| *more > 0) {
            why += &format!(" and {more} more");
        }
        Gap { code: "scanner-passed-over".into(), path: None, place: Some(scanner.name.clone()), why, required: false }
    }
}
