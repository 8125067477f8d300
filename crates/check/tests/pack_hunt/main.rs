//! Pack hunt: does every rule that our packs bring fire on what it is for, and on nothing of a clean system?
//!
//! Each rule has a proof: a file or a line of a log made here, harmless and of no use, on which exactly it fires.
//! A rule without a proof fails the test. A clean system is the one that runs the test.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests read the packs and the system they run on")]

mod exchange;
mod orion;
mod pulse;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use directive::hunting::Hunting;
use directive::pack::Pack;
use hunt::indicator::{File, Indicators};
use hunt::yara::{self, About};
use hunt::{indicator, sigma};
use jiff::Timestamp;
use logs::{Event, Format, Reader, Settings};
use sha2::{Digest as _, Sha256};

/// A file on which exactly these rules fire.
struct Proof {
    rules: &'static [&'static str],
    path: &'static str,
    content: &'static [u8],
}

/// Lines of one log, each with the rules that fire on it: the names of their files.
struct Log {
    /// What stands before them.
    header: &'static str,
    lines: &'static [(&'static [&'static str], &'static str)],
}

/// What a pack brings, and its proofs.
struct Given {
    pack: &'static str,
    files: &'static [Proof],
    logs: &'static [Log],
    /// How many indicators there are.
    indicators: usize,
}

const PACKS: [Given; 3] = [
    Given { pack: "ed-21-01", files: orion::FILES, logs: orion::LOGS, indicators: orion::INDICATORS },
    Given { pack: "ed-21-02", files: exchange::FILES, logs: exchange::LOGS, indicators: exchange::INDICATORS },
    Given { pack: "ed-21-03", files: pulse::FILES, logs: pulse::LOGS, indicators: pulse::INDICATORS },
];

fn pack(name: &str) -> Pack {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs").join(name);
    feed::folder::load(&folder).unwrap_or_else(|err| panic!("{name}: {err:?}"))
}

fn yara_rules(hunting: &Hunting) -> yara::Rules {
    let (rules, errors) = yara::Rules::compile(&hunting.yara, yara::Limits::default());
    assert!(errors.is_empty(), "{errors:?}");
    rules
}

fn sigma_rules(hunting: &Hunting) -> sigma::Rules {
    let (rules, broken) = sigma::Rules::compile(&hunting.sigma, sigma::Limits::default());
    let broken: Vec<_> = broken.iter().map(|broken| broken.report.as_str()).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    rules
}

/// Names of YARA rules that fire.
fn fire(scanner: &mut yara::Scanner<'_>, path: &str, content: &[u8]) -> BTreeSet<String> {
    let about = About { path: path.into(), owner: "0".into() };
    let found = scanner.scan(content, &about).unwrap();
    found.into_iter().map(|found| found.rule.rsplit(':').next().unwrap_or_default().to_owned()).collect()
}

fn named(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The names of rules in a file of YARA: what a proof is needed for.
fn declared(text: &str) -> impl Iterator<Item = String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("rule ").or(line.strip_prefix("private rule ")));
    names.filter_map(|rest| rest.split([' ', ':', '{']).next()).map(str::to_owned)
}

#[test]
fn every_yara_rule_fires_on_its_file_alone() {
    for given in PACKS {
        let hunting = pack(given.pack).hunting;
        let rules = yara_rules(&hunting);
        let mut scanner = rules.scanner();
        let mut proven = BTreeSet::new();
        for proof in given.files {
            let fired = fire(&mut scanner, proof.path, proof.content);
            assert_eq!(fired, named(proof.rules), "{} {}", given.pack, proof.path);
            proven.extend(fired);
        }
        let texts = hunting.yara.values().map(|bytes| std::str::from_utf8(bytes).unwrap());
        let declared: BTreeSet<String> = texts.flat_map(declared).collect();
        assert_eq!(declared.len(), rules.len(), "{}: two rules have one name", given.pack);
        let unproven: Vec<_> = declared.difference(&proven).collect();
        assert!(unproven.is_empty(), "{}: no file proves {unproven:?}", given.pack);
    }
}

#[test]
fn every_yara_rule_says_what_it_is_and_where_it_comes_from() {
    for given in PACKS {
        let hunting = pack(given.pack).hunting;
        for (file, bytes) in &hunting.yara {
            let text = std::str::from_utf8(bytes).unwrap();
            for rule in text.split("\nrule ").skip(1) {
                for meta in ["description = ", "reference = ", "severity = ", "attack = "] {
                    assert!(rule.contains(meta), "{} {file}: no {meta}in {rule}", given.pack);
                }
            }
        }
    }
}

/// The name of each Sigma rule's file, by the rule's id.
fn names(hunting: &Hunting) -> BTreeMap<String, String> {
    let name = |file: &str| file.rsplit('/').next().unwrap_or_default().trim_end_matches(".yml").to_owned();
    let ids = hunting.sigma.iter().map(|(file, bytes)| {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        let id = ids.next().unwrap_or_else(|| panic!("{file} has no id"));
        assert_eq!(ids.next(), None, "{file} has two ids");
        (id.trim().to_owned(), name(file))
    });
    let ids: BTreeMap<String, String> = ids.collect();
    assert_eq!(ids.len(), hunting.sigma.len(), "two rules have one id");
    ids
}

/// The events of a log by their line.
fn read(text: &str, take: &mut dyn FnMut(Event)) -> Option<Format> {
    let mut take = |event: Event| take(event);
    let mut reader = Reader::new(Settings::new(Timestamp::from_second(1_800_000_000).unwrap()));
    reader.push(text.as_bytes(), &mut take);
    reader.finish(&mut take).format
}

#[test]
fn every_sigma_rule_fires_on_its_line_alone() {
    for given in PACKS {
        let hunting = pack(given.pack).hunting;
        let (rules, names) = (sigma_rules(&hunting), names(&hunting));
        let mut proven = BTreeSet::new();
        for log in given.logs {
            let before = log.header.lines().count();
            let text: String = log.lines.iter().map(|(_, line)| format!("{line}\n")).collect();
            let mut fired: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
            let mut take = |event: Event| {
                let found = rules.look(&event).into_iter().map(|found| names[&found.rule].clone());
                fired.entry(usize::try_from(event.number).unwrap() - before).or_default().extend(found);
            };
            assert!(read(&format!("{}{text}", log.header), &mut take).is_some(), "{text}");
            for (n, (expected, line)) in log.lines.iter().enumerate() {
                let fired = fired.remove(&(n + 1)).unwrap_or_else(|| panic!("{} was not read: {line}", given.pack));
                assert_eq!(fired, named(expected), "{} {line}", given.pack);
                proven.extend(fired);
            }
        }
        let unproven: Vec<_> = names.values().filter(|name| !proven.contains(*name)).collect();
        assert!(unproven.is_empty(), "{}: no line proves {unproven:?}", given.pack);
        assert_eq!(rules.stumbled(), 0);
    }
}

fn indicators(hunting: &Hunting) -> Indicators {
    let (indicators, problems) = Indicators::read(&hunting.indicators, indicator::Limits::default());
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    indicators
}

#[test]
fn every_indicator_can_be_used() {
    for given in PACKS {
        let hunting = pack(given.pack).hunting;
        assert_eq!(indicators(&hunting).len(), given.indicators, "{}", given.pack);
    }
}

#[test]
fn a_file_bears_the_indicator_of_its_path() {
    let indicators = indicators(&pack("ed-21-03").hunting);
    let hits = |path: &str| {
        let file = File { path: path.as_bytes(), sha256: [0; 32], md5: None, sha1: None };
        indicators.file(&file, None).iter().map(|hit| hit.indicator.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(hits("/home/bin/dshelper"), ["QUIETPULSE: dshelper"]);
    assert_eq!(hits("/tmp/dsstartssh.statementcounters"), ["RADIALPULSE: what it collects"]);
    assert_eq!(hits("/home/bin/dsserver"), [""; 0]);
}

/// Files of the system that runs the test, as far as they are of usual size.
fn clean_files() -> Vec<PathBuf> {
    const MOST: u64 = 4 << 20;
    let mut left: u64 = 300 << 20;
    let mut files = Vec::new();
    let folders = ["/etc", "/usr/bin", "/usr/sbin", "/usr/share/perl", "/usr/share/perl5", "/usr/lib/x86_64-linux-gnu"];
    let mut open: Vec<PathBuf> = folders.iter().rev().map(PathBuf::from).collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.is_file() && meta.len() <= MOST.min(left) {
                left -= meta.len();
                files.push(entry.path());
            }
        }
    }
    files
}

#[test]
fn nothing_fires_on_a_clean_system() {
    let hunts: Vec<(&str, yara::Rules, Indicators)> = PACKS
        .iter()
        .map(|given| {
            let hunting = pack(given.pack).hunting;
            (given.pack, yara_rules(&hunting), indicators(&hunting))
        })
        .collect();
    let files = clean_files();
    assert!(files.len() > 500, "a system has more than {} files", files.len());
    let mut scanners: Vec<_> = hunts.iter().map(|(_, rules, _)| rules.scanner()).collect();
    for path in &files {
        let Ok(content) = fs::read(path) else { continue };
        let name = path.to_string_lossy();
        let md5 = md5::Md5::digest(&content).into();
        let file = File { path: name.as_bytes(), sha256: Sha256::digest(&content).into(), md5: Some(md5), sha1: None };
        for ((pack, _, indicators), scanner) in hunts.iter().zip(&mut scanners) {
            assert_eq!(fire(scanner, &name, &content), named(&[]), "{pack} {name}");
            let hits = indicators.file(&file, Some(&content));
            assert!(hits.is_empty(), "{pack} {name}: {hits:?}");
        }
    }
}
