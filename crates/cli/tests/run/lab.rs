//! The main job: from a directive to a report, on the lab.

use std::fs;
use std::path::Path;
use std::process::Output;

use directive::record::{Body, Finding, Outcome, Record, Status};
use directive::verdict::Verdict;

use crate::{arg, portcullis, records, run, stderr, stdout};

fn findings<'a>(records: &'a [Record], instance: &str) -> Vec<(&'a Finding, String)> {
    let of = records.iter().filter(|record| record.instance.as_deref() == Some(instance));
    of.filter_map(|record| match &record.body {
        Body::Finding(finding) => Some((finding, finding.path.as_ref().unwrap().to_string())),
        _ => None,
    })
    .collect()
}

/// Responds in a lab that is made below `dir`.
fn respond(dir: &Path, arguments: &[&str]) -> Output {
    portcullis().env("TMPDIR", dir).args(["respond", "--lab"]).args(arguments).output().unwrap()
}

fn verdict(records: &[Record], instance: &str) -> Option<Verdict> {
    let of = records.iter().filter(|record| record.instance.as_deref() == Some(instance));
    of.filter_map(|record| match &record.body {
        Body::Verdict(conclusion) => Some(conclusion.verdict),
        _ => None,
    })
    .next_back()
}

#[test]
fn the_lab_is_worked_from_the_directive_to_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    let output = respond(dir.path(), &["--json", "--case", arg(&case)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let records = records(&output);

    assert!(matches!(records[0].body, Body::Case(_)), "the stream does not begin with the opening of the case");
    assert_eq!(verdict(&records, "vpn1"), Some(Verdict::NoEvidenceFound));
    assert_eq!(verdict(&records, "vpn2"), Some(Verdict::Compromised));
    assert_eq!(verdict(&records, "vpn3"), None, "nobody gave evidence of vpn3");
    assert!(findings(&records, "vpn1").is_empty());
    let found: Vec<_> =
        findings(&records, "vpn2").iter().map(|(finding, path)| format!("{} {path}", finding.code)).collect();
    let auth = "/home/webserver/htdocs/dana-na/auth";
    assert!(found.contains(&format!("file-modified {auth}/login.cgi")), "{found:?}");
    assert!(found.contains(&format!("file-added {auth}/compcheckresult.cgi")), "{found:?}");
    assert!(found.contains(&"file-modified /home/etc/manifest/manifest".to_owned()), "{found:?}");
    let of_files = found.iter().filter(|found| found.starts_with("file-")).count();
    assert_eq!(of_files, 3, "{found:?}");
    let broken = "log-chain-broken /home/runtime/logs/log.access.vc0".to_owned();
    assert_eq!(found.iter().filter(|found| **found == broken).count(), 3, "{found:?}");
    let concluded = records.iter().find_map(|record| match &record.body {
        Body::Verdict(conclusion) if record.instance.as_deref() == Some("vpn2") => Some(conclusion),
        _ => None,
    });
    let concluded = concluded.unwrap();
    assert_eq!(concluded.first_sign.map(|first| first.as_second()), i64::try_from(lab::FIRST_SIGN).ok());
    assert_eq!(concluded.accounts, lab::passed_through());

    for record in &records {
        match &record.body {
            Body::Instance(instance) if !instance.version.witnesses.is_empty() => {
                assert_eq!(instance.version.status, Status::Affected);
            }
            Body::Ledger(ledger) => {
                assert_eq!((ledger.addresses, ledger.answered, ledger.refused), (8, 3, 5));
            }
            Body::Step(step) => assert_eq!(step.outcome, Outcome::Done),
            _ => {}
        }
    }
    let owed: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Duty(duty) if !duty.done => {
                Some(format!("{} {}", duty.action, record.instance.as_deref().unwrap_or("-")))
            }
            _ => None,
        })
        .collect();
    for expected in [
        "ed-21-03/2.b.i.isolate vpn2",
        "ed-21-03/2.a.i vpn1",
        "ed-21-03/2 vpn3",
        "ed-21-03/third-party.incident vpn3",
        "ed-21-03/4 -",
    ] {
        assert!(owed.iter().any(|duty| duty == expected), "{expected} is not in {owed:?}");
    }
    let strings = stdout(&output);
    assert!(!strings.contains(arg(dir.path())), "a record holds a path of the analyst's machine");

    let page = fs::read_to_string(case.join("report-ed-21-03.html")).unwrap();
    for word in
        ["vpn1", "vpn2", "vpn3", "compcheckresult.cgi", "Exercise", "9.1R10", "First sign", "Accounts to reset", "<svg"]
    {
        assert!(page.contains(word), "the page does not say {word}");
    }
    for foreign in ["<script", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(foreign), "the page is not self-contained: {foreign}");
    }
    assert!(run(&["case", "verify", "--case", arg(&case)]).status.success());
}

#[test]
fn the_same_case_and_time_give_the_same_report() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    respond(dir.path(), &["-q", "--case", arg(&case)]);
    for form in ["text", "html", "json"] {
        let render = || run(&["report", "render", "--to", form, "--case", arg(&case), "--at", "2021-04-22T00:00:00Z"]);
        let (first, second) = (render(), render());
        assert!(first.status.success(), "{}", stderr(&first));
        assert!(!first.stdout.is_empty());
        assert!(first.stdout == second.stdout, "{form} differs");
    }
}

#[test]
fn what_a_person_did_ends_the_duty_and_fills_the_form() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    respond(dir.path(), &["-q", "--case", arg(&case)]);
    let lint = |expected: &str, there: bool| {
        let output = run(&["report", "lint", "--case", arg(&case)]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout(&output).contains(expected), there, "{expected}: {}", stdout(&output));
    };
    let ok = |arguments: &[&str]| {
        let output = portcullis().args(arguments).args(["--case", arg(&case), "--by", "J. Doe"]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    lint("rule 8-10: vpn2", true);
    ok(&["case", "mark", "us-cert-ticket", "INC0001", "--instance", "vpn2"]);
    lint("rule 8-10: vpn2", false);

    lint("missing: vpn3, 8)", true);
    ok(&["case", "done", "ed-21-03/2", "--instance", "vpn3", "--skip", "--note", "the provider gives no evidence"]);
    lint("missing: vpn3, 8)", false);

    ok(&["case", "done", "ed-21-03/2.b.i.isolate", "--instance", "vpn2", "--note", "switch port closed"]);
    let page = stdout(&run(&["report", "render", "--case", arg(&case)]));
    assert!(page.contains("the provider gives no evidence"), "{page}");
    let done = page.split("Done:").nth(1).unwrap();
    assert!(done.contains("2.b.i.isolate for vpn2"), "{done}");
}

#[test]
fn a_slip_is_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let case = dir.path().join("case");
    respond(dir.path(), &["-q", "--case", arg(&case)]);
    let before = stdout(&run(&["case", "verify", "--case", arg(&case)]));
    for (arguments, hint) in [
        (vec!["case", "done", "ed-21-03/9", "--note", "x"], "no directive of this case has the action"),
        (vec!["case", "done", "ed-21-03/2", "--note", "x"], "this is recorded for each instance"),
        (vec!["case", "done", "ed-21-03/2", "--instance", "vpn9", "--note", "x"], "knows no instance"),
        (vec!["case", "done", "ed-21-03/4", "--instance", "vpn1", "--note", "x"], "recorded once"),
        (vec!["case", "mark", "ticket", "x"], "asks for the mark"),
    ] {
        let output = portcullis().args(&arguments).args(["--case", arg(&case), "--by", "J. Doe"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(hint), "{}", stderr(&output));
        assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    }
    assert_eq!(stdout(&run(&["case", "verify", "--case", arg(&case)])), before);
}

#[test]
fn a_directive_that_was_written_today_is_worked_by_the_same_program() {
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("ed-30-01");
    fs::create_dir(&pack).unwrap();
    let directive = "id = \"ed-30-01\"\ntitle = \"Written today\"\nzone = \"Europe/Berlin\"\n\
        issuer = { name = \"Somebody else\" }\n\
        [[document]]\nid = \"ed-30-01\"\nissued = \"2030-01-01T00:00:00+01:00\"\n\
        [[action]]\nid = \"7\"\ntitle = \"Unplug it\"\nclause = \"paragraph 7\"\neach = \"instance\"\n\
        due = { by = \"2030-01-05T12:00[Europe/Berlin]\" }\n";
    fs::write(pack.join("directive.toml"), directive).unwrap();
    fs::write(pack.join("product.toml"), "name = \"Gateway\"\nvendor = \"Example\"\n").unwrap();
    fs::write(pack.join("report.toml"), "title = \"Form\"\nversion = \"1\"\n").unwrap();
    fs::write(pack.join("SOURCES.md"), "").unwrap();
    let scope = dir.path().join("scope.toml");
    fs::write(&scope, "organisation = \"Agency\"\n[[instance]]\nname = \"gate\"\n").unwrap();
    let case = dir.path().join("case");
    let named =
        ["--pack", arg(&pack), "--scope", arg(&scope), "--case", arg(&case), "--exercise", "2030-01-06T00:00:00Z"];
    let output = portcullis().arg("respond").args(named).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let shown = stdout(&output);
    assert!(shown.contains("LATE  7 for gate: Unplug it"), "{shown}");
    assert!(shown.contains("due Sat 5 Jan 2030 12:00 CET (11:00 UTC)"), "{shown}");
}
