//! `mitigate apply`, `prove` and `undo`: carry out what was approved, ask whether it holds, and take it back.

use std::path::Path;

use ::case::Case;
use ::directive::change::{Change, NotApproved, Written};
use ::directive::record::{Body, DutyCount, Evidence, Finding, Outcome, Proof, Record, Severity, Step, short_digest};
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::mitigate::apply::{Error, Worker};
use ::mitigate::prove::Prover;
use jiff::Timestamp;

use super::journal::InCase;
use super::{Place, change, clock, known, scope, show};
use crate::clock::Clock;
use crate::error::CommandError;
use crate::progress::Stop;
use crate::ui::Ui;

/// Carry out an approved change, prove it, and undo it if it does not hold
///
/// Everything that stood there before goes into the case first. Each step is recorded before it is done.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The file of the change
    #[arg(value_name = "CHANGE")]
    change: String,

    /// Who approves it
    #[arg(long, value_name = "PERSON")]
    by: String,

    /// Its digest, at least twelve digits: that this very file was read
    #[arg(long, value_name = "DIGEST")]
    approve: String,

    /// Take the lock of a run away that was killed
    #[arg(long)]
    break_lock: bool,

    #[command(flatten)]
    place: Place,
}

/// Ask from outside whether a change holds
#[derive(clap::Args, Debug)]
pub(super) struct ProveArgs {
    /// The file of the change, or its digest where the case knows it
    #[arg(value_name = "CHANGE")]
    change: String,

    #[command(flatten)]
    place: Place,
}

/// Put everything back as it was before a change, byte for byte
#[derive(clap::Args, Debug)]
pub(super) struct UndoArgs {
    /// The file of the change, or its digest where the case knows it
    #[arg(value_name = "CHANGE")]
    change: String,

    /// Who takes it back
    #[arg(long, value_name = "PERSON")]
    by: String,

    /// Take the lock of a run away that was killed
    #[arg(long)]
    break_lock: bool,

    #[command(flatten)]
    place: Place,
}

pub(super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let mut open = Open::new(&args.place, &args.change)?;
    if open.is_applied() {
        return Err(CommandError::new("the change is applied already").hint("`mitigate prove` asks whether it holds"));
    }
    let scope = scope(&args.place.scope)?;
    let hands = args.place.login.hands(&open.written.change().target.host)?;
    let approved = open.written.clone().approve(&args.by, open.clock.now(), &args.approve).map_err(|err| {
        let hint = match err {
            NotApproved::Other { .. } => "`sha256sum` of the file gives it; read the file again before you approve it",
            _ => "plan it again",
        };
        CommandError::because("nothing was touched: the change is not approved", err).hint(hint)
    })?;
    // The first Ctrl-C ends nothing in the middle: the end is seconds away, and half a change is worse than none.
    let _stop = Stop::listen();
    let mut journal = open.journal(ui);
    let begun = journal.clock.now();
    let mut worker =
        Worker { hands: hands.as_ref(), journal: &mut journal, scope: &scope, break_lock: args.break_lock };
    let proof = worker.apply(&approved).map_err(failed)?;
    if approved.change().prove.is_none() {
        return Ok(unproved(journal, approved.change(), begun));
    }
    done(&mut journal, &proof, &args.by)?;
    finish(journal, &proof)
}

/// What was done and is proved in another way: nobody was asked from outside.
fn unproved(journal: InCase<'_>, change: &Change, begun: Timestamp) -> Exit {
    let instance = escape(&change.from.instance);
    journal.ui.status(format_args!(
        "hint: it proves nothing yet: `portcullis respond --again`, then `portcullis update prove {instance} --since \
         {begun:.0}`"
    ));
    close(journal, Exit::Done);
    Exit::Done
}

pub(super) fn prove(ui: &mut Ui, args: &ProveArgs) -> Result<Exit, CommandError> {
    let mut open = Open::new(&args.place, &args.change)?;
    let scope = scope(&args.place.scope)?;
    let written = open.written.clone();
    let is_approved = known(&open.state, &written).is_some_and(|known| known.approved);
    let mut journal = open.journal(ui);
    let proof = ask(&mut journal, &written, &scope, is_approved)?;
    finish(journal, &proof)
}

/// Asks, and records what came.
pub(super) fn ask(
    journal: &mut InCase<'_>,
    written: &Written,
    scope: &::directive::scope::Scope,
    is_approved: bool,
) -> Result<Proof, CommandError> {
    let cannot = |err| CommandError::because("the change could not be proved", err);
    let prover = Prover::new(written.change(), written.sha256(), scope, is_approved).map_err(cannot)?;
    let proof = prover.prove(None, journal.clock.now());
    let append = |journal: &mut InCase<'_>, body| {
        journal.append(body).map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
    };
    for body in findings(&proof) {
        append(journal, body)?;
    }
    append(journal, Body::Proof(proof.clone()))?;
    if proof.holds {
        done(journal, &proof, "")?;
    }
    Ok(proof)
}

pub(super) fn undo(ui: &mut Ui, args: &UndoArgs) -> Result<Exit, CommandError> {
    let mut open = Open::new(&args.place, &args.change)?;
    let scope = scope(&args.place.scope)?;
    let kept = known(&open.state, &open.written).map(|known| (known.kept.clone(), known.undone));
    let Some((kept, is_undone)) = kept else {
        return Err(
            CommandError::new("the case does not know this change").hint("undo it with the case that applied it")
        );
    };
    if is_undone {
        return Err(CommandError::new("the change is undone already"));
    }
    let hands = args.place.login.hands(&open.written.change().target.host)?;
    let _stop = Stop::listen();
    let written = open.written.clone();
    let mut journal = open.journal(ui);
    let mut worker =
        Worker { hands: hands.as_ref(), journal: &mut journal, scope: &scope, break_lock: args.break_lock };
    worker.undo(&written, &args.by, &kept).map_err(failed)?;
    close(journal, Exit::Done);
    Ok(Exit::Done)
}

/// A case and a change of it.
pub(super) struct Open {
    pub(super) case: Case,
    pub(super) clock: Clock,
    pub(super) state: State,
    pub(super) written: Written,
}

impl Open {
    fn new(place: &Place, name: &str) -> Result<Self, CommandError> {
        let case = open_case(&place.case)?;
        let clock = clock(&case)?;
        let state = State::from_records(&case.records()?);
        let written = change(name, &case, &state)?;
        Ok(Self { case, clock, state, written })
    }

    fn is_applied(&self) -> bool {
        known(&self.state, &self.written).is_some_and(::directive::mitigation::Mitigation::is_applied)
    }

    fn journal<'a>(&'a mut self, ui: &'a mut Ui) -> InCase<'a> {
        let instance = self.written.change().from.instance.clone();
        InCase { case: &mut self.case, clock: self.clock, ui, instance, records: Vec::new() }
    }
}

fn open_case(dir: &Path) -> Result<Case, CommandError> {
    Ok(Case::open(dir)?)
}

/// Records that the action is done: the latest proof of it holds.
fn done(journal: &mut InCase<'_>, proof: &Proof, by: &str) -> Result<(), CommandError> {
    let Some(action) = proof.action.clone().filter(|_| proof.holds) else { return Ok(()) };
    let step = Step {
        step: short_digest(&[action.as_bytes(), journal.instance.as_bytes(), &journal.records.len().to_le_bytes()]),
        action,
        outcome: Outcome::Done,
        why: format!("proved: {} of {} requests refused", proof.refused, proof.asked),
        by: (!by.is_empty()).then(|| by.to_owned()),
        inputs: vec![proof.change.clone()],
    };
    journal.append(Body::Step(step)).map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
}

/// What a proof that does not hold says about the instance.
fn findings(proof: &Proof) -> Vec<Body> {
    let finding = |code: &str, severity, why: String, lines: &[String]| {
        let excerpt: String = lines.first().cloned().unwrap_or_default().chars().take(200).collect();
        Body::Finding(Finding {
            code: code.to_owned(),
            severity,
            path: None,
            place: Some(proof.places.join(", ")),
            why,
            evidence: Some(Evidence { sha256: Some(proof.change.clone()), excerpt: Some(excerpt.as_str().into()) }),
            rule: None,
            attack: Vec::new(),
            clause: proof.action.clone(),
            times: Default::default(),
        })
    };
    let mut found = Vec::new();
    if proof.refused < proof.asked {
        let first = proof.leaks.first().cloned().unwrap_or_default();
        let why = format!("{} of {} requests got through, first {first}", proof.asked - proof.refused, proof.asked);
        found.push(finding("workaround-bypassed", Severity::High, why, &proof.leaks));
    }
    if !proof.lost.is_empty() {
        let first = proof.lost.first().cloned().unwrap_or_default();
        let why = format!("{} of {} functions do not work, first {first}", proof.lost.len(), proof.required);
        found.push(finding("workaround-breaks", Severity::Medium, why, &proof.lost));
    }
    found
}

fn finish(journal: InCase<'_>, proof: &Proof) -> Result<Exit, CommandError> {
    let exit = if proof.holds { Exit::Done } else { Exit::Act };
    if !journal.ui.is_json() {
        journal.ui.text(&show::proof(proof));
    }
    close(journal, exit);
    Ok(exit)
}

/// Closes a stream of records.
pub(super) fn close(journal: InCase<'_>, exit: Exit) {
    if journal.ui.is_json() {
        let records: Vec<Record> = journal.records;
        let summary = crate::command::summary(&records, DutyCount::default(), exit, journal.clock.now());
        journal.ui.record(&summary);
    }
}

fn failed(err: Error) -> CommandError {
    let hint = match &err {
        Error::Stuck { .. } => "look at the machine now; then `mitigate undo` puts the rest back",
        Error::Locked { .. } => "wait for them; after a run that was killed, --break-lock takes the lock away",
        Error::Moved { .. } => "nothing was touched; plan it again",
        Error::NoProcess { .. } => "nothing was touched; name the right file with --pid-file, and run HAProxy with -W",
        Error::Broken(_) => "nothing was touched; repair it, or plan without it",
        Error::Overwritten { .. } => {
            "compare it with the change and put it right by hand: another's work must not be lost"
        }
        Error::Prove(_) => "nothing stays changed; name reachable addresses of the scope with --at",
        _ => "everything is as it was before; the case says what was done",
    };
    CommandError::because("the change was not carried out", err).hint(hint)
}
