//! Logs: what do the logs of the instance tell, and how far back do they speak?
//!
//! Logs are told by their place (`hunt/logs.toml` of a pack, and the table of places that every Linux host has) and
//! read in the same passage that hashes them; only what is too long to be held is read once more. Each event is
//! looked at once for everything: tables, indicators, accounts, timeline.
//! Never takes what a log says for what happened: whoever owns the instance can write its logs. How far the time of
//! an event can be trusted goes along with it.

mod scanner;
mod starts;
mod tamper;
mod watch;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufReader, Read};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use directive::hunting::{LogPlace, Logs};
use directive::record::{Finding, Gap, LogReach, Moment};
use directive::text::Text;
use evidence::{Meta, Source};
use jiff::Timestamp;
use logs::{Clock, Meaning, Settings};

use super::people::People;
use super::{Hunt, Origin, apart, lock};
use crate::glob;
use scanner::Passed;
use watch::Watch;

/// Places of logs that every Linux host has.
const COMMON: &str = include_str!("../../data/logs.toml");

/// Logs that are read. A spool of a collector has a hundred thousand.
const LOGS: usize = 20_000;

/// Chunks of a log that wait between whoever reads it and whoever understands it.
const WAITING: usize = 4;

/// Where logs lie, what their lines mean.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) places: Vec<Place>,
    pub(crate) meaning: Arc<Meaning>,
}

/// A log, by its place.
pub(crate) struct Place {
    pub(crate) row: LogPlace,
    pub(crate) origin: Origin,
}

impl Places {
    /// Adds the logs of a pack, which go before the common ones.
    pub(crate) fn add(&mut self, logs: &Logs, origin: Origin) {
        self.places.extend(logs.places.iter().map(|row| Place { row: row.clone(), origin }));
    }

    /// Adds the logs of every Linux host.
    pub(crate) fn add_common(&mut self) {
        // A test reads the table that comes with the product.
        let common: Logs = toml::from_str(COMMON).unwrap_or_default();
        self.add(&common, Origin::Operator);
    }

    fn of(&self, path: &[u8]) -> Option<usize> {
        self.places.iter().position(|place| glob::matches(place.row.path.as_bytes(), path))
    }
}

/// What the logs of an instance told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) findings: Vec<Finding>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) moments: Vec<Moment>,
    pub(crate) people: People,
    pub(crate) reach: Vec<LogReach>,
}

/// What one log told.
pub(super) struct Seen {
    pub(super) place: usize,
    pub(super) path: Text,
    pub(super) report: logs::Report,
    pub(super) clock: Clock,
    pub(super) findings: Vec<Finding>,
    pub(super) beyond: u64,
    pub(super) moments: Vec<Moment>,
    pub(super) unkept_moments: u64,
    pub(super) people: People,
    /// Hours, counted from 1970, in which something was logged.
    pub(super) hours: HashSet<i64>,
    /// Events by code, of the codes that a table asks for, with the latest time of each.
    pub(super) codes: HashMap<String, (u64, Option<Timestamp>)>,
    /// Numbers by row, in the order of the log; none where they may fall.
    pub(super) counts: Vec<(usize, Option<Timestamp>, Option<u64>)>,
    /// What scanners of the scope set off, by scanner.
    passed: BTreeMap<usize, Passed>,
}

/// Reads logs as they are met.
pub(crate) struct Reading<'a> {
    hunt: &'a Hunt,
    clause: Option<&'a str>,
    seen: Mutex<Vec<Seen>>,
    met: Mutex<HashSet<[u8; 32]>>,
    later: Mutex<Vec<(usize, Meta)>>,
    beyond: Mutex<u64>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(hunt: &'a Hunt, clause: Option<&'a str>) -> Self {
        Self {
            hunt,
            clause,
            seen: Mutex::default(),
            met: Mutex::default(),
            later: Mutex::default(),
            beyond: Mutex::default(),
        }
    }

    /// Which log a file is, if it is one.
    pub(super) fn place(&self, path: &[u8]) -> Option<usize> {
        self.hunt.places.of(path)
    }

    /// Whether a log has to be read: a copy of one that was met tells nothing new.
    pub(super) fn is_new(&self, sha256: [u8; 32]) -> bool {
        let mut met = lock(&self.met);
        if met.len() >= LOGS {
            *lock(&self.beyond) += 1;
            return false;
        }
        met.insert(sha256)
    }

    /// Remembers a log that is not in memory.
    pub(super) fn later(&self, place: usize, meta: &Meta) {
        lock(&self.later).push((place, meta.clone()));
    }

    /// Reads a log that is in memory.
    pub(super) fn read(&self, place: usize, meta: &Meta, content: &[u8]) {
        self.understand(place, meta, content);
    }

    fn understand(&self, place: usize, meta: &Meta, bytes: impl Read) {
        let row = &self.hunt.places.places[place].row;
        let latest = meta.mtime.timestamp().unwrap_or(Timestamp::MAX);
        let mut settings = Settings::new(latest);
        settings.zone = row.zone.as_ref().map(|zone| zone.0.clone());
        settings.meaning = Arc::clone(&self.hunt.places.meaning);
        // Rules of others run over lines of strangers. If one stumbles, one log was not seen whole, and the others are.
        let mut watch = Watch::new(self.hunt, place, &meta.path, self.clause);
        let read = catch_unwind(AssertUnwindSafe(|| logs::read(BufReader::new(bytes), settings, &mut watch)));
        let stumbled = read.is_err();
        let mut report = read.unwrap_or_default();
        if stumbled {
            report.gaps.push(Gap {
                code: "log-unreadable".into(),
                path: None,
                place: None,
                why: "the engine of the rules could not go through it".into(),
                required: true,
            });
        }
        lock(&self.seen).push(watch.finish(report));
    }

    /// Reads what was too long to be held, and says what all logs told.
    pub(super) fn finish(self, source: &dyn Source, threads: NonZeroUsize, stop: &(dyn Fn() -> bool + Sync)) -> Told {
        let mut later = std::mem::take(&mut *lock(&self.later));
        later.sort_by(|a, b| b.1.path.cmp(&a.1.path));
        let queue = Mutex::new(later);
        std::thread::scope(|scope| {
            for _ in 0..threads.get() {
                scope.spawn(|| {
                    while let Some((place, meta)) = next(&queue).filter(|_| !stop()) {
                        self.stream(source, place, &meta);
                    }
                });
            }
        });
        let mut seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        seen.sort_by(|a, b| a.path.cmp(&b.path));
        let beyond = self.beyond.into_inner().unwrap_or_else(PoisonError::into_inner);
        told(self.hunt, seen, beyond, source, self.clause)
    }

    /// Reads a long log once more, in a thread of its own beside the one that understands it.
    fn stream(&self, source: &dyn Source, place: usize, meta: &Meta) {
        let (sender, receiver) = sync_channel::<io::Result<Vec<u8>>>(WAITING);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let sent = source.stream(meta.path.as_bytes(), &mut |bytes| sender.send(Ok(bytes.to_vec())).is_ok());
                let failure = match sent {
                    Ok(Some(_)) => return,
                    Ok(None) => io::Error::from(io::ErrorKind::NotFound),
                    Err(error) => io::Error::other(error.to_string()),
                };
                // Nobody listens any more where the log was understood to its end.
                let _ = sender.send(Err(failure));
            });
            self.understand(place, meta, Chunks { receiver, chunk: Vec::new(), at: 0 });
        });
    }
}

fn next(queue: &Mutex<Vec<(usize, Meta)>>) -> Option<(usize, Meta)> {
    lock(queue).pop()
}

/// Chunks of a log as something to read.
struct Chunks {
    receiver: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.receiver.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk?, 0),
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.chunk.len() - self.at);
        buffer[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Puts together what the logs told.
fn told(hunt: &Hunt, mut seen: Vec<Seen>, beyond: u64, source: &dyn Source, clause: Option<&str>) -> Told {
    let mut told = Told { gaps: tamper::missing(hunt, &seen), ..Told::default() };
    if beyond > 0 {
        let why = format!("{beyond} more logs than the {LOGS} that are read");
        told.gaps.push(Gap { code: "too-many".into(), path: None, place: None, why, required: true });
    }
    let (findings, gaps) = tamper::across(hunt, &seen, source, clause);
    told.findings = findings;
    told.gaps.extend(gaps);
    let stumbled = hunt.sigma.stumbled();
    if stumbled > 0 {
        let why = format!("the engine of the Sigma rules stumbled over {stumbled} events, which were not judged");
        told.gaps.push(Gap { code: "not-hunted".into(), path: None, place: None, why, required: true });
    }
    for one in &mut seen {
        told.findings.extend(tamper::within(one, clause));
        told.findings.append(&mut one.findings);
        told.moments.append(&mut one.moments);
        told.people.merge(std::mem::take(&mut one.people));
        let place = &hunt.places.places[one.place];
        let needed = place.row.needed && place.origin == Origin::Pack;
        for gap in std::mem::take(&mut one.report.gaps) {
            told.gaps.push(Gap { path: Some(one.path.clone()), required: gap.required && needed, ..gap });
        }
        for (n, passed) in &one.passed {
            told.gaps.push(Gap { path: Some(one.path.clone()), ..passed.gap(&hunt.scanners[*n]) });
        }
        if one.beyond + one.unkept_moments > 0 {
            let why = format!(
                "{} more matches, and {} more moments of the timeline, than are kept one by one",
                one.beyond, one.unkept_moments
            );
            told.gaps.push(Gap {
                code: "too-many".into(),
                path: Some(one.path.clone()),
                place: None,
                why,
                required: false,
            });
        }
        told.reach.push(reach(&place.row.id, one));
    }
    let (findings, gaps) = apart::look(&mut told.people, hunt, clause);
    told.findings.extend(findings);
    told.gaps.extend(gaps);
    told
}

fn reach(id: &str, seen: &Seen) -> LogReach {
    LogReach {
        log: id.to_owned(),
        path: seen.path.clone(),
        first: seen.report.first,
        last: seen.report.last,
        lines: seen.report.lines,
        strange: seen.report.strange + seen.report.too_long,
        clock: if seen.report.first.is_some() { seen.clock } else { Clock::None }.as_str().to_owned(),
    }
}

/// Of each log of the pack that a verdict needs, since when it speaks without a break to its end.
pub(crate) fn since(reach: &[LogReach]) -> BTreeMap<&str, (Timestamp, Timestamp)> {
    let mut since: BTreeMap<&str, (Timestamp, Timestamp)> = BTreeMap::new();
    for one in reach {
        let (Some(first), Some(last)) = (one.first, one.last) else { continue };
        let entry = since.entry(&one.log).or_insert((first, last));
        *entry = (entry.0.min(first), entry.1.max(last));
    }
    since
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_common_logs_has_no_mistakes() {
        let common: Logs = toml::from_str(COMMON).unwrap();
        assert!(!common.places.is_empty() && common.places.iter().all(|place| !place.needed));
    }
}
