//! A run that is killed at any moment, and the run after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use directive::record::{Body, Record};
use lab::Lab;

use crate::{arg, portcullis, run, stderr, stdout};

/// What a case holds, without what differs from run to run: ids, times and the addresses' order.
fn content(case: &Path) -> BTreeMap<String, usize> {
    let shown = stdout(&run(&["case", "show", "--case", arg(case)]));
    let mut content = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for line in shown.lines() {
        let record: Record = serde_json::from_str(line).unwrap();
        assert!(ids.insert(record.id.clone()), "record {} is there twice", record.id);
        let what = match &record.body {
            Body::Finding(finding) => format!("{} {:?}", finding.code, finding.path),
            Body::Step(step) => format!("step {} {:?}", step.action, step.outcome),
            Body::Verdict(conclusion) => format!("verdict {:?}", conclusion.verdict),
            body => serde_json::to_value(body).unwrap()["type"].to_string(),
        };
        *content.entry(format!("{} {what}", record.instance.unwrap_or_default())).or_default() += 1;
    }
    content
}

#[test]
fn a_response_killed_at_any_moment_goes_on_with_nothing_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::build(&dir.path().join("lab")).unwrap();
    let respond = |case: &Path| {
        let mut command = portcullis();
        command.args(["respond", "-q", "--pack", "packs/ed-21-03", "--exercise", "2021-04-21T09:00[America/New_York]"]);
        command.args(["--scope", arg(&lab.scope_file()), "--case", arg(case)]);
        command.stdout(Stdio::null());
        command
    };
    let whole = dir.path().join("whole");
    let started = std::time::Instant::now();
    assert_eq!(respond(&whole).status().unwrap().code(), Some(1));
    let once = started.elapsed();
    let expected = content(&whole);

    let mut killed = 0;
    for attempt in 0..12_u32 {
        let case = dir.path().join(format!("killed-{attempt}"));
        // Twelve moments spread over the run, the last ones after everything was recorded.
        for part in [attempt, attempt / 2] {
            let mut child = respond(&case).spawn().unwrap();
            std::thread::sleep(once.mul_f64(f64::from(part) / 10.0).max(Duration::from_millis(1)));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().code().is_none());
        }
        let output = respond(&case).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert_eq!(content(&case), expected, "killed at moment {attempt}");
        let verify = run(&["case", "verify", "--case", arg(&case)]);
        assert!(verify.status.success(), "{}", stderr(&verify));
    }
    assert!(killed > 0, "no run was killed: the moments are all too late");
}

#[test]
fn a_second_run_has_nothing_left_to_record() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::build(&dir.path().join("lab")).unwrap();
    let case = dir.path().join("case");
    let respond = |more: &[&str]| {
        let mut command = portcullis();
        command.args(["respond", "-q", "--pack", "packs/ed-21-03", "--exercise", "2021-04-21T13:00:00Z"]).args(more);
        command.args(["--scope", arg(&lab.scope_file()), "--case", arg(&case)]).output().unwrap()
    };
    respond(&[]);
    let before = content(&case);
    respond(&[]);
    assert_eq!(content(&case), before);
    respond(&["--again"]);
    let after = content(&case);
    assert_eq!(after["vpn2 verdict Compromised"], 2);
    // Not three: the daily check is not due yet, and what was never done is not done again.
    assert_eq!(after["vpn1 verdict NoEvidenceFound"], 2);
}

#[test]
fn a_changed_file_is_found_and_restoring_it_is_found_to_be_restored() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::build(&dir.path().join("lab")).unwrap();
    let case = dir.path().join("case");
    let file = lab.dir().join("evidence/vpn1/home/webserver/htdocs/dana-na/auth/login.cgi");
    let respond = || {
        let mut command = portcullis();
        command.args(["respond", "-q", "--again", "--pack", "packs/ed-21-03", "--exercise", "2021-04-21T13:00:00Z"]);
        let output = command.args(["--scope", arg(&lab.scope_file()), "--case", arg(&case)]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        content(&case)
    };
    let path = "Some(\"/home/webserver/htdocs/dana-na/auth/login.cgi\")";
    assert!(!respond().contains_key(&format!("vpn1 file-modified {path}")));
    let shipped = std::fs::read(&file).unwrap();
    std::fs::write(&file, [&shipped[..], b"# changed\n"].concat()).unwrap();
    assert!(respond().contains_key(&format!("vpn1 file-modified {path}")));
    std::fs::write(&file, &shipped).unwrap();
    let restored = respond();
    assert!(restored.contains_key(&format!("vpn1 file-restored {path}")), "{restored:?}");
    // What the mismatch called for stays owed: a restored file was changed once.
    let report = stdout(&run(&["report", "render", "--case", arg(&case)]));
    assert!(report.contains("2.b.i.isolate for vpn1"), "{report}");
}
