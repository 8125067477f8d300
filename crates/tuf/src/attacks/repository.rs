//! Repository: what does a repository say that somebody may have taken over?
//!
//! It is signed with real keys and can be made to lie in any way; what is asked of it is remembered.

use std::collections::BTreeMap;
use std::sync::Mutex;

use directive::record::hex;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Refused};
use crate::metadata::canonical;
use crate::secret::{PublicKey, SecretKey};
use crate::source::Source;

pub(super) fn now() -> Timestamp {
    "2021-04-21T12:00:00Z".parse().unwrap()
}

/// A repository that somebody may have taken over.
pub(super) struct Repository {
    pub(super) root_keys: Vec<SecretKey>,
    pub(super) keys: BTreeMap<&'static str, SecretKey>,
    /// What each role says now.
    pub(super) roles: BTreeMap<&'static str, Value>,
    pub(super) files: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(super) asked: Mutex<Vec<String>>,
    /// Whether digests and lengths of metadata are listed.
    pub(super) is_strict: bool,
}

impl Source for Repository {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        self.asked.lock().unwrap().push(path.to_owned());
        let found = self.files.lock().unwrap().get(path).cloned();
        match found {
            Some(bytes) if bytes.len() as u64 > limit => Err(Refused::TooLong { what: path.to_owned(), limit }.into()),
            found => Ok(found),
        }
    }
}

pub(super) fn key() -> SecretKey {
    SecretKey::generate().unwrap()
}

fn role(keys: &[PublicKey], threshold: u64) -> Value {
    json!({ "keyids": keys.iter().map(PublicKey::id).collect::<Vec<_>>(), "threshold": threshold })
}

pub(super) fn sign(value: &Value, keys: &[&SecretKey]) -> Vec<u8> {
    let bytes = canonical(value).unwrap();
    let signatures: Vec<Value> =
        keys.iter().map(|key| json!({ "keyid": key.public().id(), "sig": key.sign(&bytes) })).collect();
    serde_json::to_vec(&json!({ "signed": value, "signatures": signatures })).unwrap()
}

fn listed(version: u64, bytes: &[u8], is_strict: bool) -> Value {
    match is_strict {
        true => {
            json!({ "version": version, "length": bytes.len(), "hashes": { "sha256": hex(&Sha256::digest(bytes)) } })
        }
        false => json!({ "version": version }),
    }
}

impl Repository {
    pub(super) fn new() -> Self {
        let keys = ["timestamp", "snapshot", "targets"].map(|role| (role, key())).into_iter().collect();
        let expires = "2021-05-01T00:00:00Z";
        let head = |kind: &str| json!({ "_type": kind, "spec_version": "1.0.34", "version": 1, "expires": expires });
        let with = |kind: &str, name: &str, value: Value| {
            let mut role = head(kind);
            role[name] = value;
            role
        };
        let roles = BTreeMap::from([
            ("root", with("root", "consistent_snapshot", json!(true))),
            ("timestamp", with("timestamp", "meta", json!({}))),
            ("snapshot", with("snapshot", "meta", json!({}))),
            ("targets", with("targets", "targets", json!({}))),
        ]);
        let mut repository = Self {
            root_keys: vec![key()],
            keys,
            roles,
            files: Mutex::default(),
            asked: Mutex::default(),
            is_strict: true,
        };
        repository.sign_root(&[]);
        repository.sign_all();
        repository
    }

    pub(super) fn set(&mut self, role: &'static str, field: &str, value: Value) {
        self.roles.get_mut(role).unwrap()[field] = value;
    }

    pub(super) fn version(&self, role: &str) -> u64 {
        self.roles[role]["version"].as_u64().unwrap()
    }

    pub(super) fn put(&self, name: String, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(name, bytes);
    }

    /// Signs the root as it is, with its own keys and `others`.
    pub(super) fn sign_root(&mut self, others: &[&SecretKey]) {
        let public: Vec<PublicKey> = self.root_keys.iter().map(SecretKey::public).collect();
        let mut keys = json!({});
        let all = public.iter().cloned().chain(self.keys.values().map(SecretKey::public));
        all.for_each(|key| keys[key.id()] = key.to_json());
        let mut roles = json!({ "root": role(&public, public.len() as u64) });
        self.keys.iter().for_each(|(name, key)| roles[*name] = role(&[key.public()], 1));
        self.set("root", "keys", keys);
        self.set("root", "roles", roles);
        let by: Vec<&SecretKey> = self.root_keys.iter().chain(others.iter().copied()).collect();
        self.put(format!("{}.root.json", self.version("root")), sign(&self.roles["root"], &by));
    }

    pub(super) fn signed(&self, name: &str) -> Vec<u8> {
        sign(&self.roles[name], &[&self.keys[name]])
    }

    /// Signs targets, snapshot and timestamp, each of which lists the one before.
    pub(super) fn sign_all(&mut self) {
        let targets = self.signed("targets");
        let version = self.version("targets");
        self.put(format!("{version}.targets.json"), targets.clone());
        self.roles.get_mut("snapshot").unwrap()["meta"]["targets.json"] = listed(version, &targets, self.is_strict);
        let snapshot = self.signed("snapshot");
        let version = self.version("snapshot");
        self.put(format!("{version}.snapshot.json"), snapshot.clone());
        self.set("timestamp", "meta", json!({ "snapshot.json": listed(version, &snapshot, self.is_strict) }));
        self.put("timestamp.json".into(), self.signed("timestamp"));
    }

    /// Everything with the next version.
    pub(super) fn bump(&mut self) {
        for role in ["targets", "snapshot", "timestamp"] {
            self.set(role, "version", json!(self.version(role) + 1));
        }
        self.sign_all();
    }

    pub(super) fn add(&mut self, path: &str, bytes: &[u8]) {
        let digest = hex(&Sha256::digest(bytes));
        let target = json!({ "length": bytes.len(), "hashes": { "sha256": digest } });
        self.roles.get_mut("targets").unwrap()["targets"][path] = target;
        let place = match path.rsplit_once('/') {
            Some((folder, name)) => format!("{folder}/{digest}.{name}"),
            None => format!("{digest}.{path}"),
        };
        self.put(place, bytes.to_vec());
    }
}
