//! Attacks: does each way to show somebody else's bytes, or old ones, end in an error of its own?
//!
//! A repository that can be made to lie in any way, signed with real keys, and the client over it. Names follow
//! specification 1.5.2, "Goals to protect against specific attacks".

// Long because: one test for each attack, over one repository that can lie.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use directive::record::hex;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::client::{Client, Limits, init};
use crate::error::{Error, Refused};
use crate::metadata::canonical;
use crate::packs;
use crate::secret::{PublicKey, SecretKey};
use crate::source::Source;
use sha2::{Digest as _, Sha256};

fn now() -> Timestamp {
    "2021-04-21T12:00:00Z".parse().unwrap()
}

/// A repository that somebody may have taken over.
struct Repository {
    root_keys: Vec<SecretKey>,
    keys: BTreeMap<&'static str, SecretKey>,
    /// What each role says now.
    roles: BTreeMap<&'static str, Value>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
    /// Whether digests and lengths of metadata are listed.
    is_strict: bool,
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

fn key() -> SecretKey {
    SecretKey::generate().unwrap()
}

fn role(keys: &[PublicKey], threshold: u64) -> Value {
    json!({ "keyids": keys.iter().map(PublicKey::id).collect::<Vec<_>>(), "threshold": threshold })
}

fn sign(value: &Value, keys: &[&SecretKey]) -> Vec<u8> {
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
    fn new() -> Self {
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

    fn set(&mut self, role: &'static str, field: &str, value: Value) {
        self.roles.get_mut(role).unwrap()[field] = value;
    }

    fn version(&self, role: &str) -> u64 {
        self.roles[role]["version"].as_u64().unwrap()
    }

    fn put(&self, name: String, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(name, bytes);
    }

    /// Signs the root as it is, with its own keys and `others`.
    fn sign_root(&mut self, others: &[&SecretKey]) {
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

    fn signed(&self, name: &str) -> Vec<u8> {
        sign(&self.roles[name], &[&self.keys[name]])
    }

    /// Signs targets, snapshot and timestamp, each of which lists the one before.
    fn sign_all(&mut self) {
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
    fn bump(&mut self) {
        for role in ["targets", "snapshot", "timestamp"] {
            self.set(role, "version", json!(self.version(role) + 1));
        }
        self.sign_all();
    }

    fn add(&mut self, path: &str, bytes: &[u8]) {
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

/// A client that trusts the first root of a repository.
fn begin(repository: &Repository) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = repository.files.lock().unwrap()["1.root.json"].clone();
    init(dir.path(), &root, now()).unwrap();
    dir
}

/// Refreshes one question after the other, and a copy of the client with two questions at once: both must end alike.
fn at(repository: &Repository, dir: &Path, now: Timestamp) -> Result<(), Error> {
    let copy = tempfile::tempdir().unwrap();
    for entry in dir.read_dir().unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let asked = repository.asked.lock().unwrap().len();
    let at_once = Client::refresh_at_once(repository, copy.path(), now, Limits::default()).map(drop);
    repository.asked.lock().unwrap().truncate(asked);
    let done = Client::refresh(repository, dir, now, Limits::default()).map(drop);
    assert_eq!(format!("{at_once:?}"), format!("{done:?}"));
    done
}

fn refresh(repository: &Repository, dir: &Path) -> Result<(), Error> {
    at(repository, dir, now())
}

#[track_caller]
fn refused(result: Result<(), Error>) -> Refused {
    match result {
        Err(Error::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

/// The version of a role that is trusted.
fn trusted(dir: &Path, role: &str) -> u64 {
    let bytes = std::fs::read(dir.join(format!("{role}.json"))).unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap()["signed"]["version"].as_u64().unwrap()
}

#[test]
fn a_state_without_news_is_told_by_two_questions() {
    let repository = Repository::new();
    let dir = begin(&repository);
    refresh(&repository, dir.path()).unwrap();
    let asked = std::mem::take(&mut *repository.asked.lock().unwrap());
    assert_eq!(asked, ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    refresh(&repository, dir.path()).unwrap();
    assert_eq!(*repository.asked.lock().unwrap(), ["2.root.json", "timestamp.json"]);
}

/// A repository that answers the next root and the timestamp only when both were asked for.
struct Together<'r> {
    repository: &'r Repository,
    waiting: Mutex<usize>,
    came: Condvar,
}

impl Source for Together<'_> {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut waiting = self.waiting.lock().unwrap();
        *waiting += 1;
        self.came.notify_all();
        while *waiting < 2 {
            let (guard, late) = self.came.wait_timeout(waiting, Duration::from_secs(60)).unwrap();
            assert!(!late.timed_out(), "{path} was asked for alone");
            waiting = guard;
        }
        drop(waiting);
        self.repository.fetch(path, limit)
    }
}

#[test]
fn a_state_without_news_is_one_round_trip() {
    let repository = Repository::new();
    let dir = begin(&repository);
    refresh(&repository, dir.path()).unwrap();
    repository.asked.lock().unwrap().clear();
    let together = Together { repository: &repository, waiting: Mutex::new(0), came: Condvar::new() };
    Client::refresh_at_once(&together, dir.path(), now(), Limits::default()).unwrap();
    let mut asked = repository.asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, ["2.root.json", "timestamp.json"]);
}

#[test]
fn arbitrary_software_of_somebody_without_the_keys_is_refused() {
    for name in ["timestamp", "snapshot", "targets"] {
        let mut repository = Repository::new();
        let dir = begin(&repository);
        repository.keys.insert(name, key());
        repository.bump();
        let expected = Refused::Unsigned { role: name.into(), threshold: 1, valid: 0 };
        assert_eq!(refused(refresh(&repository, dir.path())), expected);
    }
}

#[test]
fn a_root_that_its_own_keys_did_not_sign_is_no_beginning() {
    let repository = Repository::new();
    let dir = tempfile::tempdir().unwrap();
    let forged = sign(&repository.roles["root"], &[&key()]);
    let expected = Refused::Unsigned { role: "root".into(), threshold: 1, valid: 0 };
    assert_eq!(refused(init(dir.path(), &forged, now())), expected);
}

#[test]
fn a_rollback_of_the_timestamp_is_refused() {
    let mut repository = Repository::new();
    let dir = begin(&repository);
    repository.bump();
    refresh(&repository, dir.path()).unwrap();
    repository.set("timestamp", "version", json!(1));
    repository.sign_all();
    let expected = Refused::Rollback { role: "timestamp".into(), trusted: 2, offered: 1 };
    assert_eq!(refused(refresh(&repository, dir.path())), expected);
    assert_eq!(trusted(dir.path(), "timestamp"), 2);
}

#[test]
fn a_rollback_of_the_snapshot_or_of_the_list_is_refused_under_a_new_timestamp() {
    for (name, is_strict) in [("snapshot", true), ("snapshot", false), ("targets", true), ("targets", false)] {
        let mut repository = Repository::new();
        repository.is_strict = is_strict;
        let dir = begin(&repository);
        (0..3).for_each(|_| repository.bump());
        refresh(&repository, dir.path()).unwrap();
        repository.bump();
        repository.set(name, "version", json!(2));
        repository.sign_all();
        let expected = Refused::Rollback { role: name.into(), trusted: 4, offered: 2 };
        assert_eq!(refused(refresh(&repository, dir.path())), expected);
        assert_eq!((trusted(dir.path(), "snapshot"), trusted(dir.path(), "targets")), (4, 4));
    }
}

#[test]
fn a_fast_forward_is_recovered_from_by_other_keys() {
    let mut repository = Repository::new();
    let dir = begin(&repository);
    for role in ["targets", "snapshot", "timestamp"] {
        repository.set(role, "version", json!(99_999));
    }
    repository.sign_all();
    refresh(&repository, dir.path()).unwrap();
    repository.keys.insert("snapshot", key());
    repository.keys.insert("timestamp", key());
    for role in ["targets", "snapshot", "timestamp", "root"] {
        repository.set(role, "version", json!(2));
    }
    repository.sign_root(&[]);
    repository.sign_all();
    refresh(&repository, dir.path()).unwrap();
    assert_eq!(["targets", "snapshot", "timestamp"].map(|role| trusted(dir.path(), role)), [2, 2, 2]);
}

#[test]
fn a_freeze_is_refused_once_the_last_word_has_expired() {
    let repository = Repository::new();
    let dir = begin(&repository);
    refresh(&repository, dir.path()).unwrap();
    let since: Timestamp = "2021-05-01T00:00:00Z".parse().unwrap();
    assert!(at(&repository, dir.path(), since - SignedDuration::from_secs(1)).is_ok());
    // The root is asked first: it expired in the same second.
    let expected = Refused::Expired { role: "root".into(), since };
    assert_eq!(refused(at(&repository, dir.path(), since)), expected);
    for name in ["timestamp", "snapshot", "targets"] {
        let mut repository = Repository::new();
        let dir = begin(&repository);
        repository.set(name, "expires", json!("2021-04-20T00:00:00Z"));
        repository.bump();
        let since = "2021-04-20T00:00:00Z".parse().unwrap();
        assert_eq!(refused(refresh(&repository, dir.path())), Refused::Expired { role: name.into(), since });
        assert!(!dir.path().join(format!("{name}.json")).exists(), "what has expired is not kept");
    }
}

#[test]
fn what_was_kept_and_expired_does_not_stand_in_the_way_of_what_is_new() {
    let mut repository = Repository::new();
    let dir = begin(&repository);
    repository.set("root", "expires", json!("2022-05-01T00:00:00Z"));
    repository.set("root", "version", json!(2));
    repository.sign_root(&[]);
    refresh(&repository, dir.path()).unwrap();
    for role in ["targets", "snapshot", "timestamp"] {
        repository.set(role, "expires", json!("2021-08-01T00:00:00Z"));
    }
    repository.bump();
    at(&repository, dir.path(), "2021-06-01T00:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(trusted(dir.path(), "timestamp"), 2);
}

#[test]
fn a_mix_of_two_states_is_refused() {
    // Without digests only the version tells; with them the digest does.
    for is_strict in [false, true] {
        for name in ["snapshot", "targets"] {
            let mut repository = Repository::new();
            repository.is_strict = is_strict;
            let old = repository.files.lock().unwrap()[&format!("1.{name}.json")].clone();
            let dir = begin(&repository);
            repository.bump();
            repository.put(format!("2.{name}.json"), old);
            let refused = refused(refresh(&repository, dir.path()));
            let expected = match is_strict {
                true => Refused::Digest { what: format!("{name}.json") },
                false => Refused::Mixed { role: name.into(), listed: 2, offered: 1 },
            };
            assert!(refused == expected || matches!(refused, Refused::Length { .. }), "{refused:?}");
        }
    }
}

#[test]
fn a_role_that_the_snapshot_drops_is_refused() {
    let mut repository = Repository::new();
    repository.roles.get_mut("snapshot").unwrap()["meta"]["other.json"] = json!({ "version": 1 });
    repository.sign_all();
    let dir = begin(&repository);
    refresh(&repository, dir.path()).unwrap();
    repository.set("snapshot", "meta", json!({}));
    repository.bump();
    assert_eq!(refused(refresh(&repository, dir.path())), Refused::Dropped { file: "other.json".into() });
}

#[test]
fn endless_data_is_cut_off_at_what_is_listed_or_allowed() {
    let mut repository = Repository::new();
    let dir = begin(&repository);
    repository.bump();
    repository.put("2.snapshot.json".into(), vec![b' '; 3_000_000]);
    let length = repository.roles["timestamp"]["meta"]["snapshot.json"]["length"].as_u64().unwrap();
    let expected = Refused::TooLong { what: "2.snapshot.json".into(), limit: length };
    assert_eq!(refused(refresh(&repository, dir.path())), expected);
    repository.put("timestamp.json".into(), vec![b' '; 20_000]);
    let expected = Refused::TooLong { what: "timestamp.json".into(), limit: 16_384 };
    assert_eq!(refused(refresh(&repository, dir.path())), expected);
}

#[test]
fn a_root_comes_by_the_keys_of_the_last_one_and_by_its_own_and_in_order() {
    // Only the old key, only the new one, both, and both with a version that was skipped.
    for (by_old, by_new, version, is_taken) in
        [(true, false, 2, false), (false, true, 2, false), (true, true, 2, true), (true, true, 3, false)]
    {
        let mut repository = Repository::new();
        let dir = begin(&repository);
        let old = std::mem::replace(&mut repository.root_keys, vec![key()]);
        repository.set("root", "version", json!(version));
        repository.sign_root(&[]);
        let mut by: Vec<&SecretKey> = Vec::new();
        by.extend(by_old.then_some(&old[0]));
        by.extend(by_new.then_some(&repository.root_keys[0]));
        repository.put("2.root.json".into(), sign(&repository.roles["root"], &by));
        let result = refresh(&repository, dir.path());
        assert_eq!(result.is_ok(), is_taken, "{result:?}");
        match (is_taken, version) {
            (true, _) => assert_eq!(trusted(dir.path(), "root"), 2),
            (false, 3) => assert_eq!(refused(result), Refused::RootOrder { expected: 2, offered: 3 }),
            _ => assert_eq!(refused(result), Refused::Unsigned { role: "root".into(), threshold: 1, valid: 0 }),
        }
    }
}

#[test]
fn one_key_under_two_names_and_one_signature_twice_are_one() {
    let mut repository = Repository::new();
    let dir = begin(&repository);
    let key = repository.keys["timestamp"].public();
    let again = json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": key.to_string() }, "x": 1 });
    repository.roles.get_mut("root").unwrap()["version"] = json!(2);
    repository.sign_root(&[]);
    let root = repository.roles.get_mut("root").unwrap();
    root["keys"]["ffff"] = again;
    root["roles"]["timestamp"] = json!({ "keyids": [key.id(), "ffff"], "threshold": 2 });
    let bytes = sign(&repository.roles["root"], &[&repository.root_keys[0]]);
    repository.put("2.root.json".into(), bytes);
    let signed = canonical(&repository.roles["timestamp"]).unwrap();
    let sig = repository.keys["timestamp"].sign(&signed);
    let put = |signatures: Value| {
        let whole = json!({ "signed": repository.roles["timestamp"], "signatures": signatures });
        repository.put("timestamp.json".into(), serde_json::to_vec(&whole).unwrap());
    };
    put(json!([{ "keyid": key.id(), "sig": sig }, { "keyid": "ffff", "sig": sig }]));
    let expected = Refused::Unsigned { role: "timestamp".into(), threshold: 2, valid: 1 };
    assert_eq!(refused(refresh(&repository, dir.path())), expected);
    put(json!([{ "keyid": key.id(), "sig": sig }, { "keyid": key.id(), "sig": sig }]));
    assert!(matches!(refused(refresh(&repository, dir.path())), Refused::Form { role, .. } if role == "timestamp"));
}

#[test]
fn a_file_of_other_bytes_is_refused_and_a_path_that_leads_elsewhere_too() {
    let mut repository = Repository::new();
    repository.add("packs/a/directive.toml", b"good");
    repository.add("../evil", b"evil");
    repository.bump();
    let dir = begin(&repository);
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::refresh(&repository, dir.path(), now(), Limits::default()).unwrap();
    assert_eq!(client.read(&repository, "packs/a/directive.toml").unwrap(), b"good");
    let place = format!("packs/a/{}.directive.toml", hex(&Sha256::digest(b"good")));
    for (bytes, expected) in [
        (b"evil".as_slice(), Refused::Digest { what: "packs/a/directive.toml".into() }),
        (b"evi", Refused::Length { what: "packs/a/directive.toml".into() }),
        (b"evil and more", Refused::TooLong { what: place.clone(), limit: 4 }),
    ] {
        repository.put(place.clone(), bytes.to_vec());
        let read = client.read(&repository, "packs/a/directive.toml").map(drop);
        assert_eq!(refused(read), expected);
    }
    let outside = client.download(&repository, "../evil", folder.path()).map(drop);
    assert_eq!(refused(outside), Refused::Path { path: "../evil".into() });
    let nobody = client.read(&repository, "nothing").map(drop);
    assert_eq!(refused(nobody), Refused::Unknown { path: "nothing".into() });
}

#[test]
fn more_packs_than_there_ever_were_and_a_pack_too_large_are_refused_and_nothing_is_written() {
    let mut repository = Repository::new();
    for path in ["packs/a/directive.toml", "packs/a/report.toml", "packs/b/directive.toml"] {
        repository.add(path, b"id = 1");
    }
    repository.bump();
    let (dir, folder) = (begin(&repository), tempfile::tempdir().unwrap());
    let client = Client::refresh(&repository, dir.path(), now(), Limits::default()).unwrap();
    let fetch = |limits| packs::fetch(&client, &repository, folder.path(), limits).map(drop);
    let most = packs::Limits::default();
    assert_eq!(refused(fetch(packs::Limits { packs: 1, ..most })), Refused::TooMany { packs: 2, files: 3 });
    assert_eq!(refused(fetch(packs::Limits { files: 2, ..most })), Refused::TooMany { packs: 2, files: 3 });
    let large = refused(fetch(packs::Limits { bytes: 7, ..most }));
    assert_eq!(large, Refused::TooLong { what: "packs/a/report.toml".into(), limit: 7 });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    fetch(most).unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

proptest::proptest! {
    #[test]
    fn no_metadata_make_us_panic_and_nothing_is_taken_but_what_was_signed(
        name in 0..3_usize, at in 0..2_000_usize, byte: u8,
    ) {
        let repository = Repository::new();
        let file = ["timestamp.json", "1.snapshot.json", "1.targets.json"][name];
        let signed = |bytes: &[u8]| Some(serde_json::from_slice::<Value>(bytes).ok()?["signed"].take());
        let mut bytes = repository.files.lock().unwrap()[file].clone();
        let before = signed(&bytes);
        let at = at % bytes.len();
        bytes[at] = byte;
        let after = signed(&bytes);
        repository.put(file.into(), bytes);
        let dir = begin(&repository);
        proptest::prop_assert!(refresh(&repository, dir.path()).is_err() || after == before, "{file} {at} {byte}");
    }
}
