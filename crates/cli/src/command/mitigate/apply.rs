//! `mitigate apply`, `prove` and `undo`: carry out what was approved, ask whether it holds, and take it back.

use std::path::Path;

use ::case::Case;
use ::directive::change::{Change, Kind, NotApproved, Written};
use ::directive::record::{
    Body, DutyCount, Evidence, Finding, Gap, Outcome, Proof, Record, Severity, Step, short_digest,
};
use ::directive::scope::Scope;
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::mitigate::apply::{Error, Worker};
use ::mitigate::prove::Prover;
use ::mitigate::quarantine;
use jiff::Timestamp;

use super::journal::InCase;
use super::{LoginArgs, Place, change, clock, import, known, many, scope, show};
use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::progress::Stop;
use crate::ui::Ui;

/// Carry out an approved change, prove it, and undo it if it does not hold
///
/// Everything that stood there before goes into the case first. Each step is recorded before it is done.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The file of the change, or the folder of several with their list
    #[arg(value_name = "CHANGE")]
    pub(super) change: String,

    /// Who approves it
    #[arg(long, value_name = "PERSON")]
    pub(super) by: String,

    /// Its digest, at least twelve digits: that this very file was read. Of a folder, the digest of changes.sha256
    #[arg(long, value_name = "DIGEST")]
    pub(super) approve: String,

    /// Take the lock of a run away that was killed
    #[arg(long)]
    pub(super) break_lock: bool,

    /// Of a folder of changes, how many machines are worked on at a time
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    pub(super) at_once: usize,

    #[command(flatten)]
    pub(super) place: Place,
}

/// Ask from outside whether a change holds
#[derive(clap::Args, Debug)]
pub(super) struct ProveArgs {
    /// The file of the change, its digest where the case knows it, or the folder of several
    #[arg(value_name = "CHANGE")]
    pub(super) change: String,

    /// Of a folder of changes, how many machines are worked on at a time
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    pub(super) at_once: usize,

    #[command(flatten)]
    pub(super) place: Place,
}

/// Put everything back as it was before a change, byte for byte
#[derive(clap::Args, Debug)]
pub(super) struct UndoArgs {
    /// The file of the change, its digest where the case knows it, or the folder of several
    #[arg(value_name = "CHANGE")]
    pub(super) change: String,

    /// Who takes it back
    #[arg(long, value_name = "PERSON")]
    pub(super) by: String,

    /// Take the lock of a run away that was killed
    #[arg(long)]
    pub(super) break_lock: bool,

    /// Of a folder of changes, how many machines are worked on at a time
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    pub(super) at_once: usize,

    #[command(flatten)]
    pub(super) place: Place,
}

/// How many machines are worked on at a time. Most of the time each waits for old connections to end.
const AT_ONCE: usize = 64;

pub(super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    if many::is_list(&args.change) {
        return many::apply(ui, args);
    }
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
    let unseen = open.unseen_import()?;
    let mut journal = open.journal(ui);
    let begun = journal.clock.now();
    let mut worker =
        Worker { hands: hands.as_ref(), journal: &mut journal, scope: &scope, break_lock: args.break_lock };
    let proof = worker.apply(&approved).map_err(failed)?;
    if is_unproved(approved.change()) {
        return Ok(unproved(journal, approved.change(), begun));
    }
    done(&mut journal, &proof, &args.by)?;
    tell(&mut journal, unseen)?;
    finish(journal, &proof, approved.change().target.kind)
}

/// Whether nobody is asked whether a change holds: an installation, for example.
pub(super) fn is_unproved(change: &Change) -> bool {
    change.prove.is_none() && change.target.kind != Kind::Remove
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
    if many::is_list(&args.change) {
        return many::prove(ui, args);
    }
    let mut open = Open::new(&args.place, &args.change)?;
    let scope = scope(&args.place.scope)?;
    let written = open.written.clone();
    let is_approved = known(&open.state, &written).is_some_and(|known| known.approved);
    let unseen = open.unseen_import()?;
    let mut journal = open.journal(ui);
    let proof = ask(&mut journal, &written, (&scope, &args.place.login), is_approved)?;
    tell(&mut journal, unseen)?;
    finish(journal, &proof, written.change().target.kind)
}

/// Asks.
pub(super) fn asked(
    written: &Written,
    (scope, login): (&Scope, &LoginArgs),
    is_approved: bool,
    now: Timestamp,
) -> Result<Proof, CommandError> {
    let change = written.change();
    if change.target.kind == Kind::Remove {
        let hands = login.hands(&change.target.host)?;
        return quarantine::prove(hands.as_ref(), change, written.sha256(), now)
            .map_err(|err| CommandError::because("the target cannot be looked at", err));
    }
    let prover = Prover::new(change, written.sha256(), scope, is_approved);
    let prover = prover.map_err(|err| CommandError::because("the change could not be proved", err))?;
    Ok(prover.prove(None, now))
}

/// Asks, and records what came.
pub(super) fn ask(
    journal: &mut InCase<'_>,
    written: &Written,
    with: (&Scope, &LoginArgs),
    is_approved: bool,
) -> Result<Proof, CommandError> {
    let proof = asked(written, with, is_approved, journal.clock.now())?;
    record(journal, &proof, written.change().target.kind)?;
    Ok(proof)
}

/// Records what came, and that the action is done if it holds.
pub(super) fn record(journal: &mut InCase<'_>, proof: &Proof, kind: Kind) -> Result<(), CommandError> {
    let append = |journal: &mut InCase<'_>, body| {
        journal.append(body).map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
    };
    for body in findings(proof, kind) {
        append(journal, body)?;
    }
    append(journal, Body::Proof(proof.clone()))?;
    if proof.holds {
        done(journal, proof, "")?;
    }
    Ok(())
}

pub(super) fn undo(ui: &mut Ui, args: &UndoArgs) -> Result<Exit, CommandError> {
    if many::is_list(&args.change) {
        return many::undo(ui, args);
    }
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

    /// What the log does not tell of the import of a vendor's file.
    fn unseen_import(&self) -> Result<Option<Gap>, CommandError> {
        if self.written.change().target.kind != Kind::VendorFile {
            return Ok(None);
        }
        let packs = open::packs_of(&[], open::opening(&self.case)?.as_ref())?;
        Ok(import::unseen(self.written.change(), &packs, &self.state))
    }

    fn is_applied(&self) -> bool {
        known(&self.state, &self.written).is_some_and(::directive::mitigation::Mitigation::is_applied)
    }

    fn journal<'a>(&'a mut self, ui: &'a mut Ui) -> InCase<'a> {
        let instance = self.written.change().from.instance.clone();
        InCase { case: &mut self.case, clock: self.clock, ui, instance, records: Vec::new() }
    }
}

/// Records a gap and shows it.
fn tell(journal: &mut InCase<'_>, gap: Option<Gap>) -> Result<(), CommandError> {
    let Some(gap) = gap else { return Ok(()) };
    journal.ui.status(format_args!("gap {}: {}", gap.code, escape(&gap.why)));
    journal.append(Body::Gap(gap)).map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
}

fn open_case(dir: &Path) -> Result<Case, CommandError> {
    Ok(Case::open(dir)?)
}

/// Records that the action is done: the latest proof of it holds.
fn done(journal: &mut InCase<'_>, proof: &Proof, by: &str) -> Result<(), CommandError> {
    let number = journal.records.len().to_le_bytes();
    let Some(step) = done_step(proof, by, &journal.instance, &number) else { return Ok(()) };
    journal.append(Body::Step(step)).map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
}

/// That the action is done, as a step; nothing where the proof does not hold.
pub(super) fn done_step(proof: &Proof, by: &str, instance: &str, number: &[u8]) -> Option<Step> {
    let action = proof.action.clone().filter(|_| proof.holds)?;
    Some(Step {
        step: short_digest(&[action.as_bytes(), instance.as_bytes(), number]),
        action,
        outcome: Outcome::Done,
        why: format!("proved: {} of {} requests refused", proof.refused, proof.asked),
        by: (!by.is_empty()).then(|| by.to_owned()),
        inputs: vec![proof.change.clone()],
    })
}

/// What a proof that does not hold says about the instance.
pub(super) fn findings(proof: &Proof, kind: Kind) -> Vec<Body> {
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
    if kind == Kind::Remove {
        let lines: Vec<String> = proof.leaks.iter().chain(&proof.lost).cloned().collect();
        let why = lines.first().map(|first| format!("{} of what was removed came back, first {first}", lines.len()));
        return why.map(|why| finding("malware-returned", Severity::Critical, why, &lines)).into_iter().collect();
    }
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

fn finish(journal: InCase<'_>, proof: &Proof, kind: Kind) -> Result<Exit, CommandError> {
    let exit = if proof.holds { Exit::Done } else { Exit::Act };
    if !journal.ui.is_json() {
        journal.ui.text(&show::proof(proof, kind));
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
        Error::Returned { .. } => {
            "everything is as it was before; find what puts it there, or plan again with --end-processes"
        }
        Error::Prove(_) => "nothing stays changed; name reachable addresses of the scope with --at",
        _ => "everything is as it was before; the case says what was done",
    };
    CommandError::because("the change was not carried out", err).hint(hint)
}
