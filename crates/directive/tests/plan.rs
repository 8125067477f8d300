//! What is owed, for tables of cases: one pack, records in short form, the duties expected.
#![expect(clippy::unwrap_used, reason = "helpers of an integration test")]

use directive::pack::{Files, Pack};
use directive::plan::{Again, plan};
use directive::record::{
    Body, Conclusion, Instance, InstanceState, Mark, Opening, Outcome, Owner, Record, Status, Step, Version, Witness,
};
use directive::state::State;
use directive::verdict::Verdict;
use jiff::Timestamp;

const PACK: &str = r#"
id = "ed-test"
title = "A directive for tests"
zone = "America/New_York"
issuer = { name = "Authority" }
closed = { at = "2026-01-08T00:00:00Z", why = "absorbed" }

[[document]]
id = "ed-test"
issued = "2021-04-20T00:00:00Z"
[[document]]
id = "ed-test-v2"
issued = "2021-06-01T00:00:00Z"

[[mark]]
id = "unsupported"
question = "Is the version unsupported?"
each = "instance"

[[action]]
id = "1"
title = "Count"
clause = "action 1"
does = "discover"
due = { by = "2021-04-23T17:00[America/New_York]" }

[[action]]
id = "2.0"
title = "Upgrade first"
clause = "action 2"
each = "instance"
when = { mark = { unsupported = "yes" } }

[[action]]
id = "2"
title = "Check"
clause = "action 2"
each = "instance"
does = "check"
when = { owner = ["agency", "commercial"] }
due = { by = "2021-04-23T17:00[America/New_York]" }

[[action]]
id = "2.a.i"
title = "Check every day"
clause = "action 2.a.i"
each = "instance"
does = "check"
when = { verdict = ["no-evidence-found"] }
until = { version = ["fixed"] }
instead = ["2.a.ii"]
due = { every = "24h", within = "24h", of = "verdict" }

[[action]]
id = "2.a.ii"
title = "Workaround"
clause = "action 2.a.ii"
each = "instance"
optional = true

[[action]]
id = "2.b.i"
title = "Isolate"
clause = "action 2.b.i"
each = "instance"
when = { ever = ["mismatch", "compromised"] }
due = { within = "0h", of = "verdict" }

[[action]]
id = "A.a"
title = "Save the configuration"
clause = "Appendix A a"
each = "instance"
when = { ever = ["mismatch", "compromised"] }
after = ["2.b.i"]

[[action]]
id = "3"
title = "Update"
clause = "action 3"
each = "instance"
when = { version = ["affected"], release = true }
due = { within = "48h", of = "release" }

[[action]]
id = "4"
title = "Report"
clause = "action 4"
due = { by = "2021-04-23T17:00[America/New_York]" }

[[action]]
id = "4.v2"
title = "Report again"
clause = "supplement, action 4"
document = "ed-test-v2"
supersedes = ["4"]
due = { within = "5 days", of = "issued" }
"#;

const PRODUCT: &str = r#"
name = "Gateway"
vendor = "Example"
[[affected]]
before = "9.1R11.4"
[[release]]
version = "9.1R11.4"
released = "2021-05-03T00:00:00Z"
"#;

const FORM: &str = "title = \"Form\"\nversion = \"1\"\n";

fn pack() -> Pack {
    let files: Files = [("directive.toml", PACK), ("product.toml", PRODUCT), ("report.toml", FORM), ("SOURCES.md", "")]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .collect();
    Pack::parse("ed-test", &files).unwrap()
}

#[test]
fn a_check_of_no_instance_is_refused_and_not_called_done() {
    let text = "id = \"x\"\ntitle = \"x\"\nzone = \"UTC\"\nissuer = { name = \"x\" }\n\
        [[document]]\nid = \"x\"\nissued = \"2021-04-20T00:00:00Z\"\n\
        [[action]]\nid = \"1\"\ntitle = \"x\"\nclause = \"x\"\ndoes = \"check\"\n";
    let files: Files = [("directive.toml", text), ("product.toml", PRODUCT), ("report.toml", FORM), ("SOURCES.md", "")]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .collect();
    let shown = Pack::parse("x", &files).unwrap_err().to_string();
    assert!(shown.contains("a check is of one instance"), "{shown}");
}

fn at(text: &str) -> Timestamp {
    if text.len() == 10 { format!("{text}T12:00:00Z").parse().unwrap() } else { text.parse().unwrap() }
}

/// Records in short form, one a line: `DATE what [INSTANCE] [more]`.
fn state(lines: &str) -> State {
    let records = lines.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate().map(|(n, line)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.get(2).copied().filter(|name| *name != "-");
        let body = match words[1] {
            "open" => Body::Case(Opening {
                organisation: "Agency".into(),
                packs: Vec::new(),
                scope_sha256: String::new(),
                clock_offset: 0,
                tool: String::new(),
            }),
            "instance" => Body::Instance(instance(&words)),
            "verdict" => Body::Verdict(Conclusion {
                verdict: serde_json::from_value(words[3].into()).unwrap(),
                reasons: Vec::new(),
                first_sign: None,
                first_sign_by: None,
                accounts: Vec::new(),
            }),
            "mark" => Body::Mark(Mark { mark: words[3].into(), value: words[4].into(), by: "J. Doe".into() }),
            outcome => Body::Step(Step {
                step: n.to_string(),
                action: format!("ed-test/{}", words[3]),
                outcome: serde_json::from_value::<Outcome>(outcome.into()).unwrap(),
                why: "because".into(),
                by: None,
                inputs: Vec::new(),
            }),
        };
        Record::stamp("test", n, at(words[0]), name, body)
    });
    State::from_records(&records.collect::<Vec<_>>())
}

fn instance(words: &[&str]) -> Instance {
    let has = |word: &str| words.contains(&word);
    let status = match (has("affected"), has("fixed")) {
        (true, _) => Status::Affected,
        (_, true) => Status::Fixed,
        _ => Status::Unknown,
    };
    let witness = Witness {
        source: "test".into(),
        value: "9".into(),
        upstream: "9".into(),
        package: None,
        exact: true,
        status,
        fakeable: true,
        confidence: directive::record::Confidence::default(),
        why: String::new(),
    };
    Instance {
        name: words[2].into(),
        has_evidence: has("evidence"),
        version: Version::from_witnesses(vec![witness]),
        owner: match has("federal") {
            true => Owner::ThirdParty { commercial: false, name: String::new() },
            false => Owner::Agency,
        },
        state: if has("other") { InstanceState::AnsweredUnknown } else { InstanceState::Identified },
        ..Instance::default()
    }
}

/// Duties at `now`, one a line: `action instance due|- done|open|late waits-for`.
fn duties(records: &str, now: &str) -> Vec<String> {
    let plan = plan(&pack(), &state(records), at(now), Again::WhenDue);
    plan.duties
        .iter()
        .map(|owed| {
            let duty = &owed.duty;
            let due = duty.due.map_or("-".to_owned(), |due| due.strftime("%Y-%m-%dT%H:%M").to_string());
            let how = if duty.done {
                "done"
            } else if duty.late {
                "late"
            } else {
                "open"
            };
            let waits = serde_json::to_value(duty.waits_for).unwrap();
            let action = duty.action.strip_prefix("ed-test/").unwrap();
            format!("{action} {} {due} {how} {}", owed.instance.as_deref().unwrap_or("-"), waits.as_str().unwrap())
        })
        .collect()
}

#[track_caller]
fn check(records: &str, now: &str, expected: &[&str]) {
    assert_eq!(duties(records, now), expected);
}

#[track_caller]
fn steps(records: &str, now: &str, again: Again, expected: &[&str]) {
    let plan = plan(&pack(), &state(records), at(now), again);
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            format!("{} {}", step.action.strip_prefix("ed-test/").unwrap(), step.instance.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(steps, expected);
}

const COUNTED: &str = "2021-04-20 open\n2021-04-20 done - 1\n";
const REPORT: &str = "4 - 2021-04-23T21:00 open person";
const COUNT_DONE: &str = "1 - - done nobody";

#[test]
fn an_empty_case_owes_a_count_and_a_report() {
    check("2021-04-20 open", "2021-04-21", &["1 - 2021-04-23T21:00 open nobody", REPORT]);
}

#[test]
fn nothing_is_owed_before_the_directive_is_issued() {
    check("", "2021-04-19", &[]);
}

#[test]
fn nothing_is_owed_after_the_directive_is_closed() {
    check("2021-04-20 open", "2026-01-08", &[]);
    let plan = plan(&pack(), &State::default(), at("2026-01-08"), Again::WhenDue);
    assert_eq!(plan.rest.as_deref(), Some("closed on 2026-01-08: absorbed"));
}

#[test]
fn what_is_not_done_in_time_is_late() {
    check(
        "2021-04-20 open",
        "2021-04-23T21:00:01Z",
        &["1 - 2021-04-23T21:00 late nobody", "4 - 2021-04-23T21:00 late person"],
    );
}

#[test]
fn an_instance_with_evidence_is_checked_by_nobody() {
    let records = format!("{COUNTED}2021-04-20 instance vpn1 evidence");
    check(
        &records,
        "2021-04-21",
        &["4 - 2021-04-23T21:00 open person", "2 vpn1 2021-04-23T21:00 open nobody", COUNT_DONE],
    );
    steps(&records, "2021-04-21", Again::WhenDue, &["2 vpn1"]);
}

#[test]
fn an_instance_without_evidence_waits_for_a_person() {
    let records = format!("{COUNTED}2021-04-20 instance vpn3");
    check(&records, "2021-04-21", &[REPORT, "2 vpn3 2021-04-23T21:00 open person", COUNT_DONE]);
    steps(&records, "2021-04-21", Again::Now, &["1 -"]);
}

#[test]
fn another_government_body_reports_for_itself() {
    let records = format!("{COUNTED}2021-04-20 instance vpn4 evidence federal");
    check(&records, "2021-04-21", &[REPORT, COUNT_DONE]);
}

#[test]
fn what_answered_as_another_product_owes_nothing() {
    let records = format!("{COUNTED}2021-04-20 instance web other");
    check(&records, "2021-04-21", &[REPORT, COUNT_DONE]);
}

const CHECKED: &str = "2021-04-20 open\n2021-04-20 done - 1\n2021-04-20 instance vpn1 evidence\n\
    2021-04-21 verdict vpn1 no-evidence-found\n2021-04-21 done vpn1 2\n";

#[test]
fn an_instance_that_shows_nothing_is_checked_again_within_a_day() {
    check(
        CHECKED,
        "2021-04-21",
        &["2.a.i vpn1 2021-04-22T12:00 open nobody", REPORT, COUNT_DONE, "2 vpn1 - done nobody"],
    );
    steps(CHECKED, "2021-04-21", Again::WhenDue, &[]);
    steps(CHECKED, "2021-04-22", Again::WhenDue, &["2.a.i vpn1"]);
}

#[test]
fn a_workaround_ends_the_daily_check() {
    let records = format!("{CHECKED}2021-04-21 done vpn1 2.a.ii");
    check(
        &records,
        "2021-04-23",
        &[REPORT, COUNT_DONE, "2 vpn1 - done nobody", "2.a.i vpn1 - done nobody", "2.a.ii vpn1 - done person"],
    );
}

#[test]
fn a_fixed_version_ends_the_daily_check() {
    let records = format!("{CHECKED}2021-04-21 instance vpn1 evidence fixed");
    check(&records, "2021-04-23", &[REPORT, COUNT_DONE, "2 vpn1 - done nobody"]);
}

#[test]
fn a_mismatch_calls_for_isolation_at_once_and_for_the_appendix_after_it() {
    let records = "2021-04-20 open\n2021-04-20 done - 1\n2021-04-20 instance vpn2 evidence\n\
        2021-04-21 verdict vpn2 mismatch\n2021-04-21 done vpn2 2";
    check(
        records,
        "2021-04-22",
        &[
            "2.b.i vpn2 2021-04-21T12:00 late person",
            REPORT,
            "A.a vpn2 - open person",
            COUNT_DONE,
            "2 vpn2 - done nobody",
        ],
    );
}

#[test]
fn an_instance_that_was_restored_still_owes_what_its_mismatch_called_for() {
    let records = "2021-04-20 open\n2021-04-20 done - 1\n2021-04-20 instance vpn2 evidence\n\
        2021-04-21 verdict vpn2 mismatch\n2021-04-22 verdict vpn2 no-evidence-found\n2021-04-22 done vpn2 2";
    assert!(duties(records, "2021-04-22").contains(&"2.b.i vpn2 2021-04-21T12:00 late person".to_owned()));
}

#[test]
fn an_inconclusive_check_leaves_its_action_open_for_a_person() {
    let records = "2021-04-20 open\n2021-04-20 done - 1\n2021-04-20 instance vpn1 evidence\n\
        2021-04-21 verdict vpn1 inconclusive\n2021-04-21 done vpn1 2";
    check(records, "2021-04-22", &[REPORT, "2 vpn1 2021-04-23T21:00 open person", COUNT_DONE]);
    steps(records, "2021-04-22", Again::WhenDue, &[]);
    steps(records, "2021-04-22", Again::Now, &["1 -", "2 vpn1"]);
}

#[test]
fn a_release_starts_a_clock_of_48_hours_for_affected_instances_only() {
    let records = "2021-04-20 open\n2021-04-20 done - 1\n2021-04-20 done - 4\n\
        2021-04-20 instance old affected federal\n2021-04-20 instance new fixed federal";
    check(records, "2021-05-02", &[COUNT_DONE, "4 - - done person"]);
    check(records, "2021-05-04", &["3 old 2021-05-05T00:00 open person", COUNT_DONE, "4 - - done person"]);
}

#[test]
fn a_supplement_replaces_one_action_and_leaves_the_others() {
    let records = "2021-04-20 open\n2021-04-20 done - 1\n2021-04-20 done - 4";
    check(records, "2021-06-02", &["4.v2 - 2021-06-06T00:00 open person", COUNT_DONE]);
}

#[test]
fn a_statement_by_a_person_meets_a_condition() {
    let records = format!("{COUNTED}2021-04-20 instance vpn4 federal\n2021-04-20 mark vpn4 unsupported yes");
    check(&records, "2021-04-21", &[REPORT, "2.0 vpn4 - open person", COUNT_DONE]);
}

#[test]
fn an_action_that_somebody_decided_not_to_do_is_discharged_with_the_reason() {
    let records = format!("{COUNTED}2021-04-20 instance vpn3\n2021-04-21 skipped vpn3 2");
    assert!(duties(&records, "2021-04-22").contains(&"2 vpn3 - done person".to_owned()));
}

#[test]
fn a_step_that_failed_is_planned_again_under_another_name() {
    let before = format!("{COUNTED}2021-04-20 instance vpn1 evidence");
    let after = format!("{before}\n2021-04-21 failed vpn1 2");
    let id = |records: &str| plan(&pack(), &state(records), at("2021-04-21"), Again::WhenDue).steps[0].id.clone();
    assert_eq!(id(&before), id(&before));
    assert_ne!(id(&before), id(&after));
}

#[test]
fn a_verdict_is_known_by_its_word() {
    assert_eq!(Verdict::NoEvidenceFound.to_string(), "no-evidence-found");
}
