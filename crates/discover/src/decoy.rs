//! Decoy: does something answer as the product does, and is none?
//!
//! Decoys that answer as a gateway came up by the thousand within a week of an advisory, and a count that takes them in
//! is wrong. They are marked with the reason and counted all the same: a person decides, since an intruder would gladly
//! have an instance taken for a decoy.
//! Source: Censys on Connect Secure, January 2024 (hosts rose from 26,000 to 41,800 in a week because of decoys).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::Known;
use crate::identify::Reading;
use crate::sweep::State;

/// Ports of one address from which on it is strange that the product answers on every one.
const MANY_PORTS: usize = 4;

/// What is known of all addresses together, to judge one.
pub(crate) struct Ports {
    /// How many ports of an address were asked, and on how many the product answers.
    asked: BTreeMap<IpAddr, (usize, usize)>,
}

impl Ports {
    pub(crate) fn of(targets: &[SocketAddr], states: &[State<Reading>]) -> Self {
        let mut asked: BTreeMap<IpAddr, (usize, usize)> = BTreeMap::new();
        for (target, state) in targets.iter().zip(states) {
            let (all, known) = asked.entry(target.ip()).or_default();
            *all += 1;
            *known += usize::from(matches!(state, State::Answered(reading) if !reading.identities.is_empty()));
        }
        Self { asked }
    }
}

/// Why an identified address may be a decoy; usually nothing.
pub(crate) fn reasons(known: &[Known<'_>], ports: &Ports, target: SocketAddr, reading: &Reading) -> Vec<String> {
    let mut reasons = Vec::new();
    if reading.marks.repeats_itself {
        reasons.push("it gives the page with its version for a path that does not exist, too".to_owned());
    }
    let names = reading.identities.iter().filter_map(|identity| known.get(identity.known));
    let names: BTreeSet<&str> = names.map(|known| known.product.name.as_str()).collect();
    if names.len() > 1 {
        let names: Vec<&str> = names.into_iter().collect();
        reasons.push(format!("it answers as several products on one port: {}", names.join(", ")));
    }
    if let Some((all, is_known)) = ports.asked.get(&target.ip())
        && *all >= MANY_PORTS
        && all == is_known
    {
        reasons.push(format!("it answers as the product on each of {all} ports that were asked"));
    }
    reasons
}
