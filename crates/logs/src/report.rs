//! Report: what of a log was read, and what was not?
//!
//! Counts, the first and last time, places where time runs backwards or where the chain of records is broken.
//! These are values: whether one of them is a finding is for the caller to say.

use directive::record::Gap;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::event::{Clock, Event};
use crate::format::Format;

/// How many places of a kind are told one by one; the rest is counted.
const PLACES: usize = 100;

/// What a reader saw of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The format that was read; absent where none was recognised.
    pub format: Option<Format>,
    /// Bytes that came in, after unpacking.
    pub bytes: u64,
    /// Lines or records met, whether they were parsed or not.
    pub lines: u64,
    /// Lines that the caller did not want parsed.
    pub passed: u64,
    /// Events handed out.
    pub events: u64,
    /// Lines that were looked at and not understood.
    pub strange: u64,
    /// Lines longer than the limit; what goes beyond it was not read.
    pub too_long: u64,
    /// The earliest time of any event.
    pub first: Option<Timestamp>,
    /// The latest time of any event.
    pub last: Option<Timestamp>,
    /// Where time runs backwards, the first hundred places.
    pub backward: Vec<Backward>,
    /// How often time runs backwards.
    pub backward_count: u64,
    /// Where the chain of records is broken, the first hundred places.
    pub breaks: Vec<ChainBreak>,
    /// How often the chain is broken.
    pub break_count: u64,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
    latest: Option<Timestamp>,
}

/// A line that is earlier than the one before it, by more than the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backward {
    /// The line or record.
    pub number: u64,
    /// The time of the line before it.
    pub before: Timestamp,
    /// Its own time.
    pub after: Timestamp,
}

/// A place where the length of one record does not lead to the next: bytes were taken out or put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainBreak {
    /// Where the next record should have begun, in bytes from the start of the file.
    pub offset: u64,
    /// How many records were read before it.
    pub number: u64,
    /// The time of the record before the break.
    pub before: Option<Timestamp>,
    /// The time of the record behind the break.
    pub after: Option<Timestamp>,
    /// Bytes that belong to no record.
    pub lost: u64,
}

impl Report {
    /// Counts one event and looks at its time.
    pub(crate) fn saw(&mut self, event: &Event, slack: SignedDuration) {
        self.events += 1;
        self.timed(event, slack);
    }

    /// Looks at the time of an event that nobody wanted.
    pub(crate) fn timed(&mut self, event: &Event, slack: SignedDuration) {
        let Some(at) = event.at else { return };
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        if let Some(before) = self.latest.replace(at).filter(|before| before.duration_since(at) > slack) {
            self.backward_count += 1;
            if self.backward.len() < PLACES {
                self.backward.push(Backward { number: event.number, before, after: at });
            }
            // Back over New Year: more than a year is in the file, and nobody knows where it begins.
            let year = |at: Timestamp| TimeZone::UTC.to_datetime(at).year();
            if event.clock == Clock::YearAssumed && year(before) > year(at) {
                let why = "the lines name no year, and the file holds more than one: the years before the last are \
                           wrong; state when each file was written";
                self.gap("log-year-unknown", why, true);
            }
        }
    }

    pub(crate) fn broken(&mut self, place: ChainBreak) {
        self.break_count += 1;
        if self.breaks.len() < PLACES {
            self.breaks.push(place);
        }
    }

    /// Adds a gap, once of each kind.
    pub(crate) fn gap(&mut self, code: &str, why: impl Into<String>, required: bool) {
        if !self.gaps.iter().any(|gap| gap.code == code) {
            self.gaps.push(Gap { code: code.to_owned(), path: None, place: None, why: why.into(), required });
        }
    }

    /// Says in words what was counted; the last thing that a reader does.
    pub(crate) fn conclude(&mut self) {
        if self.too_long > 0 {
            let why = format!("{} lines are longer than the limit; their ends were not read", self.too_long);
            self.gap("log-line-too-long", why, true);
        }
        if self.strange > 0 {
            let why = format!("{} of {} lines were not understood", self.strange, self.lines - self.passed);
            self.gap("log-lines-strange", why, false);
        }
        if self.format.is_none() && self.bytes > 0 {
            self.gap("log-format-unknown", "no known format of a log; state it if you know it", true);
        }
    }
}
