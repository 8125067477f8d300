//! `discover`: which instances are ours, and which version is each?

use std::path::{Path, PathBuf};

use ::directive::pack::Pack;
use ::directive::record::{Body, Difference, DutyCount, Instance, Record, Status};
use ::directive::scope::Scope;
use ::directive::verdict::Exit;
use ::discover::import::{self, Import};
use ::discover::recog::{Database, load_all};
use ::discover::{Known, Limits, Outcome, Request};
use ::respond::fingerprints;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::engine::{self, Engine};
use crate::error::CommandError;
use crate::open;
use crate::progress::{Bar, Stop};
use crate::ui::Ui;

/// Count the instances in scope
///
/// Asks every address of the scope, and nothing else, with harmless requests that name their sender.
/// Prints every instance with its version, and what became of every address. Keeps no record.
/// Files of other tools count beside it; without a scope they count alone, and nothing is asked.
///
/// Exits 0 if no instance is affected, 1 if one is, 3 if a version could not be decided or an
/// address could not be asked.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The scope file: what is ours
    #[arg(long, value_name = "FILE", required_unless_present = "import")]
    scope: Option<PathBuf>,

    /// What another tool found: XML of nmap, JSON of masscan, Shodan, Censys or crt.sh, a table, a zone file; may be
    /// given again
    #[arg(long, value_name = "FILE")]
    import: Vec<PathBuf>,

    /// What the columns of a table are called: `address=IP,port=Port,name=Host,product=..,version=..`
    #[arg(long, value_name = "WHAT=NAME", value_delimiter = ',', value_parser = column, requires = "import")]
    columns: Vec<(String, String)>,

    /// Folder of Recog databases as they are published: they give names to what answers and no pack knows. Those of
    /// icons ask for one page more, those of TLS take ten connections more an address; may be given again
    #[arg(long, value_name = "FOLDER")]
    recog: Vec<PathBuf>,

    /// Who asks every address first; what another program does not hear is asked again
    #[arg(long, value_enum, default_value_t = Engine::Builtin, requires = "scope")]
    engine: Engine,

    /// What `discover --json` printed the last time: the ledger says what is different
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,

    /// Folder or id of a directive's pack; may be given again. Default: all that are found
    #[arg(long, value_name = "P")]
    pack: Vec<String>,
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let packs = packs(args)?;
    let imports = imports(args)?;
    let scope = match &args.scope {
        Some(path) => scope(path)?,
        None => Scope::unasked(imports.iter().flat_map(|import| &import.claims).map(|claim| claim.address)),
    };
    let recog: Result<Vec<_>, _> = packs.iter().map(|pack| load_all(&pack.recog)).collect();
    let mut recog = recog.map_err(|err| CommandError::because("a fingerprint file cannot be used", err))?;
    let given = databases(args, &scope)?;
    recog.iter_mut().for_each(|own| own.extend(given.iter().cloned()));
    let known: Vec<_> = packs
        .iter()
        .zip(&recog)
        .map(|(pack, recog)| Known { pack: pack.id(), product: &pack.product, probes: &pack.probes, recog })
        .collect();
    let before = args.since.as_deref().map(before).transpose()?;
    let begin = engine::begin(args.engine, &scope)?;
    let stop = Stop::listen();
    let bar = Bar::new(&stop, ui.is_watched());
    bar.begin("Counting instances: addresses");
    let request =
        Request { scope: &scope, known: &known, imports: &imports, begin, limits: Limits::default(), progress: &bar };
    let outcome = ::discover::discover(&request);
    bar.end();
    let mut outcome = outcome.map_err(|err| CommandError::because("the discovery cannot begin", err))?;
    outcome.ledger.since = before.map(|before| Difference::between(&before, &outcome.instances));
    let exit = exit(&outcome);
    let now = Clock::machine().now();
    let records = records(outcome, now);
    records.iter().for_each(|record| ui.record(record));
    if ui.is_json() {
        ui.record(&super::summary(&records, DutyCount::default(), exit, now));
    }
    Ok(exit)
}

fn scope(path: &Path) -> Result<Scope, CommandError> {
    let bytes = open::read(path)
        .map_err(|err| CommandError::because(format!("cannot read the scope file {}", path.display()), err))?;
    Scope::parse(&path.display().to_string(), &String::from_utf8_lossy(&bytes))
        .map_err(|err| CommandError::because("the scope file cannot be used", err))
}

/// The instances of an earlier count, from its records.
fn before(path: &Path) -> Result<Vec<Instance>, CommandError> {
    let name = path.display().to_string();
    let bytes = open::read(path).map_err(|err| CommandError::because(format!("cannot read {name}"), err))?;
    let mut instances = Vec::new();
    let mut is_whole = false;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: Record = serde_json::from_slice(line).map_err(|err| {
            CommandError::because(format!("{name} holds no records"), err).hint("give what `discover --json` printed")
        })?;
        is_whole |= matches!(record.body, Body::Ledger(_));
        instances.extend(match record.body {
            Body::Instance(instance) => Some(instance),
            _ => None,
        });
    }
    if !is_whole {
        return Err(CommandError::new(format!("{name} holds no ledger: it is no whole count")));
    }
    Ok(instances)
}

fn imports(args: &Args) -> Result<Vec<Import>, CommandError> {
    let columns = args.columns.iter().cloned().collect();
    let read = |path: &PathBuf| {
        let name = path.display().to_string();
        let bytes = open::read(path).map_err(|err| CommandError::because(format!("cannot read {name}"), err))?;
        let short = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or(name);
        Import::read(&short, &bytes, &columns, &import::Limits::default())
            .map_err(|err| CommandError::because("a file of another tool cannot be used", err))
    };
    args.import.iter().map(read).collect()
}

/// The databases of the folders that the command and the scope name.
fn databases(args: &Args, scope: &Scope) -> Result<Vec<Database>, CommandError> {
    let base = args.scope.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let named = args.recog.iter().map(|folder| (folder.clone(), folder.display().to_string()));
    let of_scope = scope.recog.iter().map(|name| (base.join(name), name.clone()));
    let mut databases = Vec::new();
    for (folder, name) in named.chain(of_scope) {
        let read = fingerprints::read(&folder, &name, &open::read);
        databases.extend(read.map_err(|err| CommandError::because("the fingerprints cannot be used", err))?);
    }
    Ok(databases)
}

/// `address=IP`.
fn column(text: &str) -> Result<(String, String), String> {
    const KNOWN: [&str; 5] = ["address", "port", "name", "product", "version"];
    let (what, name) = text.split_once('=').ok_or("write WHAT=NAME")?;
    if KNOWN.contains(&what) {
        Ok((what.to_owned(), name.to_owned()))
    } else {
        Err(format!("{what:?} is none of {}", KNOWN.join(", ")))
    }
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
        let name = Some(instance.name.clone());
        let disagreement = instance.version.disagrees();
        facts.push((name.clone(), Body::Instance(instance)));
        facts.extend(disagreement.map(|finding| (name, Body::Finding(finding))));
    }
    facts.extend(outcome.findings.into_iter().map(|(name, finding)| (name, Body::Finding(finding))));
    facts.extend(outcome.merges.into_iter().map(|(name, merge)| (Some(name), Body::Merge(merge))));
    facts.extend(outcome.gaps.into_iter().map(|(name, gap)| (name, Body::Gap(gap))));
    facts.push((None, Body::Ledger(outcome.ledger)));
    let step = ::directive::record::short_digest(&[b"discover", at.to_string().as_bytes()]);
    let stamped = facts.into_iter().enumerate();
    stamped.map(|(n, (name, body))| Record::stamp(&step, n, at, name.as_deref(), body)).collect()
}
