//! Scope: what is ours to look at, and what must never be touched?
//!
//! The operator's TOML file (contract, "Scope file"). [`Scope::allows`] is the rule behind the
//! fence that stands below every socket in `discover`. Never resolves a name: a scope of names
//! would let whoever answers for the name widen the scope.

mod apart;
mod raw;
mod scanner;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use ipnet::IpNet;
use toml::Spanned;

use crate::problem::{Problem, Problems};
use crate::record::Owner;
pub use apart::Apart;
use raw::{OneOrMany, Raw};
pub use scanner::{OWN_AGENT, Scanner};

/// The most addresses a scope may hold: a /8 would take a day even at a high rate, and is usually
/// a slip of the pen.
pub const MOST_ADDRESSES: u64 = 1 << 20;

/// What the operator declares to be his.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// Who responds.
    pub organisation: String,
    /// Whom to ask about our requests; sent with them.
    pub contact: Option<String>,
    /// Networks that are ours. A single address is a network of one.
    pub networks: Vec<IpNet>,
    /// What must not be touched even if it lies in them.
    pub exclude: Vec<IpNet>,
    /// Ports to ask on every address.
    pub ports: Vec<u16>,
    /// UDP ports on which a handshake is tried on every address.
    pub udp_ports: Vec<u16>,
    /// Addresses that are not one instance, whatever they have in common.
    pub apart: Vec<Apart>,
    /// Connections and packets a second, all probes together.
    pub rate: NonZeroU32,
    /// Who may look at our instances: what they send is no finding. Ourselves among them, if `vantage` says where.
    pub scanners: Vec<Scanner>,
    /// A database of where addresses are, relative to the scope file.
    pub geo: Option<String>,
    /// Instances that are known already.
    pub instances: Vec<Declared>,
    /// Files in which other tools say what they know, relative to the scope file.
    pub imports: Vec<String>,
    /// Folders of fingerprints beside those of the packs, relative to the scope file.
    pub recog: Vec<String>,
}

/// An instance that the operator knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its name; unique in the scope.
    pub name: String,
    /// Where it answers.
    pub addresses: Vec<SocketAddr>,
    /// Where its evidence lies: any SOURCE of `check`, relative to the scope file.
    pub evidence: Option<String>,
    /// What the vendor shipped: manifest files, packages or folders of packages from outside the instance,
    /// relative to the scope file.
    pub manifests: Vec<String>,
    /// The public key that each of them must be signed with, in a file beside it; relative to the scope file.
    pub manifest_key: Option<String>,
    /// What opens its evidence, where that takes more than its name.
    pub access: Access,
    /// Whether to look at what runs there too; its evidence is `/` or a host over SSH then.
    pub is_live: bool,
    /// Who answers for it.
    pub owner: Owner,
    /// What only a person knows of it, for the report: `hardware-model = "PSA5000"`.
    pub facts: BTreeMap<String, String>,
}

/// What opens evidence, beside its name. Files, relative to the scope file; never a secret itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Files whose whole content is the key of an encrypted volume.
    pub key_files: Vec<String>,
    /// Files that a disk image may be continued in: a backing file, extents.
    pub backing: Vec<String>,
    /// The host keys that are known, for a host over SSH; the operator's own list where none is named.
    pub known_hosts: Option<String>,
    /// The key to log in with, for a host over SSH.
    pub identity: Option<String>,
}

impl Scope {
    /// Reads a scope file. `file` is its name for messages.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let raw: Raw = toml::from_str(text).map_err(|err| Problem::from_toml(file, text, &err))?;
        let mut problems = Vec::new();
        let mut at = |span, message: String, hint: &str| {
            problems.push(Problem::at(file, text, span, message).hint(hint));
        };

        let organisation = raw.organisation.get_ref().trim().to_owned();
        if organisation.is_empty() {
            at(raw.organisation.span(), "the organisation has no name".into(), "it heads the report");
        }
        let networks = parse_all(
            &raw.networks,
            parse_net,
            "write a network as \"10.0.0.0/24\" or one address as \"10.0.0.7\"",
            &mut at,
        );
        let exclude = parse_all(
            &raw.exclude,
            parse_net,
            "write a network as \"10.0.0.0/24\" or one address as \"10.0.0.7\"",
            &mut at,
        );
        let total: u64 = networks.iter().map(|net| count(*net)).fold(0, u64::saturating_add);
        if total > MOST_ADDRESSES
            && let (Some(first), Some(last)) = (raw.networks.first(), raw.networks.last())
        {
            at(
                first.span().start..last.span().end,
                format!("the networks hold {total} addresses, more than {MOST_ADDRESSES}"),
                "split the scope, or check the length of the prefix",
            );
        }
        let scanners = scanner::read(raw.scanner, &raw.vantage, &mut at);
        let apart = apart::read(raw.apart, &mut at);
        let mut names = BTreeSet::new();
        let mut taken = BTreeMap::new();
        let mut instances = Vec::new();
        for raw in raw.instance {
            let name = raw.name.get_ref().clone();
            if name.is_empty() || name.chars().any(char::is_control) {
                at(raw.name.span(), "an instance needs a printable name".into(), "use the name your team knows it by");
            } else if !names.insert(name.clone()) {
                at(raw.name.span(), format!("two instances are called {name:?}"), "a name must be unique in the scope");
            }
            let addresses =
                parse_all(raw.address.as_ref().into_iter().chain(&raw.addresses), parse_target, TARGET_HINT, &mut at);
            for (address, spanned) in addresses.iter().zip(raw.address.iter().chain(&raw.addresses)) {
                if let Some(other) = taken.insert(*address, name.clone())
                    && other != name
                {
                    at(
                        spanned.span(),
                        format!("{address} belongs to {other:?} already"),
                        "one address is one instance",
                    );
                }
                if exclude.iter().any(|net| net.contains(&address.ip())) {
                    at(
                        spanned.span(),
                        format!("{address} is excluded by this scope"),
                        "take it out of `exclude`, or out of the instance",
                    );
                }
            }
            if let (Some(key), None) = (&raw.manifest_key, &raw.manifest) {
                at(
                    key.span(),
                    "there is no manifest that this key could have signed".into(),
                    "name the manifest, or take the key out",
                );
            }
            if let Some(host) = raw.evidence.as_ref().filter(|text| is_excluded_host(text.get_ref(), &exclude)) {
                at(
                    host.span(),
                    "the evidence lies on a host that is excluded by this scope".into(),
                    "take it out of `exclude`, or read the evidence from a copy",
                );
            }
            let runs = |text: &str| text == "/" || text.starts_with("ssh://");
            let is_live = raw.live.as_ref().is_some_and(|live| *live.get_ref());
            if is_live && !raw.evidence.as_ref().is_some_and(|text| runs(text.get_ref())) {
                at(
                    raw.live.as_ref().map_or(0..0, Spanned::span),
                    "only a machine that runs can be looked at while it runs".into(),
                    "its evidence has to be `/` or `ssh://user@host/folder`; take `live` out for a copy of its files",
                );
            }
            instances.push(Declared {
                name,
                is_live,
                addresses,
                evidence: raw.evidence.map(Spanned::into_inner),
                access: Access {
                    key_files: raw.key_file.map(OneOrMany::into_vec).unwrap_or_default(),
                    backing: raw.backing.map(OneOrMany::into_vec).unwrap_or_default(),
                    known_hosts: raw.known_hosts,
                    identity: raw.identity,
                },
                manifest_key: raw.manifest_key.map(Spanned::into_inner),
                manifests: raw.manifest.map(OneOrMany::into_vec).unwrap_or_default(),
                owner: raw.owner.unwrap_or_default(),
                facts: raw.facts,
            });
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Self {
            organisation,
            contact: raw.contact,
            networks,
            exclude,
            ports: raw.ports,
            udp_ports: raw.udp_ports,
            apart,
            rate: raw.rate.unwrap_or(const { NonZeroU32::new(500).unwrap() }),
            scanners,
            geo: raw.geo,
            instances,
            imports: raw.import,
            recog: raw.recog,
        })
    }

    /// A scope of single addresses without ports: they are ours, and none of them is asked.
    pub fn unasked(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let networks: BTreeSet<IpNet> = addresses.into_iter().map(|ip| IpNet::from(canonical(ip))).collect();
        Self {
            organisation: String::new(),
            contact: None,
            networks: networks.into_iter().collect(),
            exclude: Vec::new(),
            ports: Vec::new(),
            udp_ports: Vec::new(),
            apart: Vec::new(),
            rate: const { NonZeroU32::new(500).unwrap() },
            scanners: Vec::new(),
            geo: None,
            instances: Vec::new(),
            imports: Vec::new(),
            recog: Vec::new(),
        }
    }

    /// Whether this address and port may be asked.
    ///
    /// It must lie in a network of the scope with a port of the scope, or belong to a declared
    /// instance; an exclusion wins over both.
    pub fn allows(&self, target: SocketAddr) -> bool {
        let ip = canonical(target.ip());
        if self.exclude.iter().any(|net| net.contains(&ip)) {
            return false;
        }
        let declared = self.instances.iter().flat_map(|instance| &instance.addresses);
        declared.into_iter().any(|address| *address == target)
            || (self.ports.contains(&target.port()) && self.networks.iter().any(|net| net.contains(&ip)))
    }

    /// Whether an address is ours, whatever its port: in a network of the scope or of a declared instance, and not
    /// excluded. That it may be asked is another question.
    pub fn covers(&self, ip: IpAddr) -> bool {
        let ip = canonical(ip);
        let declared =
            || self.instances.iter().flat_map(|instance| &instance.addresses).any(|at| canonical(at.ip()) == ip);
        !self.exclude.iter().any(|net| net.contains(&ip))
            && (self.networks.iter().any(|net| net.contains(&ip)) || declared())
    }

    /// Whether a handshake over UDP may be tried there: the address is ours, and the port is one of those to try.
    pub fn allows_udp(&self, target: SocketAddr) -> bool {
        self.udp_ports.contains(&target.port()) && self.covers(target.ip())
    }

    /// Every address and port to try over UDP, each once, in order: in the networks and of declared instances.
    pub fn udp_targets(&self) -> Vec<SocketAddr> {
        let declared = self.instances.iter().flat_map(|instance| &instance.addresses).map(SocketAddr::ip);
        let all: BTreeSet<IpAddr> = self.networks.iter().flat_map(|net| addresses(*net)).chain(declared).collect();
        let ports = |ip| self.udp_ports.iter().map(move |port| SocketAddr::new(ip, *port));
        let all: BTreeSet<SocketAddr> = all.into_iter().flat_map(ports).collect();
        all.into_iter().filter(|target| self.allows_udp(*target)).collect()
    }

    /// Every address and port to ask, each once, in order. Also how many exclusion took away.
    ///
    /// All addresses of a network are asked, its first and last too: on a routed network they are
    /// as good as any other, and an appliance has been found on `.0`.
    pub fn targets(&self) -> (Vec<SocketAddr>, u64) {
        let mut all = BTreeSet::new();
        for net in &self.networks {
            for ip in addresses(*net) {
                all.extend(self.ports.iter().map(|port| SocketAddr::new(ip, *port)));
            }
        }
        all.extend(self.instances.iter().flat_map(|instance| instance.addresses.iter().copied()));
        let before = all.len();
        let allowed: Vec<_> = all.into_iter().filter(|target| self.allows(*target)).collect();
        let excluded = (before - allowed.len()) as u64;
        (allowed, excluded)
    }

    /// The declared instance that has this address.
    pub fn declared_at(&self, target: SocketAddr) -> Option<&Declared> {
        self.instances.iter().find(|instance| instance.addresses.contains(&target))
    }
}

/// `::ffff:10.0.0.5` is 10.0.0.5 to the kernel, so it is to the fence.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Whether evidence over SSH names an address that must not be touched. A name is not resolved here.
fn is_excluded_host(evidence: &str, exclude: &[IpNet]) -> bool {
    let Some(rest) = evidence.strip_prefix("ssh://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let bare = host.trim_start_matches('[').split(']').next().unwrap_or_default();
    let ip = bare.parse().or_else(|_| bare.split(':').next().unwrap_or_default().parse::<IpAddr>());
    ip.is_ok_and(|ip| exclude.iter().any(|net| net.contains(&canonical(ip))))
}

fn count(net: IpNet) -> u64 {
    let bits = u32::from(net.max_prefix_len() - net.prefix_len());
    1u64.checked_shl(bits).unwrap_or(u64::MAX)
}

fn addresses(net: IpNet) -> Box<dyn Iterator<Item = IpAddr>> {
    // `IpNet::hosts` leaves out the first and last address of a network.
    match net {
        IpNet::V4(net) => {
            Box::new((net.network().to_bits()..=net.broadcast().to_bits()).map(|bits| IpAddr::V4(bits.into())))
        }
        IpNet::V6(net) => {
            Box::new((net.network().to_bits()..=net.broadcast().to_bits()).map(|bits| IpAddr::V6(bits.into())))
        }
    }
}

fn parse_net(text: &str) -> Result<IpNet, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    text.parse::<IpNet>().map_err(|err| err.to_string())
}

const TARGET_HINT: &str = "write address and port: \"10.0.0.7:443\" or \"[2001:db8::7]:443\"; names are not resolved";

fn parse_target(text: &str) -> Result<SocketAddr, String> {
    text.parse::<SocketAddr>().map_err(|err| err.to_string())
}

fn parse_all<'a, T>(
    items: impl IntoIterator<Item = &'a Spanned<String>>,
    parse: impl Fn(&str) -> Result<T, String>,
    hint: &str,
    at: &mut impl FnMut(std::ops::Range<usize>, String, &str),
) -> Vec<T> {
    let mut parsed = Vec::new();
    for item in items {
        match parse(item.get_ref()) {
            Ok(value) => parsed.push(value),
            Err(err) => at(item.span(), err.to_lowercase(), hint),
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "organisation = \"Example Agency\"\n";

    #[track_caller]
    fn allows(scope: &str, target: &str, expected: bool) {
        let scope = Scope::parse("scope.toml", &format!("{HEAD}{scope}")).unwrap();
        assert_eq!(scope.allows(target.parse().unwrap()), expected, "{target}");
    }

    #[track_caller]
    fn refuses(scope: &str, expected: &str) {
        let problems = Scope::parse("scope.toml", scope).unwrap_err();
        let shown = problems.to_string();
        assert!(shown.contains(expected), "{shown}");
        assert!(shown.contains("scope.toml"), "{shown}");
        assert!(shown.contains('^'), "{shown}");
    }

    #[test]
    fn an_address_of_the_network_on_a_port_of_the_scope_is_ours() {
        allows("networks = [\"10.0.0.0/24\"]\nports = [443]", "10.0.0.255:443", true);
    }

    #[test]
    fn another_port_is_not_ours() {
        allows("networks = [\"10.0.0.0/24\"]\nports = [443]", "10.0.0.7:22", false);
    }

    #[test]
    fn an_excluded_address_is_not_ours_even_in_its_ipv6_clothes() {
        let scope = "networks = [\"10.0.0.0/24\", \"::ffff:10.0.0.0/120\"]\nexclude = [\"10.0.0.5\"]\nports = [443]";
        allows(scope, "10.0.0.5:443", false);
        allows(scope, "[::ffff:10.0.0.5]:443", false);
    }

    #[test]
    fn a_declared_instance_is_ours_outside_the_networks() {
        allows("[[instance]]\nname = \"vpn1\"\naddress = \"192.0.2.1:8443\"", "192.0.2.1:8443", true);
        allows("[[instance]]\nname = \"vpn1\"\naddress = \"192.0.2.1:8443\"", "192.0.2.1:443", false);
    }

    #[test]
    fn a_network_without_ports_asks_nothing() {
        let scope = Scope::parse("scope.toml", &format!("{HEAD}networks = [\"10.0.0.0/24\"]")).unwrap();
        assert_eq!(scope.targets(), (vec![], 0));
    }

    #[test]
    fn targets_count_every_address_once() {
        let scope = "networks = [\"10.0.0.0/30\", \"10.0.0.2\"]\nexclude = [\"10.0.0.3\"]\nports = [443]\n\
                     [[instance]]\nname = \"a\"\naddress = \"10.0.0.1:443\"";
        let scope = Scope::parse("scope.toml", &format!("{HEAD}{scope}")).unwrap();
        let (targets, excluded) = scope.targets();
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        assert_eq!(targets, ["10.0.0.0:443", "10.0.0.1:443", "10.0.0.2:443"]);
        assert_eq!(excluded, 1);
    }

    #[test]
    fn a_slip_in_a_network_is_shown_with_a_caret() {
        refuses("organisation = \"A\"\nnetworks = [\"10.0.0.0/33\"]", "10.0.0.0/33");
    }

    #[test]
    fn a_host_name_is_refused_with_a_reason() {
        refuses(
            "organisation = \"A\"\n[[instance]]\nname = \"a\"\naddress = \"vpn.example:443\"",
            "names are not resolved",
        );
    }

    #[test]
    fn two_instances_of_one_name_are_refused() {
        refuses(
            "organisation = \"A\"\n[[instance]]\nname = \"a\"\n[[instance]]\nname = \"a\"",
            "two instances are called",
        );
    }

    #[test]
    fn one_address_cannot_be_two_instances() {
        refuses(
            "organisation = \"A\"\n[[instance]]\nname = \"a\"\naddress = \"10.0.0.1:443\"\n\
             [[instance]]\nname = \"b\"\naddress = \"10.0.0.1:443\"",
            "belongs to \"a\" already",
        );
    }

    #[test]
    fn a_scope_of_half_the_internet_is_refused() {
        refuses("organisation = \"A\"\nnetworks = [\"0.0.0.0/1\"]", "more than 1048576");
    }

    #[test]
    fn evidence_on_an_excluded_host_is_refused() {
        for host in ["10.0.0.5", "root@10.0.0.5:22/data", "[::ffff:10.0.0.5]:22"] {
            refuses(
                &format!(
                    "organisation = \"A\"\nexclude = [\"10.0.0.5\"]\n[[instance]]\nname = \"a\"\n\
                     evidence = \"ssh://{host}\""
                ),
                "excluded by this scope",
            );
        }
    }

    #[test]
    fn a_key_for_no_manifest_is_refused() {
        refuses(
            "organisation = \"A\"\n[[instance]]\nname = \"a\"\nmanifest-key = \"release.pub\"",
            "no manifest that this key",
        );
    }

    #[test]
    fn a_copy_of_files_cannot_be_looked_at_while_it_runs() {
        let text = "organisation = \"A\"\n[[instance]]\nname = \"a\"\nevidence = \"vpn1.qcow2\"\nlive = true";
        refuses(text, "only a machine that runs");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        refuses("organisation = \"A\"\nnetwork = [\"10.0.0.0/8\"]", "unknown field `network`");
    }
}
