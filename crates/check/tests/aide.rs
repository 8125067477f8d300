//! The peer to agree with: `aide --check` on a database that `aide --init` made, path by path.
//!
//! Runs where `aide` is installed; elsewhere it is skipped with a word, and fails under `CI`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "runs the peer beside the check"
)]

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use check::Manifest;
use check::integrity::{Baseline, Outcome, Request, check as integrity};
use directive::progress::Unwatched;
use directive::verdict::Verdict;

/// Runs AIDE over `dir/root`; `None` where there is none.
fn aide(dir: &Path, what: &str, packed: &str) -> Option<String> {
    let config = format!(
        "root_prefix={root}\ndatabase_in=file:{db}\ndatabase_out=file:{db}\ngzip_dbout={packed}\nreport_url=stdout\n\
         log_level=error\n/var/log p+u+g\n/old p+md5\n/ p+l+u+g+sha256\n",
        root = dir.join("root").display(),
        db = dir.join("aide.db").display(),
    );
    fs::write(dir.join("aide.conf"), config).unwrap();
    let output = Command::new("aide").arg("-c").arg(dir.join("aide.conf")).arg(what).output();
    assert!(output.is_ok() || std::env::var_os("CI").is_none(), "aide is not installed, and CI must compare with it");
    let Ok(output) = output else {
        eprintln!("SKIPPED: aide is not installed; `apt-get install aide` to compare with it");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    // 1, 2 and 4 add up to what was found; more is an error.
    assert!(output.status.code().unwrap() <= 7, "{text}");
    Some(text)
}

/// Files and links that AIDE calls added, removed or changed; folders are not compared here.
fn peer(text: &str) -> BTreeSet<String> {
    let mut said = BTreeSet::new();
    for line in text.lines() {
        let Some((flags, path)) = line.split_once(": /").filter(|(flags, _)| flags.len() == 18) else { continue };
        if !flags.starts_with(['f', 'l']) {
            continue;
        }
        // Which column stands for what: aide.conf(5), "report_summarize_changes".
        let column = |n: usize| flags.as_bytes()[n];
        let codes = [
            ("file-added", column(1) == b'+'),
            ("file-missing", column(1) == b'-'),
            ("file-modified", column(1) == b'l' || column(12) == b'H'),
            ("file-metadata", (4..7).any(|n| b"pug".contains(&column(n)))),
        ];
        said.extend(codes.iter().filter(|(_, is_so)| *is_so).map(|(code, _)| format!("{code} /{path}")));
    }
    said
}

fn check(dir: &Path) -> Outcome {
    let list = Manifest::from_operator("aide.db", &fs::read(dir.join("aide.db")).unwrap()).unwrap();
    integrity(&Request {
        source: &evidence::Folder::open(&dir.join("root")).unwrap(),
        manifests: &[list],
        baseline: Baseline::None,
        product: None,
        clause: None,
        previous: &[],
        previous_coverage: None,
        live: None,
        hunt: None,
        threads: NonZeroUsize::new(2).unwrap(),
        progress: &Unwatched,
    })
    .unwrap()
}

fn ours(outcome: &Outcome) -> BTreeSet<String> {
    let path = |finding: &directive::record::Finding| finding.path.clone().unwrap_or_default().escaped();
    outcome.findings.iter().map(|finding| format!("{} {}", finding.code, path(finding))).collect()
}

fn machine(dir: &Path) {
    let root = dir.join("root");
    for folder in ["bin", "etc", "var/log"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for name in ["bin/same", "bin/changed", "bin/gone", "bin/setid", "bin/with space %", "etc/conf", "var/log/grows"] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(root.join("var/log/grows"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("same", root.join("bin/link")).unwrap();
    symlink("same", root.join("bin/turned")).unwrap();
}

#[test]
fn a_machine_with_a_database_of_aide_is_judged_as_aide_judges_it() {
    for packed in ["no", "yes"] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        machine(dir.path());
        if aide(dir.path(), "--init", packed).is_none() {
            return;
        }
        assert_eq!(fs::read(dir.path().join("aide.db")).unwrap().starts_with(&[0x1f, 0x8b]), packed == "yes");
        let clean = check(dir.path());
        assert_eq!((ours(&clean), peer(&aide(dir.path(), "--check", packed).unwrap())), Default::default());
        // The log is listed without a digest.
        assert_eq!((clean.coverage.vouched, clean.coverage.unlisted), (6, 1));
        assert_eq!(clean.conclusion.verdict, Verdict::NoEvidenceFound);
        assert!(clean.gaps.iter().any(|gap| gap.code == "manifest-weak" && !gap.required));

        fs::write(root.join("bin/changed"), "by somebody").unwrap();
        fs::write(root.join("bin/with space %"), "by somebody").unwrap();
        fs::write(root.join("var/log/grows"), "one more line").unwrap();
        fs::remove_file(root.join("bin/gone")).unwrap();
        fs::write(root.join("bin/new"), "new").unwrap();
        fs::set_permissions(root.join("bin/setid"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::remove_file(root.join("bin/turned")).unwrap();
        symlink("changed", root.join("bin/turned")).unwrap();
        let said = peer(&aide(dir.path(), "--check", packed).unwrap());
        assert_eq!(ours(&check(dir.path())), said);
        assert_eq!(said.len(), 6, "{said:?}");
        eprintln!("agreed with aide: {said:?}");
    }
}

#[test]
fn an_entry_of_aide_with_a_weaker_digest_alone_does_not_vouch_and_the_gap_is_required() {
    let dir = tempfile::tempdir().unwrap();
    machine(dir.path());
    fs::create_dir(dir.path().join("root/old")).unwrap();
    fs::write(dir.path().join("root/old/file"), "x").unwrap();
    if aide(dir.path(), "--init", "no").is_none() {
        return;
    }
    let outcome = check(dir.path());
    assert_eq!(ours(&outcome), BTreeSet::new());
    assert!(outcome.gaps.iter().any(|gap| gap.code == "manifest-weak" && gap.required), "{:?}", outcome.gaps);
    assert_eq!(outcome.conclusion.verdict, Verdict::Inconclusive);
}
