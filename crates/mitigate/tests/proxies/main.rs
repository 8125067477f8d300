//! Proxies: does a rule that was planned, applied and proved hold on real proxies before a lenient product?
//!
//! nginx and HAProxy as Debian has them, on loopback, before a product that reads paths as leniently as any and takes
//! them from headers too. It counts what reaches its feature: that is the truth a proof is held against.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "integration tests that run real proxies")]

mod bad;
mod lenient;
mod proxy;
mod remove;
mod rules;
mod sensor;
mod ssh;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use directive::change::{Approved, Change, Kind, Written};
use directive::mitigation::{Mitigation, WRITE};
use directive::pack::Pack;
use directive::record::{ChangeStep, Proof, Stage, hex};
use directive::scope::Scope;
use jiff::Timestamp;
use mitigate::apply::{Error, Journal, JournalError, Worker};
use mitigate::hands::{Hands, Here};
use mitigate::plan::{self, Request};
use sha2::{Digest as _, Sha256};

use self::proxy::Front;

fn pack() -> Pack {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ed-21-03");
    feed::folder::load(&folder).unwrap()
}

fn now() -> Timestamp {
    "2021-04-21T13:00:00Z".parse().unwrap()
}

/// What stands before bytes that a case would encrypt.
const SEAL: &[u8] = b"sealed\n";

/// A case in memory.
#[derive(Default)]
struct Notes {
    steps: Vec<ChangeStep>,
    proofs: Vec<Proof>,
    bytes: BTreeMap<String, Vec<u8>>,
}

impl Journal for Notes {
    fn keep(&mut self, bytes: &[u8]) -> Result<String, JournalError> {
        let digest = hex(&Sha256::digest(bytes));
        self.bytes.insert(digest.clone(), bytes.to_vec());
        Ok(digest)
    }

    fn kept(&mut self, digest: &str) -> Result<Vec<u8>, JournalError> {
        Ok(self.bytes.get(digest).cloned().ok_or("not kept")?)
    }

    fn seal(&mut self, bytes: &[u8]) -> Result<String, JournalError> {
        self.keep(&[SEAL, bytes].concat())
    }

    fn sealed(&mut self, digest: &str) -> Result<Vec<u8>, JournalError> {
        Ok(self.kept(digest)?.strip_prefix(SEAL).ok_or("not sealed")?.to_vec())
    }

    fn step(&mut self, step: ChangeStep) -> Result<(), JournalError> {
        self.steps.push(step);
        Ok(())
    }

    fn proof(&mut self, proof: Proof) -> Result<(), JournalError> {
        self.proofs.push(proof);
        Ok(())
    }

    fn now(&self) -> Timestamp {
        now()
    }
}

impl Notes {
    fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<Stage> = self.steps.iter().map(|step| step.stage).collect();
        stages.retain(|stage| !matches!(stage, Stage::Begins | Stage::Ended));
        stages
    }

    /// What stood where before, as a case tells it.
    fn kept_files(&self) -> Vec<(String, Option<String>)> {
        let begun = self.steps.iter().filter(|step| step.stage == Stage::Begins);
        begun.filter_map(|step| Some((step.what.strip_prefix(WRITE)?.to_owned(), step.kept.clone()))).collect()
    }
}

fn scope(front: &Front) -> Scope {
    let text = format!(
        "organisation = \"Example Agency\"\ncontact = \"soc@agency.example\"\nrate = 5000\n\
         [[instance]]\nname = \"vpn1\"\naddress = \"{}\"\n",
        front.at
    );
    Scope::parse("scope.toml", &text).unwrap()
}

fn planned(front: &Front) -> Result<Change, plan::Error> {
    let pack = pack();
    plan::proxy(&request(front, &pack, front.kind), &scope(front), &Here)
}

fn request<'a>(front: &'a Front, pack: &'a Pack, kind: Kind) -> Request<'a> {
    Request {
        pack,
        workaround: pack.workaround("2104").unwrap(),
        kind,
        instance: "vpn1",
        version: Some("9.1R10"),
        host: "local",
        config: front.config.to_str(),
        pid_file: front.pid_file.to_str(),
        reload: None,
        at: std::slice::from_ref(&front.at),
        name: Some("vpn.agency.example"),
        works: &[],
        drain: 1,
        now: now(),
    }
}

fn approved(change: &Change) -> Approved {
    let written = Written::write(change).unwrap();
    let digest = written.sha256().to_owned();
    written.approve("J. Doe", now(), &digest).unwrap()
}

fn apply(front: &Front, change: &Change, notes: &mut Notes) -> Result<Proof, Error> {
    let scope = scope(front);
    Worker { hands: &Here, journal: notes, scope: &scope, break_lock: false }.apply(&approved(change))
}

fn undo(front: &Front, change: &Change, notes: &mut Notes) -> Result<(), Error> {
    let (scope, kept) = (scope(front), notes.kept_files());
    let written = Written::write(change).unwrap();
    Worker { hands: &Here, journal: notes, scope: &scope, break_lock: false }.undo(&written, "J. Doe", &kept)
}

/// Every file below a folder that a proxy reads, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn holds_on(kind: Kind, tls: bool) {
    let Some(front) = Front::start(kind, tls) else { return };
    let before = files(&front.settings());
    let begin = std::time::Instant::now();
    let change = planned(&front).unwrap();
    let mut notes = Notes::default();
    let proof = apply(&front, &change, &mut notes).unwrap();
    let took = begin.elapsed();
    assert!(proof.holds && proof.leaks.is_empty() && proof.lost.is_empty(), "{proof:?}");
    assert_eq!(proof.asked, proof.refused);
    assert!(proof.asked > 400, "{proof:?}");
    // HTTP/2 is asked inside TLS.
    assert_eq!(proof.unasked.iter().any(|one| one.starts_with("HTTP/2")), !tls, "{proof:?}");
    // The truth: nothing of it reached the feature, whatever the proof says.
    assert_eq!(front.product.reached(), Vec::<String>::new());
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Applied]);
    front.note(&format!("planned, applied and proved in {took:?}: {} requests", proof.asked));
    // A plan for what is there already is refused, and so is an approval used twice.
    assert!(matches!(planned(&front), Err(plan::Error::There { .. })));
    assert!(matches!(apply(&front, &change, &mut notes), Err(Error::Moved { .. })));
    undo(&front, &change, &mut notes).unwrap();
    assert_eq!(files(&front.settings()), before);
    // And then it is open again.
    front.ask("/dana/meeting");
    assert_eq!(front.product.reached().len(), 1);
}

#[test]
fn an_nginx_refuses_every_disguise_and_is_byte_for_byte_as_before_when_undone() {
    holds_on(Kind::Nginx, false);
}

#[test]
fn an_nginx_with_tls_and_http_2_does_too() {
    holds_on(Kind::Nginx, true);
}

#[test]
fn a_haproxy_refuses_every_disguise_and_is_byte_for_byte_as_before_when_undone() {
    holds_on(Kind::Haproxy, false);
}

#[test]
fn a_haproxy_with_tls_and_http_2_does_too() {
    holds_on(Kind::Haproxy, true);
}

/// What a state says of what was recorded.
fn known(notes: &Notes) -> Mitigation {
    use directive::record::{Body, Record};
    let bodies = notes.steps.iter().cloned().map(Body::Change).chain(notes.proofs.iter().cloned().map(Body::Proof));
    let stamped = bodies.enumerate().map(|(n, body)| Record::stamp("s", n, now(), Some("vpn1"), body));
    let records: Vec<Record> = stamped.collect();
    let state = directive::state::State::from_records(&records);
    state.instances["vpn1"].changes.values().next().unwrap().clone()
}

/// The hands of this machine, where one kind of touch fails.
struct Clumsy<F: Fn(&[&str]) -> bool>(F);

impl<F: Fn(&[&str]) -> bool> Hands for Clumsy<F> {
    fn run(&self, words: &[&str], input: &[u8]) -> Result<mitigate::hands::Done, mitigate::hands::Error> {
        if (self.0)(words) {
            return Err(mitigate::hands::Error::Lost { host: "front1".into(), said: "Connection reset".into() });
        }
        Here.run(words, input)
    }
}
