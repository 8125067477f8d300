//! `check`: does every file on the instance match what the vendor shipped?

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::check::hunt::geo::Geo;
use ::check::hunt::{Cache, Context, Origin};
use ::check::manifest::signature::PublicKey;
use ::check::manifest::{Manifest, Operator};
use ::check::{Baseline, Hunt, Outcome, Request};
use ::directive::hunting::Hunting;
use ::directive::pack::Pack;
use ::directive::record::{
    Account, Body, Coverage, DutyCount, Instance, InstanceState, Moment, Record, Severity, Summary, Version,
};
use ::directive::scope::{Access, Scanner};
use ::directive::verdict::Exit;
use ::evidence::Source;
use ::report::traces;
use ::respond::Runs;
use clap::ValueEnum;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::error::CommandError;
use crate::kept;
use crate::open;
use crate::progress::{Bar, Stop};
use crate::ui::Ui;

/// Hold the files of an instance against what the vendor shipped
///
/// Prints findings and required gaps on stdout, then coverage and verdict. Keeps no record. `-v` shows
/// every gap, `--json` every record.
///
/// Exits 0 if nothing was found and all that had to be seen was seen, 1 if something was found, 3 if
/// something that had to be seen was not.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where the files are: `/` for this machine, a folder, a tar (packed or not), a zip, a disk image,
    /// or `ssh://user@host:port/folder`
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,

    /// Folder or id of a directive's pack: which folders the vendor accounts for, where versions are
    #[arg(long, value_name = "P")]
    pack: Option<String>,

    /// What the vendor shipped, from outside the instance: a list of digests, a `.deb`, or a folder of
    /// them; may be given again
    #[arg(long, value_name = "M")]
    manifest: Vec<PathBuf>,

    /// Public key of minisign: each list must be signed by it, in a file beside it that ends in `.minisig`
    #[arg(long, value_name = "PUB", requires = "manifest")]
    manifest_key: Option<PathBuf>,

    #[command(flatten)]
    access: AccessArgs,

    /// Package database of the instance itself to compare with. Default: the one that is there, if no
    /// manifest is given
    #[arg(long, value_enum)]
    baseline: Option<BaselineArg>,

    #[command(flatten)]
    rules: RuleArgs,

    #[command(flatten)]
    traces: TraceArgs,

    /// Say of every rule of the verdict whether it holds, and by what
    #[arg(long)]
    explain: bool,

    /// Look at what runs there too; SOURCE has to be `/`, or `ssh://..`, which shows less
    #[arg(long)]
    live: bool,
}

/// Where to write what is too long for a screen.
#[derive(clap::Args, Debug)]
struct TraceArgs {
    /// Write the timeline: `.csv`, or else JSON lines; both as Timesketch imports them
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,

    /// Write the accounts that must be reset, as CSV
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
}

impl TraceArgs {
    fn write(&self, of: &[Traced]) -> Result<(), CommandError> {
        let failed = |err| CommandError::because("the table cannot be made", err);
        if let Some(path) = &self.timeline {
            let moments = of.iter().map(|one| (one.instance.as_str(), one.timeline.as_slice()));
            let text = if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
                traces::csv(moments).map_err(failed)?
            } else {
                traces::jsonl(moments).map_err(|err| CommandError::because("the timeline cannot be made", err))?
            };
            super::write_file(path, text.as_bytes())?;
        }
        if let Some(path) = &self.accounts {
            let accounts = of.iter().map(|one| (one.instance.as_str(), one.accounts.as_slice()));
            super::write_file(path, traces::accounts(accounts).map_err(failed)?.as_bytes())?;
        }
        Ok(())
    }
}

/// What goes into those files.
struct Traced {
    instance: String,
    timeline: Vec<Moment>,
    accounts: Vec<Account>,
}

/// What to hunt for beside what the pack brings.
#[derive(clap::Args, Debug)]
struct RuleArgs {
    /// YARA rules: a file, or a folder of them; may be given again
    #[arg(long, value_name = "FILE")]
    yara: Vec<PathBuf>,

    /// Sigma rules for the logs of the evidence: a file, or a folder of them; may be given again
    #[arg(long, value_name = "FILE")]
    sigma: Vec<PathBuf>,

    /// STIX bundles, or lists with a digest, address or path a line; may be given again
    #[arg(long, value_name = "FILE")]
    indicators: Vec<PathBuf>,

    /// Hunt in every file, also in those that a manifest vouches for
    #[arg(long)]
    no_vouch: bool,

    /// A scanner that may look at the instance, by its addresses: what it tries is no finding, and a gap
    /// says what was passed over; may be given again
    #[arg(long, value_name = "NAME=ADDRESS,...")]
    scanner: Vec<Scanner>,

    /// Database of where addresses are (`.mmdb`): tells logins of one account that are too far apart
    #[arg(long, value_name = "FILE")]
    geo: Option<PathBuf>,
}

impl RuleArgs {
    fn hunting(&self) -> Result<Hunting, CommandError> {
        let mut hunting = Hunting {
            yara: rules(&self.yara, &["yar", "yara"])?,
            sigma: rules(&self.sigma, &["yml", "yaml"])?,
            indicators: rules(&self.indicators, &["json", "stix", "txt", "csv", "ioc"])?,
            ..Hunting::default()
        };
        hunting.settings.everything = self.no_vouch;
        Ok(hunting)
    }

    fn context(&self, sources: &[String]) -> Result<Context, CommandError> {
        let geo = self.geo.as_deref().map(places).transpose()?;
        let cache = kept::Folder::of_user(sources).map(|cache| Arc::new(cache) as Arc<dyn Cache + Send>);
        Ok(Context { scanners: self.scanner.clone(), geo, cache })
    }
}

/// Files by name; of a folder, those that end as rules do.
fn rules(paths: &[PathBuf], endings: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, CommandError> {
    let mut found = BTreeMap::new();
    for path in paths {
        let name = path.display().to_string();
        let failed = |err| CommandError::because(format!("cannot read {name}"), err);
        if path.is_dir() {
            let limits = feed::folder::Limits { files: 50_000, ..Default::default() };
            let files = feed::folder::read(path, limits)
                .map_err(|err| CommandError::because(format!("cannot read the rules in {name}"), err))?;
            let ends = |file: &String| endings.iter().any(|ending| file.ends_with(&format!(".{ending}")));
            let wanted = files.into_iter().filter(|(file, _)| ends(file));
            found.extend(wanted.map(|(file, bytes)| (format!("{}/{file}", name.trim_end_matches('/')), bytes)));
        } else {
            found.insert(name.clone(), open::read(path).map_err(failed)?);
        }
    }
    Ok(found)
}

/// Reads the database of where addresses are.
fn places(path: &Path) -> Result<Arc<Geo>, CommandError> {
    let name = path.display();
    let bytes = open::read(path).map_err(|err| CommandError::because(format!("cannot read {name}"), err))?;
    let geo = Geo::read(bytes).map_err(|err| {
        CommandError::because(format!("the database {name} is not used"), err)
            .hint("it has to be in the format of MaxMind, unpacked; fetch it again if it is")
    })?;
    Ok(Arc::new(geo))
}

/// What opens the evidence, where that takes more than its name.
#[derive(clap::Args, Debug)]
pub(crate) struct AccessArgs {
    /// File whose whole content is the key of an encrypted volume; may be given again
    #[arg(long, value_name = "FILE")]
    key_file: Vec<String>,

    /// File that a disk image may be continued in (backing file, extent); may be given again
    #[arg(long, value_name = "FILE")]
    backing: Vec<String>,

    /// Host keys that are known, for `ssh://`; default: your own
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<String>,

    /// Key to log in with, for `ssh://`; default: what your `ssh` uses
    #[arg(long, value_name = "FILE")]
    identity: Option<String>,
}

impl AccessArgs {
    pub(crate) fn access(&self) -> Access {
        Access {
            key_files: self.key_file.clone(),
            backing: self.backing.clone(),
            known_hosts: self.known_hosts.clone(),
            identity: self.identity.clone(),
        }
    }
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum BaselineArg {
    /// The database of dpkg: Debian, Ubuntu
    Dpkg,
    /// The database of rpm: Fedora, Red Hat, SUSE
    Rpm,
    /// The database of apk: Alpine
    Apk,
    /// Nothing: only manifests from outside count
    None,
}

pub(crate) fn run(ui: &mut Ui, args: &Args, threads: NonZeroUsize) -> Result<Exit, CommandError> {
    let pack = args.pack.as_deref().map(open::pack).transpose()?;
    let key = args.manifest_key.as_deref().map(super::manifest::public_key).transpose()?;
    let stop = Stop::listen();
    let bar = Bar::new(&stop, ui.is_watched());
    let manifests = manifests(ui, &bar, &args.manifest, key.as_ref())?;
    let own = args.rules.hunting()?;
    let packs = pack.as_ref().map(|pack| (&pack.hunting, Origin::Pack));
    let sets = packs.into_iter().chain([(&own, Origin::Operator)]);
    let hunt = Hunt::within(args.rules.context(&args.sources)?, sets, Default::default());
    if let Some(hunt) = &hunt {
        let [yara, sigma, indicators] = hunt.counts();
        ui.status(format_args!("Hunting with {yara} YARA rules, {sigma} Sigma rules and {indicators} indicators."));
    } else if args.rules.no_vouch {
        return Err(CommandError::new("`--no-vouch` hunts in every file, and there is nothing to hunt with")
            .hint("give rules with `--yara`, indicators with `--indicators`, or a pack that has some"));
    }
    let mut summary = Summary::default();
    let mut traced = Vec::new();
    let mut exit = Exit::Done;
    for text in &args.sources {
        let runs = args.live.then(|| respond::runs(text, Path::new(""), &args.access.access(), &bar)).transpose();
        let runs = runs.map_err(|err| CommandError::because(format!("what runs on {text} cannot be seen"), err))?;
        bar.begin("Opening: files");
        let source = respond::open(text, Path::new(""), &args.access.access(), &bar);
        bar.end();
        let source = source.map_err(|err| CommandError::because(format!("cannot open the evidence {text}"), err))?;
        let baseline = baseline(args, source.as_ref());
        bar.begin("Checking: files");
        let request = Request {
            source: source.as_ref(),
            manifests: &manifests,
            baseline,
            product: pack.as_ref().map(|pack| &pack.product),
            clause: None,
            previous: &[],
            previous_coverage: None,
            live: runs.as_ref().map(Runs::live),
            hunt: hunt.as_ref(),
            threads,
            progress: &bar,
        };
        let outcome = ::check::integrity::check(&request);
        bar.end();
        let outcome = outcome.map_err(|err| CommandError::because(format!("cannot check {text}"), err))?;
        exit = exit.and(Exit::from_verdict(outcome.conclusion.verdict));
        let (timeline, accounts) = (outcome.timeline.clone(), outcome.accounts.clone());
        traced.push(Traced { instance: text.clone(), timeline, accounts });
        let explained = outcome.explained.clone();
        let mut said = Said::default();
        // Each is printed and let go: there may be a hundred thousand.
        for record in records(text, pack.as_ref(), outcome, Clock::machine().now()) {
            ui.record(&record);
            super::count(&mut summary, &record);
            said.add(record);
        }
        if args.explain {
            explained
                .iter()
                .for_each(|rule| ui.status(format_args!("{}", ::directive::text::escape(rule.to_string()))));
        }
        said.status(ui);
    }
    args.traces.write(&traced)?;
    if ui.is_json() {
        ui.record(&super::closing(summary, DutyCount::default(), exit, Clock::machine().now()));
    }
    Ok(exit)
}

/// Reads everything that `--manifest` names.
pub(crate) fn manifests(
    ui: &mut Ui,
    bar: &Bar,
    paths: &[PathBuf],
    key: Option<&PublicKey>,
) -> Result<Vec<Manifest<Operator>>, CommandError> {
    let mut all = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        bar.begin("Manifest: files");
        let read = respond::manifests::read(path, &name, key, &open::read, bar);
        bar.end();
        let read = read.map_err(|err| {
            let hint = match &err {
                respond::manifests::Error::Read { .. } => {
                    "make one where the files are known to be good: `portcullis manifest create SOURCE -o LIST`"
                }
                respond::manifests::Error::Signature { .. } => {
                    "with `--manifest-key`, every manifest needs its signature beside it"
                }
                respond::manifests::Error::Package { .. } => "fetch it again, from a source that you trust",
                _ => "see docs/manifests.md for what can be given",
            };
            CommandError::because(format!("the manifest {name} is not used"), err).hint(hint)
        })?;
        if read.is_signed {
            ui.status(format_args!("{name} is signed; `--manifest-key PUB` would verify that."));
        }
        all.extend(read.manifests);
    }
    Ok(all)
}

fn baseline(args: &Args, source: &dyn Source) -> Baseline {
    match args.baseline {
        Some(BaselineArg::Dpkg) => Baseline::Dpkg,
        Some(BaselineArg::Rpm) => Baseline::Rpm,
        Some(BaselineArg::Apk) => Baseline::Apk,
        Some(BaselineArg::None) => Baseline::None,
        None if args.manifest.is_empty() => Baseline::of(source),
        None => Baseline::None,
    }
}

/// The outcome as records, in the order in which a case holds them.
fn records(source: &str, pack: Option<&Pack>, outcome: Outcome, at: Timestamp) -> impl Iterator<Item = Record> {
    let instance = (!outcome.witnesses.is_empty()).then(|| {
        Body::Instance(Instance {
            name: source.to_owned(),
            product: pack.map(|pack| pack.product.name.clone()),
            version: Version::from_witnesses(outcome.witnesses),
            state: InstanceState::EvidenceOnly,
            has_evidence: true,
            ..Instance::default()
        })
    });
    let bodies = instance
        .into_iter()
        .chain(outcome.findings.into_iter().map(Body::Finding))
        .chain(outcome.gaps.into_iter().map(Body::Gap))
        .chain(outcome.accounts.into_iter().map(Body::Account))
        .chain(outcome.timeline.into_iter().map(Body::Moment))
        .chain([Body::Coverage(outcome.coverage), Body::Verdict(outcome.conclusion)]);
    let step = ::directive::record::short_digest(&[b"check", source.as_bytes(), at.to_string().as_bytes()]);
    bodies.enumerate().map(move |(n, body)| Record::stamp(&step, n, at, Some(source), body))
}

/// What was printed of one instance, as far as stderr says something about it.
#[derive(Default)]
struct Said {
    optional: u64,
    passed: u64,
    expected: BTreeMap<String, u64>,
    coverage: Option<Coverage>,
}

impl Said {
    fn add(&mut self, record: Record) {
        match record.body {
            Body::Gap(gap) if !gap.required => {
                self.optional += 1;
                self.passed += u64::from(gap.code == "scanner-passed-over");
            }
            Body::Finding(finding) if finding.severity == Severity::Info => {
                *self.expected.entry(finding.code).or_default() += 1;
            }
            Body::Coverage(coverage) => self.coverage = Some(coverage),
            _ => {}
        }
    }

    /// What was seen, on stderr.
    fn status(&self, ui: &mut Ui) {
        if let Some(seen) = &self.coverage {
            for one in seen.generations.iter().skip_while(|_| seen.generations.len() == 1) {
                let version = one.version.as_deref().unwrap_or("unknown");
                ui.status(format_args!(
                    "Installation {} ({}): version {}, {} files vouched for.",
                    one.name,
                    one.folder.escaped(),
                    ::directive::text::escape(version),
                    one.vouched
                ));
            }
            ui.status(format_args!(
                "{} files read: {} vouched for, {} consistent with the instance's own records, {} in no manifest{}; \
                 {} things not seen.",
                seen.files,
                seen.vouched,
                seen.consistent,
                seen.unlisted,
                match seen.explained {
                    0 => String::new(),
                    explained => format!(" ({explained} such as Debian makes itself)"),
                },
                seen.unseen
            ));
        }
        if !self.expected.is_empty() {
            let counts: Vec<String> = self.expected.iter().map(|(code, count)| format!("{code} {count}")).collect();
            let counts = counts.join(", ");
            ui.status(format_args!("Findings that healthy instances have too: {counts}; `-v` shows them."));
        }
        if self.passed > 0 {
            ui.status(format_args!(
                "What scanners tried is no finding; {} gaps say what was passed over, `-v` shows them.",
                self.passed
            ));
        }
        if self.optional > 0 {
            ui.status(format_args!("{} gaps that the verdict does not need; `-v` shows them.", self.optional));
        }
    }
}
