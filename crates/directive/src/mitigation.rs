//! Mitigation: what was done to a machine, step by step, and does it hold?
//!
//! Two kinds of record. A [`ChangeStep`] is written before and after each step of a change; a [`Proof`] says what
//! requests from outside met. That a change was applied counts for nothing: only its latest proof does.
//! Source: ED 21-03 actions 2.a.ii and 2.b.i.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One step of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeStep {
    /// SHA-256 of the change's file, in hex. The bytes are in the case's `evidence/`.
    pub change: String,
    /// Where it stands now.
    pub stage: Stage,
    /// What the step is: `write /etc/nginx/nginx.conf`, `run nginx -t`.
    pub what: String,
    /// What came of it, or why it is done.
    pub why: String,
    /// The directive and action that it does, `ed-21-03/2.a.ii`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The directive and workaround that it applies, `ed-21-03/2104`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workaround: Option<String>,
    /// The person who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// SHA-256 of what stood there before, in hex. The bytes are in the case's `evidence/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// From when on the change is no answer any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// SHA-256 of the list of changes that was approved, in hex, where it was approved with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

/// Where a change stands after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It was written down. Nothing was touched.
    Planned,
    /// A person approved it.
    Approved,
    /// A step begins.
    Begins,
    /// A step ended well.
    Ended,
    /// A step failed.
    Failed,
    /// All steps ended well: it is in effect.
    Applied,
    /// Everything is as it was before.
    Undone,
    /// It could not be undone: somebody has to look at the machine.
    Stuck,
}

/// What requests from outside met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proof {
    /// SHA-256 of the change's file, in hex.
    pub change: String,
    /// The directive and action that it does, `ed-21-03/2.a.ii`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Whether everything that must be refused was, and everything that must work does.
    pub holds: bool,
    /// Where it was asked.
    pub places: Vec<String>,
    /// Requests that must be refused.
    pub asked: u64,
    /// Of those, how many were.
    pub refused: u64,
    /// Of the others, which: the first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<String>,
    /// Requests and programs that must work.
    pub required: u64,
    /// Of those, which do not, and what came instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// What could not be asked, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
    /// Until when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
}

/// What the records of a case say about one change.
#[derive(Debug, Clone, Default)]
pub struct Mitigation {
    /// The directive and action that it does.
    pub action: Option<String>,
    /// The directive and workaround that it applies.
    pub workaround: Option<String>,
    /// Whether a person has approved these very bytes.
    pub approved: bool,
    /// The list with which it was approved, and when.
    pub list: Option<(Timestamp, String)>,
    /// When it took effect.
    pub applied: Option<Timestamp>,
    /// Whether it was undone since.
    pub undone: bool,
    /// From when on it is no answer any more.
    pub expires: Option<Timestamp>,
    /// The step at which it stands: begun and not ended means that a run was cut off.
    pub last: Option<(Timestamp, ChangeStep)>,
    /// What stood where before, by the words of the step: path and digest, `None` where there was nothing.
    pub kept: Vec<(String, Option<String>)>,
    /// The latest proof.
    pub proof: Option<(Timestamp, Proof)>,
}

impl Mitigation {
    /// Adds a step.
    pub(crate) fn step(&mut self, at: Timestamp, step: &ChangeStep) {
        self.action = step.action.clone().or(self.action.take());
        self.workaround = step.workaround.clone().or(self.workaround.take());
        self.expires = step.expires.or(self.expires);
        self.list = step.list.clone().map(|list| (at, list)).or(self.list.take());
        match step.stage {
            Stage::Applied => (self.applied, self.undone) = (Some(at), false),
            Stage::Undone => self.undone = true,
            Stage::Approved => self.approved = true,
            Stage::Begins => {
                if let Some(path) = step.what.strip_prefix(WRITE) {
                    self.kept.retain(|(known, _)| known != path);
                    self.kept.push((path.to_owned(), step.kept.clone()));
                }
            }
            _ => {}
        }
        self.last = Some((at, step.clone()));
    }

    /// Whether it is in effect, as far as the case knows.
    pub fn is_applied(&self) -> bool {
        self.applied.is_some() && !self.undone
    }

    /// Whether something was begun that neither ended nor was undone.
    pub fn is_cut_off(&self) -> bool {
        let last = self.last.as_ref().map(|(_, step)| step.stage);
        matches!(last, Some(Stage::Begins | Stage::Ended | Stage::Failed | Stage::Stuck))
    }

    /// Whether it is no answer any more at `now`.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Why it does not count at `now`; nothing if it does.
    pub fn fault(&self, now: Timestamp) -> Option<String> {
        if !self.is_applied() {
            return Some("it is not applied".to_owned());
        }
        if let Some(expires) = self.expires.filter(|expires| *expires <= now) {
            return Some(format!("the workaround expired on {}", day(expires)));
        }
        let Some((at, proof)) = &self.proof else {
            return Some("it is applied, and nobody has proved it".to_owned());
        };
        if !proof.holds {
            let (leaks, lost) = (proof.asked - proof.refused.min(proof.asked), proof.lost.len());
            let when = at.strftime("%Y-%m-%d %H:%M UTC");
            return Some(format!(
                "the proof of {when} does not hold: {leaks} requests got through, {lost} functions are lost"
            ));
        }
        proof.until.filter(|until| *until <= now).map(|until| format!("its proof counted until {}", day(until)))
    }
}

/// How the step of a file is worded, before its path.
pub const WRITE: &str = "write ";

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
