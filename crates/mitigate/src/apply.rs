//! Apply: how is an approved change carried out, so that it holds or leaves no trace?
//!
//! The order: lock, look whether everything is as planned, ask what must work, hold connections open, write, let the
//! program check its own configuration, make it take effect, end what still works by the old one, prove. Each step is
//! recorded before it is done and when it ended; what stood there before goes into the case first. Whatever fails, and
//! a proof that does not hold, undoes all that was done. Never acts without an [`Approved`].
//! Source: ED 21-03 action 2.a.ii; nginx, "Controlling nginx"; HAProxy management guide, section 4.

mod files;
mod patient;

use std::time::Duration;

use directive::change::{Approved, Change, Command, Drain, FileChange, Kind, Written};
use directive::mitigation::WRITE;
use directive::record::{ChangeStep, Proof, Stage, hex};
use directive::scope::Scope;
use directive::text::{chain, escape};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use self::patient::Patient;
use crate::hands::{self, Hands};
use crate::prove::{self, Held, Prover};
use crate::quarantine;

/// Keeps what is done, before it is done. In the end a case.
pub trait Journal {
    /// Keeps bytes and gives their SHA-256 in hex.
    ///
    /// # Errors
    ///
    /// Whatever keeps it could not.
    fn keep(&mut self, bytes: &[u8]) -> Result<String, JournalError>;

    /// Gives kept bytes back.
    ///
    /// # Errors
    ///
    /// Whatever keeps it could not; that they are not there, or are others, is one too.
    fn kept(&mut self, digest: &str) -> Result<Vec<u8>, JournalError>;

    /// Keeps bytes that must not lie around, encrypted, and gives the SHA-256 of what is kept, in hex.
    ///
    /// # Errors
    ///
    /// Whatever keeps it could not.
    fn seal(&mut self, bytes: &[u8]) -> Result<String, JournalError>;

    /// Gives sealed bytes back.
    ///
    /// # Errors
    ///
    /// Whatever keeps it could not; that they are not there, or are others, is one too.
    fn sealed(&mut self, digest: &str) -> Result<Vec<u8>, JournalError>;

    /// Records a step.
    ///
    /// # Errors
    ///
    /// Whatever keeps it could not.
    fn step(&mut self, step: ChangeStep) -> Result<(), JournalError>;

    /// Records a proof.
    ///
    /// # Errors
    ///
    /// Whatever keeps it could not.
    fn proof(&mut self, proof: Proof) -> Result<(), JournalError>;

    /// The time now, in the clock of whatever keeps it.
    fn now(&self) -> Timestamp;
}

/// Why something could not be kept.
pub type JournalError = Box<dyn std::error::Error + Send + Sync>;

/// Why a change was not carried out. What was done of it is undone, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine could not be touched.
    #[error(transparent)]
    Hands(#[from] hands::Error),
    /// The case could not be written: nothing is done that is not recorded.
    #[error("the case could not be written")]
    Journal(#[source] JournalError),
    /// Somebody else is at it.
    #[error("somebody works on {lock} already: {by}")]
    Locked {
        /// The folder that says so.
        lock: String,
        /// Who, as he wrote it.
        by: String,
    },
    /// A file is not what it was when the change was planned.
    #[error("{path} is not as it was when the change was planned")]
    Moved {
        /// The file.
        path: String,
    },
    /// A file is not what the change made of it: somebody has changed it since.
    #[error("{path} was changed by somebody else since")]
    Overwritten {
        /// The file.
        path: String,
    },
    /// A file was there again at once.
    #[error("{path} was there again at once: something on the machine puts it there")]
    Returned {
        /// The file.
        path: String,
    },
    /// What must work does not work even before.
    #[error("this does not work even before the change: {0}")]
    Broken(String),
    /// The processes that have to end are not found.
    #[error("{pid_file} names no process with children: what serves could not be drained")]
    NoProcess {
        /// The file that should name it.
        pid_file: String,
    },
    /// Old processes did not end.
    #[error("processes of the old configuration still run: {0}")]
    Old(String),
    /// The proof could not be made.
    #[error("the change could not be proved")]
    Prove(#[from] prove::Error),
    /// The proof does not hold.
    #[error("the proof does not hold: {0}")]
    NotProved(String),
    /// It could not be undone.
    #[error("{why}; and it could not be undone: {undo}")]
    Stuck {
        /// Why it was to be undone.
        why: String,
        /// Why it could not be.
        undo: String,
    },
}

/// Works on one machine for one change.
pub struct Worker<'a> {
    /// The machine.
    pub hands: &'a dyn Hands,
    /// Where everything is recorded.
    pub journal: &'a mut dyn Journal,
    /// What is ours.
    pub scope: &'a Scope,
    /// Whether a lock of somebody else is taken away.
    pub break_lock: bool,
}

impl Worker<'_> {
    /// Carries out a change and proves it.
    ///
    /// # Errors
    ///
    /// [`Error`]; everything is as it was before, but for [`Error::Stuck`].
    pub fn apply(&mut self, approved: &Approved) -> Result<Proof, Error> {
        let (change, written) = (approved.change(), approved.written());
        let steps = Steps { change, sha256: written.sha256(), who: approved.who() };
        self.journal.keep(written.bytes()).map_err(Error::Journal)?;
        let prover = match change.prove {
            Some(_) => Some(Prover::new(change, written.sha256(), self.scope, true)?),
            None => None,
        };
        self.record(steps.step(Stage::Approved, "approve", format!("by {} at {}", approved.who(), approved.when())))?;
        self.lock(change, approved.who())?;
        let done = self.locked(&steps, prover.as_ref());
        let unlocked = self.unlock(change);
        let proof = done?;
        unlocked?;
        Ok(proof)
    }

    fn locked(&mut self, steps: &Steps<'_>, prover: Option<&Prover<'_>>) -> Result<Proof, Error> {
        let change = steps.change;
        let before = self.look(&change.files)?;
        let after = self.contents(&change.files)?;
        if let Some(drain) = &change.drain
            && self.children(Some(drain))?.is_empty()
        {
            return Err(Error::NoProcess { pid_file: drain.pid_file.clone() });
        }
        let lost = prover.map(Prover::lost).unwrap_or_default();
        if let Some(first) = lost.first() {
            return Err(Error::Broken(first.clone()));
        }
        let held = prover.map(Prover::hold);
        let mut begun = 0;
        match self.carry_out(steps, (&before, &after), &mut begun, prover, held) {
            Ok(proof) => Ok(proof),
            Err(err) => {
                let why = chain(&err);
                // What cannot be recorded any more is still undone.
                let _ = self.record(steps.step(Stage::Failed, "apply", why.clone()));
                let patient = Patient(self.hands);
                let mut again = Worker { hands: &patient, journal: &mut *self.journal, ..*self };
                match again.put_back(steps, &change.files[..begun.min(change.files.len())], &before, begun > 0) {
                    Ok(()) => Err(err),
                    Err(undo) => {
                        let undo = chain(&undo);
                        let _ = self.record(steps.step(Stage::Stuck, "undo", undo.clone()));
                        Err(Error::Stuck { why, undo })
                    }
                }
            }
        }
    }

    /// Everything from the first write to the proof. `begun` counts files that may have been touched.
    fn carry_out(
        &mut self,
        steps: &Steps<'_>,
        (before, after): (&[Content], &[Content]),
        begun: &mut usize,
        prover: Option<&Prover<'_>>,
        held: Option<Held<'_>>,
    ) -> Result<Proof, Error> {
        let change = steps.change;
        self.keep(steps)?;
        self.by_hand(steps)?;
        for ((file, before), after) in change.files.iter().zip(before).zip(after) {
            let kept = match before {
                Some(bytes) if file.quarantine.is_some() => Some(self.journal.seal(bytes).map_err(Error::Journal)?),
                Some(bytes) => Some(self.journal.keep(bytes).map_err(Error::Journal)?),
                None => None,
            };
            let what = format!("{WRITE}{}", file.path);
            self.record(ChangeStep { kept, ..steps.step(Stage::Begins, &what, "it is approved".into()) })?;
            *begun += 1;
            self.put(file, after.as_deref())?;
            self.record(steps.step(Stage::Ended, &what, "it stands there, read back".into()))?;
        }
        // Whoever fails from here on has commands to undo, even where there are no files.
        *begun = (*begun).max(1);
        for command in &change.checks {
            self.command(steps, command)?;
        }
        let old = self.children(change.drain.as_ref())?;
        for command in &change.runs {
            self.command(steps, command)?;
        }
        self.drain(steps, change.drain.as_ref(), &old)?;
        let now = self.journal.now();
        let proof = match prover {
            Some(prover) => prover.prove(held, now),
            None if change.target.kind == Kind::Remove => quarantine::prove(self.hands, change, steps.sha256, now)?,
            None => Proof { holds: true, ..empty(steps) },
        };
        if !proof.holds {
            self.journal.proof(proof.clone()).map_err(Error::Journal)?;
            let first = proof.leaks.first().or(proof.lost.first()).cloned().unwrap_or_default();
            return Err(Error::NotProved(match change.target.kind {
                Kind::Remove => first,
                _ => {
                    let (leaks, lost) = (proof.asked - proof.refused, proof.lost.len());
                    format!("{leaks} requests got through, {lost} functions are lost; {first}")
                }
            }));
        }
        if prover.is_none() && change.target.kind != Kind::Remove {
            self.record(steps.step(
                Stage::Applied,
                "apply",
                "all steps ended well, and nothing is proved by it".into(),
            ))?;
            return Ok(proof);
        }
        self.record(steps.step(Stage::Applied, "apply", "all steps ended well and the proof holds".into()))?;
        self.journal.proof(proof.clone()).map_err(Error::Journal)?;
        Ok(proof)
    }

    /// Undoes a change that was applied, or one that was cut off. `kept` says what stood where before.
    ///
    /// # Errors
    ///
    /// [`Error::Overwritten`] if a file is neither what the change made of it nor what stood there before.
    pub fn undo(&mut self, written: &Written, who: &str, kept: &[(String, Option<String>)]) -> Result<(), Error> {
        let change = written.change();
        let steps = Steps { change, sha256: written.sha256(), who };
        self.lock(change, who)?;
        let done = self.undo_locked(&steps, kept);
        let unlocked = self.unlock(change);
        if let Err(err) = &done {
            let _ = self.record(steps.step(Stage::Stuck, "undo", chain(err)));
        }
        done.and(unlocked)
    }

    fn undo_locked(&mut self, steps: &Steps<'_>, kept: &[(String, Option<String>)]) -> Result<(), Error> {
        let change = steps.change;
        let (mut files, mut before) = (Vec::new(), Vec::new());
        for file in &change.files {
            // A file that was never begun is as it was.
            let Some((_, digest)) = kept.iter().find(|(path, _)| *path == file.path) else { continue };
            let found = self.hands.read(&file.path)?.map(|bytes| hex(&Sha256::digest(bytes)));
            if found != file.after() && found != file.before {
                return Err(Error::Overwritten { path: file.path.clone() });
            }
            before.push(match digest {
                Some(digest) if file.quarantine.is_some() => Some(self.journal.sealed(digest).map_err(Error::Journal)?),
                Some(digest) => Some(self.journal.kept(digest).map_err(Error::Journal)?),
                None => None,
            });
            files.push(file.clone());
        }
        self.put_back(steps, &files, &before, true)
    }

    /// Puts files back, the last first, and makes that take effect.
    fn put_back(
        &mut self,
        steps: &Steps<'_>,
        files: &[FileChange],
        before: &[Content],
        is_begun: bool,
    ) -> Result<(), Error> {
        let change = steps.change;
        if matches!(change.target.kind, Kind::VendorFile | Kind::ByHand) {
            return Ok(());
        }
        self.put_files_back(steps, files.iter().zip(before).rev().filter(|(file, _)| !file.undo_needs))?;
        // What was ended is not begun again, least of all malware.
        if is_begun && change.target.kind != Kind::Remove {
            let old = self.children(change.drain.as_ref())?;
            if change.undo.is_empty() {
                for command in change.checks.iter().chain(&change.runs) {
                    self.command(steps, command)?;
                }
            } else {
                for command in &change.undo {
                    self.command(steps, command)?;
                }
            }
            self.drain(steps, change.drain.as_ref(), &old)?;
        }
        self.put_files_back(steps, files.iter().zip(before).rev().filter(|(file, _)| file.undo_needs))?;
        self.record(steps.step(Stage::Undone, "undo", "every file is byte for byte what it was".into()))
    }

    fn command(&mut self, steps: &Steps<'_>, command: &Command) -> Result<(), Error> {
        let words: Vec<&str> = command.command.iter().map(String::as_str).collect();
        let what = format!("run {}", escape(words.join(" ")));
        self.record(steps.step(Stage::Begins, &what, "it is approved".into()))?;
        self.hands.must(&words)?;
        self.record(steps.step(Stage::Ended, &what, "it succeeded".into()))
    }

    /// The children of the process that is to be drained.
    fn children(&self, drain: Option<&Drain>) -> Result<Vec<u32>, Error> {
        let Some(drain) = drain else { return Ok(Vec::new()) };
        Ok(self.hands.children(&drain.pid_file)?)
    }

    /// Waits until the old children have ended, and ends those that do not.
    fn drain(&mut self, steps: &Steps<'_>, drain: Option<&Drain>, old: &[u32]) -> Result<(), Error> {
        let Some(drain) = drain else { return Ok(()) };
        let what = format!("end {} old processes", old.len());
        self.record(steps.step(Stage::Begins, &what, format!("they have {} s to finish", drain.seconds)))?;
        let mut left = old.to_vec();
        for (signal, patience) in [("", u64::from(drain.seconds) * 1000), ("-TERM", 2000), ("-KILL", 2000)] {
            if !signal.is_empty() && !left.is_empty() {
                let numbers: Vec<String> = left.iter().map(u32::to_string).collect();
                let words: Vec<&str> = ["kill", signal].into_iter().chain(numbers.iter().map(String::as_str)).collect();
                // One that has ended by itself meanwhile is no failure.
                self.hands.run(&words, &[])?;
            }
            // Most end at once or not by themselves: to look often at first and seldom later costs a tenth of the
            // looks.
            let (mut waited, mut pause, mut missing) = (0, 20, Vec::new());
            loop {
                let now = self.children(Some(drain))?;
                // A proxy that starts again writes its number anew, and the kernel may leave out a child while another
                // ends: no list says nothing, and only who is missing twice has ended.
                if !now.is_empty() {
                    left.retain(|child| now.contains(child) || !missing.contains(child));
                    let before = missing.len();
                    missing = left.iter().copied().filter(|child| !now.contains(child)).collect();
                    pause = if missing.len() > before { 20 } else { pause };
                }
                // Without a new child nobody serves yet.
                if left.is_empty() && !now.is_empty() {
                    return self.record(steps.step(Stage::Ended, &what, "none of them runs any more".into()));
                }
                if waited >= patience {
                    break;
                }
                pause = (pause * 3 / 2).min(400).min(patience - waited);
                std::thread::sleep(Duration::from_millis(pause));
                waited += pause;
            }
        }
        let names: Vec<String> = left.iter().map(u32::to_string).collect();
        Err(Error::Old(if names.is_empty() { "and no new ones serve".into() } else { names.join(", ") }))
    }

    fn lock(&mut self, change: &Change, who: &str) -> Result<(), Error> {
        let Some(lock) = &change.target.lock else { return Ok(()) };
        if self.break_lock {
            self.unlock(change)?;
        }
        let note = format!("{who} since {}", self.journal.now());
        let done = self.hands.run(&["sh", "-c", LOCK, "sh", lock, &note], &[])?;
        match done.code {
            0 => Ok(()),
            TAKEN => {
                let by = escape(String::from_utf8_lossy(&done.out).trim());
                Err(Error::Locked { lock: lock.clone(), by })
            }
            _ => Err(hands::Error::Failed { command: format!("mkdir {lock}"), said: done.said }.into()),
        }
    }

    fn unlock(&mut self, change: &Change) -> Result<(), Error> {
        let Some(lock) = &change.target.lock else { return Ok(()) };
        self.hands.must(&["sh", "-c", UNLOCK, "sh", lock])?;
        Ok(())
    }

    fn record(&mut self, step: ChangeStep) -> Result<(), Error> {
        self.journal.step(step).map_err(Error::Journal)
    }
}

/// What stands somewhere, or that nothing does.
type Content = Option<Vec<u8>>;

/// The exit code for a lock that is taken.
const TAKEN: i32 = 45;

const LOCK: &str = "if mkdir -- \"$1\" 2>/dev/null; then printf '%s\\n' \"$2\" > \"$1/by\"; exit 0; fi; \
    [ -d \"$1\" ] || { mkdir -- \"$1\"; exit 1; }; cat -- \"$1/by\" 2>/dev/null; exit 45";

const UNLOCK: &str = "rm -f -- \"$1/by\"; [ ! -d \"$1\" ] || rmdir -- \"$1\"";

/// What all steps of a change have in common.
struct Steps<'a> {
    change: &'a Change,
    sha256: &'a str,
    who: &'a str,
}

impl Steps<'_> {
    fn step(&self, stage: Stage, what: &str, why: String) -> ChangeStep {
        let from = &self.change.from;
        ChangeStep {
            change: self.sha256.to_owned(),
            stage,
            what: what.to_owned(),
            why,
            action: prove::action(self.change),
            workaround: from.workaround.as_ref().map(|id| format!("{}/{id}", from.pack.id)),
            by: Some(self.who.to_owned()),
            kept: None,
            expires: self.change.expires,
            list: None,
        }
    }
}

/// A proof of a change that says nothing to prove.
fn empty(steps: &Steps<'_>) -> Proof {
    Proof {
        change: steps.sha256.to_owned(),
        action: prove::action(steps.change),
        holds: false,
        places: Vec::new(),
        asked: 0,
        refused: 0,
        leaks: Vec::new(),
        required: 0,
        lost: Vec::new(),
        unasked: vec!["the change names nothing to ask".into()],
        until: None,
    }
}
