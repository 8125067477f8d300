//! Manifest: is a list what was shipped, and do other tools agree?
//!
//! A list is made, signed, verified and compared, and Debian's own tools agree.

#![expect(clippy::print_stderr, reason = "says what is skipped")]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use directive::record::Body;

use crate::{arg, records, run, stderr, stdout};

/// Whether a program is here. Under CI it must be.
fn is_here(program: &str) -> bool {
    let here = Command::new(program).arg("--help").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "{program} is not installed, and CI must compare with it");
    if !here {
        eprintln!("SKIPPED: {program} is not installed");
    }
    here
}

/// A good machine of three files, two of them with names that need escapes; and its list.
fn good(dir: &Path) {
    fs::create_dir_all(dir.join("good/bin")).unwrap();
    fs::write(dir.join("good/bin/web"), "vendor").unwrap();
    fs::write(dir.join("good/bin/with\nbreak"), "a").unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\\\xff");
    fs::write(dir.join("good/bin").join(odd), "b").unwrap();
    let output = run(&[
        "manifest",
        "create",
        arg(&dir.join("good")),
        "-o",
        arg(&dir.join("list")),
        "--version",
        "9.1R11.4",
        "--product",
        "Example Gateway",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// A key without a password, made by minisign itself.
fn key(dir: &Path, name: &str) {
    let (public, secret) = (dir.join(format!("{name}.pub")), dir.join(format!("{name}.key")));
    let made = Command::new("minisign").args(["-G", "-W", "-f", "-p", arg(&public), "-s", arg(&secret)]).output();
    assert!(made.unwrap().status.success());
}

#[test]
fn a_list_that_was_made_vouches_for_the_same_files_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    let list = String::from_utf8_lossy(&fs::read(dir.path().join("list")).unwrap()).into_owned();
    assert!(list.starts_with("# version: 9.1R11.4\n# product: Example Gateway\n# source: "), "{list}");
    let output = run(&["check", arg(&dir.path().join("good")), "--manifest", arg(&dir.path().join("list"))]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains("3 vouched for"), "{}", stderr(&output));
    let mut peer = Command::new("sha256sum");
    peer.args(["--check", "--strict", "--quiet", "../list"]).current_dir(dir.path().join("good"));
    let peer = peer.output().unwrap();
    assert!(peer.status.success(), "{}", stderr(&peer));
}

#[test]
fn what_was_not_seen_is_a_gap_and_stands_in_the_list() {
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    // A tar that was cut in the middle of a file.
    let tar = dir.path().join("cut.tar");
    fs::write(dir.path().join("good/bin/web"), vec![7; 40_000]).unwrap();
    fs::write(dir.path().join("good/bin/small"), "small").unwrap();
    let made = Command::new("tar")
        .args(["-C", arg(dir.path()), "-cf", arg(&tar), "good/bin/small", "good/bin/web"])
        .status()
        .unwrap();
    assert!(made.success());
    let bytes = fs::read(&tar).unwrap();
    fs::write(&tar, &bytes[..20_000]).unwrap();
    let output = run(&["manifest", "create", arg(&tar), "-o", arg(&dir.path().join("cut")), "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(records(&output).iter().any(|record| matches!(&record.body, Body::Gap(gap) if gap.required)));
    let said = fs::read_to_string(dir.path().join("cut")).unwrap();
    assert!(said.contains("# not seen, ") && said.contains("/bin/small\n"), "{said}");
}

#[test]
fn a_folder_without_files_gives_no_list() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let output = run(&["manifest", "create", arg(&dir.path().join("empty")), "-o", arg(&dir.path().join("list"))]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!dir.path().join("list").exists());
}

#[test]
fn two_lists_are_compared_path_by_path() {
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    let (list, other) = (dir.path().join("list"), dir.path().join("other"));
    assert_eq!(run(&["manifest", "diff", arg(&list), arg(&list)]).status.code(), Some(0));
    fs::write(dir.path().join("good/bin/web"), "other").unwrap();
    fs::write(dir.path().join("good/bin/new"), "new").unwrap();
    run(&["manifest", "create", arg(&dir.path().join("good")), "-o", arg(&other)]);
    let output = run(&["manifest", "diff", arg(&list), arg(&other)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "added   /bin/new\nchanged /bin/web\n");
    assert_eq!(records(&run(&["--json", "manifest", "diff", arg(&list), arg(&other)])).len(), 3);
}

#[test]
fn what_we_sign_minisign_verifies_and_what_it_signs_we_verify() {
    if !is_here("minisign") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    key(dir.path(), "vendor");
    let (list, public) = (dir.path().join("list"), dir.path().join("vendor.pub"));
    let signed = run(&["manifest", "sign", arg(&list), "--key", arg(&dir.path().join("vendor.key"))]);
    assert_eq!(signed.status.code(), Some(0), "{}", stderr(&signed));
    let peer = Command::new("minisign").args(["-V", "-m", arg(&list), "-p", arg(&public)]).output().unwrap();
    assert!(peer.status.success(), "{}", stderr(&peer));
    let ours = run(&["manifest", "verify", arg(&list), "--key", arg(&public)]);
    assert_eq!(ours.status.code(), Some(0), "{}", stderr(&ours));

    let theirs = dir.path().join("theirs");
    let secret = dir.path().join("vendor.key");
    let made = Command::new("minisign").args(["-S", "-s", arg(&secret), "-m", arg(&list), "-x", arg(&theirs)]).output();
    assert!(made.unwrap().status.success());
    let output = run(&["manifest", "verify", arg(&list), "--signature", arg(&theirs), "--key", arg(&public)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_list_that_was_signed_with_another_key_or_changed_or_not_signed_ends_the_check() {
    if !is_here("minisign") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    key(dir.path(), "vendor");
    key(dir.path(), "intruder");
    let (list, public) = (dir.path().join("list"), dir.path().join("vendor.pub"));
    let good = dir.path().join("good");
    let check = || run(&["check", arg(&good), "--manifest", arg(&list), "--manifest-key", arg(&public)]);
    let sign = |key: &str| run(&["manifest", "sign", arg(&list), "--key", arg(&dir.path().join(key))]);
    let refused = |words: &str| {
        let output = check();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    };
    refused("cannot read the signature");
    sign("vendor.key");
    assert_eq!(check().status.code(), Some(0));
    let mut bytes = fs::read(&list).unwrap();
    bytes[2] ^= 1;
    fs::write(&list, bytes).unwrap();
    refused("does not verify");
    sign("intruder.key");
    refused("another key");
    fs::write(dir.path().join("list.minisig"), "nonsense").unwrap();
    refused("none of minisign's");
}

#[test]
fn a_key_with_a_password_signs_with_it_and_with_nothing_else() {
    if !is_here("minisign") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    let at = |name: &str| dir.path().join(name);
    fs::write(at("right"), "correct horse\nnever read\n").unwrap();
    fs::write(at("wrong"), "battery staple\n").unwrap();
    let make =
        format!("printf 'correct horse\\ncorrect horse\\n' | minisign -G -f -p '{0}.pub' -s '{0}.key'", arg(&at("v")));
    assert!(Command::new("sh").args(["-c", &make]).output().unwrap().status.success());
    let (list, secret) = (at("list"), at("v.key"));
    let sign = |more: &[&str]| run(&[&["manifest", "sign", arg(&list), "--key", arg(&secret)], more].concat());
    for (more, words) in [
        (vec![], "--password-file"),
        (vec!["--password-file", arg(&at("wrong"))], "cannot use the secret key"),
        (vec!["--password-file", arg(&at("none"))], "cannot read the password"),
    ] {
        let output = sign(&more);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
        assert!(!at("list.minisig").exists());
    }
    let output = sign(&["--password-file", arg(&at("right"))]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let public = at("v.pub");
    let peer = Command::new("minisign").args(["-V", "-m", arg(&list), "-p", arg(&public)]).output().unwrap();
    assert!(peer.status.success(), "{}", stderr(&peer));
    let output = run(&["check", arg(&at("good")), "--manifest", arg(&list), "--manifest-key", arg(&public)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_specification_of_mtree_vouches_like_any_list() {
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    let (list, mtree) = (dir.path().join("list"), dir.path().join("good.mtree"));
    // Made of the list by hand: names of vis(3), as bsdtar and mtree write them.
    let mut text = "#mtree\n/set type=file\n. type=dir\nbin type=dir\n".to_owned();
    for line in String::from_utf8_lossy(&fs::read(&list).unwrap()).lines().filter(|line| !line.starts_with('#')) {
        let digest = line.trim_start_matches('\\').split(' ').next().unwrap();
        let name = match line {
            line if line.ends_with("web") => "web",
            line if line.contains("break") => "with\\nbreak",
            _ => "odd\\\\\\377",
        };
        text += &format!("    {name} sha256digest={digest}\n");
    }
    fs::write(&mtree, text + "..\n..\n").unwrap();
    let good = dir.path().join("good");
    let check = || run(&["check", arg(&good), "--manifest", arg(&mtree), "--json"]);
    let output = check();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains("3 vouched for"), "{}", stderr(&output));
    fs::write(good.join("bin/web"), "other").unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    let found = records(&output).into_iter().find_map(|record| match record.body {
        Body::Finding(finding) => Some(finding),
        _ => None,
    });
    assert_eq!(found.map(|finding| finding.code).as_deref(), Some("file-modified"));
}

#[test]
fn a_scope_that_names_a_key_takes_only_manifests_that_it_signed() {
    if !is_here("minisign") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    key(dir.path(), "vendor");
    key(dir.path(), "intruder");
    let scope = dir.path().join("scope.toml");
    let text = "organisation = \"Agency\"\n[[instance]]\nname = \"vpn1\"\nevidence = \"good\"\nmanifest = \"list\"\n\
                manifest-key = \"vendor.pub\"\n";
    fs::write(&scope, text).unwrap();
    let list = dir.path().join("list");
    let sign = |key: &str| run(&["manifest", "sign", arg(&list), "--key", arg(&dir.path().join(key))]);
    let case = dir.path().join("case");
    let exercise = ["--exercise", "2021-04-21T09:00[America/New_York]"];
    let respond = || {
        let named = ["respond", "--pack", "packs/ed-21-03", "--scope", arg(&scope), "--case", arg(&case)];
        run(&[&named[..], &exercise].concat())
    };
    for (key, words) in [(None, "cannot read the signature list.minisig"), (Some("intruder.key"), "another key")] {
        key.map(sign);
        let output = respond();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
        assert!(!case.exists(), "a case was made");
    }
    sign("vendor.key");
    let output = respond();
    assert_ne!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(case.exists());
}
