//! Incident: does whoever takes incidents get all that the check found, and what it did not see?

use directive::verdict::Verdict;
use report::incident::{Error, Incident};
use serde_json::Value;

use crate::{Told, golden, json, pack, sorted, told};

fn schema() -> Value {
    let mut schema = schemars::schema_for!(Incident);
    schema.insert("title".into(), "An incident submission of Portcullis".into());
    sorted(serde_json::to_value(schema).unwrap())
}

#[test]
fn the_published_schema_is_the_one_of_the_code_and_a_submission_obeys_it() {
    golden("docs/incident.schema.json", &schema());
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let incident = json(&Incident::of(&told(true).report(&pack("ed-21-03"))).unwrap().json().unwrap());
    let errors: Vec<_> = validator.iter_errors(&incident).map(|err| err.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(!validator.is_valid(&serde_json::json!({ "v": 1 })));
}

#[test]
fn findings_first_sign_accounts_and_what_was_not_seen_are_all_there() {
    let incident = json(&Incident::of(&told(true).report(&pack("ed-21-03"))).unwrap().json().unwrap());
    assert_eq!(incident["exercise"], true);
    let instances = incident["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 1, "only what has a mismatch");
    let of = &instances[0];
    assert_eq!((of["name"].as_str(), of["verdict"].as_str()), (Some("vpn1"), Some("compromised")));
    assert_eq!(of["first_sign"], "2021-03-31T00:00:00Z");
    assert_eq!(of["dwell_hours"], 21 * 24 + 13);
    assert_eq!(of["findings"].as_array().unwrap().len(), 4);
    assert_eq!(of["accounts"][0]["user"], "alice");
    assert_eq!(of["coverage"]["files"], 302);
    assert_eq!(of["gaps"][0]["code"], "unreadable");
    let isolate = of["actions"].as_array().unwrap().iter().find(|one| one["action"] == "ed-21-03/2.b.i.isolate");
    assert_eq!(isolate.unwrap()["done"], false);
}

#[test]
fn a_person_reads_the_same_on_any_terminal() {
    let incident = Incident::of(&told(true).report(&pack("ed-21-03"))).unwrap();
    for width in [40, 80, 110] {
        let text = incident.text(width);
        for said in ["EXERCISE", "compromised", "First sign", "Findings that count: 4 of 4", "login.cgi", "not seen"] {
            assert!(text.contains(said), "{said} is not in {text}");
        }
        assert!(!text.chars().any(|c| c != '\n' && c.is_control()) && !text.contains('\u{202e}'), "{text}");
    }
}

#[test]
fn a_mismatch_of_before_is_an_incident_and_without_one_there_is_none() {
    let pack = pack("ed-21-03");
    let mut restored = told(false);
    restored.verdict("vpn1", Verdict::NoEvidenceFound);
    let incident = Incident::of(&restored.report(&pack)).unwrap();
    assert_eq!(incident.instances[0].earlier[0].verdict, Verdict::Compromised);
    assert!(matches!(Incident::of(&Told::new(false).report(&pack)), Err(Error::NoIncident)));
}
