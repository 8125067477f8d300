//! Tests: do rules run as their authors expect?

use std::collections::BTreeMap;

use super::*;

fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Which rules match, and what did not compile.
#[track_caller]
fn check(set: &[(&str, &str)], path: &str, bytes: &[u8], expected: &[&str], broken: &[&str]) -> Vec<Match> {
    let (rules, errors) = Rules::compile(&files(set), Limits::default());
    let wrong: Vec<&str> = errors.iter().map(|error| error.file.as_str()).collect();
    assert_eq!(wrong, broken, "{errors:?}");
    let about = About { path: path.into(), owner: "0".into() };
    let matches = rules.scanner().scan(bytes, &about).unwrap();
    let names: Vec<&str> = matches.iter().map(|found| found.rule.as_str()).collect();
    assert_eq!(names, expected);
    matches
}

const SHELL: &str = r#"
rule shell : T1505_003 {
    meta:
        description = "a shell"
        severity = "critical"
    strings:
        $a = "system(CGI::param"
    condition: $a
}
"#;

#[test]
fn a_match_says_what_the_rule_says() {
    let found = check(&[("a.yar", SHELL)], "/x.cgi", b"..system(CGI::param('id'))", &["a.yar:shell"], &[]);
    assert_eq!(found[0].severity, Severity::Critical);
    assert_eq!(found[0].attack, ["T1505.003"]);
    assert_eq!(found[0].offset, Some(2));
    assert_eq!(found[0].excerpt.as_ref().unwrap().escaped(), "system(CGI::param");
}

#[test]
fn a_broken_rule_is_shown_with_its_line_and_the_others_run() {
    let bad = "rule broken {\n  condition: nonsense\n}\nrule fine { condition: filesize > 1 }\n";
    check(&[("a.yar", SHELL), ("b.yar", bad)], "/x", b"zz", &["b.yar:fine"], &["b.yar"]);
    let (_, errors) = Rules::compile(&files(&[("b.yar", bad)]), Limits::default());
    assert!(errors[0].report.contains("b.yar:2:14") && errors[0].report.contains("^^^^"), "{}", errors[0].report);
}

#[test]
fn externals_of_public_rule_sets_are_set() {
    let rule = r#"rule e { condition: filename == "x.cgi" and filepath contains "/home/" and extension == ".cgi" and
        filetype == "SCRIPT" and owner == "0" and md5 == "" }"#;
    check(&[("e.yar", rule)], "/home/x.cgi", b"#!/bin/sh", &["e.yar:e"], &[]);
}

#[test]
fn externals_of_one_file_do_not_stay_for_the_next() {
    let rule = r#"rule e { condition: filename == "x" }"#;
    let (rules, _) = Rules::compile(&files(&[("e.yar", rule)]), Limits::default());
    let mut scanner = rules.scanner();
    let mut count = |path: &str| {
        let about = About { path: path.into(), ..About::default() };
        scanner.scan(b"1", &about).unwrap().len()
    };
    assert_eq!([count("/x"), count("/y"), count(""), count("/x")], [1, 0, 0, 1]);
}

#[test]
fn an_include_reaches_files_of_the_set_only() {
    let user = "include \"lib/base.yar\"\nrule user { condition: base }\n";
    let base = "rule base { condition: filesize == 1 }\n";
    check(&[("lib/base.yar", base), ("u.yar", user)], "/x", b"1", &["u.yar:base", "u.yar:user"], &[]);
    let thief = "include \"/etc/passwd\"\nrule other { condition: true }\n";
    check(&[("t.yar", thief)], "/x", b"1", &["t.yar:other"], &["t.yar"]);
}

#[test]
fn files_that_include_each_other_in_a_circle_still_compile() {
    let one = "include \"b.yar\"\nrule one { condition: true }\n";
    let two = "include \"a.yar\"\nrule two { condition: true }\n";
    check(&[("a.yar", one), ("b.yar", two)], "/x", b"1", &["a.yar:two", "a.yar:one"], &[]);
}

#[test]
fn a_rule_that_never_ends_is_cut_off_and_the_next_file_is_scanned() {
    let slow = "rule slow { condition: filesize > 100 and for all i in (0..1000000000) : (uint8(i % filesize) == 0) }";
    let limits = Limits { file_time: Duration::from_secs(1), ..Limits::default() };
    let (rules, errors) = Rules::compile(&files(&[("s.yar", slow), ("a.yar", SHELL)]), limits);
    assert!(errors.is_empty());
    let mut scanner = rules.scanner();
    let unscanned = scanner.scan(&[0; 1000], &About::default()).unwrap_err();
    assert_eq!(unscanned, Unscanned::Timeout(Duration::from_secs(1)));
    assert_eq!(scanner.scan(b"system(CGI::param", &About::default()).unwrap().len(), 1);
}

#[test]
fn the_score_of_public_sets_is_understood() {
    assert_eq!(severity(None, Some(80)), Severity::High);
    assert_eq!(severity(None, Some(65)), Severity::Medium);
    assert_eq!(severity(Some("Critical"), Some(10)), Severity::Critical);
    assert_eq!(severity(None, None), Severity::High);
}
