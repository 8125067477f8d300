//! `mitigate watch`: does each workaround still hold, also after somebody has pushed a configuration?
//!
//! Each that is applied is proved again when its proof does not count any more, and at once when a file of it is not
//! what the change made of it, or the proxy has new processes. A push has silently voided a real mitigation.

use std::collections::BTreeMap;
use std::time::Duration;

use ::case::Case;
use ::directive::change::{Change, Kind, Written};
use ::directive::record::{Body, Evidence, Finding, Severity, Status, hex};
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use sha2::{Digest as _, Sha256};

use super::journal::InCase;
use super::{Place, change, clock, scope, show};
use crate::error::CommandError;
use crate::progress::Stop;
use crate::ui::Ui;

/// Prove every workaround of the case again, on time and after each reload or push that is noticed
///
/// Runs until it is stopped, or once with --once, for a timer.
///
/// Exits 0 if all hold, 1 if one does not, has expired, or outlives the patch.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Look once and end
    #[arg(long)]
    once: bool,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pause: u64,

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

/// Looks at every workaround once. `seen` holds the processes that served at the last look.
fn look(ui: &mut Ui, args: &Args, seen: &mut BTreeMap<String, String>) -> Result<Exit, CommandError> {
    let scope = scope(&args.place.scope)?;
    let mut case = Case::open(&args.place.case)?;
    let clock = clock(&case)?;
    let state = State::from_records(&case.records()?);
    let mut exit = Exit::Done;
    let mut records = Vec::new();
    for (name, known) in &state.instances {
        for (digest, mitigation) in known.changes.iter().filter(|(_, one)| one.is_applied()) {
            let written = change(digest, &case, &state)?;
            let noticed = noticed(args, &written, seen.get(digest).map(String::as_str))?;
            seen.insert(digest.clone(), noticed.processes);
            let fault = mitigation.fault(clock.now());
            let is_outlived = known.instance.version.status == Status::Fixed;
            let mut journal =
                InCase { case: &mut case, clock, ui: &mut *ui, instance: name.clone(), records: Vec::new() };
            for why in &noticed.why {
                journal.ui.status(format_args!("{}: {}", escape(name), escape(why)));
                note(&mut journal, finding("workaround-overwritten", why, digest))?;
            }
            let has_expired = written.change().expires.is_some_and(|expires| expires <= clock.now());
            if let Some(owed) = owed(has_expired, is_outlived, digest) {
                journal.ui.status(format_args!("{}: {}.", escape(name), owed.why));
                note(&mut journal, owed)?;
                exit = exit.and(Exit::Act);
            }
            if fault.is_some() || noticed.is_new || !noticed.why.is_empty() {
                let proof =
                    super::apply::ask(&mut journal, &written, (&scope, &args.place.login), mitigation.approved)?;
                if !journal.ui.is_json() {
                    let shown = show::proof(&proof, written.change().target.kind);
                    journal.ui.text(&format!("{}: {shown}", escape(name)));
                }
                exit = if proof.holds { exit } else { exit.and(Exit::Act) };
            }
            records.append(&mut journal.records);
        }
    }
    if ui.is_json() {
        ui.record(&crate::command::summary(&records, Default::default(), exit, clock.now()));
    }
    Ok(exit)
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
    let appended = journal.append(Body::Finding(finding));
    appended.map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
}
