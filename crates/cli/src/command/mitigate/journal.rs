//! `mitigate`, journal: every step of a change goes into the case before it is done.

use ::case::Case;
use ::directive::record::{Body, ChangeStep, Proof, Record, Stage, short_digest};
use ::directive::text::escape;
use ::mitigate::apply::{Journal, JournalError};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::ui::Ui;

/// Writes into a case and tells a person.
pub(super) struct InCase<'a> {
    pub(super) case: &'a mut Case,
    pub(super) clock: Clock,
    pub(super) ui: &'a mut Ui,
    /// The instance that the change protects.
    pub(super) instance: String,
    /// What was recorded in this run.
    pub(super) records: Vec<Record>,
}

impl InCase<'_> {
    /// Appends one fact about the instance.
    pub(super) fn append(&mut self, body: Body) -> Result<(), JournalError> {
        let count = self.case.count()?;
        let step = short_digest(&[b"mitigate", self.instance.as_bytes(), &count.to_le_bytes()]);
        let record = Record::stamp(&step, 0, self.clock.now(), Some(&self.instance), body);
        self.case.append(std::slice::from_ref(&record))?;
        if self.ui.is_json() {
            self.ui.record(&record);
        }
        self.records.push(record);
        Ok(())
    }
}

impl Journal for InCase<'_> {
    fn keep(&mut self, bytes: &[u8]) -> Result<String, JournalError> {
        Ok(self.case.put_evidence(bytes)?)
    }

    fn kept(&mut self, digest: &str) -> Result<Vec<u8>, JournalError> {
        let bytes = self.case.evidence(digest)?;
        Ok(bytes.ok_or_else(|| format!("the case does not hold {digest} any more, or it was changed"))?)
    }

    fn seal(&mut self, bytes: &[u8]) -> Result<String, JournalError> {
        Ok(self.case.seal(bytes)?)
    }

    fn sealed(&mut self, digest: &str) -> Result<Vec<u8>, JournalError> {
        let bytes = self.case.sealed(digest)?;
        Ok(bytes.ok_or_else(|| format!("the case does not hold {digest} any more, or it was changed"))?)
    }

    fn step(&mut self, step: ChangeStep) -> Result<(), JournalError> {
        let what = escape(&step.what);
        match step.stage {
            Stage::Begins => self.ui.status(format_args!("  {what} ...")),
            Stage::Failed => self.ui.status(format_args!("  failed: {}", escape(&step.why))),
            Stage::Stuck => self.ui.status(format_args!("  NOT UNDONE: {}", escape(&step.why))),
            Stage::Applied => self.ui.status(format_args!("Applied: {}.", escape(&step.why))),
            Stage::Undone => self.ui.status(format_args!("Undone: {}.", escape(&step.why))),
            Stage::Approved => self.ui.status(format_args!("Approved {}.", escape(&step.why))),
            Stage::Planned | Stage::Ended => {}
        }
        self.append(Body::Change(step))
    }

    fn proof(&mut self, proof: Proof) -> Result<(), JournalError> {
        self.append(Body::Proof(proof))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
