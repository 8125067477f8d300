//! Tamper: what shows that somebody changed the logs themselves?
//!
//! Broken record chains and clocks that run backwards, in one log; silent hours, events that should be there,
//! numbers that fell and folders that were emptied, over all files of a log. Which of them tell is data of the pack.
//! Source: ATT&CK T1070.001, T1070.002, T1562.006.

use std::collections::{BTreeMap, BTreeSet};

use directive::hunting::{Count, Expected, Silence};
use directive::record::{Finding, Gap, Severity};
use evidence::Source;
use jiff::Timestamp;

use super::super::{Hunt, Origin};
use super::Seen;
use super::watch::earlier;
use crate::integrity::bare;

/// What the reader of one log saw.
pub(super) fn within(seen: &Seen, clause: Option<&str>) -> Vec<Finding> {
    let path = seen.path.as_bytes();
    let mut findings = Vec::new();
    for one in &seen.report.breaks {
        let why = format!(
            "after record {} the length of a record does not lead to the next one, {} bytes belong to none: records \
             were taken out or put in",
            one.number, one.lost
        );
        let mut finding = bare("log-chain-broken", Severity::High, path, why, clause);
        finding.place = Some(format!("byte {}", one.offset));
        finding.attack = vec!["T1070.002".into()];
        finding.times.extend(earlier(one.before, one.after).map(|at| ("event".to_owned(), at)));
        findings.push(finding);
    }
    if let Some(one) = seen.report.backward.first() {
        let why = format!(
            "time runs backwards {} times, first from {} to {}: lines were put in, or the clock was set",
            seen.report.backward_count, one.before, one.after
        );
        let mut finding = bare("log-time-backward", Severity::Low, path, why, clause);
        finding.place = Some(format!("line {}", one.number));
        finding.times.insert("event".to_owned(), one.after);
        findings.push(finding);
    }
    findings
}

/// Logs of the pack that were not met.
pub(super) fn missing(hunt: &Hunt, seen: &[Seen]) -> Vec<Gap> {
    let of_pack = hunt.places.places.iter().filter(|place| place.origin == Origin::Pack);
    let mut by_id: BTreeMap<&str, (bool, &str)> = BTreeMap::new();
    for place in of_pack {
        let entry = by_id.entry(&place.row.id).or_insert((false, &place.row.path));
        entry.0 |= place.row.needed;
    }
    let is_met = |id: &str| seen.iter().any(|one| hunt.places.places[one.place].row.id == id);
    let absent = by_id.into_iter().filter(|(id, _)| !is_met(id));
    absent
        .map(|(id, (required, path))| Gap {
            code: "log-missing".into(),
            path: None,
            place: Some(path.to_owned()),
            why: format!("there is no log {id:?}: what it would tell was not seen; it may lie on a log server"),
            required,
        })
        .collect()
}

/// What only shows over all files of a log.
pub(super) fn across(
    hunt: &Hunt,
    seen: &[Seen],
    source: &dyn Source,
    clause: Option<&str>,
) -> (Vec<Finding>, Vec<Gap>) {
    let of =
        |id: &str| -> Vec<&Seen> { seen.iter().filter(|one| hunt.places.places[one.place].row.id == id).collect() };
    let (mut findings, mut gaps) = (Vec::new(), Vec::new());
    for row in &hunt.tamper.expected {
        match absent(row, &of(&row.log), clause) {
            Some(Absent::Finding(finding)) => findings.push(*finding),
            Some(Absent::Gap(gap)) => gaps.push(gap),
            None => {}
        }
    }
    findings.extend(hunt.tamper.silences.iter().filter_map(|row| silence(row, &of(&row.log), clause)));
    for (n, row) in hunt.tamper.counts.iter().enumerate() {
        findings.extend(fell(n, row, seen, clause));
    }
    for row in &hunt.tamper.emptied {
        let events = seen.iter().flat_map(|one| row.codes.iter().filter_map(|code| one.codes.get(code)));
        let (count, latest) = events.fold((0, None), |(sum, last), (count, at)| (sum + count, last.max(*at)));
        let is_empty =
            source.list(row.folder.as_bytes()).is_ok_and(|names| names.is_some_and(|names| names.is_empty()));
        if count > 0 && is_empty {
            let why = format!("{}; {count} events after which something lies there", row.why);
            let mut finding = bare("folder-emptied", row.severity, row.folder.as_bytes(), why, clause);
            (finding.rule, finding.attack) = (Some(row.id.clone()), row.attack.clone());
            finding.times.extend(latest.map(|at| ("event".to_owned(), at)));
            findings.push(finding);
        }
    }
    (findings, gaps)
}

enum Absent {
    Finding(Box<Finding>),
    Gap(Gap),
}

/// Events that should be in a log of this length, and are not.
fn absent(row: &Expected, logs: &[&Seen], clause: Option<&str>) -> Option<Absent> {
    let events: u64 = logs.iter().map(|one| one.report.events).sum();
    let is_there = logs.iter().any(|one| row.codes.iter().any(|code| one.codes.contains_key(code)));
    let first = logs.first().filter(|_| events >= row.among && !is_there)?;
    let codes = row.codes.join(" or ");
    let why = format!("none of {events} events is {codes}: {}", row.why);
    Some(match row.severity {
        Some(severity) => {
            let mut finding = bare("log-event-absent", severity, first.path.as_bytes(), why, clause);
            (finding.rule, finding.attack) = (Some(row.id.clone()), row.attack.clone());
            Absent::Finding(Box::new(finding))
        }
        None => Absent::Gap(Gap {
            code: "log-event-absent".into(),
            path: Some(first.path.clone()),
            place: Some(row.id.clone()),
            why,
            required: false,
        }),
    })
}

/// Hours without any event that are far longer than all others.
fn silence(row: &Silence, logs: &[&Seen], clause: Option<&str>) -> Option<Finding> {
    let hours: BTreeSet<i64> = logs.iter().flat_map(|one| one.hours.iter().copied()).collect();
    let mut longest: Option<(i64, i64)> = None;
    let mut second = 0;
    for (before, after) in hours.iter().zip(hours.iter().skip(1)) {
        let silent = after - before - 1;
        if silent > longest.map_or(0, |(silent, _)| silent) {
            second = longest.map_or(0, |(silent, _)| silent);
            longest = Some((silent, *before));
        } else {
            second = second.max(silent);
        }
    }
    let (silent, before) = longest?;
    if silent < i64::from(row.hours) || silent < i64::from(row.times).saturating_mul(second) {
        return None;
    }
    let path = &logs.first()?.path;
    let why = format!("{}: nothing for {silent} hours, and never else for more than {second}", row.why);
    let mut finding = bare("log-silent", row.severity, path.as_bytes(), why, clause);
    (finding.rule, finding.attack) = (Some(row.id.clone()), row.attack.clone());
    finding.times.extend(Timestamp::from_second((before + 1) * 3600).ok().map(|at| ("event".to_owned(), at)));
    Some(finding)
}

/// A number that is lower than it was, with nothing in between after which it may be.
fn fell(n: usize, row: &Count, seen: &[Seen], clause: Option<&str>) -> Vec<Finding> {
    let all = seen.iter().flat_map(|one| one.counts.iter().filter(|count| count.0 == n).map(move |count| (one, count)));
    let mut told: Vec<_> = all.filter_map(|(one, (_, at, number))| Some(((*at)?, *number, one))).collect();
    told.sort_by_key(|(at, _, _)| *at);
    let mut highest: Option<u64> = None;
    let mut findings = Vec::new();
    for (at, number, one) in told {
        let Some(number) = number else {
            highest = None;
            continue;
        };
        if let Some(before) = highest.filter(|before| number < *before) {
            let why = format!("{}: it fell from {before} to {number}", row.why);
            let mut finding = bare("log-count-fell", row.severity, one.path.as_bytes(), why, clause);
            (finding.rule, finding.attack) = (Some(row.id.clone()), row.attack.clone());
            finding.times.insert("event".to_owned(), at);
            findings.push(finding);
        }
        highest = Some(number);
    }
    findings
}
