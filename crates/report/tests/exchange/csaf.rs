//! CSAF: does the document say which instance is open to what, and nothing of what nobody knows?

use std::process::Command;

use directive::record::Status;
use report::csaf;
use serde_json::Value;

use crate::{Told, ask, json, pack, root, told, told_under, validator};

fn document(exercise: bool) -> Value {
    let pack = pack("ed-21-03");
    json(&csaf::render(&told(exercise).report(&pack), &pack, None).unwrap())
}

#[test]
fn the_public_validator_takes_the_document() {
    let Some(program) = validator("csaf/csaf.mjs") else { return };
    assert_eq!(
        std::fs::read(&program).unwrap(),
        std::fs::read(root().join("ci/validators/csaf.mjs")).unwrap(),
        "the validator is an old one: run ci/validators.sh"
    );
    // It takes seconds to start: all documents at once.
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("node");
    command.arg(&program);
    for id in ["ed-21-01", "ed-21-02", "ed-21-03", "openssh-cve-2024-6387"] {
        for exercise in [true, false] {
            let (pack, file) = (pack(id), dir.path().join(format!("{id}-{exercise}.json")));
            let told = told_under(id, exercise);
            let text = csaf::render(&told.report(&pack), &pack, Some("https://www.example.org")).unwrap();
            std::fs::write(&file, text).unwrap();
            command.arg(file);
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let changed = document(false).to_string().replace("\"csaf_vex\"", "\"csaf_security_advisory\"");
    let (taken, _) = ask(Command::new("node").arg(&program), &changed.replace("known_affected", "fixed"));
    assert!(!taken, "the validator takes everything");
}

#[test]
fn each_instance_has_the_status_that_its_version_has_for_each_vulnerability() {
    let document = document(false);
    let vulnerability = &document["vulnerabilities"][0];
    assert_eq!(vulnerability["cve"], "CVE-2021-22893");
    let status = &vulnerability["product_status"];
    assert_eq!(status["known_affected"], serde_json::json!(["instance/vpn1"]));
    assert_eq!(status["fixed"], serde_json::json!(["instance/vpn2"]));
    assert_eq!(status["known_not_affected"], serde_json::json!(["instance/old"]), "9.0R2 is older than what is open");
    assert_eq!(status["under_investigation"].as_array().unwrap().len(), 1);
    assert_eq!(vulnerability["flags"][0]["label"], "vulnerable_code_not_present");
    assert_eq!(vulnerability["threats"][0]["product_ids"], serde_json::json!(["instance/vpn1"]));
    let details = vulnerability["threats"][0]["details"].as_str().unwrap();
    assert!(details.contains("compromised"), "{details}");
    let other = &document["vulnerabilities"][1]["product_status"];
    assert_eq!(other["known_affected"], serde_json::json!(["instance/old", "instance/vpn1"]));
}

#[test]
fn an_affected_instance_is_told_what_to_do() {
    let document = document(false);
    let remediations = document["vulnerabilities"][0]["remediations"].as_array().unwrap();
    assert_eq!(remediations[0]["category"], "none_available", "the release came on 3 May");
    let isolate = remediations.iter().any(|one| one["details"].as_str().unwrap().contains("2.b.i.isolate"));
    assert!(isolate, "{remediations:?}");
}

#[test]
fn the_version_of_the_document_is_the_state_of_the_case() {
    let (real, exercise) = (document(false), document(true));
    let tracking = &real["document"]["tracking"];
    let records = told(false).records.len();
    assert_eq!(tracking["version"], format!("1.{records}.0+abababababababab"));
    assert_eq!(tracking["initial_release_date"], "2021-04-21T13:00:00Z");
    assert_eq!(
        (&tracking["status"], &exercise["document"]["tracking"]["status"]),
        (&"interim".into(), &"draft".into())
    );
    assert!(exercise["document"]["title"].as_str().unwrap().starts_with("EXERCISE: "));
    assert_eq!(real["document"]["publisher"]["category"], "user");
    assert!(real["document"]["publisher"]["namespace"].as_str().unwrap().starts_with("urn:uuid:"));
}

#[test]
fn a_case_without_an_instance_has_no_document() {
    let pack = pack("ed-21-03");
    let err = csaf::render(&Told::new(false).report(&pack), &pack, None).unwrap_err();
    assert!(matches!(err, csaf::Error::NoInstance));
}

#[test]
fn ten_thousand_instances_are_a_document() {
    let pack = pack("ed-21-03");
    let mut told = Told::new(false);
    for n in 0..10_000 {
        told.instance(&format!("vpn{n}"), "9.1R10", Status::Affected, &[]);
    }
    let document = json(&csaf::render(&told.report(&pack), &pack, None).unwrap());
    assert_eq!(document["vulnerabilities"][0]["product_status"]["known_affected"].as_array().unwrap().len(), 10_000);
}
