//! Signed manifest: does the appliance's own list count, and only under the vendor's key?
//!
//! Keys and signatures are made by `openssl`; without it the tests are skipped with a word, and fail
//! under `CI`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "runs openssl beside the check"
)]

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use check::integrity::{Baseline, Outcome, Request, check as integrity};
use directive::product::Product;
use directive::progress::Unwatched;
use directive::record::hex;
use sha2::Digest as _;

fn openssl(arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("openssl").args(arguments).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// Makes a key; its fingerprint.
fn key(dir: &Path, name: &str) -> Option<String> {
    let file = dir.join(name);
    let file = file.to_str().unwrap();
    openssl(&["genrsa", "-out", file, "2048"])?;
    Some(hex(&sha2::Sha256::digest(openssl(&["pkey", "-in", file, "-pubout", "-outform", "DER"])?)))
}

/// Lists what is on the instance and signs that, as the appliance does; and as its intruder did.
fn sign(dir: &Path, key: &str) {
    let (root, key) = (dir.join("root"), dir.join(key));
    let place = root.join("home/etc/manifest");
    fs::create_dir_all(&place).unwrap();
    let line = |path: &str| {
        let digest = hex(&sha2::Sha256::digest(fs::read(root.join(path)).unwrap()));
        format!("/{path} {digest} b\n")
    };
    fs::write(place.join("manifest"), line("home/bin/web") + &line("home/bin/login")).unwrap();
    let at = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let key = key.to_str().unwrap();
    openssl(&["dgst", "-sha512", "-sign", key, "-out", &at("manifest.1"), &at("manifest")]);
    openssl(&["pkey", "-in", key, "-pubout", "-out", &at("manifest.2")]);
}

fn check(dir: &Path, pinned: &[&str]) -> Outcome {
    let product = format!(
        r#"
        name = "Example Gateway"
        vendor = "Example"
        [integrity]
        complete = ["/home"]
        may-be-unlisted = ["/home/etc/manifest"]
        [integrity.signed-manifest]
        path = "/home/etc/manifest/manifest"
        signature = "/home/etc/manifest/manifest.1"
        key = "/home/etc/manifest/manifest.2"
        scheme = "rsa-sha512"
        key-sha256 = {pinned:?}
        "#
    );
    let product: Product = toml::from_str(&product).unwrap();
    integrity(&Request {
        source: &evidence::Folder::open(&dir.join("root")).unwrap(),
        manifests: &[],
        baseline: Baseline::None,
        product: Some(&product),
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

/// Verdict, findings and all gaps in one line.
fn shown(outcome: &Outcome) -> String {
    let findings = outcome.findings.iter().map(|f| format!("{:?} {} {}", f.severity, f.code, f.path.as_ref().unwrap()));
    let gaps = outcome.gaps.iter().map(|gap| format!("gap {}{}", gap.code, if gap.required { "!" } else { "" }));
    let all: Vec<String> = findings.chain(gaps).collect();
    format!("{}: {}", outcome.conclusion.verdict, all.join(", "))
}

/// An appliance as shipped, signed by its vendor. The vendor's fingerprint.
fn shipped(dir: &Path) -> Option<String> {
    fs::create_dir_all(dir.join("root/home/bin")).unwrap();
    fs::write(dir.join("root/home/bin/web"), "vendor").unwrap();
    fs::write(dir.join("root/home/bin/login"), "vendor").unwrap();
    let Some(fingerprint) = key(dir, "vendor.key") else {
        assert!(std::env::var_os("CI").is_none(), "openssl is not installed, and CI must sign with it");
        eprintln!("SKIPPED: openssl is not installed");
        return None;
    };
    sign(dir, "vendor.key");
    Some(fingerprint)
}

const MANIFEST: &str = "/home/etc/manifest/manifest";

#[test]
fn a_manifest_under_a_pinned_key_vouches() {
    let dir = tempfile::tempdir().unwrap();
    let Some(vendor) = shipped(dir.path()) else { return };
    let outcome = check(dir.path(), &[&vendor]);
    assert_eq!(shown(&outcome), "no-evidence-found: ");
    assert_eq!(outcome.coverage.vouched, 2);
    fs::write(dir.path().join("root/home/bin/web"), "shell").unwrap();
    assert_eq!(shown(&check(dir.path(), &[&vendor])), "mismatch: High file-modified /home/bin/web");
}

#[test]
fn a_manifest_that_an_intruder_signed_anew_with_his_own_key_is_a_finding_and_vouches_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(vendor) = shipped(dir.path()) else { return };
    let intruder = key(dir.path(), "intruder.key").unwrap();
    fs::write(dir.path().join("root/home/bin/web"), "shell").unwrap();
    sign(dir.path(), "intruder.key");
    let outcome = check(dir.path(), &[&vendor]);
    assert!(shown(&outcome).contains(&format!("High manifest-untrusted {MANIFEST}")), "{}", shown(&outcome));
    assert!(outcome.findings.iter().any(|finding| finding.why.contains(&intruder)));
    assert_eq!(outcome.coverage.vouched, 0);
}

#[test]
fn a_manifest_that_was_changed_under_the_vendors_key_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let Some(vendor) = shipped(dir.path()) else { return };
    let signature = fs::read(dir.path().join("root/home/etc/manifest/manifest.1")).unwrap();
    fs::write(dir.path().join("root/home/bin/web"), "shell").unwrap();
    sign(dir.path(), "vendor.key");
    fs::write(dir.path().join("root/home/etc/manifest/manifest.1"), signature).unwrap();
    let outcome = check(dir.path(), &[&vendor]);
    assert!(shown(&outcome).contains(&format!("High manifest-untrusted {MANIFEST}")), "{}", shown(&outcome));
    assert_eq!(outcome.coverage.vouched, 0);
    for name in ["manifest.1", "manifest.2"] {
        fs::remove_file(dir.path().join("root/home/etc/manifest").join(name)).unwrap();
        assert!(shown(&check(dir.path(), &[&vendor])).contains("High manifest-untrusted"), "{name}");
    }
}

#[test]
fn without_a_pinned_key_a_valid_signature_is_worth_nothing_and_a_gap_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let Some(vendor) = shipped(dir.path()) else { return };
    let outcome = check(dir.path(), &[]);
    assert_eq!(outcome.coverage.vouched, 0);
    let gap = outcome.gaps.iter().find(|gap| gap.code == "manifest-untrusted").unwrap();
    assert!(!gap.required && gap.why.contains(&vendor), "{}", gap.why);
    assert_ne!(outcome.conclusion.verdict.to_string(), "no-evidence-found");
}

#[test]
fn a_manifest_key_or_signature_that_is_huge_or_nonsense_is_never_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let Some(vendor) = shipped(dir.path()) else { return };
    let place = dir.path().join("root/home/etc/manifest");
    fs::write(place.join("manifest.2"), vec![b'A'; 100_000]).unwrap();
    assert!(shown(&check(dir.path(), &[&vendor])).contains("gap manifest-damaged!"));
    fs::write(place.join("manifest.2"), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").unwrap();
    assert!(shown(&check(dir.path(), &[&vendor])).contains("High manifest-untrusted"));
}
