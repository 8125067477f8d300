//! Archives: the same files as in the folder, whatever packed them.

use std::path::{Path, PathBuf};

use crate::met::{open, run, shown, tree, walk};

struct Made {
    _dir: tempfile::TempDir,
    root: PathBuf,
    archive: PathBuf,
}

/// Makes an archive of the tree with a command that is run inside it.
fn made(name: &str, command: &str) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let (root, archive) = (dir.path().join("root"), dir.path().join(name));
    std::fs::create_dir(&root).unwrap();
    tree(&root);
    run(&command.replace("OUT", archive.to_str().unwrap()), &root);
    Made { root, archive, _dir: dir }
}

#[track_caller]
fn same(name: &str, command: &str) {
    let made = made(name, command);
    assert_eq!(shown(&made.archive), shown(&made.root), "{name}: {command}");
}

#[test]
fn a_tar_holds_what_the_folder_holds_in_every_format() {
    same("x.tar", "tar --numeric-owner --format=gnu -cf OUT .");
    same("x.tar", "tar --numeric-owner --format=posix -cf OUT .");
    // The old format holds no name of 180 bytes.
    same(
        "x.tar",
        "rm etc/deep/nnn* && touch -d '2021-04-20 12:00:00 UTC' etc/deep && \
         tar --numeric-owner --format=ustar -cf OUT .",
    );
    same("x.tar", "tar --numeric-owner --format=gnu -S -cf OUT .");
    same("x.tar", "tar --numeric-owner --format=posix -S -cf OUT .");
    same("x.tar", "tar --numeric-owner --format=posix --sparse-version=0.1 -S -cf OUT .");
    same("x.tar", "tar --numeric-owner --format=posix --sparse-version=0.0 -S -cf OUT .");
}

#[test]
fn a_packed_tar_holds_what_the_folder_holds() {
    same("x.tar.gz", "tar --numeric-owner -czf OUT .");
    same("x.tar.xz", "tar --numeric-owner -cJf OUT .");
    same("x.tar.zst", "tar --numeric-owner --zstd -cf OUT .");
    same("x.tar.zst", "tar --numeric-owner -S --zstd -cf OUT .");
    same("wrong-name.img", "tar --numeric-owner --zstd -cf OUT .");
}

#[test]
fn a_zip_holds_what_the_folder_holds() {
    // A zip has no hard links: the second name is a file of its own, which reads the same.
    same("x.zip", "zip -q -y -r OUT .");
    same("x.zip", "zip -q -0 -y -r OUT .");
}

#[test]
fn small_files_are_read_and_links_are_followed_inside_an_archive() {
    for (name, command) in [("x.tar", "tar -cf OUT ."), ("x.tar.gz", "tar -czf OUT ."), ("x.zip", "zip -q -y -r OUT .")]
    {
        let made = made(name, command);
        let source = open(&made.archive).unwrap();
        assert_eq!(source.canonical_file(b"/etc/web").as_deref(), Some(&b"/home/bin/web"[..]), "{name}");
        assert_eq!(source.canonical_folder(b"/etc/bin/../bin").as_deref(), Some(&b"/home/bin"[..]), "{name}");
        assert_eq!(source.read_small(b"/etc/web", 100).unwrap().as_deref(), Some(&b"vendor\n"[..]), "{name}");
        assert_eq!(source.read_small(b"/etc/bin/web-again", 100).unwrap().as_deref(), Some(&b"vendor\n"[..]));
        // Too large to be kept in passing: read again from the archive.
        assert_eq!(source.read_small(b"/etc/large", 2 << 20).unwrap().unwrap().len(), 1_288_895, "{name}");
        assert!(source.read_small(b"/etc/large", 100).is_err(), "{name}");
        assert_eq!(source.read_small(b"/etc/none", 100).unwrap(), None, "{name}");
        let names = source.list(b"/home/bin").unwrap().unwrap();
        assert_eq!(names, [b"web".to_vec(), b"web-again".to_vec()], "{name}");
        let (_, digests) = source.digest(b"/home/bin/web", evidence::Wants::MD5).unwrap();
        assert!(digests.md5.is_some(), "{name}");
    }
}

#[test]
fn capabilities_travel_in_an_archive() {
    if !is_root() {
        return;
    }
    let made = made("x.tar", "setcap cap_net_raw+ep home/bin/web && tar --xattrs --xattrs-include='*' -cf OUT .");
    let source = open(&made.archive).unwrap();
    let (meta, _) = source.digest(b"/home/bin/web", evidence::Wants::SHA256).unwrap();
    assert_eq!(meta.capability(), Some("cap_net_raw+ep"));
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "in CI nothing is skipped");
    root
}

#[test]
fn an_archive_that_is_read_by_many_threads_gives_each_file_once() {
    let made = made("x.tar", "for i in $(seq 500); do echo $i > etc/deep/er/$i; done; tar -cf OUT .");
    let met = walk(open(&made.archive).unwrap().as_ref(), false);
    assert_eq!(
        met.entries.lock().unwrap().keys().filter(|path| path.as_bytes().starts_with(b"/etc/deep/er/")).count(),
        501
    );
}

#[test]
fn a_file_that_is_no_evidence_is_refused_with_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "call the vendor").unwrap();
    let error = open(&path).err().unwrap().to_string();
    assert!(error.contains("no file system that is known"), "{error}");
    assert!(matches!(open(Path::new("/dev/null")), Err(evidence::Error::NotAFile { .. })));
}
