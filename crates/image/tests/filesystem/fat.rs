//! Fat: volumes of all three widths, filled by mtools, against the tree that they were filled from.
//!
//! The kernel is no reference here: not every kernel has vfat.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use image::Memory;
use image::filesystem::{self, Error};

use super::tree;
use super::view::{Depth, kernels, open, ours, run, same};

fn make(tree: &Path, image: &Path, mkfs: &[&str], megabytes: u64) {
    fs::File::create(image).unwrap().set_len(megabytes << 20).unwrap();
    let image = image.to_str().unwrap();
    run("mkfs.vfat", &[mkfs, &[image]].concat());
    for entry in fs::read_dir(tree).unwrap() {
        run("mcopy", &["-s", "-m", "-i", image, entry.unwrap().path().to_str().unwrap(), "::/"]);
    }
}

#[track_caller]
fn check(mkfs: &[&str], megabytes: u64, fill: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    fill(&tree);
    make(&tree, &image, mkfs, megabytes);
    let fs = open(&image);
    same(&ours(&*fs, Depth::Content), &kernels(&tree, Depth::Content));
    let uuid = run("blkid", &["-o", "value", "-s", "UUID", image.to_str().unwrap()]);
    assert_eq!(fs.uuid().unwrap(), uuid.trim().to_lowercase());
}

#[test]
fn a_fat12_volume_is_read_whole() {
    check(&["-F", "12", "-s", "8"], 14, tree::plain);
}

#[test]
fn a_fat16_volume_is_read_whole() {
    check(&["-F", "16"], 64, |root| {
        tree::plain(root);
        tree::crowded(root, "crowd", 400);
    });
}

#[test]
fn a_fat32_volume_is_read_whole() {
    check(&["-F", "32", "-s", "1"], 128, |root| {
        tree::plain(root);
        tree::crowded(root, "crowd", 400);
        fs::write(root.join("SHORT.TXT"), "short").unwrap();
        fs::write(root.join("lower.txt"), "lower").unwrap();
    });
}

#[test]
fn times_and_labels_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "x").unwrap();
    run("touch", &["-d", "2021-04-20 13:14:16 UTC", tree.join("file").to_str().unwrap()]);
    make(&tree, &image, &["-F", "16", "-n", "A LABEL"], 16);
    let fs = open(&image);
    assert_eq!(fs.label().unwrap(), b"A LABEL");
    fs.list(fs.root(), &mut |entry| {
        assert_eq!(entry.name, b"file");
        assert_eq!(fs.node(entry.id).unwrap().mtime, (1_618_924_456, 0));
        true
    })
    .unwrap();
}

/// A FAT12 volume with one file of many clusters, in memory.
fn volume() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("FILE"), tree::noise(1, 20_000)).unwrap();
    make(&tree, &image, &["-F", "12", "-s", "1"], 1);
    fs::read(image).unwrap()
}

/// Opens the only file and reads it.
fn read_only_file(bytes: Vec<u8>) -> Result<usize, Error> {
    let fs = filesystem::open(Arc::new(Memory(bytes))).unwrap().unwrap();
    let mut id = None;
    fs.list(fs.root(), &mut |entry| {
        id = Some(entry.id);
        true
    })
    .unwrap();
    let mut content = fs.open(id.unwrap())?;
    content.read(&mut vec![0; 1 << 20])
}

#[test]
fn a_chain_that_goes_round_in_a_circle_is_damage() {
    let mut bytes = volume();
    assert_eq!(read_only_file(bytes.clone()).unwrap(), 20_000);
    // The table begins at sector 1; clusters 4 and 5 share three bytes. Cluster 4 now leads to 3.
    bytes[512 + 6] = 3;
    bytes[512 + 7] &= 0xf0;
    let error = read_only_file(bytes).unwrap_err();
    assert_eq!(error.to_string(), "damaged: a chain of clusters goes round in a circle");
}

#[test]
fn a_file_that_ends_before_its_size_is_damage() {
    let mut bytes = volume();
    bytes[512 + 6] = 0xff;
    bytes[512 + 7] |= 0x0f;
    let error = read_only_file(bytes).unwrap_err();
    assert_eq!(error.to_string(), "damaged: a file ends before its last byte");
}
