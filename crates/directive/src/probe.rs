//! Probe: what do we ask a suspected instance over the network, and what does an answer mean?
//!
//! `fingerprints/probes.toml` of a pack. A probe is one harmless request that any visitor could
//! send; it never logs in and never exploits. `discover` sends them, this module only reads them.

use serde::Deserialize;

use crate::pattern::Pattern;

/// The probes of a pack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Probes {
    /// In the order in which they are sent.
    #[serde(default, rename = "probe")]
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
}

/// How a probe is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// HTTP inside TLS, or in the clear where the port does not speak TLS.
    Http,
    /// Nothing is sent but our own identification: the server's banner is read.
    Ssh,
    /// The first packet of IKEv2, over UDP: `IKEv2 sa vendor=882fe5.. notify=16388`.
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
}

impl Sign {
    /// Whether it asks for nothing, and so would hold for every answer.
    pub fn is_empty(&self) -> bool {
        let Self { status, header, matches, body, banner } = self;
        status.is_none() && header.is_none() && matches.is_none() && body.is_none() && banner.is_none()
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
