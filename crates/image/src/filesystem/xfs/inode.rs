//! Inode: what does XFS record about one file?
//!
//! Source: XFS Algorithms & Data Structures, "On-disk Inode"; Linux `struct xfs_dinode`.

use super::super::bytes::{array, be16, be32, be64, damaged, nanoseconds, part, u8_at};
use super::super::checksum::crc32c;
use super::super::{Id, Node};
use super::{Error, Superblock};

pub(super) const FILE: u32 = 0o100_000;
pub(super) const FOLDER: u32 = 0o040_000;
pub(super) const LINK: u32 = 0o120_000;
const TYPE: u32 = 0o170_000;

const REAL_TIME: u16 = 0x1;
const WIDE_TIMES: u64 = 0x8;
const WIDE_COUNTS: u64 = 0x10;

/// Bytes of the fields, by version.
const FIELDS_2: usize = 100;
const FIELDS_3: usize = 176;

/// Where the bytes of a fork are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// None: a device, or no fork at all.
    Nothing,
    /// In the inode.
    Local,
    /// A list of extents in the inode.
    Extents,
    /// A tree of extents.
    Tree,
}

/// Content or attributes.
pub(super) struct Fork {
    pub(super) format: Format,
    pub(super) extents: u64,
    start: usize,
    end: usize,
}

/// One inode, checked.
pub(super) struct Inode {
    pub(super) id: Id,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) is_real_time: bool,
    pub(super) data: Fork,
    pub(super) attributes: Fork,
    raw: Vec<u8>,
    version: u8,
    flags2: u64,
}

impl Inode {
    pub(super) fn parse(id: Id, raw: Vec<u8>, superblock: &Superblock) -> Result<Self, Error> {
        if raw.get(..2) != Some(b"IN") {
            return Err(damaged(format!("there is no inode {id}")));
        }
        let version = u8_at(&raw, 4)?;
        let is_sound = if superblock.is_v5 { version == 3 } else { matches!(version, 1 | 2) };
        if !is_sound {
            return Err(damaged(format!("inode {id} has version {version}")));
        }
        if version == 3 {
            let sum = crc32c(crc32c(crc32c(!0, part(&raw, 0, 100)?), &[0; 4]), part(&raw, 104, raw.len() - 104)?);
            if array::<4>(&raw, 100)? != (!sum).to_le_bytes() && !cfg!(fuzzing) {
                return Err(damaged(format!("the checksum of inode {id} does not match")));
            }
            if be64(&raw, 152)? != id {
                return Err(damaged(format!("where inode {id} should be is another one")));
            }
        }
        let mode = be16(&raw, 2)?.into();
        if mode == 0 {
            return Err(damaged(format!("inode {id} is free, and something still names it")));
        }
        let flags2 = if version == 3 { be64(&raw, 120)? } else { 0 };
        let has_wide_counts = flags2 & WIDE_COUNTS != 0;
        let counts = if has_wide_counts {
            (be64(&raw, 24)?, be32(&raw, 76)?.into())
        } else {
            (be32(&raw, 76)?.into(), be16(&raw, 80)?.into())
        };
        let size = be64(&raw, 56)?;
        if size > i64::MAX as u64 {
            return Err(damaged(format!("inode {id} claims {size} bytes")));
        }
        let start = if version == 3 { FIELDS_3 } else { FIELDS_2 };
        // In units of eight bytes; zero if there is no fork for attributes.
        let split = match usize::from(u8_at(&raw, 82)?) {
            0 => raw.len(),
            split => start + split * 8,
        };
        if split > raw.len() {
            return Err(damaged(format!("the forks of inode {id} leave it")));
        }
        let has_attributes = split < raw.len();
        let kind = u8_at(&raw, 5)?;
        Ok(Self {
            id,
            mode,
            size,
            is_real_time: be16(&raw, 90)? & REAL_TIME != 0,
            data: Fork { format: format(kind)?, extents: counts.0, start, end: split },
            attributes: Fork {
                format: if has_attributes { format(u8_at(&raw, 83)?)? } else { Format::Nothing },
                extents: counts.1,
                start: split,
                end: raw.len(),
            },
            raw,
            version,
            flags2,
        })
    }

    pub(super) fn is(&self, kind: u32) -> bool {
        self.mode & TYPE == kind
    }

    /// The bytes of a fork in the inode.
    pub(super) fn fork(&self, fork: &Fork) -> &[u8] {
        self.raw.get(fork.start..fork.end).unwrap_or_default()
    }

    fn time(&self, at: usize) -> Result<(i64, u32), Error> {
        if self.flags2 & WIDE_TIMES == 0 {
            return Ok((i64::from(be32(&self.raw, at)? as i32), nanoseconds(be32(&self.raw, at + 4)?)));
        }
        // Nanoseconds since 1901. Source: `XFS_BIGTIME_EPOCH_OFFSET`.
        let since = be64(&self.raw, at)?;
        Ok(((since / 1_000_000_000) as i64 - (1 << 31), (since % 1_000_000_000) as u32))
    }

    /// All but the attributes.
    pub(super) fn node(&self) -> Result<Node, Error> {
        Ok(Node {
            mode: self.mode,
            uid: be32(&self.raw, 8)?,
            gid: be32(&self.raw, 12)?,
            size: self.size,
            links: if self.version == 1 { be16(&self.raw, 6)?.into() } else { be32(&self.raw, 16)?.into() },
            mtime: self.time(40)?,
            ctime: Some(self.time(48)?),
            birth: if self.version == 3 { Some(self.time(144)?) } else { None },
            xattrs: Vec::new(),
        })
    }
}

fn format(kind: u8) -> Result<Format, Error> {
    match kind {
        0 => Ok(Format::Nothing),
        1 => Ok(Format::Local),
        2 => Ok(Format::Extents),
        3 => Ok(Format::Tree),
        _ => Err(damaged(format!("a fork of the unknown form {kind}"))),
    }
}
