//! The form of records: does every kind of record keep its shape and obey the published schema?
//!
//! `UPDATE_GOLDEN=1 cargo test --release -p directive --test schema` writes both files anew; the
//! difference is reviewed like code, and a change of shape is a changelog line.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "an integration test that reads golden files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use directive::record::*;
use directive::text::Text;
use directive::verdict::Verdict;
use directive::version::Scheme;
use jiff::Timestamp;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

const SCHEMA: &str = "../../docs/record.schema.json";
const GOLDEN: &str = "tests/golden/records.jsonl";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One record of every kind, with every field filled.
fn records() -> Vec<Record> {
    let bodies = vec![
        (None, Body::Case(opening())),
        (Some("vpn1"), Body::Instance(instance())),
        (Some("vpn1"), Body::Finding(finding())),
        (Some("vpn1"), Body::Gap(gap())),
        (Some("vpn1"), Body::Coverage(coverage())),
        (Some("vpn1"), Body::Account(account())),
        (Some("vpn1"), Body::Moment(moment())),
        (None, Body::Ledger(ledger())),
        (Some("vpn1"), Body::Merge(merge())),
        (Some("vpn1"), Body::Verdict(conclusion())),
        (Some("vpn1"), Body::Duty(duty())),
        (Some("vpn1"), Body::Step(step())),
        (
            Some("vpn1"),
            Body::Mark(Mark { mark: "us-cert-ticket".into(), value: "INC0001".into(), by: "J. Doe".into() }),
        ),
        (Some("vpn1"), Body::Change(change())),
        (Some("vpn1"), Body::Proof(proof())),
        (None, Body::Package(package())),
        (None, Body::Attestation(attestation())),
        (None, Body::Submission(submission())),
        (None, Body::Receipt(receipt())),
        (None, Body::Advisory(notice())),
        (None, Body::Exploited(exploited())),
        (None, Body::Look(look())),
        (None, Body::Summary(summary())),
    ];
    let stamped = bodies.into_iter().enumerate();
    stamped.map(|(n, (name, body))| Record::stamp("golden", n, at("2021-04-21T13:00:00Z"), name, body)).collect()
}

fn opening() -> Opening {
    Opening {
        organisation: "Example Agency".into(),
        packs: vec![PackRef { id: "ed-21-03".into(), sha256: "00".repeat(32) }],
        scope_sha256: "11".repeat(32),
        clock_offset: -176_000_000,
        tool: "portcullis 0.1.0".into(),
    }
}

fn instance() -> Instance {
    let witness = Witness {
        source: "file /home/VERSION".into(),
        value: "9.1R10".into(),
        upstream: "9.1R10".into(),
        package: Some("1:9.2p1-2+deb12u3".into()),
        exact: true,
        status: Status::Affected,
        fakeable: true,
        confidence: Confidence::default(),
        why: "in the affected range".into(),
    };
    Instance {
        name: "vpn1".into(),
        addresses: vec!["192.0.2.7:443".into()],
        product: Some("Pulse Connect Secure".into()),
        version: Version::from_witnesses(vec![witness]),
        state: InstanceState::Identified,
        owner: Owner::ThirdParty { commercial: true, name: "Example Hosting".into() },
        has_evidence: true,
        cpe: vec!["cpe:2.3:a:pulsesecure:pulse_connect_secure:9.1r10:*:*:*:*:*:*:*".into()],
        decoy: vec!["it gives its version for a path that does not exist".into()],
        facts: BTreeMap::from([("hardware-model".into(), "PSA5000".into())]),
    }
}

fn finding() -> Finding {
    Finding {
        code: "file-modified".into(),
        severity: Severity::High,
        path: Some(Text::new(&b"/home/bin/x\xff\n\x1b[2J"[..])),
        place: Some("package example".into()),
        why: "its SHA-256 differs".into(),
        evidence: Some(Evidence { sha256: Some("22".repeat(32)), excerpt: Some("#!/bin/sh".into()) }),
        rule: Some("manifest".into()),
        attack: vec!["T1554".into()],
        clause: Some("ED 21-03, required action 2".into()),
        times: [("mtime", at("2021-03-31T00:00:00Z"))].into_iter().collect(),
    }
}

fn gap() -> Gap {
    Gap {
        code: "unreadable".into(),
        path: Some("/home/secret".into()),
        place: Some("folder".into()),
        why: "permission denied".into(),
        required: true,
    }
}

fn coverage() -> Coverage {
    let folder = FolderCoverage {
        folder: "/home".into(),
        files: 300,
        bytes: 1_600_000,
        matched: 295,
        unseen: 1,
        unlisted_programs: 2,
    };
    let generation = InstalledGeneration {
        name: "rollback".into(),
        folder: "/@p2".into(),
        version: Some("9.1R10".into()),
        manifests: vec!["9.1R10.sha256".into()],
        vouched: 290,
    };
    Coverage {
        unlisted_programs: 2,
        generations: vec![generation],
        files: 302,
        bytes: 1_600_000,
        vouched: 295,
        consistent: 0,
        hunted: 0,
        unlisted: 7,
        explained: 1,
        unlisted_executables: 1,
        unseen: 1,
        by_folder: vec![folder],
        logs: vec![reach()],
        running: Some(Running { up: 90_000, services: vec![service()] }),
    }
}

fn service() -> Service {
    Service { at: "tcp 0.0.0.0:443".into(), program: "/home/bin/web".into(), age: 3_600, replaced: false }
}

fn reach() -> LogReach {
    LogReach {
        log: "events".into(),
        path: Text::from("/home/runtime/logs/log.events.vc0"),
        first: Some(at("2021-02-01T00:00:00Z")),
        last: None,
        lines: 18_000,
        strange: 2,
        clock: "zoned".into(),
    }
}

fn account() -> Account {
    Account {
        user: "alice".into(),
        realm: Some("Users".into()),
        kinds: vec![AccountKind::Admin, AccountKind::Local],
        roles: vec!["Staff".into()],
        addresses: vec!["192.0.2.7".into()],
        countries: vec!["CH".into()],
        first: Some(at("2021-03-31T08:00:00Z")),
        last: None,
        logins: 3,
        why: "it logged in after the first sign".into(),
    }
}

fn moment() -> Moment {
    Moment {
        time: at("2021-03-31T08:00:00Z"),
        what: "login".into(),
        why: "Login succeeded".into(),
        path: Some(Text::from("/home/runtime/logs/log.access.vc0")),
        line: Some(17),
        clock: "zoned".into(),
        account: Some("alice".into()),
        address: Some("192.0.2.7".into()),
        code: Some("AUT31504".into()),
        severity: Some(Severity::Medium),
    }
}

fn ledger() -> Ledger {
    Ledger {
        addresses: 1_024,
        answered: 300,
        refused: 200,
        filtered: 24,
        silent: 500,
        not_asked: 0,
        excluded: 1,
        connections: 1_900,
        imported: 7,
        identified: 30,
        packets: 3_100,
        way: Way::Engine { name: "zmap".into(), heard: 300 },
        udp: Some(UdpCount {
            asked: 8,
            answered: 3,
            kinds: BTreeMap::from([("IKEv2".into(), 3)]),
            refused: 1,
            filtered: 1,
            silent: 2,
            not_asked: 1,
        }),
        instances: BTreeMap::from([(InstanceState::Identified, 24), (InstanceState::ThirdParty, 1)]),
        third_parties: vec![ThirdParty { name: "Example Hosting".into(), commercial: true, instances: 1 }],
        unseen: vec!["WireGuard".into()],
        since: Some(Difference {
            new: vec!["vpn1".into()],
            gone: vec!["vpn2".into()],
            changed: vec!["vpn3: 9.1R9 was 9.1R8".into()],
        }),
    }
}

fn merge() -> Merge {
    Merge {
        addresses: vec!["192.0.2.7:443".into(), "192.0.2.8:443".into()],
        reasons: vec!["one SSH host key, SHA256:xyz".into()],
    }
}

fn conclusion() -> Conclusion {
    Conclusion {
        verdict: Verdict::Mismatch,
        reasons: vec!["Files that differ from what was shipped: 1.".into()],
        first_sign: Some(at("2021-03-31T00:00:00Z")),
        first_sign_by: Some("file-modified /home/bin/web, by its `mtime`".into()),
        accounts: vec!["user@realm".into()],
    }
}

fn duty() -> Duty {
    Duty {
        action: "ed-21-03/2.b.i.isolate".into(),
        title: "Isolate the appliance".into(),
        due: Some(at("2021-04-21T13:00:00Z")),
        why: "ED 21-03, required action 2.b.i".into(),
        waits_for: WaitsFor::Person,
        done: false,
        late: true,
        after: vec!["2".into()],
    }
}

fn step() -> Step {
    Step {
        step: "0123456789abcdef".into(),
        action: "ed-21-03/2".into(),
        outcome: Outcome::Done,
        why: "it waits for nobody".into(),
        by: Some("J. Doe".into()),
        inputs: vec!["33".repeat(32)],
    }
}

fn change() -> ChangeStep {
    ChangeStep {
        change: "44".repeat(32),
        stage: Stage::Begins,
        what: "write /etc/nginx/nginx.conf".into(),
        why: "it is approved".into(),
        action: Some("ed-21-03/2.a.ii".into()),
        workaround: Some("ed-21-03/2104".into()),
        by: Some("J. Doe".into()),
        kept: Some("55".repeat(32)),
        expires: Some(at("2021-05-21T13:00:00Z")),
        list: None,
    }
}

fn proof() -> Proof {
    Proof {
        change: "44".repeat(32),
        action: Some("ed-21-03/2.a.ii".into()),
        holds: false,
        places: vec!["192.0.2.7:443".into()],
        asked: 400,
        refused: 399,
        leaks: vec!["//dana/meeting (repeated slash) at 192.0.2.7:443: status 200".into()],
        required: 11,
        lost: vec!["/login: status 403".into()],
        unasked: vec!["HTTP/2: it is not spoken there".into()],
        until: Some(at("2021-04-22T13:00:00Z")),
    }
}

fn attestation() -> Attestation {
    Attestation {
        directive: "ed-21-03".into(),
        pack_sha256: "44".repeat(32),
        report_sha256: "55".repeat(32),
        as_of: at("2021-04-22T00:00:00Z"),
        officer: "J. Doe".into(),
        role: "Chief Information Officer".into(),
        complete: true,
        replaces: Some("66".repeat(32)),
        fingerprint: "SHA256:abc".into(),
        statement: "portcullis-attestation 1\n".into(),
        signature: "-----BEGIN SSH SIGNATURE-----\n".into(),
    }
}

fn submission() -> Submission {
    Submission {
        directive: "ed-21-03".into(),
        report_sha256: "55".repeat(32),
        way: SubmissionWay::Server,
        to: "https://reports.authority.example".into(),
    }
}

fn package() -> Package {
    Package {
        file: "openssh-server_9.2p1-2+deb12u3_amd64.deb".into(),
        sha256: "44".repeat(32),
        bytes: 456_000,
        verified: true,
        why: "signed".into(),
        name: Some("openssh-server".into()),
        version: Some("1:9.2p1-2+deb12u3".into()),
    }
}

fn receipt() -> Receipt {
    Receipt {
        directive: "ed-21-03".into(),
        report_sha256: "55".repeat(32),
        authority: "Example Authority".into(),
        version: 2,
        received: at("2021-04-23T20:00:00Z"),
        due: Some(at("2021-04-23T21:00:00Z")),
        late: false,
        fingerprint: "SHA256:def".into(),
        statement: "portcullis-receipt 1\n".into(),
        signature: "-----BEGIN SSH SIGNATURE-----\n".into(),
    }
}

fn notice() -> Notice {
    Notice {
        provider: "https://psirt.example/provider-metadata.json".into(),
        publisher: "Example PSIRT".into(),
        advisory: "SA44858".into(),
        version: "2".into(),
        title: "Several vulnerabilities".into(),
        released: at("2021-08-02T16:00:00Z"),
        updated: at("2021-08-10T16:00:00Z"),
        product: "Pulse Connect Secure".into(),
        scheme: Scheme::Segments,
        backported: false,
        cve: vec!["CVE-2021-22937".into()],
        affected: vec![Affected {
            from: Some("9.1R1".into()),
            before: Some("9.1R12".into()),
            through: None,
            cve: vec!["CVE-2021-22937".into()],
        }],
        fixed: vec![Fixed { version: "9.1R12".into(), released: at("2021-08-02T16:00:00Z") }],
        undecided: vec!["the publisher still looks into CVE-2021-22938".into()],
        url: "https://psirt.example/white/2021/sa44858.json".into(),
        listed: Some(at("2021-08-10T16:00:00Z")),
        sha256: "07".repeat(32),
        signed_by: "AB".repeat(20),
        signed: at("2021-08-10T16:00:00Z"),
    }
}

fn exploited() -> Exploited {
    Exploited {
        cve: "CVE-2021-22937".into(),
        name: "Unrestricted file upload".into(),
        added: "2021-11-03".parse().unwrap(),
        due: "2021-11-17".parse().ok(),
        catalogue: Some(at("2021-11-03T00:00:00Z")),
        sha256: "08".repeat(32),
    }
}

fn look() -> Look {
    Look {
        provider: "https://psirt.example/provider-metadata.json".into(),
        until: at("2021-08-10T16:00:00Z"),
        again: vec!["https://psirt.example/white/2021/sa44860.json".into()],
        gaps: vec![gap()],
    }
}

fn summary() -> Summary {
    Summary {
        findings: 1,
        gaps: 1,
        verdicts: BTreeMap::from([(Verdict::Mismatch, 1), (Verdict::NoEvidenceFound, 2)]),
        duties: DutyCount { open: 19, late: 1 },
        exit: 1,
    }
}

/// Compares with a golden file, or writes it.
#[track_caller]
fn golden(name: &str, now: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(name), now).unwrap();
    }
    let then = fs::read_to_string(path(name)).unwrap_or_default();
    assert!(then == now, "{name} is not what the code makes; see the head of this file for how to write it anew");
}

fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Record);
    schema.insert("title".into(), "A record of Portcullis".into());
    serde_json::to_value(schema).unwrap()
}

/// With its keys in order: whether `serde_json` keeps theirs depends on what else is built.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(object) => {
            let in_order: BTreeMap<_, _> = object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            in_order.into_iter().collect()
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[test]
fn the_published_schema_is_the_one_of_the_code() {
    golden(SCHEMA, &(serde_json::to_string_pretty(&sorted(schema())).unwrap() + "\n"));
}

#[test]
fn every_kind_of_record_keeps_its_shape() {
    let lines: String = records().iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
    golden(GOLDEN, &lines);
}

#[test]
fn every_kind_of_record_reads_back_as_it_was() {
    let lines = fs::read_to_string(path(GOLDEN)).unwrap();
    let read: Vec<Record> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, records());
}

#[test]
fn every_kind_of_record_obeys_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for record in records() {
        let json = serde_json::to_value(&record).unwrap();
        let errors: Vec<_> = validator.iter_errors(&json).map(|err| err.to_string()).collect();
        assert!(errors.is_empty(), "{json}: {errors:?}");
    }
}

#[test]
fn what_is_no_record_does_not_obey_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for line in [r#"{"v":1}"#, r#"{"v":1,"type":"gap","id":"x","at":"2021-04-21T13:00:00Z"}"#] {
        assert!(!validator.is_valid(&serde_json::from_str(line).unwrap()), "{line}");
    }
}
