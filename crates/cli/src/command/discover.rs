//! `discover`: which instances are ours, and which version is each?

use std::path::PathBuf;

use ::directive::pack::Pack;
use ::directive::record::{Body, DutyCount, Record, Status};
use ::directive::scope::Scope;
use ::directive::verdict::Exit;
use ::discover::recog::load_all;
use ::discover::{Known, Limits, Outcome, Request};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::progress::{Bar, Stop};
use crate::ui::Ui;

/// Count the instances in scope
///
/// Asks every address of the scope, and nothing else, with harmless requests that name their sender.
/// Prints every instance with its version, and what became of every address. Keeps nothing.
///
/// Exits 0 if no instance is affected, 1 if one is, 3 if a version could not be decided or an
/// address could not be asked.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The scope file: what is ours
    #[arg(long, value_name = "FILE")]
    scope: PathBuf,

    /// Folder or id of a directive's pack; may be given again. Default: all that are found
    #[arg(long, value_name = "P")]
    pack: Vec<String>,
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let packs = packs(args)?;
    let bytes = open::read(&args.scope)
        .map_err(|err| CommandError::because(format!("cannot read the scope file {}", args.scope.display()), err))?;
    let scope = Scope::parse(&args.scope.display().to_string(), &String::from_utf8_lossy(&bytes))
        .map_err(|err| CommandError::because("the scope file cannot be used", err))?;
    let recog: Result<Vec<_>, _> = packs.iter().map(|pack| load_all(&pack.recog)).collect();
    let recog = recog.map_err(|err| CommandError::because("a fingerprint file cannot be used", err))?;
    let known: Vec<_> = packs
        .iter()
        .zip(&recog)
        .map(|(pack, recog)| Known { pack: pack.id(), product: &pack.product, probes: &pack.probes, recog })
        .collect();
    let stop = Stop::listen();
    let bar = Bar::new(&stop, ui.is_watched());
    bar.begin("Counting instances: addresses");
    let request = Request { scope: &scope, known: &known, limits: Limits::default(), progress: &bar };
    let outcome = ::discover::discover(&request);
    bar.end();
    let outcome = outcome.map_err(|err| CommandError::because("the discovery cannot begin", err))?;
    let exit = exit(&outcome);
    let now = Clock::machine().now();
    let records = records(outcome, now);
    records.iter().for_each(|record| ui.record(record));
    if ui.is_json() {
        ui.record(&super::summary(&records, DutyCount::default(), exit, now));
    }
    Ok(exit)
}

fn packs(args: &Args) -> Result<Vec<Pack>, CommandError> {
    if !args.pack.is_empty() {
        return open::all_packs(&args.pack);
    }
    let found: Vec<_> = open::packs().iter().map(|path| path.display().to_string()).collect();
    if found.is_empty() {
        return Err(CommandError::new("there is no pack to look for").hint("name one: `--pack ed-21-03`"));
    }
    open::all_packs(&found)
}

fn exit(outcome: &Outcome) -> Exit {
    let statuses = outcome.instances.iter().filter(|instance| instance.product.is_some());
    let exit = statuses.fold(Exit::Done, |exit, instance| match instance.version.status {
        Status::Affected => exit.and(Exit::Act),
        Status::Unknown => exit.and(Exit::Inconclusive),
        Status::Fixed => exit,
    });
    let unseen = outcome.ledger.not_asked > 0 || outcome.gaps.iter().any(|(_, gap)| gap.required);
    if unseen { exit.and(Exit::Inconclusive) } else { exit }
}

fn records(outcome: Outcome, at: Timestamp) -> Vec<Record> {
    let mut facts: Vec<(Option<String>, Body)> = Vec::new();
    for instance in outcome.instances {
        facts.push((Some(instance.name.clone()), Body::Instance(instance)));
    }
    facts.extend(outcome.gaps.into_iter().map(|(name, gap)| (name, Body::Gap(gap))));
    facts.push((None, Body::Ledger(outcome.ledger)));
    let step = ::directive::record::short_digest(&[b"discover", at.to_string().as_bytes()]);
    let stamped = facts.into_iter().enumerate();
    stamped.map(|(n, (name, body))| Record::stamp(&step, n, at, name.as_deref(), body)).collect()
}
