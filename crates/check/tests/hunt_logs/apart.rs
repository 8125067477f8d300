//! Apart: is an account told that logged in from two places too far apart, and one that travelled not?

use check::Outcome;
use directive::record::{Finding, Severity};
use directive::verdict::Verdict;

use super::{Given, check, folder, login};

/// Where addresses for documentation are said to be: 198.51.100.0/24 Berlin, 198.51.101.0/24 Paris, 203.0.113.0/25 New
/// York, 203.0.113.128/25 somewhere in the United States, 192.0.2.0/25 Switzerland, 192.0.2.128/25 Austria.
const PLACES: &[u8] = include_bytes!("fixtures/places.mmdb");

/// Checks an instance with these logins of `alice`, each as time and address.
fn check_logins(logins: &[(&str, &str)], geo: Option<&[u8]>) -> Outcome {
    let text: String =
        logins.iter().map(|(time, address)| login(&format!("08T{time}"), "alice", "Users", "Staff", address)).collect();
    check(folder(&[("logs/events", text.as_bytes())]).path(), &Given { geo, ..Given::default() })
}

fn apart(outcome: &Outcome) -> Vec<&Finding> {
    outcome.findings.iter().filter(|finding| finding.code == "sessions-apart").collect()
}

/// Whether these logins are told, with a database.
#[track_caller]
fn is_told(logins: &[(&str, &str)], expected: bool) {
    let outcome = check_logins(logins, Some(PLACES));
    assert_eq!(!apart(&outcome).is_empty(), expected, "{logins:?}: {:?}", apart(&outcome));
}

#[test]
fn an_account_that_was_in_berlin_and_half_an_hour_later_in_new_york_is_told() {
    let outcome = check_logins(&[("10:00:00", "198.51.100.7"), ("10:30:00", "203.0.113.7")], Some(PLACES));
    let [finding] = apart(&outcome)[..] else { panic!("{:?}", outcome.findings) };
    assert_eq!((finding.severity, finding.place.as_deref()), (Severity::Low, Some("Users\\alice")));
    assert_eq!(finding.times.get("event").unwrap().to_string(), "2021-04-08T10:30:00Z");
    for word in ["198.51.100.7 (DE)", "203.0.113.7 (US)", "km at least, 30 minutes later", "Documentation-City of 2021"]
    {
        assert!(finding.why.contains(word), "{}", finding.why);
    }
    // A VPN of his own looks alike: it is told, and is no verdict and no first sign alone.
    assert_eq!((outcome.conclusion.verdict, outcome.conclusion.first_sign), (Verdict::NoEvidenceFound, None));
    assert!(outcome.timeline.iter().any(|moment| moment.what == "sessions-apart"));
}

#[test]
fn an_administrator_in_two_places_is_somebody_to_ask_and_a_first_sign() {
    let text = login("08T10:00:00", "root2", "Admin Users", ".Administrators", "198.51.100.7")
        + &login("08T10:30:00", "root2", "Admin Users", ".Administrators", "203.0.113.7");
    let dir = folder(&[("logs/events", text.as_bytes())]);
    let outcome = check(dir.path(), &Given { geo: Some(PLACES), ..Given::default() });
    assert_eq!(apart(&outcome)[0].severity, Severity::Medium);
    assert_eq!(outcome.conclusion.verdict, Verdict::Mismatch);
    assert_eq!(outcome.conclusion.first_sign.unwrap().to_string(), "2021-04-08T10:30:00Z");
    assert_eq!(outcome.conclusion.accounts, ["Admin Users\\root2"]);
    assert_eq!(outcome.accounts[0].countries, ["US"]);
}

#[test]
fn whoever_had_the_time_to_travel_or_came_from_no_place_is_not_told() {
    is_told(&[("02:00:00", "198.51.100.7"), ("11:30:00", "203.0.113.7")], false);
    is_told(&[("10:00:00", "198.51.100.7"), ("11:00:00", "198.51.101.7")], false);
    is_told(&[("10:00:00", "198.51.100.7"), ("10:40:00", "198.51.101.7")], true);
    is_told(&[("10:00:00", "198.51.100.7"), ("10:00:00", "203.0.113.7")], true);
    // A place that is as wide as a country is near to everything.
    is_told(&[("10:00:00", "198.51.100.7"), ("10:30:00", "203.0.113.200")], false);
    for inside in ["10.1.2.3", "127.0.0.1", "169.254.1.1", "100.64.0.9", "fd00::1", "fe80::1"] {
        is_told(&[("10:00:00", "198.51.100.7"), ("10:10:00", inside), ("10:20:00", "198.51.100.9")], false);
    }
    is_told(&[("10:00:00", "198.51.100.7"), ("10:10:00", "10.1.2.3"), ("10:20:00", "203.0.113.7")], true);
}

#[test]
fn two_countries_tell_within_two_hours_where_no_more_is_known() {
    is_told(&[("10:00:00", "192.0.2.1"), ("11:59:00", "192.0.2.200")], true);
    is_told(&[("10:00:00", "192.0.2.1"), ("12:00:00", "192.0.2.200")], false);
    is_told(&[("10:00:00", "192.0.2.1"), ("10:10:00", "192.0.2.2")], false);
    is_told(&[("10:00:00", "198.51.100.7"), ("10:10:00", "192.0.2.2")], true);
}

#[test]
fn without_a_database_networks_that_alternate_are_told_as_no_more_than_that() {
    let back_and_forth = [("10:00:00", "198.51.100.7"), ("10:20:00", "203.0.113.7"), ("10:59:00", "198.51.101.9")];
    let outcome = check_logins(&back_and_forth, None);
    let [finding] = apart(&outcome)[..] else { panic!("{:?}", outcome.findings) };
    assert_eq!(finding.severity, Severity::Info);
    for word in ["198.51.0.0/16", "203.0.0.0/16", "by network alone", "--geo"] {
        assert!(finding.why.contains(word), "{}", finding.why);
    }
    assert_eq!(apart(&check_logins(&back_and_forth[..2], None)).len(), 0);
    let slow = [("10:00:00", "198.51.100.7"), ("10:20:00", "203.0.113.7"), ("11:01:00", "198.51.100.7")];
    assert_eq!(apart(&check_logins(&slow, None)).len(), 0);
    let six = [("10:00:00", "2001:db8::1"), ("10:20:00", "2a00:1:2::1"), ("10:30:00", "2001:db8:5::1")];
    assert!(apart(&check_logins(&six, None))[0].why.contains("from 2001:db8::/32"));
}

#[test]
fn an_account_that_is_everywhere_is_told_by_its_first_logins_and_the_rest_is_counted() {
    let times: Vec<String> = (0..20).map(|n| format!("10:{n:02}:00")).collect();
    let logins: Vec<(&str, &str)> = times
        .iter()
        .zip(["198.51.100.7", "203.0.113.7"].into_iter().cycle())
        .map(|(at, ip)| (at.as_str(), ip))
        .collect();
    let outcome = check_logins(&logins, Some(PLACES));
    assert_eq!(apart(&outcome).len(), 5);
    assert!(outcome.gaps.iter().any(|gap| gap.code == "too-many" && gap.why.starts_with("14 more logins")));
}

#[test]
fn addresses_that_the_database_does_not_tell_are_counted() {
    let outcome =
        check_logins(&[("10:00:00", "8.8.8.8"), ("10:10:00", "8.8.8.8"), ("10:20:00", "198.18.0.1")], Some(PLACES));
    let gap = outcome.gaps.iter().find(|gap| gap.code == "address-not-located").unwrap();
    assert!(gap.why.starts_with("of 2 addresses") && !gap.required, "{}", gap.why);
}
