//! Hunt: is what is known to be bad found wherever it lies, and is nothing else?

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make what they check")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use check::hunt::{Hunt, Limits, Origin};
use check::{Baseline, Manifest, Outcome, Request};
use directive::hunting::Hunting;
use directive::progress::Unwatched;
use directive::record::{Severity, hex};
use directive::verdict::Verdict;
use evidence::{Folder, Source};
use sha2::{Digest as _, Sha256};

const RULE: &str = r#"rule shell { meta: description = "a web shell" severity = "critical" attack = "T1505.003"
    strings: $a = "system(CGI::param" condition: $a }"#;

/// What to hunt for, and what a manifest lists.
#[derive(Default)]
struct Given<'a> {
    yara: &'a [(&'a str, &'a str)],
    /// Rules of the operator, beside the pack's.
    own: &'a [(&'a str, &'a str)],
    indicators: &'a str,
    tamper: &'a str,
    settings: &'a str,
    listed: &'a [&'a str],
    limits: Option<Limits>,
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

fn hunting(given: &Given<'_>) -> Hunting {
    Hunting {
        yara: files(given.yara),
        indicators: if given.indicators.is_empty() { BTreeMap::new() } else { files(&[("list", given.indicators)]) },
        tamper: toml::from_str(given.tamper).unwrap(),
        settings: toml::from_str(given.settings).unwrap(),
        ..Hunting::default()
    }
}

/// Checks a folder, with a manifest of what is `listed` in it now.
fn check(root: &Path, given: &Given<'_>) -> Outcome {
    let list: String = given
        .listed
        .iter()
        .map(|path| format!("{}  .{path}\n", hex(&Sha256::digest(std::fs::read(root.join(&path[1..])).unwrap()))))
        .collect();
    check_source(&Folder::open(root).unwrap(), &list, given)
}

/// Checks evidence of any form against a list.
fn check_source(source: &dyn Source, list: &str, given: &Given<'_>) -> Outcome {
    let (pack, own) = (hunting(given), Hunting { yara: files(given.own), ..Hunting::default() });
    let sets = [(&pack, Origin::Pack), (&own, Origin::Operator)];
    let hunt = Hunt::prepare(sets, given.limits.unwrap_or_default());
    let manifests = match list {
        "" => Vec::new(),
        list => vec![Manifest::from_operator("list", list.as_bytes()).unwrap()],
    };
    check::integrity::check(&Request {
        source,
        manifests: &manifests,
        baseline: Baseline::None,
        product: None,
        clause: None,
        previous: &[],
        previous_coverage: None,
        live: None,
        hunt: hunt.as_ref(),
        threads: NonZeroUsize::new(2).unwrap(),
        progress: &Unwatched,
    })
    .unwrap()
}

/// Findings of hunting as `code path`.
fn found(outcome: &Outcome) -> Vec<String> {
    let codes = ["yara-match", "indicator-match", "own-rules", "file-misplaced", "telltale-file", "times-contradict"];
    let found = outcome.findings.iter().filter(|finding| codes.contains(&finding.code.as_str()));
    found.map(|one| format!("{} {}", one.code, one.path.as_ref().unwrap().escaped())).collect()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn a_crowd_of_hard_links_in_which_a_shell_could_hide_is_a_required_gap() {
    let dir = folder(&[("home/fine.cgi", "print 'hello'")]);
    (0..9).for_each(|n| std::fs::hard_link(dir.path().join("home/fine.cgi"), dir.path().join(format!("{n}"))).unwrap());
    let mut limits = Limits::default();
    let run = |limits| check(dir.path(), &Given { yara: &[("s.yar", RULE)], limits: Some(limits), ..Given::default() });
    assert_eq!(run(limits).coverage.hunted, 10);
    limits.later = 4;
    let outcome = run(limits);
    let gap = outcome.gaps.iter().find(|gap| gap.code == "not-hunted").unwrap();
    assert!(gap.required && gap.why.starts_with("6 more names"), "{}", gap.why);
    assert_eq!(outcome.coverage.hunted, 4);
}

#[test]
fn a_web_shell_in_no_manifest_makes_the_instance_compromised() {
    let dir = folder(&[("home/x.cgi", "system(CGI::param('id'))"), ("home/fine.cgi", "print 'hello'")]);
    let outcome = check(dir.path(), &Given { yara: &[("s.yar", RULE)], ..Given::default() });
    assert_eq!(found(&outcome), ["yara-match /home/x.cgi"]);
    let shell = &outcome.findings.iter().find(|finding| finding.code == "yara-match").unwrap();
    assert_eq!((shell.severity, &shell.attack[..]), (Severity::Critical, &["T1505.003".to_owned()][..]));
    assert_eq!(shell.evidence.as_ref().unwrap().sha256, Some(hex(&Sha256::digest("system(CGI::param('id'))"))));
    assert_eq!(outcome.conclusion.verdict, Verdict::Compromised);
    assert_eq!(outcome.coverage.hunted, 2);
}

#[test]
fn a_vouched_file_is_not_scanned_unless_the_pack_says_so() {
    let dir = folder(&[("x.cgi", "system(CGI::param('id'))")]);
    let mut given = Given { yara: &[("s.yar", RULE)], listed: &["/x.cgi"], ..Given::default() };
    assert_eq!(found(&check(dir.path(), &given)), Vec::<String>::new());
    given.settings = "no-vouch = ['*/x.cgi']";
    assert_eq!(found(&check(dir.path(), &given)), ["yara-match /x.cgi"]);
    given.settings = "everything = true";
    assert_eq!(found(&check(dir.path(), &given)), ["yara-match /x.cgi"]);
}

#[test]
fn known_bad_beats_vouched() {
    let dir = folder(&[("lib.dll", "signed by its vendor")]);
    let list = hex(&Sha256::digest("signed by its vendor"));
    let given = Given { indicators: &list, listed: &["/lib.dll"], ..Given::default() };
    let outcome = check(dir.path(), &given);
    assert_eq!(found(&outcome), ["indicator-match /lib.dll"]);
    assert_eq!(outcome.conclusion.verdict, Verdict::Compromised);
    assert_eq!(outcome.coverage.vouched, 1);
}

#[test]
fn a_listed_file_that_turns_out_to_be_another_is_hunted_in() {
    let dir = folder(&[("x.cgi", "system(CGI::param('id')) and more")]);
    let list = format!("{}  ./x.cgi\n", hex(&Sha256::digest("print 1")));
    let given = Given { yara: &[("s.yar", RULE)], indicators: "string: and more", ..Given::default() };
    let outcome = check_source(&Folder::open(dir.path()).unwrap(), &list, &given);
    assert_eq!(found(&outcome), ["indicator-match /x.cgi", "yara-match /x.cgi"]);
}

#[test]
fn every_name_of_a_file_is_named_and_no_other() {
    let dir = folder(&[("b/shell", "system(CGI::param('id'))"), ("c/other", "system(CGI::param('x'))")]);
    std::fs::hard_link(dir.path().join("b/shell"), dir.path().join("a")).unwrap();
    std::fs::hard_link(dir.path().join("b/shell"), dir.path().join("z")).unwrap();
    let given = Given { yara: &[("s.yar", RULE)], indicators: "name:z", ..Given::default() };
    let outcome = check(dir.path(), &given);
    let names = ["yara-match /a", "yara-match /b/shell", "yara-match /c/other", "indicator-match /z", "yara-match /z"];
    assert_eq!(found(&outcome), names);
    assert_eq!(outcome.coverage.hunted, 4);
}

#[test]
fn a_rule_of_the_operator_never_takes_the_place_of_the_packs() {
    let dir = folder(&[("x", "system(CGI::param('id'))")]);
    let own = &[("s.yar", "rule shell { condition: false }")];
    let outcome = check(dir.path(), &Given { yara: &[("s.yar", RULE)], own, ..Given::default() });
    assert_eq!(found(&outcome), ["yara-match /x"]);
}

#[test]
fn a_digest_counts_whichever_kind_was_published() {
    let dir = folder(&[("x", "abc")]);
    // Source: FIPS 180-4 and RFC 1321, their own examples.
    for digest in ["a9993e364706816aba3e25717850c26c9cd0d89d", "900150983cd24fb0d6963f7d28e17f72"] {
        let outcome = check(dir.path(), &Given { indicators: digest, listed: &["/x"], ..Given::default() });
        assert_eq!(found(&outcome), ["indicator-match /x"], "{digest}");
    }
}

#[test]
fn a_long_file_is_hunted_in_pieces_and_a_pattern_across_their_border_is_found() {
    let mut text = "x".repeat(4096 - 8);
    text += "system(CGI::param('id'))";
    text += &"y".repeat(10_000);
    let dir = folder(&[("long", &text)]);
    let mut limits = Limits::default();
    (limits.content, limits.overlap) = (4096, 64);
    let outcome = check(dir.path(), &Given { yara: &[("s.yar", RULE)], limits: Some(limits), ..Given::default() });
    assert_eq!(found(&outcome), ["yara-match /long"]);
    let shell = outcome.findings.iter().find(|finding| finding.code == "yara-match").unwrap();
    assert!(shell.why.ends_with("first at byte 4088"), "{}", shell.why);
    assert!(outcome.gaps.iter().any(|gap| gap.code == "not-hunted" && gap.why.contains("in pieces")));
}

#[test]
fn the_rules_themselves_are_no_intruder() {
    let dir = folder(&[("packs/s.yar", RULE), ("copy", "system(CGI::param('id'))")]);
    let outcome = check(dir.path(), &Given { yara: &[("s.yar", RULE)], ..Given::default() });
    assert_eq!(found(&outcome), ["yara-match /copy", "own-rules /packs/s.yar"]);
}

#[test]
fn a_rule_that_does_not_compile_is_a_required_gap_and_the_others_run() {
    let dir = folder(&[("x", "system(CGI::param('id'))")]);
    let yara = &[("bad.yar", "rule bad { condition: nonsense }"), ("s.yar", RULE)];
    let outcome = check(dir.path(), &Given { yara, ..Given::default() });
    assert_eq!(found(&outcome), ["yara-match /x"]);
    let gap = outcome.gaps.iter().find(|gap| gap.code == "rule-unusable").unwrap();
    assert!(gap.required && gap.why.contains("bad.yar:1:23"), "{}", gap.why);
}

#[test]
fn a_rule_that_matches_everything_is_kept_a_thousand_times_and_counted() {
    let files: Vec<String> = (0..1005).map(|n| format!("f{n}")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|name| (name.as_str(), "x")).collect();
    let dir = folder(&files);
    let yara = &[("all.yar", "rule each { condition: filesize > 0 }")];
    let outcome = check(dir.path(), &Given { yara, ..Given::default() });
    assert_eq!(found(&outcome).len(), 1000);
    assert!(outcome.gaps.iter().any(|gap| gap.code == "too-many" && gap.why.starts_with("5 more")));
}

#[test]
fn a_preload_that_is_not_the_vendors_is_found_by_its_line() {
    let dir = folder(&[("etc/ld.so.preload", "/lib/libsafe.so\n/lib/libdsupgrade.so\n")]);
    let tamper = "[[file]]\nid = 'preload'\npath = '/etc/ld.so.preload'\nallowed = ['/lib/libsafe.so']\n\
                  severity = 'high'\nwhy = 'it is loaded into every program'\nattack = ['T1574.006']\n";
    let outcome = check(dir.path(), &Given { tamper, ..Given::default() });
    assert_eq!(found(&outcome), ["telltale-file /etc/ld.so.preload"]);
    let line = &outcome.findings.iter().find(|finding| finding.code == "telltale-file").unwrap();
    assert_eq!(line.evidence.as_ref().unwrap().excerpt.as_ref().unwrap().escaped(), "/lib/libdsupgrade.so");
}

#[test]
fn an_archive_among_style_sheets_is_misplaced() {
    let dir =
        folder(&[("web/css/a.css", "body {}"), ("web/css/b.css", "PK\u{3}\u{4}stolen"), ("tmp/b.zip", "PK\u{3}\u{4}")]);
    let tamper =
        "[[misplaced]]\nid = 'staged'\nbelow = '/web'\nnature = 'archive'\nseverity = 'high'\nwhy = 'staged'\n";
    let outcome = check(dir.path(), &Given { tamper, ..Given::default() });
    assert_eq!(found(&outcome), ["file-misplaced /web/css/b.css"]);
}

#[test]
fn a_time_set_by_hand_contradicts_the_kernels() {
    let dir = folder(&[("tree/home/a", "1"), ("tree/home/b", "2")]);
    let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_900_000_000);
    std::fs::File::open(dir.path().join("tree/home/a")).unwrap().set_modified(later).unwrap();
    // Change times of a folder may be those of a copy; those of a disk are its own.
    let image = dir.path().join("disk.img");
    let mut make = std::process::Command::new("mke2fs");
    make.args(["-q", "-t", "ext4", "-d"]).arg(dir.path().join("tree")).arg(&image).arg("8M");
    assert!(make.status().unwrap().success());
    let source = evidence::open(image.to_str().unwrap()).unwrap();
    let outcome = check_source(source.as_ref(), "", &Given { tamper: "times-below = ['/home']", ..Given::default() });
    assert_eq!(found(&outcome), ["times-contradict /home/a"]);
}
