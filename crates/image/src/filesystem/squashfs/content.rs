//! Content: what are the bytes of a file in squashfs?
//!
//! Blocks lie one behind the other; a size of zero is a block of zeros. The last bytes may lie in a
//! fragment that many files share. One block is in memory at a time.

use std::sync::Arc;

use super::super::bytes::{damaged, index, not_read, plus};
use super::{Content, Cursor, Error, Inode, Kind, Squashfs};

/// Bytes of a file. A list of empty blocks packs so well that a megabyte can stand for terabytes.
const LARGEST: u64 = 2 << 40;

/// The blocks of one file.
pub(super) struct Blocks<'a> {
    fs: &'a Squashfs,
    sizes: Cursor<'a>,
    /// Where the next block lies.
    next: u64,
    fragment: Option<(u32, u32)>,
    /// Bytes that are not unpacked yet.
    rest: u64,
    block: Arc<Vec<u8>>,
    /// What of `block` is still to be handed out.
    from: usize,
    until: usize,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(inode: Inode<'a>, fs: &'a Squashfs) -> Result<Self, Error> {
        let Kind::File { start, fragment, sizes } = inode.kind else { return Err(damaged("not a regular file")) };
        if inode.size > fs.volume.len().saturating_add(LARGEST) {
            return Err(not_read(format!("a file of {} bytes, nearly all of them holes", inode.size)));
        }
        Ok(Self { fs, sizes, next: start, fragment, rest: inode.size, block: Arc::default(), from: 0, until: 0 })
    }

    /// Unpacks the next block.
    fn advance(&mut self) -> Result<(), Error> {
        let wanted = self.rest.min(self.fs.block.into());
        if let Some((number, offset)) = self.fragment
            && wanted < self.fs.block.into()
        {
            self.block = self.fs.fragment(number)?;
            self.from = offset as usize;
            self.until = index(u64::from(offset) + wanted)?;
            if self.until > self.block.len() {
                return Err(damaged("the end of a file lies outside its fragment"));
            }
        } else {
            let size = self.sizes.u32()?;
            let block =
                if size == 0 { vec![0; wanted as usize] } else { self.fs.stored(self.next, size, wanted as usize)? };
            if block.len() as u64 != wanted {
                return Err(damaged(format!("a block of {} bytes where {wanted} should be", block.len())));
            }
            self.next = plus(self.next, (size & 0x00ff_ffff).into())?;
            (self.block, self.from, self.until) = (Arc::new(block), 0, wanted as usize);
        }
        self.rest -= wanted;
        Ok(())
    }
}

impl Content for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < buffer.len() {
            if self.from == self.until {
                if self.rest == 0 {
                    break;
                }
                // What was read so far is handed out before an error is met.
                if done > 0 && buffer.len() - done < self.fs.block as usize {
                    break;
                }
                self.advance()?;
            }
            let count = (self.until - self.from).min(buffer.len() - done);
            buffer[done..done + count].copy_from_slice(&self.block[self.from..self.from + count]);
            (done, self.from) = (done + count, self.from + count);
        }
        Ok(done)
    }
}
