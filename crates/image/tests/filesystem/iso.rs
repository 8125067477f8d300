//! Iso: volumes of two makers with and without Rock Ridge, against the tree that they were made from.
//!
//! The kernel is no reference here: not every kernel has iso9660.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use image::Memory;
use image::filesystem;

use super::tree;
use super::view::{Depth, View, kernels, open, ours, run, same};

#[track_caller]
fn check(maker: &str, args: &[&str], depth: Depth, fill: impl Fn(&Path)) -> View {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    fill(&tree);
    let places = ["-quiet", "-V", "A_LABEL", "-o", image.to_str().unwrap(), tree.to_str().unwrap()];
    run(maker, &[args, &places].concat());
    let fs = open(&image);
    assert_eq!((fs.kind(), fs.label().unwrap()), ("iso9660", b"A_LABEL".to_vec()));
    let mut view = ours(&*fs, depth);
    // Folders that lay too deep are shown where they were, and where they were moved to as well.
    view.retain(|path, _| !path.starts_with("/rr_moved"));
    same(&view, &kernels(&tree, depth));
    view
}

fn all(root: &Path) {
    tree::plain(root);
    tree::unix(root);
    fs::create_dir_all(root.join("1/2/3/4/5/6/7/8/9/10/11")).unwrap();
    fs::write(root.join("1/2/3/4/5/6/7/8/9/10/11/deep"), "deep").unwrap();
    fs::write(root.join("n".repeat(250)), "a long name").unwrap();
    std::os::unix::fs::symlink("/../a/./b/../c", root.join("dotted")).unwrap();
}

#[test]
fn rock_ridge_by_genisoimage_is_read_whole() {
    check("genisoimage", &["-R"], Depth::Owners, |root| {
        all(root);
        // This maker does not bear long links, and counts the days of years to come wrongly.
        fs::remove_file(root.join("link-903")).unwrap();
        run("touch", &["-d", "2019-02-03 04:05:06 UTC", root.join("etc/size-61").to_str().unwrap()]);
    });
}

#[test]
fn rock_ridge_by_xorriso_is_read_whole() {
    check("xorriso", &["-as", "mkisofs", "-R"], Depth::Owners, all);
}

#[test]
fn joliet_names_are_read_where_there_is_no_rock_ridge() {
    check("genisoimage", &["-J", "-joliet-long", "-input-charset", "utf-8"], Depth::Content, tree::plain);
}

#[test]
fn plain_names_are_shown_as_recorded() {
    let view = check("genisoimage", &[], Depth::Content, |root| {
        fs::create_dir_all(root.join("FOLDER/BELOW")).unwrap();
        fs::write(root.join("FOLDER/BELOW/FILE.TXT"), "text").unwrap();
        fs::write(root.join("NODOT"), "text").unwrap();
        fs::write(root.join("EMPTY.TXT"), "").unwrap();
    });
    assert_eq!(view.len(), 6);
}

#[test]
fn a_file_in_two_parts_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    let (first, second) = (tree::noise(1, 4096), tree::noise(2, 5000));
    fs::write(tree.join("PART1"), &first).unwrap();
    fs::write(tree.join("PART2"), &second).unwrap();
    run("genisoimage", &["-quiet", "-o", image.to_str().unwrap(), tree.to_str().unwrap()]);
    // Files of 4 GiB are kept in records of one name, all but the last of which are marked.
    let mut bytes = fs::read(image).unwrap();
    let place = |bytes: &[u8], name: &[u8]| bytes.windows(name.len()).position(|window| window == name).unwrap();
    let (one, two) = (place(&bytes, b"PART1.;1"), place(&bytes, b"PART2.;1"));
    bytes[one - 33 + 25] |= 0x80;
    bytes[two + 4] = b'1';
    let fs = filesystem::open(Arc::new(Memory(bytes))).unwrap().unwrap();
    let mut listed = Vec::new();
    fs.list(fs.root(), &mut |entry| {
        listed.push(entry);
        true
    })
    .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(fs.node(listed[0].id).unwrap().size, 9096);
    let mut content = vec![0; 10_000];
    assert_eq!(fs.open(listed[0].id).unwrap().read(&mut content).unwrap(), 9096);
    assert_eq!(content[..9096], [first, second].concat());
}
