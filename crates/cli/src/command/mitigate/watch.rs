//! `mitigate watch`: does each workaround still hold, also after somebody has pushed a configuration?
//!
//! Each that is applied is proved again when its proof does not count any more, and at once when a file of it is not
//! what the change made of it, or the proxy has new processes. A push has silently voided a real mitigation.

use std::collections::BTreeMap;
use std::time::Duration;

use ::case::Case;
use ::directive::change::{Change, Kind, Written};
use ::directive::mitigation::Mitigation;
use ::directive::record::{Body, Evidence, Finding, Gap, Proof, Severity, Status, hex};
use ::directive::scope::Scope;
use ::directive::state::State;
use ::directive::text::{chain, escape};
use ::directive::verdict::Exit;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::journal::InCase;
use super::many::side_by_side;
use super::{Place, change, clock, scope, show};
use crate::error::CommandError;
use crate::progress::Stop;
use crate::ui::Ui;

/// Prove every workaround of the case again, on time and after each reload or push that is noticed
///
/// Runs until it is stopped, or once with --once, for a timer.
///
/// Exits 0 if all hold, 1 if one does not, has expired, or outlives the patch, 3 if a machine could not be looked at.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Look once and end
    #[arg(long)]
    once: bool,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pause: u64,

    /// Machines that are looked at side by side
    #[arg(long, value_name = "N", default_value_t = 64)]
    at_once: usize,

    #[command(flatten)]
    place: Place,
}

pub(super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let stop = Stop::listen();
    let mut seen = BTreeMap::new();
    loop {
        let exit = look(ui, args, &mut seen)?;
        if args.once {
            return Ok(exit);
        }
        for _ in 0..args.pause.saturating_mul(10) {
            if stop.is_requested() {
                return Ok(exit);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What the last look saw of a workaround.
#[derive(Default)]
struct Before {
    /// The processes that served.
    processes: String,
    /// Why the machine could not be looked at.
    unseen: Option<String>,
}

/// A workaround that is in effect.
struct Job<'a> {
    name: &'a str,
    digest: &'a str,
    known: &'a Mitigation,
    is_fixed: bool,
    written: Written,
}

/// What a look at one machine gave.
struct Looked {
    noticed: Noticed,
    /// What requests from outside met, where it was time to ask.
    proof: Option<Proof>,
}

/// Looks at every workaround once, at several machines side by side. One that cannot be looked at stops no other.
fn look(ui: &mut Ui, args: &Args, seen: &mut BTreeMap<String, Before>) -> Result<Exit, CommandError> {
    let scope = scope(&args.place.scope)?;
    let mut case = Case::open(&args.place.case)?;
    let clock = clock(&case)?;
    let state = State::from_records(&case.records()?);
    let mut jobs = Vec::new();
    for (name, known) in &state.instances {
        let is_fixed = known.instance.version.status == Status::Fixed;
        for (digest, known) in known.changes.iter().filter(|(_, one)| one.is_applied()) {
            jobs.push(Job { name, digest, known, is_fixed, written: change(digest, &case, &state)? });
        }
    }
    let before = &*seen;
    let looked = side_by_side(&jobs, args.at_once, |job| job.look(args, &scope, before.get(job.digest), clock.now()));
    let mut exit = Exit::Done;
    let mut records = Vec::new();
    for (job, looked) in jobs.iter().zip(looked) {
        let instance = job.name.to_owned();
        let mut journal = InCase { case: &mut case, clock, ui: &mut *ui, instance, records: Vec::new() };
        exit = exit.and(job.tell(&mut journal, looked, seen.entry(job.digest.to_owned()).or_default())?);
        records.append(&mut journal.records);
    }
    if ui.is_json() {
        ui.record(&crate::command::summary(&records, Default::default(), exit, clock.now()));
    }
    Ok(exit)
}

impl Job<'_> {
    /// Looks at the machine, and asks from outside if it is time or something was noticed.
    fn look(
        &self,
        args: &Args,
        scope: &Scope,
        before: Option<&Before>,
        now: Timestamp,
    ) -> Result<Looked, CommandError> {
        let noticed = noticed(args, &self.written, before.map(|before| before.processes.as_str()))?;
        let is_time = self.known.fault(now).is_some() || noticed.is_new || !noticed.why.is_empty();
        let with = (scope, &args.place.login);
        let proof = is_time.then(|| super::apply::asked(&self.written, with, self.known.approved, now)).transpose()?;
        Ok(Looked { noticed, proof })
    }

    /// Records and tells what came of it.
    fn tell(
        &self,
        journal: &mut InCase<'_>,
        looked: Result<Looked, CommandError>,
        before: &mut Before,
    ) -> Result<Exit, CommandError> {
        let mut exit = Exit::Done;
        let name = escape(self.name);
        let has_expired = self.known.has_expired(journal.clock.now());
        if let Some(owed) = owed(has_expired, self.is_fixed, self.digest) {
            journal.ui.status(format_args!("{name}: {}.", owed.why));
            note(journal, owed)?;
            exit = Exit::Act;
        }
        let Looked { noticed, proof } = match looked {
            Ok(looked) => looked,
            Err(err) => return Ok(exit.and(self.unseen(journal, &chain(&err), before)?)),
        };
        *before = Before { processes: noticed.processes, unseen: None };
        for why in &noticed.why {
            journal.ui.status(format_args!("{name}: {}", escape(why)));
            note(journal, finding("workaround-overwritten", why, self.digest))?;
        }
        let Some(proof) = proof else { return Ok(exit) };
        super::apply::record(journal, &proof, self.written.change().target.kind)?;
        if !journal.ui.is_json() {
            let shown = show::proof(&proof, self.written.change().target.kind);
            journal.ui.text(&format!("{name}: {shown}"));
        }
        Ok(if proof.holds { exit } else { exit.and(Exit::Act) })
    }

    /// That nobody knows whether it holds. Recorded once for as long as it lasts.
    fn unseen(&self, journal: &mut InCase<'_>, why: &str, before: &mut Before) -> Result<Exit, CommandError> {
        let host = escape(&self.written.change().target.host);
        journal.ui.status(format_args!("{} at {host}: {}", escape(self.name), escape(why)));
        if before.unseen.as_deref() != Some(why) {
            before.unseen = Some(why.to_owned());
            let (place, why) = (Some(host), why.to_owned());
            let gap = Gap { code: "workaround-unseen".to_owned(), path: None, place, why, required: true };
            append(journal, Body::Gap(gap))?;
        }
        Ok(Exit::Inconclusive)
    }
}

/// What is owed of a workaround that has to go, or to be planned anew.
fn owed(has_expired: bool, is_outlived: bool, digest: &str) -> Option<Finding> {
    if is_outlived {
        let why = "the version is fixed and the workaround still stands: take it back";
        return Some(finding("workaround-outlives-patch", why, digest));
    }
    let why = "the workaround has expired: update, or plan it anew";
    has_expired.then(|| finding("workaround-expired", why, digest))
}

/// What is different on the machine.
struct Noticed {
    why: Vec<String>,
    processes: String,
    is_new: bool,
}

fn noticed(args: &Args, written: &Written, before: Option<&str>) -> Result<Noticed, CommandError> {
    let change: &Change = written.change();
    let hands = args.place.login.hands(&change.target.host)?;
    let cannot = |err| CommandError::because("the target cannot be looked at", err);
    let mut why = Vec::new();
    // Of what was removed the proof itself looks at the files, each time: malware that comes back does not wait for a
    // day.
    if change.target.kind == Kind::Remove {
        return Ok(Noticed { why, processes: String::new(), is_new: true });
    }
    for file in &change.files {
        let found = hands.read(&file.path).map_err(cannot)?.map(|bytes| hex(&Sha256::digest(bytes)));
        if found != file.after() {
            why.push(format!("{} is not what the change made of it: a configuration was pushed", file.path));
        }
    }
    let processes = match &change.drain {
        Some(drain) => {
            let look = "read -r pid < \"$1\" && cat /proc/\"$pid\"/task/\"$pid\"/children";
            let done = hands.run(&["sh", "-c", look, "sh", &drain.pid_file], &[]).map_err(cannot)?;
            String::from_utf8_lossy(&done.out).into_owned()
        }
        None => String::new(),
    };
    let is_new = before.is_some_and(|before| before != processes);
    Ok(Noticed { why, processes, is_new })
}

fn finding(code: &str, why: &str, digest: &str) -> Finding {
    Finding {
        code: code.to_owned(),
        severity: Severity::Medium,
        path: None,
        place: None,
        why: why.to_owned(),
        evidence: Some(Evidence { sha256: Some(digest.to_owned()), excerpt: None }),
        rule: None,
        attack: Vec::new(),
        clause: None,
        times: Default::default(),
    }
}

/// Records a finding about the instance.
fn note(journal: &mut InCase<'_>, mut finding: Finding) -> Result<(), CommandError> {
    finding.place = Some(journal.instance.clone());
    append(journal, Body::Finding(finding))
}

fn append(journal: &mut InCase<'_>, body: Body) -> Result<(), CommandError> {
    journal.append(body).map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
}
