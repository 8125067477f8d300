//! Words: how does a value of a record read in a sentence?
//!
//! The same words in every form of the report.

use directive::record::{
    Conclusion, Coverage, InstalledGeneration, InstanceState, LogReach, Outcome, Owner, Severity, Status, WaitsFor,
};
use directive::text::escape;
use directive::verdict::Verdict;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A version status.
pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::Affected => "affected",
        Status::Fixed => "fixed",
        Status::Unknown => "unknown",
    }
}

/// A verdict, for people.
pub(crate) fn verdict(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Compromised) => "compromised",
        Some(Verdict::Mismatch) => "mismatch",
        Some(Verdict::Inconclusive) => "inconclusive",
        Some(Verdict::NoEvidenceFound) => "no evidence found",
        None => "not checked",
    }
}

/// A verdict, as a class of a page.
pub(crate) fn verdict_class(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("not-checked", Verdict::as_str)
}

/// A step's outcome.
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Skipped => "skipped",
    }
}

/// A severity.
pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// Whom a duty waits for.
pub(crate) fn waits_for(waits_for: WaitsFor) -> &'static str {
    match waits_for {
        WaitsFor::Nobody => "Portcullis",
        WaitsFor::Person => "a person",
        WaitsFor::Vendor => "the vendor",
    }
}

/// How an instance was reached.
pub(crate) fn state(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Declared => "declared, not asked",
        InstanceState::Identified => "identified",
        InstanceState::AnsweredUnknown => "answered, not as this product",
        InstanceState::Refused => "refused the connection",
        InstanceState::Filtered => "filtered on the way",
        InstanceState::Silent => "silent",
        InstanceState::Imported => "known by import only",
        InstanceState::EvidenceOnly => "known from evidence only",
        InstanceState::ThirdParty => "at a third party, not asked",
    }
}

/// Who answers for an instance.
pub(crate) fn owner(owner: &Owner) -> String {
    match owner {
        Owner::Agency => "own".to_owned(),
        Owner::ThirdParty { commercial, name } => {
            let kind = if *commercial { "commercial provider" } else { "government provider" };
            if name.is_empty() { kind.to_owned() } else { format!("{name} ({kind})") }
        }
    }
}

/// What a check saw, in one sentence.
pub(crate) fn coverage(coverage: &Coverage) -> String {
    let mut parts = vec![format!("{} files read ({})", thousands(coverage.files), size(coverage.bytes))];
    if coverage.vouched > 0 {
        parts.push(format!("{} vouched for by a manifest from outside", thousands(coverage.vouched)));
    }
    if coverage.consistent > 0 {
        parts.push(format!("{} consistent with the instance's own records", thousands(coverage.consistent)));
    }
    if coverage.unlisted > 0 {
        parts.push(format!(
            "{} in no manifest, of which {} are programs or scripts",
            thousands(coverage.unlisted),
            thousands(coverage.unlisted_programs.max(coverage.unlisted_executables))
        ));
    }
    if coverage.explained > 0 {
        parts.push(format!("{} of them such as the distribution makes itself", thousands(coverage.explained)));
    }
    parts.push(format!("{} not seen", thousands(coverage.unseen)));
    parts.join("; ")
}

/// The installations on an instance's disk, one sentence each, if there is more than the one that runs.
pub(crate) fn installations(coverage: &Coverage) -> Vec<String> {
    let several = coverage.generations.len() > 1;
    let one = |one: &InstalledGeneration| {
        let version = escape(one.version.as_deref().unwrap_or("unknown"));
        let against = match one.manifests.is_empty() {
            true => "held against no manifest".to_owned(),
            false => format!("{} files vouched for", thousands(one.vouched)),
        };
        format!("{} ({}): version {version}, {against}", escape(&one.name), one.folder.escaped())
    };
    coverage.generations.iter().filter(|_| several).map(one).collect()
}

/// How far back each file of a log speaks, one sentence each.
pub(crate) fn reach(coverage: &Coverage) -> Vec<String> {
    let one = |one: &LogReach| {
        let when = match (one.first, one.last) {
            (Some(first), Some(last)) => format!("from {first:.0} to {last:.0}"),
            _ => "without any time".to_owned(),
        };
        let strange =
            if one.strange > 0 { format!(", {} not understood", thousands(one.strange)) } else { String::new() };
        let (lines, clock) = (thousands(one.lines), clock(&one.clock));
        format!("{} ({}): {when}; {lines} lines{strange}; {clock}", one.path.escaped(), escape(&one.log))
    };
    coverage.logs.iter().map(one).collect()
}

/// How far a time can be trusted.
pub(crate) fn clock(clock: &str) -> String {
    match clock {
        "zoned" => "the log names its zone".to_owned(),
        "zone-assumed" => "the log names no zone; UTC or the pack's was taken".to_owned(),
        "year-assumed" => "the log names no year; it was taken from its neighbours".to_owned(),
        "none" => "no time".to_owned(),
        "mtime" => "mtime, which anybody can set".to_owned(),
        "ctime" => "ctime, kept by the kernel".to_owned(),
        "birth" => "birth, kept by the kernel".to_owned(),
        other => escape(other),
    }
}

/// Since when something is wrong, for how long, and what shows it.
pub(crate) fn since(conclusion: Option<&Conclusion>, checked_at: Option<Timestamp>, zone: &TimeZone) -> Option<String> {
    let conclusion = conclusion?;
    let first = conclusion.first_sign?;
    let by = conclusion.first_sign_by.as_deref().map(|by| format!(" ({})", escape(by))).unwrap_or_default();
    let dwell = checked_at.map(|at| format!("; {} until the check", dwell(first, at))).unwrap_or_default();
    Some(format!("First sign: {}{dwell}{by}.", moment(first, zone)))
}

/// How long it lasted, in whole hours: `14 d 3 h`; `0 h` if `to` lies before `from`.
pub fn dwell(from: Timestamp, to: Timestamp) -> String {
    let hours = (to.as_second() - from.as_second()).max(0) / 3600;
    if hours < 24 { format!("{hours} h") } else { format!("{} d {} h", hours / 24, hours % 24) }
}

/// A day: `8 Apr 2021`.
pub(crate) fn day(at: Timestamp) -> String {
    at.strftime("%-d %b %Y").to_string()
}

/// A number with commas: `114,798`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes: `3.1 GB`, in powers of ten.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    let power = (bytes.max(1).ilog10() / 3).min(6);
    if power == 0 {
        return format!("{bytes} bytes");
    }
    let scale = 10_u64.pow(power * 3);
    format!("{}.{} {}", bytes / scale, bytes % scale * 10 / scale, units[power as usize])
}

/// A moment in the directive's zone, with UTC beside it: `Fri 23 Apr 2021 17:00 EDT (21:00 UTC)`.
pub(crate) fn moment(at: Timestamp, zone: &TimeZone) -> String {
    clocks(at, zone, "%H:%M")
}

/// The same to the second, where a second decides what is late: `Fri 23 Apr 2021 17:00:01 EDT (21:00:01 UTC)`.
pub(crate) fn second(at: Timestamp, zone: &TimeZone) -> String {
    clocks(at, zone, "%H:%M:%S")
}

fn clocks(at: Timestamp, zone: &TimeZone, time: &str) -> String {
    let here = at.to_zoned_datetime(zone.clone());
    let there = at.to_zoned_datetime(TimeZone::UTC);
    let shown = here.strftime(&format!("%a %-d %b %Y {time} %Z")).to_string();
    if here.offset().is_zero() {
        return shown;
    }
    let day = if here.date() == there.date() { "" } else { "%-d %b " };
    format!("{shown} ({})", there.strftime(&format!("{day}{time} UTC")))
}

/// How far away a moment is: `in 2 d 5 h`, `3 h 20 min ago`, `now`.
pub(crate) fn distance(at: Timestamp, now: Timestamp) -> String {
    let minutes = (at.as_second() - now.as_second()) / 60;
    let (days, hours, rest) = (minutes.abs() / 1440, minutes.abs() % 1440 / 60, minutes.abs() % 60);
    let span = match (days, hours, rest) {
        (0, 0, 0) => return "now".to_owned(),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    };
    if minutes > 0 { format!("in {span}") } else { format!("{span} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_read_easily() {
        assert_eq!(
            [size(0), size(999), size(1_500), size(3_050_000_000)],
            ["0 bytes", "999 bytes", "1.5 kB", "3.0 GB"]
        );
        assert_eq!([thousands(0), thousands(999), thousands(114_798)], ["0", "999", "114,798"]);
    }

    #[test]
    fn a_deadline_is_shown_in_the_directives_zone_and_in_utc() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(moment(at("2021-04-23T21:00:00Z"), &zone), "Fri 23 Apr 2021 17:00 EDT (21:00 UTC)");
        assert_eq!(moment(at("2021-04-24T01:00:00Z"), &zone), "Fri 23 Apr 2021 21:00 EDT (24 Apr 01:00 UTC)");
        assert_eq!(moment(at("2021-04-23T21:00:00Z"), &TimeZone::UTC), "Fri 23 Apr 2021 21:00 UTC");
        assert_eq!(second(at("2021-04-23T21:00:01Z"), &zone), "Fri 23 Apr 2021 17:00:01 EDT (21:00:01 UTC)");
    }

    #[test]
    fn distances_say_which_way() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2021-04-21T12:00:00Z");
        assert_eq!(distance(at("2021-04-23T17:00:00Z"), now), "in 2 d 5 h");
        assert_eq!(distance(at("2021-04-21T08:40:00Z"), now), "3 h 20 min ago");
        assert_eq!(distance(now, now), "now");
    }
}
