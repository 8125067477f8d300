//! Reader: how do bytes become events?
//!
//! Takes chunks of any size and hands out events; memory is bounded by one line, whatever comes in. A caller
//! that looks for few things says which lines it wants ([`Sink::next`]), and the others are only counted.
//! Never opens a file: bytes come in.
//! Speed: not measured yet.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use memchr::{memchr, memchr_iter, memrchr};

use crate::clock::Zone;
use crate::event::Event;
use crate::format::Format;
use crate::journal::Export;
use crate::lines::{self, Lines, Told};
use crate::meaning::{Context, Meaning};
use crate::report::Report;
use crate::vc0::Chain;

/// What the reader is told beside the bytes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The format, if it is known; else it is told from the first lines.
    pub format: Option<Format>,
    /// The zone of times that name none; absent: UTC.
    pub zone: Option<TimeZone>,
    /// No line is later: when the file was written last, or collected. Tells the year where the log names none.
    pub latest: Timestamp,
    /// What lines and codes mean.
    pub meaning: Arc<Meaning>,
    /// Bounds.
    pub limits: Limits,
}

impl Settings {
    /// Settings for a log of which nothing is known but that it was written before `latest`.
    pub fn new(latest: Timestamp) -> Self {
        Self { format: None, zone: None, latest, meaning: Meaning::built_in(), limits: Limits::default() }
    }
}

/// Bounds of a reader.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a line that are read; the rest of it is passed over. A log without line ends takes all memory.
    pub line: usize,
    /// How far a time may lie before the one above it: several processes write at once, and not in order.
    pub slack: SignedDuration,
    /// Bytes that an unpacked log may have.
    pub unpacked: u64,
    /// How many times larger than its packed bytes a log may become; counted from the first 64 MiB on. A bomb of
    /// 1 MB unpacks to 1 GB.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line: 1 << 20, slack: SignedDuration::from_secs(60), unpacked: 64 << 30, ratio: 500 }
    }
}

/// Who takes the events. A closure over events is one that wants every line.
pub trait Sink {
    /// Where the next wanted line lies: any byte of it, counted from the start of `block`, which begins at the
    /// start of a line and holds whole lines. `None`: no line of the block is wanted.
    ///
    /// Asked only where every value of an event stands in its line as it is.
    fn next(&mut self, block: &[u8]) -> Option<usize> {
        (!block.is_empty()).then_some(0)
    }

    /// Told once which kind of log it is, before the first event.
    fn format(&mut self, _format: Format) {}

    /// Takes one event.
    fn event(&mut self, event: Event);
}

impl<F: FnMut(Event)> Sink for F {
    fn event(&mut self, event: Event) {
        self(event);
    }
}

/// Reads one log, chunk by chunk.
pub struct Reader {
    context: Arc<Context>,
    limits: Limits,
    hint: Option<Format>,
    body: Body,
    /// The beginning of a line, or of a file whose format is not known yet.
    held: Vec<u8>,
    /// Whether the rest of a line that is too long is passed over.
    is_passing: bool,
    report: Report,
}

enum Body {
    /// Not enough seen to tell the format.
    Unknown,
    /// Nothing that can be read.
    Nothing,
    Lines(Box<dyn Lines>),
    Chain(Box<Chain>),
    Journal(Box<Export>),
}

/// Bytes that are looked at to tell a format. A vc0 log shows its first record behind 8 KiB.
const HEAD: usize = 64 << 10;

impl Reader {
    /// A reader at the start of a log.
    pub fn new(settings: Settings) -> Self {
        let zone = Zone::new(settings.zone, settings.latest);
        Self {
            context: Arc::new(Context { zone, meaning: settings.meaning }),
            limits: settings.limits,
            hint: settings.format,
            body: Body::Unknown,
            held: Vec::new(),
            is_passing: false,
            report: Report::default(),
        }
    }

    /// The format, as soon as it is known.
    pub fn format(&self) -> Option<Format> {
        self.report.format
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        self.report.bytes += bytes.len() as u64;
        if !matches!(self.body, Body::Unknown) {
            return self.feed(bytes, sink);
        }
        if self.hint.is_none() && self.held.len() + bytes.len() < HEAD {
            self.held.extend_from_slice(bytes);
            return;
        }
        let mut head = std::mem::take(&mut self.held);
        head.extend_from_slice(bytes);
        self.begin(&head, sink);
        self.feed(&head, sink);
    }

    /// Ends the log and says what was seen.
    pub fn finish(mut self, sink: &mut dyn Sink) -> Report {
        if matches!(self.body, Body::Unknown) {
            let head = std::mem::take(&mut self.held);
            if !head.is_empty() {
                self.begin(&head, sink);
                self.feed(&head, sink);
            }
        }
        let slack = self.limits.slack;
        match &mut self.body {
            Body::Unknown | Body::Nothing => {}
            Body::Lines(_) => self.end_lines(sink),
            Body::Chain(chain) => chain.finish(&mut self.report, slack, sink),
            Body::Journal(export) => export.finish(&mut self.report, slack, sink),
        }
        self.report.conclude();
        self.report
    }

    /// Adds a gap that was met on the way to the bytes.
    pub(crate) fn gap(&mut self, code: &str, why: String) {
        self.report.gap(code, why, true);
    }

    fn begin(&mut self, head: &[u8], sink: &mut dyn Sink) {
        let format = self.hint.or_else(|| Format::detect(&head[..head.len().min(HEAD)]));
        self.report.format = format;
        format.into_iter().for_each(|format| sink.format(format));
        self.body = match format {
            None => Body::Nothing,
            Some(Format::Vc0) => Body::Chain(Box::new(Chain::new(Arc::clone(&self.context)))),
            Some(Format::Journal) => Body::Journal(Box::new(Export::new(Arc::clone(&self.context), self.limits.line))),
            Some(format) => lines::parser(format, &self.context).map_or(Body::Nothing, Body::Lines),
        };
    }

    fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) {
        let slack = self.limits.slack;
        match &mut self.body {
            Body::Unknown | Body::Nothing => {}
            Body::Lines(_) => self.lines(bytes, sink),
            Body::Chain(chain) => chain.push(bytes, &mut self.report, slack, sink),
            Body::Journal(export) => export.push(bytes, &mut self.report, slack, sink),
        }
    }

    /// Cuts chunks into whole lines; only the line at the border of two chunks is copied.
    fn lines(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) {
        if self.is_passing || !self.held.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else {
                return self.hold(bytes);
            };
            let (rest, after) = bytes.split_at(end + 1);
            bytes = after;
            if std::mem::take(&mut self.is_passing) {
                let line = std::mem::take(&mut self.held);
                self.block(&line, sink);
            } else {
                let mut line = std::mem::take(&mut self.held);
                line.extend_from_slice(rest);
                self.block(&line, sink);
                line.clear();
                self.held = line;
            }
        }
        let whole = memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        self.block(&bytes[..whole], sink);
        self.hold(&bytes[whole..]);
    }

    /// Keeps the beginning of a line, up to the limit.
    fn hold(&mut self, bytes: &[u8]) {
        if self.is_passing {
            return;
        }
        let room = (self.limits.line + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.is_passing = self.held.len() > self.limits.line;
    }

    /// Reads the wanted lines of a block, in their order, and counts the others.
    fn block(&mut self, mut block: &[u8], sink: &mut dyn Sink) {
        while !block.is_empty() {
            let (unwanted, rest) = block.split_at(self.unwanted(block, sink));
            self.pass(unwanted, sink);
            let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            if end > 0 {
                self.line(&rest[..end], true, sink);
            }
            block = &rest[end..];
        }
    }

    /// How many bytes hold only lines that nobody wants.
    fn unwanted(&self, block: &[u8], sink: &mut dyn Sink) -> usize {
        match &self.body {
            Body::Lines(parser) if parser.is_literal() => {}
            _ => return 0,
        }
        let wanted = sink.next(block).filter(|at| *at < block.len());
        wanted.map_or(block.len(), |at| memrchr(b'\n', &block[..at]).map_or(0, |end| end + 1))
    }

    /// Counts lines that nobody wants. The first and the last of them are read for their times, which a report
    /// tells whatever is wanted.
    fn pass(&mut self, lines: &[u8], sink: &mut dyn Sink) {
        let Some(inner) = lines.len().checked_sub(1) else { return };
        let count = memchr_iter(b'\n', &lines[..inner]).count() as u64 + 1;
        let last_number = self.report.lines + count;
        let first = memchr(b'\n', lines).map_or(lines.len(), |end| end + 1);
        let last = memrchr(b'\n', &lines[..inner]).map_or(0, |end| end + 1);
        self.line(&lines[..first], false, sink);
        if last > 0 {
            self.report.lines = last_number - 1;
            self.line(&lines[last..], false, sink);
        }
        self.report.passed += count;
    }

    fn line(&mut self, line: &[u8], is_wanted: bool, sink: &mut dyn Sink) {
        let Body::Lines(parser) = &mut self.body else { return };
        self.report.lines += 1;
        let mut line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.limits.line {
            line = &line[..self.limits.line];
            self.report.too_long += u64::from(is_wanted);
        }
        let (number, slack) = (self.report.lines, self.limits.slack);
        let report = &mut self.report;
        let told = parser.line(line, number, &mut |event| {
            if is_wanted {
                report.saw(&event, slack);
                sink.event(event);
            } else {
                report.timed(&event, slack);
            }
        });
        if told == Told::Strange && is_wanted && !line.trim_ascii().is_empty() {
            self.report.strange += 1;
        }
    }

    fn end_lines(&mut self, sink: &mut dyn Sink) {
        let rest = std::mem::take(&mut self.held);
        self.block(&rest, sink);
        let (report, slack) = (&mut self.report, self.limits.slack);
        if let Body::Lines(parser) = &mut self.body {
            parser.finish(&mut |event| {
                report.saw(&event, slack);
                sink.event(event);
            });
        }
    }
}
