//! Recog: do the published databases mean here what they mean to their authors?
//!
//! The databases (github.com/rapid7/recog, BSD-2-Clause) lie beside the repository and are not part
//! of it; without them the test says so and passes.

#![expect(clippy::print_stderr, reason = "a test that skips, and a figure that a person wants to see")]

use std::path::Path;

use discover::recog::Database;

/// Loads every database beside the repository and runs its own examples.
#[test]
fn every_example_of_the_published_databases_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recog");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no Recog databases at ../shared/data/recog beside the repository");
        return;
    };
    let (mut fingerprints, mut examples, mut failed) = (0, 0, Vec::new());
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "xml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let database = Database::parse(&name, &std::fs::read_to_string(&path).unwrap()).unwrap();
        let (count, failures) = database.check_examples();
        fingerprints += database.len();
        examples += count;
        failed.extend(failures.iter().map(|f| format!("{name}:{}: {}: {}", f.line, f.description, f.why)));
    }
    eprintln!("{fingerprints} fingerprints, {} of {examples} examples pass", examples - failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
