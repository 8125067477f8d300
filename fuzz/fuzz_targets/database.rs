//! Database: can what an instance says of itself make a check panic, hang, take memory without end or vouch?
//!
//! The first byte picks whose database the rest is: dpkg's, rpm's, apk's, or the appliance's own manifest with
//! its signature and its key.

#![no_main]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use check::integrity::{Baseline, Request, check};
use directive::product::Product;
use directive::progress::Unwatched;
use directive::verdict::Verdict;
use libfuzzer_sys::fuzz_target;

const PRODUCT: &str = r#"
    name = "Example Gateway"
    vendor = "Example"
    [integrity]
    complete = ["/home"]
    [integrity.signed-manifest]
    path = "/home/manifest"
    signature = "/home/manifest.1"
    key = "/home/manifest.2"
    scheme = "rsa-sha512"
    key-sha256 = ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
"#;

/// One instance for the whole run; its database is written anew each time.
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = std::env::temp_dir().join(format!("portcullis-fuzz-{}", std::process::id()));
        for folder in ["var/lib/dpkg/info", "var/lib/rpm", "lib/apk/db", "etc", "usr/bin", "home"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("usr/bin/a"), "a").unwrap();
        std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
        root
    })
}

fuzz_target!(|bytes: &[u8]| {
    let [pick, rest @ ..] = bytes else { return };
    let product: Product = toml::from_str(PRODUCT).unwrap();
    let third = rest.len() / 3;
    let (baseline, files): (_, Vec<(&str, &[u8])>) = match pick % 6 {
        0 => (Baseline::Dpkg, vec![("var/lib/dpkg/status", rest), ("var/lib/dpkg/info/a.md5sums", &rest[third..])]),
        1 => (Baseline::Rpm, vec![("var/lib/rpm/rpmdb.sqlite", rest)]),
        4 => (Baseline::Rpm, vec![("var/lib/rpm/Packages", rest)]),
        5 => (Baseline::Rpm, vec![("var/lib/rpm/Packages.db", rest)]),
        2 => (Baseline::Apk, vec![("lib/apk/db/installed", rest)]),
        _ => (
            Baseline::None,
            vec![
                ("home/manifest", &rest[..third]),
                ("home/manifest.1", &rest[third..2 * third]),
                ("home/manifest.2", &rest[2 * third..]),
            ],
        ),
    };
    for (path, content) in &files {
        std::fs::write(root().join(path), content).unwrap();
    }
    let outcome = check(&Request {
        source: &evidence::Folder::open(root()).unwrap(),
        manifests: &[],
        baseline,
        product: Some(&product),
        clause: None,
        previous: &[],
        previous_coverage: None,
        live: None,
        hunt: None,
        threads: NonZeroUsize::MIN,
        progress: &Unwatched,
    })
    .unwrap();
    assert_eq!(outcome.coverage.vouched, 0);
    assert_ne!(outcome.conclusion.verdict, Verdict::NoEvidenceFound);
    for (path, _) in &files {
        std::fs::remove_file(root().join(path)).unwrap();
    }
});
