//! Xfs: XFS volumes in the forms that `mkfs.xfs` makes, against the kernel.

use std::fs;
use std::path::Path;

use super::tree;
use super::view::{Depth, Mounted, agrees_with_kernel, kernels, may_mount, open, ours, run, same};

fn make(image: &Path, mkfs: &[&str], megabytes: u64) {
    fs::File::create(image).unwrap().set_len(megabytes << 20).unwrap();
    run("mkfs.xfs", &[&["-q", "-f"], mkfs, &[image.to_str().unwrap()]].concat());
}

/// Makes a volume with `mkfs.xfs`, fills it while mounted, and compares.
#[track_caller]
fn check(mkfs: &[&str], megabytes: u64, fill: impl Fn(&Path)) {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    make(&image, mkfs, megabytes);
    let mounted = Mounted::new(&image, "loop");
    fill(mounted.path());
    drop(mounted);
    let fs = agrees_with_kernel(&image, "ro,loop", Depth::Everything);
    assert!(fs.remarks().is_empty(), "{:?}", fs.remarks());
    assert!(run("blkid", &["-o", "value", "-s", "UUID", image.to_str().unwrap()]).contains(&fs.uuid().unwrap()));
}

fn all(root: &Path) {
    tree::plain(root);
    tree::unix(root);
    tree::attributes(root);
}

/// Values and counts of attributes that need leaves, nodes and blocks of their own.
fn many_attributes(root: &Path) {
    let path = root.join("etc/size-1");
    let set = |name: String, value: &[u8]| {
        rustix::fs::setxattr(&path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    for n in 0..900 {
        set(format!("user.many-{n:04}"), &tree::noise(n, 100 + n as usize % 50));
    }
    for size in [3_000, 4_096, 20_000, 65_536] {
        set(format!("user.large-{size}"), &tree::noise(1, size));
    }
}

#[test]
fn an_xfs_volume_of_today_is_read_whole() {
    check(&["-L", "a label"], 400, |root| {
        all(root);
        many_attributes(root);
        tree::crowded(root, "crowd", 5_000);
        tree::fragmented(root, 2_000);
    });
}

#[test]
fn groups_whose_size_is_no_power_of_two_are_read_whole() {
    check(&["-d", "agsize=101m"], 700, |root| {
        all(root);
        for n in 0..40 {
            tree::crowded(root, &format!("crowd-{n}"), 60);
            fs::write(root.join(format!("big-{n}")), tree::noise(n, 3 << 20)).unwrap();
        }
    });
}

/// Kernels of today do not mount version 4, so `mkfs.xfs` itself puts the files there, and the tree
/// that it took them from is the reference.
#[test]
fn an_xfs_volume_of_version_4_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image, list) = (dir.path().join("tree"), dir.path().join("image"), dir.path().join("list"));
    fs::create_dir(&tree).unwrap();
    tree::plain(&tree);
    fs::remove_dir_all(tree.join("empty folder")).unwrap();
    fs::remove_dir_all(tree.join("usr/lib/deep/er/and")).unwrap();
    tree::crowded(&tree, "crowd", 5_000);
    std::os::unix::fs::symlink("x".repeat(60), tree.join("link")).unwrap();
    std::os::unix::fs::symlink("long/".repeat(180), tree.join("long-link")).unwrap();
    let mut lines = "/dev/null\n0 0\nd--755 0 0\n".to_owned();
    prototype(&tree, &mut lines);
    fs::write(&list, lines).unwrap();
    make(&image, &["-m", "crc=0", "-n", "ftype=0", "-p", list.to_str().unwrap()], 400);
    let fs = open(&image);
    same(&ours(&*fs, Depth::Content), &kernels(&tree, Depth::Content));
    assert!(fs.remarks().is_empty(), "{:?}", fs.remarks());
    assert_eq!(fs.node(fs.root()).unwrap().mode, 0o40_755);
    assert_eq!(fs.node(fs.root()).unwrap().birth, None);
}

/// A folder in the words of `mkfs.xfs -p`.
fn prototype(folder: &Path, lines: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            *lines += &format!("{name} d--755 0 0\n");
            prototype(&path, lines);
        } else if kind.is_symlink() {
            *lines += &format!("{name} l--777 0 0 {}\n", fs::read_link(&path).unwrap().display());
        } else {
            *lines += &format!("{name} ---644 0 0 {}\n", path.display());
        }
    }
    *lines += "$\n";
}

#[test]
fn small_blocks_and_large_folder_blocks_are_read_whole() {
    check(&["-b", "size=1024", "-n", "size=16384", "-i", "size=512"], 400, |root| {
        all(root);
        many_attributes(root);
        tree::crowded(root, "crowd", 5_000);
        tree::crowded(root, "some", 150);
        tree::fragmented(root, 1_000);
    });
}

#[test]
fn no_wide_times_and_no_reflinks_are_read_whole() {
    check(&["-m", "bigtime=0,reflink=0,rmapbt=0", "-i", "nrext64=0"], 400, |root| {
        tree::plain(root);
        tree::attributes_of_plain(root);
    });
}

#[test]
fn shared_and_reserved_extents_are_read_whole() {
    check(&["-m", "reflink=1,rmapbt=1"], 400, |root| {
        all(root);
        let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
        run("cp", &["--reflink=always", &path("usr/lib/big.bin"), &path("shared")]);
        let shared = fs::OpenOptions::new().write(true).open(root.join("shared")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&shared, b"changed", 1_000_000).unwrap();
        run("fallocate", &["-l", "5000000", &path("reserved")]);
        let reserved = fs::OpenOptions::new().write(true).open(root.join("reserved")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&reserved, b"in the middle", 2_345_678).unwrap();
    });
}

/// Fills a volume, stops it with the log full, and compares with the kernel's own replay of a copy.
#[track_caller]
fn check_unclean(mkfs: &[&str]) {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    make(&image, mkfs, 700);
    let mounted = Mounted::new(&image, "loop");
    all(mounted.path());
    many_attributes(mounted.path());
    tree::crowded(mounted.path(), "crowd", 4_000);
    tree::fragmented(mounted.path(), 300);
    for n in 0..400 {
        let folder = mounted.path().join(format!("folder-{n}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), n.to_string()).unwrap();
        if n % 3 == 0 {
            fs::remove_dir_all(&folder).unwrap();
        }
    }
    fs::remove_dir_all(mounted.path().join("var/log")).unwrap();
    fs::rename(mounted.path().join("usr/lib/big.bin"), mounted.path().join("moved")).unwrap();
    run("xfs_io", &["-x", "-c", "shutdown -f", mounted.path().to_str().unwrap()]);
    drop(mounted);
    let replayed = dir.path().join("replayed");
    fs::copy(&image, &replayed).unwrap();
    let fs = open(&image);
    assert!(fs.remarks()[0].contains("were taken from the log"), "{:?}", fs.remarks());
    let view = ours(&*fs, Depth::Everything);
    let mounted = Mounted::new(&replayed, "loop,noatime");
    same(&view, &kernels(mounted.path(), Depth::Everything));
    assert!(view.len() > 1_000, "the log was replayed: {} names", view.len());
}

#[test]
fn a_log_that_was_not_written_back_is_replayed() {
    check_unclean(&[]);
}

#[test]
fn a_log_over_small_blocks_is_replayed() {
    check_unclean(&["-b", "size=1024", "-i", "size=512", "-d", "agcount=5"]);
}
