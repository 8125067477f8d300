//! Versions: can a report that was taken be replaced, repeated or come late, without anybody noticing?

use attest::sha256;

use crate::{Authority, word};

#[test]
fn a_second_report_is_a_second_version_that_names_the_first() {
    let authority = Authority::new();
    let (first, second) = (authority.report(1, "first"), authority.report(1, "second"));
    let one = authority.submit(&first, None).unwrap();
    let refused = authority.submit(&second, None).unwrap_err();
    assert_eq!((refused.status, word(&refused)), (409, "replaces"));
    assert_eq!(refused.latest.as_deref(), Some(one.report_sha256.as_str()));
    let two = authority.submit(&second, Some(&one.report_sha256)).unwrap();
    assert_eq!((two.version, two.replaces.as_deref()), (2, Some(one.report_sha256.as_str())));
    let listed = authority.client(&authority.token).list().unwrap().reports;
    let versions: Vec<_> = listed.iter().map(|report| (report.version, report.sha256.clone())).collect();
    assert_eq!(versions, [(1, one.report_sha256), (2, two.report_sha256)]);
}

#[test]
fn a_report_that_replaces_what_was_never_taken_is_refused() {
    let authority = Authority::new();
    let refused = authority.submit(&authority.report(1, ""), Some(&sha256(b"nothing"))).unwrap_err();
    assert_eq!((refused.status, word(&refused), &refused.latest), (409, "replaces", &None));
}

#[test]
fn whoever_repeats_a_report_gets_the_receipt_of_then_and_changes_nothing() {
    let authority = Authority::new();
    let (first, second) = (authority.report(1, "first"), authority.report(1, "second"));
    let one = authority.submit(&first, None).unwrap();
    authority.set_clock("2021-04-24T20:00:00Z");
    assert_eq!(authority.submit(&first, None).unwrap(), one, "the answer was lost, and the report sent again");
    let two = authority.submit(&second, Some(&one.report_sha256)).unwrap();
    // Somebody recorded the first report and plays it back.
    assert_eq!(authority.submit(&first, None).unwrap(), one);
    let listed = authority.client(&authority.token).list().unwrap().reports;
    assert_eq!(listed.last().unwrap().sha256, two.report_sha256);
    assert_eq!(listed.len(), 2);
}

#[test]
fn a_report_is_late_by_the_authoritys_clock_and_by_no_other() {
    let authority = Authority::new();
    authority.set_clock("2021-04-23T21:00:00Z");
    let one = authority.submit(&authority.report(1, "first"), None).unwrap();
    assert!(!one.late(), "to the second it is in time");
    authority.set_clock("2021-04-23T21:00:01Z");
    let two = authority.submit(&authority.report(1, "second"), Some(&one.report_sha256)).unwrap();
    assert!(two.late());
    let listed = authority.client(&authority.token).list().unwrap().reports;
    assert_eq!(listed.iter().map(|report| report.late).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn two_that_come_at_once_do_not_become_one_version() {
    let authority = Authority::new();
    let reports = ["first", "second", "third"].map(|comment| authority.report(1, comment));
    let taken: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = reports.iter().map(|report| scope.spawn(|| authority.submit(report, None))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().filter(|one| one.is_ok()).count(), 1, "only one of them can be the first: {taken:?}");
    assert_eq!(authority.client(&authority.token).list().unwrap().reports.len(), 1);
}
