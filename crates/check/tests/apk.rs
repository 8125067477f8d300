//! What the database of apk shows about an instance. The instance is made here: synthetic, with true digests.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests build their own instances")]

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use check::integrity::{Baseline, Outcome, Request, check as integrity};
use directive::progress::Unwatched;

fn q1(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    format!("Q1{}", BASE64_STANDARD.encode(digest))
}

/// An instance of two packages as Alpine has them, with the database that describes it.
fn alpine(root: &Path, database: &str) {
    for folder in ["bin", "etc", "lib/apk/db", "usr/share/web"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("bin/busybox"), "program").unwrap();
    fs::set_permissions(root.join("bin/busybox"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/bin/busybox", root.join("bin/sh")).unwrap();
    fs::write(root.join("etc/web.conf"), "port=1").unwrap();
    fs::write(root.join("usr/share/web/page"), "page").unwrap();
    let text = format!(
        "C:{pkg}\nP:busybox\nV:1.36.1-r5\nA:x86_64\nT:tools\n\
         F:bin\nR:busybox\na:0:0:755\nZ:{program}\nR:sh\na:0:0:777\nZ:{link}\n\n\
         C:{pkg}\nP:web\nV:1.0-r0\n\
         F:etc\nM:0:0:755\nR:web.conf\nZ:{conf}\nF:usr/share/web\nR:page\nZ:{page}\n\n",
        pkg = q1(b"package"),
        program = q1(b"program"),
        link = q1(b"/bin/busybox"),
        conf = q1(b"port=1"),
        page = q1(b"page"),
    );
    fs::write(root.join(database), text).unwrap();
    // Whoever runs the tests owns the files.
    let _ = std::process::Command::new("chown").args(["-hR", "0:0"]).arg(root).output();
}

fn check(root: &Path) -> Outcome {
    let source = evidence::Folder::open(root).unwrap();
    assert_eq!(Baseline::of(&source), Baseline::Apk);
    integrity(&Request {
        source: &source,
        manifests: &[],
        baseline: Baseline::Apk,
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

fn shown(outcome: &Outcome) -> String {
    let findings = outcome.findings.iter().filter(|finding| !finding.why.starts_with("owner is"));
    let path = |finding: &directive::record::Finding| finding.path.clone().unwrap_or_default().escaped();
    let findings = findings.map(|finding| format!("{:?} {} {}", finding.severity, finding.code, path(finding)));
    let gaps = outcome.gaps.iter().filter(|gap| gap.required).map(|gap| format!("gap {}", gap.code));
    findings.chain(gaps).collect::<Vec<_>>().join(", ")
}

#[test]
fn an_alpine_that_agrees_with_its_own_database_is_consistent_and_not_vouched_for() {
    let dir = tempfile::tempdir().unwrap();
    alpine(dir.path(), "lib/apk/db/installed");
    let outcome = check(dir.path());
    assert_eq!(shown(&outcome), "gap manifest-untrusted");
    // Three files and a link, whose digest is that of where it points.
    assert_eq!((outcome.coverage.vouched, outcome.coverage.consistent), (0, 4));
}

#[test]
fn what_differs_from_the_database_of_apk_is_found() {
    let dir = tempfile::tempdir().unwrap();
    alpine(dir.path(), "lib/apk/db/installed");
    let root = dir.path();
    fs::write(root.join("bin/busybox"), "other").unwrap();
    fs::write(root.join("etc/web.conf"), "port=2").unwrap();
    fs::remove_file(root.join("bin/sh")).unwrap();
    symlink("/tmp/sh", root.join("bin/sh")).unwrap();
    fs::set_permissions(root.join("usr/share/web/page"), fs::Permissions::from_mode(0o4755)).unwrap();
    assert_eq!(
        shown(&check(root)),
        "High file-modified /bin/busybox, High file-modified /bin/sh, Info file-modified /etc/web.conf, \
         High file-metadata /usr/share/web/page, gap manifest-untrusted"
    );
}

#[test]
fn a_database_of_apk_with_a_line_that_is_none_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    alpine(dir.path(), "lib/apk/db/installed");
    let path = dir.path().join("lib/apk/db/installed");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("T:tools", "nonsense", 1)).unwrap();
    assert_eq!(shown(&check(dir.path())), "gap manifest-untrusted, gap manifest-damaged");
}
