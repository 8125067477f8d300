//! Timeline: in which order did it happen, and since when is something wrong?
//!
//! Serves ED 21-03 Appendix A (e) and the question that every report is asked: since when? Times of files, events of
//! logs and findings in one order, each with its source and how far its clock can be trusted.
//! A time that a copy of the evidence made is never taken for one of the instance.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use directive::record::{Finding, LogReach, Moment, Severity};
use directive::text::{Text, escape};
use jiff::Timestamp;

/// Moments of one check, the weightiest first and then the latest before them.
const MOMENTS: usize = 10_000;

/// Times by the name under which a finding carries them, the most trustworthy first.
const CLOCKS: [&str; 4] = ["event", "birth", "ctime", "mtime"];

/// The first sign of a compromise.
pub(crate) struct Sign {
    pub(crate) at: Timestamp,
    /// What shows it, in one sentence.
    pub(crate) why: String,
}

/// The earliest time among findings that weigh.
///
/// Of a file the time at which the kernel last saw it change; where the evidence is a copy, its `mtime`, unless a file
/// that is as shipped bears the very same second: then somebody copied the time along.
pub(crate) fn first_sign(findings: &[Finding], has_own_ctime: bool, shipped: &HashSet<i64>) -> Option<Sign> {
    let weighty = findings.iter().filter(|finding| finding.severity >= Severity::Medium);
    let signs = weighty.filter_map(|finding| {
        let (clock, at) = sign_of(finding, has_own_ctime, shipped)?;
        Some((at, clock, finding))
    });
    let (at, clock, finding) = signs.min_by(|a, b| (a.0, &a.2.path).cmp(&(b.0, &b.2.path)))?;
    let place = finding.path.as_ref().map(|path| format!(" {}", path.escaped())).unwrap_or_default();
    let clock = match clock {
        "event" => "by the time of the log",
        "ctime" => "by the time at which the kernel last saw it change",
        "birth" => "by the time at which it was made",
        _ => "by its `mtime`, which anybody can set",
    };
    Some(Sign { at, why: format!("{}{place}, {clock}", finding.code) })
}

fn sign_of(finding: &Finding, has_own_ctime: bool, shipped: &HashSet<i64>) -> Option<(&'static str, Timestamp)> {
    let time = |name: &'static str| finding.times.get(name).map(|at| (name, *at));
    if let Some(event) = time("event") {
        return Some(event);
    }
    // What an owner, a mode or a version should be says nothing about when.
    let tells = ["file-modified", "file-added", "yara-match", "indicator-match", "file-misplaced", "telltale-file"];
    if !tells.contains(&finding.code.as_str()) {
        return None;
    }
    if has_own_ctime {
        return time("ctime");
    }
    time("mtime").filter(|(_, at)| !shipped.contains(&at.as_second()))
}

/// Everything in one order, bounded: what findings say stays, then what is nearest before and behind them.
///
/// `logs` tells how far the clock of each log can be trusted.
pub(crate) fn assemble(moments: Vec<Moment>, findings: &[Finding], logs: &[LogReach]) -> (Vec<Moment>, u64) {
    let clocks: HashMap<&Text, &str> = logs.iter().map(|log| (&log.path, log.clock.as_str())).collect();
    let clock_of = |finding: &Finding| finding.path.as_ref().and_then(|path| clocks.get(path).copied());
    let of_findings = findings.iter().flat_map(|finding| moments_of(finding, clock_of(finding).unwrap_or("none")));
    let mut kept = BTreeSet::new();
    let mut beyond = 0;
    for moment in moments.into_iter().chain(of_findings) {
        kept.insert((Reverse(moment.severity), Reverse(moment.time), moment));
        // Never more than are kept: there are findings by the hundred thousand.
        if kept.len() > MOMENTS {
            kept.pop_last();
            beyond += 1;
        }
    }
    let mut kept: Vec<Moment> = kept.into_iter().map(|(_, _, moment)| moment).collect();
    kept.sort();
    (kept, beyond)
}

/// A finding at each of its times: its `mtime` may say one thing and its `ctime` another.
/// `log_clock` is how far the clock of its log can be trusted.
fn moments_of(finding: &Finding, log_clock: &str) -> Vec<Moment> {
    let mut times: BTreeMap<Timestamp, &str> = BTreeMap::new();
    // Many findings are about what every host has: they tell nothing about when.
    if finding.severity < Severity::Low {
        return Vec::new();
    }
    for name in CLOCKS {
        if let Some(at) = finding.times.get(name) {
            times.entry(*at).or_insert(name);
        }
    }
    let moment = |(time, clock): (Timestamp, &str)| Moment {
        time,
        what: finding.code.clone(),
        why: escape(&finding.why),
        path: finding.path.clone(),
        line: finding.place.as_ref().and_then(|place| place.strip_prefix("line ")?.parse().ok()),
        clock: if clock == "event" { log_clock.to_owned() } else { clock.to_owned() },
        account: None,
        address: None,
        code: None,
        severity: Some(finding.severity),
    };
    times.into_iter().map(moment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::bare;

    fn log(path: &str, clock: &str) -> LogReach {
        let (path, clock) = (Text::from(path), clock.to_owned());
        LogReach { log: "auth".into(), path, first: None, last: None, lines: 1, strange: 0, clock }
    }

    #[test]
    fn a_finding_in_a_log_has_the_clock_of_that_log() {
        let at = Timestamp::from_second(1_618_920_000).unwrap();
        let finding = |path: &str| {
            let mut finding = bare("sigma-match", Severity::High, path.as_bytes(), "seen".into(), None);
            finding.times.insert("event", at);
            finding
        };
        let findings = [finding("/var/log/a"), finding("/var/log/b"), finding("/var/log/c")];
        let logs = [log("/var/log/a", "year-assumed"), log("/var/log/b", "zoned")];
        let (moments, beyond) = assemble(Vec::new(), &findings, &logs);
        let clocks: Vec<&str> = moments.iter().map(|moment| moment.clock.as_str()).collect();
        assert_eq!((clocks, beyond), (vec!["year-assumed", "zoned", "none"], 0));
    }
}
