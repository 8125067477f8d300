//! What somebody can do to a case with the `sqlite3` program, and what `verify` says then.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "an integration test that runs sqlite3")]

use std::path::Path;
use std::process::Command;

use case::{Case, Error};
use directive::record::{Body, Mark, Record};

fn record(n: usize) -> Record {
    let body = Body::Mark(Mark { mark: "note".into(), value: format!("value {n}"), by: "J. Doe".into() });
    Record::stamp("test", n, "2021-04-21T12:00:00Z".parse().unwrap(), Some("vpn1"), body)
}

/// A case of ten records.
fn ten(dir: &Path) -> Vec<Record> {
    let records: Vec<_> = (1..=10).map(record).collect();
    let mut case = Case::create(dir).unwrap();
    assert_eq!(case.append(&records[..4]).unwrap(), 4);
    assert_eq!(case.append(&records[4..]).unwrap(), 6);
    records
}

fn sqlite3(dir: &Path, sql: &str) {
    let output = Command::new("sqlite3").arg(dir.join("case.db")).arg(sql).output().expect("sqlite3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Does `sql` to a case of ten records; `verify` must name this record with these words.
#[track_caller]
fn caught(sql: &str, record: i64, words: &str) {
    let dir = tempfile::tempdir().unwrap();
    ten(dir.path());
    sqlite3(dir.path(), sql);
    let case = Case::open_read_only(dir.path()).unwrap();
    match case.verify() {
        Err(Error::Broken(broken)) => {
            assert_eq!(broken.record, record, "{broken}");
            assert!(broken.to_string().contains(words), "{broken}");
        }
        other => panic!("{sql}: {other:?}"),
    }
    assert!(matches!(Case::open(dir.path()), Err(Error::Broken(_))), "a broken case was opened for writing");
}

#[test]
fn an_untouched_case_verifies_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let records = ten(dir.path());
    let case = Case::open(dir.path()).unwrap();
    let head = case.verify().unwrap();
    assert_eq!(head.records, 10);
    assert_eq!(case.records().unwrap(), records);
    assert_eq!(case.find_hash(&head.hash).unwrap(), Some(10));
}

#[test]
fn an_edited_record_is_named() {
    caught("UPDATE record SET body = replace(body, 'value 5', 'value 6') WHERE seq = 5", 5, "not what was written");
}

#[test]
fn an_edited_id_is_named() {
    caught("UPDATE record SET id = 'x' WHERE seq = 3", 3, "id column");
}

#[test]
fn an_edited_hash_is_named() {
    caught("UPDATE record SET hash = zeroblob(32) WHERE seq = 7", 7, "not what was written");
    caught("UPDATE record SET hash = x'00' WHERE seq = 7", 7, "not what was written");
}

#[test]
fn a_deleted_record_is_named() {
    caught("DELETE FROM record WHERE seq = 1", 1, "missing");
    caught("DELETE FROM record WHERE seq = 6", 6, "missing");
}

#[test]
fn a_deleted_end_is_named() {
    caught("DELETE FROM record WHERE seq >= 9", 9, "the head file counts 10");
    caught("DELETE FROM record", 1, "the head file counts 10");
}

#[test]
fn a_deletion_hidden_by_renumbering_is_named() {
    caught(
        "DELETE FROM record WHERE seq = 6; UPDATE record SET seq = seq - 1 WHERE seq > 6",
        6,
        "not where it was written",
    );
}

#[test]
fn swapped_records_are_named() {
    caught(
        "UPDATE record SET seq = 100 WHERE seq = 4; UPDATE record SET seq = 4 WHERE seq = 8; \
         UPDATE record SET seq = 8 WHERE seq = 100",
        4,
        "not where it was written",
    );
}

#[test]
fn swapped_bodies_are_named() {
    caught(
        "UPDATE record SET id = 'x' WHERE seq = 4; \
         UPDATE record SET body = (SELECT group_concat(body) FROM record AS other \
         WHERE other.seq = 12 - record.seq) WHERE seq IN (4, 8)",
        4,
        "not what was written",
    );
}

#[test]
fn an_added_record_is_named() {
    caught(
        "INSERT INTO record (seq, id, body, hash) SELECT 11, 'new', body, hash FROM record WHERE seq = 10",
        11,
        "not what was written",
    );
}

#[test]
fn a_chain_written_anew_is_caught_by_the_head_file() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ten(ours.path());
    let mut forged = Case::create(theirs.path()).unwrap();
    forged.append(&(11..=20).map(record).collect::<Vec<_>>()).unwrap();
    std::fs::copy(theirs.path().join("case.db"), ours.path().join("case.db")).unwrap();
    let broken = Case::open_read_only(ours.path()).unwrap().verify().unwrap_err();
    assert!(broken.to_string().contains("written anew"), "{broken}");
}

#[test]
fn a_missing_head_file_is_no_licence() {
    let dir = tempfile::tempdir().unwrap();
    ten(dir.path());
    std::fs::remove_file(dir.path().join("head")).unwrap();
    assert!(matches!(Case::open(dir.path()), Err(Error::Broken(_))));
}

#[test]
fn a_run_killed_before_the_head_was_written_is_no_break() {
    let dir = tempfile::tempdir().unwrap();
    let records: Vec<_> = (1..=4).map(record).collect();
    let mut case = Case::create(dir.path()).unwrap();
    case.append(&records[..2]).unwrap();
    let head = std::fs::read(dir.path().join("head")).unwrap();
    case.append(&records[2..]).unwrap();
    drop(case);
    std::fs::write(dir.path().join("head"), head).unwrap();
    assert_eq!(Case::open(dir.path()).unwrap().verify().unwrap().records, 4);
}

#[test]
fn a_step_delivered_twice_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let records = ten(dir.path());
    let mut case = Case::open(dir.path()).unwrap();
    assert_eq!(case.append(&records[3..6]).unwrap(), 0);
    assert_eq!(case.verify().unwrap().records, 10);
}

#[test]
fn a_record_that_contradicts_one_of_the_same_id_adds_nothing_of_its_step() {
    let dir = tempfile::tempdir().unwrap();
    let records = ten(dir.path());
    let mut case = Case::open(dir.path()).unwrap();
    let lie = Record { at: "2021-04-22T00:00:00Z".parse().unwrap(), ..records[2].clone() };
    assert!(matches!(case.append(&[record(11), lie]), Err(Error::Contradiction { .. })));
    assert_eq!(case.records().unwrap(), records);
}

#[test]
fn two_runs_cannot_write_at_once() {
    let dir = tempfile::tempdir().unwrap();
    ten(dir.path());
    let first = Case::open(dir.path()).unwrap();
    assert!(matches!(Case::open(dir.path()), Err(Error::InUse { .. })));
    assert!(Case::open_read_only(dir.path()).is_ok());
    drop(first);
    assert!(Case::open(dir.path()).is_ok());
}

#[test]
fn a_case_is_not_made_twice_in_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    ten(dir.path());
    assert!(matches!(Case::create(dir.path()), Err(Error::Exists { .. })));
}

#[test]
fn evidence_that_was_changed_is_not_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let case = Case::create(dir.path()).unwrap();
    let digest = case.put_evidence(b"bytes").unwrap();
    assert_eq!(case.put_evidence(b"bytes").unwrap(), digest);
    assert_eq!(case.evidence(&digest).unwrap().as_deref(), Some(&b"bytes"[..]));
    std::fs::write(dir.path().join("evidence").join(&digest[..2]).join(&digest), b"other").unwrap();
    assert_eq!(case.evidence(&digest).unwrap(), None);
    assert_eq!(case.evidence("../../etc/passwd").unwrap(), None);
}

#[test]
fn a_file_that_is_no_case_gives_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Case::open(dir.path()), Err(Error::NoCase { .. })));
    std::fs::write(dir.path().join("case.db"), b"not a database, but long enough to be looked at").unwrap();
    std::fs::write(dir.path().join("head"), b"{\"records\":0,\"hash\":\"\"}").unwrap();
    assert!(matches!(Case::open(dir.path()), Err(Error::Store { .. })));
}
