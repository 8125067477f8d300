//! What is owed while a workaround holds, when it stops, expires, or outlives the patch.
#![expect(clippy::unwrap_used, reason = "helpers of an integration test")]

use directive::pack::{Files, Pack};
use directive::plan::{Again, plan};
use directive::record::{
    Body, ChangeStep, Confidence, Instance, InstanceState, Outcome, Proof, Record, Stage, Status, Step, Version,
    Witness,
};
use directive::state::State;
use jiff::Timestamp;

const PACK: &str = r#"
id = "ed-test"
title = "A directive for tests"
zone = "UTC"
issuer = { name = "Authority" }
[[document]]
id = "ed-test"
issued = "2021-04-20T00:00:00Z"
[[action]]
id = "w"
title = "Workaround"
clause = "action w"
each = "instance"
does = "mitigate"
optional = true
[[action]]
id = "update"
title = "Update"
clause = "action update"
each = "instance"
instead = ["w"]
"#;

const PRODUCT: &str = "name = \"Gateway\"\nvendor = \"Example\"\n[[affected]]\nbefore = \"2.0\"\n";

fn pack() -> Pack {
    let form = "title = \"Form\"\nversion = \"1\"\n";
    let files: Files = [("directive.toml", PACK), ("product.toml", PRODUCT), ("report.toml", form), ("SOURCES.md", "")]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .collect();
    Pack::parse("ed-test", &files).unwrap()
}

fn at(text: &str) -> Timestamp {
    format!("2021-04-{text}:00Z").parse().unwrap()
}

fn step(stage: Stage) -> Body {
    Body::Change(ChangeStep {
        change: "11".repeat(32),
        stage,
        what: "apply".into(),
        why: "w".into(),
        action: Some("ed-test/w".into()),
        workaround: Some("ed-test/2104".into()),
        by: Some("J. Doe".into()),
        kept: None,
        expires: Some(at("28T12:00")),
        list: None,
    })
}

fn proof(refused: u64, until: &str) -> Body {
    Body::Proof(Proof {
        change: "11".repeat(32),
        action: Some("ed-test/w".into()),
        holds: refused == 400,
        places: vec!["192.0.2.7:443".into()],
        asked: 400,
        refused,
        leaks: vec![],
        required: 1,
        lost: vec![],
        unasked: vec![],
        until: Some(at(until)),
    })
}

fn instance(status: Status) -> Body {
    let witness = Witness {
        source: "file".into(),
        value: "1.0".into(),
        upstream: "1.0".into(),
        package: None,
        exact: true,
        status,
        fakeable: true,
        confidence: Confidence::default(),
        why: "w".into(),
    };
    Body::Instance(Instance {
        name: "vpn1".into(),
        product: Some("Gateway".into()),
        state: InstanceState::Identified,
        version: Version::from_witnesses(vec![witness]),
        ..Instance::default()
    })
}

/// What is owed at `now`: one line a duty, `action, done or open, why`.
#[track_caller]
fn check(records: &[(&str, Body)], now: &str, expected: &[&str]) {
    let stamped = records.iter().enumerate();
    let records: Vec<Record> =
        stamped.map(|(n, (when, body))| Record::stamp("s", n, at(when), Some("vpn1"), body.clone())).collect();
    let plan = plan(&pack(), &State::from_records(&records), at(now), Again::WhenDue);
    let shown: Vec<String> = plan
        .duties
        .iter()
        .map(|owed| {
            let (name, _) = owed.duty.action.split_at(8);
            assert_eq!(name, "ed-test/");
            let done = if owed.duty.done { "done" } else { "open" };
            format!("{} {done}: {}", &owed.duty.action[8..], owed.duty.why)
        })
        .collect();
    assert_eq!(shown, expected);
    assert!(plan.steps.is_empty(), "a change waits for a person");
}

fn applied() -> Vec<(&'static str, Body)> {
    vec![
        ("21T12:00", instance(Status::Affected)),
        ("21T13:00", step(Stage::Approved)),
        ("21T13:01", step(Stage::Applied)),
        ("21T13:01", proof(400, "22T13:00")),
    ]
}

#[test]
fn a_workaround_that_holds_is_done_and_stands_for_what_it_replaces() {
    check(&applied(), "22T12:00", &["w done: action w", "update done: w was done instead"]);
}

#[test]
fn the_word_of_a_person_does_not_make_it_done() {
    let step = Step {
        step: "s".into(),
        action: "ed-test/w".into(),
        outcome: Outcome::Done,
        why: "imported".into(),
        by: Some("J. Doe".into()),
        inputs: vec![],
    };
    let records = vec![("21T12:00", instance(Status::Affected)), ("21T13:00", Body::Step(step))];
    check(&records, "22T12:00", &["update open: action update"]);
}

#[test]
fn a_workaround_whose_proof_is_too_old_or_does_not_hold_is_owed_again() {
    let old = "w open: its proof counted until 2021-04-22 13:00 UTC: `mitigate prove` asks again";
    check(&applied(), "22T13:00", &[old, "update open: action update"]);
    let mut bypassed = applied();
    bypassed.push(("22T10:00", proof(399, "23T10:00")));
    let why = "w open: the proof of 2021-04-22 10:00 UTC does not hold: 1 requests got through, 0 functions are lost: \
               `mitigate prove` asks again";
    check(&bypassed, "22T12:00", &[why, "update open: action update"]);
    bypassed.push(("22T11:00", proof(400, "23T11:00")));
    check(&bypassed, "22T12:00", &["w done: action w", "update done: w was done instead"]);
}

#[test]
fn of_several_proxies_one_that_does_not_hold_leaves_the_action_owed() {
    let other = |body: Body| match body {
        Body::Change(step) => Body::Change(ChangeStep { change: "22".repeat(32), ..step }),
        Body::Proof(proof) => Body::Proof(Proof { change: "22".repeat(32), ..proof }),
        body => body,
    };
    let mut records = applied();
    records.push(("21T14:00", other(step(Stage::Approved))));
    records.push(("21T14:01", other(step(Stage::Applied))));
    records.push(("21T14:01", other(proof(399, "22T14:00"))));
    let why = "w open: the proof of 2021-04-21 14:01 UTC does not hold: 1 requests got through, 0 functions are lost: \
               `mitigate prove` asks again";
    check(&records, "21T15:00", &[why, "update open: action update"]);
    records.push(("21T16:00", other(proof(400, "22T16:00"))));
    check(&records, "21T17:00", &["w done: action w", "update done: w was done instead"]);
}

#[test]
fn a_proxy_that_was_left_or_put_back_leaves_the_action_of_its_list_owed() {
    let of = |list: &str, change: &str, body: Body| match body {
        Body::Change(step) => {
            Body::Change(ChangeStep { change: change.repeat(32), list: Some(list.repeat(32)), ..step })
        }
        Body::Proof(proof) => Body::Proof(Proof { change: change.repeat(32), ..proof }),
        body => body,
    };
    let mut records = vec![("21T12:00", instance(Status::Affected))];
    for change in ["11", "22"] {
        records.push(("21T13:00", of("aa", change, step(Stage::Approved))));
    }
    records.push(("21T13:01", of("aa", "11", step(Stage::Applied))));
    records.push(("21T13:01", of("aa", "11", proof(400, "22T13:00"))));
    let why = "w open: 1 of the 2 changes that were approved together are not in effect: `mitigate apply` goes on, and \
               a new list says which proxies there are now";
    check(&records, "21T14:00", &[why, "update open: action update"]);
    // The other is carried out too, and put back later.
    let mut both = records.clone();
    both.push(("21T13:30", of("aa", "22", step(Stage::Applied))));
    both.push(("21T13:30", of("aa", "22", proof(400, "22T13:30"))));
    check(&both, "21T14:00", &["w done: action w", "update done: w was done instead"]);
    both.push(("21T15:00", of("aa", "22", step(Stage::Undone))));
    check(&both, "21T16:00", &[why, "update open: action update"]);
    // A new list without it: that proxy is gone.
    both.push(("21T17:00", of("bb", "11", step(Stage::Approved))));
    check(&both, "21T18:00", &["w done: action w", "update done: w was done instead"]);
}

#[test]
fn a_workaround_that_has_expired_is_owed_again_although_it_holds() {
    let mut records = applied();
    records.push(("28T11:00", proof(400, "29T11:00")));
    let why = "w open: the workaround expired on 2021-04-28 12:00 UTC: update, or plan it anew";
    check(&records, "28T12:00", &[why, "update open: action update"]);
}

#[test]
fn a_workaround_that_outlives_the_patch_has_to_go() {
    let mut records = applied();
    records.push(("22T09:00", instance(Status::Fixed)));
    let why = "w open: the version is fixed and the workaround still stands: `mitigate undo` takes it back";
    check(&records, "22T12:00", &[why, "update done: w was done instead"]);
    records.push(("22T10:00", step(Stage::Undone)));
    check(&records, "22T12:00", &["update open: action update"]);
}

#[test]
fn a_change_that_was_cut_off_in_the_middle_is_owed_until_it_is_undone() {
    let mut records = vec![
        ("21T12:00", instance(Status::Affected)),
        ("21T13:00", step(Stage::Approved)),
        ("21T13:01", step(Stage::Begins)),
    ];
    let why = "w open: a change was begun and neither ended nor undone: `mitigate undo` puts everything back";
    check(&records, "21T14:00", &[why, "update open: action update"]);
    records.push(("21T15:00", step(Stage::Undone)));
    check(&records, "21T16:00", &["update open: action update"]);
}

#[test]
fn a_change_that_was_undone_is_owed_no_more_and_counts_for_nothing() {
    let mut records = applied();
    records.push(("21T14:00", step(Stage::Undone)));
    check(&records, "21T15:00", &["update open: action update"]);
}
