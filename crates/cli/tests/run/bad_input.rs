//! What a slip of the pen, a broken file or a missing one gives: one clear error, and the case as
//! it was.

use std::fs;
use std::path::Path;

use crate::{arg, portcullis, root, run, stderr, stdout};

/// A scope of one instance with evidence and manifest, in a folder of its own.
fn prepare(dir: &Path) {
    fs::create_dir_all(dir.join("evidence/bin")).unwrap();
    fs::write(dir.join("evidence/bin/tool"), "shipped\n").unwrap();
    let digest = "b4e4ab8bc8b5e48afb3b8f8f0a2a6cdac79a03ee0f3a8a3a35ae2ee4ff9e1ee7";
    fs::write(dir.join("list"), format!("{digest}  bin/tool\n")).unwrap();
    write_scope(dir, "evidence", "list", "10.0.0.1:443");
}

fn write_scope(dir: &Path, evidence: &str, manifest: &str, exclude: &str) {
    let scope = format!(
        "organisation = \"Agency\"\nexclude = [\"{}\"]\n[[instance]]\nname = \"vpn1\"\n\
         evidence = \"{evidence}\"\nmanifest = \"{manifest}\"\n",
        exclude.split(':').next().unwrap()
    );
    fs::write(dir.join("scope.toml"), scope).unwrap();
}

/// `respond` must fail with exit code 2, say these words and a hint, and make no case.
#[track_caller]
fn refused(dir: &Path, pack: &str, words: &[&str]) {
    let case = dir.join("case");
    let output = run(&["respond", "--pack", pack, "--scope", arg(&dir.join("scope.toml")), "--case", arg(&case)]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!case.exists(), "a case was made");
    assert!(output.stdout.is_empty(), "{}", stdout(&output));
}

#[test]
fn a_broken_scope_is_shown_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    write_scope(dir.path(), "evidence", "list", "10.0.0.999");
    refused(dir.path(), "packs/ed-21-03", &["scope.toml:2:12", "^^^", "help:"]);
}

#[test]
fn a_missing_scope_says_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), "packs/ed-21-03", &["cannot read the scope file", "hint:"]);
}

#[test]
fn a_broken_manifest_is_shown_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    fs::write(dir.path().join("list"), "this is no digest  bin/tool\n").unwrap();
    refused(dir.path(), "packs/ed-21-03", &["the manifest of vpn1 cannot be used", "list:1", "^"]);
}

#[test]
fn a_missing_manifest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    fs::remove_file(dir.path().join("list")).unwrap();
    refused(dir.path(), "packs/ed-21-03", &["cannot read the manifest", "of vpn1", "No such file"]);
}

#[test]
fn a_database_of_places_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let scope = fs::read_to_string(dir.path().join("scope.toml")).unwrap();
    fs::write(dir.path().join("scope.toml"), format!("geo = \"places.mmdb\"\n{scope}")).unwrap();
    refused(dir.path(), "packs/ed-21-03", &["the database places.mmdb of where addresses are", "No such file"]);
    fs::write(dir.path().join("places.mmdb"), "garbage").unwrap();
    refused(dir.path(), "packs/ed-21-03", &["the database places.mmdb of where addresses are", "format of MaxMind"]);
}

#[test]
fn missing_evidence_is_named() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    fs::remove_dir_all(dir.path().join("evidence")).unwrap();
    refused(dir.path(), "packs/ed-21-03", &["cannot open the evidence of vpn1"]);
}

#[test]
fn evidence_that_is_not_there_is_refused_before_anything_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    write_scope(dir.path(), "vpn1.qcow2", "list", "10.0.0.1");
    refused(dir.path(), "packs/ed-21-03", &["cannot open evidence", "vpn1.qcow2"]);
}

#[test]
fn a_broken_pack_is_shown_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let pack = dir.path().join("pack");
    fs::create_dir(&pack).unwrap();
    for name in ["directive.toml", "product.toml", "report.toml", "SOURCES.md"] {
        fs::copy(root().join("packs/ed-21-03").join(name), pack.join(name)).unwrap();
    }
    let text = fs::read_to_string(pack.join("directive.toml")).unwrap();
    fs::write(pack.join("directive.toml"), text.replace("zone = \"America/New_York\"", "zone = \"EST5\"")).unwrap();
    refused(dir.path(), arg(&pack), &["directive.toml:6", "no zone of the IANA database", "^"]);
}

#[test]
fn an_unknown_pack_lists_the_known_ones() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    refused(dir.path(), "ed-99-99", &["there is no pack", "hint: known: ed-21-01, ed-21-02, ed-21-03"]);
}

#[test]
fn a_broken_case_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let case = dir.path().join("case");
    let respond = || {
        let mut command = portcullis();
        command.args(["respond", "-q", "--pack", "packs/ed-21-03", "--exercise", "2021-04-21T13:00:00Z"]);
        command.args(["--scope", arg(&dir.path().join("scope.toml")), "--case", arg(&case)]).output().unwrap()
    };
    assert_eq!(respond().status.code(), Some(1));
    let db = rusqlite::Connection::open(case.join("case.db")).unwrap();
    db.execute("UPDATE record SET body = replace(body, 'vpn1', 'vpn9') WHERE seq = 2", []).unwrap();
    drop(db);
    let before = fs::read(case.join("case.db")).unwrap();
    let output = respond();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("record 2"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    assert_eq!(fs::read(case.join("case.db")).unwrap(), before);
}

#[test]
fn a_case_of_another_organisation_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let respond = || {
        run(&[
            "respond",
            "-q",
            "--pack",
            "packs/ed-21-03",
            "--exercise",
            "2021-04-21T13:00:00Z",
            "--scope",
            arg(&dir.path().join("scope.toml")),
            "--case",
            arg(&dir.path().join("case")),
        ])
    };
    assert_eq!(respond().status.code(), Some(1));
    let scope = fs::read_to_string(dir.path().join("scope.toml")).unwrap();
    fs::write(dir.path().join("scope.toml"), scope.replace("\"Agency\"", "\"Other\"")).unwrap();
    let output = respond();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the case is \"Agency\"'s"), "{}", stderr(&output));
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in
        [&["respond"][..], &["check"], &["nonsense"], &["check", "/nonexistent"], &["respond", "--lab", "--scope", "x"]]
    {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_directive_that_is_closed_owes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let output = run(&[
        "respond",
        "-q",
        "--pack",
        "packs/ed-21-03",
        "--scope",
        arg(&dir.path().join("scope.toml")),
        "--case",
        arg(&dir.path().join("case")),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Nothing is owed: the directive is closed on 2026-01-08"), "{}", stdout(&output));
}
