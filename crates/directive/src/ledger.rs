//! Ledger: do the numbers of a count add up, and what is different from the last one?
//!
//! The parts of the record types `ledger` and `merge`. Every address and every instance is in exactly one state, so
//! that the sums can be checked by whoever reads them. Serves ED 21-03 action 1 ("enumerate all instances … hosted by
//! the agency or by a third party").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::{Instance, InstanceState, Owner};

/// The answer of a discovery. `answered + refused + filtered + silent + not_asked == addresses`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ledger {
    /// Address and port pairs in scope.
    pub addresses: u64,
    /// Something answered.
    pub answered: u64,
    /// Of those, how many answered as a product that we look for; the others are unknown.
    #[serde(default)]
    pub identified: u64,
    /// Connection refused.
    pub refused: u64,
    /// A device between us said no, or a host is there and drops what we send.
    pub filtered: u64,
    /// Nothing came back.
    pub silent: u64,
    /// Not asked because the run was interrupted or a local error prevented it.
    pub not_asked: u64,
    /// Excluded by the scope file; not part of `addresses`.
    pub excluded: u64,
    /// Connections opened, all probes together.
    pub connections: u64,
    /// Packets of our own making, beside connections.
    #[serde(default)]
    pub packets: u64,
    /// Open ports of addresses in scope that were not asked and that other tools name; not part of `addresses`.
    #[serde(default)]
    pub imported: u64,
    /// How the addresses were asked first.
    #[serde(default)]
    pub way: Way,
    /// What was asked over UDP; not part of `addresses`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<UdpCount>,
    /// Instances by state; each is in one.
    #[serde(default)]
    pub instances: BTreeMap<InstanceState, u64>,
    /// Instances that somebody else runs, by who that is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub third_parties: Vec<ThirdParty>,
    /// Products that cannot be seen from outside: that none was counted says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// What is different from the last count, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Difference>,
}

/// How addresses were asked first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Way {
    /// By connecting to each.
    #[default]
    Connections,
    /// By connecting to each, because packets of our own cannot be sent.
    ConnectionsOnly {
        /// Why not.
        why: String,
    },
    /// With packets of our own; only what answered was connected to.
    Packets,
    /// What another program of this machine heard was connected to first, the rest was asked by ourselves.
    Engine {
        /// The program.
        name: String,
        /// Addresses that it heard.
        heard: u64,
    },
}

/// What was asked over UDP. `answered + refused + filtered + silent + not_asked == asked`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UdpCount {
    /// Address and port pairs.
    pub asked: u64,
    /// Answered a handshake.
    pub answered: u64,
    /// What they speak.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, u64>,
    /// The host said that the port is closed.
    pub refused: u64,
    /// A device between us said no.
    pub filtered: u64,
    /// Nothing came back: closed behind a filter, lost, or silent to whoever it does not know.
    pub silent: u64,
    /// Not asked.
    pub not_asked: u64,
}

/// Somebody else who runs instances for the organisation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThirdParty {
    /// Its name; empty where the scope gives none.
    pub name: String,
    /// A commercial provider; otherwise another government body.
    pub commercial: bool,
    /// How many instances.
    pub instances: u64,
}

/// One instance that was counted once although it has several addresses that nobody declared to be one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Merge {
    /// The addresses, with port.
    pub addresses: Vec<String>,
    /// Why they are one, one sentence each. A person undoes it with `[[apart]]` in the scope file.
    pub reasons: Vec<String>,
}

/// What is different between two counts; instances by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Counted now and not then.
    pub new: Vec<String>,
    /// Counted then and not now.
    pub gone: Vec<String>,
    /// Counted both times, with another version or another state.
    pub changed: Vec<String>,
}

impl Ledger {
    /// Addresses that are in no state, or in two: always 0, and shown so that nobody has to believe it.
    pub fn unaccounted(&self) -> u64 {
        let accounted = self.answered + self.refused + self.filtered + self.silent + self.not_asked;
        self.addresses.abs_diff(accounted)
    }

    /// Counts instances into their states, and those of third parties by who runs them.
    pub fn count(&mut self, instances: &[Instance]) {
        self.instances.clear();
        let mut others: BTreeMap<(&str, bool), u64> = BTreeMap::new();
        for instance in instances {
            *self.instances.entry(instance.state).or_default() += 1;
            if let Owner::ThirdParty { commercial, name } = &instance.owner {
                *others.entry((name, *commercial)).or_default() += 1;
            }
        }
        let told = others.into_iter();
        self.third_parties = told
            .map(|((name, commercial), instances)| ThirdParty { name: name.to_owned(), commercial, instances })
            .collect();
    }
}

impl Difference {
    /// Compares two counts. What was only declared and never heard is no instance of a count.
    pub fn between<'i>(
        before: impl IntoIterator<Item = &'i Instance>,
        now: impl IntoIterator<Item = &'i Instance>,
    ) -> Self {
        let (before, now) = (by_name(before), by_name(now));
        let names = |of: &BTreeMap<&str, &Instance>| of.keys().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let (then, today) = (names(&before), names(&now));
        let changed = now.iter().filter_map(|(name, new)| {
            let old = before.get(name)?;
            let version = |of: &Instance| of.version.value.clone().unwrap_or_else(|| "unknown".to_owned());
            if version(old) != version(new) {
                return Some(format!("{name}: {} was {}", version(new), version(old)));
            }
            (old.state != new.state).then(|| format!("{name}: {} was {}", new.state.as_str(), old.state.as_str()))
        });
        Self {
            new: today.difference(&then).cloned().collect(),
            gone: then.difference(&today).cloned().collect(),
            changed: changed.collect(),
        }
    }

    /// Whether the counts are the same.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty() && self.changed.is_empty()
    }
}

fn by_name<'i>(instances: impl IntoIterator<Item = &'i Instance>) -> BTreeMap<&'i str, &'i Instance> {
    let counted = instances.into_iter().filter(|instance| instance.state != InstanceState::Declared);
    counted.map(|instance| (instance.name.as_str(), instance)).collect()
}

/// Names that a sentence shows.
const SHOWN: usize = 5;

fn list(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addresses, answered, identified, refused, filtered, silent, not_asked, excluded, .. } = self;
        write!(f, "{addresses} addresses: {answered} answered ({identified} identified), {refused} refused, ")?;
        write!(f, "{filtered} filtered, {silent} silent, {not_asked} not asked, ")?;
        write!(f, "{} unaccounted; {excluded} excluded", self.unaccounted())?;
        if self.imported > 0 {
            write!(f, "; {} more known by import only", self.imported)?;
        }
        if let Some(udp) = &self.udp {
            let UdpCount { asked, answered, kinds, refused, filtered, silent, not_asked } = udp;
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
            write!(f, "\n{asked} over UDP: {answered} answered{kinds}, {refused} refused, {filtered} filtered, ")?;
            write!(f, "{silent} silent, {not_asked} not asked; silence over UDP says nothing")?;
        }
        self.fmt_instances(f)?;
        match &self.way {
            Way::Connections => {}
            Way::ConnectionsOnly { why } => {
                write!(f, "\nasked by connecting, which is slower and cannot tell hosts that drop from nobody: {why}")?
            }
            Way::Packets => write!(f, "\nasked with {} packets and {} connections", self.packets, self.connections)?,
            Way::Engine { name, heard } => {
                write!(f, "\n{name} heard {heard} addresses; the others were asked again by ourselves")?;
            }
        }
        for product in &self.unseen {
            write!(f, "\n{product} cannot be seen from outside: that none was counted says nothing")?;
        }
        Ok(())
    }
}

impl Ledger {
    fn fmt_instances(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.instances.values().sum();
        if total > 0 {
            let states: Vec<String> =
                self.instances.iter().map(|(state, count)| format!("{count} {}", state.as_str())).collect();
            write!(f, "\n{total} instances: {}", states.join(", "))?;
        }
        for ThirdParty { name, commercial, instances } in &self.third_parties {
            let name = if name.is_empty() { "a third party without a name" } else { name };
            let who = if *commercial { "you report them" } else { "it reports them itself" };
            write!(f, "\n{instances} of them run by {name}: {who}")?;
        }
        let Some(since) = &self.since else { return Ok(()) };
        if since.is_empty() {
            return write!(f, "\nnothing is different from the last count");
        }
        let parts = [("new", &since.new), ("gone", &since.gone), ("changed", &since.changed)];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> =
            parts.map(|(what, names)| format!("{} {what} ({})", names.len(), list(names))).collect();
        write!(f, "\nsince the last count: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Version;

    fn instance(name: &str, version: &str, state: InstanceState) -> Instance {
        let version = Version { value: (!version.is_empty()).then(|| version.to_owned()), ..Version::default() };
        Instance { name: name.to_owned(), version, state, ..Instance::default() }
    }

    #[test]
    fn two_counts_differ_in_what_is_new_gone_or_changed() {
        use InstanceState::{Declared, Identified, Silent};
        let before = [
            instance("a", "9.1R8", Identified),
            instance("b", "9.1R8", Identified),
            instance("c", "", Identified),
            instance("e", "", Declared),
        ];
        let now = [
            instance("a", "9.1R9", Identified),
            instance("c", "", Silent),
            instance("d", "", Identified),
            instance("e", "", Identified),
        ];
        let difference = Difference::between(&before, &now);
        assert_eq!(difference.new, ["d", "e"]);
        assert_eq!(difference.gone, ["b"]);
        assert_eq!(difference.changed, ["a: 9.1R9 was 9.1R8", "c: silent was identified"]);
        assert!(Difference::between(&now, &now).is_empty());
    }

    #[test]
    fn the_sentence_adds_up_and_says_who_reports() {
        let mut ledger = Ledger {
            addresses: 1024,
            answered: 300,
            identified: 30,
            refused: 200,
            filtered: 24,
            silent: 500,
            unseen: vec!["WireGuard".to_owned()],
            ..Ledger::default()
        };
        let own = instance("a", "", InstanceState::Identified);
        let other = |name: &str, commercial| Instance {
            owner: Owner::ThirdParty { commercial, name: name.to_owned() },
            ..instance(name, "", InstanceState::ThirdParty)
        };
        ledger.count(&[own, other("Host", true), other("Agency", false)]);
        let shown = ledger.to_string();
        let expected = "1024 addresses: 300 answered (30 identified), 200 refused, 24 filtered, 500 silent, \
                        0 not asked, 0 unaccounted; 0 excluded\n\
                        3 instances: 1 identified, 2 third-party\n\
                        1 of them run by Agency: it reports them itself\n\
                        1 of them run by Host: you report them\n\
                        WireGuard cannot be seen from outside: that none was counted says nothing";
        assert_eq!(shown, expected);
    }
}
