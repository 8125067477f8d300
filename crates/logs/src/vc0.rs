//! Vc0: what do the binary logs of a Pulse or Ivanti appliance say, and is their chain whole?
//!
//! 8 KiB of header, then records: a length of two bytes, little-endian, and text separated by tabs. That the two
//! bytes are the length is **inferred** (docs/logs.md): whether it holds is found out in each file. Where it
//! does not, records are told apart by their beginnings, and no break is reported. Where it holds for most
//! records, a place where it does not is a [`ChainBreak`]: bytes were taken out, as the log wipers of 2021 and
//! 2025 do with `sed`. Reading goes on behind it.
//! Source: write-ups of the intrusions of 2021 and 2025 (docs/logs.md).

use std::net::IpAddr;
use std::sync::Arc;

use directive::text::Text;
use jiff::SignedDuration;
use jiff::Timestamp;

use crate::codes;
use crate::event::{Clock, Event, Source};
use crate::meaning::Context;
use crate::reader::Sink;
use crate::report::{ChainBreak, Report};

const HEADER: usize = 8192;
const MAGIC: [u8; 8] = [5, 0, 0, 0, 1, 0, 0, 0];

/// Bytes that are looked at to find out whether lengths hold.
const PROBE: usize = 256 << 10;

/// A record has at most 65,535 bytes and its length; what is longer is none.
const LONGEST: usize = 128 << 10;

/// The shortest beginning of a record: `67e39911.0` and a tab.
const SHORTEST: usize = 11;

/// Bytes that a beginning may take: eight digits, a point, eight digits, a tab.
const BEGINNING: usize = 18;

const SOURCE: Source =
    Source { product: Some("pulse-connect-secure"), category: None, services: &["pulse-connect-secure"] };

/// Reads a vc0 log, chunk by chunk.
pub(crate) struct Chain {
    context: Arc<Context>,
    held: Vec<u8>,
    /// Where `held` begins in the file.
    offset: u64,
    mode: Mode,
    latest: Option<Timestamp>,
    pending: Option<ChainBreak>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Header,
    Undecided,
    /// Lengths hold; they count this many bytes less than the record takes.
    Chained(usize),
    /// They do not.
    Text,
}

/// Whether a file is such a log.
pub(crate) fn is(head: &[u8]) -> bool {
    let (magic, rest) = head.split_at(head.len().min(8));
    (magic == MAGIC && rest.iter().take(HEADER - 8).all(|byte| *byte == 0))
        || (head.len() > HEADER && !head[..HEADER].contains(&b'\n') && find(&head[HEADER..], 0) == Some(2))
}

impl Chain {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, held: Vec::new(), offset: 0, mode: Mode::Header, latest: None, pending: None }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], report: &mut Report, slack: SignedDuration, sink: &mut dyn Sink) {
        self.held.extend_from_slice(bytes);
        self.run(false, &mut Out { report, slack, sink });
    }

    pub(crate) fn finish(&mut self, report: &mut Report, slack: SignedDuration, sink: &mut dyn Sink) {
        self.run(true, &mut Out { report, slack, sink });
        if self.mode == Mode::Header {
            report.gap("log-truncated", "the file ends inside of its header", true);
        }
        if let Some(pending) = self.pending.take() {
            report.broken(pending);
        }
    }

    fn run(&mut self, is_last: bool, out: &mut Out<'_>) {
        let held = std::mem::take(&mut self.held);
        let mut used = 0;
        while let Some(more) = self.step(&held[used..], is_last, out) {
            used += more;
            self.offset += more as u64;
        }
        self.held = held;
        self.held.drain(..used);
    }

    /// Reads one thing; `None` if there is not enough of it yet, or nothing more.
    fn step(&mut self, rest: &[u8], is_last: bool, out: &mut Out<'_>) -> Option<usize> {
        match self.mode {
            Mode::Header if rest.len() >= HEADER => {
                self.mode = Mode::Undecided;
                Some(HEADER)
            }
            Mode::Header => None,
            Mode::Undecided if rest.len() >= PROBE || is_last => {
                self.mode = probe(&rest[..rest.len().min(PROBE)], is_last && rest.len() <= PROBE);
                if self.mode == Mode::Text && !rest.is_empty() {
                    let why = "the lengths between records do not hold in this file, so that records which were \
                               taken out cannot be seen";
                    out.report.gap("log-chain-unproven", why, false);
                }
                Some(0)
            }
            Mode::Undecided => None,
            _ if rest.is_empty() => None,
            Mode::Chained(less) => self.chained(rest, less, is_last, out),
            Mode::Text => self.naked(rest, None, is_last, out),
        }
    }

    /// Reads a record whose length is to be believed.
    fn chained(&mut self, rest: &[u8], less: usize, is_last: bool, out: &mut Out<'_>) -> Option<usize> {
        let enough = |end: usize| is_last || rest.len() >= end + 2 + BEGINNING;
        if !enough(2) {
            return None;
        }
        let is_record = begins(rest.get(2..).unwrap_or_default());
        if let Some(end) = length(rest, less).filter(|_| is_record) {
            if !enough(end) {
                return None;
            }
            let behind = rest.get(end..).unwrap_or_default();
            // The next record, or one whose length was taken away with the record that stood between.
            let leads = end < rest.len() && (begins(behind.get(2..).unwrap_or_default()) || begins(behind));
            if (end == rest.len() || leads) && !swallows(rest, end, less) {
                self.record(&rest[2..end], out);
                return Some(end);
            }
            if end > rest.len() && find(rest, 3).is_none() {
                out.report.gap("log-truncated", "the file ends in the middle of a record", true);
                self.record(&rest[2..], out);
                return Some(rest.len());
            }
        }
        self.broken(out);
        self.naked(rest, Some(less), is_last, out)
    }

    /// Remembers a break, until the time of the record behind it is known.
    fn broken(&mut self, out: &mut Out<'_>) {
        if self.pending.is_none() {
            let (offset, number, before) = (self.offset, out.report.lines, self.latest);
            self.pending = Some(ChainBreak { offset, number, before, after: None, lost: 0 });
        }
    }

    /// Reads a record without a length: from its beginning to the next one.
    fn naked(&mut self, rest: &[u8], less: Option<usize>, is_last: bool, out: &mut Out<'_>) -> Option<usize> {
        let Some(start) = find(rest, 0) else {
            if !is_last && rest.len() < LONGEST {
                return None;
            }
            let kept = if is_last { 0 } else { BEGINNING + 2 };
            return Some(self.lose(rest.len() - kept));
        };
        // Where it has a length that leads somewhere, the chain goes on from there.
        if let Some(less) = less.filter(|_| start >= 2 && self.pending.is_some()) {
            let from = &rest[start - 2..];
            let end = length(from, less).filter(|end| *end < from.len());
            if end.is_some_and(|end| follows(&from[end..], less)) && start > 2 {
                return Some(self.lose(start - 2));
            }
        }
        let next = find(rest, start + 1);
        if next.is_none() && !is_last && rest.len() < start + LONGEST {
            return None;
        }
        self.lose(start.saturating_sub(2));
        let end = next.unwrap_or_else(|| rest.len().min(start + LONGEST));
        // The length of the next record stands right before it, unless it was taken away as well.
        let end = match (next, less) {
            (Some(_), Some(less)) if follows(&rest[end.saturating_sub(2)..], less) => end - 2,
            _ => end,
        };
        let text = &rest[start..end];
        // Text holds no such bytes: what comes behind one is what is left of another record.
        let whole = text.iter().position(|byte| *byte < b'\t').unwrap_or(text.len());
        let cut = text[..whole].iter().rposition(|byte| *byte == b'\t').map_or(whole, |at| at + 1);
        self.lose(text.len() - cut);
        self.record(&text[..cut], out);
        Some(if less.is_some() { end } else { start + cut })
    }

    /// Counts bytes that belong to no record.
    fn lose(&mut self, bytes: usize) -> usize {
        if let Some(pending) = &mut self.pending {
            pending.lost += bytes as u64;
        }
        bytes
    }

    fn record(&mut self, text: &[u8], out: &mut Out<'_>) {
        out.report.lines += 1;
        let Some(event) = event(&String::from_utf8_lossy(text), out.report.lines, &self.context) else {
            out.report.strange += 1;
            return;
        };
        self.latest = event.at.or(self.latest);
        if let Some(mut pending) = self.pending.take() {
            pending.after = event.at;
            out.report.broken(pending);
        }
        out.report.saw(&event, out.slack);
        out.sink.event(event);
    }
}

/// Where events and counts go.
struct Out<'a> {
    report: &'a mut Report,
    slack: SignedDuration,
    sink: &'a mut dyn Sink,
}

/// Whether the two bytes before each record lead to the next, for most records, and how they count.
fn probe(bytes: &[u8], is_whole: bool) -> Mode {
    let mut starts = Vec::new();
    let mut from = 0;
    while let Some(start) = find(bytes, from) {
        starts.push(start);
        from = start + SHORTEST;
    }
    let holds = |less: usize| {
        let ends = starts.iter().filter_map(|start| {
            let end = start.checked_sub(2)? + length(bytes.get(start - 2..)?, less)?;
            // What lies behind the end of the probe says nothing.
            (end + 2 + BEGINNING <= bytes.len() || is_whole).then_some(end)
        });
        let (mut all, mut good) = (0, 0);
        for end in ends {
            all += 1;
            let behind = bytes.get(end..);
            good +=
                usize::from(behind.is_some_and(|rest| rest.is_empty() || begins(rest.get(2..).unwrap_or_default())));
        }
        (good, all)
    };
    let best = [2, 0].into_iter().map(|less| (holds(less), less)).max_by_key(|((good, _), _)| *good);
    match best {
        Some(((good, all), less)) if good > 0 && good * 2 > all => Mode::Chained(less),
        _ => Mode::Text,
    }
}

/// How many bytes the record takes, length included. A length that does not even cover a beginning is none.
fn length(rest: &[u8], less: usize) -> Option<usize> {
    let stated = u16::from_le_bytes(rest.get(..2)?.try_into().ok()?);
    Some(usize::from(stated) + less).filter(|length| *length >= 2 + SHORTEST)
}

/// Whether a record with a length begins here.
fn follows(rest: &[u8], less: usize) -> bool {
    length(rest, less).is_some() && begins(rest.get(2..).unwrap_or_default())
}

/// Whether what is said to be one record holds another: somebody raised a length over those behind it, to the beginning
/// of a later one. What only looks like a beginning is a field, and stands behind a tab.
fn swallows(rest: &[u8], end: usize, less: usize) -> bool {
    let text = &rest[..end.min(rest.len())];
    let mut from = 3;
    while let Some(start) = find(text, from) {
        let own = length(&text[start - 2..], less).map(|own| start - 2 + own);
        if text[start - 1] < b'\t' || own.is_some_and(|own| own <= end) {
            return true;
        }
        from = start + 1;
    }
    false
}

/// Whether the text of a record begins here: seconds and microseconds in hexadecimal, and a tab.
fn begins(text: &[u8]) -> bool {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() >= SHORTEST && text[..8].iter().all(is_hex) && text[8] == b'.' && {
        let digits = text[9..].iter().take(9).take_while(|byte| is_hex(byte)).count();
        (1..=8).contains(&digits) && text.get(9 + digits) == Some(&b'\t')
    }
}

/// The next beginning at or behind `from`.
fn find(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 8;
    while let Some(point) = memchr::memchr(b'.', bytes.get(at..)?).map(|point| at + point) {
        if begins(&bytes[point - 8..]) {
            return Some(point - 8);
        }
        at = point + 1;
    }
    None
}

/// Reads the text of a record: time, host, code, `vc0`, virtual system, and what the code speaks of.
fn event(text: &str, number: u64, context: &Context) -> Option<Event> {
    let mut parts = text.trim_end_matches('\t').split('\t');
    let (seconds, fraction) = parts.next()?.split_once('.')?;
    let (host, code) = (parts.next()?, parts.next()?);
    let (_, ivs) = (parts.next(), parts.next().unwrap_or_default());
    let parameters: Vec<&str> = parts.collect();
    let mut event = Event::at(number, SOURCE);
    let micros = i32::from_str_radix(fraction, 16).ok().filter(|micros| *micros < 1_000_000).unwrap_or(0);
    event.at = Timestamp::new(i64::from_str_radix(seconds, 16).ok()?, micros * 1000).ok();
    event.clock = if event.at.is_some() { Clock::Zoned } else { Clock::None };
    event.host = Some(host.to_owned());
    event.program = Some("PulseSecure".to_owned());
    event.code = Some(code.to_owned());
    let known = codes::find(code);
    let name = known.map_or(code, |known| known.name);
    event.message = Text::from(format!("{name}: {}", parameters.join(" ")).trim_end_matches([' ', ':']));
    event.tell("code", code);
    event.tell("category", known.map_or("", |known| known.category));
    event.tell("ivs", ivs);
    for (n, parameter) in parameters.iter().enumerate().take(64) {
        event.tell(&format!("p{}", n + 1), *parameter);
    }
    if let Some(known) = known {
        people(&parameters, known.places(), &mut event);
    }
    if event.address.is_none() {
        event.address = parameters.iter().find_map(|parameter| parameter.parse::<IpAddr>().ok());
    }
    context.meaning.code(&parameters.join(" "), &mut event);
    Some(event)
}

/// Who and from where. The parameters of a code follow each other as its words count them, but what stands
/// before the first of them differs: the last address of the record shows where they are.
fn people(parameters: &[&str], places: (Option<usize>, Option<usize>, Option<usize>), event: &mut Event) {
    let (user, realm, Some(address)) = places else { return };
    let at = parameters.iter().rposition(|parameter| parameter.parse::<IpAddr>().is_ok());
    let Some(first) = at.and_then(|at| at.checked_sub(address)) else { return };
    let value = |place: Option<usize>| parameters.get(first + place?).copied();
    event.address = parameters.get(first + address).and_then(|text| text.parse().ok());
    if let Some(user) = value(user) {
        event.by(user, value(realm));
    }
}
