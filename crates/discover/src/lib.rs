//! Which instances are ours, and which version is each?
//!
//! Asks every address of the declared scope, recognises the products that the packs describe, and
//! reads the version that each instance claims. The answer is a ledger: every address and every
//! declared instance ends in exactly one state, and the numbers add up.
//!
//! Serves ED 21-03 action 1 and its like. Opens sockets only inside the scope (see `fence.rs`);
//! never exploits, never logs in, writes no file, starts no process.
//! Tests: `tests/*.rs`, over loopback.

mod ask;
mod cluster;
mod count;
mod cpe;
mod decoy;
mod fence;
mod first;
mod handshake;
mod identify;
pub mod import;
mod limits;
mod marks;
mod merge;
mod others;
mod patience;
pub mod recog;
mod signs;
mod sweep;
mod udp;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use directive::probe::{Over, Probe, Probes};
use directive::product::Product;
use directive::progress::Progress;
use directive::record::{Finding, Gap, Instance, Ledger, Merge, Way};
use directive::scope::{OWN_AGENT, Scope};
use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;

use self::ask::Questions;
use self::fence::Fence;
use self::first::First;
use self::identify::Reading;
pub use self::limits::Limits;
use self::sweep::{Ahead, State, Sweep};

/// A product that a pack describes, and how to recognise it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The pack's id, for messages.
    pub pack: &'a str,
    /// The product.
    pub product: &'a Product,
    /// What to ask.
    pub probes: &'a Probes,
    /// Recog databases that are held against the answers.
    pub recog: &'a [recog::Database],
}

/// What to discover.
#[derive(Clone)]
pub struct Request<'a> {
    /// What is ours.
    pub scope: &'a Scope,
    /// What is looked for. Where two packs recognise the same address, the first one counts.
    pub known: &'a [Known<'a>],
    /// What other tools know of its addresses.
    pub imports: &'a [import::Import],
    /// How the addresses are asked first.
    pub begin: Begin,
    /// What it may cost.
    pub limits: Limits,
    /// Who watches. One unit is one address.
    pub progress: &'a dyn Progress,
}

/// How the addresses of a scope are asked first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Begin {
    /// With packets of our own where they can be sent and there are many addresses, else by connecting.
    #[default]
    Packets,
    /// By connecting to each.
    Connecting,
    /// With what another program has heard; then the rest as by [`Begin::Packets`], since such programs lose hosts.
    Heard {
        /// The program.
        engine: String,
        /// Addresses that listen, as it says.
        open: BTreeSet<SocketAddr>,
    },
}

/// What was discovered.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// One for each declared instance, in the order of the scope, then one for each address that
    /// was recognised and not declared.
    pub instances: Vec<Instance>,
    /// What became of every address.
    pub ledger: Ledger,
    /// What answered as another product, with the instance's name where it has one.
    pub findings: Vec<(Option<String>, Finding)>,
    /// What could not be seen, with the instance's name where it has one.
    pub gaps: Vec<(Option<String>, Gap)>,
    /// Which addresses were counted as one instance, by its name, and why.
    pub merges: Vec<(String, Merge)>,
}

/// Why a discovery could not start. What an address does is never an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This machine gives us no means to do network I/O.
    #[error("cannot start network I/O")]
    Runtime {
        /// What the operating system said.
        source: io::Error,
    },
    /// A probe asks for a path that cannot be asked for.
    #[error("the probe {probe:?} of pack {pack:?} has no valid path: {path:?} must begin with a slash")]
    Path {
        /// The pack.
        pack: String,
        /// The probe.
        probe: String,
        /// Its path.
        path: String,
    },
}

/// Asks every address of the scope and counts the instances.
///
/// Blocks until the last address is in its state, or a stop was requested; then the rest is
/// counted as not asked. Must not be called from inside an asynchronous runtime. Memory grows with
/// the addresses of the scope, some 100 bytes each, and with the pages of those that answer at the
/// same time.
///
/// # Errors
///
/// Only if nothing could be asked at all: see [`Error`].
///
/// Source: ED 21-03 action 1 ("enumerate all instances … hosted by the agency or by a third
/// party").
pub fn discover(request: &Request<'_>) -> Result<Outcome, Error> {
    let questions = questions(request)?;
    let runtime = runtime()?;
    let (targets, excluded) = request.scope.targets();
    let udp_targets = request.scope.udp_targets();
    let budget = request.limits.budget.saturating_mul((targets.len() + udp_targets.len()) as u64);
    let fence = Arc::new(Fence::new(request.scope, request.limits.connect, budget));
    let shared = Arc::new(Sweep { fence: Arc::clone(&fence), limits: request.limits.clone(), questions });
    let read = |target, answer| identify::read(request.known, target, answer);
    let (states, way) = sweep_all(&runtime, request, &shared, &targets, &read)?;
    let over_udp = udp::sweep(Arc::clone(&fence), &request.limits, &udp_targets, request.progress, read);
    let udp_states = runtime.block_on(over_udp);
    let mut ledger = count::ledger(&states, excluded);
    (ledger.connections, ledger.packets, ledger.way) = (fence.connections(), fence.packets(), way);
    ledger.udp = udp::count(&udp_states);
    let counted = count::count(request.scope, request.known, &targets, &states);
    let count::Count { mut instances, mut gaps, mut merges } = counted;
    udp::add(request.known, &udp_targets, &udp_states, &mut instances);
    let own = import::Own { scope: request.scope, known: request.known, targets: &targets, states: &states };
    let imported = import::weigh(&own, request.imports, &mut instances);
    ledger.imported = imported.unasked;
    gaps.extend(imported.gaps);
    merges.extend(imported.merges);
    ledger.count(&instances);
    let unseen = request.known.iter().filter(|known| known.product.silent_by_design);
    ledger.unseen = unseen.map(|known| known.product.name.clone()).collect();
    let mut findings = others::findings(request.scope, &targets, &states);
    // What was counted as another address of an instance is told of that instance.
    for (name, merge) in &merges {
        let of = |own: &&mut Option<String>| own.as_ref().is_some_and(|own| merge.addresses.contains(own));
        findings.iter_mut().map(|(own, _)| own).filter(of).for_each(|own| *own = Some(name.clone()));
    }
    Ok(Outcome { instances, ledger, findings, gaps, merges })
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|source| Error::Runtime { source })
}

/// Asks every target; the first pass has a thread of its own, so that conversations do not make it late.
fn sweep_all(
    runtime: &Runtime,
    request: &Request<'_>,
    sweep: &Arc<Sweep>,
    targets: &[SocketAddr],
    read: &dyn Fn(SocketAddr, ask::Answer) -> Reading,
) -> Result<(Vec<State<Reading>>, Way), Error> {
    let none = BTreeSet::new();
    let heard = match &request.begin {
        Begin::Heard { open, .. } => open,
        _ => &none,
    };
    let is_first = |target: SocketAddr| first::can_ask(target) && !heard.contains(&target);
    let is_many = targets.iter().filter(|target| is_first(**target)).count() >= request.limits.many;
    let raw = match &request.begin {
        Begin::Connecting => None,
        _ => is_many.then(|| sweep.fence.raw(sweep.limits.packets.max(1))),
    };
    let (raw, way) = match raw {
        None => (None, Way::Connections),
        Some(Ok(raw)) => (Some(raw), Way::Packets),
        Some(Err(err)) => (None, Way::ConnectionsOnly { why: format!("raw sockets need CAP_NET_RAW: {err}") }),
    };
    let way = match &request.begin {
        Begin::Heard { engine, open } => Way::Engine { name: engine.clone(), heard: open.len() as u64 },
        _ => way,
    };
    let has_first = raw.is_some();
    let unasked = |(index, target): (usize, &SocketAddr)| (!has_first || !is_first(*target)).then_some(index);
    let mut unasked: Vec<usize> = targets.iter().enumerate().filter_map(unasked).collect();
    // What is known to listen before what may keep us waiting.
    unasked.sort_by_key(|index| targets.get(*index).is_none_or(|target| !heard.contains(target)));
    let Some(raw) = raw else {
        let ahead = Ahead { unasked, first: None };
        return Ok((runtime.block_on(sweep::sweep(Arc::clone(sweep), targets, ahead, request.progress, read)), way));
    };
    let own = self::runtime()?;
    let states = thread::scope(|scope| {
        let (tell, told) = unbounded_channel();
        let first = First::new(raw, &sweep.limits, targets, is_first, tell);
        scope.spawn(move || own.block_on(first.run()));
        let ahead = Ahead { unasked, first: Some(told) };
        runtime.block_on(sweep::sweep(Arc::clone(sweep), targets, ahead, request.progress, read))
    });
    Ok((states, way))
}

/// Takes bytes for what the network answers to packets and handshakes: for fuzzing.
#[cfg(fuzzing)]
pub fn hear(bytes: &[u8]) {
    fence::hear(bytes);
    handshake::hear(bytes);
}

/// What all packs together ask, each path once.
fn questions(request: &Request<'_>) -> Result<Questions, Error> {
    let mut seen = BTreeSet::new();
    let known = request.known.iter();
    let products = known.clone().flat_map(|known| known.probes.probes.iter().map(move |probe| (known.pack, probe)));
    let neighbours = known.clone().flat_map(|known| {
        let probes = known.probes.neighbours.iter().flat_map(|neighbour| &neighbour.probes);
        probes.map(move |probe| (known.pack, probe))
    });
    // What tells a version only is asked where the product is; a probe that tells nothing itself asks for fingerprints.
    let tells_only_a_version = |probe: &Probe| probe.identifies.is_empty() && !probe.version.is_empty();
    let (later, first): (Vec<_>, Vec<_>) = products.clone().partition(|(_, probe)| tells_only_a_version(probe));
    let asked = paths(first.into_iter(), &mut seen)?;
    let versions = paths(later.into_iter(), &mut seen)?;
    let further = paths(neighbours.clone(), &mut seen)?;
    let controls = controls(products.clone());
    let products: Vec<Probe> = products.map(|(_, probe)| probe.clone()).collect();
    let neighbours: Vec<Probe> = neighbours.map(|(_, probe)| probe.clone()).collect();
    let has_database = |kind: &str| known.clone().flat_map(|known| known.recog).any(|db| db.matches.starts_with(kind));
    let signs = || products.iter().chain(&neighbours).flat_map(|probe| &probe.identifies);
    Ok(Questions {
        // A neighbour that speaks first is heard when it does; nobody waits for it.
        ssh: products.iter().any(|probe| probe.over == Over::Ssh),
        tls: products.iter().any(|probe| probe.over == Over::Tls) || has_database("x509."),
        icon: has_database("favicon.") || signs().any(|sign| sign.icon.is_some()),
        jarm: has_database("tls.jarm") || signs().any(|sign| sign.jarm.is_some()),
        paths: asked,
        controls,
        versions,
        further,
        products,
        neighbours,
        databases: known.map(|known| (known.product.clone(), known.recog.to_vec())).collect(),
        user_agent: user_agent(request.scope),
    })
}

/// The paths of probes over HTTP that nobody asked for before.
fn paths<'p>(
    probes: impl Iterator<Item = (&'p str, &'p Probe)>,
    seen: &mut BTreeSet<String>,
) -> Result<Vec<Uri>, Error> {
    let mut paths = Vec::new();
    for (pack, probe) in probes.filter(|(_, probe)| probe.over == Over::Http) {
        let path = Some(&probe.path).filter(|path| path.starts_with('/')).and_then(|path| path.parse::<Uri>().ok());
        let path = path.filter(|uri| uri.to_string() == probe.path).ok_or_else(|| Error::Path {
            pack: pack.to_owned(),
            probe: probe.id.clone(),
            path: probe.path.clone(),
        })?;
        if seen.insert(probe.path.clone()) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// For each path with a version, one beside it that nobody has: another name of the same kind in the same folder.
fn controls<'p>(probes: impl Iterator<Item = (&'p str, &'p Probe)>) -> BTreeMap<String, Uri> {
    let told = probes.map(|(_, probe)| probe).filter(|probe| probe.over == Over::Http && !probe.version.is_empty());
    told.filter_map(|probe| Some((probe.path.clone(), made_up(&probe.path)?))).collect()
}

fn made_up(path: &str) -> Option<Uri> {
    let (folder, name) = path.split('?').next()?.rsplit_once('/')?;
    let kind = name.rsplit_once('.').map(|(_, kind)| format!(".{kind}")).unwrap_or_default();
    let random = RandomState::new().hash_one(path);
    format!("{folder}/{random:016x}{kind}").parse().ok()
}

/// `Portcullis/0.1.0 (Example Agency; soc@example.gov)`: intruders ask for the same paths, so the
/// team that reads the logs must be able to tell us from them.
fn user_agent(scope: &Scope) -> HeaderValue {
    let contact = scope.contact.as_deref().map(|contact| format!("; {contact}")).unwrap_or_default();
    let text = format!("{OWN_AGENT}{} ({}{contact})", env!("CARGO_PKG_VERSION"), scope.organisation);
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    HeaderValue::from_bytes(printable.as_bytes()).unwrap_or(HeaderValue::from_static("Portcullis"))
}
