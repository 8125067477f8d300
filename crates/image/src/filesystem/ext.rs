//! Ext: which files are in this ext2, ext3 or ext4 volume?
//!
//! A narrow reader of our own: crates that read ext4 give no change times, no extended attributes and
//! no places, and file capabilities are findings. All reads are positioned and nothing is locked for
//! longer than a look into a cache.
//!
//! Source: Linux Documentation/filesystems/ext4 and fs/ext4/*.h. Held against the kernel and against
//! the crate `ext4-view` in tests/filesystem_ext.rs. Speed: examples/digest_image.rs.

mod attributes;
mod folder;
mod inode;
mod journal;
mod map;

use std::sync::Arc;

use super::bytes::{array, damaged, label, le16, le32, not_read, plus, times, u8_at, uuid};
use super::cache::Metadata;
use super::checksum::crc32c;
use super::runs::InMemory;
use super::{Content, Error, FileSystem, Id, Listed, Node};
use crate::ReadAt;
use inode::Inode;

const ROOT: Id = 2;
const SUPERBLOCK: u64 = 1024;

/// Features that change how files are read. Source: Linux fs/ext4/ext4.h, `EXT4_FEATURE_INCOMPAT_*`.
mod feature {
    pub(super) const RECOVER: u32 = 0x4;
    pub(super) const JOURNAL_DEVICE: u32 = 0x8;
    pub(super) const META_GROUPS: u32 = 0x10;
    pub(super) const EXTENTS: u32 = 0x40;
    pub(super) const BITS_64: u32 = 0x80;
    pub(super) const CHECKSUM_SEED: u32 = 0x2000;
    pub(super) const LARGE_FOLDERS: u32 = 0x4000;
    /// What this reader knows: file types, the above, multiple mount protection, flexible groups,
    /// attributes in inodes, data in inodes, encrypted files, folders that fold case.
    pub(super) const KNOWN: u32 = 0x2
        | RECOVER
        | META_GROUPS
        | EXTENTS
        | BITS_64
        | 0x100
        | 0x200
        | 0x400
        | CHECKSUM_SEED
        | LARGE_FOLDERS
        | 0x8000
        | 0x1_0000
        | 0x2_0000;
    /// Names of the others.
    pub(super) const FOREIGN: [(u32, &str); 3] =
        [(0x1, "compression"), (JOURNAL_DEVICE, "a journal only"), (0x1000, "data in folders")];

    /// `RO_COMPAT`: metadata has checksums.
    pub(super) const CHECKSUMS: u32 = 0x400;
    /// `RO_COMPAT` features that only ext4 has.
    pub(super) const OF_EXT4: u32 = 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | CHECKSUMS | 0x2000 | 0x8000;
    /// `COMPAT`: there is a journal.
    pub(super) const JOURNAL: u32 = 0x4;
}

/// What the superblock says, checked.
struct Superblock {
    inodes: u32,
    blocks: u64,
    /// Bytes.
    block: u64,
    first_block: u64,
    blocks_per_group: u64,
    inodes_per_group: u32,
    inode_size: usize,
    descriptor_size: u64,
    first_meta_group: u64,
    compat: u32,
    incompat: u32,
    read_only: u32,
    journal: u32,
    journal_uuid: [u8; 16],
    uuid: [u8; 16],
    /// What checksums of metadata begin with.
    seed: u32,
    label: Option<Vec<u8>>,
}

impl Superblock {
    fn parse(raw: &[u8]) -> Result<Self, Error> {
        let revision = le32(raw, 76)?;
        let (compat, incompat, read_only) =
            if revision == 0 { (0, 0, 0) } else { (le32(raw, 92)?, le32(raw, 96)?, le32(raw, 100)?) };
        for (bit, name) in feature::FOREIGN {
            if incompat & bit != 0 {
                return Err(not_read(format!("an ext file system with the feature {name}")));
            }
        }
        if incompat & !feature::KNOWN != 0 {
            let unknown = incompat & !feature::KNOWN;
            return Err(not_read(format!("an ext file system with the unknown features {unknown:#x}")));
        }
        let log = le32(raw, 24)?;
        if log > 6 {
            return Err(damaged("an ext superblock with blocks of more than 64 KiB"));
        }
        let is_64 = incompat & feature::BITS_64 != 0;
        let uuid = array(raw, 104)?;
        let seed = if incompat & feature::CHECKSUM_SEED != 0 { le32(raw, 0x270)? } else { crc32c(!0, &uuid) };
        let superblock = Self {
            inodes: le32(raw, 0)?,
            blocks: u64::from(le32(raw, 4)?) | if is_64 { u64::from(le32(raw, 0x150)?) << 32 } else { 0 },
            block: 1024 << log,
            first_block: le32(raw, 20)?.into(),
            blocks_per_group: le32(raw, 32)?.into(),
            inodes_per_group: le32(raw, 40)?,
            inode_size: if revision == 0 { 128 } else { le16(raw, 88)?.into() },
            descriptor_size: if is_64 { le16(raw, 254)?.into() } else { 32 },
            first_meta_group: le32(raw, 260)?.into(),
            compat,
            incompat,
            read_only,
            journal: le32(raw, 0xe0)?,
            journal_uuid: array(raw, 0xd0)?,
            uuid,
            seed,
            label: label(&array::<16>(raw, 120)?),
        };
        superblock.checked()
    }

    /// Refuses what the arithmetic below could not bear.
    fn checked(self) -> Result<Self, Error> {
        let size = self.inode_size as u64;
        let sound = self.blocks_per_group > 0
            && self.blocks_per_group <= self.block * 8 * 16
            && self.inodes_per_group > 0
            && size.is_power_of_two()
            && (128..=self.block).contains(&size)
            && self.descriptor_size.is_power_of_two()
            && (32..=self.block).contains(&self.descriptor_size)
            && self.blocks > self.first_block;
        if sound { Ok(self) } else { Err(damaged("the sizes of an ext superblock contradict each other")) }
    }

    fn has(&self, incompat: u32) -> bool {
        self.incompat & incompat != 0
    }

    /// Whether a group holds a copy of the superblock in its first block.
    fn holds_superblock(&self, group: u64) -> bool {
        const SPARSE: u32 = 0x1;
        let is_power = |base: u64| {
            let mut rest = group;
            while rest > 1 && rest.is_multiple_of(base) {
                rest /= base;
            }
            rest == 1
        };
        group <= 1 || self.read_only & SPARSE == 0 || is_power(3) || is_power(5) || is_power(7)
    }

    /// Where the descriptor of a group lies, in bytes.
    fn descriptor(&self, group: u64) -> Result<u64, Error> {
        let per_block = self.block / self.descriptor_size;
        let (number, within) = (group / per_block, group % per_block * self.descriptor_size);
        // With clusters, blocks of 1 KiB count from zero and the superblock lies in block 1 all the same.
        // Source: Linux `descriptor_loc`.
        let superblock = SUPERBLOCK / self.block;
        let block = if self.has(feature::META_GROUPS) && number >= self.first_meta_group {
            let first = times(number, per_block)?;
            let start = plus(self.first_block, times(first, self.blocks_per_group)?)?;
            let is_shifted = first == 0 && self.first_block < superblock;
            plus(start, u64::from(self.holds_superblock(first)) + u64::from(is_shifted))?
        } else {
            plus(superblock + 1, number)?
        };
        plus(times(block, self.block)?, within)
    }
}

/// An ext2, ext3 or ext4 volume, open for reading.
pub(super) struct Ext {
    superblock: Superblock,
    metadata: Metadata,
    volume: Arc<dyn ReadAt>,
    remarks: Vec<String>,
}

/// Whether the magic number is there.
pub(super) fn is_here(volume: &dyn ReadAt) -> bool {
    let mut magic = [0; 2];
    volume.read_at(SUPERBLOCK + 56, &mut magic).is_ok() && magic == [0x53, 0xef]
}

/// Opens the volume and replays its journal into memory, if it has to be.
///
/// # Errors
///
/// [`Error::NotRead`] for features that are not known; [`Error::Damaged`] for a superblock that
/// contradicts itself.
pub(super) fn open(volume: Arc<dyn ReadAt>) -> Result<Ext, Error> {
    let superblock = superblock(&*volume)?;
    let mut ext = Ext { superblock, metadata: Metadata::new(Arc::clone(&volume)), volume, remarks: Vec::new() };
    if ext.superblock.has(feature::RECOVER) {
        journal::replay(&mut ext)?;
    }
    let whole = ext.superblock.blocks.saturating_mul(ext.superblock.block);
    if whole > ext.volume.len() {
        let there = ext.volume.len();
        ext.remarks.push(format!("the volume was cut off: the file system has {whole} bytes, {there} are there"));
    }
    Ok(ext)
}

fn superblock(volume: &dyn ReadAt) -> Result<Superblock, Error> {
    let mut raw = [0; 1024];
    volume.read_at(SUPERBLOCK, &mut raw)?;
    Superblock::parse(&raw)
}

impl Ext {
    fn block(&self, number: u64) -> Result<Vec<u8>, Error> {
        if number >= self.superblock.blocks {
            return Err(damaged(format!("block {number} is outside the file system")));
        }
        self.metadata.bytes(times(number, self.superblock.block)?, self.superblock.block as usize)
    }

    /// Reads an inode and checks it.
    fn inode(&self, id: Id) -> Result<Inode, Error> {
        let number = u32::try_from(id).ok().filter(|number| (1..=self.superblock.inodes).contains(number));
        let number = number.ok_or_else(|| damaged(format!("there is no inode {id}")))?;
        let (group, within) =
            ((number - 1) / self.superblock.inodes_per_group, (number - 1) % self.superblock.inodes_per_group);
        let at = self.superblock.descriptor(group.into())?;
        let descriptor = self.metadata.bytes(at, self.superblock.descriptor_size as usize)?;
        let high = if descriptor.len() >= 64 { le32(&descriptor, 40)? } else { 0 };
        let table = u64::from(le32(&descriptor, 8)?) | u64::from(high) << 32;
        if table >= self.superblock.blocks {
            return Err(damaged(format!("the inodes of group {group} lie outside the file system")));
        }
        let start = times(table, self.superblock.block)?;
        let at = plus(start, times(within.into(), self.superblock.inode_size as u64)?)?;
        let raw = self.metadata.bytes(at, self.superblock.inode_size)?;
        let inode = Inode::parse(number, raw, self.superblock.has(feature::LARGE_FOLDERS))?;
        if self.superblock.read_only & feature::CHECKSUMS != 0 {
            inode.verify(self.superblock.seed)?;
        }
        if inode.mode == 0 {
            return Err(damaged(format!("inode {id} is free, and something still names it")));
        }
        Ok(inode)
    }

    /// The content of a file, folder or link, wherever it is kept.
    fn content(&self, inode: &Inode) -> Result<Box<dyn Content>, Error> {
        if inode.flags & inode::ENCRYPTED != 0 {
            return Err(not_read("encrypted (fscrypt)"));
        }
        if inode.flags & inode::INLINE != 0 {
            return Ok(Box::new(InMemory { bytes: self.inline(inode)?, position: 0 }));
        }
        let runs = map::runs(self, inode)?;
        Ok(Box::new(runs.content(Arc::clone(&self.volume), inode.size)?))
    }

    /// Content that is kept in the inode: sixty bytes in place of the map, the rest as an attribute.
    fn inline(&self, inode: &Inode) -> Result<Vec<u8>, Error> {
        let mut bytes = inode.map().to_vec();
        if inode.size > bytes.len() as u64 {
            bytes.extend(attributes::inline_rest(inode)?);
        }
        if inode.size > bytes.len() as u64 {
            return Err(damaged(format!("{} bytes are said to be in an inode that cannot hold them", inode.size)));
        }
        bytes.truncate(inode.size as usize);
        Ok(bytes)
    }
}

impl FileSystem for Ext {
    fn kind(&self) -> &'static str {
        let superblock = &self.superblock;
        let of_ext4 = feature::EXTENTS | feature::BITS_64 | 0x200 | 0x400 | 0x8000 | 0x1_0000 | 0x2_0000;
        if superblock.incompat & of_ext4 != 0 || superblock.read_only & feature::OF_EXT4 != 0 {
            "ext4"
        } else if superblock.compat & feature::JOURNAL != 0 {
            "ext3"
        } else {
            "ext2"
        }
    }

    fn label(&self) -> Option<Vec<u8>> {
        self.superblock.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        uuid(&self.superblock.uuid)
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }

    fn root(&self) -> Id {
        ROOT
    }

    fn node(&self, id: Id) -> Result<Node, Error> {
        let inode = self.inode(id)?;
        Ok(Node { xattrs: attributes::all(self, &inode)?, ..inode.node()? })
    }

    fn list(&self, folder: Id, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
        folder::list(self, &self.inode(folder)?, each)
    }

    fn link_target(&self, id: Id) -> Result<Vec<u8>, Error> {
        let inode = self.inode(id)?;
        if !inode.is(inode::LINK) {
            return Err(damaged("not a symbolic link"));
        }
        if inode.flags & inode::ENCRYPTED != 0 {
            return Err(not_read("an encrypted link (fscrypt)"));
        }
        // A link shorter than the map stands in its place. Source: Linux `ext4_inode_is_fast_symlink`.
        if inode.flags & inode::INLINE == 0 && inode.size > 0 && inode.size < inode.map().len() as u64 {
            return Ok(inode.map()[..inode.size as usize].to_vec());
        }
        if inode.size > 64 << 10 {
            return Err(damaged(format!("a link of {} bytes", inode.size)));
        }
        let mut target = vec![0; inode.size as usize];
        let count = self.content(&inode)?.read(&mut target)?;
        target.truncate(count);
        Ok(target)
    }

    fn open<'a>(&'a self, id: Id) -> Result<Box<dyn Content + 'a>, Error> {
        let inode = self.inode(id)?;
        if !inode.is(inode::FILE) {
            return Err(damaged("not a regular file"));
        }
        self.content(&inode)
    }

    fn place(&self, id: Id) -> u64 {
        self.inode(id).ok().and_then(|inode| map::first(self, &inode).ok().flatten()).unwrap_or(0)
    }
}

/// A byte as a length.
fn byte(bytes: &[u8], at: usize) -> Result<usize, Error> {
    u8_at(bytes, at).map(usize::from)
}
