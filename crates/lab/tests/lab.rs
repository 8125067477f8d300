//! Lab: is it the same exercise every time, and does it look like a real scope?

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use directive::scope::Scope;
use lab::Lab;

/// Every file below `root`: path, then mode, time and content.
fn files(root: &Path) -> BTreeMap<String, (u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                folders.push(path);
            } else {
                let name = format!("/{}", path.strip_prefix(root).unwrap().display());
                found.insert(name, (meta.mode() & 0o7777, meta.mtime(), fs::read(path).unwrap()));
            }
        }
    }
    found
}

/// Builds a lab and gives it to `look`.
fn build(look: impl FnOnce(&Lab)) {
    let dir = tempfile::tempdir().unwrap();
    look(&Lab::build(dir.path()).unwrap());
}

#[test]
fn two_labs_have_the_same_files() {
    build(|one| {
        build(|two| {
            assert_ne!(one.addresses(), two.addresses());
            for part in ["evidence/vpn1", "evidence/vpn2", "manifests"] {
                let read = |lab: &Lab| {
                    let mut files = files(&lab.dir().join(part));
                    if part == "manifests" {
                        files.values_mut().for_each(|file| file.1 = 0);
                    }
                    files
                };
                assert!(read(one) == read(two), "{part} differs");
            }
        });
    });
}

#[test]
fn the_intruder_changed_the_sign_in_page_added_one_file_and_rewrote_the_manifest_on_the_box_and_its_logs() {
    build(|lab| {
        let one = files(&lab.dir().join("evidence/vpn1"));
        let two = files(&lab.dir().join("evidence/vpn2"));
        assert!(one.len() > 250, "{} files", one.len());
        let differ: Vec<_> =
            two.iter().filter(|(path, file)| one.get(*path) != Some(file)).map(|(path, _)| path).collect();
        assert_eq!(
            differ,
            [
                "/home/etc/manifest/manifest",
                "/home/runtime/logs/log.access.vc0",
                "/home/runtime/logs/log.events.vc0",
                "/home/webserver/htdocs/dana-na/auth/compcheckresult.cgi",
                "/home/webserver/htdocs/dana-na/auth/login.cgi",
            ]
        );
        assert_eq!(two.len(), one.len() + 1);
        let on_box = String::from_utf8(two["/home/etc/manifest/manifest"].2.clone()).unwrap();
        assert!(on_box.contains("compcheckresult.cgi"));
    });
}

#[test]
fn the_manifest_from_outside_lists_every_shipped_file_and_nothing_else() {
    build(|lab| {
        let text = fs::read_to_string(lab.dir().join("manifests/9.1R10.manifest")).unwrap();
        let listed: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let on_disk: Vec<_> = files(&lab.dir().join("evidence/vpn1")).into_keys().collect();
        let shipped: Vec<_> =
            on_disk.into_iter().filter(|p| !p.starts_with("/data/") && !p.starts_with("/home/runtime/")).collect();
        assert_eq!(listed, shipped);
    });
}

#[test]
fn nothing_that_was_added_can_run() {
    build(|lab| {
        for (path, (mode, _, bytes)) in files(&lab.dir().join("evidence/vpn2")) {
            assert!(!bytes.starts_with(b"#!") && !bytes.starts_with(b"\x7fELF"), "{path}");
            assert_eq!(mode & 0o7022, 0, "{path}");
        }
    });
}

#[test]
fn the_scope_file_reads_like_any_other() {
    build(|lab| {
        let scope = Scope::parse("scope.toml", &fs::read_to_string(lab.scope_file()).unwrap()).unwrap();
        let (targets, excluded) = scope.targets();
        assert_eq!((targets.len(), excluded, scope.instances.len()), (8, 0, 3));
        for (instance, address) in scope.instances.iter().zip(lab.addresses()) {
            assert_eq!(instance.addresses, [address]);
            for file in instance.evidence.iter().chain(&instance.manifests) {
                assert!(lab.dir().join(file).exists(), "{file}");
            }
        }
    });
}

#[test]
fn a_dropped_lab_frees_its_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::build(dir.path()).unwrap();
    let [first, ..] = lab.addresses();
    assert!(std::net::TcpStream::connect(first).is_ok());
    drop(lab);
    assert!(std::net::TcpStream::connect(first).is_err());
    assert!(dir.path().join("scope.toml").exists());
}
