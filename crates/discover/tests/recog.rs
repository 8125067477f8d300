//! Recog: do the published databases mean here what they mean to their authors?
//!
//! The databases (github.com/rapid7/recog, BSD-2-Clause) lie beside the repository and are not part
//! of it; without them the tests say so and pass. `PORTCULLIS_RECOG` names another folder of them, such as `xml/` of a
//! clone.

#![expect(clippy::print_stderr, reason = "a test that skips, and a figure that a person wants to see")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests that run the peer")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use discover::recog::Database;
use serde::Deserialize;

fn folder() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recog");
    std::env::var_os("PORTCULLIS_RECOG").map_or_else(beside, PathBuf::from)
}

/// Every database of the published folder; says so if there is none.
fn databases() -> Vec<Database> {
    let found = databases_in(&folder());
    if found.is_empty() {
        eprintln!("skipped: no Recog databases at ../shared/data/recog beside the repository");
    }
    found
}

fn databases_in(folder: &Path) -> Vec<Database> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "xml"));
    paths.sort();
    let parse = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Database::parse(&name, &std::fs::read_to_string(path).unwrap()).unwrap()
    };
    paths.iter().map(parse).collect()
}

#[test]
fn every_example_of_the_published_databases_passes() {
    let (mut fingerprints, mut examples, mut failed) = (0, 0, Vec::new());
    let beside = |path: &str| std::fs::read(folder().join(path)).ok();
    for database in databases() {
        let (count, failures) = database.check_examples(&beside);
        fingerprints += database.len();
        examples += count;
        failed.extend(failures.iter().map(|f| format!("{}:{}: {}: {}", database.file, f.line, f.description, f.why)));
    }
    eprintln!("{fingerprints} fingerprints, {} of {examples} examples pass", examples - failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn one_passage_over_a_text_finds_what_trying_one_after_another_finds() {
    for database in databases() {
        for text in database.examples() {
            // As it is, in other letters, and cut.
            for text in [text.to_owned(), text.to_uppercase(), text.chars().skip(1).collect()] {
                assert_eq!(
                    database.recognise(&text),
                    database.recognise_one_by_one(&text),
                    "{}: {text}",
                    database.file
                );
            }
        }
    }
}

/// What Ruby says of one text.
#[derive(Deserialize)]
struct Said {
    file: String,
    text: String,
    facts: Option<BTreeMap<String, String>>,
}

/// Holds every text of a folder's databases against Ruby's engine; `None` where there is no Ruby.
fn differences(folder: &Path) -> Option<(usize, Vec<String>)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recog.rb");
    let Ok(run) = Command::new("ruby").arg(script).arg(folder).env("LC_ALL", "C.UTF-8").output() else {
        assert!(std::env::var_os("CI").is_none(), "ruby is not installed, and CI must compare with it");
        eprintln!("skipped: ruby is not installed; `apt-get install ruby` to compare with it");
        return None;
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let databases: BTreeMap<String, Database> =
        databases_in(folder).into_iter().map(|database| (database.file.clone(), database)).collect();
    let (mut texts, mut different) = (0, Vec::new());
    for line in String::from_utf8(run.stdout).unwrap().lines() {
        let said: Said = serde_json::from_str(line).unwrap();
        let ours = databases[&said.file].recognise(&said.text).found.map(|found| found.facts);
        texts += 1;
        if ours != said.facts {
            different.push(format!("{}: {:?}\n  ours: {ours:?}\n  ruby: {:?}", said.file, said.text, said.facts));
        }
    }
    Some((texts, different))
}

#[test]
fn ruby_finds_the_same_facts_in_every_text() {
    let Some((texts, different)) = differences(&folder()) else { return };
    eprintln!("ruby says the same of {} of {texts} texts", texts - different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Patterns whose meaning differs between engines, as they may stand in a database of anybody's.
const PATTERNS: [&str; 62] = [
    "^b$",
    r"\Ab",
    r"b\Z",
    r"b\z",
    "^$",
    r"^\s*$",
    "a.b",
    "(?m)a.b",
    "(?m:a.b).",
    "(?i)A",
    "^a(?i)b|c$",
    "^(a(?i)b)c",
    "x(?i:B)x|(?-i:b)",
    r"^(\w+)$",
    r"^([\w.]+)",
    r"([\w\-.]+)$",
    r"^\d+$",
    r"^[\d\s]+$",
    r"^(\W+)$",
    r"^[\W\d]+$",
    r"([^\w\s]+)",
    r"(\S+)$",
    r"(\h+)\H",
    r"^[\h]{2}",
    r"(\bfoo\b)",
    r"(\Bo)",
    "([[:alpha:]]+)",
    "([^[:digit:]]+)",
    "(?-i:([[:upper:][:digit:]]+))",
    "([[:punct:]]+)",
    "([[:space:]]+)",
    "([[:word:]]+)",
    "([[:xdigit:]]+)$",
    r"(\p{Alpha}+)",
    r"(\p{^Alpha}+)",
    r"(\P{Alpha}+)",
    r"\x41",
    r"\u0041",
    r"\u{41 42}",
    r"\101",
    r"[\101\b]",
    r"\/\_\'\:",
    r"\<\>",
    r"^(a+)\1",
    "(?<x>a+)b",
    "(a)(?<x>b)",
    "a++b",
    "a++a",
    "^a{2}+a",
    "^a{2}?b",
    "^a{,2}b",
    "a{x}",
    "(?>a|ab)c",
    "(?<=a)b(?!c)",
    "a(?#note)b",
    "(?x) a b # note",
    "([a&&[^b]]+)",
    "[]a]+",
    "[^]a]+$",
    r"^(?:\s?\w+?)*?\s?(\d+?(?:\.\d+?)*?)?$",
    r"(?:\r|\n)+([\w.-]+) login:\s*$",
    r"\A(?i)(?:\r|\n)*LOGIN:\s*$",
];

/// Texts in which the meanings of those patterns differ.
const TEXTS: [&str; 30] = [
    "",
    "a",
    "b",
    "A",
    "ab",
    "aB",
    "ABC",
    "aBc",
    "aab",
    "aaab",
    "abc",
    "a b",
    "a\nb\nc",
    "a\n\nb\n",
    "a\r\nb",
    "x41 A.b",
    "héllo wörld",
    "٣٤ 12",
    "foo-bar.é_1",
    "food foo",
    "\u{a0}\u{3000} \t\u{b}",
    "a{x}b",
    "/_':<>",
    "~!@#$%^&*()=+[]",
    "deadBEEF",
    "Æñ",
    "windows for groups 3.11",
    "x\r\nhost-1.example login: \n",
    "\r\nlogin:  ",
    "ÀÉ]a",
];

#[test]
fn ruby_means_the_same_by_every_pattern_that_engines_read_differently() {
    let dir = tempfile::tempdir().unwrap();
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    // Texts with line breaks and others that XML would change are packed.
    let examples: String =
        TEXTS.iter().map(|text| format!("<example _encoding=\"base64\">{}</example>", pack(text))).collect();
    for (n, pattern) in PATTERNS.iter().enumerate() {
        for flags in ["", "REG_ICASE", "REG_ICASE,REG_DOT_NEWLINE"] {
            let groups = if pattern.contains('(') && pattern.contains(')') { captures(pattern) } else { 0 };
            let params: String = (1..=groups).map(|n| format!("<param pos=\"{n}\" name=\"g{n}\"/>")).collect();
            let text = format!(
                "<fingerprints matches=\"a\"><fingerprint pattern=\"{}\" flags=\"{flags}\"><description>d</description>\
                 {examples}{params}<param pos=\"0\" name=\"matched\" value=\"yes\"/></fingerprint></fingerprints>",
                escape(pattern)
            );
            std::fs::write(dir.path().join(format!("{n:02}-{}.xml", flags.len())), text).unwrap();
        }
    }
    let Some((texts, different)) = differences(dir.path()) else { return };
    eprintln!("ruby says the same of {} of {texts} texts and patterns", texts - different.len());
    let named = different.iter().map(|line| {
        let n: usize = line[..2].parse().unwrap();
        format!("{}  in {line}", PATTERNS[n])
    });
    assert!(different.is_empty(), "{}", named.collect::<Vec<_>>().join("\n"));
}

/// Groups that count, as both engines see them.
fn captures(pattern: &str) -> usize {
    let text = "<fingerprints matches=\"a\"><fingerprint pattern=\"PATTERN\"><description>d</description>\
                <param pos=\"GROUP\" name=\"g\"/></fingerprint></fingerprints>";
    let escaped = pattern.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let has = |n: usize| {
        Database::parse("a.xml", &text.replace("PATTERN", &escaped).replace("GROUP", &n.to_string())).is_ok()
    };
    (1..10).take_while(|n| has(*n)).count()
}

fn pack(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
