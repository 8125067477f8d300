//! Text: how is an incident read out on the telephone, or pasted into a form on the web?
//!
//! One thing a line, the most telling first, everything from an instance escaped. Findings that weigh nothing are
//! counted; the JSON has all.

use directive::record::{Finding, Severity};
use directive::text::escape;
use jiff::Timestamp;

use super::{Affected, Incident, Said};
use crate::lines::Lines;
use crate::words;

/// Findings that are written out for one instance, the weightiest first.
const MOST_SHOWN: usize = 50;

pub(super) fn render(incident: &Incident, width: usize) -> String {
    let mut page = Page(Lines::new(width));
    if incident.exercise {
        page.line(0, "EXERCISE: every time in it is exercise time. Do not submit it as a real incident.");
    }
    page.line(0, &format!("INCIDENT under {}: {}", incident.pack.id, incident.directive));
    page.line(0, &format!("{}, {}", escape(&incident.organisation), utc(incident.at)));
    page.answers(0, &incident.answers);
    if !incident.caveat.is_empty() {
        page.line(0, &format!("Handling: {}", escape(&incident.caveat)));
    }
    for of in &incident.instances {
        page.0.blank();
        page.instance(of);
    }
    page.0.blank();
    page.line(0, &format!("From a case of {} records; the last has hash {}", incident.records, incident.head));
    page.line(0, &format!("Made by {}", incident.tool));
    page.0.into_text()
}

struct Page(Lines);

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        self.0.line(indent, text);
    }

    fn answers(&mut self, indent: usize, answers: &[Said]) {
        for said in answers {
            let colon = if said.label.ends_with(')') { "" } else { ":" };
            self.line(indent, &format!("{}{colon} {}", said.label, escape(&said.value)));
        }
    }

    fn instance(&mut self, of: &Affected) {
        self.line(0, &format!("{}: {}", escape(&of.name).to_uppercase(), words::verdict(of.verdict)));
        let addresses: Vec<_> = of.addresses.iter().map(escape).collect();
        self.line(
            2,
            &format!("Addresses: {}", if addresses.is_empty() { "none known".into() } else { addresses.join(", ") }),
        );
        let product = of.product.as_deref().unwrap_or("not identified");
        let version = of.version.as_deref().map_or_else(|| "unknown".to_owned(), escape);
        self.line(2, &format!("Product: {}, version {version}; owner: {}", escape(product), words::owner(&of.owner)));
        if let Some(at) = of.checked_at {
            self.line(2, &format!("Checked: {}", utc(at)));
        }
        for earlier in &of.earlier {
            self.line(2, &format!("Before: {}, {}", words::verdict(Some(earlier.verdict)), utc(earlier.at)));
        }
        match of.first_sign {
            Some(first) => {
                let by = of.first_sign_by.as_deref().map(|by| format!(" ({})", escape(by))).unwrap_or_default();
                let dwell = of.checked_at.map(|at| format!("; {} until the check", words::dwell(first, at)));
                self.line(2, &format!("First sign: {}{}{by}", utc(first), dwell.unwrap_or_default()));
            }
            None => self.line(2, "First sign: the evidence shows no time"),
        }
        of.reasons.iter().for_each(|reason| self.line(2, &escape(reason)));
        self.findings(&of.findings);
        self.accounts(of);
        self.sight(of);
        for action in &of.actions {
            let state = if action.done {
                "done"
            } else if action.late {
                "LATE"
            } else {
                "open"
            };
            self.line(2, &format!("{state}: {} {}", action.action, action.title));
        }
        self.answers(2, &of.answers);
    }

    fn findings(&mut self, findings: &[Finding]) {
        let mut telling: Vec<_> = findings.iter().filter(|finding| finding.severity >= Severity::Medium).collect();
        telling.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.line(2, &format!("Findings that count: {} of {}", telling.len(), findings.len()));
        for finding in telling.iter().take(MOST_SHOWN) {
            let path = finding.path.as_ref().map(ToString::to_string);
            let place = path.or_else(|| finding.place.as_deref().map(escape)).unwrap_or_default();
            let severity = words::severity(finding.severity);
            self.line(4, &format!("{severity} {} {place}: {}", finding.code, escape(&finding.why)));
            if let Some(digest) = finding.evidence.as_ref().and_then(|seen| seen.sha256.as_ref()) {
                self.line(6, &format!("SHA-256 {digest}"));
            }
        }
        if telling.len() > MOST_SHOWN {
            self.line(4, &format!("and {} more, in the JSON", telling.len() - MOST_SHOWN));
        }
    }

    fn accounts(&mut self, of: &Affected) {
        self.line(2, &format!("Accounts to reset: {}", of.accounts.len()));
        for account in &of.accounts {
            self.line(4, &format!("{}: {}", escape(account.name()), escape(&account.why)));
        }
    }

    fn sight(&mut self, of: &Affected) {
        match &of.coverage {
            Some(coverage) => self.line(2, &format!("Seen: {}", words::coverage(coverage))),
            None => self.line(2, "Seen: not told"),
        }
        for gap in of.gaps.iter().filter(|gap| gap.required) {
            let path = gap.path.as_ref().map(ToString::to_string);
            let place = path.or_else(|| gap.place.as_deref().map(escape)).unwrap_or_default();
            self.line(4, &format!("not seen: {} {place}: {}", gap.code, escape(&gap.why)));
        }
    }
}

fn utc(at: Timestamp) -> String {
    at.strftime("%a %-d %b %Y %H:%M UTC").to_string()
}
