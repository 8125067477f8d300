//! What a folder that somebody calls a pack can try.
#![expect(clippy::disallowed_methods, reason = "an integration test that makes folders")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use feed::folder::{Error, Limits, load, read};

fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs").join(name)
}

#[test]
fn every_shipped_pack_can_be_worked_from() {
    let packs = fs::read_dir(shipped("")).unwrap();
    let mut count = 0;
    for pack in packs {
        let path = pack.unwrap().path();
        let loaded = load(&path).unwrap_or_else(|err| panic!("{err}\n{}", std::error::Error::source(&err).unwrap()));
        assert_eq!(Some(loaded.id()), path.file_name().unwrap().to_str(), "a pack's folder is called as its id");
        count += 1;
    }
    assert!(count >= 2, "the shipped packs are there");
}

#[test]
fn a_link_to_another_file_of_the_analyst_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/etc/passwd", dir.path().join("directive.toml")).unwrap();
    assert!(matches!(load(dir.path()), Err(Error::Special { .. })));
}

#[test]
fn a_pipe_does_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("mkfifo").arg(dir.path().join("directive.toml")).status().unwrap();
    assert!(status.success());
    assert!(matches!(load(dir.path()), Err(Error::Special { .. })));
}

#[test]
fn a_folder_that_is_too_large_for_a_pack_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..5 {
        fs::write(dir.path().join(n.to_string()), [0; 100]).unwrap();
    }
    let limits = Limits { files: 4, ..Limits::default() };
    assert!(read(dir.path(), limits).unwrap_err().to_string().contains("more than 4 files"));
    let limits = Limits { bytes: 499, ..Limits::default() };
    assert!(read(dir.path(), limits).unwrap_err().to_string().contains("more than 499 bytes"));
    assert_eq!(read(dir.path(), Limits { bytes: 500, ..Limits::default() }).unwrap().len(), 5);
}

#[test]
fn a_mistake_is_shown_with_file_line_and_caret() {
    let dir = tempfile::tempdir().unwrap();
    let from = shipped("ed-21-03");
    for name in ["directive.toml", "product.toml", "report.toml", "SOURCES.md"] {
        fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    let broken =
        fs::read_to_string(from.join("directive.toml")).unwrap().replace("after = [\"2.b.iii\"", "after = [\"2.b.99\"");
    fs::write(dir.path().join("directive.toml"), broken).unwrap();
    let err = load(dir.path()).unwrap_err();
    let shown = std::error::Error::source(&err).unwrap().to_string();
    assert!(shown.contains("there is no action \"2.b.99\""), "{shown}");
    assert!(shown.contains("directive.toml:"), "{shown}");
    assert!(shown.contains('^'), "{shown}");
}

#[test]
fn a_folder_that_is_no_pack_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let err = load(dir.path()).unwrap_err();
    let shown = std::error::Error::source(&err).unwrap().to_string();
    for name in ["directive.toml", "product.toml", "report.toml", "SOURCES.md"] {
        assert!(shown.contains(name), "{shown}");
    }
}
