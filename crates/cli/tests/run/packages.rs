//! Packages of Debian as manifests, on the command line and in a scope.
//!
//! `dpkg-deb` builds them; without it the tests are skipped with a word, and fail under `CI`.

#![expect(clippy::print_stderr, reason = "says what is skipped")]

use std::fs;
use std::path::Path;
use std::process::Command;

use directive::record::Body;

use crate::{arg, records, run, stderr, stdout};

/// A package in a folder of packages, and an instance on which it is installed. Whether both could be made.
fn prepare(dir: &Path) -> bool {
    let staged = dir.join("staged");
    fs::create_dir_all(staged.join("DEBIAN")).unwrap();
    fs::create_dir_all(staged.join("usr/share/web")).unwrap();
    let control = "Package: web\nVersion: 1:1.0-1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: a\n";
    fs::write(staged.join("DEBIAN/control"), control).unwrap();
    fs::write(staged.join("usr/share/web/page"), "vendor").unwrap();
    fs::create_dir(dir.join("debs")).unwrap();
    let built = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build", arg(&staged), arg(&dir.join("debs/web_1.0-1_all.deb"))])
        .output();
    assert!(built.is_ok() || std::env::var_os("CI").is_none(), "dpkg-deb is not installed, and CI must build packages");
    if built.is_err() {
        eprintln!("SKIPPED: dpkg-deb is not installed");
        return false;
    }
    let root = dir.join("root");
    fs::create_dir_all(root.join("usr/share/web")).unwrap();
    fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    fs::write(root.join("usr/share/web/page"), "vendor").unwrap();
    let status = "Package: web\nStatus: install ok installed\nArchitecture: all\nVersion: 1:1.0-1\n\n";
    fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
    // The files are owned by whoever runs the tests; the package says root.
    rustix::process::getuid().is_root()
}

#[test]
fn a_folder_of_packages_and_one_package_vouch_alike() {
    let dir = tempfile::tempdir().unwrap();
    if !prepare(dir.path()) {
        return;
    }
    let root = dir.path().join("root");
    for manifest in ["debs", "debs/web_1.0-1_all.deb"] {
        let output = run(&["check", arg(&root), "--manifest", arg(&dir.path().join(manifest))]);
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        assert!(stderr(&output).contains("1 vouched for"), "{}", stderr(&output));
        assert!(stderr(&output).contains("(1 such as Debian makes itself)"), "{}", stderr(&output));
    }
    fs::write(root.join("usr/share/web/shell.php"), "added").unwrap();
    let output = run(&["--json", "check", arg(&root), "--manifest", arg(&dir.path().join("debs"))]);
    assert_eq!(output.status.code(), Some(1));
    let codes: Vec<String> = records(&output)
        .into_iter()
        .filter_map(|record| match record.body {
            Body::Finding(finding) => Some(finding.code),
            _ => None,
        })
        .collect();
    assert_eq!(codes, ["file-added"]);
}

#[test]
fn a_folder_without_packages_and_a_damaged_package_end_the_check() {
    let dir = tempfile::tempdir().unwrap();
    if !prepare(dir.path()) {
        return;
    }
    let root = dir.path().join("root");
    let refused = |manifest: &str, words: &str| {
        let output = run(&["check", arg(&root), "--manifest", arg(&dir.path().join(manifest))]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    };
    refused("root", "no file in it ends in .deb or .rpm");
    let package = dir.path().join("debs/web_1.0-1_all.deb");
    let bytes = fs::read(&package).unwrap();
    fs::write(&package, &bytes[..bytes.len() - 30]).unwrap();
    refused("debs", "web_1.0-1_all.deb cannot be used");
}

#[test]
fn a_scope_may_name_a_folder_of_packages_and_the_case_keeps_their_digests() {
    let dir = tempfile::tempdir().unwrap();
    if !prepare(dir.path()) {
        return;
    }
    let scope = dir.path().join("scope.toml");
    let text = "organisation = \"Agency\"\n[[instance]]\nname = \"web1\"\nevidence = \"root\"\nmanifest = \"debs\"\n";
    fs::write(&scope, text).unwrap();
    let case = dir.path().join("case");
    let output = run(&[
        "respond",
        "--pack",
        "packs/openssh-cve-2024-6387",
        "--scope",
        arg(&scope),
        "--case",
        arg(&case),
        "--exercise",
        "2024-07-02T09:00[UTC]",
    ]);
    assert_ne!(output.status.code(), Some(2), "{}", stderr(&output));
    let shown = stdout(&run(&["case", "show", "--case", arg(&case)]));
    assert!(shown.contains("\"vouched\":1"), "{shown}");
    let inside = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let kept = inside(&case.join("evidence")).into_iter().flat_map(|folder| inside(&folder));
    let kept: Vec<String> = kept.flat_map(|path| fs::read_to_string(path).ok()).collect();
    assert!(kept.iter().any(|text| text.ends_with("  debs/web_1.0-1_all.deb\n")), "{kept:?}");
}
