//! Squashfs: volumes that `mksquashfs` packs by each method, against the kernel.

use std::fs;

use image::filesystem;

use super::tree;
use super::view::{Depth, agrees_with_kernel, kernels, may_mount, open, ours, run, same};

/// Packs a tree and compares with the kernel, or with the tree where this kernel lacks the method.
#[track_caller]
fn check(mksquashfs: &[&str], has_kernel: bool) {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    tree::plain(&tree);
    tree::unix(&tree);
    tree::attributes_of_plain(&tree);
    tree::crowded(&tree, "crowd", 2_000);
    let text = "the quick brown fox ".repeat(40_000);
    fs::write(tree.join("text"), text).unwrap();
    let names = [tree.to_str().unwrap(), image.to_str().unwrap()];
    run("mksquashfs", &[&names, mksquashfs, &["-quiet", "-no-progress"]].concat());
    if has_kernel {
        agrees_with_kernel(&image, "ro,loop", Depth::Recorded);
    } else {
        same(&ours(&*open(&image), Depth::Content), &kernels(&tree, Depth::Content));
    }
}

#[test]
fn a_volume_packed_by_gzip_is_read_whole() {
    check(&["-comp", "gzip"], true);
}

#[test]
fn a_volume_packed_by_xz_is_read_whole() {
    check(&["-comp", "xz", "-Xbcj", "x86", "-b", "1048576"], true);
}

#[test]
fn a_volume_packed_by_zstd_is_read_whole() {
    check(&["-comp", "zstd", "-b", "4096"], true);
}

#[test]
fn a_volume_packed_by_lz4_is_read_whole() {
    check(&["-comp", "lz4", "-Xhc"], true);
}

#[test]
fn a_volume_packed_by_lzma_is_read_whole() {
    check(&["-comp", "lzma"], false);
}

#[test]
fn a_volume_without_packing_fragments_and_attributes_is_read_whole() {
    check(&["-noI", "-noD", "-noF", "-no-fragments", "-no-xattrs"], true);
}

#[test]
fn the_ends_of_large_files_in_fragments_are_read() {
    check(&["-always-use-fragments", "-all-root"], true);
}

#[test]
fn a_volume_packed_by_lzo_is_not_read_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    tree::plain(&tree);
    let names = [tree.to_str().unwrap(), image.to_str().unwrap()];
    run("mksquashfs", &[names[0], names[1], "-comp", "lzo", "-quiet", "-no-progress"]);
    let volume = std::sync::Arc::new(super::view::Raw(fs::File::open(&image).unwrap()));
    let error = filesystem::open(volume).err().unwrap();
    assert_eq!(error.to_string(), "not read: squashfs packed by LZO");
}
