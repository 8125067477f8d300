//! `update`: is this package authentic, how does it get onto the machine, and did the update really happen?

mod install;
mod verify;
mod watch;

use std::path::PathBuf;

use ::case::Case;
use ::directive::product::{Current, Told};
use ::directive::record::{Body, DutyCount, Record, Status};
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::update::prove::{Claim, Judged, Outcome, Word};
use clap::Subcommand;

use crate::clock::{self, Clock};
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Verify packages, install them, and prove that they run
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Say whether an update really happened, by what the case holds of the instance
    ///
    /// Two witnesses that do not stand on the instance's own word prove it: files that the manifest of the new version
    /// vouches for, and what answers over the network; a program that runs from a replaced file, or an installation for
    /// a rollback that is still vulnerable, is told by name. Run `respond --again` after the update first. Writes
    /// nothing.
    ///
    /// Exits 0 if it is proved, 1 if it is refuted or something is wrong beside it, 3 if too few witnesses speak.
    Prove(ProveArgs),
    Verify(Box<verify::Args>),
    Install(Box<install::Args>),
    Watch(Box<watch::Args>),
}

#[derive(clap::Args, Debug)]
struct ProveArgs {
    /// Name of the instance
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// The version that is said to be installed. Default: the first release of the pack that is not affected
    #[arg(long, value_name = "V")]
    version: Option<String>,

    /// When the installation began: what was seen before says nothing of it
    #[arg(long, value_name = "TIME")]
    since: String,

    /// Folder of the case
    #[arg(long, value_name = "DIR", default_value = open::DEFAULT_CASE)]
    case: PathBuf,

    /// Folder or id of the directive's pack, if the case has several
    #[arg(long, value_name = "P")]
    pack: Option<String>,
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    match &args.what {
        What::Prove(args) => self::proved(ui, args),
        What::Verify(args) => verify::run(ui, args),
        What::Install(args) => install::run(ui, args),
        What::Watch(args) => watch::run(ui, args),
    }
}

fn proved(ui: &mut Ui, args: &ProveArgs) -> Result<Exit, CommandError> {
    let case = Case::open_read_only(&args.case)?;
    case.verify()?;
    let opening = open::opening(&case)?;
    let named: Vec<_> = args.pack.iter().cloned().collect();
    let mut packs = open::packs_of(&named, opening.as_ref())?;
    let pack = match packs.len() {
        1 => packs.remove(0),
        _ => return Err(CommandError::new("the case does not follow one pack alone").hint("choose one with --pack")),
    };
    let clock = opening.map_or_else(Clock::machine, |opening| Clock::with_offset(opening.clock_offset));
    let records = case.records()?;
    let state = State::from_records(&records);
    let product = state.current(&pack.product);
    let version = version(args, &product, &clock)?;
    let told = Told { source: "claim".to_owned(), version: version.clone(), exact: true, ..Told::default() };
    if product.witness(&told).status == Status::Affected {
        return Err(CommandError::new(format!("{} is affected itself", escape(&version)))
            .hint("an update to it closes nothing: name the version that does with --version"));
    }
    let claim = Claim { version: &version, since: clock::moment(&args.since)? };
    let judged = ::update::prove::prove(&pack, &records, &args.instance, claim)
        .ok_or_else(|| unknown(&args.instance, &state))?;
    Ok(show(ui, args, &version, &judged, clock.now()))
}

fn version(args: &ProveArgs, product: &Current, clock: &Clock) -> Result<String, CommandError> {
    let release = || product.fixing_release(clock.now()).map(|release| release.version.clone());
    args.version.clone().or_else(release).ok_or_else(|| {
        CommandError::new("the pack knows no release that is not affected").hint("say which version with --version")
    })
}

fn unknown(name: &str, state: &State) -> CommandError {
    let known: Vec<_> = state.instances.keys().map(escape).collect();
    CommandError::new(format!("the case knows no instance {name:?}")).hint(format!("known: {}", known.join(", ")))
}

fn show(ui: &mut Ui, args: &ProveArgs, version: &str, judged: &Judged, at: jiff::Timestamp) -> Exit {
    let exit = match (judged.outcome, judged.findings.is_empty()) {
        (Outcome::Refuted, _) | (_, false) => Exit::Act,
        (Outcome::Proved, true) => Exit::Done,
        (Outcome::Unproved, true) => Exit::Inconclusive,
    };
    let findings = judged.findings.iter().cloned().map(Body::Finding);
    let bodies = findings.chain(judged.gaps.iter().cloned().map(Body::Gap));
    let stamp = |(n, body)| Record::stamp("update-prove", n, at, Some(&args.instance), body);
    let records: Vec<Record> = bodies.enumerate().map(stamp).collect();
    records.iter().for_each(|record| ui.record(record));
    if ui.is_json() {
        ui.record(&super::summary(&records, DutyCount::default(), exit, at));
        return exit;
    }
    let outcome = match judged.outcome {
        Outcome::Proved => "proved",
        Outcome::Unproved => "not proved",
        Outcome::Refuted => "refuted",
    };
    ui.text(&format!("update {} to {}: {outcome}\n", escape(&args.instance), escape(version)));
    for said in &judged.witnesses {
        let word = match said.word {
            Word::For => "yes",
            Word::Against => "NO",
            Word::Silent => "-",
        };
        let counts = if said.counts { "" } else { " (does not count)" };
        ui.text(&format!("  {word:3}  {}{counts}: {}\n", said.witness, escape(&said.why)));
    }
    if exit == Exit::Done {
        ui.status(format_args!("\nhint: `portcullis case done` records who did it, and that it is done"));
    }
    exit
}
