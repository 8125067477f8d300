//! Sigstore: do real bundles of the public instance count for whom they name, and none of the crafted ones?
//!
//! The bundles are those that the library brings for its own tests: real signatures in the real log, and crafted ones.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "an integration test with real programs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use signer::sigstore::{By, bundle};
use signer::{Refused, Signed};

/// Where the library's own test data lies.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let arguments = ["metadata", "--format-version", "1", "--locked", "--offline"];
    let done = Command::new(std::env::var("CARGO").unwrap()).args(arguments).output().unwrap();
    let metadata = String::from_utf8(done.stdout).unwrap();
    let quoted = metadata.split('"').find(|text| text.contains("/sigstore-verify-") && text.ends_with("/Cargo.toml"));
    Path::new(quoted.unwrap()).with_file_name("test_data")
});

fn data(name: &str) -> Vec<u8> {
    fs::read(FOLDER.join(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(data(name)).unwrap()
}

const WORKFLOW: By<'_> = By::Identity {
    name: "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
    issuer: "https://token.actions.githubusercontent.com",
};

const PACKAGE: &str = "bundles/signed-package-2.1.0-hb0f4dca_0.conda";
const BUNDLE: &str = "bundles/conda-attestation.sigstore.json";

fn verify(by: By<'_>, data: &[u8], name: &str) -> Result<Signed, Refused> {
    bundle(None, by, data, &text(name))
}

#[test]
fn what_a_workflow_and_a_key_signed_counts_for_them() {
    let signed = verify(WORKFLOW, &data(PACKAGE), BUNDLE).unwrap();
    assert!(signed.key().as_str().starts_with("sigstore:https://github.com/prefix-dev/"), "{signed:?}");
    let key = text("managed-key/key.pub");
    let signed = verify(By::Key(&key), &data("managed-key/artifact.txt"), "managed-key/bundle.sigstore.json").unwrap();
    assert_eq!(signed.made().to_string(), "2025-12-18T17:04:39Z");
}

#[test]
fn another_person_issuer_key_or_byte_is_refused_by_name() {
    let package = data(PACKAGE);
    let By::Identity { name, issuer } = WORKFLOW else { unreachable!() };
    let why = |by, data: &[u8]| verify(by, data, BUNDLE).unwrap_err().to_string();
    let fork = name.replace("prefix-dev", "prefix-evil");
    assert!(why(By::Identity { name: &fork, issuer }, &package).contains("identity mismatch"));
    assert!(why(By::Identity { name, issuer: "https://accounts.google.com" }, &package).contains("issuer"));
    let mut other = package.clone();
    other[100] ^= 1;
    why(WORKFLOW, &other);
    why(By::Key(&text("managed-key/key.pub")), &package);
    let key = verify(By::Key("-----BEGIN"), &package, BUNDLE).unwrap_err();
    assert!(matches!(key, Refused::Unreadable { what: "key of sigstore", .. }), "{key}");
}

#[test]
fn a_bundle_without_the_log_with_a_forged_log_or_under_other_roots_is_refused() {
    let crafted = [
        ("bundle_no_log_entry.txt.sigstore", "bundles must"),
        ("bundle_no_checkpoint.txt.sigstore", "no checkpoint"),
        ("bundle_cve_2022_36056.txt.sigstore", "No log key valid"),
        ("bundle_invalid_version.txt.sigstore", "Invalid media type"),
        ("bundle_v3_no_signed_time.txt.sigstore.json", "no verified timestamp"),
    ];
    for (name, why) in crafted {
        let refused = verify(WORKFLOW, b"a.txt", &format!("bundles/{name}")).unwrap_err().to_string();
        assert!(refused.contains(why), "{name}: {refused}");
    }
    let (package, good) = (data(PACKAGE), text(BUNDLE));
    let staging = text("invalid-ct-key_fail/trusted_root.json");
    bundle(Some(&staging), WORKFLOW, &package, &good).unwrap_err();
    bundle(Some("{}"), WORKFLOW, &package, &good).unwrap_err();
    bundle(None, WORKFLOW, &package, "{").unwrap_err();
    let large = bundle(None, WORKFLOW, &package, &" ".repeat(5 << 20)).unwrap_err();
    assert!(matches!(large, Refused::TooLarge { .. }));
}
