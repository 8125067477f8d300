//! What an operator's list shows about an instance, and what it cannot be talked into.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests build their own instances")]

use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use check::Manifest;
use check::integrity::{Baseline, Outcome, Request, check as integrity};
use directive::product::Product;
use directive::progress::{Progress, Unwatched};
use directive::record::{Finding, hex};
use sha2::Digest as _;

fn sum(text: &str) -> String {
    hex(&sha2::Sha256::digest(text.as_bytes()))
}

/// Writes an instance: one file a line, `path content`.
fn build(root: &Path, files: &str) {
    for line in files.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (path, text) = line.split_once(' ').unwrap();
        let path = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// A list of what was shipped, from lines `path content`.
fn list(shipped: &str) -> String {
    let lines = shipped.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(' ').unwrap()).map(|(path, text)| format!("{}  {path}\n", sum(text))).collect()
}

struct Case<'a> {
    lists: Vec<String>,
    product: Option<&'a str>,
    previous: Vec<Finding>,
    progress: &'a dyn Progress,
    threads: usize,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self { lists: Vec::new(), product: None, previous: Vec::new(), progress: &Unwatched, threads: 2 }
    }
}

impl Case<'_> {
    fn run(&self, root: &Path) -> Outcome {
        let source = evidence::Folder::open(root).unwrap();
        let lists = self.lists.iter().enumerate();
        let manifests: Vec<_> = lists
            .map(|(n, text)| Manifest::from_operator(&format!("list-{}", n + 1), text.as_bytes()).unwrap())
            .collect();
        let product: Option<Product> = self.product.map(|text| toml::from_str(text).unwrap());
        integrity(&Request {
            source: &source,
            manifests: &manifests,
            baseline: Baseline::None,
            product: product.as_ref(),
            clause: Some("ed-21-03/2"),
            previous: &self.previous,
            previous_coverage: None,
            live: None,
            hunt: None,
            threads: NonZeroUsize::new(self.threads).unwrap(),
            progress: self.progress,
        })
        .unwrap()
    }
}

/// Verdict, findings and required gaps in one line.
fn shown(outcome: &Outcome) -> String {
    let path = |path: &Option<directive::text::Text>| path.as_ref().map(|path| format!(" {path}")).unwrap_or_default();
    let findings = outcome.findings.iter().map(|f| format!("{:?} {}{}", f.severity, f.code, path(&f.path)));
    let gaps = outcome.gaps.iter().filter(|gap| gap.required).map(|gap| format!("gap {}{}", gap.code, path(&gap.path)));
    let all: Vec<String> = findings.chain(gaps).collect();
    format!("{}: {}", outcome.conclusion.verdict, all.join(", "))
}

/// Ships `shipped`, finds `found` on the instance. One line per file: `path content`.
#[track_caller]
fn check(shipped: &str, found: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), found);
    let outcome = Case { lists: vec![list(shipped)], ..Case::default() }.run(dir.path());
    assert_eq!(shown(&outcome), expected);
}

const PRODUCT: &str = r#"
name = "Example Gateway"
vendor = "Example"
[integrity]
complete = ["/home"]
volatile = ["/home/var"]
[[integrity.metadata]]
under = "/home/bin"
forbid = "6022"
except = ["/home/bin/su"]
"#;

#[test]
fn an_untouched_instance_is_vouched_for_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/bin/web vendor\nhome/bin/login vendor");
    let shipped = list("./home/bin/web vendor\n/home/bin/login vendor");
    let outcome = Case { lists: vec![shipped], ..Case::default() }.run(dir.path());
    assert_eq!(shown(&outcome), "no-evidence-found: ");
    assert_eq!((outcome.coverage.files, outcome.coverage.vouched, outcome.coverage.consistent), (2, 2, 0));
    assert_eq!(outcome.coverage.by_folder[0].folder.as_str(), Some("/home"));
    assert!(!outcome.conclusion.reasons.join(" ").contains("clean"));
}

#[test]
fn a_patched_login_page_is_modified() {
    check("home/login.cgi vendor", "home/login.cgi shell", "mismatch: High file-modified /home/login.cgi");
}

#[test]
fn a_web_shell_is_added_and_a_deleted_file_is_missing() {
    check(
        "home/a vendor\nhome/b vendor",
        "home/a vendor\nhome/x shell",
        "mismatch: Medium file-missing /home/b, High file-added /home/x",
    );
}

#[test]
fn a_finding_carries_digest_times_rule_and_clause() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/a shell");
    let outcome = Case { lists: vec![list("home/a vendor")], ..Case::default() }.run(dir.path());
    let finding = &outcome.findings[0];
    assert_eq!(finding.evidence.as_ref().unwrap().sha256.as_deref(), Some(sum("shell").as_str()));
    // The ctime of a copy says when it was copied, not when the instance was changed.
    assert!(finding.times.contains_key("mtime") && !finding.times.contains_key("ctime"));
    assert_eq!(finding.rule.as_deref(), Some("manifest list-1"));
    assert_eq!(finding.clause.as_deref(), Some("ed-21-03/2"));
    assert_eq!(outcome.conclusion.first_sign, finding.times.get("mtime").copied());
}

#[test]
fn without_any_manifest_nothing_passes() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/a vendor");
    assert_eq!(shown(&Case::default().run(dir.path())), "inconclusive: gap manifest-missing");
}

#[test]
fn a_check_that_was_stopped_is_no_pass() {
    struct Stopped;
    impl Progress for Stopped {
        fn expect(&self, _: u64) {}
        fn advance(&self, _: u64, _: u64) {}
        fn stop_requested(&self) -> bool {
            true
        }
    }
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/a vendor");
    let case = Case { lists: vec![list("home/a vendor")], progress: &Stopped, ..Case::default() };
    assert_eq!(shown(&case.run(dir.path())), "inconclusive: gap interrupted");
}

#[test]
fn a_pipe_in_the_place_of_a_program_is_a_modified_program() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/b vendor");
    let pipe = dir.path().join("home/a");
    rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let outcome = Case { lists: vec![list("home/a vendor\nhome/b vendor")], ..Case::default() }.run(dir.path());
    assert_eq!(shown(&outcome), "mismatch: High file-modified /home/a");
}

#[test]
fn a_link_in_the_place_of_a_program_counts_by_what_it_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/real vendor\nhome/evil shell");
    symlink("real", dir.path().join("home/a")).unwrap();
    symlink("/home/evil", dir.path().join("home/b")).unwrap();
    symlink("/etc/hostname-that-is-not-there", dir.path().join("home/c")).unwrap();
    let shipped = list("home/a vendor\nhome/b vendor\nhome/c vendor\nhome/real vendor\nhome/evil shell");
    let outcome = Case { lists: vec![shipped], ..Case::default() }.run(dir.path());
    assert_eq!(shown(&outcome), "mismatch: High file-modified /home/b, High file-modified /home/c");
}

#[test]
fn a_list_that_names_files_through_a_linked_folder_means_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "usr/bin/sh vendor");
    symlink("usr/bin", dir.path().join("bin")).unwrap();
    let outcome = Case { lists: vec![list("/bin/sh vendor")], ..Case::default() }.run(dir.path());
    assert_eq!(shown(&outcome), "no-evidence-found: ");
}

#[test]
fn two_lists_that_contradict_each_other_vouch_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/a vendor");
    let case = Case { lists: vec![list("home/a vendor"), list("home/a other")], ..Case::default() };
    let outcome = case.run(dir.path());
    assert_eq!(shown(&outcome), "mismatch: Medium manifest-disagrees /home/a");
    assert_eq!(outcome.coverage.vouched, 0);
}

#[test]
fn only_the_folders_that_the_vendor_accounts_for_must_be_complete() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/a vendor\nhome/x shell\nhome/var/log text\ndata/y text");
    let case = Case { lists: vec![list("home/a vendor")], product: Some(PRODUCT), ..Case::default() };
    let outcome = case.run(dir.path());
    assert_eq!(shown(&outcome), "mismatch: High file-added /home/x");
    assert_eq!(outcome.coverage.unlisted, 3);
}

#[test]
fn a_program_that_became_setuid_breaks_the_rule_of_the_product() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/bin/web vendor\nhome/bin/su vendor");
    for name in ["web", "su"] {
        let mode = std::fs::Permissions::from_mode(0o4755);
        std::fs::set_permissions(dir.path().join("home/bin").join(name), mode).unwrap();
    }
    let shipped = list("home/bin/web vendor\nhome/bin/su vendor");
    let outcome = Case { lists: vec![shipped], product: Some(PRODUCT), ..Case::default() }.run(dir.path());
    assert_eq!(shown(&outcome), "mismatch: High file-metadata /home/bin/web");
    assert_eq!(outcome.findings[0].why, "mode 4755 has setuid set");
}

#[test]
fn a_file_that_was_restored_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/a shell\nhome/x shell");
    let shipped = || Case { lists: vec![list("home/a vendor\nhome/b vendor")], ..Case::default() };
    let first = shipped().run(dir.path());
    assert_eq!(
        shown(&first),
        "mismatch: High file-modified /home/a, Medium file-missing /home/b, High file-added /home/x"
    );
    build(dir.path(), "home/a vendor\nhome/b vendor");
    std::fs::remove_file(dir.path().join("home/x")).unwrap();
    let second = Case { previous: first.findings, ..shipped() }.run(dir.path());
    let restored =
        "no-evidence-found: Info file-restored /home/a, Info file-restored /home/b, Info file-restored /home/x";
    assert_eq!(shown(&second), restored);
    assert!(second.findings[0].why.contains(&sum("shell")), "{}", second.findings[0].why);
    let third = Case { previous: second.findings.clone(), ..shipped() }.run(dir.path());
    assert_eq!(shown(&third), restored);
    assert_eq!(third.findings[0].why, second.findings[0].why);
}

#[test]
fn a_file_that_is_still_wrong_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/a shell");
    let case = || Case { lists: vec![list("home/a vendor")], ..Case::default() };
    let first = case().run(dir.path());
    let second = Case { previous: first.findings.clone(), ..case() }.run(dir.path());
    assert_eq!(second.findings, first.findings);
}

#[test]
fn a_version_file_is_a_witness_that_can_be_faked() {
    const VERSIONED: &str = r#"
name = "Example Gateway"
vendor = "Example"
[[affected]]
before = "9.1R11.4"
[[witness]]
source = "file"
path = "/home/VERSION"
patterns = ['DSREL_MAJOR=(?<major>\d+)', 'DSREL_MINOR=(?<minor>\d+)', 'DSREL_COMMENT=(?<comment>\S+)']
template = "{major}.{minor}{comment}"
[[witness]]
source = "file"
path = "/home/nowhere"
patterns = ['(?<all>.+)']
template = "{all}"
"#;
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/VERSION x");
    std::fs::write(dir.path().join("home/VERSION"), "export DSREL_MAJOR=9\nDSREL_MINOR=1\nDSREL_COMMENT=R10\n")
        .unwrap();
    let outcome = Case { product: Some(VERSIONED), ..Case::default() }.run(dir.path());
    let witness = &outcome.witnesses[0];
    assert_eq!((witness.value.as_str(), witness.fakeable), ("9.1R10", true));
    assert_eq!(witness.status, directive::record::Status::Affected);
    assert!(outcome.gaps.iter().any(|gap| gap.code == "version-unread" && !gap.required), "{:?}", outcome.gaps);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..200 {
        build(dir.path(), &format!("d{}/f{n} {}", n % 7, n % 3));
    }
    let with = |threads| Case { lists: vec![list("d0/f0 0\nd1/f1 x")], threads, ..Case::default() };
    let one = with(1).run(dir.path());
    assert_eq!(one.findings.len(), 199);
    for threads in [2, 7] {
        let other = with(threads).run(dir.path());
        assert_eq!((&one.findings, &one.coverage), (&other.findings, &other.coverage));
    }
}

#[test]
fn every_code_has_a_heading_in_the_documentation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(folder.join("../../docs/findings.md")).unwrap();
    for code in [
        "file-modified",
        "file-added",
        "file-missing",
        "file-metadata",
        "file-restored",
        "manifest-disagrees",
        "manifest-missing",
        "manifest-untrusted",
        "manifest-damaged",
        "version-disagrees",
        "version-unread",
        "unreadable",
        "vanished",
        "changed-while-read",
        "special-file",
        "pseudo-filesystem",
        "network-filesystem",
        "too-deep",
        "path-too-long",
        "too-large",
        "folder-loop",
        "too-many",
        "interrupted",
    ] {
        assert!(docs.contains(&format!("\n## {code}\n")), "docs/findings.md has no heading for {code}");
    }
}

/// The manifest on the instance, where the manifest from outside lists it or does not.
#[track_caller]
fn on_box_manifest(shipped: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "home/bin/web vendor\nhome/etc/manifest rewritten");
    let product =
        "name = \"G\"\nvendor = \"E\"\n[integrity]\ncomplete = [\"/home\"]\nmay-be-unlisted = [\"/home/etc/manifest\"]";
    let outcome = Case { lists: vec![list(shipped)], product: Some(product), ..Case::default() }.run(dir.path());
    assert_eq!(shown(&outcome), expected);
}

#[test]
fn a_manifest_that_cannot_list_itself_is_not_an_added_file() {
    on_box_manifest("home/bin/web vendor", "no-evidence-found: ");
}

#[test]
fn a_rewritten_manifest_on_the_instance_is_found_where_one_from_outside_lists_it() {
    on_box_manifest("home/bin/web vendor\nhome/etc/manifest vendor", "mismatch: High file-modified /home/etc/manifest");
}
