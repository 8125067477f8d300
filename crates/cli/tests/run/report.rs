//! Report: does what the program writes obey the schema that is published with it?

use serde_json::Value;

use crate::{arg, portcullis, root, run, stderr};

#[track_caller]
fn obeys(case: &str, more: &[&str]) -> Value {
    let mut render = portcullis();
    let output = render.args(["report", "render", "--to", "json", "--case", case]).args(more).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = std::fs::read(root().join("docs/report.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&report).map(|err| format!("{}: {err}", err.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    report
}

#[test]
fn the_report_of_the_lab_and_that_of_an_empty_case_obey_the_published_schema() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, empty) = (dir.path().join("lab"), dir.path().join("empty"));
    let mut respond = portcullis();
    respond.env("TMPDIR", dir.path()).args(["respond", "--lab", "-q", "--case"]).arg(&lab);
    assert_eq!(respond.output().unwrap().status.code(), Some(1));
    let report = obeys(arg(&lab), &[]);
    for (part, least) in [("instances", 3), ("duties", 10)] {
        assert!(report[part].as_array().unwrap().len() >= least, "the lab has {part} to hold against the schema");
    }
    assert!(!report["instances"][1]["timeline"].as_array().unwrap().is_empty());
    run(&["case", "--case", arg(&empty), "init"]);
    let report = obeys(arg(&empty), &["--pack", "ed-21-03"]);
    assert_eq!(report["instances"], Value::Array(Vec::new()));
}
