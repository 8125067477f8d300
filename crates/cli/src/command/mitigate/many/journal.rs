//! `mitigate`, many, journal: how do two hundred machines write one case, each step before it is done?
//!
//! Each waits until its own step is stored. Whoever gets hold of the case stores what all others wait with, in one
//! transaction: a disk that takes five milliseconds for one takes as long for forty. What cannot be stored fails for
//! each that waited for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ::case::Case;
use ::directive::change::Written;
use ::directive::record::{Body, ChangeStep, Proof, Record, short_digest};
use ::mitigate::apply::{Journal, JournalError};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::ui::Ui;

/// One case for all.
pub(super) struct Together<'a> {
    clock: Clock,
    waiting: Mutex<Waiting>,
    stored: Mutex<Stored<'a>>,
}

/// What waits to be stored, with its number.
#[derive(Default)]
struct Waiting {
    bodies: Vec<(String, Body)>,
    /// How many were ever given here.
    given: u64,
}

/// What is stored.
struct Stored<'a> {
    case: &'a mut Case,
    ui: &'a mut Ui,
    records: Vec<Record>,
    /// How many of those that were given are stored, or failed.
    done: u64,
    /// Numbers from the first to before the second failed, and why.
    failed: Vec<(u64, u64, String)>,
}

impl<'a> Together<'a> {
    pub(super) fn new(case: &'a mut Case, clock: Clock, ui: &'a mut Ui) -> Self {
        let stored = Stored { case, ui, records: Vec::new(), done: 0, failed: Vec::new() };
        Self { clock, waiting: Mutex::default(), stored: Mutex::new(stored) }
    }

    /// The journal of one change.
    pub(super) fn of<'t>(&'t self, written: &Written) -> One<'t, 'a> {
        One { all: self, instance: written.change().from.instance.clone() }
    }

    /// What stays when all are done.
    pub(super) fn into_parts(self) -> (&'a mut Ui, Vec<Record>, Clock) {
        let stored = self.stored.into_inner().unwrap_or_else(PoisonError::into_inner);
        (stored.ui, stored.records, self.clock)
    }

    fn stored(&self) -> MutexGuard<'_, Stored<'a>> {
        // A thread that panicked has stored its step or not: the case itself is whole either way.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, instance: &str, body: Body) -> Result<(), JournalError> {
        let number = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.bodies.push((instance.to_owned(), body));
            waiting.given += 1;
            waiting.given
        };
        let mut stored = self.stored();
        if stored.done < number {
            let bodies = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut waiting.bodies)
            };
            stored.store(bodies, self.clock.now());
        }
        match stored.failed.iter().find(|(first, end, _)| (*first..*end).contains(&number)) {
            Some((_, _, why)) => Err(why.clone().into()),
            None => Ok(()),
        }
    }
}

impl Stored<'_> {
    /// Stores all of them, or none.
    fn store(&mut self, bodies: Vec<(String, Body)>, now: Timestamp) {
        let (first, count) = (self.done + 1, bodies.len() as u64);
        self.done += count;
        let known = match self.case.count() {
            Ok(known) => known,
            Err(err) => return self.failed.push((first, first + count, err.to_string())),
        };
        let records: Vec<Record> = (known..)
            .zip(bodies)
            .map(|(count, (instance, body))| {
                let step = short_digest(&[b"mitigate", instance.as_bytes(), &count.to_le_bytes()]);
                Record::stamp(&step, 0, now, Some(&instance), body)
            })
            .collect();
        if let Err(err) = self.case.append(&records) {
            return self.failed.push((first, first + count, ::directive::text::chain(&err)));
        }
        if self.ui.is_json() {
            records.iter().for_each(|record| self.ui.record(record));
        }
        self.records.extend(records);
    }
}

/// The journal of one change among many.
pub(super) struct One<'t, 'a> {
    all: &'t Together<'a>,
    instance: String,
}

impl One<'_, '_> {
    pub(super) fn append(&self, body: Body) -> Result<(), JournalError> {
        self.all.append(&self.instance, body)
    }

    /// A number that no other step of this run has had so far.
    pub(super) fn number(&self) -> u64 {
        self.all.waiting.lock().unwrap_or_else(PoisonError::into_inner).given
    }
}

impl Journal for One<'_, '_> {
    fn keep(&mut self, bytes: &[u8]) -> Result<String, JournalError> {
        Ok(self.all.stored().case.put_evidence(bytes)?)
    }

    fn kept(&mut self, digest: &str) -> Result<Vec<u8>, JournalError> {
        let bytes = self.all.stored().case.evidence(digest)?;
        Ok(bytes.ok_or_else(|| format!("the case does not hold {digest} any more, or it was changed"))?)
    }

    fn seal(&mut self, bytes: &[u8]) -> Result<String, JournalError> {
        Ok(self.all.stored().case.seal(bytes)?)
    }

    fn sealed(&mut self, digest: &str) -> Result<Vec<u8>, JournalError> {
        let bytes = self.all.stored().case.sealed(digest)?;
        Ok(bytes.ok_or_else(|| format!("the case does not hold {digest} any more, or it was changed"))?)
    }

    fn step(&mut self, step: ChangeStep) -> Result<(), JournalError> {
        self.append(Body::Change(step))
    }

    fn proof(&mut self, proof: Proof) -> Result<(), JournalError> {
        self.append(Body::Proof(proof))
    }

    fn now(&self) -> Timestamp {
        self.all.clock.now()
    }
}
