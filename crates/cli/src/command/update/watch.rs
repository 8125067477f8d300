//! `update watch`: which advisories are new, what do they make of our instances, and by when?
//!
//! What is verified goes into the case, with the document; what is not is told and starts no clock. Which duties are
//! new is the difference of two plans, before and after, so that nothing here knows what a directive orders.

mod gather;
mod kev;
mod tell;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::case::Case;
use ::csaf::{Address, Fence, Folder, Http, Place};
use ::directive::pack::Pack;
use ::directive::plan::{Again, Owed, plan};
use ::directive::record::{Body, Gap, Record, short_digest};
use ::directive::state::State;
use ::directive::updating::Provider as Published;
use ::directive::verdict::Exit;
use ::signer::Fingerprint;
use ::signer::openpgp::Keys;
use jiff::Timestamp;

use self::gather::Gathered;
use crate::clock::{self, Clock};
use crate::error::CommandError;
use crate::open;
use crate::progress::Stop;
use crate::ui::Ui;

/// Watch what vendors publish, and say what becomes owed by it
///
/// Reads advisories as CSAF documents from a provider: a server, or a copy of its files on a stick. A document counts
/// if its digest is right and a key that you pin signed it; every other is told by name, and starts no clock. Each
/// advisory that makes an instance affected starts a clock of its own, also where an update was done before. The
/// catalogue of exploited vulnerabilities adds its days.
///
/// Runs until it is stopped, or once with --once, for a timer. Exits 0 if nothing new is owed, 1 if something is, 3 if
/// something could not be verified or read.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Address of the provider's `provider-metadata.json`, or a folder with a copy of his files. Default: the providers
    /// of the packs
    #[arg(long, value_name = "URL|DIR")]
    provider: Option<String>,

    /// File with the provider's OpenPGP keys. Default: those of the pack that names him
    #[arg(long, value_name = "FILE", requires_all = ["provider", "fingerprint"])]
    key: Option<PathBuf>,

    /// Fingerprint of a key that may sign, as it came to you by a way that you trust
    #[arg(long, value_name = "FPR", requires = "key")]
    fingerprint: Vec<String>,

    /// Another host on which the provider keeps files: none is asked that is not named
    #[arg(long, value_name = "HOST[:PORT]")]
    host: Vec<String>,

    /// The catalogue of known exploited vulnerabilities: its address, or a file
    #[arg(long, value_name = "URL|FILE")]
    kev: Option<String>,

    /// Ask for documents that changed since then. Default: since the last look; at first, since the directive was
    /// issued
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Look once and end
    #[arg(long)]
    once: bool,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    every: u64,

    /// Folder of the case
    #[arg(long, value_name = "DIR", default_value = open::DEFAULT_CASE)]
    case: PathBuf,

    /// Folder or id of a directive's pack. Default: those of the case
    #[arg(long, value_name = "P")]
    pack: Vec<String>,
}

pub(super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let watched = Watched::new(args)?;
    if args.once {
        return watched.look(ui, &mut BTreeSet::new());
    }
    let stop = Stop::listen();
    let (mut told, mut exit) = (BTreeSet::new(), Exit::Done);
    loop {
        // A server that does not answer today may answer in an hour.
        match watched.look(ui, &mut told) {
            Ok(seen) => exit = seen,
            Err(err) => ui.error(&err),
        }
        for _ in 0..args.every.saturating_mul(10) {
            if stop.is_requested() {
                return Ok(exit);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What is watched, checked before anything is asked.
struct Watched<'a> {
    args: &'a Args,
    providers: Vec<Provider>,
    since: Option<Timestamp>,
}

/// A provider, and whom to believe of him.
struct Provider {
    place: Box<dyn Place>,
    fence: Fence,
    keys: Keys,
}

impl Provider {
    /// The one that a person names: by his own pins, or by those of a pack that names him.
    fn named(args: &Args, named: &str, packs: &[Pack]) -> Result<Self, CommandError> {
        let folder = match is_address(named) {
            true => None,
            false => Some(Folder::open(named.as_ref()).map_err(|err| {
                CommandError::because("the copy of the provider's files cannot be used", err)
                    .hint("name the folder that holds `provider-metadata.json`")
            })?),
        };
        let at = match &folder {
            Some(folder) => folder.metadata().clone(),
            None => address(named)?,
        };
        let of_pack = providers(packs).find(|one| Address::parse(&one.metadata).is_ok_and(|own| own == at));
        let keys = match (&args.key, of_pack) {
            (Some(path), _) => keys_of(path, &args.fingerprint)?,
            (None, Some(own)) => keys_in(own)?,
            (None, None) => {
                return Err(CommandError::new(format!("nobody says whose signature counts for {at}"))
                    .hint("give `--key` and `--fingerprint`, or a pack whose update.toml names this provider"));
            }
        };
        let more = of_pack.map(|own| own.hosts.as_slice()).unwrap_or_default();
        let fence = fence(&at, args.host.iter().chain(more))?;
        let place: Box<dyn Place> = match folder {
            Some(folder) => Box::new(folder),
            None => Box::new(Http::new(at, fence.clone())),
        };
        Ok(Self { place, fence, keys })
    }

    /// One of a pack.
    fn of_pack(own: &Published, args: &Args) -> Result<Self, CommandError> {
        let at = address(&own.metadata)?;
        let fence = fence(&at, args.host.iter().chain(&own.hosts))?;
        Ok(Self { place: Box::new(Http::new(at, fence.clone())), fence, keys: keys_in(own)? })
    }
}

fn providers(packs: &[Pack]) -> impl Iterator<Item = &Published> {
    packs.iter().flat_map(|pack| &pack.updating.providers).map(|provider| provider.get_ref())
}

fn address(text: &str) -> Result<Address, CommandError> {
    Address::parse(text).map_err(|err| CommandError::because(format!("{text:?} is not asked"), err))
}

fn fence<'a>(at: &Address, hosts: impl Iterator<Item = &'a String>) -> Result<Fence, CommandError> {
    let hosts: Result<Vec<Address>, _> = hosts.map(|host| self::host(host)).collect();
    Ok(Fence::new(at, &hosts?))
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn host(text: &str) -> Result<Address, CommandError> {
    let whole = if is_address(text) { text.to_owned() } else { format!("https://{text}") };
    Address::parse(&format!("{}/file", whole.trim_end_matches('/')))
        .map_err(|err| CommandError::because(format!("{text:?} is no host that can be asked"), err))
}

fn keys_of(path: &Path, pins: &[String]) -> Result<Keys, CommandError> {
    let bytes =
        open::read(path).map_err(|err| CommandError::because(format!("cannot read {}", path.display()), err))?;
    keys(&bytes, pins, &path.display().to_string())
}

fn keys_in(own: &Published) -> Result<Keys, CommandError> {
    keys(own.keys.as_bytes(), &own.fingerprints, "the pack's key of the provider")
}

fn keys(bytes: &[u8], pins: &[String], name: &str) -> Result<Keys, CommandError> {
    let pins: Result<Vec<Fingerprint>, _> = pins.iter().map(|text| text.parse()).collect();
    let pins = pins.map_err(|err| CommandError::because("a key is not pinned", err))?;
    let keys = Keys::parse(bytes).and_then(|keys| keys.pinned(&pins));
    keys.map_err(|err| {
        CommandError::because(format!("{name} cannot be used"), err)
            .hint("pin the fingerprint that came to you by a way that nobody else can write to")
    })
}

impl<'a> Watched<'a> {
    fn new(args: &'a Args) -> Result<Self, CommandError> {
        let (packs, ..) = open(args)?;
        let providers: Vec<Provider> = match &args.provider {
            Some(named) => vec![Provider::named(args, named, &packs)?],
            None => self::providers(&packs).map(|own| Provider::of_pack(own, args)).collect::<Result<_, _>>()?,
        };
        if providers.is_empty() && args.kev.is_none() {
            return Err(CommandError::new("nothing is watched: the packs name no provider of advisories")
                .hint("name one with `--provider`, `--key` and `--fingerprint`, or the catalogue with `--kev`"));
        }
        let since = args.since.as_deref().map(clock::moment).transpose()?;
        Ok(Self { args, providers, since })
    }

    /// Looks once. `told` holds the gaps that were told already.
    fn look(&self, ui: &mut Ui, told: &mut BTreeSet<String>) -> Result<Exit, CommandError> {
        // Nobody is kept from the case while servers are asked.
        let (packs, clock, state) = open(self.args)?;
        let now = clock.now();
        let mut gathered = Gathered::default();
        let first = packs.iter().map(Pack::issued).min().unwrap_or(Timestamp::MIN);
        let mut failed = None;
        for provider in &self.providers {
            // One that does not answer keeps nobody from what another says.
            let looked = gathered.provider(provider, &packs, &state, (self.since, first), now);
            failed = failed.or(looked.err());
        }
        if let Some(named) = &self.args.kev {
            kev::gather(&mut gathered, named, &packs, &state)?;
        }
        let seen = self.keep(ui, told, &packs, gathered, now)?;
        failed.map_or(Ok(seen), Err)
    }

    /// Puts what is new into the case, and tells it.
    fn keep(
        &self,
        ui: &mut Ui,
        told: &mut BTreeSet<String>,
        packs: &[Pack],
        gathered: Gathered,
        now: Timestamp,
    ) -> Result<Exit, CommandError> {
        let gaps: Vec<Gap> = gathered.gaps.iter().filter(|gap| told.insert(format!("{gap:?}"))).cloned().collect();
        if gathered.bodies.is_empty() {
            return Ok(tell::tell(ui, &tell::Told { records: &[], gaps: &gaps, duties: &[], at: now }));
        }
        let mut case = Case::open(&self.args.case)?;
        let before = State::from_records(&case.records()?);
        let step = short_digest(&[b"watch", &before_count(&case)?, now.to_string().as_bytes()]);
        for bytes in &gathered.evidence {
            case.put_evidence(bytes)?;
        }
        let stamped = gathered.bodies.iter().cloned().enumerate();
        let records: Vec<Record> = stamped.map(|(n, body)| Record::stamp(&step, n, now, None, body)).collect();
        case.append(&records)?;
        let mut after = before.clone();
        records.iter().for_each(|record| after.add(record));
        let duties = news(packs, &before, &after, now);
        Ok(tell::tell(ui, &tell::Told { records: &records, gaps: &gaps, duties: &duties, at: now }))
    }
}

fn open(args: &Args) -> Result<(Vec<Pack>, Clock, State), CommandError> {
    let case = Case::open_read_only(&args.case)?;
    case.verify()?;
    let opening = open::opening(&case)?;
    let packs = open::packs_of(&args.pack, opening.as_ref())?;
    let clock = opening.map_or_else(Clock::machine, |opening| Clock::with_offset(opening.clock_offset));
    Ok((packs, clock, State::from_records(&case.records()?)))
}

/// How many records there are: two looks in one second have different names.
fn before_count(case: &Case) -> Result<[u8; 8], CommandError> {
    Ok(case.verify()?.records.to_le_bytes())
}

/// Duties that are open now and were not, or are due earlier, or for more reasons.
fn news(packs: &[Pack], before: &State, after: &State, now: Timestamp) -> Vec<Owed> {
    let mut found = Vec::new();
    for pack in packs {
        let old = plan(pack, before, now, Again::WhenDue).duties;
        let is_old = |owed: &Owed| {
            let same = |one: &&Owed| one.instance == owed.instance && one.duty.action == owed.duty.action;
            old.iter()
                .find(same)
                .is_some_and(|old| !old.duty.done && old.duty.why == owed.duty.why && old.duty.due == owed.duty.due)
        };
        let open = plan(pack, after, now, Again::WhenDue).duties.into_iter().filter(|owed| !owed.duty.done);
        found.extend(open.filter(|owed| !is_old(owed)));
    }
    found
}

/// A gap of this command.
fn gap(code: &str, place: String, why: String, required: bool) -> Gap {
    Gap { code: code.to_owned(), path: None, place: Some(place), why, required }
}

/// Whether a record is worth a line for whoever reads along.
fn is_advisory(body: &Body) -> bool {
    matches!(body, Body::Advisory(_) | Body::Exploited(_))
}
