//! Folder: which names are in a folder of an XFS volume?
//!
//! Names are read from the blocks that hold them, in order; the index over them is not needed.
//!
//! Source: XFS Algorithms & Data Structures, "Directories"; Linux fs/xfs/libxfs/xfs_da_format.h.

use std::sync::Arc;

use super::super::Id;
use super::super::bytes::{array, be16, be32, be64, damaged, part, u8_at};
use super::inode::Format;
use super::{Error, Inode, Listed, Xfs, inode, map};

/// Names end here and the index begins. Source: `XFS_DIR2_LEAF_OFFSET`.
const NAMES_END: u64 = 32 << 30;

pub(super) fn list(xfs: &Xfs, folder: &Inode, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
    if !folder.is(inode::FOLDER) {
        return Err(damaged("not a folder"));
    }
    if folder.data.format == Format::Local {
        return short(xfs, folder, each);
    }
    let runs = map::runs(xfs, folder, &folder.data)?;
    let list = runs.all().to_vec();
    let end = runs.end();
    let mut content = runs.content(Arc::clone(&xfs.volume), end)?;
    let size = xfs.superblock.folder_block;
    if list.first().is_none_or(|run| run.logical > 0) {
        return Err(damaged("a folder without its first block"));
    }
    let mut block = vec![0; size as usize];
    let mut dots = [0; 2];
    // Names never leave blocks unmapped but between whole ones; the next block is where a run begins.
    let (mut next, mut total) = (0, 0);
    for run in list {
        let mut at = run.logical.next_multiple_of(size).max(next);
        while at < run.logical + run.length && at < NAMES_END {
            // Extents of a crafted folder can name the same blocks again and again.
            total += size;
            if total > xfs.volume.len() {
                return Err(damaged(format!("folder {} is larger than the volume", folder.id)));
            }
            content.seek(at);
            content.exact(&mut block)?;
            if !names(xfs, folder, &block, &mut dots, each)? {
                return Ok(());
            }
            at += size;
        }
        next = at;
    }
    Ok(())
}

/// A folder in its inode.
fn short(xfs: &Xfs, folder: &Inode, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
    let bytes = folder.fork(&folder.data);
    let wide = if u8_at(bytes, 1)? > 0 { 8 } else { 4 };
    let count = if wide == 8 { u8_at(bytes, 1)?.max(u8_at(bytes, 0)?) } else { u8_at(bytes, 0)? };
    let mut at = 2 + wide;
    for _ in 0..count {
        let length = usize::from(u8_at(bytes, at)?);
        let name = part(bytes, at + 3, length)?;
        at += 3 + length + usize::from(xfs.superblock.has_file_types);
        let id = if wide == 8 { be64(bytes, at)? } else { be32(bytes, at)?.into() };
        at += wide;
        if name.is_empty() || matches!(name, b"." | b"..") {
            return Err(damaged(format!("a name in folder {} that no program can open", folder.id)));
        }
        if !each(Listed { name: name.to_vec(), id }) {
            return Ok(());
        }
    }
    Ok(())
}

/// The names of one block; false if whoever listens has enough.
fn names(
    xfs: &Xfs,
    folder: &Inode,
    block: &[u8],
    dots: &mut [u8; 2],
    each: &mut dyn FnMut(Listed) -> bool,
) -> Result<bool, Error> {
    let is_v5 = xfs.superblock.is_v5;
    let is_single = match (&array::<4>(block, 0)?, is_v5) {
        (b"XDB3", true) | (b"XD2B", false) => true,
        (b"XDD3", true) | (b"XD2D", false) => false,
        _ => return Err(damaged(format!("a block of folder {} is none", folder.id))),
    };
    if is_v5 && be64(block, 40)? != folder.id {
        return Err(damaged(format!("a block of folder {} belongs to another", folder.id)));
    }
    let mut at = if is_v5 { 64 } else { 16 };
    let mut end = block.len();
    if is_single {
        // A folder of one block has its index at the block's end.
        let count = be32(block, block.len() - 8)? as usize;
        let index = count.checked_mul(8).and_then(|index| index.checked_add(8));
        end = index
            .and_then(|index| block.len().checked_sub(index))
            .filter(|end| *end >= at)
            .ok_or_else(|| damaged(format!("the index of folder {} is larger than its block", folder.id)))?;
    }
    while at < end {
        if be16(block, at)? == 0xffff {
            let length = usize::from(be16(block, at + 2)?);
            if length < 8 || !length.is_multiple_of(8) || length > end - at {
                return Err(damaged(format!("a gap of {length} bytes in folder {}", folder.id)));
            }
            at += length;
            continue;
        }
        let (id, length) = (be64(block, at)?, usize::from(u8_at(block, at + 8)?));
        let name = part(&block[..end], at + 9, length)?;
        at += (9 + length + usize::from(xfs.superblock.has_file_types) + 2).next_multiple_of(8);
        if !entry(folder, id, name, dots, each)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn entry(
    folder: &Inode,
    id: Id,
    name: &[u8],
    dots: &mut [u8; 2],
    each: &mut dyn FnMut(Listed) -> bool,
) -> Result<bool, Error> {
    // A second `..` would be a name that no program can open: a place to hide.
    let dot = match name {
        b"." if id == folder.id => Some(0),
        b".." => Some(1),
        _ => None,
    };
    if let Some(n) = dot
        && dots[n] == 0
    {
        dots[n] = 1;
        return Ok(true);
    }
    if name.is_empty() {
        return Err(damaged(format!("an entry of folder {} has no name", folder.id)));
    }
    Ok(each(Listed { name: name.to_vec(), id }))
}
