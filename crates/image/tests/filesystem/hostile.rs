//! Hostile: what does a reader do with an image that was made to harm it?
//!
//! Each attack is made in code from a sound image. Whatever comes out, it comes in bounded time: an
//! error, or bytes that the image holds, and never a panic.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use image::Memory;
use image::filesystem::{self, Error, FileSystem};
use proptest::prelude::*;

use super::tree;
use super::view::run;

/// Walks everything within bounds and says how many nodes were met and how many errors.
fn walk(bytes: Vec<u8>) -> (usize, usize) {
    let Ok(Some(fs)) = filesystem::open(Arc::new(Memory(bytes))) else { return (0, 1) };
    let (mut nodes, mut errors) = (0, 0);
    let (mut seen, mut folders) = (HashSet::new(), vec![fs.root()]);
    let _ = (fs.label(), fs.uuid(), fs.remarks());
    while let Some(folder) = folders.pop() {
        if !seen.insert(folder) || nodes > 2_000 {
            continue;
        }
        let mut listed = Vec::new();
        let result = fs.list(folder, &mut |entry| {
            listed.push(entry);
            listed.len() < 2_000
        });
        errors += usize::from(result.is_err());
        for entry in listed {
            nodes += 1;
            let Ok(node) = fs.node(entry.id) else {
                errors += 1;
                continue;
            };
            fs.place(entry.id);
            match node.mode & 0o170_000 {
                0o040_000 => folders.push(entry.id),
                0o120_000 => errors += usize::from(fs.link_target(entry.id).is_err()),
                0o100_000 => errors += usize::from(read(&*fs, entry.id, 8 << 20).is_err()),
                _ => {}
            }
        }
    }
    (nodes, errors)
}

fn read(fs: &dyn FileSystem, id: u64, most: usize) -> Result<Vec<u8>, Error> {
    let mut content = fs.open(id)?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    while bytes.len() < most {
        match content.read(&mut buffer)? {
            0 => break,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(bytes)
}

/// The number of the only entry of this name in the root.
fn find(fs: &dyn FileSystem, name: &[u8]) -> u64 {
    let mut found = None;
    fs.list(fs.root(), &mut |entry| {
        found = found.or((entry.name == name).then_some(entry.id));
        true
    })
    .unwrap();
    found.expect("the name is there")
}

fn open(bytes: Vec<u8>) -> Arc<dyn FileSystem> {
    filesystem::open(Arc::new(Memory(bytes))).unwrap().unwrap()
}

/// A small tree with a folder, files of several sizes and links.
fn small(root: &Path) {
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/inner"), "inner").unwrap();
    fs::write(root.join("file"), tree::noise(1, 9_000)).unwrap();
    fs::write(root.join("short"), "short").unwrap();
    std::os::unix::fs::symlink("file", root.join("link")).unwrap();
    std::os::unix::fs::symlink("x".repeat(100), root.join("long-link")).unwrap();
}

fn image(make: impl Fn(&str, &str)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image"));
    fs::create_dir(&tree).unwrap();
    small(&tree);
    make(tree.to_str().unwrap(), image.to_str().unwrap());
    fs::read(image).unwrap()
}

/// An ext volume with 1 KiB blocks and without checksums, so that changes are not seen as damage.
fn ext(options: &[&str], kilobytes: &str) -> Vec<u8> {
    image(|tree, image| {
        let fixed = ["-q", "-F", "-b", "1024", "-N", "32", "-d", tree];
        run("mke2fs", &[&fixed, options, &[image, kilobytes]].concat());
    })
}

fn ext4() -> Vec<u8> {
    ext(&["-t", "ext4", "-O", "^metadata_csum,^has_journal,^resize_inode"], "256k")
}

fn ext2() -> Vec<u8> {
    ext(&["-t", "ext2", "-O", "^resize_inode"], "256k")
}

/// Where an inode of an ext volume of one group lies.
fn place_of(bytes: &[u8], inode: u64) -> usize {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let size = usize::from(u16::from_le_bytes(bytes[1024 + 88..1024 + 90].try_into().unwrap()));
    word(2048 + 8) * 1024 + (inode as usize - 1) * size
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn a_directory_that_contains_itself_is_listed_once_more_and_no_further() {
    let mut bytes = ext2();
    let fs = open(bytes.clone());
    let folder = find(&*fs, b"folder");
    // `inner` in `folder` now names the folder.
    let at = bytes.windows(5).position(|window| window == b"inner").unwrap();
    put(&mut bytes, at - 8, folder as u32);
    let (nodes, errors) = walk(bytes);
    assert!(nodes > 4 && errors == 0, "{nodes} nodes, {errors} errors");
}

#[test]
fn a_directory_entry_of_no_length_is_damage() {
    let mut bytes = ext2();
    let at = bytes.windows(5).position(|window| window == b"inner").unwrap();
    bytes[at - 4..at - 2].fill(0);
    let fs = open(bytes);
    let error = fs.list(find(&*fs, b"folder"), &mut |_| true).unwrap_err();
    assert!(error.to_string().starts_with("damaged: an entry of 0 bytes in folder"), "{error}");
}

#[test]
fn a_second_parent_entry_is_shown_and_not_hidden() {
    let mut bytes = ext2();
    let at = bytes.windows(5).position(|window| window == b"inner").unwrap();
    (bytes[at - 2], bytes[at], bytes[at + 1]) = (2, b'.', b'.');
    let fs = open(bytes);
    let mut names = Vec::new();
    fs.list(find(&*fs, b"folder"), &mut |entry| {
        names.push(entry.name);
        true
    })
    .unwrap();
    assert_eq!(names, [b"..".to_vec()]);
}

#[test]
fn an_extent_tree_that_points_at_itself_is_damage() {
    let mut bytes = ext4();
    let id = find(&*open(bytes.clone()), b"file");
    let at = place_of(&bytes, id) + 40;
    let block = u32::from_le_bytes(bytes[at + 20..at + 24].try_into().unwrap());
    // The root gets a level, and its child, which is the first block of the file, becomes such a node
    // whose child is that block again.
    let root = [0x0a, 0xf3, 1, 0, 4, 0, 1, 0, 0, 0, 0, 0];
    bytes[at..at + 12].copy_from_slice(&root);
    put(&mut bytes, at + 12, 0);
    put(&mut bytes, at + 16, block);
    put(&mut bytes, at + 20, 0);
    let node = bytes[at..at + 24].to_vec();
    let child = block as usize * 1024;
    bytes[child..child + 24].copy_from_slice(&node);
    let error = read(&*open(bytes), id, 1 << 20).unwrap_err();
    assert_eq!(error.to_string(), "damaged: a node of an extent tree is none");
}

#[test]
fn an_indirect_block_that_points_at_itself_ends() {
    let mut bytes = ext2();
    let id = find(&*open(bytes.clone()), b"file");
    let at = place_of(&bytes, id);
    let block = u32::from_le_bytes(bytes[at + 40..at + 44].try_into().unwrap());
    // Size of 16 GiB, all of it behind the triple indirect pointer, which leads into a circle.
    put(&mut bytes, at + 4, 0);
    put(&mut bytes, at + 108, 4);
    put(&mut bytes, at + 40 + 14 * 4, block);
    let start = block as usize * 1024;
    for n in 0..256 {
        put(&mut bytes, start + n * 4, block);
    }
    assert!(read(&*open(bytes), id, 1 << 20).is_err());
}

#[test]
fn a_file_that_claims_exabytes_is_an_error() {
    for mut bytes in [ext2(), ext4()] {
        let id = find(&*open(bytes.clone()), b"file");
        let at = place_of(&bytes, id);
        put(&mut bytes, at + 108, u32::MAX / 2);
        assert!(matches!(open(bytes).open(id).err(), Some(Error::Damaged(_) | Error::NotRead(_))));
    }
}

#[test]
fn a_block_outside_the_volume_is_damage_and_not_zeros() {
    for (mut bytes, offset) in [(ext2(), 40), (ext4(), 60)] {
        let id = find(&*open(bytes.clone()), b"file");
        let at = place_of(&bytes, id);
        put(&mut bytes, at + offset, 0x00ff_ffff);
        assert!(matches!(read(&*open(bytes), id, 1 << 20), Err(Error::Damaged(_))));
    }
}

#[test]
fn a_link_whose_size_lies_is_damage() {
    let mut bytes = ext2();
    let id = find(&*open(bytes.clone()), b"long-link");
    let at = place_of(&bytes, id);
    put(&mut bytes, at + 4, 0x7fff_ffff);
    assert!(matches!(open(bytes).link_target(id), Err(Error::Damaged(_))));
}

#[test]
fn an_attribute_outside_its_block_is_damage() {
    let mut bytes = ext4();
    let id = find(&*open(bytes.clone()), b"file");
    let at = place_of(&bytes, id) + 160;
    put(&mut bytes, at, 0xea02_0000);
    // One character, family `user.`, at an offset and of a size that leave the inode.
    bytes[at + 4..at + 8].copy_from_slice(&[1, 1, 0xf0, 0xff]);
    put(&mut bytes, at + 8, 0);
    put(&mut bytes, at + 12, 5_000);
    assert!(matches!(open(bytes).node(id), Err(Error::Damaged(_))));
}

#[test]
fn an_unknown_feature_is_named_and_not_guessed() {
    let mut bytes = ext4();
    bytes[1024 + 96 + 3] |= 0x40;
    let error = filesystem::open(Arc::new(Memory(bytes))).err().unwrap();
    assert_eq!(error.to_string(), "not read: an ext file system with the unknown features 0x40000000");
}

#[test]
fn an_encrypted_file_is_not_read_and_says_so() {
    let mut bytes = ext4();
    let id = find(&*open(bytes.clone()), b"file");
    let at = place_of(&bytes, id) + 32;
    bytes[at + 1] |= 0x08;
    assert_eq!(open(bytes).open(id).err().unwrap().to_string(), "not read: encrypted (fscrypt)");
}

#[test]
fn a_name_with_a_slash_is_handed_on_as_it_is() {
    let mut bytes = ext2();
    let at = bytes.windows(5).position(|window| window == b"inner").unwrap();
    bytes[at..at + 5].copy_from_slice(b"../\0r");
    let fs = open(bytes);
    let mut names = Vec::new();
    fs.list(find(&*fs, b"folder"), &mut |entry| {
        names.push(entry.name);
        true
    })
    .unwrap();
    assert_eq!(names, [b"../\0r".to_vec()]);
}

#[test]
fn an_iso_folder_below_itself_is_entered_once() {
    let mut bytes = iso();
    let fs = open(bytes.clone());
    let (folder, root) = (find(&*fs, b"folder") as usize, fs.root() as usize);
    let extent = bytes[root + 2..root + 18].to_vec();
    bytes[folder + 2..folder + 18].copy_from_slice(&extent);
    let (nodes, _) = walk(bytes);
    assert!((5..100).contains(&nodes), "{nodes}");
}

#[test]
fn an_iso_system_use_area_that_goes_on_in_itself_is_damage() {
    let mut bytes = iso();
    let place = bytes.windows(4).position(|window| window == b"CE\x1c\x01");
    let Some(at) = place else { panic!("the root's record has a continuation") };
    let (block, offset) = ((at / 2048) as u32, (at % 2048) as u32);
    put(&mut bytes, at + 4, block);
    put(&mut bytes, at + 12, offset);
    put(&mut bytes, at + 20, 28);
    let opened = filesystem::open(Arc::new(Memory(bytes)));
    assert!(matches!(opened.err(), Some(Error::Damaged(_))));
}

fn iso() -> Vec<u8> {
    image(|tree, image| {
        run("genisoimage", &["-quiet", "-R", "-o", image, tree]);
    })
}

fn squashfs() -> Vec<u8> {
    image(|tree, image| {
        run("mksquashfs", &[tree, image, "-quiet", "-no-progress", "-noI", "-nopad"]);
    })
}

#[test]
fn a_squashfs_file_that_claims_exabytes_is_an_error() {
    let mut bytes = squashfs();
    let fs = open(bytes.clone());
    let id = find(&*fs, b"file");
    let table = u64::from_le_bytes(bytes[64..72].try_into().unwrap()) as usize;
    let at = table + 2 + (id & 0xffff) as usize;
    assert_eq!(bytes[at..at + 2], [2, 0]);
    put(&mut bytes, at + 28, u32::MAX);
    assert!(read(&*open(bytes), id, 1 << 20).is_err());
}

/// One small image of each kind.
fn seeds() -> Vec<Vec<u8>> {
    let fat = image(|tree, image| {
        fs::remove_file(format!("{tree}/link")).unwrap();
        fs::remove_file(format!("{tree}/long-link")).unwrap();
        fs::File::create(image).unwrap().set_len(128 << 10).unwrap();
        run("mkfs.vfat", &["-F", "12", "-s", "1", image]);
        for name in ["folder", "file", "short"] {
            run("mcopy", &["-s", "-i", image, &format!("{tree}/{name}"), "::/"]);
        }
    });
    let inline = ext(&["-t", "ext4", "-O", "inline_data,^metadata_csum,^has_journal,^resize_inode"], "256k");
    let checked = ext(&["-t", "ext4", "-O", "^has_journal,^resize_inode"], "256k");
    vec![ext2(), ext4(), inline, checked, squashfs(), iso(), fat]
}

#[test]
fn every_small_image_is_sound_before_it_is_harmed() {
    for bytes in seeds() {
        let (nodes, errors) = walk(bytes);
        assert!(nodes >= 4 && errors == 0, "{nodes} nodes, {errors} errors");
    }
}

#[test]
fn images_that_end_too_early_harm_nobody() {
    for bytes in seeds() {
        for part in 0..64 {
            walk(bytes[..bytes.len() * part / 64].to_vec());
        }
    }
}

#[test]
fn bytes_that_were_changed_harm_nobody() {
    let seeds = seeds();
    let change = (any::<prop::sample::Index>(), prop_oneof![Just(0), Just(0xff), any::<u8>()]);
    let strategy = (0..seeds.len(), prop::collection::vec(change, 1..12));
    // Metadata is where something is; noise in content changes nothing.
    let places: Vec<Vec<usize>> = seeds
        .iter()
        .map(|bytes| {
            let in_use =
                |at: &usize| bytes[at / 64 * 64..(at / 64 * 64 + 64).min(bytes.len())].iter().any(|byte| *byte != 0);
            (0..bytes.len()).filter(in_use).collect()
        })
        .collect();
    let config = ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&strategy, |(seed, changes)| {
            let mut bytes = seeds[seed].clone();
            for (place, value) in changes {
                bytes[*place.get(&places[seed])] = value;
            }
            walk(bytes);
            Ok(())
        })
        .unwrap();
}

/// A volume of XFS as small as `mkfs.xfs` makes them.
#[test]
fn changed_bytes_in_an_xfs_volume_harm_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (list, image) = (dir.path().join("list"), dir.path().join("image"));
    fs::write(dir.path().join("file"), tree::noise(1, 9_000)).unwrap();
    let file = dir.path().join("file");
    let lines = format!("/dev/null\n0 0\nd--755 0 0\nfile ---644 0 0 {}\nfolder d--755 0 0\n$\n$\n", file.display());
    fs::write(&list, lines).unwrap();
    fs::File::create(&image).unwrap().set_len(300 << 20).unwrap();
    run("mkfs.xfs", &["-q", "-m", "crc=0", "-p", list.to_str().unwrap(), image.to_str().unwrap()]);
    // All but the first megabyte and the log is empty.
    let volume = fs::File::open(&image).unwrap();
    let sound = Arc::new(super::view::Raw(volume));
    let changes = prop::collection::vec((0_u64..256 << 10, any::<u8>()), 1..10);
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&changes, |changes| {
            let harmed = Harmed { sound: Arc::clone(&sound), changes };
            if let Ok(Some(fs)) = filesystem::open(Arc::new(harmed)) {
                let mut ids = vec![fs.root()];
                let _ = fs.list(fs.root(), &mut |entry| {
                    ids.push(entry.id);
                    ids.len() < 1_000
                });
                for id in ids {
                    let _ = (fs.node(id).is_ok(), read(&*fs, id, 1 << 20).is_ok(), fs.place(id));
                    let _ = (fs.link_target(id).is_ok(), fs.list(id, &mut |_| false).is_ok());
                }
            }
            Ok(())
        })
        .unwrap();
}

/// A large volume with a few other bytes.
struct Harmed {
    sound: Arc<super::view::Raw>,
    changes: Vec<(u64, u8)>,
}

impl image::ReadAt for Harmed {
    fn len(&self) -> u64 {
        self.sound.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.sound.read_at(offset, buffer)?;
        for (place, value) in &self.changes {
            if let Some(byte) = place.checked_sub(offset).and_then(|at| buffer.get_mut(at as usize)) {
                *byte = *value;
            }
        }
        Ok(())
    }
}
