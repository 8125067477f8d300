//! Signature: what kind of thing do these bytes begin with?
//!
//! Only to tell a file system from a partition table and to see what lies where nothing should; the
//! file system layer decides for itself. Source: util-linux, libblkid/src/superblocks.

use crate::ReadAt;
use crate::field::{le16, le32};
use crate::joined::clip;

/// Name, offset and bytes of file systems and the like that stand at fixed places.
const FILE_SYSTEMS: [(&str, usize, &[u8]); 10] = [
    ("BitLocker", 3, b"-FVE-FS-"),
    ("NTFS", 3, b"NTFS    "),
    ("exFAT", 3, b"EXFAT   "),
    ("xfs", 0, b"XFSB"),
    ("squashfs", 0, b"hsqs"),
    ("swap", 4086, b"SWAPSPACE2"),
    ("swap", 4086, b"SWAP-SPACE"),
    ("f2fs", 1024, b"\x10\x20\xf5\xf2"),
    ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("iso9660", 32769, b"CD001"),
];

/// The same of what holds volumes.
const LAYERS: [(&str, usize, &[u8]); 7] = [
    ("LUKS", 0, b"LUKS\xba\xbe"),
    ("LVM2", 0, b"LABELONE"),
    ("LVM2", 512, b"LABELONE"),
    ("LVM2", 1024, b"LABELONE"),
    ("LVM2", 1536, b"LABELONE"),
    ("md", 0, b"\xfc\x4e\x2b\xa9"),
    ("md", 4096, b"\xfc\x4e\x2b\xa9"),
];

/// Bytes that are looked at: up to the magic of btrfs.
const LOOKED_AT: usize = 65536 + 4096;

/// The kind of what begins here, if it is known.
pub(super) fn of(bytes: &dyn ReadAt) -> Option<&'static str> {
    let start = start(bytes);
    fixed(&LAYERS, &start).or_else(|| file_system_of(&start))
}

/// The kind of file system that begins here; swap and what is encrypted by other systems count too.
pub(super) fn file_system(bytes: &dyn ReadAt) -> Option<&'static str> {
    file_system_of(&start(bytes))
}

/// Whether one of the first four sectors is the label of an LVM2 physical volume.
pub(super) fn is_physical_volume(bytes: &dyn ReadAt) -> bool {
    fixed(&LAYERS[1..5], &start(bytes)).is_some()
}

fn start(bytes: &dyn ReadAt) -> Vec<u8> {
    crate::field::read(bytes, 0, clip(bytes.len(), LOOKED_AT)).unwrap_or_default()
}

fn fixed(table: &[(&'static str, usize, &[u8])], start: &[u8]) -> Option<&'static str> {
    let mut found = table.iter().filter(|(_, at, magic)| start.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    found.next().map(|(kind, ..)| *kind)
}

fn file_system_of(start: &[u8]) -> Option<&'static str> {
    if let Some(kind) = fixed(&FILE_SYSTEMS, start) {
        return Some(kind);
    }
    let has = |at: usize, magic: &[u8]| start.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if has(1080, b"\x53\xef") && le32(start, 1024) != 0 {
        return Some("ext4");
    }
    if has(65600, b"_BHRfS_M") {
        return Some("btrfs");
    }
    is_fat(start).then_some("vfat")
}

/// Whether a boot sector holds the parameters of a FAT file system that could be one.
///
/// Source: Microsoft, FAT specification, "Boot Sector and BPB".
fn is_fat(start: &[u8]) -> bool {
    let byte = |at: usize| start.get(at).copied().unwrap_or_default();
    let jumps = byte(0) == 0xEB && byte(2) == 0x90 || byte(0) == 0xE9;
    let sector = le16(start, 11);
    let sectors = if le16(start, 19) != 0 { u32::from(le16(start, 19)) } else { le32(start, 32) };
    jumps
        && le16(start, 510) == 0xAA55
        && [512, 1024, 2048, 4096].contains(&sector)
        && byte(13).is_power_of_two()
        && le16(start, 14) != 0
        && [1, 2].contains(&byte(16))
        && (byte(21) == 0xF0 || byte(21) >= 0xF8)
        && (le16(start, 22) != 0 || le32(start, 36) != 0)
        && sectors != 0
}
