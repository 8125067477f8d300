//! Attacks on whoever reads a zip, each as a test that is named after it.

use std::io::Write as _;

use zip::write::SimpleFileOptions;

use crate::met::{open, run, walk};

fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn short(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.zip");
    std::fs::write(&path, bytes).unwrap();
    let source = match open(&path) {
        Ok(source) => source,
        Err(error) => return format!("refused: {error}"),
    };
    let met = walk(source.as_ref(), false);
    let entries = met.entries.lock().unwrap().keys().map(|path| path.escaped()).collect::<Vec<_>>().join(" ");
    let obstacles = met.obstacles.lock().unwrap();
    let obstacles = obstacles.iter().map(|o| format!("{:?} {}: {}", o.kind, o.path.escaped(), o.message));
    [entries].into_iter().chain(obstacles).collect::<Vec<_>>().join(" | ")
}

/// Replaces bytes, all of them or the last ones only.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8], last_only: bool) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    for at in if last_only { &places[places.len() - 1..] } else { &places[..] } {
        bytes[*at..at + to.len()].copy_from_slice(to);
    }
}

#[test]
fn a_member_that_climbs_out_is_a_hostile_name() {
    let mut bytes = zip(&[("ok", "x"), ("aa/etc", "root")]);
    replace(&mut bytes, b"aa/etc", b"../etc", false);
    let shown = short(&bytes);
    assert!(shown.starts_with("/ok | BadName"), "{shown}");
}

#[test]
fn a_member_with_two_names_is_told() {
    let mut bytes = zip(&[("ok", "x"), ("vendor", "shell")]);
    // The directory says one thing, the member itself another.
    replace(&mut bytes, b"vendor", b"hidden", true);
    let shown = short(&bytes);
    assert!(shown.contains("BadName /hidden: the archive's directory"), "{shown}");
}

#[test]
fn two_members_of_one_name_do_not_hide_each_other() {
    let mut bytes = zip(&[("one", "vendor"), ("two", "shell")]);
    replace(&mut bytes, b"two", b"one", false);
    let shown = short(&bytes);
    assert!(shown.contains("Twice /one: the archive holds it more than once; each is examined"), "{shown}");
}

#[test]
fn a_zip_behind_a_program_that_unpacks_it_is_read_like_any_other() {
    let members = [("a", "x"), ("b/c", "some content that is long enough to be packed packed packed packed")];
    let bytes = [b"#!/bin/sh\nexec unzip \"$0\"\n".repeat(9), zip(&members)].concat();
    assert_eq!(short(&bytes), "/a /b/c");
}

#[test]
fn a_directory_that_breaks_off_is_told_and_what_came_before_is_seen() {
    let mut bytes = zip(&[("a", "x"), ("b", "y"), ("c", "z")]);
    let records: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"PK\x01\x02")).collect();
    bytes[records[1]] = b'X';
    let shown = short(&bytes);
    assert!(shown.starts_with("/a | Damaged /: a record of its directory is damaged"), "{shown}");
}

#[test]
fn a_member_that_unpacks_to_other_bytes_is_damage() {
    let mut bytes = zip(&[("a", "vendor-vendor")]);
    let at = bytes.windows(2).position(|two| two == [0xcb, 0x2b]).unwrap_or(40);
    bytes[at + 4] ^= 0x55;
    let shown = short(&bytes);
    assert!(shown.contains("Damaged /a") || shown.contains("refused"), "{shown}");
}

#[test]
fn an_encrypted_member_says_that_it_is_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    run("echo secret > a; zip -q -P password x.zip a", dir.path());
    let shown = short(&std::fs::read(dir.path().join("x.zip")).unwrap());
    assert!(shown.contains("Encrypted /a"), "{shown}");
}

#[test]
fn a_count_that_lies_is_not_believed() {
    let mut bytes = zip(&[("a", "x"), ("b", "y")]);
    let end = bytes.len() - 22;
    bytes[end + 8..end + 12].copy_from_slice(&[0xf0, 0xff, 0xf0, 0xff]);
    let shown = short(&bytes);
    assert!(shown.contains("refused") || shown.contains("Twice"), "{shown}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn no_bytes_make_us_panic(flips in proptest::collection::vec((0_usize..4096, proptest::num::u8::ANY), 1..20)) {
        let mut bytes = zip(&[("a", "x"), ("b/c", "some content that is long enough to be packed packed packed")]);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let _ = short(&bytes);
    }
}
