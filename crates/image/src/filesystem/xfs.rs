//! Xfs: which files are in this XFS volume?
//!
//! A narrow reader of our own. Of the crates that read XFS two return other files' bytes without an
//! error, and the one that is right, `lamxfs`, is made for boot loaders: it knows no owners, no times
//! and no attributes, and cannot be read by two threads. It showed how little a replay of the log needs.
//!
//! Never reads real-time files, external logs and file systems that are being made.
//! Source: XFS Algorithms & Data Structures, 3rd edition; Linux fs/xfs/libxfs/xfs_format.h. Held
//! against the kernel in tests/filesystem/xfs.rs.

mod attributes;
mod folder;
mod inode;
mod log;
mod map;
mod replay;

use std::sync::Arc;

use super::bytes::{array, be16, be32, be64, damaged, label, not_read, part, plus, times, u8_at, uuid};
use super::cache::Metadata;
use super::runs::InRuns;
use super::{Content, Error, FileSystem, Id, Listed, Node};
use crate::ReadAt;
use inode::{Format, Inode};

/// Features of version 5 that change how files are read. Source: `XFS_SB_FEAT_INCOMPAT_*`.
mod feature {
    pub(super) const FILE_TYPES: u32 = 0x1;
    pub(super) const NEEDS_REPAIR: u32 = 0x10;
    /// What this reader knows: file types, sparse inodes, another uuid in metadata, wide times, repair,
    /// wide counts of extents, exchanges, parent pointers, a tree of metadata files.
    pub(super) const KNOWN: u32 = 0x1ff;
}

/// What the superblock says, checked.
struct Superblock {
    /// Bytes.
    block: u64,
    blocks: u64,
    group_blocks: u64,
    groups: u64,
    /// Bits of a block's number within its group.
    group_bits: u32,
    inode_size: usize,
    /// Bits of an inode's number within its block.
    inode_bits: u32,
    root: Id,
    is_v5: bool,
    has_file_types: bool,
    needs_repair: bool,
    folder_block: u64,
    log_start: u64,
    log_blocks: u64,
    log_version_2: bool,
    uuid: [u8; 16],
    /// What metadata carries as its uuid.
    metadata_uuid: [u8; 16],
    label: Option<Vec<u8>>,
}

impl Superblock {
    fn parse(raw: &[u8]) -> Result<Self, Error> {
        let version = be16(raw, 100)?;
        let is_v5 = match version & 0xf {
            4 => false,
            5 => true,
            other => return Err(not_read(format!("XFS of version {other}"))),
        };
        if version & 0x2000 == 0 {
            return Err(not_read("XFS with folders of version 1"));
        }
        if u8_at(raw, 126)? != 0 {
            return Err(damaged("an XFS file system that was never made to its end"));
        }
        let (features2, incompat) = (be32(raw, 200)?, if is_v5 { be32(raw, 216)? } else { 0 });
        if incompat & !feature::KNOWN != 0 {
            return Err(not_read(format!("XFS with the unknown features {:#x}", incompat & !feature::KNOWN)));
        }
        let bits = |at| u8_at(raw, at).map(u32::from);
        let (folder_bits, block_bits, inode_bits) = (bits(192)?, bits(120)?, bits(123)?);
        let block = u64::from(be32(raw, 4)?);
        let uuid = array(raw, 32)?;
        let has_metadata_uuid = incompat & 0x4 != 0;
        let superblock = Self {
            block,
            blocks: be64(raw, 8)?,
            group_blocks: be32(raw, 84)?.into(),
            groups: be32(raw, 88)?.into(),
            group_bits: bits(124)?,
            inode_size: be16(raw, 104)?.into(),
            inode_bits,
            root: be64(raw, 56)?,
            is_v5,
            has_file_types: if is_v5 { incompat & feature::FILE_TYPES != 0 } else { features2 & 0x200 != 0 },
            needs_repair: incompat & feature::NEEDS_REPAIR != 0,
            folder_block: block.checked_shl(folder_bits).unwrap_or(0),
            log_start: be64(raw, 48)?,
            log_blocks: be32(raw, 96)?.into(),
            log_version_2: is_v5 || version & 0x400 != 0,
            uuid,
            metadata_uuid: if has_metadata_uuid { array(raw, 248)? } else { uuid },
            label: label(&array::<12>(raw, 108)?),
        };
        let size = superblock.inode_size as u64;
        let sound = (512..=65536).contains(&block)
            && block_bits < 17
            && 1 << block_bits == block
            && (256..=2048).contains(&size)
            && inode_bits < 9
            && size << inode_bits == block
            && (block..=65536).contains(&superblock.folder_block)
            && folder_bits < 8
            && superblock.group_bits < 32
            && superblock.group_blocks > 0
            && superblock.group_blocks <= 1 << superblock.group_bits
            && superblock.groups > 0
            && superblock.blocks <= superblock.groups * superblock.group_blocks
            && superblock.blocks > (superblock.groups - 1) * superblock.group_blocks;
        if sound { Ok(superblock) } else { Err(damaged("the sizes of an XFS superblock contradict each other")) }
    }

    /// The position of a block's number, which holds its group in the upper bits. The number of blocks
    /// in a group is no power of two: this is where other readers go wrong.
    fn position(&self, number: u64) -> Result<u64, Error> {
        let (group, within) = (number >> self.group_bits, number & ((1 << self.group_bits) - 1));
        let linear = group.checked_mul(self.group_blocks).and_then(|start| start.checked_add(within));
        match linear {
            Some(block) if within < self.group_blocks && block < self.blocks => times(block, self.block),
            _ => Err(damaged(format!("block {number:#x} is outside the file system"))),
        }
    }

    /// The position of an inode, in bytes.
    fn inode(&self, id: Id) -> Result<u64, Error> {
        let within = (id & ((1 << self.inode_bits) - 1)) * self.inode_size as u64;
        plus(self.position(id >> self.inode_bits)?, within)
    }
}

/// An XFS volume, open for reading.
pub(super) struct Xfs {
    superblock: Superblock,
    metadata: Metadata,
    volume: Arc<dyn ReadAt>,
    remarks: Vec<String>,
}

/// Whether the magic number is there.
pub(super) fn is_here(volume: &dyn ReadAt) -> bool {
    let mut magic = [0; 4];
    volume.read_at(0, &mut magic).is_ok() && &magic == b"XFSB"
}

/// Opens the volume and replays its log into memory, if it has to be.
///
/// # Errors
///
/// [`Error::NotRead`] for features that are not known; [`Error::Damaged`] for a superblock that
/// contradicts itself.
pub(super) fn open(volume: Arc<dyn ReadAt>) -> Result<Xfs, Error> {
    let superblock = superblock(&*volume)?;
    let mut xfs = Xfs { superblock, metadata: Metadata::new(Arc::clone(&volume)), volume, remarks: Vec::new() };
    match replay::replay(&xfs.superblock, &xfs.volume) {
        Ok(None) => {}
        Ok(Some((overlay, remark))) => {
            xfs.volume = Arc::new(overlay);
            xfs.metadata = Metadata::new(Arc::clone(&xfs.volume));
            xfs.superblock = self::superblock(&*xfs.volume)?;
            xfs.remarks.push(remark);
        }
        Err(why) => xfs.remarks.push(format!(
            "not cleanly unmounted, and the log was NOT replayed ({why}): what was written last may be missing or torn"
        )),
    }
    if xfs.superblock.needs_repair {
        xfs.remarks.push("marked as in need of repair: the kernel would not mount it".into());
    }
    let whole = xfs.superblock.blocks.saturating_mul(xfs.superblock.block);
    if whole > xfs.volume.len() {
        let there = xfs.volume.len();
        xfs.remarks.push(format!("the volume was cut off: the file system has {whole} bytes, {there} are there"));
    }
    Ok(xfs)
}

fn superblock(volume: &dyn ReadAt) -> Result<Superblock, Error> {
    let mut raw = [0; 512];
    volume.read_at(0, &mut raw)?;
    Superblock::parse(&raw)
}

impl Xfs {
    /// One block of metadata, `count` bytes long.
    fn block(&self, number: u64, count: u64) -> Result<Vec<u8>, Error> {
        self.metadata.bytes(self.superblock.position(number)?, count as usize)
    }

    fn inode(&self, id: Id) -> Result<Inode, Error> {
        let raw = self.metadata.bytes(self.superblock.inode(id)?, self.superblock.inode_size)?;
        Inode::parse(id, raw, &self.superblock)
    }

    /// The content of a file or a fork, where it lies in blocks.
    fn content(&self, inode: &Inode, fork: &inode::Fork, size: u64) -> Result<InRuns, Error> {
        map::runs(self, inode, fork)?.content(Arc::clone(&self.volume), size)
    }
}

impl FileSystem for Xfs {
    fn kind(&self) -> &'static str {
        "xfs"
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
        self.superblock.root
    }

    fn node(&self, id: Id) -> Result<Node, Error> {
        let inode = self.inode(id)?;
        Ok(Node { xattrs: attributes::all(self, &inode)?, ..inode.node()? })
    }

    fn list(&self, folder: Id, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
        folder::list(self, &self.inode(folder)?, each)
    }

    /// At most 1024 bytes. Source: `XFS_SYMLINK_MAXLEN`.
    fn link_target(&self, id: Id) -> Result<Vec<u8>, Error> {
        let inode = self.inode(id)?;
        if !inode.is(inode::LINK) {
            return Err(damaged("not a symbolic link"));
        }
        if inode.size > 1024 {
            return Err(damaged(format!("a link of {} bytes", inode.size)));
        }
        let size = inode.size as usize;
        if inode.data.format == Format::Local {
            return Ok(part(inode.fork(&inode.data), 0, size)?.to_vec());
        }
        let header = if self.superblock.is_v5 { 56 } else { 0 };
        let block = self.superblock.block as usize;
        let blocks = size.div_ceil(block - header);
        let raw = self.content(&inode, &inode.data, (blocks * block) as u64)?.whole(1 << 20)?;
        let mut target = Vec::with_capacity(size);
        for block in raw.chunks(block) {
            if header > 0 && (block.get(..4) != Some(b"XSLM") || be64(block, 32)? != id) {
                return Err(damaged("a block of a symbolic link is none"));
            }
            let rest = (size - target.len()).min(block.len() - header);
            target.extend(part(block, header, rest)?);
        }
        Ok(target)
    }

    fn open<'a>(&'a self, id: Id) -> Result<Box<dyn Content + 'a>, Error> {
        let inode = self.inode(id)?;
        if !inode.is(inode::FILE) {
            return Err(damaged("not a regular file"));
        }
        if inode.is_real_time {
            return Err(not_read("a file on the real-time device"));
        }
        Ok(Box::new(self.content(&inode, &inode.data, inode.size)?))
    }

    fn place(&self, id: Id) -> u64 {
        self.inode(id).ok().and_then(|inode| map::first(self, &inode).ok().flatten()).unwrap_or(0)
    }
}
