//! Publish: how does an authority say which bytes are its own, and that they are current?
//!
//! A repository is a folder of files, to be copied to a server or a stick. The root, whose keys lie in a safe, says
//! whose keys count; the others are signed with keys that are at hand. Everything is judged as a client would judge
//! it before any of it is written, and the file that makes a state current is written last.
//! Source: specification 6, "Detailed workflows" of the repository, and 7.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use directive::record::hex;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Refused};
use crate::metadata::canonical;
use crate::secret::{PublicKey, SecretKey};
use crate::source::{Folder, Source as _};
use crate::store::{place, put};
use crate::trusted::Trusted;

/// Which version of the specification is followed.
const SPEC: &str = "1.0.34";

/// Roots that a repository may have.
const ROOTS: u64 = 1_000_000;

/// Bytes of a file of metadata.
const LONGEST: u64 = 8 << 20;

/// Whose keys count, and how many of them must sign.
#[derive(Debug, Clone)]
pub struct Roles {
    /// Keys of the root: in a safe.
    pub root: Vec<PublicKey>,
    /// How many of them must sign a root.
    pub root_threshold: u64,
    /// Keys that sign files and say that they are current: at hand.
    pub online: Vec<PublicKey>,
    /// How many of them must sign.
    pub online_threshold: u64,
}

/// Until when what is signed holds.
#[derive(Debug, Clone, Copy)]
pub struct Expires {
    /// The list of files.
    pub targets: Timestamp,
    /// The versions that belong together.
    pub snapshot: Timestamp,
    /// That all of it is current: whoever holds back a newer state can do so until then.
    pub timestamp: Timestamp,
}

/// What changes in a repository.
#[derive(Debug, Default)]
pub struct Changes {
    /// Files by their path. A file that is there already takes the new bytes.
    pub add: BTreeMap<String, Vec<u8>>,
    /// Beginnings of paths whose files go, before others are added.
    pub remove: Vec<String>,
}

/// What a repository holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The version of its list of files.
    pub version: u64,
    /// How many files are listed.
    pub files: usize,
}

/// A repository that is written.
#[derive(Debug, Clone)]
pub struct Repository {
    metadata: PathBuf,
    targets: PathBuf,
}

impl Repository {
    /// A repository in a folder, or one that will be.
    pub fn new(folder: &Path) -> Self {
        Self { metadata: folder.join("metadata"), targets: folder.join("targets") }
    }

    /// Signs the first root, or the next one: other keys, another threshold, a later end. Gives its version.
    ///
    /// The keys that sign are those of the last root, as many as it asks for, and those of the new one.
    ///
    /// # Errors
    ///
    /// [`Refused::Unsigned`] if too few of either are there; [`Error`] if it cannot be written. Nothing is, then.
    pub fn sign_root(
        &self,
        roles: &Roles,
        keys: &[SecretKey],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let last = self.last_root()?;
        let version = last.as_ref().map_or(1, |(version, _)| version + 1);
        let all = roles.root.iter().chain(&roles.online);
        let listed: Map<String, Value> = all.map(|key| (key.id(), key.to_json())).collect();
        let role = |keys: &[PublicKey], threshold: u64| {
            let keyids: Vec<String> = keys.iter().map(PublicKey::id).collect();
            json!({ "keyids": keyids, "threshold": threshold })
        };
        let online = role(&roles.online, roles.online_threshold);
        let bytes = signed(
            "root",
            version,
            expires,
            [
                ("consistent_snapshot", json!(true)),
                ("keys", Value::Object(listed)),
                (
                    "roles",
                    json!({ "root": role(&roles.root, roles.root_threshold), "targets": online,
                        "snapshot": online, "timestamp": online }),
                ),
            ],
            keys,
        )?;
        match &last {
            Some((_, last)) => Trusted::new(last, now)?.next_root(&bytes)?,
            None => drop(Trusted::new(&bytes, now)?),
        }
        put(&self.metadata.join(format!("{version}.root.json")), &bytes)?;
        Ok(version)
    }

    /// Changes files, and says anew that all of it is current.
    ///
    /// # Errors
    ///
    /// [`Refused::Unsigned`] if too few of the keys that the root lists are there, [`Refused::Path`] for a path that
    /// leads elsewhere, [`Error`] if it cannot be written.
    pub fn publish(
        &self,
        changes: Changes,
        keys: &[SecretKey],
        expires: Expires,
        now: Timestamp,
    ) -> Result<Published, Error> {
        let missing = || Error::Missing { what: "root: sign one first".into() };
        let (_, root) = self.last_root()?.ok_or_else(missing)?;
        let before = self.current("timestamp.json")?;
        let snapshot_version = before.as_ref().map_or(0, |timestamp| listed(timestamp, "snapshot.json"));
        let snapshot = self.current(&format!("{snapshot_version}.snapshot.json"))?;
        let targets_version = snapshot.as_ref().map_or(0, |snapshot| listed(snapshot, "targets.json"));
        let targets = self.current(&format!("{targets_version}.targets.json"))?;
        let mut files: BTreeMap<String, Value> = targets
            .and_then(|mut targets| serde_json::from_value(targets["signed"]["targets"].take()).ok())
            .unwrap_or_default();
        files.retain(|path, _| !changes.remove.iter().any(|gone| path.starts_with(gone.as_str())));
        for (path, bytes) in &changes.add {
            files.insert(path.clone(), json!({ "length": bytes.len(), "hashes": { "sha256": digest(bytes) } }));
        }
        let version = targets_version + 1;
        let count = files.len();
        let list = signed("targets", version, expires.targets, [("targets", json!(files))], keys)?;
        let meta = json!({ "targets.json": described(version, &list) });
        let snapshot = signed("snapshot", snapshot_version + 1, expires.snapshot, [("meta", meta)], keys)?;
        let meta = json!({ "snapshot.json": described(snapshot_version + 1, &snapshot) });
        let timestamp_version = before.as_ref().map_or(0, |timestamp| number(&timestamp["signed"]["version"])) + 1;
        let timestamp = signed("timestamp", timestamp_version, expires.timestamp, [("meta", meta)], keys)?;

        let mut judge = Trusted::new(&root, now)?;
        judge.last_root()?;
        judge.new_timestamp(&timestamp)?;
        judge.new_snapshot(&snapshot)?;
        judge.targets("targets", "root", &list)?;

        for (path, bytes) in &changes.add {
            put(&self.targets.join(place(path, Some(&digest(bytes)))?), bytes)?;
        }
        put(&self.metadata.join(format!("{version}.targets.json")), &list)?;
        put(&self.metadata.join(format!("{}.snapshot.json", snapshot_version + 1)), &snapshot)?;
        put(&self.metadata.join("timestamp.json"), &timestamp)?;
        Ok(Published { version, files: count })
    }

    /// The last root, with its version.
    fn last_root(&self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let source = Folder::new(&self.metadata);
        let mut last = None;
        for version in 1..ROOTS {
            match source.fetch(&format!("{version}.root.json"), LONGEST)? {
                Some(bytes) => last = Some((version, bytes)),
                None => break,
            }
        }
        Ok(last)
    }

    fn current(&self, name: &str) -> Result<Option<Value>, Error> {
        let Some(bytes) = Folder::new(&self.metadata).fetch(name, LONGEST)? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|err| Refused::form(name, err).into())
    }
}

/// A role with its signatures, those of all keys that are there.
fn signed<const N: usize>(
    kind: &str,
    version: u64,
    expires: Timestamp,
    fields: [(&str, Value); N],
    keys: &[SecretKey],
) -> Result<Vec<u8>, Error> {
    let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut role = json!({ "_type": kind, "spec_version": SPEC, "version": version, "expires": expires });
    fields.into_iter().for_each(|(name, value)| role[name] = value);
    let bytes = canonical(&role).map_err(|why| Refused::form(kind, why))?;
    let signatures: BTreeMap<String, String> = keys.iter().map(|key| (key.public().id(), key.sign(&bytes))).collect();
    let signatures: Vec<Value> =
        signatures.into_iter().map(|(keyid, sig)| json!({ "keyid": keyid, "sig": sig })).collect();
    let whole = json!({ "signed": role, "signatures": signatures });
    let mut out = serde_json::to_vec_pretty(&whole).map_err(|err| Refused::form(kind, err))?;
    out.push(b'\n');
    Ok(out)
}

fn described(version: u64, bytes: &[u8]) -> Value {
    json!({ "version": version, "length": bytes.len(), "hashes": { "sha256": digest(bytes) } })
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The version of a file that a role lists; zero if it lists none.
fn listed(role: &Value, file: &str) -> u64 {
    number(&role["signed"]["meta"][file]["version"])
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}
