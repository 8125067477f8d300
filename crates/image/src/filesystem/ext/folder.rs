//! Folder: which names are in a folder of an ext volume?
//!
//! Hashed folders are read like linear ones: their index hides in entries that name no inode.
//!
//! Source: Linux Documentation/filesystems/ext4/directory.rst and inlinedata.rst.

use super::super::Id;
use super::super::bytes::{damaged, le16, le32, not_read, part};
use super::{Error, Ext, Inode, Listed, byte, inode, map};
use std::sync::Arc;

/// Bytes of a folder: without the feature for larger ones, ext4 ends at 2 GiB.
const LARGEST: u64 = 4 << 30;

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;

pub(super) fn list(ext: &Ext, folder: &Inode, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
    if !folder.is(inode::FOLDER) {
        return Err(damaged("not a folder"));
    }
    if folder.flags & inode::ENCRYPTED != 0 {
        return Err(not_read("an encrypted folder (fscrypt): its names are cipher text"));
    }
    let mut reader = Reader { folder: folder.number, inodes: ext.superblock.inodes, dots: [0; 2], each };
    if folder.flags & inode::INLINE != 0 {
        let bytes = ext.inline(folder)?;
        // The first four bytes are the parent. The rest of the map and the attribute are one block each.
        let (map, more) = bytes.split_at(bytes.len().min(60));
        let _ = reader.block(map.get(4..).unwrap_or_default())? && reader.block(more)?;
        return Ok(());
    }
    let block = ext.superblock.block;
    if folder.size > LARGEST.min(ext.volume.len()) || !folder.size.is_multiple_of(block) {
        return Err(damaged(format!("a folder of {} bytes", folder.size)));
    }
    let runs = map::runs(ext, folder)?;
    if runs.all().first().is_none_or(|first| first.logical > 0) && folder.size > 0 {
        return Err(damaged("a folder without its first block"));
    }
    // Holes are not read: a folder may be one long hole, and a zero record would be damage.
    let list = runs.all().to_vec();
    let mut content = runs.content(Arc::clone(&ext.volume), folder.size)?;
    let mut buffer = vec![0; CHUNK as usize];
    for run in list {
        let end = (run.logical + run.length).min(folder.size);
        let mut at = run.logical;
        content.seek(at);
        while at < end {
            let chunk = &mut buffer[..CHUNK.min(end - at) as usize];
            content.exact(chunk)?;
            at += chunk.len() as u64;
            for block in chunk.chunks(block as usize) {
                if !reader.block(block)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

struct Reader<'a> {
    folder: u32,
    inodes: u32,
    /// How often `.` and `..` were seen.
    dots: [u8; 2],
    each: &'a mut dyn FnMut(Listed) -> bool,
}

impl Reader<'_> {
    /// Reads the entries of one block; false if whoever listens has enough.
    fn block(&mut self, block: &[u8]) -> Result<bool, Error> {
        let mut at = 0;
        while at < block.len() {
            let stated = le16(block, at + 4)?;
            // Blocks of 64 KiB: lengths do not fit. Source: Linux `ext4_rec_len_from_disk`.
            let length = match stated {
                0 | 65535 if block.len() >= 65536 => block.len(),
                _ if block.len() >= 65536 => usize::from(stated & 65532) | usize::from(stated & 3) << 16,
                _ => usize::from(stated),
            };
            let (inode, name) = (le32(block, at)?, byte(block, at + 6)?);
            if length < 8 || length < 8 + name || !length.is_multiple_of(4) || length > block.len() - at {
                return Err(damaged(format!("an entry of {length} bytes in folder {}", self.folder)));
            }
            if inode != 0 && !self.entry(inode, part(block, at + 8, name)?)? {
                return Ok(false);
            }
            at += length;
        }
        Ok(true)
    }

    fn entry(&mut self, inode: u32, name: &[u8]) -> Result<bool, Error> {
        // A second `..` would be a name that no program can open: a place to hide.
        let dots = match name {
            b"." if inode == self.folder => Some(0),
            b".." => Some(1),
            _ => None,
        };
        if let Some(n) = dots
            && self.dots[n] == 0
        {
            self.dots[n] = 1;
            return Ok(true);
        }
        if inode > self.inodes || name.is_empty() {
            return Err(damaged(format!("an entry of folder {} names inode {inode}", self.folder)));
        }
        Ok((self.each)(Listed { name: name.to_vec(), id: Id::from(inode) }))
    }
}
