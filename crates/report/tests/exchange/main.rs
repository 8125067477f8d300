//! Exchange: do other programs take what a report says, and does it say no more than the case?
//!
//! STIX and CSAF, each before the public validator of its format, and the report and the incident before the schemas
//! that are published with them. The validators are put below `target/validators` by `ci/validators.sh`; without them
//! the tests that ask them end, except in CI.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "integration tests that run validators")]
#![expect(clippy::print_stderr, reason = "says what is skipped")]

mod csaf;
mod incident;
mod json;
mod stix;

use std::path::{Path, PathBuf};
use std::process::Command;

use directive::pack::{Files, Pack};
use directive::plan::{Again, plan};
use directive::record::*;
use directive::state::State;
use directive::text::Text;
use directive::verdict::Verdict;
use jiff::Timestamp;
use report::{Built, Report};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the validators lie, if they do.
fn validator(path: &str) -> Option<PathBuf> {
    let path = root().join("target/validators").join(path);
    let here = path.exists();
    assert!(here || std::env::var_os("CI").is_none(), "{} is not there, and CI must ask it", path.display());
    if !here {
        eprintln!("SKIPPED: {} is not there; ci/validators.sh brings it", path.display());
    }
    here.then_some(path)
}

/// What a validator says of a text, and whether it takes it.
fn ask(command: &mut Command, text: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("asked.json");
    std::fs::write(&file, text).unwrap();
    let output = command.arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

/// A pack with all its files.
fn pack(id: &str) -> Pack {
    fn read(folder: &Path, below: &str, files: &mut Files) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => read(&entry.path(), &format!("{name}/"), files),
                false => drop(files.insert(name, std::fs::read(entry.path()).unwrap())),
            }
        }
    }
    let mut files = Files::new();
    read(&root().join("packs").join(id), "", &mut files);
    Pack::parse(id, &files).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What a hostile instance may be called, or write into its logs.
const HOSTILE: &str = "=cmd|' /C calc'!A0\n\u{202e}東京\u{1b}[2J\",\"x\":\"";

/// A case with one of everything.
struct Told {
    pack: Pack,
    records: Vec<Record>,
    at: Timestamp,
}

impl Told {
    fn new(exercise: bool) -> Self {
        Self::under("ed-21-03", exercise)
    }

    fn under(id: &str, exercise: bool) -> Self {
        let at = at("2021-04-21T13:00:00Z");
        let mut told = Self { pack: pack(id), records: Vec::new(), at };
        let reference = told.pack.reference();
        told.say(
            None,
            Body::Case(Opening {
                organisation: "Example Agency".into(),
                packs: vec![reference],
                scope_sha256: "1".repeat(64),
                clock_offset: if exercise { -1 } else { 0 },
                tool: "portcullis test".into(),
            }),
        );
        told.say(None, Body::Ledger(Ledger::default()));
        told
    }

    fn say(&mut self, instance: Option<&str>, body: Body) {
        let n = self.records.len();
        self.records.push(Record::stamp("test", n, self.at, instance, body));
    }

    fn instance(&mut self, name: &str, version: &str, status: Status, addresses: &[&str]) {
        let witness = Witness {
            source: "file /home/VERSION".into(),
            value: version.into(),
            upstream: version.into(),
            package: None,
            exact: true,
            status,
            fakeable: true,
            confidence: Confidence::default(),
            why: "in a test".into(),
        };
        let witnesses = if version.is_empty() { Vec::new() } else { vec![witness] };
        self.say(
            None,
            Body::Instance(Instance {
                name: name.into(),
                addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
                product: Some(self.pack.product.name.clone()),
                version: Version::from_witnesses(witnesses),
                state: InstanceState::Identified,
                has_evidence: true,
                cpe: vec![format!(
                    "cpe:2.3:a:pulsesecure:pulse_connect_secure:{}:*:*:*:*:*:*:*",
                    version.to_lowercase()
                )],
                ..Instance::default()
            }),
        );
    }

    fn finding(&mut self, instance: &str, code: &str, path: &[u8], rule: &str, digest: &str) {
        let finding = Finding {
            code: code.into(),
            severity: Severity::Critical,
            path: (!path.is_empty()).then(|| Text::new(path)),
            place: path.is_empty().then(|| "192.0.2.66".to_owned()),
            why: format!("it is {HOSTILE}"),
            evidence: Some(Evidence { sha256: Some(digest.into()), excerpt: Some(HOSTILE.into()) }),
            rule: (!rule.is_empty()).then(|| rule.to_owned()),
            attack: vec!["T1505.003".into()],
            clause: Some("ED 21-03, required action 2".into()),
            times: [("mtime", at("2021-03-31T00:00:00Z"))].into_iter().collect(),
        };
        self.say(Some(instance), Body::Finding(finding));
    }

    fn verdict(&mut self, instance: &str, verdict: Verdict) {
        let bad = verdict == Verdict::Compromised;
        self.say(
            Some(instance),
            Body::Verdict(Conclusion {
                verdict,
                reasons: vec![format!("A reason with {HOSTILE}.")],
                first_sign: bad.then(|| at("2021-03-31T00:00:00Z")),
                first_sign_by: bad.then(|| "file-modified /home/bin/web".into()),
                accounts: if bad { vec!["Users\\alice".into()] } else { Vec::new() },
            }),
        );
    }

    fn report(&self, pack: &Pack) -> Report {
        let state = State::from_records(&self.records);
        let at = at("2021-04-22T00:00:00Z");
        let plan = plan(pack, &state, at, Again::WhenDue);
        let records = i64::try_from(self.records.len()).unwrap();
        let built = Built { at, records, head: "ab".repeat(32), tool: "portcullis 0.1.0".into() };
        Report::build(pack, &state, &plan, built)
    }
}

/// Three instances: one in an intruder's hand, one fixed, one of which nobody knows the version.
fn told(exercise: bool) -> Told {
    told_under("ed-21-03", exercise)
}

fn told_under(id: &str, exercise: bool) -> Told {
    let mut told = Told::under(id, exercise);
    told.instance("vpn1", "9.1R10", Status::Affected, &["192.0.2.7:443", "[2001:db8::7]:443", "vpn.example.org:443"]);
    told.instance("vpn2", "9.1R11.4", Status::Fixed, &["192.0.2.8:443"]);
    told.instance(HOSTILE, "", Status::Unknown, &[]);
    told.instance("old", "9.0R2", Status::Affected, &["192.0.2.9:443"]);
    let digest = "e9df4e13131c95c75ca41a95e08599b3d480e5e7a7922ff0a3fa00bef3bd6561";
    let auth = b"/home/webserver/htdocs/dana-na/auth/login.cgi";
    told.finding("vpn1", "indicator-match", auth, "indicator--a87fdb8e-62e6-5870-9a8b-6dfde4954207", digest);
    let file = told.pack.hunting.yara.keys().next().cloned().unwrap_or_default();
    let yara = format!("{file}:some_rule");
    told.finding("vpn1", "rule-match", b"/home/bin/x\xff\n", &yara, &"2".repeat(64));
    told.finding("vpn1", "sigma-match", b"", "be510cd0-801e-5b48-92dd-8035d1c06187", &"3".repeat(64));
    told.finding("vpn1", "file-modified", b"/home/bin/web", "manifest", &"4".repeat(64));
    told.say(
        Some("vpn1"),
        Body::Account(Account {
            user: "alice".into(),
            realm: Some("Users".into()),
            kinds: vec![AccountKind::User],
            roles: Vec::new(),
            addresses: vec!["198.51.100.9".into()],
            countries: Vec::new(),
            first: Some(at("2021-04-01T00:00:00Z")),
            last: None,
            logins: 3,
            why: "it logged in after the first sign".into(),
        }),
    );
    told.say(
        Some("vpn1"),
        Body::Gap(Gap {
            code: "unreadable".into(),
            path: Some("/home/secret".into()),
            place: None,
            why: "permission denied".into(),
            required: true,
        }),
    );
    told.say(
        Some("vpn1"),
        Body::Coverage(Coverage { files: 302, bytes: 1_600_000, vouched: 295, ..Coverage::default() }),
    );
    told.verdict("vpn1", Verdict::Compromised);
    told.verdict("vpn2", Verdict::NoEvidenceFound);
    told
}

/// With its keys in order: whether `serde_json` keeps theirs depends on what else is built.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let in_order: std::collections::BTreeMap<_, _> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            in_order.into_iter().collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Holds a published schema against the one of the code; `UPDATE_GOLDEN=1` writes it anew.
#[track_caller]
fn golden(path: &str, schema: &Value) {
    let now = serde_json::to_string_pretty(schema).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(root().join(path), &now).unwrap();
    }
    assert!(std::fs::read_to_string(root().join(path)).unwrap_or_default() == now, "{path} is not what the code makes");
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
