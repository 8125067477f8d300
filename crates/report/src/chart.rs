//! Chart: how do logs, files and findings lie in time?
//!
//! One strip a log, and one for files; each shows from when to when it speaks and where something happened. Strips are
//! pictures without words (SVG), their labels are text of the page: it reads well on a phone and by a screen reader.

use std::collections::BTreeMap;

use directive::record::{Moment, Severity};
use jiff::{SignedDuration, Timestamp};

use crate::model::InstanceReport;
use crate::words;

/// Units across a strip.
const WIDTH: i64 = 1000;

/// A picture of an instance's time. Places in it are thousandths of its width.
pub struct Chart {
    /// The day on its left edge.
    pub from: String,
    /// The day on its right edge.
    pub to: String,
    /// One strip a log, then files.
    pub lanes: Vec<Lane>,
    /// Where the first sign is.
    pub sign: Option<i64>,
}

/// One strip.
pub struct Lane {
    /// What it shows.
    pub label: String,
    /// What a screen reader says.
    pub says: String,
    /// From where to where the log speaks: left edge and width.
    pub reach: Option<(i64, i64)>,
    /// What happened, the weightiest last.
    pub marks: Vec<Mark>,
}

/// Something that happened.
pub struct Mark {
    /// Where.
    pub x: i64,
    /// How it weighs: `bad`, `warn`, `low`, or `event` for what is no finding.
    pub class: &'static str,
}

struct Scale {
    from: Timestamp,
    span: f64,
}

impl Scale {
    fn x(&self, at: Timestamp) -> Option<i64> {
        let part = at.duration_since(self.from).as_secs_f64() / self.span;
        // A thousandth of the picture; what lies outside is not drawn.
        (0.0..=1.0).contains(&part).then(|| (part * WIDTH as f64).round() as i64)
    }

    fn clamped(&self, at: Timestamp) -> i64 {
        let part = at.duration_since(self.from).as_secs_f64() / self.span;
        (part.clamp(0.0, 1.0) * WIDTH as f64).round() as i64
    }
}

/// Draws what is known of an instance in time, if anything is.
pub(crate) fn draw(of: &InstanceReport) -> Option<Chart> {
    let logs = of.coverage.as_ref().map(|coverage| coverage.logs.as_slice()).unwrap_or_default();
    let sign = of.conclusion.as_ref().and_then(|conclusion| conclusion.first_sign);
    let first_log = logs.iter().filter_map(|log| log.first).min();
    let last = of.timeline.last().map(|moment| moment.time).into_iter().chain(logs.iter().filter_map(|log| log.last));
    let to = last.chain(of.checked_at).max()?;
    let from = match sign {
        Some(sign) => {
            let margin = to.duration_since(sign).as_secs() / 6;
            sign.checked_sub(SignedDuration::from_secs(margin.max(3600))).unwrap_or(sign)
        }
        None => first_log?,
    };
    let scale = Scale { from, span: to.duration_since(from).as_secs_f64().max(1.0) };
    let mut lanes = Vec::new();
    let mut by_log: BTreeMap<&str, Lane> = BTreeMap::new();
    for log in logs {
        let (Some(first), Some(last)) = (log.first, log.last) else { continue };
        let (left, right) = (scale.clamped(first), scale.clamped(last));
        let lane = by_log.entry(&log.log).or_insert_with(|| lane(format!("Log {}", log.log)));
        let (start, end) = lane.reach.map_or((left, right), |(x, width)| (x.min(left), (x + width).max(right)));
        lane.reach = Some((start, (end - start).max(2)));
        let of_log = of.timeline.iter().filter(|moment| moment.path.as_ref() == Some(&log.path));
        mark(lane, &scale, of_log);
    }
    lanes.extend(by_log.into_values());
    let is_log = |moment: &&Moment| logs.iter().any(|log| moment.path.as_ref() == Some(&log.path));
    let mut files = lane("Files".to_owned());
    mark(&mut files, &scale, of.timeline.iter().filter(|moment| !is_log(moment)));
    if !files.marks.is_empty() {
        lanes.push(files);
    }
    lanes.iter_mut().for_each(say);
    let sign = sign.map(|sign| scale.clamped(sign));
    (!lanes.is_empty()).then(|| Chart { from: words::day(from), to: words::day(to), lanes, sign })
}

fn lane(label: String) -> Lane {
    Lane { label, says: String::new(), reach: None, marks: Vec::new() }
}

/// Marks moments, those that weigh most on top; two at one place are one mark.
fn mark<'m>(lane: &mut Lane, scale: &Scale, moments: impl Iterator<Item = &'m Moment>) {
    let mut at: BTreeMap<i64, Option<Severity>> =
        std::mem::take(&mut lane.marks).into_iter().map(|mark| (mark.x, severity_of(mark.class))).collect();
    for moment in moments {
        if let Some(x) = scale.x(moment.time) {
            let severity = at.entry(x).or_default();
            *severity = (*severity).max(moment.severity);
        }
    }
    lane.marks = at.into_iter().map(|(x, severity)| Mark { x, class: class(severity) }).collect();
    lane.marks.sort_by_key(|mark| severity_of(mark.class));
}

fn class(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::High | Severity::Critical) => "bad",
        Some(Severity::Medium) => "warn",
        Some(Severity::Info | Severity::Low) => "low",
        None => "event",
    }
}

fn severity_of(class: &str) -> Option<Severity> {
    match class {
        "bad" => Some(Severity::High),
        "warn" => Some(Severity::Medium),
        "low" => Some(Severity::Low),
        _ => None,
    }
}

fn say(lane: &mut Lane) {
    let bad = lane.marks.iter().filter(|mark| matches!(mark.class, "bad" | "warn")).count();
    lane.says = format!("{}: {} places in time, {bad} of them findings that weigh", lane.label, lane.marks.len());
}
