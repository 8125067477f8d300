//! Role: what does each role say?
//!
//! Only what the client needs is read; fields that nobody knows may stand beside it. What contradicts the
//! specification is refused before any of it counts.
//! Source: specification 4.3 to 4.6, TAP 15 for succinct roles.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::Refused;
use crate::key::{Key, Keys, Signers};

/// What all roles say, and what tells them apart.
pub(crate) trait Role: DeserializeOwned {
    /// What `_type` must be.
    const TYPE: &'static str;

    fn head(&self) -> &Head;

    /// What the form alone does not say.
    fn validate(&self) -> Result<(), String>;

    /// Reads a role.
    fn parse(value: Value) -> Result<Self, String> {
        let role: Self = serde_json::from_value(value).map_err(|err| err.to_string())?;
        let head = role.head();
        if head.kind != Self::TYPE {
            return Err(format!("its type is {:?}", head.kind));
        }
        if head.spec_version.split('.').next() != Some("1") {
            return Err(format!("it follows version {:?} of the specification", head.spec_version));
        }
        if head.version == 0 {
            return Err("its version is zero".into());
        }
        role.validate()?;
        Ok(role)
    }
}

/// What every role begins with.
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    pub(crate) version: u64,
    pub(crate) expires: Expires,
}

/// Until when a role holds: `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Expires(pub(crate) Timestamp);

impl TryFrom<String> for Expires {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_form = text.len() == 20 && text.ends_with('Z');
        let time = text.parse().ok().filter(|_| is_form);
        time.map(Self).ok_or_else(|| format!("{text:?} is no time of the form YYYY-MM-DDTHH:MM:SSZ"))
    }
}

impl Head {
    /// Whether it still holds. Source: 5.3.10, 5.4.4, 5.5.6, 5.6.5.
    pub(crate) fn check_current(&self, role: &str, now: Timestamp) -> Result<(), Refused> {
        let since = self.expires.0;
        if since > now { Ok(()) } else { Err(Refused::Expired { role: role.to_owned(), since }) }
    }
}

/// Whose keys count.
#[derive(Debug, Deserialize)]
pub(crate) struct Root {
    #[serde(flatten)]
    head: Head,
    keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, Signers>,
    #[serde(default)]
    pub(crate) consistent_snapshot: bool,
}

/// The roles that every repository has.
const TOP: [&str; 4] = ["root", "snapshot", "targets", "timestamp"];

impl Role for Root {
    const TYPE: &'static str = "root";

    fn head(&self) -> &Head {
        &self.head
    }

    fn validate(&self) -> Result<(), String> {
        if !self.roles.keys().eq(TOP) {
            return Err("it must list root, snapshot, targets and timestamp, and no other role".into());
        }
        self.roles.values().try_for_each(Signers::validate)
    }
}

impl Root {
    /// The keys of a role; none if it is not one that every repository has.
    pub(crate) fn keys(&self, role: &str) -> Option<Keys<'_>> {
        Some(Keys { all: &self.keys, signers: self.roles.get(role)? })
    }
}

/// What is listed of another file of metadata.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Listed {
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) length: Option<u64>,
    #[serde(default)]
    hashes: Option<BTreeMap<String, String>>,
}

impl Listed {
    fn validate(&self) -> Result<(), String> {
        match self {
            Self { version: 0, .. } => Err("it lists a version zero".into()),
            Self { length: Some(0), .. } => Err("it lists a length of zero".into()),
            Self { hashes: Some(hashes), .. } if hashes.is_empty() => Err("it lists no digest where it must".into()),
            _ => Ok(()),
        }
    }

    /// Whether the bytes are those that are listed, as far as that is said.
    pub(crate) fn check(&self, what: &str, bytes: &[u8]) -> Result<(), Refused> {
        if self.length.is_some_and(|length| length != bytes.len() as u64) {
            return Err(Refused::Length { what: what.to_owned() });
        }
        self.hashes.as_ref().map_or(Ok(()), |hashes| check_digests(what, hashes, bytes))
    }
}

/// Holds bytes against digests: each that is known must be theirs, and one must be known.
fn check_digests(what: &str, hashes: &BTreeMap<String, String>, bytes: &[u8]) -> Result<(), Refused> {
    let mut known = 0;
    for (algorithm, expected) in hashes {
        let digest = match algorithm.as_str() {
            "sha256" => Sha256::digest(bytes).to_vec(),
            "sha512" => Sha512::digest(bytes).to_vec(),
            _ => continue,
        };
        known += 1;
        if hex::decode(expected) != Ok(digest) {
            return Err(Refused::Digest { what: what.to_owned() });
        }
    }
    if known > 0 { Ok(()) } else { Err(Refused::Digest { what: what.to_owned() }) }
}

/// Which snapshot is current.
#[derive(Debug, Deserialize)]
pub(crate) struct TimestampRole {
    #[serde(flatten)]
    head: Head,
    meta: BTreeMap<String, Listed>,
}

impl Role for TimestampRole {
    const TYPE: &'static str = "timestamp";

    fn head(&self) -> &Head {
        &self.head
    }

    fn validate(&self) -> Result<(), String> {
        self.meta.get("snapshot.json").ok_or("it lists no snapshot")?.validate()
    }
}

impl TimestampRole {
    /// What is listed of the snapshot.
    pub(crate) fn snapshot(&self) -> Result<&Listed, Refused> {
        self.meta.get("snapshot.json").ok_or(Refused::Unlisted { file: "snapshot.json".into() })
    }
}

/// Which versions of all roles belong together.
#[derive(Debug, Deserialize)]
pub(crate) struct Snapshot {
    #[serde(flatten)]
    head: Head,
    pub(crate) meta: BTreeMap<String, Listed>,
}

impl Role for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn head(&self) -> &Head {
        &self.head
    }

    fn validate(&self) -> Result<(), String> {
        self.meta.values().try_for_each(Listed::validate)
    }
}

/// Which files are there, and who may sign for more.
#[derive(Debug, Deserialize)]
pub(crate) struct Targets {
    #[serde(flatten)]
    head: Head,
    pub(crate) targets: BTreeMap<String, Target>,
    #[serde(default)]
    pub(crate) delegations: Option<Delegations>,
}

impl Role for Targets {
    const TYPE: &'static str = "targets";

    fn head(&self) -> &Head {
        &self.head
    }

    fn validate(&self) -> Result<(), String> {
        if self.targets.values().any(|target| target.hashes.is_empty()) {
            return Err("it lists a file without a digest".into());
        }
        self.delegations.as_ref().map_or(Ok(()), Delegations::validate)
    }
}

/// A file that is signed for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// Bytes.
    pub length: u64,
    /// Digests in hexadecimal by algorithm: `sha256`, `sha512`.
    pub hashes: BTreeMap<String, String>,
    /// What whoever signed says of it beside.
    #[serde(default)]
    pub custom: Option<Value>,
}

impl Target {
    /// Whether the bytes are those that are signed for.
    ///
    /// # Errors
    ///
    /// [`Refused::Length`] or [`Refused::Digest`].
    pub fn check(&self, path: &str, bytes: &[u8]) -> Result<(), Refused> {
        if self.length != bytes.len() as u64 {
            return Err(Refused::Length { what: path.to_owned() });
        }
        check_digests(path, &self.hashes, bytes)
    }
}

/// Who may sign for which paths.
#[derive(Debug, Deserialize)]
pub(crate) struct Delegations {
    keys: BTreeMap<String, Key>,
    #[serde(default)]
    pub(crate) roles: Option<Vec<Delegated>>,
    #[serde(default)]
    pub(crate) succinct_roles: Option<Succinct>,
}

/// A role that may sign for some paths.
#[derive(Debug, Deserialize)]
pub(crate) struct Delegated {
    pub(crate) name: String,
    #[serde(flatten)]
    signers: Signers,
    pub(crate) terminating: bool,
    #[serde(default)]
    pub(crate) paths: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) path_hash_prefixes: Option<Vec<String>>,
}

/// Roles that share all paths by their digest.
#[derive(Debug, Deserialize)]
pub(crate) struct Succinct {
    #[serde(flatten)]
    signers: Signers,
    pub(crate) bit_length: u32,
    pub(crate) name_prefix: String,
}

impl Delegations {
    fn validate(&self) -> Result<(), String> {
        match (&self.roles, &self.succinct_roles) {
            (Some(roles), None) => roles.iter().try_for_each(Delegated::validate),
            (None, Some(Succinct { bit_length: 1..=32, signers, .. })) => signers.validate(),
            (None, Some(_)) => Err("roles by digest need 1 to 32 bits".into()),
            _ => Err("it delegates by name or by digest, and not by both or none".into()),
        }
    }

    /// The keys of a role that is delegated to.
    pub(crate) fn keys(&self, name: &str) -> Option<Keys<'_>> {
        let by_name = self.roles.iter().flatten().find(|role| role.name == name).map(|role| &role.signers);
        let by_digest = || self.succinct_roles.as_ref().filter(|roles| roles.has(name)).map(|roles| &roles.signers);
        Some(Keys { all: &self.keys, signers: by_name.or_else(by_digest)? })
    }
}

impl Delegated {
    fn validate(&self) -> Result<(), String> {
        if self.name.is_empty() || TOP.contains(&self.name.as_str()) {
            return Err(format!("it delegates to a role named {:?}", self.name));
        }
        if self.paths.is_some() == self.path_hash_prefixes.is_some() {
            return Err(format!("the role {:?} has paths or digests of paths, and not both or none", self.name));
        }
        self.signers.validate()
    }
}
