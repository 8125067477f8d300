//! The peer to agree with: `debsums -a` on this very machine, path by path.
//!
//! Runs where `debsums` is installed; elsewhere it is skipped with a word, and fails under `CI`,
//! where it must be installed.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "runs the peer beside the check"
)]

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::process::Command;

use check::integrity::{Baseline, Request, check};
use directive::progress::Unwatched;
use evidence::Source as _;

/// Paths that `debsums` calls failed, and paths that it calls missing, with folders resolved.
fn peer(source: &evidence::Folder) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let output = Command::new("debsums").arg("-a").env("LC_ALL", "C").env("COLUMNS", "80").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let place = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let folder = source.canonical_folder(folder.as_bytes()).unwrap_or_else(|| folder.as_bytes().to_vec());
        format!("{}/{name}", String::from_utf8_lossy(&folder))
    };
    let (mut failed, mut missing) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(path) = line.strip_suffix(" FAILED") {
            failed.insert(place(path.trim_end()));
        } else if let Some(rest) = line.strip_prefix("debsums: missing file ") {
            missing.insert(place(rest.rsplit_once(" (from ").unwrap().0));
        }
    }
    Some((failed, missing))
}

#[test]
fn a_whole_debian_host_is_judged_as_debsums_judges_it() {
    let source = evidence::Folder::live().unwrap();
    let Some((failed, missing)) = peer(&source) else {
        assert!(std::env::var_os("CI").is_none(), "debsums is not installed, and CI must compare with it");
        eprintln!("SKIPPED: debsums is not installed; `apt-get install debsums` to compare with it");
        return;
    };
    let outcome = check(&Request {
        source: &source,
        manifests: &[],
        baseline: Baseline::Dpkg,
        product: None,
        clause: None,
        previous: &[],
        previous_coverage: None,
        live: None,
        hunt: None,
        threads: NonZeroUsize::new(2).unwrap(),
        progress: &Unwatched,
    })
    .unwrap();
    let ours = |code: &str| -> BTreeSet<String> {
        let with_code = outcome.findings.iter().filter(|finding| finding.code == code);
        with_code.filter_map(|finding| Some(finding.path.as_ref()?.as_str()?.to_owned())).collect()
    };
    let differ = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.symmetric_difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(differ(&ours("file-modified"), &failed), Vec::<String>::new(), "modified, ours against debsums");
    assert_eq!(differ(&ours("file-missing"), &missing), Vec::<String>::new(), "missing, ours against debsums");
    eprintln!(
        "agreed with debsums: {} modified, {} missing, {} as the package database has them",
        failed.len(),
        missing.len(),
        outcome.coverage.consistent
    );
}
