//! Volume: are mirrors and encrypted volumes read as mdadm, QEMU and cryptsetup see them?

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make images with files and programs")]

mod disk;

use std::path::Path;
use std::sync::Arc;

use disk::{Dice, MIB, can, file, is_blind, listed, patchwork, run, same, sfdisk, shown, volume};
use image::Slice;
use image::volume::{Blind, Keys, list};

/// A superblock of version 1 for a mirror, by the layout of the kernel's `md_p.h`.
fn superblock(at: u64, data: u64, len: u64, events: u64, level: u32) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &0xA92B_4EFC_u32.to_le_bytes());
    put(4, &1_u32.to_le_bytes());
    put(16, &[0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x32, 0x33, 0x40, 0x41, 0x42, 0x43]);
    put(32, b"gw:root");
    put(72, &level.to_le_bytes());
    put(80, &(len / 512).to_le_bytes());
    put(92, &2_u32.to_le_bytes());
    put(128, &(data / 512).to_le_bytes());
    put(136, &(len / 512).to_le_bytes());
    put(144, &(at / 512).to_le_bytes());
    put(200, &events.to_le_bytes());
    put(220, &128_u32.to_le_bytes());
    put(258, &1_u16.to_le_bytes());
    let sum: u64 = block.chunks(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap()))).sum();
    let sum = ((sum & 0xFFFF_FFFF) + (sum >> 32)) as u32;
    block[216..220].copy_from_slice(&sum.to_le_bytes());
    block
}

const ARRAY: &str = "md-10111213:20212223:30313233:40414243";

/// A member of 4 MiB with data of 2 MiB.
fn member(version: u32, events: u64, level: u32, payload: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 4 * MIB];
    let (at, data) = match version {
        0 => ((4 * MIB / 512 - 16) / 8 * 8 * 512, 0),
        1 => (0, MIB),
        _ => (4096, MIB),
    };
    let block = superblock(at as u64, data as u64, 2 * MIB as u64, events, level);
    disk[at..at + 512].copy_from_slice(&block);
    disk[data..data + payload.len()].copy_from_slice(payload);
    disk
}

#[test]
fn a_member_of_a_mirror_is_read_alone() {
    let payload = Dice(9).bytes(2 * MIB);
    for version in 0..3 {
        let disk = member(version, 5, 1, &payload);
        assert_eq!(shown(&disk, &[]), (vec![format!("{ARRAY} gw:root - {}", 2 * MIB)], vec![]), "1.{version}");
        same(&volume(&disk, &[], ARRAY), &payload);
        is_blind(&member(version, 5, 5, &payload), &[], ARRAY, "RAID-5");
        let mut damaged = disk;
        let at = damaged.windows(4).position(|word| word == [0xFC, 0x4E, 0x2B, 0xA9]).unwrap();
        damaged[at + 100] ^= 1;
        is_blind(&damaged, &[], "disk", "checksum of its RAID superblock");
    }
}

#[test]
fn mdadm_agrees_that_the_superblocks_of_these_tests_are_superblocks() {
    if !can(&["mdadm"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("disk"), member(2, 5, 1, &[])).unwrap();
    let said = run(dir.path(), "mdadm --examine disk");
    for line in ["Array UUID : 10111213:20212223:30313233:40414243", "Data Offset : 2048", "- correct", "raid1"] {
        assert!(said.contains(line), "{said}");
    }
    std::fs::write(dir.path().join("disk"), old_member(&[])).unwrap();
    let said = run(dir.path(), "mdadm --examine disk");
    assert!(said.contains("01020304:05060708:090a0b0c:0d0e0f10") && said.contains("- correct"), "{said}");
}

/// A member of version 0.90, 4 MiB.
fn old_member(payload: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 4 * MIB];
    let at = 4 * MIB - 65536;
    let mut put = |word: usize, value: u32| {
        disk[at + 4 * word..at + 4 * word + 4].copy_from_slice(&value.to_le_bytes());
    };
    let words = [(0, 0xA92B_4EFC), (2, 90), (5, 0x0102_0304), (7, 1), (8, (at / 1024) as u32), (9, 2), (10, 2)];
    words.iter().chain(&[(13, 0x0506_0708), (14, 0x090A_0B0C), (15, 0x0D0E_0F10)]).for_each(|(n, v)| put(*n, *v));
    put(39, 7);
    put(996, 6);
    let sum: u64 = disk[at..at + 4096].chunks(4).map(|w| u64::from(u32::from_le_bytes(w.try_into().unwrap()))).sum();
    let sum = ((sum & 0xFFFF_FFFF) + (sum >> 32)) as u32;
    disk[at + 152..at + 156].copy_from_slice(&sum.to_le_bytes());
    disk[..payload.len()].copy_from_slice(payload);
    disk
}

#[test]
fn a_member_of_version_0_90_is_read_alone() {
    let payload = Dice(4).bytes(4 * MIB - 65536);
    let disk = old_member(&payload);
    let name = "md-01020304:05060708:090a0b0c:0d0e0f10";
    same(&volume(&disk, &[], name), &payload);
    assert!(shown(&disk, &[]).1.is_empty());
}

#[test]
fn of_two_members_the_one_that_was_written_last_is_read() {
    if !can(&["sfdisk"]) {
        return;
    }
    let mut disk = sfdisk(16, "label: dos\n1M 4M fd\n8M 4M fd\n");
    let (old, new) = (Dice(1).bytes(2 * MIB), Dice(2).bytes(2 * MIB));
    disk[MIB..5 * MIB].copy_from_slice(&member(2, 41, 1, &old));
    disk[8 * MIB..12 * MIB].copy_from_slice(&member(2, 42, 1, &new));
    same(&volume(&disk, &[], ARRAY), &new);
    is_blind(&disk, &[], "p1", "41 events, the newest member has 42");
    assert_eq!(shown(&disk, &[]).1.len(), 1);
}

/// An image that QEMU wrote in LUKS1, of `bytes`.
fn luks1(bytes: &[u8], options: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("raw"), bytes).unwrap();
    let line = format!(
        "qemu-img convert -f raw -O luks --object secret,id=k,data=secret \
         -o key-secret=k,iter-time=10,{options} raw disk"
    );
    run(dir.path(), &line);
    std::fs::read(dir.path().join("disk")).unwrap()
}

#[test]
fn luks1_is_read_as_qemu_wrote_it() {
    if !can(&["qemu-img"]) {
        return;
    }
    let bytes = patchwork(3 * MIB, 77);
    for options in [
        "cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256",
        "cipher-alg=aes-128,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha1",
        "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha256",
        "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain64,hash-alg=sha512",
        "cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain,hash-alg=sha512",
    ] {
        let disk = luks1(&bytes, options);
        let (volumes, blind) = listed(&disk, &[b"wrong", b"secret\n"]);
        assert!(volumes.len() == 1 && blind.is_empty(), "{options}: {blind:?}");
        assert!(volumes[0].name.starts_with("luks-") && volumes[0].name.len() == 41);
        same(&volumes[0].bytes, &bytes);
        assert_eq!(listed(&disk, &[]).1[0].why, "LUKS1, needs a key file");
    }
}

/// A volume that cryptsetup encrypted in place, and its bytes before.
fn luks2(dir: &Path, mib: usize, options: &str) -> (Vec<u8>, Vec<u8>) {
    let bytes = patchwork(mib * MIB, 5);
    let mut larger = bytes.clone();
    larger.resize((mib + 32) * MIB, 0);
    std::fs::write(dir.join("disk"), &larger).unwrap();
    std::fs::write(dir.join("key"), "correct horse").unwrap();
    let line = format!(
        "cryptsetup reencrypt -q --encrypt --type luks2 --reduce-device-size 32M --key-file key {options} disk"
    );
    run(dir, &line);
    (std::fs::read(dir.join("disk")).unwrap(), bytes)
}

#[test]
fn luks2_is_read_as_cryptsetup_wrote_it() {
    if !can(&["cryptsetup"]) {
        return;
    }
    for options in [
        "--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32768 --pbkdf-parallel 4 --sector-size 4096",
        "--pbkdf argon2i --pbkdf-force-iterations 5 --pbkdf-memory 1024 --pbkdf-parallel 1 --sector-size 512",
        "--pbkdf pbkdf2 --pbkdf-force-iterations 2000 --hash sha512 --key-size 256",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (disk, bytes) = luks2(dir.path(), 4, options);
        let (volumes, blind) = listed(&disk, &[b"wrong", b"correct horse"]);
        assert!(volumes.len() == 1 && blind.is_empty(), "{options}: {blind:?}");
        let name = volumes[0].name.clone();
        let uuid = run(dir.path(), "cryptsetup luksUUID disk");
        assert_eq!(name, format!("luks-{}", uuid.trim()));
        same(&(Arc::new(Slice::new(Arc::clone(&volumes[0].bytes), 0, bytes.len() as u64).unwrap()) as _), &bytes);

        let closed = |keys: &[&[u8]]| listed(&disk, keys).1;
        let expected = |why: &str| {
            vec![Blind { place: "disk".into(), hides: true, is_encrypted: true, why: format!("LUKS2, {why}") }]
        };
        assert_eq!(closed(&[]), expected("needs a key file"));
        assert_eq!(closed(&[b"wrong"]), expected("the key file that was given does not open it"));
        assert_eq!(closed(&[b"wrong", b"worse\n"]), expected("none of the 2 key files opens it"));

        // The first header is damaged: the second stands in.
        let mut damaged = disk.clone();
        damaged[4096 + 7] ^= 1;
        let (volumes, blind) = listed(&damaged, &[b"correct horse"]);
        assert!(volumes.len() == 1 && blind[0].why.contains("the second was used"), "{blind:?}");
        damaged[0x4000 + 4096 + 7] ^= 1;
        assert!(listed(&damaged, &[b"correct horse"]).1[0].why.contains("damaged"));
    }
}

#[test]
fn a_luks2_header_that_asks_for_terabytes_of_memory_is_not_obeyed() {
    if !can(&["cryptsetup"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = "--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 1024 --pbkdf-parallel 1";
    let (mut disk, _) = luks2(dir.path(), 1, options);
    let text = String::from_utf8_lossy(&disk[4096..16384]).into_owned();
    let json = text.trim_end_matches('\0').replace("\"memory\":1024", "\"memory\":4294967296");
    assert!(json.contains("4294967296"));
    disk[4096..4096 + json.len()].copy_from_slice(json.as_bytes());
    disk[448..512].fill(0);
    let sum: [u8; 32] =
        sha2::Digest::finalize(sha2::Digest::chain_update(sha2::Sha256::default(), &disk[..16384])).into();
    disk[448..480].copy_from_slice(&sum);
    is_blind(&disk, &[b"correct horse"], "disk", "not tried: slot 0: it asks for 4294967296 KiB");
}

#[test]
fn layers_are_followed_to_the_bottom() {
    if !can(&["qemu-img", "sfdisk"]) {
        return;
    }
    // Partition, RAID-1, LUKS, and again a table with one partition.
    let mut inner = sfdisk(4, "label: dos\nlabel-id: 0x00000001\n1M 1M 83\n");
    inner[MIB..2 * MIB].copy_from_slice(&Dice(8).bytes(MIB));
    let encrypted = luks1(&inner, "cipher-alg=aes-256");
    let mut disk = sfdisk(64, "label: gpt\n2M 60M\n");
    let block = superblock(4096, MIB as u64, encrypted.len() as u64, 3, 1);
    disk[2 * MIB + 4096..2 * MIB + 4096 + 512].copy_from_slice(&block);
    disk[3 * MIB..3 * MIB + encrypted.len()].copy_from_slice(&encrypted);
    let (volumes, blind) = listed(&disk, &[b"secret"]);
    assert!(volumes.len() == 1 && blind.is_empty(), "{:?}", shown(&disk, &[b"secret"]));
    assert!(volumes[0].name.starts_with("luks-") && volumes[0].name.ends_with(":p1"), "{}", volumes[0].name);
    assert_eq!(volumes[0].partition_uuid.as_deref(), Some("00000001-01"));
    same(&volumes[0].bytes, &inner[MIB..2 * MIB]);
    is_blind(&disk, &[], ARRAY, "LUKS1, needs a key file");
}

#[test]
fn a_file_is_read_as_memory_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("disk"), member(2, 1, 1, &[7; 9])).unwrap();
    let (volumes, _) = list(file(dir.path().join("disk")), &Keys::default());
    assert_eq!(volumes[0].name, ARRAY);
}
