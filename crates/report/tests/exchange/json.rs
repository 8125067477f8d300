//! Json: does the report hold what its published schema says, no less and no more?

use report::Report;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::{Told, golden, root, sorted, told};

/// The schema of what is written: a field that is always there is required.
fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report>();
    schema.insert("title".into(), "A report of Portcullis".into());
    sorted(serde_json::to_value(schema).unwrap())
}

fn report(told: &Told) -> Value {
    crate::json(&report::json(&told.report(&told.pack)).unwrap())
}

/// What the schema has against a report.
fn refused(report: &Value) -> Vec<String> {
    let validator = jsonschema::options().should_validate_formats(true).build(&schema()).unwrap();
    validator.iter_errors(report).map(|err| format!("{}: {err}", err.instance_path())).collect()
}

#[test]
fn the_published_schema_is_the_one_of_the_code_and_reports_obey_it() {
    golden("docs/report.schema.json", &schema());
    assert!(jsonschema::meta::is_valid(&schema()), "it is no JSON Schema");
    for told in [told(true), told(false), Told::new(false)] {
        let report = report(&told);
        assert_eq!(refused(&report), Vec::<String>::new(), "{report:#}");
    }
}

#[test]
fn a_report_of_a_case_without_a_record_obeys_the_schema_too() {
    let mut empty = Told::new(false);
    empty.records.clear();
    assert_eq!(refused(&report(&empty)), Vec::<String>::new());
}

/// Replaces what stands at a place in the report and holds it against the schema, which must refuse it there.
#[track_caller]
fn check(place: &str, put: Option<Value>) {
    let mut report = report(&told(true));
    let (above, name) = place.rsplit_once('/').unwrap();
    let folder = report.pointer_mut(above).unwrap_or_else(|| panic!("{above} is not in a report"));
    let had = match (&put, folder.as_object_mut().unwrap()) {
        (Some(value), object) => object.insert(name.to_owned(), value.clone()),
        (None, object) => object.remove(name),
    };
    assert!(put.is_some() || had.is_some(), "{place} is not in a report");
    let why = refused(&report);
    assert!(
        why.iter().any(|one| one.starts_with(above)),
        "{place} as {put:?} is taken, or for another reason: {why:?}"
    );
}

#[test]
fn a_damaged_report_is_refused_where_it_is_damaged() {
    for gone in
        ["/organisation", "/head", "/form/missing", "/form/fields/0/value", "/duties/0/waits_for", "/instances/2/name"]
    {
        check(gone, None);
    }
    for (place, put) in [
        ("/instances/2/version/status", json!("healthy")),
        ("/instances/2/conclusion/verdict", json!("clean")),
        ("/instances/2/findings/0/severity", json!("awful")),
        ("/verdicts/clean", json!(1)),
        ("/duties/0/waits_for", json!("everybody")),
        ("/duties/0/due", json!("tomorrow")),
        ("/at", json!(1_619_049_600)),
        ("/records", json!(-1)),
        ("/open/late", json!("none")),
        // What the schema does not name is not in a report.
        ("/attested_by", json!("J. Doe")),
        ("/form/fields/0/answer", json!("9")),
        ("/instances/2/healthy", json!(true)),
    ] {
        check(place, Some(put));
    }
}

#[test]
fn what_an_authority_looks_at_is_in_every_report_and_the_protocol_names_the_schema() {
    let protocol = std::fs::read_to_string(root().join("docs/authority.openapi.json")).unwrap();
    let protocol = crate::json(&protocol);
    let looked_at = &protocol["components"]["schemas"]["Submitted"];
    let file = looked_at["externalDocs"]["url"].as_str().unwrap();
    assert!(root().join("docs").join(file).is_file(), "{file} does not lie beside the protocol");
    let mut submitted = looked_at.clone();
    submitted["components"] = protocol["components"].clone();
    let validator = jsonschema::validator_for(&submitted).unwrap();
    for told in [told(true), Told::new(false)] {
        let report = report(&told);
        let errors: Vec<_> = validator.iter_errors(&report).map(|err| err.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    // Whatever the authority demands, the schema of the whole report demands too.
    let (whole, demanded) = (schema(), looked_at["required"].as_array().unwrap());
    let required = whole["required"].as_array().unwrap();
    assert!(demanded.iter().all(|name| required.contains(name)), "{demanded:?} are not all in {required:?}");
}
