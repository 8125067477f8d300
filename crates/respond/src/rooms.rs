//! Rooms: which records does a step leave?
//!
//! The only place where a room's answer becomes records. Nothing else passes between rooms.

use std::num::NonZeroUsize;

use check::{Baseline, Hunt, Request};
use directive::pack::Pack;
use directive::progress::Progress;
use directive::record::{Body, Difference, Finding, Instance, InstanceState, Version};
use directive::scope::Declared;
use directive::state::State;
use discover::recog::load_all;
use discover::{Begin, Known, Limits};

use crate::inputs::Inputs;
use crate::open::Runs;

/// A fact and the instance that it is about.
pub(crate) type Fact = (Option<String>, Body);

/// Why a room could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Input(#[from] crate::inputs::Error),
    #[error(transparent)]
    Discover(#[from] discover::Error),
    #[error(transparent)]
    Check(#[from] check::Error),
    #[error("a fingerprint file of the pack cannot be used")]
    Recog { source: discover::recog::Error },
    #[error("the scope does not declare {0:?} any more")]
    Undeclared(String),
    #[error("{0:?} checks no instance")]
    NoInstance(String),
}

/// What the scope declares of an instance, before anything was asked.
pub(crate) fn declared(declared: &Declared) -> Fact {
    let instance = Instance {
        name: declared.name.clone(),
        addresses: declared.addresses.iter().map(ToString::to_string).collect(),
        state: InstanceState::Declared,
        owner: declared.owner.clone(),
        has_evidence: declared.evidence.is_some(),
        facts: declared.facts.clone(),
        ..Instance::default()
    };
    (Some(declared.name.clone()), Body::Instance(instance))
}

/// Counts instances for all packs at once: each address is asked once.
pub(crate) fn discover(
    packs: &[Pack],
    inputs: &Inputs,
    state: &State,
    progress: &dyn Progress,
) -> Result<Vec<Fact>, Error> {
    let recog: Result<Vec<_>, _> = packs.iter().map(|pack| load_all(&pack.recog)).collect();
    let mut recog = recog.map_err(|source| Error::Recog { source })?;
    recog.iter_mut().for_each(|own| own.extend(inputs.recog.iter().cloned()));
    let known: Vec<_> = packs
        .iter()
        .zip(&recog)
        .map(|(pack, recog)| Known { pack: pack.id(), product: &pack.product, probes: &pack.probes, recog })
        .collect();
    let imports = &inputs.imports;
    let (begin, limits) = (Begin::default(), Limits::default());
    let request = discover::Request { scope: &inputs.scope, known: &known, imports, begin, limits, progress };
    let mut outcome = discover::discover(&request)?;
    if state.ledger.is_some() {
        let before = state.instances.values().map(|known| &known.instance);
        outcome.ledger.since = Some(Difference::between(before, &outcome.instances));
    }
    let mut facts = vec![(None, Body::Ledger(outcome.ledger))];
    for instance in outcome.instances {
        let name = instance.name.clone();
        let disagreement = disagreement(state, &name, &instance.version);
        facts.push((Some(name.clone()), Body::Instance(instance)));
        facts.extend(disagreement.map(|finding| (Some(name), Body::Finding(finding))));
    }
    facts.extend(outcome.findings.into_iter().map(|(name, finding)| (name, Body::Finding(finding))));
    facts.extend(outcome.merges.into_iter().map(|(name, merge)| (Some(name), Body::Merge(merge))));
    facts.extend(outcome.gaps.into_iter().map(|(name, gap)| (name, Body::Gap(gap))));
    Ok(facts)
}

/// Which instance to check, under which pack.
pub(crate) struct Order<'a> {
    pub(crate) pack: &'a Pack,
    /// What the pack hunts for, compiled once a run.
    pub(crate) hunt: Option<&'a Hunt>,
    pub(crate) clause: &'a str,
    pub(crate) name: &'a str,
}

/// Checks one instance.
pub(crate) fn check(
    order: &Order<'_>,
    inputs: &Inputs,
    state: &State,
    threads: NonZeroUsize,
    progress: &dyn Progress,
) -> Result<Vec<Fact>, Error> {
    let Order { pack, hunt, clause, name } = *order;
    let declared = inputs.declared(name).ok_or_else(|| Error::Undeclared(name.to_owned()))?;
    let source = inputs.open(declared, progress)?;
    let runs = inputs.runs(declared, progress)?;
    let manifests = inputs.given(name).map(|given| given.manifests.as_slice()).unwrap_or_default();
    let previous = state.instances.get(name).map(|known| known.checked.findings.as_slice()).unwrap_or_default();
    let previous_coverage = state.instances.get(name).and_then(|known| known.checked.coverage.as_ref());
    let outcome = check::integrity::check(&Request {
        source: source.as_ref(),
        manifests,
        // It comes from the suspect: a baseline to compare with, which never vouches for a file.
        baseline: Baseline::of(source.as_ref()),
        product: Some(&pack.product),
        clause: Some(clause),
        previous,
        previous_coverage,
        live: runs.as_ref().map(Runs::live),
        hunt,
        threads,
        progress,
    })?;
    let mut facts = Vec::new();
    let mut fact = |body| facts.push((Some(name.to_owned()), body));
    let version = Version::from_witnesses(outcome.witnesses);
    let disagreement = disagreement(state, name, &version);
    if !version.witnesses.is_empty() {
        fact(Body::Instance(Instance {
            name: name.to_owned(),
            product: Some(pack.product.name.clone()),
            version,
            state: evidence_state(state, name),
            owner: declared.owner.clone(),
            has_evidence: true,
            ..Instance::default()
        }));
    }
    outcome.findings.into_iter().for_each(|finding| fact(Body::Finding(finding)));
    outcome.gaps.into_iter().for_each(|gap| fact(Body::Gap(gap)));
    outcome.accounts.into_iter().for_each(|account| fact(Body::Account(account)));
    outcome.timeline.into_iter().for_each(|moment| fact(Body::Moment(moment)));
    fact(Body::Coverage(outcome.coverage));
    fact(Body::Verdict(outcome.conclusion));
    // After the verdict: two witnesses that disagree are a fact about the version, not about files.
    disagreement.into_iter().for_each(|finding| fact(Body::Finding(finding)));
    Ok(facts)
}

/// What the network said stays; an instance that nobody asked is known from evidence only.
fn evidence_state(state: &State, name: &str) -> InstanceState {
    match state.instances.get(name).map(|known| known.instance.state) {
        None | Some(InstanceState::Declared) => InstanceState::EvidenceOnly,
        Some(asked) => asked,
    }
}

/// The finding that two witnesses of a version cannot both be right, old and new ones together.
fn disagreement(state: &State, name: &str, new: &Version) -> Option<Finding> {
    let old = state.instances.get(name).map(|known| known.instance.version.witnesses.clone()).unwrap_or_default();
    let kept = old.into_iter().filter(|old| !new.witnesses.iter().any(|new| new.source == old.source));
    let all = Version::from_witnesses(kept.chain(new.witnesses.iter().cloned()).collect());
    all.disagrees()
}
