//! Probe: what do we ask a suspected instance over the network, and what does an answer mean?
//!
//! `fingerprints/probes.toml` of a pack. A probe is one harmless request that any visitor could
//! send; it never logs in and never exploits. `discover` sends them, this module only reads them.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::record::Confidence;

/// The probes of a pack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Probes {
    /// In the order in which they are sent.
    #[serde(default, rename = "probe")]
    pub probes: Vec<Probe>,
    /// What the product must not be confused with. From `fingerprints/neighbours.toml`.
    #[serde(skip)]
    pub neighbours: Vec<Neighbour>,
}

/// The table of neighbours, `fingerprints/neighbours.toml` of a pack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Neighbours {
    /// In the order in which they are tried.
    #[serde(default, rename = "neighbour")]
    pub neighbours: Vec<Neighbour>,
}

/// Another product that stands in the same place, or before the product.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// Who makes it.
    pub vendor: String,
    /// Its CPE 2.3 names.
    #[serde(default)]
    pub cpe: Vec<String>,
    /// How it is recognised. Asked only where the product was not.
    #[serde(rename = "probe")]
    pub probes: Vec<Probe>,
}

/// One harmless request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Probe {
    /// Its name, unique in the pack.
    pub id: String,
    /// How it is sent.
    pub over: Over,
    /// The path to ask for, over HTTP.
    #[serde(default)]
    pub path: String,
    /// If one of these holds, the answer is the product's.
    #[serde(default)]
    pub identifies: Vec<Sign>,
    /// Where the version is in the answer; the first that matches counts.
    #[serde(default)]
    pub version: Vec<VersionSign>,
    /// Whether the beginning of the answer is enough: that the rest is too large to be read is then no gap.
    #[serde(default)]
    pub beginning: bool,
}

/// How a probe is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// HTTP inside TLS, or in the clear where the port does not speak TLS.
    Http,
    /// Nothing is sent: every page that other probes ask for is looked at.
    Pages,
    /// Nothing is sent but our own identification: the server's banner is read.
    Ssh,
    /// A handshake of TLS, and nothing inside it.
    Tls,
    /// The first packet of IKEv2, over UDP: `IKEv2 sa vendor=882fe5.. notify=16388`. Where it is met with
    /// silence, that of IKEv1: `IKEv1 notify=14`.
    Ike,
    /// The first packet of OpenVPN, over UDP: `OpenVPN hard-reset`.
    Openvpn,
    /// A ClientHello over UDP: `DTLS hello-verify`, `DTLS server-hello`, `DTLS alert 40`.
    Dtls,
}

/// What the product's answer looks like. All parts that are given must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sign {
    /// HTTP status.
    pub status: Option<u16>,
    /// A header's name; with `matches`, its value too.
    pub header: Option<String>,
    /// What the header's value matches.
    pub matches: Option<Pattern>,
    /// What the body matches, decoded as UTF-8 with replacement.
    pub body: Option<Pattern>,
    /// What an SSH banner matches, without its `SSH-2.0-`; or what was said over UDP.
    pub banner: Option<Pattern>,
    /// What the names of the subject or of the issuer of the certificate match: `CN=..,O=..,C=..`.
    pub certificate: Option<Pattern>,
    /// MD5 of the icon, in hexadecimal digits.
    pub icon: Option<Pattern>,
    /// The fingerprint of the server's TLS, 62 hexadecimal digits. Ten handshakes more are made for it.
    pub jarm: Option<Pattern>,
}

impl Sign {
    /// Whether it asks for nothing, and so would hold for every answer.
    pub fn is_empty(&self) -> bool {
        let Self { status, header, matches, body, banner, certificate, icon, jarm } = self;
        let patterns = [matches, body, banner, certificate, icon, jarm];
        status.is_none() && header.is_none() && patterns.into_iter().all(Option::is_none)
    }

    /// Whether it says something about an HTTP answer.
    pub fn is_of_a_page(&self) -> bool {
        self.status.is_some() || self.header.is_some() || self.body.is_some()
    }
}

/// Where a version is in an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VersionSign {
    /// Where to look.
    #[serde(rename = "in")]
    pub place: Place,
    /// A pattern; its groups fill the template. A group `comment` is kept beside the version.
    pub pattern: Pattern,
    /// How the version is written: `{1}.{2}R{3}`.
    #[serde(default = "VersionSign::default_template")]
    pub template: String,
    /// False if the answer names only the beginning of the version.
    #[serde(default = "VersionSign::default_exact")]
    pub exact: bool,
    /// How much it is worth while nobody fakes it.
    #[serde(default)]
    pub confidence: Confidence,
}

impl VersionSign {
    fn default_template() -> String {
        "{version}".to_owned()
    }

    fn default_exact() -> bool {
        true
    }
}

/// The part of an answer that holds a version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The body of an HTTP answer.
    Body,
    /// An SSH banner without its `SSH-2.0-`, or what was said over UDP.
    Banner,
    /// The header of that name.
    Header(String),
}

/// Refuses probes that ask for nothing, or that would recognise everything. `file` is for messages.
pub(crate) fn check<'p>(file: &str, probes: impl IntoIterator<Item = &'p Probe>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    for probe in probes {
        let mut wrong = |what: &str, hint: &str| {
            problems.push(Problem::whole(file, format!("the probe {:?} {what}", probe.id)).hint(hint));
        };
        if !ids.insert(&probe.id) {
            wrong("is there twice", "an id must be unique in its file");
        }
        if probe.over == Over::Http && !probe.path.starts_with('/') {
            wrong("asks for no path", "a path begins with a slash");
        }
        if probe.over != Over::Http && !probe.path.is_empty() {
            wrong("has a path and does not ask over HTTP", "take the path out, or write over = \"http\"");
        }
        if probe.identifies.iter().any(Sign::is_empty) {
            wrong(
                "has a sign that every answer shows",
                "name a status, header, body, banner, certificate, icon or jarm",
            );
        }
        if probe.identifies.iter().any(|sign| sign.matches.is_some() && sign.header.is_none()) {
            wrong("has a pattern for no header", "name the header that `matches` is about");
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(probe: &str, expected: &str) {
        let probes: Probes = toml::from_str(&format!("[[probe]]\nid = \"a\"\n{probe}")).unwrap();
        let problems: Vec<String> = check("probes.toml", &probes.probes).iter().map(ToString::to_string).collect();
        assert!(problems.len() == usize::from(!expected.is_empty()), "{problems:?}");
        assert!(problems.concat().contains(expected), "{problems:?}");
    }

    #[test]
    fn probes_that_ask_for_nothing_or_recognise_everything_are_refused() {
        refuses("over = \"http\"\npath = \"/\"\nidentifies = [{ status = 200 }]", "");
        refuses("over = \"http\"", "asks for no path");
        refuses("over = \"tls\"\npath = \"/\"", "has a path and does not ask over HTTP");
        refuses("over = \"pages\"\nidentifies = [{}]", "has a sign that every answer shows");
        refuses("over = \"pages\"\nidentifies = [{ status = 200, matches = \"a\" }]", "has a pattern for no header");
    }

    #[test]
    fn neighbours_have_names_of_their_own() {
        let neighbours: Neighbours = toml::from_str(
            "[[neighbour]]\nname = \"Wall\"\nvendor = \"Other\"\n\
             probe = [{ id = \"b\", over = \"pages\", identifies = [{ header = \"x-wall\" }] }]",
        )
        .unwrap();
        let probes: Vec<&Probe> = neighbours.neighbours.iter().flat_map(|neighbour| &neighbour.probes).collect();
        assert!(check("neighbours.toml", probes.iter().copied()).is_empty());
        assert_eq!(check("neighbours.toml", probes.iter().chain(&probes).copied()).len(), 1);
    }
}
