//! Map: on which blocks of an XFS volume does a fork lie?
//!
//! Source: XFS Algorithms & Data Structures, "Data Extents"; Linux fs/xfs/libxfs/xfs_bmap_btree.h.

use super::super::bytes::{array, be16, be64, damaged, part, times};
use super::super::runs::Runs;
use super::inode::{Fork, Format};
use super::{Error, Inode, Xfs};

/// Blocks of a tree that are read for one fork: 4 GiB of 4 KiB blocks.
const MOST_NODES: u32 = 1 << 20;

/// Levels of a tree. Source: `XFS_BM_MAXLEVELS` is below this for every size.
const DEEPEST: u16 = 16;

/// One extent, in blocks. `start` is a number with the group in the upper bits.
struct Extent {
    logical: u64,
    start: u64,
    count: u64,
    is_written: bool,
}

fn extent(raw: &[u8; 16]) -> Result<Extent, Error> {
    let (high, low) = (be64(raw, 0)?, be64(raw, 8)?);
    Ok(Extent {
        is_written: high >> 63 == 0,
        logical: (high >> 9) & ((1 << 54) - 1),
        start: (high & 0x1ff) << 43 | low >> 21,
        count: low & 0x1f_ffff,
    })
}

/// The runs of a fork.
pub(super) fn runs(xfs: &Xfs, inode: &Inode, fork: &Fork) -> Result<Runs, Error> {
    let mut walk = Walk { xfs, runs: Runs::default(), nodes: 0, found: 0 };
    let bytes = inode.fork(fork);
    match fork.format {
        Format::Nothing if fork.extents == 0 => {}
        Format::Extents => {
            let count = usize::try_from(fork.extents).unwrap_or(usize::MAX);
            walk.records(part(bytes, 0, count.saturating_mul(16))?)?;
        }
        Format::Tree => {
            let (level, count) = (be16(bytes, 0)?, usize::from(be16(bytes, 2)?));
            if level == 0 || level > DEEPEST {
                return Err(damaged("the root of a tree of extents has no sound level"));
            }
            let pointers = 4 + bytes.len().saturating_sub(4) / 16 * 8;
            for pointer in part(bytes, pointers, count * 8)?.as_chunks::<8>().0 {
                walk.node(u64::from_be_bytes(*pointer), level - 1)?;
            }
        }
        _ => return Err(damaged("a fork whose form holds no extents")),
    }
    // A tree that lost a leaf would otherwise read as a hole.
    if walk.found != fork.extents {
        return Err(damaged(format!("{} extents where the inode counts {}", walk.found, fork.extents)));
    }
    Ok(walk.runs)
}

/// Where the first block of a file lies, in bytes.
pub(super) fn first(xfs: &Xfs, inode: &Inode) -> Result<Option<u64>, Error> {
    let mut bytes = inode.fork(&inode.data).to_vec();
    let mut records = 0;
    if inode.data.format == Format::Tree {
        let mut pointer = be64(&bytes, 4 + bytes.len().saturating_sub(4) / 16 * 8)?;
        for _ in 0..DEEPEST {
            bytes = xfs.block(pointer, xfs.superblock.block)?;
            records = header(xfs);
            if be16(&bytes, 4)? == 0 {
                break;
            }
            pointer = be64(&bytes, records + (bytes.len() - records) / 16 * 8)?;
        }
    } else if inode.data.format != Format::Extents || inode.data.extents == 0 {
        return Ok(None);
    }
    xfs.superblock.position(extent(&array(&bytes, records)?)?.start).map(Some)
}

/// Bytes before the records of a block of the tree.
fn header(xfs: &Xfs) -> usize {
    if xfs.superblock.is_v5 { 72 } else { 24 }
}

struct Walk<'a> {
    xfs: &'a Xfs,
    runs: Runs,
    nodes: u32,
    found: u64,
}

impl Walk<'_> {
    fn records(&mut self, records: &[u8]) -> Result<(), Error> {
        let superblock = &self.xfs.superblock;
        for record in records.as_chunks::<16>().0 {
            let Extent { logical, start, count, is_written } = extent(record)?;
            self.found += 1;
            if count == 0 {
                return Err(damaged("an extent of no blocks"));
            }
            if !is_written {
                continue;
            }
            let position = superblock.position(start)?;
            // An extent that leaves its group would go on in the next one's headers.
            let within = start & ((1 << superblock.group_bits) - 1);
            if within + count > superblock.group_blocks {
                return Err(damaged("an extent leaves its group"));
            }
            let block = superblock.block;
            self.runs.push(times(logical, block)?, position, times(count, block)?)?;
        }
        Ok(())
    }

    /// One block of the tree, `level` levels over the leaves.
    fn node(&mut self, number: u64, level: u16) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(damaged("the map of a file has more nodes than a map can need"));
        }
        let bytes = self.xfs.block(number, self.xfs.superblock.block)?;
        let magic = if self.xfs.superblock.is_v5 { b"BMA3" } else { b"BMAP" };
        // Each level is one below its parent, so no node can be above itself.
        if bytes.get(..4) != Some(magic) || be16(&bytes, 4)? != level {
            return Err(damaged("a node of a tree of extents is none"));
        }
        let (count, header) = (usize::from(be16(&bytes, 6)?), header(self.xfs));
        if level == 0 {
            return self.records(part(&bytes, header, count * 16)?);
        }
        let pointers = header + (bytes.len() - header) / 16 * 8;
        for pointer in part(&bytes, pointers, count * 8)?.as_chunks::<8>().0 {
            self.node(u64::from_be_bytes(*pointer), level - 1)?;
        }
        Ok(())
    }
}
