//! Ext: ext2, ext3 and ext4 volumes in the forms that tools make, against the kernel.

use std::fs;
use std::path::Path;

use image::filesystem::Node;
use sha2::{Digest, Sha256};

use super::tree;
use super::view::{Depth, Mounted, View, agrees_with_kernel, hex, line, may_mount, open, ours, run};

/// Makes a volume with `mke2fs`, fills it while mounted, and compares.
#[track_caller]
fn check(mke2fs: &[&str], megabytes: u64, fill: impl Fn(&Path)) {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
    let image_name = image.to_str().unwrap();
    run("mke2fs", &[&["-q", "-F"], mke2fs, &[image_name]].concat());
    let mounted = Mounted::new(&image, "loop");
    fill(mounted.path());
    drop(mounted);
    let fs = agrees_with_kernel(&image, "ro,loop", Depth::Everything);
    assert!(fs.remarks().is_empty(), "{:?}", fs.remarks());
    assert!(run("blkid", &["-o", "value", "-s", "UUID", image_name]).contains(&fs.uuid().unwrap()));
    assert!(run("blkid", &["-o", "value", "-s", "TYPE", image_name]).contains(fs.kind()));
}

fn all(root: &Path) {
    tree::plain(root);
    tree::unix(root);
    tree::attributes(root);
}

#[test]
fn an_ext4_volume_of_today_is_read_whole() {
    check(&["-t", "ext4", "-L", "a label"], 64, all);
}

#[test]
fn an_ext2_volume_is_read_whole() {
    check(&["-t", "ext2"], 64, all);
}

#[test]
fn an_ext3_volume_of_small_blocks_is_read_whole() {
    check(&["-t", "ext3", "-b", "1024", "-I", "128"], 64, |root| {
        tree::plain(root);
        tree::unix(root);
        tree::crowded(root, "crowd", 3000);
        fs::write(root.join("triple indirect"), tree::noise(3, 30 << 20)).unwrap();
        let far = fs::File::create(root.join("far away")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&far, b"end", 300 << 20).unwrap();
    });
}

#[test]
fn small_blocks_and_no_64_bits_are_read_whole() {
    check(&["-t", "ext4", "-b", "1024", "-O", "^64bit,^metadata_csum"], 64, all);
}

#[test]
fn descriptors_in_meta_groups_are_found() {
    check(&["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode", "-g", "512"], 64, all);
}

#[test]
fn content_in_inodes_is_read() {
    check(&["-t", "ext4", "-O", "inline_data", "-I", "512"], 64, |root| {
        all(root);
        for n in 0..40 {
            fs::create_dir(root.join(format!("folder-{n}"))).unwrap();
            for name in 0..n {
                fs::write(root.join(format!("folder-{n}/{name}-entry")), vec![n; n.into()]).unwrap();
            }
        }
    });
}

#[test]
fn folders_of_thousands_are_listed_whole() {
    check(&["-t", "ext4", "-N", "40000"], 128, |root| tree::crowded(root, "crowd", 20_000));
}

#[test]
fn large_folders_and_small_inodes_are_read() {
    check(&["-t", "ext4", "-I", "128", "-O", "large_dir"], 64, |root| {
        all(root);
        tree::crowded(root, "crowd", 2_000);
    });
}

#[test]
fn a_file_in_thousands_of_pieces_is_read_whole() {
    check(&["-t", "ext4", "-b", "1024", "-O", "^has_journal"], 128, |root| tree::fragmented(root, 4_000));
}

#[test]
fn reserved_blocks_read_as_zero() {
    check(&["-t", "ext4"], 64, |root| {
        all(root);
        let name = root.join("reserved").to_str().unwrap().to_owned();
        run("fallocate", &["-l", "5000000", &name]);
        fs::OpenOptions::new().write(true).open(&name).unwrap().sync_all().unwrap();
        std::os::unix::fs::FileExt::write_all_at(
            &fs::OpenOptions::new().write(true).open(&name).unwrap(),
            b"in the middle",
            2_345_678,
        )
        .unwrap();
    });
}

#[test]
fn large_attributes_in_inodes_of_their_own_are_read() {
    check(&["-t", "ext4", "-O", "ea_inode"], 64, |root| {
        tree::plain(root);
        let path = root.join("etc/size-1");
        for size in [5_000, 60_000] {
            let name = format!("user.large-{size}");
            rustix::fs::setxattr(&path, name, &tree::noise(7, size), rustix::fs::XattrFlags::empty()).unwrap();
        }
    });
}

#[test]
fn a_folder_copied_by_mke2fs_is_read_whole() {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    tree::plain(&tree);
    tree::unix(&tree);
    let names = [tree.to_str().unwrap(), image.to_str().unwrap()];
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", names[0], names[1], "64m"]);
    agrees_with_kernel(&image, "ro,loop", Depth::Everything);
}

/// Fills a volume, copies the image while it is mounted and its journal is full, and compares the copy
/// with what the kernel makes of another copy.
#[track_caller]
fn check_unclean(mke2fs: &[&str], mount: &str) {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    run("mke2fs", &[&["-q", "-F"], mke2fs, &[image.to_str().unwrap()]].concat());
    let mounted = Mounted::new(&image, mount);
    all(mounted.path());
    tree::crowded(mounted.path(), "crowd", 1_500);
    fs::remove_dir_all(mounted.path().join("var/log")).unwrap();
    fs::write(mounted.path().join("magic"), [0xc0, 0x3b, 0x39, 0x98].repeat(3000)).unwrap();
    let path = mounted.path().to_str().unwrap();
    run("xfs_io", &["-x", "-c", "shutdown -f", path]);
    drop(mounted);
    let replayed = dir.path().join("replayed");
    fs::copy(&image, &replayed).unwrap();
    let fs = open(&image);
    let view = ours(&*fs, Depth::Everything);
    // Mounted for writing: only then the kernel replays.
    let mounted = Mounted::new(&replayed, "loop,noatime");
    super::view::same(&view, &super::view::kernels(mounted.path(), Depth::Everything));
    assert!(view.len() > 1_000, "the journal was replayed: {} names", view.len());
    assert!(fs.remarks()[0].contains("were taken from the journal"), "{:?}", fs.remarks());
}

#[test]
fn a_journal_that_was_not_written_back_is_replayed() {
    check_unclean(&["-t", "ext4"], "loop");
}

#[test]
fn a_journal_of_ext3_is_replayed() {
    check_unclean(&["-t", "ext3", "-b", "1024"], "loop");
}

#[test]
fn a_journal_that_holds_data_is_replayed() {
    check_unclean(&["-t", "ext4"], "loop,data=journal");
}

#[test]
fn another_reader_of_ext4_sees_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    tree::plain(&tree);
    tree::unix(&tree);
    tree::crowded(&tree, "crowd", 3_000);
    // The other reader refuses times before 1970 and after 2038 as mke2fs writes them; the kernel does not.
    for name in ["etc/size-59", "etc/size-61"] {
        run("touch", &["-d", "2020-01-01 UTC", tree.join(name).to_str().unwrap()]);
    }
    let names = [tree.to_str().unwrap(), image.to_str().unwrap()];
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "1024", "-d", names[0], names[1], "96m"]);
    let other = ext4_view::Ext4::load(Box::new(fs::read(&image).unwrap())).unwrap();
    let mut theirs = View::new();
    let mut folders = vec![ext4_view::PathBuf::new("/")];
    while let Some(folder) = folders.pop() {
        for entry in other.read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if matches!(entry.file_name().as_ref(), b"." | b"..") {
                continue;
            }
            let path = entry.path();
            let meta = other.symlink_metadata(&path).unwrap();
            let kind = entry.file_type().unwrap();
            let (mode, content) = if kind.is_dir() {
                folders.push(path.clone());
                (0o040_000, String::new())
            } else if kind.is_symlink() {
                let target = other.read_link(&path).unwrap();
                (0o120_000, format!("-> {}", AsRef::<[u8]>::as_ref(&target).escape_ascii()))
            } else if kind.is_regular_file() {
                (0o100_000, hex(&Sha256::digest(other.read(&path).unwrap())))
            } else {
                // It tells devices from each other no better than it has to.
                continue;
            };
            let node = Node { mode, size: meta.len(), ..Node::default() };
            theirs.insert(
                AsRef::<[u8]>::as_ref(&path).escape_ascii().to_string(),
                line(0, &node, &content, Depth::Content),
            );
        }
    }
    let mut ours = ours(&*open(&image), Depth::Content);
    ours.retain(|path, line| {
        !path.is_empty() && ["40000 ", "100000 ", "120000 "].iter().any(|kind| line.starts_with(kind))
    });
    super::view::same(&ours, &theirs);
    assert!(theirs.len() > 2_500);
}

#[test]
fn clusters_of_blocks_change_nothing_for_a_reader() {
    check(&["-t", "ext4", "-O", "bigalloc", "-C", "16384"], 64, all);
}

#[test]
fn a_volume_of_the_first_revision_is_read_whole() {
    check(&["-t", "ext2", "-r", "0", "-b", "1024"], 64, |root| {
        tree::plain(root);
        tree::unix_without_attributes(root);
    });
}

#[test]
fn fast_commits_are_not_replayed_and_a_remark_says_so() {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-O", "fast_commit", image.to_str().unwrap()]);
    let mounted = Mounted::new(&image, "loop");
    tree::plain(mounted.path());
    run("sync", &["-f", mounted.path().to_str().unwrap()]);
    let file = fs::File::create(mounted.path().join("fast")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"fast", 0).unwrap();
    file.sync_all().unwrap();
    drop(file);
    run("xfs_io", &["-x", "-c", "shutdown", mounted.path().to_str().unwrap()]);
    drop(mounted);
    let remarks = open(&image).remarks();
    assert!(remarks.iter().any(|remark| remark.contains("fast commits were NOT replayed")), "{remarks:?}");
}
