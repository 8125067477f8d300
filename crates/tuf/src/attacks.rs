//! Attacks: does each way to show somebody else's bytes, or old ones, end in an error of its own?
//!
//! The client over a repository that lies (`repository.rs`). Names follow specification 1.5.2, "Goals to protect
//! against specific attacks".

mod repository;

use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use directive::record::hex;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::{Client, Limits, init};
use crate::error::{Error, Refused};
use crate::metadata::canonical;
use crate::packs;
use crate::secret::SecretKey;
use crate::source::Source;
use repository::{Repository, key, now, sign};

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
