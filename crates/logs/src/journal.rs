//! Journal: what does the systemd journal say in its export format?
//!
//! Fields as `NAME=value`, or as a name, a length of eight bytes and that many bytes; a blank line ends an entry.
//! Nothing is allocated by a length that the file claims.
//! Source: "Journal Export Formats" of systemd.

use std::sync::Arc;

use jiff::SignedDuration;
use memchr::memchr;

use crate::lines::journal_entry;
use crate::meaning::Context;
use crate::reader::Sink;
use crate::report::Report;

/// Reads the export format, chunk by chunk.
pub(crate) struct Export {
    context: Arc<Context>,
    limit: usize,
    held: Vec<u8>,
    fields: Vec<(String, Vec<u8>)>,
    kept: usize,
    /// Whether the rest of a line is passed over, because it is longer than the limit.
    is_long: bool,
    /// Bytes of a value that are passed over, because it is larger than the limit.
    passing: u64,
    /// The name of a binary value whose bytes are still coming, and how many.
    binary: Option<(String, u64)>,
}

impl Export {
    pub(crate) fn new(context: Arc<Context>, limit: usize) -> Self {
        Self { context, limit, held: Vec::new(), fields: Vec::new(), kept: 0, is_long: false, passing: 0, binary: None }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], report: &mut Report, slack: SignedDuration, sink: &mut dyn Sink) {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(more) = self.step(&held[used..], report, slack, sink) {
            used += more;
        }
        held.drain(..used);
        self.held = held;
    }

    pub(crate) fn finish(&mut self, report: &mut Report, slack: SignedDuration, sink: &mut dyn Sink) {
        if !self.held.is_empty() || self.binary.is_some() {
            report.gap("log-truncated", "the journal ends in the middle of an entry", true);
        }
        self.entry(report, slack, sink);
    }

    /// Reads one line or value; `None` if there is not enough of it yet.
    fn step(&mut self, rest: &[u8], report: &mut Report, slack: SignedDuration, sink: &mut dyn Sink) -> Option<usize> {
        if self.passing > 0 && !rest.is_empty() {
            let passed = rest.len().min(usize::try_from(self.passing).unwrap_or(usize::MAX));
            self.passing -= passed as u64;
            return Some(passed);
        }
        if let Some((name, length)) = self.binary.take() {
            return self.value(name, length, rest, report);
        }
        if rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', rest);
        // A line without an end must not take all memory; however it is cut into chunks, it is passed over whole.
        if self.is_long || end.unwrap_or(rest.len()) > self.limit {
            report.too_long += u64::from(!self.is_long);
            self.is_long = end.is_none();
            return Some(end.map_or(rest.len(), |end| end + 1));
        }
        let end = end?;
        let line = &rest[..end];
        match memchr(b'=', line) {
            _ if line.is_empty() => self.entry(report, slack, sink),
            Some(at) => self.keep(String::from_utf8_lossy(&line[..at]).into_owned(), &line[at + 1..], report),
            None => {
                let length = u64::from_le_bytes(rest.get(end + 1..end + 9)?.try_into().ok()?);
                self.binary = Some((String::from_utf8_lossy(line).into_owned(), length));
                return Some(end + 9);
            }
        }
        Some(end + 1)
    }

    /// Reads a binary value and the line end behind it.
    fn value(&mut self, name: String, length: u64, rest: &[u8], report: &mut Report) -> Option<usize> {
        if length > self.limit as u64 {
            report.too_long += 1;
            self.passing = length.saturating_add(1);
            return Some(0);
        }
        let length = usize::try_from(length).ok()?;
        if rest.len() <= length {
            self.binary = Some((name, length as u64));
            return None;
        }
        self.keep(name, &rest[..length], report);
        Some(length + 1)
    }

    /// Keeps a field, as long as the entry is not larger than the limit.
    fn keep(&mut self, name: String, value: &[u8], report: &mut Report) {
        self.kept += name.len() + value.len();
        if self.kept <= self.limit && self.fields.len() < 1024 {
            self.fields.push((name, value.to_vec()));
        } else {
            report.too_long += 1;
        }
    }

    fn entry(&mut self, report: &mut Report, slack: SignedDuration, sink: &mut dyn Sink) {
        self.kept = 0;
        let fields = std::mem::take(&mut self.fields);
        if fields.is_empty() {
            return;
        }
        report.lines += 1;
        let event = journal_entry(fields, report.lines, &self.context);
        report.saw(&event, slack);
        sink.event(event);
    }
}
