//! Apply: how is an approved change carried out, so that it holds or leaves no trace?
//!
//! The order: lock, look whether everything is as planned, ask what must work, hold connections open, write, let the
//! program check its own configuration, make it take effect, end what still works by the old one, prove. Each step is
//! recorded before it is done and when it ended; what stood there before goes into the case first. Whatever fails, and
//! a proof that does not hold, undoes all that was done. Never acts without an [`Approved`].
//! Source: ED 21-03 action 2.a.ii; nginx, "Controlling nginx"; HAProxy management guide, section 4.

use std::time::Duration;

use directive::change::{Approved, Change, Command, Drain, FileChange, Kind, Written};
use directive::mitigation::WRITE;
use directive::record::{ChangeStep, Proof, Stage, hex};
use directive::scope::Scope;
use directive::text::escape;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::hands::{self, Hands};
use crate::prove::{self, Held, Prover};

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
                Some(bytes) => Some(self.journal.keep(bytes).map_err(Error::Journal)?),
                None => None,
            };
            let what = format!("{WRITE}{}", file.path);
            self.record(ChangeStep { kept, ..steps.step(Stage::Begins, &what, "it is approved".into()) })?;
            *begun += 1;
            self.put(&file.path, after.as_deref())?;
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
            None => Proof { holds: true, ..empty(steps) },
        };
        if !proof.holds {
            self.journal.proof(proof.clone()).map_err(Error::Journal)?;
            let first = proof.leaks.first().or(proof.lost.first()).cloned().unwrap_or_default();
            let (leaks, lost) = (proof.asked - proof.refused, proof.lost.len());
            return Err(Error::NotProved(format!("{leaks} requests got through, {lost} functions are lost; {first}")));
        }
        if prover.is_none() {
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
            if found != file.after() && found != *digest {
                return Err(Error::Overwritten { path: file.path.clone() });
            }
            before.push(match digest {
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
        if is_begun {
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

    fn put_files_back<'f>(
        &mut self,
        steps: &Steps<'_>,
        files: impl Iterator<Item = (&'f FileChange, &'f Content)>,
    ) -> Result<(), Error> {
        for (file, before) in files {
            let _ = self.record(steps.step(Stage::Begins, &format!("put back {}", file.path), "undo".into()));
            self.put(&file.path, before.as_deref())?;
        }
        Ok(())
    }

    /// Copies into the case what is about to be replaced.
    fn keep(&mut self, steps: &Steps<'_>) -> Result<(), Error> {
        for keep in &steps.change.keeps {
            let words: Vec<&str> = keep.command.iter().map(String::as_str).collect();
            let what = format!("copy {}", escape(&keep.what));
            self.record(steps.step(Stage::Begins, &what, "evidence comes first".into()))?;
            let bytes = self.hands.must(&words)?;
            let why = format!("{} bytes are in the case", bytes.len());
            let kept = Some(self.journal.keep(&bytes).map_err(Error::Journal)?);
            self.record(ChangeStep { kept, ..steps.step(Stage::Ended, &what, why) })?;
        }
        Ok(())
    }

    /// Records what a person says that he did. Nobody saw it: only a proof counts.
    fn by_hand(&mut self, steps: &Steps<'_>) -> Result<(), Error> {
        for step in &steps.change.hands {
            let why = format!("by the word of {}", steps.who);
            self.record(steps.step(Stage::Ended, &format!("by hand: {}", step.text), why))?;
        }
        Ok(())
    }

    /// Writes or removes a file, and reads it back.
    fn put(&self, path: &str, content: Option<&[u8]>) -> Result<(), Error> {
        match content {
            Some(content) => self.hands.write(path, content)?,
            None => self.hands.remove(path)?,
        }
        if self.hands.read(path)?.as_deref() == content {
            return Ok(());
        }
        Err(Error::Overwritten { path: path.to_owned() })
    }

    /// What stands where the change writes; it must be what was planned.
    fn look(&self, files: &[FileChange]) -> Result<Vec<Content>, Error> {
        let mut found = Vec::new();
        for file in files {
            let bytes = self.hands.read(&file.path)?;
            if bytes.as_ref().map(|bytes| hex(&Sha256::digest(bytes))) != file.before {
                return Err(Error::Moved { path: file.path.clone() });
            }
            found.push(bytes);
        }
        Ok(found)
    }

    /// What will stand where the change writes, all of it before anything is written.
    fn contents(&mut self, files: &[FileChange]) -> Result<Vec<Content>, Error> {
        let mut content = |file: &FileChange| match (&file.content, &file.content_sha256) {
            (Some(content), _) => Ok(Some(content.clone().into_bytes())),
            (None, Some(digest)) => self.journal.kept(digest).map(Some).map_err(Error::Journal),
            (None, None) => Ok(None),
        };
        files.iter().map(&mut content).collect()
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
        let done = self.hands.run(&["sh", "-c", CHILDREN, "sh", &drain.pid_file], &[])?;
        let text = String::from_utf8_lossy(&done.out).into_owned();
        Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
    }

    /// Waits until the old children have ended, and ends those that do not.
    fn drain(&mut self, steps: &Steps<'_>, drain: Option<&Drain>, old: &[u32]) -> Result<(), Error> {
        let Some(drain) = drain else { return Ok(()) };
        let what = format!("end {} old processes", old.len());
        self.record(steps.step(Stage::Begins, &what, format!("they have {} s to finish", drain.seconds)))?;
        let rounds = u64::from(drain.seconds) * 20;
        let mut left = old.to_vec();
        for (signal, rounds) in [("", rounds), ("-TERM", 40), ("-KILL", 40)] {
            if !signal.is_empty() && !left.is_empty() {
                let numbers: Vec<String> = left.iter().map(u32::to_string).collect();
                let words: Vec<&str> = ["kill", signal].into_iter().chain(numbers.iter().map(String::as_str)).collect();
                // One that has ended by itself meanwhile is no failure.
                self.hands.run(&words, &[])?;
            }
            for _ in 0..=rounds {
                let now = self.children(Some(drain))?;
                left.retain(|child| now.contains(child));
                // Without a new child nobody serves yet.
                if left.is_empty() && !now.is_empty() {
                    return self.record(steps.step(Stage::Ended, &what, "none of them runs any more".into()));
                }
                std::thread::sleep(Duration::from_millis(50));
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

/// Hands that try again where a connection was lost: what was begun must not stay half done for a lost packet. All that
/// undoes something may be done twice.
struct Patient<'a>(&'a dyn Hands);

impl Hands for Patient<'_> {
    fn run(&self, words: &[&str], input: &[u8]) -> Result<hands::Done, hands::Error> {
        for wait in [1, 3, 10, 20] {
            match self.0.run(words, input) {
                Err(hands::Error::Lost { .. }) => std::thread::sleep(Duration::from_secs(wait)),
                done => return done,
            }
        }
        self.0.run(words, input)
    }
}

/// The exit code for a lock that is taken.
const TAKEN: i32 = 45;

const LOCK: &str = "if mkdir -- \"$1\" 2>/dev/null; then printf '%s\\n' \"$2\" > \"$1/by\"; exit 0; fi; \
    [ -d \"$1\" ] || { mkdir -- \"$1\"; exit 1; }; cat -- \"$1/by\" 2>/dev/null; exit 45";

const UNLOCK: &str = "rm -f -- \"$1/by\"; [ ! -d \"$1\" ] || rmdir -- \"$1\"";

const CHILDREN: &str = "read -r pid < \"$1\" && cat /proc/\"$pid\"/task/\"$pid\"/children";

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

/// An error and its causes in one line, for a record.
fn chain(err: &dyn std::error::Error) -> String {
    let mut line = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        line = format!("{line}: {err}");
        cause = err.source();
    }
    line
}
