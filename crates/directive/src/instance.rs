//! Instance: what do records say of one appliance or host: where it is, whose, which version?
//!
//! The parts of the record type `instance`. What a version means is [`crate::product`]'s question.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one record knows of an instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// The name in the scope, or the address where none was declared.
    pub name: String,
    /// Addresses with port, `192.0.2.7:443`.
    pub addresses: Vec<String>,
    /// The product's name in its pack; absent while it is not identified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// What is known of its version.
    pub version: Version,
    /// How the instance was reached.
    pub state: InstanceState,
    /// Who answers for it.
    pub owner: Owner,
    /// Whether the scope names evidence for it: without, it cannot be checked.
    pub has_evidence: bool,
    /// What it runs, as CPE 2.3 names: from the fingerprints that recognise it, or the product's own with the version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpe: Vec<String>,
    /// Why it may be a decoy: something that answers as the product does and is none. It is counted all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decoy: Vec<String>,
    /// What the scope states of it, for the report: `hardware-model`, `public-fqdn`, ...
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
}

/// How an instance was reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Declared in the scope, not asked yet.
    #[default]
    Declared,
    /// It answered as the product does.
    Identified,
    /// It answered, and not as the product does.
    AnsweredUnknown,
    /// It refused the connection.
    Refused,
    /// A device between us said no.
    Filtered,
    /// Nothing came back.
    Silent,
    /// Known only by what other tools say: it was not asked, or did not answer us as the product does.
    Imported,
    /// Found in evidence only; the network was not asked.
    EvidenceOnly,
    /// Run by a third party, with no address of ours to ask: only its operator can tell.
    ThirdParty,
}

impl InstanceState {
    /// The word for it, as in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Identified => "identified",
            Self::AnsweredUnknown => "answered-unknown",
            Self::Refused => "refused",
            Self::Filtered => "filtered",
            Self::Silent => "silent",
            Self::Imported => "imported",
            Self::EvidenceOnly => "evidence-only",
            Self::ThirdParty => "third-party",
        }
    }
}

/// Who answers for an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Owner {
    /// The organisation itself.
    #[default]
    Agency,
    /// A third party on the organisation's behalf.
    ThirdParty {
        /// A commercial provider; otherwise another government body, which reports by itself.
        commercial: bool,
        /// Its name.
        #[serde(default)]
        name: String,
    },
}

/// A version, and why it is believed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// The version on which the witnesses agree, or the strongest one's.
    pub value: Option<String>,
    /// What that means under the directive.
    pub status: Status,
    /// Everything that spoke.
    pub witnesses: Vec<Witness>,
}

/// Whether a version is affected by what the directive is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Affected.
    Affected,
    /// Fixed, or never affected.
    Fixed,
    /// Nobody can say yet.
    #[default]
    Unknown,
}

/// One source that speaks about a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Witness {
    /// Where it was read: `ssh-banner 192.0.2.7:22`, `package-database`, `file /home/VERSION`.
    pub source: String,
    /// What it says, escaped for display.
    pub value: String,
    /// The vendor's or upstream version in it.
    pub upstream: String,
    /// The package version that it amounts to, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// False if it names only the beginning of the version.
    pub exact: bool,
    /// What that means.
    pub status: Status,
    /// Whether somebody who controls the instance can make it say what he likes.
    pub fakeable: bool,
    /// How much it is worth while nobody fakes it.
    #[serde(default)]
    pub confidence: Confidence,
    /// Why the status is what it is.
    pub why: String,
}

/// How much a witness is worth while nobody fakes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// A hint: other versions or products may show the same.
    Low,
    /// Said by the product, in a place that is made for it.
    #[default]
    Medium,
    /// Said by the database in which the system itself keeps what is installed.
    High,
}
