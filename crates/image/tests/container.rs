//! Container: are the bytes of a virtual machine's disk the same as QEMU reads them?

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make images with files and programs")]

mod disk;

use std::path::Path;
use std::sync::Arc;

use disk::{can, file, memory, patchwork, run, same};
use image::{ReadAt, container};

/// A disk whose size is no multiple of any cluster.
const LEN: usize = (24 << 20) + 3 * 512;

/// Writes a disk as `raw`, converts it with `qemu-img convert {options} raw disk`, compares.
#[track_caller]
fn check(options: &str) {
    if !can(&["qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = patchwork(LEN, 42);
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    run(dir.path(), &format!("qemu-img convert -f raw {options} raw disk"));
    let extents = given(dir.path());
    same(&container::open(file(dir.path().join("disk")), &extents).unwrap(), &bytes);
}

/// Every file of the folder, as an operator gives them.
fn given(dir: &Path) -> Vec<(String, Arc<dyn ReadAt>)> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| (name.clone(), file(dir.join(&name)))).collect()
}

#[track_caller]
fn refused(bytes: Arc<dyn ReadAt>, others: &[(String, Arc<dyn ReadAt>)], why: &str) {
    let err = container::open(bytes, others).err().expect("it must be refused").to_string();
    assert!(err.contains(why), "{err}");
}

#[test]
fn a_raw_disk_is_read_as_it_is() {
    let bytes = patchwork(100_000, 1);
    same(&container::open(memory(&bytes), &[]).unwrap(), &bytes);
    assert_eq!(container::open(memory(&[]), &[]).unwrap().len(), 0);
}

#[test]
fn qcow2_is_read_as_qemu_reads_it() {
    check("-O qcow2");
    check("-O qcow2 -o compat=0.10");
    check("-O qcow2 -o lazy_refcounts=on");
    check("-O qcow2 -o preallocation=metadata");
    check("-O qcow2 -o extended_l2=on,cluster_size=64k");
    check("-O qcow2 -o extended_l2=on,cluster_size=2M");
    for size in ["512", "4k", "2M"] {
        check(&format!("-O qcow2 -o cluster_size={size}"));
    }
}

#[test]
fn compressed_qcow2_is_read_as_qemu_reads_it() {
    check("-O qcow2 -c");
    check("-O qcow2 -c -o compression_type=zstd");
    for size in ["512", "4k", "2M"] {
        check(&format!("-O qcow2 -c -o cluster_size={size}"));
    }
    for size in ["4k", "2M"] {
        check(&format!("-O qcow2 -c -o compression_type=zstd,cluster_size={size}"));
    }
    check("-O qcow2 -c -o extended_l2=on");
}

#[test]
fn vmdk_is_read_as_qemu_reads_it() {
    for kind in ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"]
    {
        check(&format!("-O vmdk -o subformat={kind}"));
    }
    check("-O vmdk -o subformat=monolithicSparse,zeroed_grain=on");
}

#[test]
fn a_stream_whose_directory_comes_last_is_read_as_qemu_reads_it() {
    if !can(&["qemu-img"]) {
        return;
    }
    // As VMware exports it; qemu-img writes the directory first.
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/container/vmdk-footer");
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(seed, dir.path().join("disk")).unwrap();
    run(dir.path(), "qemu-img convert -f vmdk -O raw disk expected");
    let expected = std::fs::read(dir.path().join("expected")).unwrap();
    assert!(expected.len() == 65536 && expected[1] == 1);
    same(&container::open(file(dir.path().join("disk")), &[]).unwrap(), &expected);
    let bytes = std::fs::read(dir.path().join("disk")).unwrap();
    refused(memory(&bytes[..bytes.len() - 512]), &[], "the footer is missing");
}

#[test]
fn vhdx_is_read_as_qemu_reads_it() {
    check("-O vhdx -o subformat=dynamic");
    check("-O vhdx -o subformat=fixed");
    check("-O vhdx -o subformat=dynamic,block_size=2M");
    check("-O vhdx -o subformat=dynamic,block_state_zero=off");
}

#[test]
fn disks_of_two_extents_are_joined() {
    if !can(&["qemu-img", "qemu-io"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for kind in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        run(dir.path(), &format!("qemu-img create -f vmdk -o subformat={kind} disk.vmdk 5G"));
        let across = (2_u64 << 30) - 4096;
        let line = format!("qemu-io -f vmdk disk.vmdk -c write\u{a0}-P\u{a0}7\u{a0}{across}\u{a0}8192");
        let words: Vec<String> = line.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        let out = std::process::Command::new(&words[0]).args(&words[1..]).current_dir(dir.path()).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        let found = container::open(file(dir.path().join("disk.vmdk")), &given(dir.path())).unwrap();
        assert_eq!(found.len(), 5 << 30);
        let mut buffer = vec![1; 3 * 4096 + 4096];
        found.read_at(across - 4096, &mut buffer).unwrap();
        assert!(buffer[..4096] == [0; 4096] && buffer[4096..3 * 4096] == [7; 8192] && buffer[3 * 4096..] == [0; 4096]);
        refused(file(dir.path().join("disk.vmdk")), &[], "disk-");
        refused(file(dir.path().join("disk.vmdk")), &given(dir.path())[..1], "give that file by exactly this name");
    }
    refused(file(dir.path().join("disk-s001.vmdk")), &[], "one extent of a disk");
}

#[test]
fn an_overlay_is_read_over_the_backing_file_that_the_operator_gave() {
    if !can(&["qemu-img", "qemu-io"]) {
        return;
    }
    for (backing, format) in [("raw", "raw"), ("base", "qcow2")] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = patchwork(LEN, 7);
        std::fs::write(dir.path().join("raw"), &bytes).unwrap();
        run(dir.path(), "qemu-img convert -f raw -O qcow2 raw base");
        // Larger than what it stands on: the rest reads as zeros.
        run(dir.path(), &format!("qemu-img create -f qcow2 -b {backing} -F {format} disk 40M"));
        let write =
            ["-f", "qcow2", "disk", "-c", "write -P 9 1000k 70k", "-c", "write -z 3M 1M", "-c", "write -P 8 39M 1k"];
        let out = std::process::Command::new("qemu-io").args(write).current_dir(dir.path()).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        run(dir.path(), "qemu-img convert -f qcow2 -O raw disk expected");
        let expected = std::fs::read(dir.path().join("expected")).unwrap();
        same(&container::open(file(dir.path().join("disk")), &given(dir.path())).unwrap(), &expected);
        refused(file(dir.path().join("disk")), &[], &format!("{backing:?}; give that file by exactly this name"));
        let other = [(format!("./{backing}"), file(dir.path().join(backing)))];
        refused(file(dir.path().join("disk")), &other, "give that file by exactly this name");
    }
}

#[test]
fn an_overlay_on_a_file_of_the_analyst_is_refused() {
    if !can(&["qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), "qemu-img create -u -f qcow2 -b /etc/shadow -F raw disk 1M");
    refused(file(dir.path().join("disk")), &[], "\"/etc/shadow\"");
    run(dir.path(), "qemu-img create -f qcow2 -o data_file=data,data_file_raw=off disk 1M");
    refused(file(dir.path().join("disk")), &[], "\"data\"");
    assert!(container::open(file(dir.path().join("disk")), &given(dir.path())).is_ok());
}

#[test]
fn an_overlay_on_itself_ends() {
    if !can(&["qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), "qemu-img create -u -f qcow2 -b disk -F qcow2 made 1M");
    std::fs::rename(dir.path().join("made"), dir.path().join("disk")).unwrap();
    refused(file(dir.path().join("disk")), &given(dir.path()), "too many images stand on one another");
}

#[test]
fn an_external_data_file_is_read_if_it_was_given() {
    if !can(&["qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = patchwork(LEN, 3);
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    run(dir.path(), "qemu-img convert -f raw -O qcow2 -o data_file=data raw disk");
    same(&container::open(file(dir.path().join("disk")), &given(dir.path())).unwrap(), &bytes);
}

#[test]
fn an_encrypted_qcow2_is_refused_in_clear_words() {
    if !can(&["qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run(
        dir.path(),
        "qemu-img create --object secret,id=key,data=secret -f qcow2 \
         -o encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10 disk 1M",
    );
    refused(file(dir.path().join("disk")), &[], "encrypted (LUKS inside qcow2)");
}

/// A small qcow2 image, and a change to its bytes.
fn changed(change: impl Fn(&mut Vec<u8>)) -> Option<Arc<dyn ReadAt>> {
    if !can(&["qemu-img"]) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("raw"), patchwork(1 << 20, 5)).unwrap();
    run(dir.path(), "qemu-img convert -f raw -O qcow2 -o cluster_size=4k raw disk");
    let mut bytes = std::fs::read(dir.path().join("disk")).unwrap();
    change(&mut bytes);
    Some(memory(&bytes))
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

fn number(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) & 0x00FF_FFFF_FFFF_FE00).unwrap()
}

#[test]
fn a_qcow2_whose_table_claims_a_terabyte_is_refused() {
    let huge = |bytes: &mut Vec<u8>| {
        put(bytes, 24, 1 << 62);
        bytes[36..40].fill(0xFF);
    };
    let Some(image) = changed(huge) else { return };
    refused(image, &[], "table of tables");
    refused(changed(|bytes| put(bytes, 40, u64::MAX - 7)).unwrap(), &[], "outside the file");
}

#[test]
fn a_corrupt_qcow2_is_refused_and_a_dirty_one_is_read() {
    let Some(image) = changed(|bytes| bytes[79] |= 2) else { return };
    refused(image, &[], "marked as corrupt");
    same(&container::open(changed(|bytes| bytes[79] |= 1).unwrap(), &[]).unwrap(), &patchwork(1 << 20, 5));
    refused(changed(|bytes| bytes[78] |= 1).unwrap(), &[], "features");
}

#[test]
fn a_table_that_points_at_itself_or_at_the_header_or_past_the_end_is_an_error() {
    for target in [0_u64, 1, 2, 3] {
        let crafted = changed(|bytes| {
            let l1 = number(bytes, 40);
            let l2 = number(bytes, l1);
            let aim = [l1 as u64, 1 << 50, 4096 + 512, 1 << 54][usize::try_from(target).unwrap()];
            // Of the second-level table itself, and of its first cluster.
            if target < 2 {
                put(bytes, l2, aim);
            } else {
                put(bytes, l1, aim);
            }
        });
        let Some(image) = crafted else { return };
        let disk = container::open(image, &[]).unwrap();
        assert!(disk.read_at(0, &mut [0; 16]).is_err(), "target {target}");
    }
}

#[test]
fn a_truncated_image_is_an_error_and_never_zeros() {
    if !can(&["qemu-img"]) {
        return;
    }
    for options in ["-O qcow2", "-O qcow2 -c", "-O vmdk", "-O vmdk -o subformat=streamOptimized", "-O vhdx"] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = disk::Dice(3).bytes(4 << 20);
        std::fs::write(dir.path().join("raw"), &bytes).unwrap();
        run(dir.path(), &format!("qemu-img convert -f raw {options} raw disk"));
        let whole = std::fs::read(dir.path().join("disk")).unwrap();
        let cut = memory(&whole[..whole.len() * 2 / 3]);
        let Ok(disk) = container::open(cut, &[]) else { continue };
        let mut failed = 0;
        for (n, part) in bytes.chunks(4096).enumerate() {
            let mut buffer = [0; 4096];
            match disk.read_at(n as u64 * 4096, &mut buffer) {
                Ok(()) => assert!(buffer == part, "{options}: wrong bytes in page {n}"),
                Err(_) => failed += 1,
            }
        }
        assert!(failed > 200, "{options}: {failed}");
    }
}

#[test]
fn a_differencing_vhdx_and_unread_forms_are_refused() {
    if can(&["qemu-img"]) {
        let dir = tempfile::tempdir().unwrap();
        for format in ["vdi", "vpc", "qed", "parallels", "qcow"] {
            run(dir.path(), &format!("qemu-img create -f {format} {format} 8M"));
            refused(file(dir.path().join(format)), &[], "not read");
        }
    }
    for magic in [&b"COWD"[..], b"EVF\x09\x0d\x0a\xff\x00"] {
        refused(memory(&[magic, &[0; 512]].concat()), &[], "not read");
    }
    refused(memory(&[b"vhdxfile", &[0; 512][..]].concat()), &[], "both headers are damaged");
    let overlay = b"# Disk DescriptorFile\nversion=1\nparentCID=12345678\nparentFileNameHint=\"/etc/passwd\"\n";
    refused(memory(overlay), &[], "\"/etc/passwd\"");
    let foreign = b"# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\nRW 100 FLAT \"/etc/passwd\" 0\n";
    refused(memory(foreign), &[], "\"/etc/passwd\"");
}

#[test]
fn a_vhdx_that_was_cut_off_in_a_write_is_read_as_after_its_repair() {
    if !can(&["qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = patchwork(12 << 20, 21);
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    run(dir.path(), "qemu-img convert -f raw -O vhdx raw disk");
    let mut disk = std::fs::read(dir.path().join("disk")).unwrap();
    let page: Vec<u8> = disk::Dice(77).bytes(4096);
    // A page of data and three pages of zeros, somewhere in the disk's blocks.
    let (at, zeros) = ((8 << 20) + 8192, (8 << 20) + 65536);
    let log = 1 << 20;
    let number = 5_u64;
    let log_guid = [0xAB; 16];
    let mut entry = vec![0; 8192];
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"loge");
    put(8, &8192_u32.to_le_bytes());
    put(16, &number.to_le_bytes());
    put(24, &2_u32.to_le_bytes());
    put(32, &log_guid);
    put(48, &(disk.len() as u64).to_le_bytes());
    put(56, &(disk.len() as u64).to_le_bytes());
    put(64, b"desc");
    put(68, &page[4092..]);
    put(72, &page[..8]);
    put(80, &(at as u64).to_le_bytes());
    put(88, &number.to_le_bytes());
    put(96, b"zero");
    put(104, &12288_u64.to_le_bytes());
    put(112, &(zeros as u64).to_le_bytes());
    put(120, &number.to_le_bytes());
    put(4096, b"data");
    put(4104, &page[8..4092]);
    put(8188, &5_u32.to_le_bytes());
    seal(&mut entry);
    disk[log..log + 8192].copy_from_slice(&entry);
    for header in [64 << 10, 128 << 10] {
        assert_eq!(disk[header + 72..header + 80], (log as u64).to_le_bytes());
        disk[header + 48..header + 64].copy_from_slice(&log_guid);
        seal(&mut disk[header..header + 4096]);
    }
    std::fs::write(dir.path().join("disk"), &disk).unwrap();
    std::fs::write(dir.path().join("repaired"), &disk).unwrap();
    run(dir.path(), "qemu-img check -r all -f vhdx repaired");
    run(dir.path(), "qemu-img convert -f vhdx -O raw repaired expected");
    let expected = std::fs::read(dir.path().join("expected")).unwrap();
    assert!(expected != bytes && expected.windows(4096).any(|window| window == page));
    same(&container::open(file(dir.path().join("disk")), &[]).unwrap(), &expected);
    // An entry whose checksum is wrong never happened.
    disk[log + 5000] ^= 1;
    same(&container::open(memory(&disk), &[]).unwrap(), &bytes);
}

/// Puts the checksum of a vhdx structure in its place: CRC-32C.
fn seal(structure: &mut [u8]) {
    structure[4..8].fill(0);
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
    let sum = !structure.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step));
    structure[4..8].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn a_differencing_vhdx_is_refused_by_the_name_of_its_parent() {
    if !can(&["qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("raw"), patchwork(1 << 20, 2)).unwrap();
    run(dir.path(), "qemu-img convert -f raw -O vhdx raw disk");
    let mut disk = std::fs::read(dir.path().join("disk")).unwrap();
    // The flags of the file parameters, in the metadata items behind the table.
    let table = (0..).map(|mib| mib << 20).find(|at| disk[*at..].starts_with(b"metadata")).unwrap();
    let entry = (table..).step_by(32).skip(1).find(|at| disk[*at..at + 4] == [0x37, 0x67, 0xA1, 0xCA]).unwrap();
    let offset = u32::from_le_bytes(disk[entry + 16..entry + 20].try_into().unwrap()) as usize;
    disk[table + offset + 4] |= 2;
    refused(memory(&disk), &[], "only what differs from");
}
