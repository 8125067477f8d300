//! Apart: did one account log in from two places that are too far apart for the time between?
//!
//! Serves ED 21-03 Appendix A (e): who passed through with somebody else's password. With a database of places
//! ([`super::geo`]) by distance, or else by country; without one by network alone, which is said and weighs nothing.
//! Never takes it for a compromise: an exit of another VPN, a roaming phone and a wrong entry look alike.
//! Source: ATT&CK T1078.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use directive::record::{AccountKind, Finding, Gap, Severity};
use jiff::Timestamp;

use super::Hunt;
use super::geo::{Geo, Place};
use super::people::{Login, People};

/// Kilometres an hour that nobody travels: airliners fly at some 900.
const FASTEST: f64 = 1_000.0;

/// Kilometres that are nothing: networks of phones are often told to be where their provider meets the Internet.
const NEAR: f64 = 500.0;

/// Seconds within which two countries tell, where no more is known than the countries: no flight with its ways to and
/// from the airport takes less, and whoever lives near a border crosses it.
const COUNTRIES: i64 = 2 * 3600;

/// Seconds within which an account that comes from one network, another and the first again tells: one person changes
/// from a desk to a phone, and seldom back and forth.
const ALTERNATING: i64 = 3600;

/// Findings of one account that are kept, the first ones.
const OF_ONE: usize = 5;

/// Findings that are kept in all.
const IN_ALL: usize = 1_000;

/// Addresses that are remembered because the database does not tell them.
const NOWHERE: usize = 100_000;

/// Two logins that do not go together.
struct Pair {
    at: Timestamp,
    severity: Severity,
    why: String,
}

/// Holds the logins of all accounts against each other.
pub(super) fn look(people: &mut People, hunt: &Hunt, clause: Option<&str>) -> (Vec<Finding>, Vec<Gap>) {
    let (mut findings, mut beyond, mut nowhere) = (Vec::new(), 0, HashSet::new());
    for (account, kinds, logins) in people.logins(&hunt.accounts) {
        let pairs = match &hunt.geo {
            Some(geo) => by_place(logins, geo, kinds.contains(&AccountKind::Admin), &mut nowhere),
            None => by_network(logins),
        };
        let kept = pairs.len().min(OF_ONE).min(IN_ALL - findings.len());
        beyond += pairs.len() - kept;
        findings.extend(pairs.into_iter().take(kept).map(|pair| Finding {
            code: "sessions-apart".into(),
            severity: pair.severity,
            path: None,
            place: Some(account.clone()),
            why: pair.why,
            evidence: None,
            rule: None,
            attack: vec!["T1078".into()],
            clause: clause.map(str::to_owned),
            times: [("event", pair.at)].into_iter().collect(),
        }));
    }
    (findings, gaps(beyond, nowhere.len()))
}

fn gaps(beyond: usize, nowhere: usize) -> Vec<Gap> {
    let gap = |code: &str, why| Gap { code: code.into(), path: None, place: None, why, required: false };
    let mut gaps = Vec::new();
    if beyond > 0 {
        let why = format!("{beyond} more logins from places far apart than are told one by one");
        gaps.push(gap("too-many", why));
    }
    if nowhere > 0 {
        let why = format!("of {nowhere} addresses of logins the database of places does not say where they are");
        gaps.push(gap("address-not-located", why));
    }
    gaps
}

/// One login after the other, where both have a place.
fn by_place(logins: &[Login], geo: &Geo, is_admin: bool, nowhere: &mut HashSet<IpAddr>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut before: Option<(Timestamp, IpAddr, Place)> = None;
    for (at, address) in public(logins) {
        let place = match &before {
            Some((_, same, place)) if *same == address => Some(place.clone()),
            _ => geo.place(address),
        };
        let Some(place) = place else {
            if nowhere.len() < NOWHERE {
                nowhere.insert(address);
            }
            continue;
        };
        if let Some((earlier, from, there)) = &before
            && let Some((severity, how)) = too_far((*earlier, there), (at, &place), is_admin)
        {
            let (from, to) = (told(*from, there), told(address, &place));
            let why = format!("it logged in from {from} at {earlier} and from {to} at {at}: {how}, by {}", geo.name());
            pairs.push(Pair { at, severity, why });
        }
        before = Some((at, address, place));
    }
    pairs
}

/// Whether two places are too far apart, and how that shows.
fn too_far(from: (Timestamp, &Place), to: (Timestamp, &Place), is_admin: bool) -> Option<(Severity, String)> {
    let seconds = to.0.as_second() - from.0.as_second();
    if let (Some(here), Some(there)) = (from.1.spot, to.1.spot) {
        // A database says where most users of a network are, and there are few administrators to ask.
        let severity = if is_admin { Severity::Medium } else { Severity::Low };
        let way = here.apart(&there);
        let hours = seconds.max(1) as f64 / 3600.0;
        let is_far = way > NEAR && way / hours > FASTEST;
        return is_far.then(|| (severity, format!("{way:.0} km at least, {} minutes later", seconds / 60)));
    }
    let (here, there) = (from.1.country.as_ref()?, to.1.country.as_ref()?);
    let is_far = here != there && seconds < COUNTRIES;
    is_far.then(|| (Severity::Low, format!("another country {} minutes later", seconds / 60)))
}

fn told(address: IpAddr, place: &Place) -> String {
    place.country.as_ref().map_or_else(|| address.to_string(), |country| format!("{address} ({country})"))
}

/// From one network, another, and the first again.
fn by_network(logins: &[Login]) -> Vec<Pair> {
    let mut stays: Vec<Stay> = Vec::new();
    for (at, address) in public(logins) {
        let network = network(address);
        match stays.last_mut() {
            Some(stay) if stay.network == network => stay.last = at,
            _ => stays.push(Stay { network, first: at, last: at }),
        }
    }
    let threes = stays.windows(3).filter_map(|three| {
        let [one, other, again] = three else { return None };
        let seconds = again.first.as_second() - one.last.as_second();
        (one.network == again.network && seconds <= ALTERNATING).then(|| {
            let why = format!(
                "it logged in from {} at {}, from {} at {} and from the first again at {}: by network alone, as phones \
                 do too; a database of places (`--geo`) says more",
                one.network, one.last, other.network, other.first, again.first
            );
            Pair { at: other.first, severity: Severity::Info, why }
        })
    });
    threes.collect()
}

/// Logins from one network, without another between.
struct Stay {
    network: String,
    first: Timestamp,
    last: Timestamp,
}

/// The network that an address is in, as wide as one provider's most often is.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            format!("{}/16", Ipv4Addr::new(a, b, 0, 0))
        }
        IpAddr::V6(address) => {
            let [a, b, ..] = address.segments();
            format!("{a:x}:{b:x}::/32")
        }
    }
}

/// Logins from addresses that can have a place.
fn public(logins: &[Login]) -> impl Iterator<Item = (Timestamp, IpAddr)> {
    let known = logins.iter().filter_map(|(at, address)| Some((*at, address.as_ref()?.to_canonical())));
    known.filter(|(_, address)| is_public(*address))
}

/// Whether an address is one of the Internet, and not of a house, a host or a provider's inside (RFC 1918, 3927, 4193,
/// 4291, 6598).
fn is_public(address: IpAddr) -> bool {
    let is_inside = match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_private() || address.is_link_local() || a == 0 || a >= 224 || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(address) => address.is_unspecified() || address.is_unique_local() || address.is_unicast_link_local(),
    };
    !is_inside && !address.is_loopback() && !address.is_multicast()
}
