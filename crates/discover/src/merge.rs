//! Merge: which addresses are one instance?
//!
//! An instance that is counted twice is checked twice; one that is taken for another is never checked. So addresses
//! are one only if they share a key that a machine makes for itself, or a certificate's key for a host's own name, and
//! nothing speaks against it. Each merge has its reasons and is undone by a person (`[[apart]]` of the scope); what
//! shares a key and stays apart is told too. What the scope declares to be two instances stays two.
//! Serves ED 21-03 action 1. Source: RFC 4251 section 4.1 (host keys), RFC 6125 section 6.4.3 (wildcards).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use directive::scope::{Declared, Scope};

use crate::identify::Reading;
use crate::sweep::State;

/// Addresses that are one instance.
#[derive(Debug, Default)]
pub(crate) struct Group<'s> {
    /// Who declared it.
    pub(crate) declared: Option<&'s Declared>,
    /// By their index among the targets, in order.
    pub(crate) members: Vec<usize>,
    /// Why they are one, where nobody declared it.
    pub(crate) reasons: BTreeSet<String>,
}

/// Addresses that share a key and were counted apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) members: Vec<SocketAddr>,
    pub(crate) why: String,
}

/// What binds addresses together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Tie {
    HostKey(String),
    CertificateKey(String),
}

/// What must be the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Looks {
    versions: BTreeSet<String>,
    cookies: BTreeSet<String>,
    nodes: BTreeSet<String>,
    names: BTreeSet<String>,
}

/// Groups the targets: each is in one group, those of declared instances first and in the scope's order.
pub(crate) fn groups<'s>(
    scope: &'s Scope,
    targets: &[SocketAddr],
    states: &[State<Reading>],
) -> (Vec<Group<'s>>, Vec<Doubt>) {
    let mut groups: Vec<Group<'s>> =
        scope.instances.iter().map(|declared| Group { declared: Some(declared), ..Group::default() }).collect();
    let owners: BTreeMap<SocketAddr, usize> = scope
        .instances
        .iter()
        .enumerate()
        .flat_map(|(n, declared)| declared.addresses.iter().map(move |address| (*address, n)))
        .collect();
    // Which group an address is in.
    let mut home: Vec<usize> = Vec::with_capacity(targets.len());
    for (index, target) in targets.iter().enumerate() {
        let own = owners.get(target).copied().unwrap_or_else(|| {
            groups.push(Group::default());
            groups.len() - 1
        });
        groups[own].members.push(index);
        home.push(own);
    }
    let mut doubts = Vec::new();
    for (tie, members) in tied(states) {
        join(
            scope,
            targets,
            states,
            (&tie, &members),
            &mut Homes { groups: &mut groups, home: &mut home },
            &mut doubts,
        );
    }
    groups.iter_mut().for_each(|group| group.members.sort_unstable());
    groups.retain(|group| group.declared.is_some() || !group.members.is_empty());
    (groups, doubts)
}

/// Identified addresses by what binds them; only where there are several.
fn tied(states: &[State<Reading>]) -> BTreeMap<(usize, Tie), Vec<usize>> {
    let mut tied: BTreeMap<(usize, Tie), Vec<usize>> = BTreeMap::new();
    for (index, state) in states.iter().enumerate() {
        let State::Answered(reading) = state else { continue };
        let Some(known) = reading.identities.iter().map(|identity| identity.known).min() else { continue };
        let host_key = reading.marks.host_key.clone().map(Tie::HostKey);
        let certificate = reading.marks.certificate_key.clone().map(Tie::CertificateKey);
        for tie in host_key.into_iter().chain(certificate) {
            tied.entry((known, tie)).or_default().push(index);
        }
    }
    tied.retain(|_, members| members.len() > 1);
    tied
}

struct Homes<'a, 's> {
    groups: &'a mut Vec<Group<'s>>,
    home: &'a mut Vec<usize>,
}

/// Joins the addresses that one key binds, as far as nothing speaks against it.
fn join(
    scope: &Scope,
    targets: &[SocketAddr],
    states: &[State<Reading>],
    (tie, members): (&(usize, Tie), &[usize]),
    homes: &mut Homes<'_, '_>,
    doubts: &mut Vec<Doubt>,
) {
    let mut alike: BTreeMap<Looks, Vec<usize>> = BTreeMap::new();
    for index in members {
        let State::Answered(reading) = &states[*index] else { continue };
        alike.entry(looks(tie.0, reading)).or_default().push(*index);
    }
    let mut against = BTreeSet::new();
    if alike.len() > 1 {
        against.insert("they differ in versions, names, cookies or nodes");
    }
    for (looks, members) in &alike {
        let reason = match reason(&tie.1, looks) {
            Ok(reason) => reason,
            Err(why) => {
                if members.len() > 1 {
                    against.insert(why);
                }
                continue;
            }
        };
        let declared: BTreeSet<usize> =
            members.iter().map(|n| homes.home[*n]).filter(|n| homes.groups[*n].declared.is_some()).collect();
        if declared.len() > 1 {
            against.insert("the scope declares several instances among them");
            continue;
        }
        // The declared one takes the others in, else the first address does.
        let Some(into) = declared.first().copied().or_else(|| members.first().map(|n| homes.home[*n])) else {
            continue;
        };
        for index in members {
            let from = homes.home[*index];
            if from == into {
                continue;
            }
            let pairs = homes.groups[into]
                .members
                .iter()
                .flat_map(|a| homes.groups[from].members.iter().map(move |b| (*a, *b)));
            if pairs.into_iter().any(|(a, b)| scope.are_apart(targets[a], targets[b])) {
                against.insert("a person has said that they are apart");
                continue;
            }
            let moved = std::mem::take(&mut homes.groups[from].members);
            let reasons = std::mem::take(&mut homes.groups[from].reasons);
            moved.iter().for_each(|n| homes.home[*n] = into);
            homes.groups[into].members.extend(moved);
            homes.groups[into].reasons.extend(reasons);
            homes.groups[into].reasons.insert(reason.clone());
        }
    }
    let apart: BTreeSet<usize> = members.iter().map(|n| homes.home[*n]).collect();
    if apart.len() > 1 && !against.is_empty() {
        let key = match &tie.1 {
            Tie::HostKey(_) => "an SSH host key",
            Tie::CertificateKey(_) => "a certificate's key",
        };
        let against: Vec<&str> = against.into_iter().collect();
        let why = format!("they share {key} and are counted as {} instances: {}", apart.len(), against.join("; "));
        doubts.push(Doubt { members: members.iter().map(|n| targets[*n]).collect(), why });
    }
}

fn looks(known: usize, reading: &Reading) -> Looks {
    let identity = reading.identities.iter().find(|identity| identity.known == known);
    let witnesses = identity.map(|identity| identity.witnesses.as_slice()).unwrap_or_default();
    Looks {
        versions: witnesses.iter().map(|witness| witness.value.clone()).collect(),
        cookies: reading.marks.cookies.clone(),
        nodes: reading.marks.nodes.clone(),
        names: reading.marks.particular().into_iter().map(str::to_owned).collect(),
    }
}

/// Why a key makes addresses one, or why it does not.
fn reason(tie: &Tie, looks: &Looks) -> Result<String, &'static str> {
    match tie {
        Tie::HostKey(key) => Ok(format!("one SSH host key, {key}, and nothing in which they differ")),
        Tie::CertificateKey(_) if looks.names.is_empty() => {
            Err("the certificate is for no particular host, and several can carry it")
        }
        Tie::CertificateKey(key) => {
            let names: Vec<&str> = looks.names.iter().map(String::as_str).take(3).collect();
            let cookies: Vec<&str> = looks.cookies.iter().map(String::as_str).take(3).collect();
            let cookies =
                if cookies.is_empty() { String::new() } else { format!(", the cookies {}", cookies.join(", ")) };
            let key = key.get(..16).unwrap_or(key);
            Ok(format!("one certificate key, {key}.., for {}{cookies}, and one version", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use directive::record::Witness;

    use super::*;
    use crate::identify::Identity;
    use crate::marks::Marks;

    const SCOPE: &str = r#"
        organisation = "Example Agency"
        networks = ["192.0.2.0/29"]
        ports = [443]
        [[instance]]
        name = "one"
        address = "192.0.2.1:443"
        [[instance]]
        name = "two"
        address = "192.0.2.2:443"
        [[apart]]
        addresses = ["192.0.2.6:443", "192.0.2.7:443"]
        why = "two boxes"
    "#;

    /// Groups the eight addresses; each line is `last-octet key name version`. Shows groups of several, then doubts.
    #[track_caller]
    fn check(lines: &[&str], expected: &str) {
        let scope = Scope::parse("scope.toml", SCOPE).unwrap();
        let (targets, _) = scope.targets();
        let states: Vec<_> = targets.iter().map(|target| state(*target, lines)).collect();
        let (groups, doubts) = groups(&scope, &targets, &states);
        assert_eq!(groups.iter().map(|group| group.members.len()).sum::<usize>(), targets.len());
        let last = |target: SocketAddr| target.to_string().trim_start_matches("192.0.2.").replace(":443", "");
        let shown = groups.iter().filter(|group| group.members.len() > 1).map(|group| {
            let members: Vec<_> = group.members.iter().map(|n| last(targets[*n])).collect();
            format!("{}={}", group.declared.map_or("-", |declared| &declared.name), members.join(","))
        });
        let doubted = doubts.iter().map(|doubt| {
            let members: Vec<_> = doubt.members.iter().map(|target| last(*target)).collect();
            format!("{}: {}", members.join(","), doubt.why.split(": ").nth(1).unwrap())
        });
        assert_eq!(shown.chain(doubted).collect::<Vec<_>>().join(" | "), expected);
    }

    fn state(target: SocketAddr, lines: &[&str]) -> State<Reading> {
        let words = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
        let Some(words) = words.into_iter().find(|words| target.to_string() == format!("192.0.2.{}:443", words[0]))
        else {
            return State::Silent;
        };
        let witness = Witness {
            source: "page".into(),
            value: words[3].into(),
            upstream: words[3].into(),
            package: None,
            exact: true,
            status: Default::default(),
            fakeable: true,
            why: String::new(),
            confidence: Default::default(),
        };
        let mut marks = Marks { names: [words[2].to_owned()].into(), ..Marks::default() };
        match words[1].strip_prefix("ssh-") {
            Some(key) => marks.host_key = Some(key.to_owned()),
            None => marks.certificate_key = Some(words[1].to_owned()),
        }
        let identities = vec![Identity { witnesses: vec![witness], ..Identity::default() }];
        State::Answered(Reading { identities, marks, ..Reading::default() })
    }

    #[test]
    fn addresses_with_one_key_for_one_host_are_one_instance() {
        check(&["3 k vpn.example 9", "4 k vpn.example 9", "5 l www.example 9"], "-=3,4");
        check(&["3 ssh-k - 9", "5 ssh-k - 9"], "-=3,5");
    }

    #[test]
    fn a_declared_instance_takes_in_the_address_that_nobody_declared() {
        check(&["1 k vpn.example 9", "5 k vpn.example 9"], "one=1,5");
    }

    #[test]
    fn what_was_declared_to_be_two_stays_two() {
        check(&["1 k vpn.example 9", "2 k vpn.example 9"], "1,2: the scope declares several instances among them");
    }

    #[test]
    fn boxes_with_a_wildcard_certificate_are_not_one() {
        check(
            &["3 k *.example 9", "4 k *.example 9"],
            "3,4: the certificate is for no particular host, and several can carry it",
        );
    }

    #[test]
    fn a_pair_of_which_one_was_updated_is_two_instances() {
        check(&["3 k vpn.example 9", "4 k vpn.example 8"], "3,4: they differ in versions, names, cookies or nodes");
    }

    #[test]
    fn a_persons_word_undoes_a_merge() {
        check(&["6 k vpn.example 9", "7 k vpn.example 9"], "6,7: a person has said that they are apart");
        check(
            &["5 k vpn.example 9", "6 k vpn.example 9", "7 k vpn.example 9"],
            "-=5,6 | 5,6,7: a person has said that they are apart",
        );
    }
}
