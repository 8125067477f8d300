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
use logs::Action;

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

/// Everything in one order, bounded: what findings say stays, then what logs say, the latest first, then starts of
/// programs, the nearest to a finding that weighs first.
///
/// `logs` tells how far the clock of each log can be trusted.
pub(crate) fn assemble(moments: Vec<Moment>, findings: &[Finding], logs: &[LogReach]) -> (Vec<Moment>, u64) {
    let clocks: HashMap<&Text, &str> = logs.iter().map(|log| (&log.path, log.clock.as_str())).collect();
    let clock_of = |finding: &Finding| finding.path.as_ref().and_then(|path| clocks.get(path).copied());
    let of_findings = findings.iter().flat_map(|finding| moments_of(finding, clock_of(finding).unwrap_or("none")));
    let weighty = findings.iter().filter(|finding| finding.severity >= Severity::Medium);
    let times_of = |finding: &Finding| CLOCKS.map(|name| finding.times.get(name).copied());
    let near: BTreeSet<Timestamp> = weighty.flat_map(times_of).flatten().collect();
    let mut kept = BTreeSet::new();
    let mut beyond = 0;
    for moment in moments.into_iter().chain(of_findings) {
        kept.insert((rank(&moment, &near), moment));
        // Never more than are kept: there are findings by the hundred thousand.
        if kept.len() > MOMENTS {
            kept.pop_last();
            beyond += 1;
        }
    }
    let mut kept: Vec<Moment> = kept.into_iter().map(|(_, moment)| moment).collect();
    kept.sort();
    (kept, beyond)
}

/// What stays first where there is too much. `near` are the times of findings that weigh.
fn rank(moment: &Moment, near: &BTreeSet<Timestamp>) -> (Reverse<Option<Severity>>, bool, i64) {
    let is_start = moment.what == Action::Process.as_str();
    let place = if is_start { distance(moment.time, near) } else { -moment.time.as_second() };
    (Reverse(moment.severity), is_start, place)
}

/// Seconds to the nearest of some times.
fn distance(time: Timestamp, near: &BTreeSet<Timestamp>) -> i64 {
    let sides = [near.range(..=time).next_back(), near.range(time..).next()];
    sides.into_iter().flatten().map(|other| (other.as_second() - time.as_second()).abs()).min().unwrap_or(i64::MAX)
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

    #[test]
    fn of_too_many_starts_of_programs_the_nearest_to_a_finding_stay() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let moment = |second: i64, what: &str| Moment {
            time: at(second),
            what: what.into(),
            why: String::new(),
            path: None,
            line: None,
            clock: "zoned".into(),
            account: None,
            address: None,
            code: None,
            severity: None,
        };
        let mut finding = bare("sigma-match", Severity::High, b"/log", "seen".into(), None);
        finding.times.insert("event", at(500_000));
        let starts = (0..30_000).map(|n| moment(n * 100, "process"));
        let moments = starts.chain([moment(7, "login")]).collect();
        let (kept, beyond) = assemble(moments, &[finding], &[]);
        assert_eq!((kept.len(), beyond), (MOMENTS, 20_002));
        assert!(kept.iter().any(|one| one.what == "login") && kept.iter().any(|one| one.what == "sigma-match"));
        let nearest = |one: &&Moment| one.what == "process" && (one.time.as_second() - 500_000).abs() < 100_000;
        assert_eq!(kept.iter().filter(nearest).count(), 1_999);
    }
}
