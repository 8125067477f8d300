//! A whole Debian made by debootstrap, held against the packages that it was made of.
//!
//! Runs as root where `debootstrap` is installed; `ci/debs.sh` fetches the packages once. Elsewhere it is
//! skipped with a word, and fails under `CI`, where it must run.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "makes a Debian beside the check"
)]

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use check::Manifest;
use check::integrity::{Baseline, Outcome, Request, check as integrity};
use check::manifest::package;
use directive::progress::Unwatched;
use directive::verdict::Verdict;

/// The folder of packages; `None` if it cannot be had here.
fn debs() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let made = rustix::process::getuid().is_root()
        && Command::new("debootstrap").arg("--version").output().is_ok()
        && Command::new(root.join("ci/debs.sh")).current_dir(&root).output().unwrap().status.success();
    assert!(made || std::env::var_os("CI").is_none(), "no packages of Debian: needs root, debootstrap and the network");
    if !made {
        eprintln!("SKIPPED: making a Debian needs root, debootstrap and, the first time, the network");
    }
    made.then(|| target.join("debs").canonicalize().unwrap())
}

/// A fresh system made of those packages.
fn debian(debs: &Path, name: &str) -> PathBuf {
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&tree);
    let bundle = format!("--unpack-tarball={}", debs.join("bookworm.tgz").display());
    let made =
        Command::new("debootstrap").args(["--variant=minbase", &bundle, "bookworm"]).arg(&tree).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    tree
}

fn check(tree: &Path, debs: &Path) -> Outcome {
    let mut manifests = Vec::new();
    for entry in fs::read_dir(debs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if package::is_named(name.as_bytes()) {
            let file = Box::new(fs::File::open(&path).unwrap());
            manifests.push(package::read(name, file, &Unwatched).unwrap());
        }
    }
    run(tree, &manifests, Baseline::None)
}

fn run(tree: &Path, manifests: &[Manifest<check::Operator>], baseline: Baseline) -> Outcome {
    integrity(&Request {
        source: &evidence::Folder::open(tree).unwrap(),
        manifests,
        baseline,
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

fn shown(outcome: &Outcome) -> Vec<String> {
    let path = |finding: &directive::record::Finding| finding.path.clone().unwrap_or_default().escaped();
    outcome
        .findings
        .iter()
        .map(|finding| format!("{:?} {} {}", finding.severity, finding.code, path(finding)))
        .collect()
}

/// Appends to a file and writes its new MD5 where dpkg keeps the old one, as an intruder would.
fn change_with_its_checksum(tree: &Path, path: &str, package: &str) {
    let file = tree.join(path);
    let mut bytes = fs::read(&file).unwrap();
    let md5 = |bytes: &[u8]| directive::record::hex(&<md5::Md5 as md5::Digest>::digest(bytes));
    let before = md5(&bytes);
    bytes.extend(b"\n# one more line\n");
    fs::write(&file, &bytes).unwrap();
    let sums = tree.join(format!("var/lib/dpkg/info/{package}.md5sums"));
    let text = fs::read_to_string(&sums).unwrap();
    assert!(text.contains(&before));
    fs::write(&sums, text.replace(&before, &md5(&bytes))).unwrap();
}

#[test]
fn a_fresh_debian_is_as_its_packages_ship_it_and_every_further_file_is_explained() {
    let Some(debs) = debs() else { return };
    let tree = debian(&debs, "fresh");
    let outcome = check(&tree, &debs);
    assert_eq!(shown(&outcome), Vec::<String>::new());
    let required: Vec<_> = outcome.gaps.iter().filter(|gap| gap.required).collect();
    assert!(required.is_empty(), "{required:?}");
    assert_eq!(outcome.conclusion.verdict, Verdict::NoEvidenceFound);
    let seen = &outcome.coverage;
    eprintln!("{} files: {} vouched for, {} explained", seen.files, seen.vouched, seen.explained);
    // What is neither lies in folders that belong to the administrator: `/root` has two files.
    assert!(seen.vouched > 4000 && seen.files == seen.vouched + seen.unlisted, "{seen:?}");
    assert!(seen.explained > 50 && seen.unlisted - seen.explained <= 2, "{seen:?}");
    fs::remove_dir_all(tree).unwrap();
}

#[test]
fn what_an_intruder_changes_with_its_checksum_adds_and_makes_setuid_is_found() {
    let Some(debs) = debs() else { return };
    let tree = debian(&debs, "tampered");
    change_with_its_checksum(&tree, "usr/bin/ldd", "libc-bin");
    fs::write(tree.join("usr/lib/.cache.so"), "\x7fELF not really").unwrap();
    fs::write(tree.join("etc/cron.d/update"), "* * * * * root true\n").unwrap();
    fs::write(tree.join("var/lib/dpkg/info/libupdate.postinst"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("usr/bin/find"), fs::Permissions::from_mode(0o4755)).unwrap();
    // A program that may be setgid in Debian, and ships without: the package knows better than a table.
    fs::set_permissions(tree.join("usr/bin/wall"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::remove_file(tree.join("usr/bin/cmp")).unwrap();
    fs::remove_file(tree.join("usr/lib/x86_64-linux-gnu/libz.so.1")).unwrap();
    std::os::unix::fs::symlink("/usr/lib/.cache.so", tree.join("usr/lib/x86_64-linux-gnu/libz.so.1")).unwrap();
    let outcome = check(&tree, &debs);
    assert_eq!(
        shown(&outcome),
        [
            "High file-added /etc/cron.d/update",
            "Medium file-missing /usr/bin/cmp",
            "High file-metadata /usr/bin/find",
            "High file-modified /usr/bin/ldd",
            "High file-metadata /usr/bin/wall",
            "High file-added /usr/lib/.cache.so",
            "High file-modified /usr/lib/x86_64-linux-gnu/libz.so.1",
            "High file-modified /var/lib/dpkg/info/libc-bin.md5sums",
            "High file-added /var/lib/dpkg/info/libupdate.postinst",
        ]
    );
    // The database on the instance has been made to agree, which is why it never vouches.
    let own = run(&tree, &[], Baseline::Dpkg);
    assert!(!shown(&own).iter().any(|line| line.ends_with("/usr/bin/ldd")), "{:?}", shown(&own));
    fs::remove_dir_all(tree).unwrap();
}
