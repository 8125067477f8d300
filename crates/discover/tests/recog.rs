//! Recog: do the published databases mean here what they mean to their authors?
//!
//! The databases (github.com/rapid7/recog, BSD-2-Clause) lie beside the repository and are not part
//! of it; without them the tests say so and pass. `PORTCULLIS_RECOG` names another folder of them, such as `xml/` of a
//! clone.

#![expect(clippy::print_stderr, reason = "a test that skips, and a figure that a person wants to see")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::path::PathBuf;

use discover::recog::Database;

fn folder() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recog");
    std::env::var_os("PORTCULLIS_RECOG").map_or_else(beside, PathBuf::from)
}

/// Every database of the folder; says so if there is none.
fn databases() -> Vec<Database> {
    let Ok(entries) = std::fs::read_dir(folder()) else {
        eprintln!("skipped: no Recog databases at ../shared/data/recog beside the repository");
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
