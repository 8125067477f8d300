//! `respond`: do everything that is due, and say what waits for a person.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ::case::Case;
use ::directive::action::Does;
use ::directive::pack::Pack;
use ::directive::plan::{Again, Plan, PlannedStep};
use ::directive::progress::Progress;
use ::directive::record::{Body, DutyCount, Outcome, Record};
use ::directive::state::{Known, State};
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::lab::Lab;
use ::report::filing::Filing;
use ::report::{Built, Report};
use ::respond::{Ended, Inputs, Responder, Watch};
use jiff::Timestamp;

use super::report::filing;
use crate::clock::{self, Clock};
use crate::error::CommandError;
use crate::open;
use crate::progress::{Bar, Stop};
use crate::ui::Ui;

/// Do everything that is due, and say what waits for a person
///
/// Counts instances, checks the evidence that the scope names, records every step in the case and
/// writes the report into it. Run it again at any time: it goes on where it stopped.
///
/// Exits 0 if nothing is left to do, 1 if somebody must act, 2 if a step failed, 3 if it was
/// interrupted or could not see enough.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folder or id of a directive's pack; may be given again. Default: those of the case
    #[arg(long, value_name = "P")]
    pack: Vec<String>,

    /// The scope file: what is ours
    #[arg(long, value_name = "FILE", required_unless_present = "lab")]
    scope: Option<PathBuf>,

    /// Folder of the case; made if it is missing. Default: ./portcullis-case
    #[arg(long, value_name = "DIR")]
    case: Option<PathBuf>,

    /// Build a small lab in a temporary folder and on loopback, and respond to ED 21-03 there
    #[arg(long, conflicts_with = "scope")]
    lab: bool,

    /// Run as an exercise: the clock of a new case starts at this time,
    /// `2021-04-21T09:00[America/New_York]`; a case that exists keeps its own
    #[arg(long, value_name = "TIME")]
    exercise: Option<String>,

    /// Do steps again that were done already and are not due yet
    #[arg(long)]
    again: bool,
}

/// The morning after ED 21-03 was issued: two and a half days before everything is due.
const LAB_START: &str = "2021-04-21T09:00[America/New_York]";
const LAB_PACK: &str = "ed-21-03";

/// The program and version, for records and reports.
const TOOL: &str = concat!("portcullis ", env!("CARGO_PKG_VERSION"));

pub(crate) fn run(ui: &mut Ui, args: &Args, threads: NonZeroUsize) -> Result<Exit, CommandError> {
    let stop = Stop::listen();
    if args.lab {
        return in_lab(ui, args, threads, &stop);
    }
    let scope = args.scope.clone().unwrap_or_else(|| PathBuf::from("scope.toml"));
    let case = args.case.clone().unwrap_or_else(|| PathBuf::from(open::DEFAULT_CASE));
    let start = args.exercise.as_deref().map(clock::moment).transpose()?;
    let job = Job { packs: &args.pack, scope: &scope, case: &case, start, again: again(args), threads };
    respond(ui, &job, &stop)
}

/// Builds the lab and responds in it as anywhere else.
fn in_lab(ui: &mut Ui, args: &Args, threads: NonZeroUsize, stop: &Stop) -> Result<Exit, CommandError> {
    let dir = lab_folder()?;
    let lab = Lab::build(&dir).map_err(|err| CommandError::because("the lab cannot be built", err))?;
    ui.status(format_args!("Lab in {}: three synthetic instances, on loopback and as evidence.", dir.display()));
    let packs = if args.pack.is_empty() { vec![LAB_PACK.to_owned()] } else { args.pack.clone() };
    let case = args.case.clone().unwrap_or_else(|| dir.join("case"));
    let start = Some(clock::moment(args.exercise.as_deref().unwrap_or(LAB_START))?);
    let scope = lab.scope_file();
    let job = Job { packs: &packs, scope: &scope, case: &case, start, again: again(args), threads };
    respond(ui, &job, stop)
}

/// A fresh folder that stays after the run: the report lies in it.
fn lab_folder() -> Result<PathBuf, CommandError> {
    let base = std::env::temp_dir();
    for n in 0..1000 {
        let dir = base.join(format!("portcullis-lab-{}-{n}", std::process::id()));
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(CommandError::because(format!("cannot make {}", dir.display()), err)),
        }
    }
    Err(CommandError::new(format!("{} holds a thousand labs of this process", base.display())))
}

fn again(args: &Args) -> Again {
    if args.again { Again::Now } else { Again::WhenDue }
}

/// One response.
struct Job<'a> {
    packs: &'a [String],
    scope: &'a Path,
    case: &'a Path,
    start: Option<Timestamp>,
    again: Again,
    threads: NonZeroUsize,
}

fn respond(ui: &mut Ui, job: &Job<'_>, stop: &Stop) -> Result<Exit, CommandError> {
    let inputs = inputs(job.scope)?;
    let is_new = !job.case.join("case.db").exists();
    let (mut case, clock, packs) = if is_new { start(job)? } else { go_on(job)? };
    let now = move || clock.now();
    let bar = Bar::new(stop, ui.is_watched());
    let watcher = Watcher { ui: RefCell::new(ui), bar: &bar };
    let mut responder = Responder {
        case: &mut case,
        packs: &packs,
        inputs: &inputs,
        now: &now,
        clock_offset: clock.offset(),
        tool: TOOL,
        again: job.again,
        threads: job.threads,
        watch: &watcher,
    };
    let failed = |err| CommandError::because("the response stopped", err);
    let ended = responder.run().map_err(failed)?;
    let (state, plans) = responder.plans().map_err(failed)?;
    let ui = watcher.ui.into_inner();
    End { case: &case, packs: &packs, state, plans, ended, at: clock.now() }.finish(ui)
}

fn inputs(scope: &Path) -> Result<Inputs, CommandError> {
    let bytes = open::read(scope).map_err(|err| {
        CommandError::because(format!("cannot read the scope file {}", scope.display()), err)
            .hint("`portcullis respond --lab` writes an example; docs/scope.md explains it")
    })?;
    Inputs::check(scope, bytes, open::read).map_err(|err| CommandError::because("nothing was done", err))
}

/// Opens a new case; only now, when everything that the operator gave is usable.
fn start(job: &Job<'_>) -> Result<(Case, Clock, Vec<Pack>), CommandError> {
    let packs = open::packs_of(job.packs, None)?;
    let clock = job.start.map_or_else(Clock::machine, Clock::exercise);
    Ok((Case::create(job.case)?, clock, packs))
}

/// Goes on with a case, in its own time.
fn go_on(job: &Job<'_>) -> Result<(Case, Clock, Vec<Pack>), CommandError> {
    let case = Case::open(job.case)?;
    let opening = open::opening(&case)?;
    let packs = open::packs_of(job.packs, opening.as_ref())?;
    // The case's own clock wins, so that the same command goes on. A run that was killed before its
    // first record leaves an empty case without one.
    let clock = match &opening {
        Some(opening) => Clock::with_offset(opening.clock_offset),
        None => job.start.map_or_else(Clock::machine, Clock::exercise),
    };
    Ok((case, clock, packs))
}

/// Shows a person what begins and what was recorded.
struct Watcher<'a> {
    ui: RefCell<&'a mut Ui>,
    bar: &'a Bar,
}

impl Watch for Watcher<'_> {
    fn opened(&self, records: &[Record]) {
        let mut ui = self.ui.borrow_mut();
        if ui.is_json() {
            records.iter().for_each(|record| ui.record(record));
        }
    }

    fn begins(&self, step: &PlannedStep) -> &dyn Progress {
        let what = match (step.does, &step.instance) {
            (Does::Discover, _) => "Counting instances: addresses".to_owned(),
            (_, Some(name)) => format!("Checking {}: files", escape(name)),
            (_, None) => step.action.clone(),
        };
        self.bar.begin(&what);
        self.bar
    }

    fn ended(&self, step: &PlannedStep, records: &[Record]) {
        self.bar.end();
        let mut ui = self.ui.borrow_mut();
        if ui.is_json() {
            records.iter().for_each(|record| ui.record(record));
        }
        for record in records {
            if let Body::Step(done) = &record.body {
                let whose = step.instance.as_deref().map(|name| format!(" for {}", escape(name))).unwrap_or_default();
                match done.outcome {
                    Outcome::Done => ui.status(format_args!("Done: {}{whose}.", done.action)),
                    _ => ui.status(format_args!("Failed: {}{whose}: {}", done.action, escape(&done.why))),
                }
            }
        }
    }
}

/// What a run left, when it ended.
struct End<'a> {
    case: &'a Case,
    packs: &'a [Pack],
    state: State,
    plans: Vec<Plan>,
    ended: Ended,
    at: Timestamp,
}

impl End<'_> {
    /// Writes the reports, says what is owed, and decides the exit code.
    fn finish(&self, ui: &mut Ui) -> Result<Exit, CommandError> {
        let head = self.case.verify()?;
        let mut duties = DutyCount::default();
        for (pack, plan) in self.packs.iter().zip(&self.plans) {
            let built = Built { at: self.at, records: head.records, head: head.hash.clone(), tool: TOOL.to_owned() };
            let report = Report::build(pack, &self.state, plan, built);
            duties.open += report.open.open;
            duties.late += report.open.late;
            let filing = filing(self.case, pack, &self.state)?;
            let written = write_reports(self.case, pack, &report, &filing)?;
            self.show(ui, pack, plan, &report, &filing);
            ui.status(format_args!("Report: {}", written.display()));
        }
        ui.status(format_args!("{} duties are open, {} of them late.", duties.open, duties.late));
        if self.ended.interrupted {
            ui.status(format_args!("Interrupted. Run the same command again to go on."));
        }
        let exit = self.exit(duties);
        if ui.is_json() {
            ui.record(&super::summary(&self.ended.records, duties, exit, self.at));
        }
        Ok(exit)
    }

    fn show(&self, ui: &mut Ui, pack: &Pack, plan: &Plan, report: &Report, filing: &Filing) {
        if !ui.is_json() {
            let width = ui.width();
            return ui.text(&::report::text::render(report, filing, width));
        }
        for (n, owed) in plan.duties.iter().enumerate() {
            let body = Body::Duty(owed.duty.clone());
            ui.record(&Record::stamp(pack.id(), n, self.at, owed.instance.as_deref(), body));
        }
    }

    /// A step that failed weighs most; an interrupted run is never done.
    fn exit(&self, duties: DutyCount) -> Exit {
        if self.ended.failed > 0 {
            return Exit::Failed;
        }
        if self.ended.interrupted {
            return Exit::Inconclusive;
        }
        let exit = super::exit_of(self.state.instances.values().filter_map(Known::verdict));
        if duties.open > 0 { exit.and(Exit::Act) } else { exit }
    }
}

/// The three forms of a report, in the case's folder; the page is the one to open.
fn write_reports(case: &Case, pack: &Pack, report: &Report, filing: &Filing) -> Result<PathBuf, CommandError> {
    let path = |ending: &str| case.dir().join(format!("report-{}.{ending}", pack.id()));
    let page =
        ::report::html::render(report, filing).map_err(|err| CommandError::because("the page cannot be made", err))?;
    let json = ::report::json(report).map_err(|err| CommandError::because("the JSON cannot be made", err))?;
    super::write_file(&path("html"), page.as_bytes())?;
    super::write_file(&path("json"), json.as_bytes())?;
    super::write_file(&path("txt"), ::report::text::render(report, filing, 100).as_bytes())?;
    Ok(path("html"))
}
