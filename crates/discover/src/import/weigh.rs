//! Weigh: what do the claims of others amount to beside our own answers?
//!
//! What we heard ourselves stands. An instance that only others saw is counted as such, and where they and we
//! disagree both are told. What lies outside the scope is named and left alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};

use directive::product::Told;
use directive::record::{Gap, Instance, InstanceState, Merge, Version, Witness};
use directive::scope::Scope;
use directive::text::escape;

use super::{Claim, Import, Port, host_name};
use crate::Known;
use crate::identify::{Identity, Reading, names_product, recognise};
use crate::marks::Marks;
use crate::merge;
use crate::sweep::State;

/// Examples that a gap names.
const EXAMPLES: usize = 10;

/// Instances outside the scope that are told one by one.
const STRANGERS: usize = 100;

/// What imports add to a count.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) gaps: Vec<(Option<String>, Gap)>,
    /// Open ports of addresses in scope that nobody here asked.
    pub(crate) unasked: u64,
    /// Which imported addresses are one instance, by its name.
    pub(crate) merges: Vec<(String, Merge)>,
    /// Instances that only others saw, as merging sees them.
    seen: Vec<(SocketAddr, Reading)>,
}

/// What several claims say of one port.
struct Seen<'i> {
    claims: Vec<(&'i Import, &'i Claim)>,
}

/// Our own answers, by address.
pub(crate) struct Own<'s> {
    pub(crate) scope: &'s Scope,
    pub(crate) known: &'s [Known<'s>],
    pub(crate) targets: &'s [SocketAddr],
    pub(crate) states: &'s [State<Reading>],
}

/// Adds what imports know to the instances of a count.
pub(crate) fn weigh(own: &Own<'_>, imports: &[Import], instances: &mut Vec<Instance>) -> Imported {
    let mut out = Imported::default();
    let mut ports: BTreeMap<SocketAddr, Seen<'_>> = BTreeMap::new();
    for import in imports {
        out.outside(own, import);
        out.unplaced(own, import);
        out.unread(import);
        for claim in import.claims.iter().filter(|claim| claim.state == Port::Open && own.scope.covers(claim.address)) {
            let Some(port) = claim.port else { continue };
            let at = SocketAddr::new(claim.address, port);
            ports.entry(at).or_insert_with(|| Seen { claims: Vec::new() }).claims.push((import, claim));
        }
    }
    let mut unheard: BTreeMap<(&str, &str, bool), Vec<SocketAddr>> = BTreeMap::new();
    for (at, port) in &ports {
        let state = own.targets.binary_search(at).ok().and_then(|n| own.states.get(n));
        out.unasked += u64::from(state.is_none());
        if let Some((first, witnesses)) = port.identify(own.known, *at) {
            out.identified(own, *at, state, port, (first, witnesses), instances);
            continue;
        }
        let Some(how) = unlike(state) else { continue };
        for (import, claim) in &port.claims {
            unheard.entry((&import.file, how, claim.product.is_none())).or_default().push(*at);
        }
    }
    out.merge(own.scope, instances);
    for ((file, how, is_nameless), at) in unheard {
        let what = if is_nameless { "and does not name" } else { "as another product" };
        let why = format!("{file} saw {} ports open {what}; from here: {how}: {}", at.len(), examples(&at));
        out.gap(None, "import-contradicts", Some(file.to_owned()), why, is_nameless);
    }
    out
}

/// How our answer differs from "something listens there".
fn unlike(state: Option<&State<Reading>>) -> Option<&'static str> {
    match state {
        Some(State::Answered(_)) => None,
        Some(State::Refused) => Some("refused"),
        Some(State::Filtered) => Some("filtered"),
        Some(State::Silent) => Some("silent"),
        Some(State::NotAsked(_)) | None => Some("not asked"),
    }
}

impl Seen<'_> {
    /// The first known product that a claim names, and what the claims say of its version.
    fn identify(&self, known: &[Known<'_>], at: SocketAddr) -> Option<(usize, Vec<Witness>)> {
        known.iter().enumerate().find_map(|(n, known)| {
            let told: Vec<_> =
                self.claims.iter().filter_map(|(import, claim)| named(known, import, claim, at)).collect();
            let mut witnesses: Vec<Witness> = Vec::new();
            for told in told.iter().flatten() {
                let witness = known.product.witness(told);
                if !witnesses.contains(&witness) {
                    witnesses.push(witness);
                }
            }
            (!told.is_empty()).then_some((n, witnesses))
        })
    }
}

/// What a claim says of a product's version; `None` if it does not name the product.
fn named(known: &Known<'_>, import: &Import, claim: &Claim, at: SocketAddr) -> Option<Vec<Told>> {
    let date = claim.at.map(|at| format!(" of {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
    let source = |how: &str| format!("import {}{date}, {how}: {at}", import.file);
    let texts = |kind: &str| claim.texts.iter().filter(|(own, _)| *own == kind).map(|(_, text)| text.clone()).collect();
    let recognised = recognise(known, &|kind| source(&format!("recog {kind}")), &texts);
    let is_named = claim.product.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&known.product.name));
    let by_cpe = claim.cpe.iter().any(|cpe| names_product(cpe, known.product));
    if !is_named && !by_cpe && !recognised.is_product {
        return None;
    }
    let mut told: Vec<Told> = recognised.told;
    if let (Some(version), true, true) = (&claim.version, is_named || by_cpe, told.is_empty()) {
        // `9.2p1 Debian 2+deb12u3`, where the banner said `9.2p1 Debian-2+deb12u3`.
        let (version, comment) = version.split_once(' ').map_or((version.as_str(), None), |(v, rest)| (v, Some(rest)));
        let comment = comment.map(|rest| rest.replacen(' ', "-", 1));
        let source = source(import.kind.as_str());
        told.push(Told {
            source,
            version: version.to_owned(),
            comment,
            exact: true,
            fakeable: true,
            ..Told::default()
        });
    }
    Some(told)
}

impl Seen<'_> {
    /// What merging needs to know of it.
    fn reading(&self, known: usize, witnesses: &[Witness]) -> Reading {
        let claims = || self.claims.iter().map(|(_, claim)| claim);
        let marks = Marks {
            certificate_key: claims().find_map(|claim| claim.certificate_key.clone()),
            names: claims().flat_map(|claim| claim.certificate_names.iter().cloned()).collect(),
            ..Marks::default()
        };
        let identity = Identity { known, witnesses: witnesses.to_vec(), ..Identity::default() };
        Reading { identities: vec![identity], marks, ..Reading::default() }
    }
}

impl Imported {
    /// Counts addresses that only others saw once, where they are one instance.
    fn merge(&mut self, scope: &Scope, instances: &mut Vec<Instance>) {
        let (targets, readings): (Vec<_>, Vec<_>) = std::mem::take(&mut self.seen).into_iter().unzip();
        let states: Vec<_> = readings.into_iter().map(State::Answered).collect();
        let (groups, _) = merge::groups(scope, &targets, &states);
        for group in groups.iter().filter(|group| group.members.len() > 1 && !group.reasons.is_empty()) {
            let members: Vec<String> = group.members.iter().map(|n| targets[*n].to_string()).collect();
            let name = group.declared.map_or_else(|| members[0].clone(), |declared| declared.name.clone());
            instances.retain(|instance| instance.name == name || !members.contains(&instance.name));
            let Some(instance) = instances.iter_mut().find(|instance| instance.name == name) else { continue };
            let new = members.into_iter().filter(|member| !instance.addresses.contains(member)).collect::<Vec<_>>();
            instance.addresses.extend(new);
            let reasons = group.reasons.iter().map(escape).collect();
            self.merges.push((name, Merge { addresses: instance.addresses.clone(), reasons }));
        }
    }

    /// A port at which others saw a product that we look for.
    fn identified(
        &mut self,
        own: &Own<'_>,
        at: SocketAddr,
        state: Option<&State<Reading>>,
        port: &Seen<'_>,
        (first, witnesses): (usize, Vec<Witness>),
        instances: &mut Vec<Instance>,
    ) {
        let Some(product) = own.known.get(first).map(|known| known.product.name.as_str()) else { return };
        let files: BTreeSet<&str> = port.claims.iter().map(|(import, _)| import.file.as_str()).collect();
        let files = files.into_iter().collect::<Vec<_>>().join(", ");
        let declared = own.scope.declared_at(at).map(|declared| declared.name.clone());
        let name = declared.unwrap_or_else(|| at.to_string());
        let found = instances.iter_mut().find(|instance| instance.name == name);
        if let Some(State::Answered(reading)) = state
            && let Some(mine) = reading.identities.iter().find(|identity| identity.known == first)
        {
            let versions = |witnesses: &[Witness]| witnesses.iter().map(|w| w.value.clone()).collect::<BTreeSet<_>>();
            let (heard, told) = (versions(&mine.witnesses), versions(&witnesses));
            if !heard.is_empty() && !told.is_empty() && heard.is_disjoint(&told) {
                let (heard, told) = (list(&heard), list(&told));
                let why = format!("{files} says {product} {told}, and it answers as {heard} now");
                self.gap(Some(name), "import-contradicts", Some(at.to_string()), why, false);
            }
            return;
        }
        let heard = match state {
            Some(State::Answered(_)) => Some("it answers, and not as that product"),
            Some(State::Refused) => Some("it refuses the connection"),
            _ => None,
        };
        if let Some(heard) = heard {
            let why = format!("{files} saw {product} there, and {heard} now");
            self.gap(Some(name.clone()), "import-contradicts", Some(at.to_string()), why, true);
        }
        if found.as_ref().is_none_or(|instance| instance.state != InstanceState::Identified) {
            self.seen.push((at, port.reading(first, &witnesses)));
        }
        match found {
            // Another of its addresses may have answered already.
            Some(instance) if instance.state == InstanceState::Identified => {}
            Some(instance) => {
                instance.product = Some(product.to_owned());
                instance.version = Version::from_witnesses(witnesses);
                instance.state = InstanceState::Imported;
            }
            None => instances.push(Instance {
                addresses: vec![name.clone()],
                name,
                product: Some(product.to_owned()),
                version: Version::from_witnesses(witnesses),
                state: InstanceState::Imported,
                ..Instance::default()
            }),
        }
    }

    /// Addresses that are not ours: named, and left alone.
    fn outside(&mut self, own: &Own<'_>, import: &Import) {
        let strangers = import.claims.iter().filter(|claim| !own.scope.covers(claim.address));
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
        let mut named_there: BTreeSet<(SocketAddr, &str)> = BTreeSet::new();
        for claim in strangers {
            addresses.insert(claim.address);
            let Some(port) = claim.port.filter(|_| claim.state == Port::Open) else { continue };
            let at = SocketAddr::new(claim.address, port);
            let known = own.known.iter().find(|known| named(known, import, claim, at).is_some());
            named_there.extend(known.map(|known| (at, known.product.name.as_str())));
        }
        for (at, product) in named_there.iter().take(STRANGERS) {
            let why = format!(
                "{} saw {product} there, outside the scope; it was not asked: if it is yours, or a provider runs it \
                 for you, declare it",
                import.file
            );
            self.gap(None, "import-outside-scope", Some(at.to_string()), why, true);
        }
        if !addresses.is_empty() {
            let count = addresses.len();
            let addresses: Vec<_> = addresses.into_iter().collect();
            let why =
                format!("{count} of its addresses lie outside the scope and were left alone: {}", examples(&addresses));
            self.gap(None, "import-outside-scope", Some(import.file.clone()), why, false);
        }
    }

    /// Names that lead to no address: somebody must look them up, since whoever answers could widen the scope.
    fn unplaced(&mut self, own: &Own<'_>, import: &Import) {
        if import.names.is_empty() {
            return;
        }
        let facts = own.scope.instances.iter().flat_map(|instance| instance.facts.values());
        let placed = facts.chain(import.claims.iter().flat_map(|claim| &claim.names));
        let placed: HashSet<String> = placed.filter_map(|name| host_name(name)).collect();
        let names: Vec<&String> = import.names.iter().filter(|name| !placed.contains(*name)).collect();
        if !names.is_empty() {
            let why = format!(
                "{} names without an address; names are not resolved: look them up, and declare what is yours: {}",
                names.len(),
                examples(&names)
            );
            self.gap(None, "import-unplaced", Some(import.file.clone()), why, false);
        }
    }

    fn unread(&mut self, import: &Import) {
        if import.strange + import.beyond > 0 {
            let why = format!(
                "{} of its entries were not understood, and {} are more than are read; behind damage nothing is read",
                import.strange, import.beyond
            );
            self.gap(None, "import-unread", Some(import.file.clone()), why, true);
        }
    }

    fn gap(&mut self, name: Option<String>, code: &str, place: Option<String>, why: String, required: bool) {
        let place = place.map(escape);
        self.gaps.push((name, Gap { code: code.to_owned(), path: None, place, why: escape(why), required }));
    }
}

fn list(values: &BTreeSet<String>) -> String {
    values.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn examples<T: ToString>(all: &[T]) -> String {
    let shown: Vec<String> = all.iter().take(EXAMPLES).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(shown.len());
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
