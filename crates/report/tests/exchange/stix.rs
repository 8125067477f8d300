//! STIX: does the bundle say what was seen, of what it is a sighting, and how far it may go?

use std::collections::BTreeSet;
use std::process::Command;

use report::stix;
use serde_json::Value;

use crate::{ask, json, pack, told, told_under, validator};

fn bundle(exercise: bool) -> Value {
    let pack = pack("ed-21-03");
    json(&stix::render(&told(exercise).report(&pack), &pack).unwrap())
}

fn of<'a>(bundle: &'a Value, kind: &str) -> Vec<&'a Value> {
    bundle["objects"].as_array().unwrap().iter().filter(|object| object["type"] == kind).collect()
}

#[test]
fn the_public_validator_takes_the_bundle() {
    let Some(program) = validator("stix/bin/stix2_validator") else { return };
    for (id, exercise) in [("ed-21-03", true), ("ed-21-03", false), ("openssh-cve-2024-6387", false)] {
        let pack = pack(id);
        let text = stix::render(&told_under(id, exercise).report(&pack), &pack).unwrap();
        let (taken, said) =
            ask(Command::new(&program).args(["--version", "2.1", "--enforce-refs", "--no-cache"]), &text);
        assert!(taken, "{id}: {said}");
        let changed = text.replacen("\"relationship_type\"", "\"kind_of_relationship\"", 1);
        let (taken, _) = ask(Command::new(&program).args(["--version", "2.1"]), &changed);
        assert!(!taken, "the validator takes everything");
    }
}

#[test]
fn a_finding_by_an_indicator_or_a_rule_is_a_sighting_and_no_other_finding_is() {
    let bundle = bundle(false);
    let indicators: BTreeSet<&str> =
        of(&bundle, "indicator").iter().map(|one| one["pattern_type"].as_str().unwrap()).collect();
    assert_eq!(indicators, BTreeSet::from(["sigma", "stix", "yara"]));
    assert_eq!(of(&bundle, "sighting").len(), 3);
    assert_eq!(of(&bundle, "observed-data").len(), 4, "each finding was seen");
    let published = "indicator--a87fdb8e-62e6-5870-9a8b-6dfde4954207";
    let found = of(&bundle, "indicator").into_iter().find(|one| one["id"] == published).unwrap();
    assert_eq!(found["name"], "RADIALPULSE: login.cgi", "the pack's own indicator goes out as it came in");
    let sighting = of(&bundle, "sighting").into_iter().find(|one| one["sighting_of_ref"] == published).unwrap();
    let seen = sighting["observed_data_refs"][0].as_str().unwrap();
    let seen = of(&bundle, "observed-data").into_iter().find(|one| one["id"] == seen).unwrap();
    let files = of(&bundle, "file");
    let refs = seen["object_refs"].as_array().unwrap();
    let file = files.iter().find(|file| refs.contains(&file["id"])).unwrap();
    assert_eq!(file["hashes"]["SHA-256"], "e9df4e13131c95c75ca41a95e08599b3d480e5e7a7922ff0a3fa00bef3bd6561");
    assert_eq!(file["name"], "login.cgi");
    assert_eq!(file["mtime"], "2021-03-31T00:00:00.000Z");
}

#[test]
fn every_reference_leads_to_an_object_of_the_bundle() {
    let bundle = bundle(true);
    let objects = bundle["objects"].as_array().unwrap();
    let ids: BTreeSet<&str> = objects.iter().map(|object| object["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), objects.len(), "an object is there twice");
    for object in objects {
        for (key, value) in object.as_object().unwrap() {
            let one = if key.ends_with("_ref") { value.as_str() } else { None };
            let many = if key.ends_with("_refs") { value.as_array() } else { None };
            for id in one.into_iter().chain(many.into_iter().flatten().map(|id| id.as_str().unwrap())) {
                assert!(ids.contains(id), "{key} leads to {id}, which is not there");
            }
        }
    }
}

#[test]
fn an_exercise_says_so_and_the_caveat_goes_with_every_object() {
    let bundle = bundle(true);
    let report = of(&bundle, "report")[0];
    assert!(report["name"].as_str().unwrap().starts_with("EXERCISE: "));
    let marking = of(&bundle, "marking-definition")[0];
    assert!(marking["definition"]["statement"].as_str().unwrap().starts_with("Once filled in, share only"));
    for object in bundle["objects"].as_array().unwrap() {
        let is_ours = object["id"].as_str().unwrap() != "indicator--a87fdb8e-62e6-5870-9a8b-6dfde4954207";
        if is_ours && object["type"] != "marking-definition" {
            assert_eq!(object["object_marking_refs"][0], marking["id"], "{object}");
        }
        if is_ours && object.get("created").is_some() && object["type"] != "marking-definition" {
            assert_eq!(object["labels"][0], "exercise", "{object}");
        }
    }
}

#[test]
fn the_same_case_gives_the_same_bundle_and_what_stays_keeps_its_id() {
    let pack = pack("ed-21-03");
    let (first, second) = (told(false), told(false));
    assert_eq!(stix::render(&first.report(&pack), &pack).unwrap(), stix::render(&second.report(&pack), &pack).unwrap());
    let mut later = told(false);
    later.instance("vpn9", "9.1R10", directive::record::Status::Affected, &[]);
    let (before, after) = (bundle(false), json(&stix::render(&later.report(&pack), &pack).unwrap()));
    for kind in ["identity", "infrastructure", "sighting", "file", "observed-data"] {
        let ids = |bundle: &Value| -> BTreeSet<String> {
            of(bundle, kind).iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect()
        };
        assert!(ids(&before).is_subset(&ids(&after)), "{kind}");
    }
}

#[test]
fn neither_accounts_nor_excerpts_leave_the_organisation_and_nothing_hostile_is_written_out() {
    let pack = pack("ed-21-03");
    let text = stix::render(&told(false).report(&pack), &pack).unwrap();
    assert!(!text.contains("alice"));
    assert!(!text.contains('\u{202e}') && !text.contains("\\u001b"), "what nobody sees is shown");
}
