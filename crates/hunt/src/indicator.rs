//! Indicator: which published sign of an intruder does a file or an event bear?
//!
//! Serves ED 21-03 action 2 and Appendix A: digests, paths, names, addresses as responders publish them, in
//! STIX 2.1 bundles ([`stix`]) and in plain lists ([`list`]). What a bundle says and we cannot hold against a file
//! or an event is reported, never dropped. Known bad beats known good: a digest counts for vouched files too,
//! since the library of 2020 that opened eighteen thousand networks was signed by its vendor.

mod list;
mod stix;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use aho_corasick::{AhoCorasick, MatchKind};
use directive::problem::Problem;
use directive::record::Severity;
use ipnet::IpNet;
use logs::{Event, USER_AGENTS};

use crate::literals::{self, Words, all, any, word};

/// Bounds of what is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Indicators in all: a feed of everything ever seen is no hunt.
    pub indicators: usize,
    /// Alternatives that one STIX pattern may have: stops a pattern that multiplies out.
    pub alternatives: usize,
    /// Depth of brackets in a STIX pattern.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { indicators: 1_000_000, alternatives: 1_000, depth: 16 }
    }
}

/// What can be seen of a file or an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Sign {
    /// SHA-256 of a file.
    Sha256([u8; 32]),
    /// SHA-1 of a file.
    Sha1([u8; 20]),
    /// MD5 of a file.
    Md5([u8; 16]),
    /// The whole path of a file.
    Path(Vec<u8>),
    /// The name of a file, whatever its folder.
    Name(Vec<u8>),
    /// Bytes anywhere in a file, or text in an event.
    Content(Vec<u8>),
    /// An address or a network in an event.
    Network(IpNet),
    /// A host name in an event.
    Domain(String),
    /// An address of a page in an event.
    Url(String),
    /// What a client calls itself in an event.
    UserAgent(String),
}

impl Sign {
    /// What a match alone is worth: a digest names one file and no other, an address may be anybody's by now.
    fn severity(&self) -> Severity {
        match self {
            Self::Sha256(_) | Self::Sha1(_) | Self::Md5(_) => Severity::Critical,
            Self::Path(_) | Self::Content(_) | Self::Url(_) | Self::Domain(_) => Severity::High,
            Self::Name(_) | Self::Network(_) | Self::UserAgent(_) => Severity::Medium,
        }
    }
}

impl Sign {
    /// Whether an event of a log can bear it.
    fn is_of_events(&self) -> bool {
        !matches!(self, Self::Sha256(_) | Self::Sha1(_) | Self::Md5(_) | Self::Path(_) | Self::Name(_))
    }

    /// What every line holds whose event bears it.
    fn words(&self) -> Words {
        match self {
            Self::Network(network) => literals::network(network),
            Self::Domain(text) | Self::Url(text) | Self::UserAgent(text) => word(text),
            Self::Content(bytes) => word(&String::from_utf8_lossy(bytes)),
            Self::Sha256(_) | Self::Sha1(_) | Self::Md5(_) | Self::Path(_) | Self::Name(_) => None,
        }
    }
}

/// One published indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indicator {
    /// Its STIX id, or file and line of the list.
    pub id: String,
    /// What its author calls it.
    pub name: String,
    /// ATT&CK techniques that it names.
    pub attack: Vec<String>,
    /// It holds if all signs of one of these are seen together.
    pub any_of: Vec<Vec<Sign>>,
}

/// An indicator that a file or an event bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit<'a> {
    /// The indicator.
    pub indicator: &'a Indicator,
    /// How much it weighs.
    pub severity: Severity,
    /// What was seen, in words.
    pub seen: String,
}

/// What is known of a file before its content is looked at.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Absolute from the evidence root.
    pub path: &'a [u8],
    /// SHA-256.
    pub sha256: [u8; 32],
    /// MD5, if [`Indicators::wants_md5`].
    pub md5: Option<[u8; 16]>,
    /// SHA-1, if [`Indicators::wants_sha1`].
    pub sha1: Option<[u8; 20]>,
}

/// All indicators, ready to be held against files and events.
#[derive(Debug, Default)]
pub struct Indicators {
    all: Vec<Indicator>,
    /// Every sign, with the indicators and alternatives that need it.
    signs: HashMap<Sign, Vec<(u32, u32)>>,
    networks: Vec<IpNet>,
    contents: Vec<Vec<u8>>,
    finder: Option<AhoCorasick>,
}

impl Indicators {
    /// Reads STIX bundles (`.json`, `.stix`) and plain lists (anything else) by name.
    ///
    /// What cannot be used is reported with its place; the rest is used.
    pub fn read(files: &BTreeMap<String, Vec<u8>>, limits: Limits) -> (Self, Vec<Problem>) {
        let mut all = Vec::new();
        let mut problems = Vec::new();
        for (name, bytes) in files {
            let is_bundle = bytes.trim_ascii_start().starts_with(b"{");
            let (found, wrong) = if is_bundle { stix::read(name, bytes, &limits) } else { list::read(name, bytes) };
            all.extend(found);
            problems.extend(wrong);
        }
        if all.len() > limits.indicators {
            let message = format!("{} indicators, and {} are used", all.len(), limits.indicators);
            problems.push(Problem::whole("indicators", message));
            all.truncate(limits.indicators);
        }
        (Self::of(all), problems)
    }

    /// Prepares indicators.
    pub fn of(all: Vec<Indicator>) -> Self {
        let mut signs: HashMap<Sign, Vec<(u32, u32)>> = HashMap::new();
        for (n, indicator) in (0_u32..).zip(&all) {
            for (alternative, together) in (0_u32..).zip(&indicator.any_of) {
                for sign in together {
                    signs.entry(sign.clone()).or_default().push((n, alternative));
                }
            }
        }
        let networks = signs.keys().filter_map(|sign| match sign {
            Sign::Network(network) => Some(*network),
            _ => None,
        });
        let mut networks: Vec<IpNet> = networks.collect();
        networks.sort();
        let contents = signs.keys().filter_map(|sign| match sign {
            Sign::Content(bytes) if !bytes.is_empty() => Some(bytes.clone()),
            _ => None,
        });
        let mut contents: Vec<Vec<u8>> = contents.collect();
        contents.sort();
        let finder = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&contents);
        let finder = finder.ok().filter(|_| !contents.is_empty());
        Self { all, signs, networks, contents, finder }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether some need the MD5 of every file.
    pub fn wants_md5(&self) -> bool {
        self.signs.keys().any(|sign| matches!(sign, Sign::Md5(_)))
    }

    /// Whether some need the SHA-1 of every file.
    pub fn wants_sha1(&self) -> bool {
        self.signs.keys().any(|sign| matches!(sign, Sign::Sha1(_)))
    }

    /// Holds a file against all of them. Without `content`, only its path and digests.
    pub fn file(&self, file: &File<'_>, content: Option<&[u8]>) -> Vec<Hit<'_>> {
        if self.all.is_empty() {
            return Vec::new();
        }
        let name = file.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let mut seen = vec![Sign::Sha256(file.sha256), Sign::Path(file.path.to_vec()), Sign::Name(name.to_vec())];
        seen.extend(file.md5.map(Sign::Md5));
        seen.extend(file.sha1.map(Sign::Sha1));
        seen.extend(content.into_iter().flat_map(|content| self.contents(content)));
        self.hits(&seen)
    }

    fn contents(&self, bytes: &[u8]) -> Vec<Sign> {
        let found = self.finder.iter().flat_map(|finder| finder.find_overlapping_iter(bytes));
        let found: BTreeSet<usize> = found.map(|found| found.pattern().as_usize()).collect();
        found.into_iter().map(|n| Sign::Content(self.contents[n].clone())).collect()
    }

    /// Holds an event against all of them.
    pub fn event(&self, event: &Event) -> Vec<Hit<'_>> {
        if self.all.is_empty() {
            return Vec::new();
        }
        let mut seen = Vec::new();
        if let Some(address) = event.address {
            self.networks(address, &mut seen);
        }
        for (name, value) in &event.fields {
            match name.as_str() {
                name if USER_AGENTS.contains(&name) => seen.push(Sign::UserAgent(value.clone())),
                "cs-host" | "r-dns" | "query" | "host" => seen.push(Sign::Domain(value.to_ascii_lowercase())),
                "cs-uri" | "cs-uri-stem" | "c-uri" | "url" => seen.push(Sign::Url(value.clone())),
                _ => {}
            }
            if let Ok(address) = value.parse::<IpAddr>() {
                self.networks(address.to_canonical(), &mut seen);
            }
        }
        let texts = event.fields.iter().map(|(_, value)| value.as_bytes());
        seen.extend(texts.chain([event.message.as_bytes()]).flat_map(|text| self.contents(text)));
        self.hits(&seen)
    }

    /// What a line must hold before an event of it can bear any; `None` if that cannot be said of some, so that every
    /// line is wanted. Sound for logs whose values stand in the line as they are ([`logs::Sink::next`]).
    pub fn words(&self) -> Words {
        let alternatives = self.all.iter().flat_map(|indicator| &indicator.any_of);
        // What also needs a file is never seen in an event.
        let of_events = alternatives.filter(|together| together.iter().all(Sign::is_of_events));
        any(of_events.map(|together| all(together.iter().map(Sign::words))))
    }

    /// Whether some need the content of files.
    pub fn wants_content(&self) -> bool {
        self.finder.is_some()
    }

    fn networks(&self, address: IpAddr, seen: &mut Vec<Sign>) {
        seen.push(Sign::Network(address.into()));
        let wider = self.networks.iter().filter(|network| network.prefix_len() < network.max_prefix_len());
        seen.extend(wider.filter(|network| network.contains(&address)).map(|network| Sign::Network(*network)));
    }

    fn hits(&self, seen: &[Sign]) -> Vec<Hit<'_>> {
        let known = seen.iter().filter_map(|sign| Some((sign, self.signs.get(sign)?)));
        let mut met: BTreeMap<(u32, u32), BTreeSet<&Sign>> = BTreeMap::new();
        for (sign, places) in known {
            for place in places {
                met.entry(*place).or_default().insert(sign);
            }
        }
        let mut hits: BTreeMap<u32, Hit<'_>> = BTreeMap::new();
        for ((n, alternative), signs) in met {
            let indicator = &self.all[n as usize];
            let wanted: BTreeSet<&Sign> = indicator.any_of[alternative as usize].iter().collect();
            if signs.len() < wanted.len() {
                continue;
            }
            let severity = signs.iter().map(|sign| sign.severity()).max().unwrap_or(Severity::Medium);
            let seen = signs.iter().map(|sign| sign.to_string()).collect::<Vec<_>>().join(" and ");
            hits.entry(n).or_insert(Hit { indicator, severity, seen });
        }
        hits.into_values().collect()
    }
}

impl std::fmt::Display for Sign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| directive::text::Text::excerpt(bytes, 80).escaped();
        match self {
            Self::Sha256(_) => f.write_str("its SHA-256"),
            Self::Sha1(_) => f.write_str("its SHA-1"),
            Self::Md5(_) => f.write_str("its MD5"),
            Self::Path(_) => f.write_str("its path"),
            Self::Name(_) => f.write_str("its name"),
            Self::Content(bytes) => write!(f, "the text {}", text(bytes)),
            Self::Network(network) => write!(f, "the address {network}"),
            Self::Domain(name) => write!(f, "the host {}", text(name.as_bytes())),
            Self::Url(url) => write!(f, "the page {}", text(url.as_bytes())),
            Self::UserAgent(name) => write!(f, "the client {}", text(name.as_bytes())),
        }
    }
}

/// `[.]` and `hxxp` are how responders write addresses that nobody should click.
fn refanged(text: &str) -> String {
    text.replace("[.]", ".").replace("[:]", ":").replace("hxxp", "http")
}

/// A digest in hexadecimal digits.
fn digest(text: &str) -> Option<Sign> {
    let digits = text.as_bytes();
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
        let mut out = [0; N];
        for (n, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
        }
        Some(out)
    }
    match digits.len() {
        64 => bytes(text).map(Sign::Sha256),
        40 => bytes(text).map(Sign::Sha1),
        32 => bytes(text).map(Sign::Md5),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
