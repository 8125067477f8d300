//! Count: what do the answers amount to, instance by instance?
//!
//! Each declared instance gives exactly one record, whatever its addresses did; each identified
//! address that nobody declared gives one more, or one together with others that are the same instance (`merge.rs`).
//! Nothing is dropped quietly: what could not be heard, asked or told apart becomes a gap.
//! Serves ED 21-03 action 1.

use std::net::SocketAddr;

use directive::record::{Gap, Instance, InstanceState, Ledger, Merge, Owner, Version, Witness};
use directive::scope::{Declared, Scope};
use directive::text::escape;

use crate::Known;
use crate::cluster;
use crate::decoy::{self, Ports};
use crate::identify::{Identity, Reading};
use crate::merge::{self, Doubt, Group};
use crate::sweep::State;

/// Instances and gaps of a discovery.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) instances: Vec<Instance>,
    pub(crate) gaps: Vec<(Option<String>, Gap)>,
    /// Of which instance, and why its addresses are one.
    pub(crate) merges: Vec<(String, Merge)>,
}

/// One address and what became of it.
type Own<'a> = (&'a SocketAddr, &'a State<Reading>);

/// Counts declared instances in the order of the scope, then the others by address.
pub(crate) fn count(scope: &Scope, known: &[Known<'_>], targets: &[SocketAddr], states: &[State<Reading>]) -> Count {
    let mut count = Count::default();
    let (groups, doubts) = merge::groups(scope, targets, states);
    let ports = Ports::of(targets, states);
    for group in &groups {
        let own: Vec<_> = group.members.iter().filter_map(|n| Some((targets.get(*n)?, states.get(*n)?))).collect();
        count.add(known, &ports, group, &own);
    }
    doubts.iter().for_each(|doubt| count.doubt(doubt));
    count.unasked(scope, targets, states);
    count
}

impl Count {
    /// Adds one instance, or nothing if nobody declared it and nobody recognises it.
    fn add(&mut self, known: &[Known<'_>], ports: &Ports, group: &Group<'_>, own: &[Own<'_>]) {
        let declared = group.declared;
        let readings = own.iter().filter_map(|(target, state)| match state {
            State::Answered(reading) => Some((**target, reading)),
            _ => None,
        });
        let identities: Vec<_> =
            readings.clone().flat_map(|(target, r)| r.identities.iter().map(move |i| (target, i))).collect();
        // The packs' order decides; a declared instance may have several addresses.
        let first = identities.iter().map(|(_, identity)| identity.known).min();
        let name = match (declared, own.first()) {
            (Some(declared), _) => Some(declared.name.clone()),
            (None, Some((target, _))) if first.is_some() => Some(target.to_string()),
            _ => None,
        };
        for (target, reading) in readings.clone() {
            for trouble in &reading.troubles {
                // What hides a declared instance, or may hide one nobody knows of, leaves the count open.
                let required = first.is_none();
                self.gaps.push((name.clone(), gap(trouble.code(), target, trouble.to_string(), required)));
            }
        }
        let Some(name) = name else { return };
        let (same, other): (Vec<_>, Vec<_>) = identities.into_iter().partition(|(_, i)| Some(i.known) == first);
        let product = first.and_then(|index| known.get(index)).map(|known| known.product.name.clone());
        self.tell_second(known, &name, product.as_deref(), &other);
        let witnesses: Vec<Witness> = same.iter().flat_map(|(_, identity)| identity.witnesses.clone()).collect();
        if let (Some((target, _)), true) = (same.first(), witnesses.is_empty()) {
            let why = "it answers as the product does and names no version; read it from evidence or from a person";
            self.gaps.push((Some(name.clone()), gap("version-unread", *target, why.to_owned(), false)));
        }
        let mut cpe: Vec<String> = Vec::new();
        for name in same.iter().flat_map(|(_, identity)| &identity.cpe) {
            if !cpe.contains(name) {
                cpe.push(name.clone());
            }
        }
        let mut suspicions: Vec<(SocketAddr, String)> = Vec::new();
        for (target, reading) in readings.filter(|(_, reading)| !reading.identities.is_empty()) {
            if let Some(why) = cluster::reason(&reading.marks) {
                let why = format!("{why}: more instances may stand behind this address; declare each of them");
                self.gaps.push((Some(name.clone()), gap("cluster-suspected", target, why, false)));
            }
            suspicions.extend(decoy::reasons(known, ports, target, reading).into_iter().map(|why| (target, why)));
        }
        for (target, why) in &suspicions {
            let why = format!("{why}; it is counted: look at it, and exclude it from the scope if it is a decoy");
            self.gaps.push((Some(name.clone()), gap("decoy-suspected", *target, why, false)));
        }
        let addresses = addresses(declared, own, &name);
        if !group.reasons.is_empty() {
            let merge = Merge { addresses: addresses.clone(), reasons: group.reasons.iter().map(escape).collect() };
            self.merges.push((name.clone(), merge));
        }
        self.instances.push(Instance {
            cpe,
            product,
            decoy: suspicions.into_iter().map(|(_, why)| why).collect(),
            version: Version::from_witnesses(witnesses),
            state: state_of(declared, own, first.is_some()),
            addresses,
            owner: declared.map(|declared| declared.owner.clone()).unwrap_or_default(),
            has_evidence: declared.is_some_and(|declared| declared.evidence.is_some()),
            facts: declared.map(|declared| declared.facts.clone()).unwrap_or_default(),
            name,
        });
    }

    /// One instance record names one product. A second one must not vanish; another pack that
    /// knows the same product tells nothing new.
    fn tell_second(&mut self, known: &[Known<'_>], name: &str, first: Option<&str>, other: &[(SocketAddr, &Identity)]) {
        for (target, identity) in other {
            let product = known.get(identity.known).map(|known| known.product.name.as_str()).unwrap_or_default();
            if first.is_some_and(|first| first.eq_ignore_ascii_case(product)) {
                continue;
            }
            let why = format!("it also answers as {product}; declare that as an instance of its own");
            self.gaps.push((Some(name.to_owned()), gap("second-product", *target, why, false)));
        }
    }

    /// Addresses that share a key and are not one, as far as we know.
    fn doubt(&mut self, doubt: &Doubt) {
        let Some(first) = doubt.members.first() else { return };
        let why = format!(
            "{}; if they are one, declare them as one instance; if not, `[[apart]]` of the scope says so for good",
            doubt.why
        );
        let mut gap = gap("key-shared", *first, why, false);
        let members: Vec<String> = doubt.members.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = doubt.members.len() - members.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        gap.place = Some(format!("{}{more}", members.join(", ")));
        self.gaps.push((None, gap));
    }

    /// One gap for all addresses that were not asked for the same reason.
    fn unasked(&mut self, scope: &Scope, targets: &[SocketAddr], states: &[State<Reading>]) {
        let mut reasons: Vec<(&str, Option<&str>, SocketAddr, u64)> = Vec::new();
        for (target, state) in targets.iter().zip(states) {
            let State::NotAsked(why) = state else { continue };
            let name = scope.declared_at(*target).map(|declared| declared.name.as_str());
            match reasons.iter_mut().find(|(reason, other, ..)| reason == why && *other == name) {
                Some((.., count)) => *count += 1,
                None => reasons.push((why, name, *target, 1)),
            }
        }
        for (why, name, target, count) in reasons {
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            let mut gap = gap("address-not-asked", target, why.to_owned(), true);
            gap.place = Some(format!("{target}{more}"));
            self.gaps.push((name.map(str::to_owned), gap));
        }
    }
}

/// Counts every address once.
pub(crate) fn ledger(states: &[State<Reading>], excluded: u64) -> Ledger {
    let mut ledger = Ledger { addresses: states.len() as u64, excluded, ..Ledger::default() };
    for state in states {
        *match state {
            State::Answered(reading) => {
                ledger.identified += u64::from(!reading.identities.is_empty());
                &mut ledger.answered
            }
            State::Refused => &mut ledger.refused,
            State::Filtered => &mut ledger.filtered,
            State::Silent => &mut ledger.silent,
            State::NotAsked(_) => &mut ledger.not_asked,
        } += 1;
    }
    ledger
}

/// Addresses that a gap names.
const SHOWN: usize = 10;

/// What is declared, and what was found to be the same instance.
fn addresses(declared: Option<&Declared>, own: &[Own<'_>], name: &str) -> Vec<String> {
    let declared = declared.map(|declared| declared.addresses.as_slice()).unwrap_or_default();
    let found = own.iter().map(|(target, _)| **target).filter(|target| !declared.contains(target));
    let all: Vec<String> = declared.iter().copied().chain(found).map(|target| target.to_string()).collect();
    if all.is_empty() && name.parse::<SocketAddr>().is_ok() { vec![name.to_owned()] } else { all }
}

/// The best that any of its addresses did.
fn state_of(declared: Option<&Declared>, own: &[Own<'_>], identified: bool) -> InstanceState {
    if identified {
        return InstanceState::Identified;
    }
    if let Some(declared) = declared.filter(|declared| declared.addresses.is_empty()) {
        let is_elsewhere = declared.evidence.is_none() && matches!(declared.owner, Owner::ThirdParty { .. });
        return if is_elsewhere { InstanceState::ThirdParty } else { InstanceState::EvidenceOnly };
    }
    let states = own.iter().map(|(_, state)| match state {
        State::Answered(_) => InstanceState::AnsweredUnknown,
        State::Refused => InstanceState::Refused,
        State::Filtered => InstanceState::Filtered,
        State::Silent => InstanceState::Silent,
        State::NotAsked(_) => InstanceState::Declared,
    });
    // `Declared` is the least that is known of an address and sorts first; among the others the
    // order of the enum is from best to worst.
    let asked = states.filter(|state| *state != InstanceState::Declared).min();
    asked.unwrap_or(InstanceState::Declared)
}

fn gap(code: &str, target: SocketAddr, why: String, required: bool) -> Gap {
    Gap { code: code.to_owned(), path: None, place: Some(target.to_string()), why: escape(why), required }
}

#[cfg(test)]
mod tests {
    use directive::probe::Probes;
    use directive::product::Product;

    use super::*;
    use crate::ask::Trouble;

    const SCOPE: &str = r#"
        organisation = "Example Agency"
        networks = ["192.0.2.0/29"]
        ports = [443]
        [[instance]]
        name = "one"
        addresses = ["192.0.2.1:443", "192.0.2.2:443"]
        owner = { kind = "third-party", commercial = true, name = "Host" }
        [[instance]]
        name = "paper"
        evidence = "images/paper"
        facts = { "hardware-model" = "X1" }
    "#;

    /// Counts with these states, one letter for each address from .0 on, then silence: `a` identified
    /// as A, `b` as B, `?` unknown, `!` unknown with trouble, `r` `f` `s` `n` the other states.
    #[track_caller]
    fn check(letters: &str, expected: &str) {
        let scope = Scope::parse("scope.toml", SCOPE).unwrap();
        let product = |name: &str| toml::from_str::<Product>(&format!("name = \"{name}\"\nvendor = \"V\"")).unwrap();
        let (a, b, probes) = (product("A"), product("B"), Probes::default());
        let known = [&a, &b].map(|product| Known { pack: "p", product, probes: &probes, recog: &[] });
        let (targets, _) = scope.targets();
        let padded = letters.chars().chain(std::iter::repeat('s'));
        let states: Vec<_> = targets.iter().zip(padded).map(|(_, letter)| state(letter)).collect();
        let count = count(&scope, &known, &targets, &states);
        let instance = |i: &Instance| format!("{}={}/{:?}", i.name, i.product.as_deref().unwrap_or("-"), i.state);
        let gap = |(name, gap): &(Option<String>, Gap)| {
            format!("{}:{}{}", name.as_deref().unwrap_or("-"), gap.code, if gap.required { "!" } else { "" })
        };
        let shown: Vec<_> = count.instances.iter().map(instance).chain(count.gaps.iter().map(gap)).collect();
        assert_eq!(shown.join(" "), expected);
    }

    fn state(letter: char) -> State<Reading> {
        let identity = |known| Identity { known, ..Identity::default() };
        let answered = |identities, troubles| State::Answered(Reading { identities, troubles, ..Reading::default() });
        match letter {
            'a' => answered(vec![identity(0)], vec![]),
            'b' => answered(vec![identity(1)], vec![]),
            '?' => answered(vec![], vec![]),
            '!' => answered(vec![], vec![Trouble::NoCommonTls { problem: "x".into() }]),
            'r' => State::Refused,
            'f' => State::Filtered,
            'n' => State::NotAsked("stopped".into()),
            _ => State::Silent,
        }
    }

    #[test]
    fn every_declared_instance_is_counted_once_whatever_its_addresses_do() {
        check("s?as", "one=A/Identified paper=-/EvidenceOnly one:version-unread");
        check("sr?s", "one=-/AnsweredUnknown paper=-/EvidenceOnly");
        check("ssr", "one=-/Refused paper=-/EvidenceOnly");
        check("sfs", "one=-/Filtered paper=-/EvidenceOnly");
        check("sss", "one=-/Silent paper=-/EvidenceOnly");
    }

    #[test]
    fn an_address_nobody_declared_counts_if_it_is_the_product() {
        check("sssa?", "one=-/Silent paper=-/EvidenceOnly 192.0.2.3:443=A/Identified 192.0.2.3:443:version-unread");
    }

    #[test]
    fn what_could_not_be_heard_leaves_the_count_open() {
        check("s!s!", "one=-/AnsweredUnknown paper=-/EvidenceOnly one:tls-not-shared! -:tls-not-shared!");
        check("s!a", "one=A/Identified paper=-/EvidenceOnly one:tls-not-shared one:version-unread");
    }

    #[test]
    fn a_second_product_of_an_instance_is_not_lost() {
        check("sba", "one=A/Identified paper=-/EvidenceOnly one:second-product one:version-unread");
    }

    #[test]
    fn addresses_that_were_not_asked_are_told() {
        check("nnnnn", "one=-/Declared paper=-/EvidenceOnly -:address-not-asked! one:address-not-asked!");
    }
}
