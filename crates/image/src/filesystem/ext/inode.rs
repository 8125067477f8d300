//! Inode: what does ext record about one file?
//!
//! Source: Linux Documentation/filesystems/ext4/inodes.rst.

use super::super::Node;
use super::super::bytes::{array, damaged, le16, le32, nanoseconds, part};
use super::super::checksum::crc32c;
use super::Error;

pub(super) const FILE: u32 = 0o100_000;
pub(super) const FOLDER: u32 = 0o040_000;
pub(super) const LINK: u32 = 0o120_000;
const TYPE: u32 = 0o170_000;

pub(super) const ENCRYPTED: u32 = 0x800;
pub(super) const EXTENTS: u32 = 0x8_0000;
pub(super) const INLINE: u32 = 0x1000_0000;

/// Inodes without any fields of ext4.
const SMALL: usize = 128;

/// One inode, parsed as far as all files need it.
pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) mode: u32,
    pub(super) flags: u32,
    pub(super) size: u64,
    /// The block with further attributes; zero if there is none.
    pub(super) attributes: u64,
    raw: Vec<u8>,
    /// How many bytes after the first 128 are fields.
    extra: usize,
}

impl Inode {
    /// `raw` holds at least 128 bytes.
    pub(super) fn parse(number: u32, raw: Vec<u8>, has_large_folders: bool) -> Result<Self, Error> {
        let mode = u32::from(le16(&raw, 0)?);
        let extra = if raw.len() > SMALL { usize::from(le16(&raw, 128)?) } else { 0 };
        if SMALL + extra > raw.len() || !extra.is_multiple_of(4) {
            return Err(damaged(format!("inode {number} claims more fields than it has bytes")));
        }
        // In folders of ext2 and ext3 the upper half was once something else.
        let has_upper = mode & TYPE == FILE || has_large_folders;
        let upper = if has_upper { u64::from(le32(&raw, 108)?) << 32 } else { 0 };
        Ok(Self {
            number,
            mode,
            flags: le32(&raw, 32)?,
            size: u64::from(le32(&raw, 4)?) | upper,
            attributes: u64::from(le32(&raw, 104)?) | u64::from(le16(&raw, 118)?) << 32,
            raw,
            extra,
        })
    }

    pub(super) fn is(&self, kind: u32) -> bool {
        self.mode & TYPE == kind
    }

    /// The sixty bytes that hold the map, a short link, or content.
    pub(super) fn map(&self) -> &[u8] {
        self.raw.get(40..100).unwrap_or_default()
    }

    /// What follows the fields: attributes.
    pub(super) fn tail(&self) -> &[u8] {
        if self.raw.len() == SMALL { &[] } else { self.raw.get(SMALL + self.extra..).unwrap_or_default() }
    }

    /// A field of ext4 at `at`, if this inode has it.
    fn extra(&self, at: usize) -> Option<u32> {
        (at + 4 <= SMALL + self.extra).then(|| le32(&self.raw, at).ok()).flatten()
    }

    /// A time whose seconds stand at `at` and whose further bits stand at `more`.
    fn time(&self, at: usize, more: usize) -> Result<(i64, u32), Error> {
        let seconds = i64::from(le32(&self.raw, at)? as i32);
        let more = self.extra(more).unwrap_or(0);
        Ok((seconds + (i64::from(more & 3) << 32), nanoseconds(more >> 2)))
    }

    /// All but the attributes.
    pub(super) fn node(&self) -> Result<Node, Error> {
        let wide =
            |low, high| Ok::<_, Error>(u32::from(le16(&self.raw, low)?) | u32::from(le16(&self.raw, high)?) << 16);
        Ok(Node {
            mode: self.mode,
            uid: wide(2, 120)?,
            gid: wide(24, 122)?,
            size: self.size,
            links: le16(&self.raw, 26)?.into(),
            mtime: self.time(16, 136)?,
            ctime: Some(self.time(12, 132)?),
            birth: if self.extra(144).is_some() { Some(self.time(144, 148)?) } else { None },
            xattrs: Vec::new(),
        })
    }

    /// Checks the sum over the inode, its number and its generation.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if it differs: the kernel refuses such an inode too.
    pub(super) fn verify(&self, seed: u32) -> Result<(), Error> {
        let state = crc32c(seed, &self.number.to_le_bytes());
        let state = crc32c(state, &array::<4>(&self.raw, 100)?);
        let state = crc32c(state, part(&self.raw, 0, 124)?);
        let mut state = crc32c(crc32c(state, &[0; 2]), part(&self.raw, 126, 2)?);
        let mut found = u32::from(le16(&self.raw, 124)?);
        let mut mask = 0xffff;
        if self.raw.len() > SMALL {
            state = crc32c(state, part(&self.raw, 128, 2)?);
            let mut at = 130;
            if self.extra >= 4 {
                state = crc32c(state, &[0; 2]);
                found |= u32::from(le16(&self.raw, 130)?) << 16;
                mask = !0;
                at = 132;
            }
            state = crc32c(state, self.raw.get(at..).unwrap_or_default());
        }
        if state & mask == found || cfg!(fuzzing) {
            return Ok(());
        }
        Err(damaged(format!("the checksum of inode {} does not match", self.number)))
    }
}
