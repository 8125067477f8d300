//! Squashfs: which files are in this squashfs volume?
//!
//! A narrow reader of our own: the crate `backhand` holds all inodes in memory, writes images too, and
//! shares one reader between threads behind a lock. Here an inode is read when it is asked for, and its
//! number is its place in the table, so that memory does not grow with the image.
//!
//! Never reads versions before 4, nor blocks packed by LZO.
//! Source: Linux Documentation/filesystems/squashfs.rst, fs/squashfs/squashfs_fs.h.

mod attributes;
mod content;
mod inode;
mod packed;

use std::sync::Arc;

use super::bytes::{damaged, le16, le32, le64, not_read, plus, times};
use super::cache::Cache;
use super::{Content, Error, FileSystem, Id, Listed, Node};
use crate::ReadAt;
use content::Blocks;
use inode::{Inode, Kind};
use packed::Codec;

/// Bytes of a block of metadata, unpacked. Source: `SQUASHFS_METADATA_SIZE`.
const METADATA: usize = 8192;

/// Blocks of metadata that are kept: 32 MiB.
const KEPT_METADATA: usize = 4096;

/// Fragments that are kept: 64 MiB if blocks are as large as they can be.
const KEPT_FRAGMENTS: usize = 64;

/// A table that is not there.
const NONE: u64 = u64::MAX;

/// A squashfs volume, open for reading.
pub(super) struct Squashfs {
    volume: Arc<dyn ReadAt>,
    codec: Codec,
    /// Bytes of a block of content, unpacked.
    block: u32,
    root: Id,
    ids: Table,
    fragments: Table,
    attributes: u64,
    inodes: u64,
    folders: u64,
    metadata: Cache<Block>,
    unpacked: Cache<Vec<u8>>,
}

/// A table whose entries are reached through a list of blocks.
struct Table {
    list: u64,
    entries: u32,
    size: usize,
}

/// One block of metadata.
struct Block {
    bytes: Vec<u8>,
    /// Where the next one begins.
    next: u64,
}

/// Whether the magic number is there, in either byte order.
pub(super) fn is_here(volume: &dyn ReadAt) -> bool {
    let mut magic = [0; 4];
    volume.read_at(0, &mut magic).is_ok() && matches!(&magic, b"hsqs" | b"sqsh")
}

/// Opens the volume.
///
/// # Errors
///
/// [`Error::NotRead`] for other versions and packers; [`Error::Damaged`] for a superblock that
/// contradicts itself.
pub(super) fn open(volume: Arc<dyn ReadAt>) -> Result<Squashfs, Error> {
    let mut raw = [0; 96];
    volume.read_at(0, &mut raw)?;
    let version = le16(&raw, 28)?;
    if &raw[..4] != b"hsqs" || version != 4 {
        return Err(not_read("squashfs of a version before 4"));
    }
    let (block, log) = (le32(&raw, 12)?, le16(&raw, 22)?);
    if !(12..=20).contains(&log) || block != 1 << log {
        return Err(damaged("the sizes of a squashfs superblock contradict each other"));
    }
    let attributes = le64(&raw, 56)?;
    Ok(Squashfs {
        codec: Codec::new(le16(&raw, 20)?)?,
        block,
        root: le64(&raw, 32)?,
        ids: Table { list: le64(&raw, 48)?, entries: le16(&raw, 26)?.into(), size: 4 },
        fragments: Table { list: le64(&raw, 80)?, entries: le32(&raw, 16)?, size: 16 },
        attributes,
        inodes: le64(&raw, 64)?,
        folders: le64(&raw, 72)?,
        metadata: Cache::new(KEPT_METADATA),
        unpacked: Cache::new(KEPT_FRAGMENTS),
        volume,
    })
}

/// A place in metadata, from which bytes are read across blocks.
struct Cursor<'a> {
    fs: &'a Squashfs,
    block: Arc<Block>,
    at: usize,
}

impl Cursor<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let mut done = 0;
        while done < buffer.len() {
            if self.at >= self.block.bytes.len() {
                self.block = self.fs.metadata(self.block.next)?;
                self.at = 0;
            }
            let count = (buffer.len() - done).min(self.block.bytes.len() - self.at);
            buffer[done..done + count].copy_from_slice(&self.block.bytes[self.at..self.at + count]);
            (done, self.at) = (done + count, self.at + count);
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    /// `count` is checked by the caller: memory is taken for it.
    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

impl Squashfs {
    /// The block of metadata at a position of the volume.
    fn metadata(&self, position: u64) -> Result<Arc<Block>, Error> {
        self.metadata.get(position, || {
            let mut head = [0; 2];
            self.volume.read_at(position, &mut head)?;
            let head = u16::from_le_bytes(head);
            let stored = usize::from(head & 0x7fff);
            if stored == 0 || stored > METADATA {
                return Err(damaged(format!("a block of metadata of {stored} bytes")));
            }
            let start = plus(position, 2)?;
            let mut bytes = vec![0; stored];
            self.volume.read_at(start, &mut bytes)?;
            if head & 0x8000 == 0 {
                bytes = self.codec.unpack(&bytes, METADATA)?;
            }
            if bytes.is_empty() {
                return Err(damaged("a block of metadata holds nothing"));
            }
            Ok(Block { bytes, next: plus(start, stored as u64)? })
        })
    }

    /// A place in a table of metadata: the block's distance from `table` and the offset in it.
    fn cursor(&self, table: u64, block: u64, offset: usize) -> Result<Cursor<'_>, Error> {
        let block = self.metadata(plus(table, block)?)?;
        if offset >= METADATA {
            return Err(damaged("a place in metadata lies outside its block"));
        }
        Ok(Cursor { fs: self, block, at: offset })
    }

    /// Entry `number` of a table.
    fn entry(&self, table: &Table, number: u32) -> Result<Cursor<'_>, Error> {
        if table.list == NONE || number >= table.entries {
            return Err(damaged(format!("there is no entry {number} in a table of {}", table.entries)));
        }
        let per_block = METADATA / table.size;
        let (block, within) = (number as usize / per_block, number as usize % per_block);
        let mut pointer = [0; 8];
        self.volume.read_at(plus(table.list, times(block as u64, 8)?)?, &mut pointer)?;
        self.cursor(u64::from_le_bytes(pointer), 0, within * table.size)
    }

    fn inode(&self, id: Id) -> Result<Inode<'_>, Error> {
        Inode::read(self, id)
    }

    /// The unpacked block of many files' last bytes.
    fn fragment(&self, number: u32) -> Result<Arc<Vec<u8>>, Error> {
        self.unpacked.get(number.into(), || {
            let mut entry = self.entry(&self.fragments, number)?;
            let (start, size) = (u64::from_le_bytes(entry.array()?), entry.u32()?);
            self.stored(start, size, self.block as usize)
        })
    }

    /// A block of content; `size` has a mark in bit 24 if it is not packed.
    fn stored(&self, position: u64, size: u32, most: usize) -> Result<Vec<u8>, Error> {
        let count = size & 0x00ff_ffff;
        if count > self.block || size >> 25 != 0 {
            return Err(damaged(format!("a block of {size:#x} bytes")));
        }
        crate::read_at::within(self.volume.len(), position, count as usize)?;
        let mut bytes = vec![0; count as usize];
        self.volume.read_at(position, &mut bytes)?;
        if size & 0x0100_0000 == 0 { self.codec.unpack(&bytes, most) } else { Ok(bytes) }
    }
}

impl FileSystem for Squashfs {
    fn kind(&self) -> &'static str {
        "squashfs"
    }

    fn label(&self) -> Option<Vec<u8>> {
        None
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn root(&self) -> Id {
        self.root
    }

    fn node(&self, id: Id) -> Result<Node, Error> {
        let inode = self.inode(id)?;
        Ok(Node {
            mode: inode.mode,
            uid: self.entry(&self.ids, inode.uid.into())?.u32()?,
            gid: self.entry(&self.ids, inode.gid.into())?.u32()?,
            size: inode.size,
            links: inode.links.into(),
            mtime: (inode.mtime.into(), 0),
            ctime: None,
            birth: None,
            xattrs: attributes::all(self, inode.attributes)?,
        })
    }

    fn list(&self, folder: Id, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
        let inode = self.inode(folder)?;
        let Kind::Folder { block, offset } = inode.kind else { return Err(damaged("not a folder")) };
        // Three bytes for `.` and `..`, which are not there.
        let mut rest = inode.size.saturating_sub(3);
        if rest == 0 {
            return Ok(());
        }
        let mut cursor = self.cursor(self.folders, block.into(), offset.into())?;
        while rest > 0 {
            let head: [u8; 12] = cursor.array()?;
            rest = rest.checked_sub(12).ok_or_else(|| damaged("a folder ends within an entry"))?;
            let (count, start) = (le32(&head, 0)?, le32(&head, 4)?);
            if count >= 256 {
                return Err(damaged(format!("{count} entries in a row of a folder")));
            }
            for _ in 0..=count {
                let entry: [u8; 8] = cursor.array()?;
                let (offset, length) = (le16(&entry, 0)?, u64::from(le16(&entry, 6)?) + 1);
                let size = 8 + length;
                rest = rest.checked_sub(size).ok_or_else(|| damaged("a folder ends within an entry"))?;
                if length > 256 {
                    return Err(damaged(format!("a name of {length} bytes")));
                }
                let name = cursor.bytes(length as usize)?;
                if !each(Listed { name, id: u64::from(start) << 16 | u64::from(offset) }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn link_target(&self, id: Id) -> Result<Vec<u8>, Error> {
        let inode = self.inode(id)?;
        match inode.kind {
            Kind::Link { target } => Ok(target),
            _ => Err(damaged("not a symbolic link")),
        }
    }

    fn open<'a>(&'a self, id: Id) -> Result<Box<dyn Content + 'a>, Error> {
        Ok(Box::new(Blocks::new(self.inode(id)?, self)?))
    }

    fn place(&self, id: Id) -> u64 {
        match self.inode(id).map(|inode| inode.kind) {
            Ok(Kind::File { start, .. }) => start,
            _ => 0,
        }
    }
}
