//! Partition: are the ranges of a disk those that sfdisk, sgdisk and mkfs made?

#![expect(clippy::disallowed_methods, reason = "tests make images with programs")]

mod disk;

use disk::{MIB, all, can, is_blind, listed, run, sfdisk, shown, volume};

#[test]
fn a_disk_without_a_table_is_one_volume() {
    assert_eq!(shown(&[0; 4096], &[]), (vec!["disk - - 4096".into()], vec![]));
    assert_eq!(shown(&[], &[]), (vec!["disk - - 0".into()], vec![]));
}

#[test]
fn an_mbr_with_logical_partitions_is_read_as_sfdisk_wrote_it() {
    if !can(&["sfdisk"]) {
        return;
    }
    let script = "label: dos\nlabel-id: 0xCAFE1234\n1M 4M 83\n5M 2M 82\n8M 20M 5\n9M 3M 83\n13M 4M 83\n18M 2M 83\n";
    let disk = sfdisk(32, script);
    let (volumes, blind) = shown(&disk, &[]);
    // sfdisk gives the third line number 3; logical partitions follow from 5.
    let expected = [(1, 4), (2, 2), (5, 3), (6, 4), (7, 2)];
    let expected = expected.map(|(n, mib)| format!("p{n} - cafe1234-{n:02x} {}", mib * MIB));
    assert_eq!(volumes, expected);
    assert_eq!(blind, Vec::<String>::new());
    let mut marked = disk;
    for (at, byte) in [(1, 1), (5, 2), (9, 5), (13, 6), (18, 7)] {
        marked[at * MIB] = byte;
    }
    for n in [1, 2, 5, 6, 7] {
        assert_eq!(all(&*volume(&marked, &[], &format!("p{n}")))[0], n);
    }
}

#[test]
fn a_chain_of_logical_partitions_without_end_ends() {
    if !can(&["sfdisk"]) {
        return;
    }
    let mut disk = sfdisk(32, "label: dos\n8M 20M 5\n9M 3M 83\n13M 4M 83\n");
    // The second link names the first one as the next.
    let link = 12 * MIB;
    let at = (8..28).map(|mib| mib * MIB).chain([link]).find(|at| *at > 8 * MIB && disk[at + 510] == 0x55).unwrap();
    disk[at + 446 + 16 + 4] = 5;
    disk[at + 446 + 16 + 12] = 1;
    is_blind(&disk, &[], "p7", "no end");
}

#[test]
fn a_gpt_is_read_as_sfdisk_wrote_it_and_its_copy_stands_in() {
    if !can(&["sfdisk"]) {
        return;
    }
    let script = "label: gpt\n2M 4M uefi name=EFI, uuid=11111111-2222-3333-4444-55555555AAAA\n\
                  start=8M, size=4M, name=\"root fs\", uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE\n";
    let script = script.replace("2M 4M uefi name", "start=2M, size=4M, type=uefi, name");
    let disk = sfdisk(16, &script);
    let expected = vec![
        format!("p1 EFI 11111111-2222-3333-4444-55555555aaaa {}", 4 * MIB),
        format!("p2 root fs aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee {}", 4 * MIB),
    ];
    assert_eq!(shown(&disk, &[]), (expected.clone(), vec![]));
    for damage in [512, 512 + 60, 1024, 1024 + 128 + 40] {
        let mut damaged = disk.clone();
        damaged[damage] ^= 0xFF;
        let (volumes, blind) = shown(&damaged, &[]);
        assert_eq!(volumes, expected, "{blind:?}");
        assert!(blind.len() == 1 && blind[0].contains("its copy at the end was used"), "{blind:?}");
        let last = damaged.len() - 512;
        damaged[last + 20] ^= 1;
        damaged[last + 90] ^= 1;
        let (volumes, blind) = shown(&damaged, &[]);
        assert!(volumes.is_empty() && !blind.is_empty(), "{volumes:?} {blind:?}");
    }
    let mut changed = disk.clone();
    let copy = changed.len() - 33 * 512;
    changed[copy + 40] ^= 1;
    is_blind(&changed, &[], "disk", "the copy of its GPT at the end");
    is_blind(&disk[..disk.len() - MIB], &[], "disk", "may be cut off");
}

#[test]
fn two_tables_that_contradict_each_other_are_said() {
    if !can(&["sfdisk"]) {
        return;
    }
    let disk = sfdisk(16, "label: gpt\n2M 4M\n8M 4M\n");
    let names = |disk: &[u8]| -> Vec<String> { listed(disk, &[]).0.into_iter().map(|volume| volume.name).collect() };
    let put = |kind: u8, start: u32, len: u32, entry: usize| {
        let mut disk = disk.clone();
        let entry = &mut disk[446 + 16 * entry..462 + 16 * entry];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&len.to_le_bytes());
        disk
    };
    let bare = [vec![0; 512], disk[512..].to_vec()].concat();
    assert_eq!(names(&bare), ["p1", "p2"]);
    is_blind(&bare, &[], "disk", "not announced by a protective MBR");
    let mbr = put(0x83, 12288, 2048, 0);
    assert_eq!(names(&mbr), ["p1"]);
    is_blind(&mbr, &[], "disk", "holds a GPT as well");
    let same_range = put(0x83, 4096, 8192, 1);
    assert_eq!(shown(&same_range, &[]).1, Vec::<String>::new());
    let hybrid = put(0x83, 26624, 2048, 1);
    assert_eq!(names(&hybrid), ["p1", "p2", "p1002"]);
    is_blind(&hybrid, &[], "p1002", "names a range that the GPT does not know");
}

#[test]
fn a_gpt_that_claims_four_billion_entries_is_refused() {
    if !can(&["sgdisk"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("disk"), vec![0; 8 * MIB]).unwrap();
    run(dir.path(), "sgdisk -n 1:2048:4095 disk");
    let mut disk = std::fs::read(dir.path().join("disk")).unwrap();
    for header in [512, disk.len() - 512] {
        disk[header + 80..header + 84].fill(0xFF);
        disk[header + 16..header + 20].fill(0);
        let sum = crc32(&disk[header..header + 92]);
        disk[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
    }
    is_blind(&disk, &[], "disk", "4294967295 entries");
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn a_gpt_with_sectors_of_4096_bytes_is_read() {
    let mut disk = vec![0; 8 * MIB];
    disk[446 + 4] = 0xEE;
    disk[446 + 8] = 1;
    disk[446 + 12] = 0xFF;
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    let last = disk.len() / 4096 - 1;
    let mut entries = vec![0; 128 * 128];
    entries[..32].fill(0x11);
    entries[32..40].copy_from_slice(&256_u64.to_le_bytes());
    entries[40..48].copy_from_slice(&511_u64.to_le_bytes());
    for (own, other, at) in [(1, last, 2), (last, 1, last - 4)] {
        let mut header = b"EFI PART\0\0\x01\0\x5c\0\0\0".to_vec();
        header.resize(92, 0);
        header[24..32].copy_from_slice(&(own as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(other as u64).to_le_bytes());
        header[72..80].copy_from_slice(&(at as u64).to_le_bytes());
        header[80..88].copy_from_slice(&[128, 0, 0, 0, 128, 0, 0, 0]);
        header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
        let sum = crc32(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        disk[own * 4096..own * 4096 + 92].copy_from_slice(&header);
        disk[at * 4096..at * 4096 + entries.len()].copy_from_slice(&entries);
    }
    let expected = format!("p1 - 11111111-1111-1111-1111-111111111111 {MIB}");
    assert_eq!(shown(&disk, &[]), (vec![expected], vec![]));
}

#[test]
fn a_file_system_on_the_whole_disk_is_not_taken_for_a_table() {
    if !can(&["mkfs.vfat", "mkfs.ext4"]) {
        return;
    }
    for line in ["mkfs.vfat disk", "mkfs.vfat -F 32 disk", "mkfs.vfat --mbr=y disk", "mkfs.ext4 -q disk"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("disk"), vec![0; 40 * MIB]).unwrap();
        run(dir.path(), line);
        let disk = std::fs::read(dir.path().join("disk")).unwrap();
        assert_eq!(shown(&disk, &[]), (vec![format!("disk - - {}", 40 * MIB)], vec![]), "{line}");
    }
}

#[test]
fn a_disc_that_boots_from_a_stick_is_one_volume_and_its_partitions() {
    let mut disk = vec![0; 4 * MIB];
    disk[32769..32774].copy_from_slice(b"CD001");
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    for (n, kind, start, len) in [(0, 0x17, 0, 8192_u32), (1, 0xEF, 1024_u32, 100)] {
        let entry = &mut disk[446 + 16 * n..446 + 16 * (n + 1)];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&len.to_le_bytes());
    }
    let (volumes, blind) = shown(&disk, &[]);
    assert_eq!(volumes, [format!("disk - - {}", 4 * MIB), "p2 - 00000000-02 51200".to_owned()]);
    assert!(blind.is_empty(), "{blind:?}");
}

#[test]
fn a_file_system_planted_before_the_first_partition_hides_nothing() {
    if !can(&["sfdisk"]) {
        return;
    }
    let mut disk = sfdisk(16, "label: dos\n2M 4M 83\n");
    disk[1024..1028].fill(1);
    disk[1080..1082].copy_from_slice(b"\x53\xef");
    let (volumes, blind) = shown(&disk, &[]);
    assert_eq!(volumes.len(), 2, "{volumes:?}");
    assert!(blind.iter().any(|said| said.contains("both are listed")), "{blind:?}");
}

#[test]
fn a_file_system_hidden_between_partitions_is_reported() {
    if !can(&["sfdisk"]) {
        return;
    }
    let mut disk = sfdisk(32, "label: dos\n2M 4M 83\n16M 8M 83\n");
    assert_eq!(shown(&disk, &[]).1, Vec::<String>::new());
    for (at, expected) in [(6 * MIB, "6291456"), (24 * MIB, "25165824")] {
        disk[at..at + 4].copy_from_slice(b"XFSB");
        is_blind(&disk, &[], "disk", &format!("holds xfs at byte {expected}"));
        disk[at] = 0;
    }
}

#[test]
fn a_partition_beyond_the_end_is_said() {
    if !can(&["sfdisk"]) {
        return;
    }
    let disk = sfdisk(16, "label: dos\n1M 4M 83\n8M 4M 83\n");
    is_blind(&disk[..10 * MIB], &[], "p2", "cut off");
}
