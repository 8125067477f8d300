//! `check / --live`: what does the program say of the host that it runs on?
//!
//! The host is a root folder of its own with the program, its libraries and one more, in name spaces of its
//! own: the walk is short, and nothing else runs there. Needs root; elsewhere it is skipped with a word, and
//! fails under `CI`.

#![expect(clippy::print_stderr, reason = "says what is skipped")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use directive::record::Body;
use directive::verdict::Verdict;

use crate::{arg, records, run, stderr, stdout};

/// A root with the program, `sleep`, and what both load.
fn host(root: &Path) {
    for folder in ["bin", "proc", "sys"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (program, name) in [(env!("CARGO_BIN_EXE_portcullis"), "portcullis"), ("/bin/sleep", "sleep")] {
        fs::copy(program, root.join("bin").join(name)).unwrap();
        let loads = Command::new("ldd").arg(program).output().unwrap();
        for library in stdout(&loads).split_ascii_whitespace().filter(|word| word.starts_with('/')) {
            let place = root.join(&library[1..]);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(library, place).unwrap();
        }
    }
}

/// Runs a script in name spaces where the folder is the host; `None` if that is not allowed here.
fn within(root: &Path, script: &str) -> Option<Output> {
    let root = arg(root);
    let script = format!("mount -t proc proc {root}/proc && mount --bind /sys {root}/sys || exit 99; {script}");
    let script = script.replace("HOST", &format!("chroot {root} /bin"));
    let output = Command::new("unshare").args(["--mount", "--pid", "--fork", "sh", "-c", &script]).output().ok();
    let output = output.filter(|output| rustix::process::getuid().is_root() && output.status.code() != Some(99));
    assert!(output.is_some() || std::env::var_os("CI").is_none(), "CI must run as root, with name spaces");
    if output.is_none() {
        eprintln!("SKIPPED: only root makes name spaces and mounts");
    }
    output
}

#[test]
fn a_program_that_was_deleted_while_it_runs_is_a_finding_beside_the_files() {
    let dir = tempfile::tempdir().unwrap();
    host(dir.path());
    let root = arg(dir.path());
    let script = format!("HOST/sleep 60 & sleep 0.3; rm {root}/bin/sleep; HOST/portcullis check / --live --json");
    let Some(output) = within(dir.path(), &script) else { return };
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    let records = records(&output);
    let deleted = records.iter().find_map(|record| match &record.body {
        Body::Finding(finding) if finding.code == "process-program-deleted" => Some(finding),
        _ => None,
    });
    assert_eq!(deleted.unwrap().path.as_ref().unwrap().as_str(), Some("/bin/sleep"));
    let verdict = records.iter().find_map(|record| match &record.body {
        Body::Verdict(conclusion) => Some(conclusion.verdict),
        _ => None,
    });
    assert_eq!(verdict, Some(Verdict::Mismatch));

    // Without the word, only files are looked at.
    let output = within(dir.path(), "HOST/portcullis check / --json").unwrap();
    assert!(!stdout(&output).contains("process-"), "{}", stdout(&output));
}

#[test]
fn a_response_looks_at_what_runs_where_the_scope_says_so() {
    let dir = tempfile::tempdir().unwrap();
    host(dir.path());
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ed-21-03");
    assert!(Command::new("cp").arg("-r").arg(pack).arg(dir.path().join("pack")).status().unwrap().success());
    let scope = "organisation = \"Agency\"\n[[instance]]\nname = \"vpn1\"\nevidence = \"/\"\n";
    fs::write(dir.path().join("files.toml"), scope).unwrap();
    fs::write(dir.path().join("live.toml"), format!("{scope}live = true\n")).unwrap();
    let respond = |of: &str| {
        let script = format!(
            "HOST/sleep 60 & sleep 0.3; HOST/portcullis respond -q --pack /pack --scope /{of}.toml --case /case-{of} \
             --exercise 2021-05-04T12:00:00Z > /dev/null; HOST/portcullis case show --json --case /case-{of}"
        );
        within(dir.path(), &script)
    };
    let Some(output) = respond("live") else { return };
    let seen = |output: &Output| {
        let of = |record: &directive::record::Record| match &record.body {
            Body::Coverage(coverage) => coverage.running.as_ref().map(|running| running.up),
            _ => None,
        };
        records(output).iter().find_map(of)
    };
    assert!(seen(&output).is_some_and(|up| up > 0), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(seen(&respond("files").unwrap()), None);
}

#[test]
fn a_copy_of_files_has_no_processes() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["check", arg(dir.path()), "--live"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("only a machine that runs has processes"), "{}", stderr(&output));
}
