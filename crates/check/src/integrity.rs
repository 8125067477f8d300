//! Integrity: does every file on the instance match what the vendor shipped?
//!
//! Serves ED 21-03 action 2 ("detects any mismatch of hashes", "newly detected files"). Every file
//! is read once and held against manifests from outside, against the instance's own package
//! database, and against rules for owner and mode. What was not seen is a gap, and a file that is
//! as shipped again is still reported.
//! Never takes the instance's word: what agrees only with a list found on it is *consistent*.
//! Speed: `benches/integrity.rs`.

mod generation;
mod history;
mod index;
mod made;
mod previous;
mod rules;
mod sight;
mod tally;
mod weigh;

use std::num::NonZeroUsize;

use directive::judge::Explained;
use directive::product::Product;
use directive::progress::Progress;
use directive::record::{Account, Conclusion, Coverage, Finding, Gap, Moment, Witness};
use evidence::Source;

use crate::database::Database;
use crate::hunt::Hunt;
use crate::hunt::files::{Closing, Files};
use crate::hunt::logs::Told;
use crate::live::Live;
use crate::manifest::package::System;
use crate::manifest::{Manifest, Operator, found};
use crate::selection::Selection;
use crate::version;
use generation::Generations;
use index::Index;
use made::Made;
use previous::Previous;
use rules::Rules;
use sight::{Complete, Extent, Known, Sight};
pub(crate) use sight::{KEPT, about, bare, is_below};
pub(crate) use weigh::describe;

/// What to check, against what.
pub struct Request<'a> {
    /// The evidence.
    pub source: &'a dyn Source,
    /// Lists made elsewhere. They alone vouch.
    pub manifests: &'a [Manifest<Operator>],
    /// What of the instance's own to hold it against.
    pub baseline: Baseline,
    /// The product, for complete and volatile folders, rules and version files.
    pub product: Option<&'a Product>,
    /// The clause of the directive that asks for the check, for the findings.
    pub clause: Option<&'a str>,
    /// The findings of the last check of the same instance.
    pub previous: &'a [Finding],
    /// What the last check of the same instance saw.
    pub previous_coverage: Option<&'a Coverage>,
    /// The machine itself, if the evidence is one that runs: its processes are looked at too.
    pub live: Option<Live<'a>>,
    /// What is known to be bad, and what intruders do.
    pub hunt: Option<&'a Hunt>,
    /// How many threads read.
    pub threads: NonZeroUsize,
    /// Who watches, and may ask to stop.
    pub progress: &'a dyn Progress,
}

/// A package database that the instance itself brings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Baseline {
    /// None.
    #[default]
    None,
    /// The database of dpkg: Debian, Ubuntu.
    Dpkg,
    /// The database of rpm: Fedora, Red Hat, SUSE.
    Rpm,
    /// The database of apk: Alpine.
    Apk,
}

/// What a check found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Facts about the instance, sorted by path.
    pub findings: Vec<Finding>,
    /// What was not seen, sorted by path.
    pub gaps: Vec<Gap>,
    /// How much was seen.
    pub coverage: Coverage,
    /// What that adds up to.
    pub conclusion: Conclusion,
    /// What files of the instance say about its version.
    pub witnesses: Vec<Witness>,
    /// Accounts that must be reset, sorted by name.
    pub accounts: Vec<Account>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// Every rule of the verdict, and whether it holds.
    pub explained: Vec<Explained>,
}

/// Why a check could not start. What goes wrong later is a gap.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The evidence cannot be read at all.
    #[error("the evidence cannot be read")]
    Evidence(#[from] evidence::Error),
}

/// Holds evidence against what was shipped.
///
/// Every regular file is read once; time grows with the bytes read, memory with the files listed
/// and the findings made, not with the files met. Findings and gaps come out sorted by path, the
/// same for the same evidence whatever the number of threads.
///
/// Without any manifest, or interrupted, the outcome carries a required gap and is never a pass.
///
/// # Errors
///
/// [`Error::Evidence`] if the root of the evidence cannot be read.
pub fn check(request: &Request<'_>) -> Result<Outcome, Error> {
    let source = request.source;
    let found = found::read(source, request.product, request.clause);
    let mut gaps = found.gaps;
    // One that is signed by a pinned key stands beside those that the operator brings.
    let manifests: Vec<Manifest<Operator>> =
        found.manifest.map(|own| request.manifests.iter().cloned().chain([own]).collect()).unwrap_or_default();
    let request = &Request { manifests: if manifests.is_empty() { request.manifests } else { &manifests }, ..*request };
    let packages = request.manifests.iter().filter_map(|manifest| manifest.package.as_ref());
    let mut brought: Vec<System> = packages.map(|package| package.system).collect();
    brought.sort_unstable();
    brought.dedup();
    let mut database = Database::read(source, request.baseline, &brought);
    gaps.append(&mut database.gaps);
    let selection = Selection::new(request.manifests, &database, &mut gaps);
    if request.baseline.system().is_some_and(|system| selection.is_whole(system)) {
        (database.claims, database.links) = Default::default();
    }
    gaps.extend(request.manifests.iter().flat_map(Manifest::gaps));
    let generations = Generations::find(source, request.product, request.manifests, &selection, &mut gaps);
    let mut index = Index::new(source, request.manifests, &database, &generations, request.clause);
    index.complaints.extend(found.findings);
    request.progress.expect(index.len() as u64);

    let product_rules = request.product.map_or(&[][..], |product| &product.integrity.metadata);
    let of_debian = brought.contains(&System::Dpkg) || request.baseline == Baseline::Dpkg;
    let rules = Rules::new(source, product_rules, database.overrides.clone(), of_debian);
    let made = Made::new();
    let has_lists = request.manifests.iter().any(|manifest| manifest.package.is_none());
    let extent = match request.baseline {
        _ if selection.is_whole(System::Dpkg) => Extent::Packages(&made),
        Baseline::None if has_lists || brought.is_empty() => Extent::Lists,
        _ => Extent::Part,
    };
    let complete = Complete::new(request, &index, &generations, extent);
    let previous = Previous::new(request.previous);
    let (files, jobs) = request.hunt.map(|hunt| Files::new(hunt, source, request.clause)).unzip();
    let known =
        Known { index: &index, generations: &generations, rules: &rules, complete: &complete, previous: &previous };
    let sight = Sight::new(known, files.as_ref(), request);
    std::thread::scope(|scope| {
        let _closing = files.as_ref().map(Closing);
        if let (Some(files), Some(jobs)) = (&files, &jobs) {
            (0..request.threads.get()).for_each(|_| drop(scope.spawn(|| files.work(jobs))));
        }
        source.walk(request.threads, &sight)
    })?;

    let witnesses = request.product.map_or_else(Vec::new, |product| version::witnesses(source, product, &mut gaps));
    let mut tally = sight.finish();
    let found = files.map(|files| files.finish(source, request.threads, &|| request.progress.stop_requested()));
    // Last, since the ages of programs are as of the end of the check.
    let live = request.live.map(|live| live.look(request.clause, request.progress)).unwrap_or_default();
    gaps.extend(request.hunt.into_iter().flat_map(Hunt::unusable).cloned());
    let mut told = Told::default();
    if let Some(found) = found {
        tally.coverage.hunted = found.hunted;
        found.findings.into_iter().for_each(|finding| tally.finding(finding));
        gaps.extend(found.gaps);
        told = found.told;
    }
    let interrupted = request.progress.stop_requested();
    let seen = weigh::Seen {
        request,
        index: &index,
        generations: &generations,
        complete: &complete,
        previous: &previous,
        database: &database,
        live,
    };
    Ok(Outcome { witnesses, ..seen.weigh(tally, told, gaps, interrupted) })
}
