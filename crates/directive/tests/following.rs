//! What advisories and the catalogue make of a case: one pack, records in short form, the duty to update.
#![expect(clippy::unwrap_used, reason = "helpers of an integration test")]

use directive::advisory;
use directive::notice::{self, Origin};
use directive::pack::{Files, Pack};
use directive::plan::{Again, plan};
use directive::product::Told;
use directive::record::{
    Affected, Body, Exploited, Fixed, Instance, InstanceState, Notice, Outcome, Record, Status, Step, Version,
};
use directive::state::State;
use jiff::Timestamp;

const DIRECTIVE: &str = r#"
id = "ed-test"
title = "A directive for tests"
zone = "America/New_York"
issuer = { name = "Authority" }

[[document]]
id = "ed-test"
issued = "2021-04-20T00:00:00Z"

[[action]]
id = "3"
title = "Update"
clause = "action 3"
each = "instance"
when = { version = ["affected"], release = true }
instead = ["3.isolate", "3.workaround"]
due = { within = "48h", of = "release" }

[[action]]
id = "3.isolate"
title = "Isolate"
clause = "action 3"
each = "instance"
optional = true

[[action]]
id = "3.workaround"
title = "Work around"
clause = "action 3"
each = "instance"
optional = true

[[action]]
id = "3.incident"
title = "Report the affected version"
clause = "action 3"
each = "instance"
when = { version = ["affected"] }
due = { by = "2021-04-23T17:00[America/New_York]" }

[[action]]
id = "4"
title = "Check every day until there is an update"
clause = "action 4"
each = "instance"
does = "check"
until = { release = true }
due = { every = "24h" }
"#;

const PRODUCT: &str = r#"
name = "Pulse Connect Secure"
vendor = "Pulse Secure"
cpe = ["cpe:2.3:a:pulsesecure:pulse_connect_secure:*:*:*:*:*:*:*:*"]
[[affected]]
from = "9.0R3"
before = "9.1R11.4"
cve = ["CVE-2021-22893"]
[[release]]
version = "9.1R11.4"
released = "2021-05-03T00:00:00Z"
"#;

fn pack() -> Pack {
    let form = "title = \"Form\"\nversion = \"1\"\n";
    let files = [("directive.toml", DIRECTIVE), ("product.toml", PRODUCT), ("report.toml", form), ("SOURCES.md", "")];
    let files: Files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    Pack::parse("ed-test", &files).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An advisory in short form: `SA1/2 >9.0 <9.1R12 fix 9.1R12@2021-08-02T16:00:00Z`.
fn notice(text: &str) -> Notice {
    let mut words = text.split_whitespace();
    let (id, version) = words.next().unwrap().split_once('/').unwrap();
    let (mut affected, mut fixed) = (Vec::new(), Vec::new());
    for word in words {
        if let Some(end) = word.strip_prefix('<') {
            let cve = vec!["CVE-2021-22937".to_owned()];
            affected.push(Affected { before: Some(end.to_owned()), cve, ..Affected::default() });
        } else if let Some((version, released)) = word.split_once('@') {
            fixed.push(Fixed { version: version.to_owned(), released: at(released) });
        }
    }
    Notice {
        provider: "https://psirt.example/provider-metadata.json".into(),
        publisher: "PSIRT".into(),
        advisory: id.into(),
        version: version.into(),
        title: "A vulnerability".into(),
        released: at("2021-08-02T16:00:00Z"),
        updated: at("2021-08-02T16:00:00Z"),
        product: "Pulse Connect Secure".into(),
        scheme: Default::default(),
        backported: false,
        cve: vec!["CVE-2021-22937".into()],
        affected,
        fixed,
        undecided: Vec::new(),
        url: format!("https://psirt.example/{id}.json"),
        listed: None,
        sha256: "0".repeat(64),
        signed_by: "A".repeat(40),
        signed: at("2021-08-02T16:00:00Z"),
    }
}

/// Records in short form, one a line after their time: `version 9.1R11.4`, `done 3`, `advisory SA1/1 <9.1R12`, `kev
/// DAY`.
fn records(pack: &Pack, text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for (n, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let (time, rest) = line.split_once(' ').unwrap();
        let (word, rest) = rest.split_once(' ').unwrap();
        let body = match word {
            "version" => {
                let told = Told {
                    source: "test".into(),
                    version: rest.into(),
                    exact: true,
                    fakeable: true,
                    ..Told::default()
                };
                Body::Instance(Instance {
                    name: "vpn1".into(),
                    product: Some(pack.product.name.clone()),
                    version: Version::from_witnesses(vec![pack.product.witness(&told)]),
                    state: InstanceState::Identified,
                    ..Instance::default()
                })
            }
            "done" | "skipped" => Body::Step(Step {
                step: format!("step {n}"),
                action: format!("ed-test/{rest}"),
                outcome: if word == "done" { Outcome::Done } else { Outcome::Skipped },
                why: "a person did".into(),
                by: Some("J. Doe".into()),
                inputs: Vec::new(),
            }),
            "advisory" => Body::Advisory(notice(rest)),
            "kev" | "own-kev" => Body::Exploited(Exploited {
                cve: if word == "kev" { "CVE-2021-22937" } else { "CVE-2021-22893" }.into(),
                name: "A name".into(),
                added: "2021-08-01".parse().unwrap(),
                due: rest.parse().ok(),
                catalogue: None,
                sha256: "0".repeat(64),
            }),
            _ => panic!("{word}"),
        };
        records.push(Record::stamp("test", n, at(time), Some("vpn1"), body));
    }
    records
}

fn state(text: &str) -> State {
    State::from_records(&records(&pack(), text))
}

/// The duty of an action at a time: `open by ..`, `done`, `-`; and why.
#[track_caller]
fn check_action(action: &str, text: &str, now: &str, expected: &str) -> String {
    let (pack, state) = (pack(), state(text));
    let plan = plan(&pack, &state, at(now), Again::WhenDue);
    let owed = plan.duties.iter().find(|owed| owed.duty.action == format!("ed-test/{action}"));
    let found = owed.map_or("-".to_owned(), |owed| match (owed.duty.done, owed.duty.due) {
        (true, _) => "done".to_owned(),
        (false, due) => format!("open by {}", due.map_or("nobody".to_owned(), |due| due.to_string())),
    });
    let why = owed.map(|owed| owed.duty.why.clone()).unwrap_or_default();
    assert_eq!(found, expected, "{why}");
    why
}

#[track_caller]
fn check(text: &str, expected: &str) -> String {
    check_action("3", text, "2021-09-01T00:00:00Z", expected)
}

const FIXED: &str = "2021-05-04T00:00:00Z version 9.1R11.4\n";
const FIRST: &str = "2021-08-03T00:00:00Z advisory SA1/1 <9.1R12 9.1R12@2021-08-02T16:00:00Z\n";
const SECOND: &str = "2021-08-20T00:00:00Z advisory SA2/1 <9.1R13 9.1R13@2021-08-19T12:00:00Z\n";

#[test]
fn a_fixed_version_that_becomes_affected_is_owed_an_update_by_the_advisorys_own_clock() {
    check(FIXED, "-");
    let why = check(&[FIXED, FIRST].concat(), "open by 2021-08-04T16:00:00Z");
    assert!(
        why.contains("SA1 of PSIRT calls the version affected: 9.1R12 fixes it since 2021-08-02 16:00 UTC"),
        "{why}"
    );
}

#[test]
fn what_was_done_for_an_older_advisory_does_not_do_for_a_newer_one() {
    let done = "2021-08-04T00:00:00Z done 3\n";
    check(&[FIXED, FIRST, done].concat(), "done");
    let updated = "2021-08-04T00:00:00Z version 9.1R12\n";
    check(&[FIXED, FIRST, done, updated].concat(), "-");
    let why = check(&[FIXED, FIRST, done, updated, SECOND].concat(), "open by 2021-08-21T12:00:00Z");
    assert!(why.contains("SA2") && !why.contains("SA1"), "{why}");
    check(&[FIXED, FIRST, done, updated, SECOND, "2021-08-21T00:00:00Z done 3"].concat(), "done");
}

#[test]
fn what_was_decided_or_done_instead_before_does_not_do_for_a_newer_one() {
    for before in ["skipped 3", "done 3.isolate", "done 3.workaround"] {
        let before = format!("2021-08-01T00:00:00Z {before}\n");
        check(&[FIXED, &before, FIRST].concat(), "open by 2021-08-04T16:00:00Z");
    }
    check(&[FIXED, FIRST, "2021-08-04T00:00:00Z done 3.isolate"].concat(), "done");
}

#[test]
fn a_newer_advisory_does_not_stop_the_clock_of_the_directive() {
    let affected = "2021-05-01T00:00:00Z version 9.1R10\n";
    check(affected, "open by 2021-05-05T00:00:00Z");
    check(&[affected, FIRST].concat(), "open by 2021-05-05T00:00:00Z");
}

#[test]
fn an_advisory_that_says_what_the_pack_says_reopens_nothing() {
    let affected = "2021-05-01T00:00:00Z version 9.1R10\n2021-05-04T00:00:00Z done 3\n";
    let same = "2021-08-03T00:00:00Z advisory SA0/1 <9.1R11.4 9.1R11.4@2021-05-03T00:00:00Z\n";
    check(&[affected, same].concat(), "done");
    check(&[affected, FIRST].concat(), "open by 2021-08-04T16:00:00Z");
}

#[test]
fn an_advisory_is_replaced_by_its_newer_version_and_never_by_an_older_one() {
    let taken_back = "2021-08-10T00:00:00Z advisory SA1/2\n";
    check(&[FIXED, FIRST, taken_back].concat(), "-");
    let old_again = "2021-08-11T00:00:00Z advisory SA1/1 <9.1R12 9.1R12@2021-08-02T16:00:00Z\n";
    check(&[FIXED, FIRST, taken_back, old_again].concat(), "-");
    let wider = "2021-08-10T00:00:00Z advisory SA1/2 <9.1R12.1 9.1R12.1@2021-08-09T00:00:00Z\n";
    let updated = "2021-08-04T00:00:00Z version 9.1R12\n2021-08-04T00:00:00Z done 3\n";
    check(&[FIXED, FIRST, updated, wider].concat(), "open by 2021-08-11T00:00:00Z");
    // Published again with other words only: what was done stays done.
    let words = "2021-08-10T00:00:00Z advisory SA1/2 <9.1R12 9.1R12@2021-08-02T16:00:00Z\n";
    check(&[FIXED, FIRST, "2021-08-04T00:00:00Z done 3\n", words].concat(), "done");
}

#[test]
fn the_catalogue_sets_a_day_and_the_earlier_one_counts() {
    let (early, late) = ("2021-08-03T00:00:00Z kev 2021-08-03\n", "2021-08-03T00:00:00Z kev 2021-11-17\n");
    // The end of the day where the pack counts its days.
    let why = check(&[FIXED, FIRST, early].concat(), "open by 2021-08-04T03:59:59Z");
    assert!(why.contains("wants CVE-2021-22937 closed by 2021-08-03") && why.contains("due 2021-08-04 16:00"), "{why}");
    let why = check(&[FIXED, FIRST, late].concat(), "open by 2021-08-04T16:00:00Z");
    assert!(why.contains("wants CVE-2021-22937 closed by 2021-11-17"), "{why}");
    // For what the directive itself is about, too.
    let own = "2021-05-01T00:00:00Z version 9.1R10\n2021-05-01T00:00:00Z own-kev 2021-05-04\n";
    let why = check(own, "open by 2021-05-05T00:00:00Z");
    assert!(why.contains("wants CVE-2021-22893 closed by 2021-05-04"), "{why}");
    check(&own.replace("05-04", "04-23"), "open by 2021-04-24T03:59:59Z");
    // It never says by itself that something is affected, and an entry that is taken back sets no day.
    check(&[FIXED, early].concat(), "-");
    let gone = "2021-08-05T00:00:00Z kev gone\n";
    check(&[FIXED, FIRST, early, gone].concat(), "open by 2021-08-04T16:00:00Z");
}

#[test]
fn an_advisory_without_a_fix_leaves_only_what_is_owed_until_there_is_one() {
    let open = "2021-08-03T00:00:00Z advisory SA1/1 <9.1R12\n";
    check(&[FIXED, open].concat(), "-");
    let now = "2021-09-01T00:00:00Z";
    check_action("4", FIXED, now, "-");
    check_action("4", &[FIXED, open].concat(), now, "open by nobody");
    check_action("4", &[FIXED, FIRST].concat(), now, "-");
}

#[test]
fn a_time_of_the_directive_itself_is_none_for_what_came_later() {
    let (now, done) = ("2021-09-01T00:00:00Z", "2021-05-02T00:00:00Z done 3.incident\n");
    let affected = "2021-05-01T00:00:00Z version 9.1R10\n";
    check_action("3.incident", affected, now, "open by 2021-04-23T21:00:00Z");
    check_action("3.incident", &[affected, done, FIXED].concat(), now, "-");
    check_action("3.incident", &[affected, done, FIXED, FIRST].concat(), now, "open by nobody");
}

#[test]
fn another_provider_replaces_nothing() {
    let (pack, mut records) = (pack(), records(&pack(), &[FIXED, FIRST].concat()));
    let mut forged = notice("SA1/9");
    forged.provider = "https://other.example/provider-metadata.json".into();
    records.push(Record::stamp("forged", 0, at("2021-08-10T00:00:00Z"), None, Body::Advisory(forged)));
    let state = State::from_records(&records);
    assert_eq!(state.instances["vpn1"].instance.version.status, Status::Affected);
    assert_eq!(state.following.notices(&pack.product.name).count(), 2);
}

#[test]
fn a_number_that_distributions_fix_without_changing_it_is_decided_by_no_advisory() {
    let mut records = records(&pack(), FIXED);
    let mut backported = notice("SA1/1 <9.1R12 9.1R12@2021-08-02T16:00:00Z");
    backported.backported = true;
    records.push(Record::stamp("notice", 0, at("2021-08-10T00:00:00Z"), None, Body::Advisory(backported)));
    let version = State::from_records(&records).instances["vpn1"].instance.version.clone();
    assert_eq!(version.status, Status::Unknown);
    assert!(version.witnesses[0].why.contains("a number alone does not decide it"), "{version:?}");
}

#[test]
fn whoever_reads_a_version_reads_it_as_advisories_have_it() {
    let state = state(&[FIXED, FIRST].concat());
    let version = &state.instances["vpn1"].instance.version;
    assert_eq!(version.status, Status::Affected);
    assert!(version.witnesses[0].why.contains("before 9.1R12 (CVE-2021-22937), by SA1 of PSIRT"), "{version:?}");
    assert_eq!(state.instances["vpn1"].recorded().status, Status::Fixed);
    let current = state.current(&pack().product);
    assert_eq!(current.fixing_release(at("2021-09-01T00:00:00Z")).unwrap().version, "9.1R12");
    assert_eq!(current.cves(), ["CVE-2021-22893", "CVE-2021-22937"]);
    // Also what is seen after the advisory came, and what was seen before is the same again when it is taken back.
    let again = self::state(&[FIRST, FIXED, "2021-08-10T00:00:00Z advisory SA1/2\n"].concat());
    assert_eq!(again.instances["vpn1"].instance.version.status, Status::Fixed);
}

/// What an advisory says of the product: affected, fixed, undecided.
#[track_caller]
fn read(tree: &str, status: &str, remedies: &str, expected: &str) {
    let text = format!(
        r#"{{"document": {{"title": "t", "publisher": {{"name": "PSIRT"}}, "tracking": {{"id": "SA1", "version": "1",
        "status": "final", "initial_release_date": "2021-08-02T16:00:00Z",
        "current_release_date": "2021-08-02T16:00:00Z"}}}},
        "product_tree": {tree}, "vulnerabilities": [{{"cve": "CVE-2021-22937", "product_status": {status},
        "remediations": [{remedies}]}}]}}"#
    );
    let origin = Origin {
        provider: "p".into(),
        url: "u".into(),
        listed: None,
        sha256: "0".into(),
        signed_by: "k".into(),
        signed: at("2021-08-02T16:00:00Z"),
    };
    let found = notice::read(&advisory::parse(text.as_bytes()).unwrap(), &pack().product, origin, &[]);
    let range = |one: &Affected| {
        let [from, before, through] =
            [&one.from, &one.before, &one.through].map(|end| end.as_deref().unwrap_or_default());
        format!("{from}..{before}={through}")
    };
    let found = found.map_or("other".to_owned(), |notice| {
        let mut parts: Vec<String> = notice.affected.iter().map(range).collect();
        parts.extend(notice.fixed.iter().map(|fixed| format!("fix {}@{}", fixed.version, fixed.released)));
        parts.extend(notice.undecided);
        parts.join("; ")
    });
    assert_eq!(found, expected);
}

/// A tree with one vendor, one product and some of its versions, `category name id`.
fn tree(vendor: &str, product: &str, versions: &[(&str, &str, &str)]) -> String {
    let version = |(category, name, id): &(&str, &str, &str)| {
        format!(r#"{{"category": "{category}", "name": "{name}", "product": {{"name": "x", "product_id": "{id}"}}}}"#)
    };
    let versions: Vec<String> = versions.iter().map(version).collect();
    format!(
        r#"{{"branches": [{{"category": "vendor", "name": "{vendor}", "branches": [{{"category": "product_name",
        "name": "{product}", "branches": [{}]}}]}}]}}"#,
        versions.join(", ")
    )
}

const OURS: (&str, &str) = ("Pulse Secure", "Pulse Connect Secure");

#[test]
fn an_advisory_is_read_in_terms_of_the_pack() {
    let fix = r#"{"category": "vendor_fix", "details": "d", "date": "2021-08-02T18:00:00Z"}"#;
    let versions = [("product_version_range", "vers:generic/<9.1R12", "a"), ("product_version", "9.1R12", "f")];
    let status = r#"{"known_affected": ["a"], "fixed": ["f"]}"#;
    read(&tree(OURS.0, OURS.1, &versions), status, fix, "..9.1R12=; fix 9.1R12@2021-08-02T18:00:00Z");
    read(
        &tree("pulse-secure", "PULSE Connect secure", &versions),
        status,
        fix,
        "..9.1R12=; fix 9.1R12@2021-08-02T18:00:00Z",
    );
    read(&tree("Other", "Gateway", &versions), status, fix, "other");
    // The fix that nobody lists is where the affected ones end.
    let range = [("product_version_range", "<9.1R12", "a"), ("product_version", "9.1R11.4", "b")];
    let status = r#"{"known_affected": ["a", "b"]}"#;
    read(&tree(OURS.0, OURS.1, &range), status, fix, "..9.1R12=; 9.1R11.4..=9.1R11.4; fix 9.1R12@2021-08-02T18:00:00Z");
}

#[test]
fn what_an_advisory_says_and_nobody_can_compute_with_is_told() {
    let status = r#"{"known_affected": ["a"]}"#;
    let words = [("product_version_range", "all before August", "a")];
    read(
        &tree(OURS.0, OURS.1, &words),
        status,
        "",
        "it calls affected what has no form that can be computed with: all before August",
    );
    let ours = [("product_version", "9.1R11.4", "a")];
    read(&tree("Somebody", OURS.1, &ours), status, "", "x may be the product: neither its CPE nor its vendor says so");
    let open = r#"{"under_investigation": ["a"]}"#;
    read(&tree(OURS.0, OURS.1, &ours), open, "", "the publisher still looks into CVE-2021-22937");
    let fix = r#"{"category": "vendor_fix", "details": "install the latest"}"#;
    read(
        &tree(OURS.0, OURS.1, &ours),
        status,
        fix,
        "9.1R11.4..=9.1R11.4; there is a fix for CVE-2021-22937, and no version of it that can be computed with",
    );
}
