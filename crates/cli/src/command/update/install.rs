//! `update install`: write down how verified packages get onto the machine, and touch nothing.

use std::path::PathBuf;

use ::case::Case;
use ::directive::change::{Change, Written};
use ::directive::pack::Pack;
use ::directive::record::{Body, ChangeStep, Record, Stage, short_digest};
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::update::install::{self, Manager, Request};
use ::update::verify::{Subject, Verified};
use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};

use super::verify::{Believed, Pins, name, record, whole};
use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Write down how verified packages get onto the machine, and touch nothing
///
/// Only packages that `update verify` would let in are installed, byte for byte: they go into the case, and from there
/// to the machine, which downloads nothing. What they replace is copied into the case first. A person approves the file
/// by its digest, and `mitigate apply` does exactly what it says. That it went through proves nothing: `update prove`
/// does.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Name of the instance
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// The packages of the new version, with all that they need and the machine does not have
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Who installs
    #[arg(long, value_enum)]
    kind: KindArg,

    #[command(flatten)]
    pins: Pins,

    /// A package of the old version, for undo; verified like the others. May be given again
    #[arg(long, value_name = "FILE")]
    back: Vec<PathBuf>,

    /// Name of a package whose files are copied first, where no signed list says it. May be given again
    #[arg(long, value_name = "NAME")]
    package: Vec<String>,

    /// A service that is restarted afterwards, so that the old program ends. May be given again
    #[arg(long, value_name = "UNIT")]
    restart: Vec<String>,

    /// Where it is done: local, or ssh://user@host:port
    #[arg(long, value_name = "HOST", default_value = "local")]
    host: String,

    /// Why it is done without a check of the last 24 hours
    #[arg(long, value_name = "WHY")]
    unchecked: Option<String>,

    /// Folder of the case, which keeps the packages
    #[arg(long, value_name = "DIR", default_value = open::DEFAULT_CASE)]
    case: PathBuf,

    /// Where the change is written
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum KindArg {
    Apt,
    Dnf,
    ByHand,
}

/// How old the check of before may be: an update overwrites what an intruder left.
const EVIDENCE: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let mut case = Case::open(&args.case)?;
    let opening = open::opening(&case)?;
    let named: Vec<String> = args.pins.pack.iter().cloned().collect();
    let mut packs = open::packs_of(&named, opening.as_ref())?;
    let pack = match packs.len() {
        1 => packs.remove(0),
        _ => return Err(CommandError::new("the case does not follow one pack alone").hint("choose one with --pack")),
    };
    let clock = opening.map_or_else(Clock::machine, |opening| Clock::with_offset(opening.clock_offset));
    evidence(args, &State::from_records(&case.records()?), clock.now())?;
    let mut keeper = Keeper { case: &mut case, clock, instance: &args.instance };
    let change = match args.kind {
        KindArg::ByHand => install::by_hand(&request(args, &pack, (&[], &[]), clock)),
        KindArg::Apt | KindArg::Dnf => {
            let believed = Believed::new(&args.pins, Some(&pack), Clock::machine().now())?;
            let packages = keeper.verified(&believed, &args.files)?;
            let back = keeper.verified(&believed, &args.back)?;
            if packages.is_empty() {
                return Err(CommandError::new("there is nothing to install").hint("name the packages"));
            }
            let manager = if args.kind == KindArg::Apt { Manager::Apt } else { Manager::Dnf };
            install::packages(manager, &request(args, &pack, (&packages, &back), clock))
        }
    };
    let change = change.map_err(|err| {
        CommandError::because("nothing was touched: it is not planned", err)
            .hint("--package names what is replaced; a pack's update.toml holds the steps of a person")
    })?;
    let written = keeper.planned(&change)?;
    crate::command::write_file(&args.output, written.bytes())?;
    let width = ui.width();
    if !ui.is_json() {
        ui.text(&crate::command::mitigate::show::change(&written, width));
    }
    ui.status(format_args!(
        "\nhint: read it, then `portcullis mitigate apply {} --scope SCOPE --by YOU --approve {}`",
        args.output.display(),
        &written.sha256()[..12]
    ));
    Ok(Exit::Done)
}

fn request<'a>(
    args: &'a Args,
    pack: &'a Pack,
    (packages, back): (&'a [Verified], &'a [Verified]),
    clock: Clock,
) -> Request<'a> {
    Request {
        pack,
        instance: &args.instance,
        host: &args.host,
        packages,
        back,
        names: &args.package,
        restart: &args.restart,
        unchecked: args.unchecked.as_deref(),
        now: clock.now(),
    }
}

/// Evidence comes first: without a check of before, what the update overwrites is gone for ever.
fn evidence(args: &Args, state: &State, now: Timestamp) -> Result<(), CommandError> {
    let Some(known) = state.instances.get(&args.instance) else {
        let names: Vec<_> = state.instances.keys().map(escape).collect();
        return Err(CommandError::new(format!("the case knows no instance {:?}", escape(&args.instance)))
            .hint(format!("known: {}", names.join(", "))));
    };
    let latest = known.checks.iter().map(|check| check.at).max();
    if args.unchecked.is_some() || latest.is_some_and(|at| now.duration_since(at) <= EVIDENCE) {
        return Ok(());
    }
    let said = latest.map_or("it was never checked".to_owned(), |at| format!("its latest check is of {at:.0}"));
    Err(CommandError::new(format!("evidence comes first, and {said}")).hint(
        "`portcullis respond --again` checks it; --unchecked WHY goes on without, and the change says so for ever",
    ))
}

/// Keeps packages and the change in the case.
struct Keeper<'a> {
    case: &'a mut Case,
    clock: Clock,
    instance: &'a str,
}

impl Keeper<'_> {
    /// Verifies packages and keeps those that count.
    fn verified(&mut self, believed: &Believed<'_>, files: &[PathBuf]) -> Result<Vec<Verified>, CommandError> {
        let mut all = Vec::new();
        for path in files {
            let bytes = whole(path)?;
            let subject = Subject { file: name(path)?, bytes: &bytes };
            let judged = believed.judge(path, subject)?;
            let package = record(subject, &judged);
            let Ok(verified) = judged else {
                return Err(CommandError::new(format!("{} is not verified: {}", escape(&package.file), package.why))
                    .hint("nothing was touched; `portcullis update verify` says the same of each package"));
            };
            self.case.put_evidence(&bytes)?;
            self.append(Body::Package(package))?;
            all.push(verified);
        }
        Ok(all)
    }

    fn planned(&mut self, change: &Change) -> Result<Written, CommandError> {
        let written =
            Written::write(change).map_err(|err| CommandError::because("the change cannot be written", err))?;
        self.case.put_evidence(written.bytes())?;
        let step = ChangeStep {
            change: written.sha256().to_owned(),
            stage: Stage::Planned,
            what: "plan".to_owned(),
            why: change.title.clone(),
            action: None,
            workaround: None,
            by: None,
            kept: None,
            expires: change.expires,
            list: None,
        };
        self.append(Body::Change(step))?;
        Ok(written)
    }

    fn append(&mut self, body: Body) -> Result<(), CommandError> {
        let count = self.case.verify()?.records;
        let step = short_digest(&[b"update-install", self.instance.as_bytes(), &count.to_le_bytes()]);
        let record = Record::stamp(&step, 0, self.clock.now(), Some(self.instance), body);
        self.case.append(std::slice::from_ref(&record))?;
        Ok(())
    }
}
