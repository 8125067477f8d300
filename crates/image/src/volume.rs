//! Volume: which ranges of a disk hold a file system of their own?
//!
//! Partition tables (MBR with extended partitions, GPT), LVM2 linear and striped volumes, members of
//! a Linux RAID-1, LUKS with a key that the operator gives. A disk without a table is one volume.
//!
//! What two readers of a disk could see differently is never decided quietly: both are listed, or the
//! doubt is a [`Blind`], since hiding a file system from whoever looks is what an intruder would do.

use std::sync::Arc;

use crate::ReadAt;

mod cipher;
mod gpt;
mod luks;
mod luks_header;
mod lvm;
mod lvm_text;
mod mbr;
mod md;
mod partition;
mod signature;
mod walk;

/// A range of a disk that may hold a file system.
#[derive(Clone)]
pub struct Volume {
    /// How people find it again: `disk`, `p2`, `vg0/root`, `md-<uuid>`, `luks-<uuid>`.
    ///
    /// A partition inside another volume is `vg0/root:p1`.
    pub name: String,
    /// Name given in the partition table or volume group, if any.
    pub label: Option<String>,
    /// Identifier that an fstab may use: the partition's unique id, lower case.
    pub partition_uuid: Option<String>,
    /// Its bytes.
    pub bytes: Arc<dyn ReadAt>,
}

/// A part of the disk that could not be made a volume: encrypted, damaged, of a kind that is not read.
///
/// Also what is not as it should be about a part that was: a damaged table that its copy stood in for,
/// two descriptions that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blind {
    /// Where: `p3`, `vg0/thin`.
    pub place: String,
    /// Whether something lies there that was not read. Otherwise it was, and this is a word about it: a
    /// damaged table whose copy was used, for example.
    pub hides: bool,
    /// Whether it is encrypted and a key would help.
    pub is_encrypted: bool,
    /// Why, and what would help.
    pub why: String,
}

/// What the operator gives to open encrypted volumes: the bytes of key files.
///
/// A file that ends in a line break is tried with and without it.
#[derive(Default)]
pub struct Keys(pub Vec<Vec<u8>>);

/// Lists the volumes of a disk, through partitions, RAID members, LUKS and LVM, to the bottom.
///
/// Memory and time are bounded whatever the disk claims, by constants beside the code; deriving keys
/// is the dearest part, some minutes at worst. What was left out for a limit is a [`Blind`].
pub fn list(disk: Arc<dyn ReadAt>, keys: &Keys) -> (Vec<Volume>, Vec<Blind>) {
    walk::list(disk, keys)
}
