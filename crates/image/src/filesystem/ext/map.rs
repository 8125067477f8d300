//! Map: on which blocks of an ext volume does a file lie?
//!
//! Two forms: a tree of extents, and the older pointers, direct to triple indirect. Blocks that were
//! only reserved and those that are not mapped read as zero, as the kernel shows them.
//!
//! Source: Linux Documentation/filesystems/ext4/ifork.rst.

use super::super::bytes::{damaged, le16, le32, part, times};
use super::super::runs::Runs;
use super::{Error, Ext, Inode, inode};

/// Blocks of maps that are read for one file: 4 GiB of 4 KiB blocks. A tree whose nodes all point at
/// the same node would otherwise be read for ever.
const MOST_NODES: u32 = 1 << 20;

/// Levels under the root. Five levels address more blocks than 32 bits. Source: `EXT4_MAX_EXTENT_DEPTH`.
const DEEPEST: u16 = 5;

/// The longest extent that holds data; longer ones are reserved blocks.
const WRITTEN: u16 = 32768;

/// The runs of a file.
pub(super) fn runs(ext: &Ext, inode: &Inode) -> Result<Runs, Error> {
    let mut walk = Walk { ext, runs: Runs::default(), nodes: 0, end: inode.size.div_ceil(ext.superblock.block) };
    if inode.flags & inode::EXTENTS != 0 {
        walk.extents(inode.map(), None)?;
    } else {
        if inode.size.div_ceil(ext.superblock.block) > addressable(ext.superblock.block) {
            return Err(damaged(format!("a file of {} bytes, more than its map can hold", inode.size)));
        }
        walk.pointers(inode.map())?;
    }
    Ok(walk.runs)
}

/// Blocks that direct to triple indirect pointers reach.
fn addressable(block: u64) -> u64 {
    let each = block / 4;
    12 + each + each * each + each * each * each
}

/// Where the first block of a file lies, in bytes.
pub(super) fn first(ext: &Ext, inode: &Inode) -> Result<Option<u64>, Error> {
    if inode.size == 0 || inode.flags & inode::INLINE != 0 {
        return Ok(None);
    }
    if inode.flags & inode::EXTENTS == 0 {
        return times(le32(inode.map(), 0)?.into(), ext.superblock.block).map(Some);
    }
    let mut node = inode.map().to_vec();
    for _ in 0..=DEEPEST {
        if le16(&node, 2)? == 0 {
            return Ok(None);
        }
        if le16(&node, 6)? == 0 {
            let (low, high) = (le32(&node, 12 + 8)?, le16(&node, 12 + 6)?);
            return times(u64::from(low) | u64::from(high) << 32, ext.superblock.block).map(Some);
        }
        node = ext.block(u64::from(le32(&node, 12 + 4)?) | u64::from(le16(&node, 12 + 8)?) << 32)?;
    }
    Ok(None)
}

struct Walk<'a> {
    ext: &'a Ext,
    runs: Runs,
    nodes: u32,
    /// Blocks of the file.
    end: u64,
}

impl Walk<'_> {
    fn node(&mut self, number: u64) -> Result<Vec<u8>, Error> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(damaged("the map of a file has more nodes than a map can need"));
        }
        self.ext.block(number)
    }

    fn add(&mut self, logical: u64, block: u64, count: u64) -> Result<(), Error> {
        if block.checked_add(count).is_none_or(|end| end > self.ext.superblock.blocks) {
            return Err(damaged(format!("block {block} of a file is outside the file system")));
        }
        let size = self.ext.superblock.block;
        self.runs.push(times(logical, size)?, times(block, size)?, times(count, size)?)
    }

    /// One node of the tree. `depth` is what its parent says; `None` for the root.
    fn extents(&mut self, node: &[u8], depth: Option<u16>) -> Result<(), Error> {
        let (magic, count, here) = (le16(node, 0)?, usize::from(le16(node, 2)?), le16(node, 6)?);
        // Each level is one below its parent, so no node can be above itself.
        if magic != 0xf30a || here > DEEPEST || depth.is_some_and(|depth| depth != here) {
            return Err(damaged("a node of an extent tree is none"));
        }
        let mut least = None;
        for entry in part(node, 12, count * 12)?.as_chunks::<12>().0 {
            let logical = u64::from(le32(entry, 0)?);
            if least.is_some_and(|least| logical <= least) {
                return Err(damaged("the extents of a file are not in order"));
            }
            least = Some(logical);
            if here > 0 {
                let child = self.node(u64::from(le32(entry, 4)?) | u64::from(le16(entry, 8)?) << 32)?;
                self.extents(&child, Some(here - 1))?;
                continue;
            }
            let length = le16(entry, 4)?;
            if length == 0 {
                return Err(damaged("an extent of no blocks"));
            }
            if length <= WRITTEN {
                let block = u64::from(le32(entry, 8)?) | u64::from(le16(entry, 6)?) << 32;
                self.add(logical, block, length.into())?;
            }
        }
        Ok(())
    }

    fn pointers(&mut self, map: &[u8]) -> Result<(), Error> {
        let mut logical = 0;
        for n in 0..12 {
            self.pointer(le32(map, n * 4)?, 0, &mut logical)?;
        }
        for level in 1..=3 {
            self.pointer(le32(map, (11 + level as usize) * 4)?, level, &mut logical)?;
        }
        Ok(())
    }

    /// Follows one pointer; `logical` goes on by what it stands for.
    fn pointer(&mut self, block: u32, level: u32, logical: &mut u64) -> Result<(), Error> {
        if *logical >= self.end {
            return Ok(());
        }
        let each = self.ext.superblock.block / 4;
        if block == 0 {
            *logical += each.pow(level);
            return Ok(());
        }
        if level == 0 {
            self.add(*logical, block.into(), 1)?;
            *logical += 1;
            return Ok(());
        }
        let node = self.node(block.into())?;
        for pointer in node.as_chunks::<4>().0 {
            self.pointer(u32::from_le_bytes(*pointer), level - 1, logical)?;
        }
        Ok(())
    }
}
