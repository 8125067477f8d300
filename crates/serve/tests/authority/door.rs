//! Door: which reports come in, and what are the others told?

use attest::SecretKey;
use directive::form::Demand;
use serde_json::{Value, json};

use crate::{Authority, OTHER, pack, word};

#[test]
fn a_report_that_holds_is_taken_and_its_receipt_says_what_when_and_from_whom() {
    let authority = Authority::new();
    let report = authority.report(2, "");
    let receipt = authority.submit(&report, None).unwrap();
    assert_eq!((receipt.version, receipt.replaces.as_deref()), (1, None));
    assert_eq!(receipt.report_sha256, attest::sha256(report.to_string().as_bytes()));
    assert_eq!(receipt.officer_key, authority.officer.public().fingerprint());
    assert_eq!(receipt.received.to_string(), "2021-04-23T20:00:00Z");
    assert_eq!(receipt.due.unwrap().to_string(), "2021-04-23T21:00:00Z", "by 5 pm Eastern Daylight Time");
    assert!(!receipt.late());
}

#[test]
fn whoever_has_no_token_or_another_organisations_hands_in_nothing() {
    let authority = Authority::new();
    let bytes = authority.report(1, "").to_string().into_bytes();
    let signed = authority.signed(&authority.statement(&bytes, None));
    for token in ["", "portcullis_wrong", &authority.token[1..]] {
        let refused = authority.hand_in(token, &bytes, &signed).unwrap_err();
        assert_eq!((refused.status, word(&refused)), (401, "token"));
    }
    let refused = authority.hand_in(&authority.other_token, &bytes, &signed).unwrap_err();
    assert_eq!((refused.status, word(&refused)), (403, "organisation"));
    assert!(authority.client(&authority.other_token).list().unwrap().reports.is_empty());
    assert!(authority.client(&authority.token).list().unwrap().reports.is_empty());
    // A statement of the other organisation about a report of this one.
    let mut statement = authority.statement(&bytes, None);
    statement.organisation = OTHER.into();
    let refused = authority.hand_in(&authority.other_token, &bytes, &authority.signed(&statement)).unwrap_err();
    assert_eq!(word(&refused), "organisation");
}

#[test]
fn whatever_is_changed_after_the_officer_signed_is_refused() {
    let authority = Authority::new();
    let bytes = authority.report(1, "").to_string().into_bytes();
    let signed = authority.signed(&authority.statement(&bytes, None));
    let why =
        |report: &[u8], signed| word(&authority.hand_in(&authority.token, report, signed).unwrap_err()).to_owned();

    let changed = String::from_utf8(bytes.clone()).unwrap().replace("9.1R10", "9.1R11.4");
    assert_eq!(why(changed.as_bytes(), &signed), "digest");
    let mut other = signed.clone();
    other.statement = other.statement.replace("J. Doe", "J. Roe");
    assert_eq!(why(&bytes, &other), "signature");
    let mut more = signed.clone();
    more.statement += "one more line\n";
    assert_eq!(why(&bytes, &more), "statement");
    let mut stranger = signed.clone();
    stranger.signature = SecretKey::generate().unwrap().sign(attest::ATTESTATION, &signed.statement).unwrap();
    assert_eq!(why(&bytes, &stranger), "officer");
    let mut receipt = signed.clone();
    receipt.signature = authority.officer.sign(attest::RECEIPT, &signed.statement).unwrap();
    assert_eq!(why(&bytes, &receipt), "signature");
    let mut statement = authority.statement(&bytes, None);
    statement.as_of = "2021-04-21T00:00:00Z".parse().unwrap();
    assert_eq!(why(&bytes, &authority.signed(&statement)), "statement");
}

#[test]
fn an_exercise_and_a_directive_that_nobody_asked_for_are_refused() {
    let authority = Authority::new();
    let mut report = authority.report(1, "");
    report["exercise"] = true.into();
    let bytes = report.to_string().into_bytes();
    let mut statement = authority.statement(&bytes, None);
    statement.exercise = true;
    let refused = authority.hand_in(&authority.token, &bytes, &authority.signed(&statement)).unwrap_err();
    assert_eq!((refused.status, word(&refused)), (422, "exercise"));

    let mut report = authority.report(1, "");
    report["pack"]["id"] = "ed-99-01".into();
    let bytes = report.to_string().into_bytes();
    let mut statement = authority.statement(&bytes, None);
    statement.pack.id = "ed-99-01".into();
    let refused = authority.hand_in(&authority.token, &bytes, &authority.signed(&statement)).unwrap_err();
    assert_eq!((refused.status, word(&refused)), (422, "directive"));
    assert!(refused.detail.contains("ed-21-03"), "{}", refused.detail);
}

/// Sets an answer of the organisation, or of the first instance.
fn set(report: &mut Value, id: &str, value: Option<&str>) {
    let form = &mut report["form"];
    let is_field = form["fields"].as_array().unwrap().iter().any(|answer| answer["id"] == id);
    let pointer = if is_field { "/fields" } else { "/rows/0/answers" };
    let answers = form.pointer_mut(pointer).unwrap().as_array_mut().unwrap();
    answers.retain(|answer| answer["id"] != id);
    answers.push(json!({ "id": id, "value": value }));
}

#[test]
fn every_rule_of_the_form_is_refused_at_the_door_in_the_forms_own_words() {
    let authority = Authority::new();
    let form = pack().form;
    assert!(form.rules.len() >= 5);
    for rule in &form.rules {
        let mut report = authority.report(1, "");
        if let Some(when) = &rule.when {
            set(&mut report, when.field.get_ref(), Some(&when.is));
        }
        match &rule.demands {
            Demand::Filled(field) => set(&mut report, field.get_ref(), None),
            Demand::Answered(answer) => set(&mut report, answer.field.get_ref(), None),
            Demand::Rows => report["form"]["rows"] = json!([]),
            Demand::NoRows => {}
        }
        let refused = authority.submit(&report, None).unwrap_err();
        assert_eq!((refused.status, word(&refused)), (422, "form"), "{}", rule.id);
        let named = refused.broken.iter().find(|broken| broken.rule == rule.id).unwrap();
        assert_eq!(named.text, rule.text);
    }
}

#[test]
fn a_missing_answer_is_named_and_so_is_one_that_the_form_does_not_ask_for() {
    let authority = Authority::new();
    let mut report = authority.report(2, "");
    set(&mut report, "7", Some("  "));
    set(&mut report, "secret", Some("x"));
    let refused = authority.submit(&report, None).unwrap_err();
    assert_eq!(refused.missing[0].instance.as_deref(), Some("vpn1"));
    assert_eq!(refused.missing[0].text, "7) Current version");
    assert_eq!(refused.broken[0].rule, "questions-known");
}

#[test]
fn a_thousand_faults_are_named_and_the_others_are_counted() {
    let authority = Authority::new();
    let mut report = authority.report(1_500, "");
    for row in report["form"]["rows"].as_array_mut().unwrap() {
        row["answers"] = json!([]);
    }
    let refused = authority.submit(&report, None).unwrap_err();
    assert_eq!(refused.missing.len(), 1_000);
    assert_eq!(refused.more, 3 * 1_500 - 1_000);
}

#[test]
fn what_looks_like_a_formula_is_kept_as_it_came() {
    let authority = Authority::new();
    let mut report = authority.report(1, "=cmd|' /C calc'!A0\t+1\r\n@SUM(A1)\u{202e}");
    report["form"]["rows"][0]["instance"] = "=HYPERLINK(\"http://evil\")".into();
    let receipt = authority.submit(&report, None).unwrap();
    assert_eq!(receipt.report_sha256, attest::sha256(report.to_string().as_bytes()));
}

#[test]
fn fifty_thousand_instances_are_taken() {
    let authority = Authority::new();
    let report = authority.report(50_000, "");
    let receipt = authority.submit(&report, None).unwrap();
    assert_eq!(receipt.version, 1);
}
