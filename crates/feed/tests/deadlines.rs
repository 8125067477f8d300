//! The shipped directives: does every due time come out as the text says it?

#![expect(clippy::unwrap_used, reason = "an integration test")]

use std::path::Path;

use directive::deadline::Moments;
use feed::folder::load;
use jiff::Timestamp;

/// The due time of an action whose events all happened at `event`.
#[track_caller]
fn due(pack: &str, action: &str, event: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs").join(pack);
    let pack = load(&path).unwrap();
    let event = Some(event.parse::<Timestamp>().unwrap());
    let moments = Moments { issued: event, opened: event, known: event, verdict: event, release: event };
    let action = pack.action(action).unwrap_or_else(|| panic!("there is no action {action}"));
    action.due.next(&moments, pack.calendar(), &[]).map(|due| due.to_string())
}

#[track_caller]
fn check(pack: &str, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (action, expected) = line.split_once(' ').unwrap();
        let expected = Some(expected).filter(|expected| *expected != "-").map(str::to_owned);
        assert_eq!(due(pack, action, "2021-05-03T12:00:00Z"), expected, "{pack}/{action}");
    }
}

#[test]
fn ed_21_03_is_due_at_5_pm_eastern_daylight_time_on_23_april() {
    check(
        "ed-21-03",
        "1 2021-04-23T21:00:00Z
         2 2021-04-23T21:00:00Z
         2.a.i 2021-05-04T12:00:00Z
         2.b.i.isolate 2021-05-03T12:00:00Z
         3 2021-05-05T12:00:00Z
         4 2021-04-23T21:00:00Z
         A.e -",
    );
}

#[test]
fn ed_21_02_is_due_at_noon_in_two_kinds_of_eastern_time() {
    // Noon Eastern Standard Time in March; noon and a minute after midnight Eastern Daylight Time later.
    check(
        "ed-21-02",
        "5 2021-03-05T17:00:00Z
         v1.triage.1 2021-04-05T16:00:00Z
         v1.triage.2 2021-04-05T16:00:00Z
         v1.5 2021-06-28T16:00:00Z
         v1.report.2 2021-06-28T16:00:00Z
         v2.1 2021-04-16T04:01:00Z
         v2.3 2021-04-16T16:00:00Z
         v2.2 -",
    );
}

#[test]
fn ed_21_01_is_due_at_noon_in_winter_and_at_the_end_of_days_in_january() {
    check(
        "ed-21-01",
        "2 2021-05-03T12:00:00Z
         3 2020-12-14T17:00:00Z
         3.look 2020-12-14T17:00:00Z
         5 2020-12-14T17:00:00Z
         v3.report.1 2021-01-20T04:59:59Z
         v3.report.2 2021-01-26T04:59:59Z
         v3.B.7 -
         v4.1 2021-07-16T16:00:00Z",
    );
}

#[test]
fn guidance_v3_of_ed_21_01_takes_the_place_of_action_4() {
    let pack = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ed-21-01")).unwrap();
    let in_force = |at: &str| {
        let actions = pack.in_force(at.parse().unwrap());
        actions.iter().any(|action| action.id.get_ref() == "4.c")
    };
    assert!(in_force("2020-12-20T00:00:00Z"));
    assert!(!in_force("2021-01-07T00:00:00Z"));
}

#[test]
fn the_advice_on_openssh_counts_from_the_opening_of_the_case() {
    check("openssh-cve-2024-6387", "1 2021-05-04T12:00:00Z\n2 2021-05-05T12:00:00Z\n5 2021-05-06T12:00:00Z");
}
