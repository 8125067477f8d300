//! Evasions: is every published way around the vendor's own tool caught from outside?
//!
//! One file a case in `evasions/`, named after its row in docs/evasions.md: what the intruder changed,
//! and what must be found. Lines are `path content`; a new case is a new file.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests build their own instances")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use check::Manifest;
use check::integrity::{Baseline, Outcome, Request, check};
use directive::product::Product;
use directive::progress::Unwatched;
use directive::record::{Finding, hex};
use sha2::Digest as _;

const PACK: &str = r#"
name = "Appliance"
vendor = "Example"
[[witness]]
source = "file"
path = "/home/VERSION"
patterns = ['^(?<version>\S+)']
template = "{version}"
[[generation]]
name = "rollback"
folder = "/rollback"
[integrity]
complete = ["/bin", "/lib", "/pkg", "/home/bin", "/home/etc", "/home/lib", "/home/perl", "/home/venv3",
            "/home/webserver"]
"#;

type Files = BTreeMap<String, String>;

/// The sections of a case, each with its lines.
fn sections(path: &Path) -> BTreeMap<String, Vec<String>> {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = None;
    for line in text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty()) {
        match line.strip_prefix("== ") {
            Some(name) => {
                sections.entry(name.to_owned()).or_default();
                section = Some(name.to_owned());
            }
            None => sections.entry(section.clone().unwrap()).or_default().push(line.to_owned()),
        }
    }
    sections
}

fn files(lines: Option<&Vec<String>>) -> Files {
    let split = |line: &String| line.split_once(' ').map(|(path, text)| (path.to_owned(), text.to_owned())).unwrap();
    lines.into_iter().flatten().map(split).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evasions")
}

fn manifest(version: &str, files: &Files) -> Manifest<check::Operator> {
    let lines = files.iter().map(|(path, text)| format!("{}  {path}\n", hex(&sha2::Sha256::digest(text.as_bytes()))));
    let list = format!("# version: {version}\n{}", lines.collect::<String>());
    Manifest::from_operator(version, list.as_bytes()).unwrap()
}

fn run(files: &Files, manifests: &[Manifest<check::Operator>], previous: &[Finding]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let product: Product = toml::from_str(PACK).unwrap();
    let source = evidence::Folder::open(dir.path()).unwrap();
    check(&Request {
        source: &source,
        manifests,
        baseline: Baseline::None,
        product: Some(&product),
        clause: None,
        previous,
        previous_coverage: None,
        live: None,
        hunt: None,
        threads: NonZeroUsize::new(2).unwrap(),
        progress: &Unwatched,
    })
    .unwrap()
}

/// What a case finds, one `code path` a line.
fn found(case: &Path) -> (String, String) {
    let case = sections(case);
    let shipped = files(sections(&folder().join("shipped.txt")).get("shipped"));
    let mut manifests = vec![manifest("9.1R10", &shipped)];
    for (section, version) in [("rollback", "9.1R9"), ("newer", "9.1R11")] {
        if let Some(lines) = case.get(section) {
            let mut listed = files(Some(lines));
            if section == "newer" {
                listed = shipped.clone().into_iter().chain(listed).collect();
            }
            manifests.push(manifest(version, &listed));
        }
    }
    let changed = |section: &str| -> Files { shipped.clone().into_iter().chain(files(case.get(section))).collect() };
    let previous = match case.contains_key("before") {
        true => run(&changed("before"), &manifests, &[]).findings,
        false => Vec::new(),
    };
    let outcome = run(&changed("instance"), &manifests, &previous);
    let mut lines: Vec<String> =
        outcome.findings.iter().map(|finding| format!("{} {}", finding.code, finding.path.as_ref().unwrap())).collect();
    lines.sort();
    (lines.join("\n"), case["expected"].join("\n"))
}

#[test]
fn every_evasion_that_files_can_show_is_caught() {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| !path.ends_with("shipped.txt"));
    assert!(cases.len() >= 14, "the cases are gone: {cases:?}");
    cases.sort();
    for case in cases {
        let (found, expected) = found(&case);
        assert_eq!(found, expected, "{}", case.display());
    }
}

#[test]
fn the_appliance_as_shipped_shows_nothing() {
    let shipped = files(sections(&folder().join("shipped.txt")).get("shipped"));
    let outcome = run(&shipped, &[manifest("9.1R10", &shipped)], &[]);
    assert_eq!(outcome.findings, Vec::<Finding>::new());
    assert!(outcome.gaps.iter().all(|gap| !gap.required), "{:?}", outcome.gaps);
}
