//! The report as a workbook and as a table.

use std::fs;

use crate::{arg, portcullis, root, run, stderr, stdout};

#[test]
fn the_lab_case_becomes_a_workbook_and_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let (case, file) = (dir.path().join("case"), dir.path().join("report.xlsx"));
    run(&["respond", "--lab", "-q", "--case", arg(&case)]);
    let render = |rest: &[&str]| {
        let common = ["report", "render", "--case", arg(&case), "--at", "2021-04-22T00:00:00Z", "--to"];
        portcullis().args(common).args(rest).output().unwrap()
    };

    let output = render(&["xlsx", "-o", arg(&file)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("answers stay empty"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: `portcullis report lint`"), "{}", stderr(&output));
    let first = fs::read(&file).unwrap();
    assert!(first.starts_with(b"PK\x03\x04"));
    render(&["xlsx", "-o", arg(&file)]);
    assert!(fs::read(&file).unwrap() == first, "the same case and time give other bytes");

    let table = stdout(&render(&["csv"]));
    assert!(table.starts_with("Instance,1) Internal IP addresses,"), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");

    let official = root().join("../shared/data/templates/ed21-03status.xlsx");
    if official.exists() || std::env::var_os("CI").is_some() {
        let output = render(&["xlsx", "--form", arg(&official), "-o", arg(&file)]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!stderr(&output).contains("not the file that the pack knows"), "{}", stderr(&output));
        assert!(stderr(&output).contains("EXERCISE"), "{}", stderr(&output));
        assert!(fs::read(&file).unwrap() != first);
    }

    let other = dir.path().join("other.xlsx");
    fs::write(&other, &first).unwrap();
    for (rest, words) in [
        (vec!["xlsx"], "does not go to a terminal"),
        (vec!["csv", "--form", arg(&other)], "only a workbook has a form"),
        (vec!["xlsx", "--form", arg(&other), "-o", arg(&other)], "the form would be overwritten"),
        (vec!["xlsx", "--form", arg(&other), "-o", arg(&file)], "this is another"),
        (vec!["xlsx", "--form", "packs/ed-21-03/report.toml", "-o", arg(&file)], "the form is no XLSX workbook"),
        (vec!["xlsx", "--form", "nonesuch.xlsx", "-o", arg(&file)], "publishes as ed21-03status.xlsx"),
    ] {
        let output = render(&rest);
        assert_eq!(output.status.code(), Some(2), "{rest:?}");
        assert!(stderr(&output).contains(words), "{words:?} is not in: {}", stderr(&output));
        assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    }
    assert!(fs::read(&other).unwrap() == first, "the form was changed");
}
