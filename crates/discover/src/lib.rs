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
mod count;
mod cpe;
mod fence;
mod identify;
pub mod import;
mod limits;
mod others;
pub mod recog;
mod signs;
mod sweep;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use directive::probe::{Over, Probe, Probes};
use directive::product::Product;
use directive::progress::Progress;
use directive::record::{Finding, Gap, Instance, Ledger};
use directive::scope::{OWN_AGENT, Scope};
use hyper::Uri;
use hyper::header::HeaderValue;

use self::ask::Questions;
use self::fence::Fence;
pub use self::limits::Limits;
use self::sweep::Sweep;

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
    /// What it may cost.
    pub limits: Limits,
    /// Who watches. One unit is one address.
    pub progress: &'a dyn Progress,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Runtime { source })?;
    let (targets, excluded) = request.scope.targets();
    let fence = Fence::new(request.scope, request.limits.connect);
    let shared = Arc::new(Sweep { fence, limits: request.limits.clone(), questions });
    let read = |target, answer| identify::read(request.known, target, answer);
    let states = runtime.block_on(sweep::sweep(Arc::clone(&shared), &targets, request.progress, read));
    let mut ledger = sweep::ledger(&states, excluded, shared.fence.connections());
    let count::Count { mut instances, mut gaps } = count::count(request.scope, request.known, &targets, &states);
    let own = import::Own { scope: request.scope, known: request.known, targets: &targets, states: &states };
    let imported = import::weigh(&own, request.imports, &mut instances);
    ledger.imported = imported.unasked;
    gaps.extend(imported.gaps);
    let findings = others::findings(request.scope, &targets, &states);
    Ok(Outcome { instances, ledger, findings, gaps })
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

/// `Portcullis/0.1.0 (Example Agency; soc@example.gov)`: intruders ask for the same paths, so the
/// team that reads the logs must be able to tell us from them.
fn user_agent(scope: &Scope) -> HeaderValue {
    let contact = scope.contact.as_deref().map(|contact| format!("; {contact}")).unwrap_or_default();
    let text = format!("{OWN_AGENT}{} ({}{contact})", env!("CARGO_PKG_VERSION"), scope.organisation);
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    HeaderValue::from_bytes(printable.as_bytes()).unwrap_or(HeaderValue::from_static("Portcullis"))
}
