//! Inode: what does squashfs record about one file?
//!
//! Fourteen forms: seven kinds of files, each short or long.
//!
//! Source: Linux fs/squashfs/squashfs_fs.h, `union squashfs_inode`.

use super::super::Id;
use super::super::bytes::{damaged, le16, le32, le64};
use super::{Cursor, Error, Squashfs};

/// Bytes of a link's target. The kernel takes less than a page.
const LONGEST_TARGET: u32 = 64 << 10;

/// No attributes, or no fragment.
const NONE: u32 = u32::MAX;

/// What only one kind of file has.
pub(super) enum Kind<'a> {
    Folder {
        block: u32,
        offset: u16,
    },
    File {
        start: u64,
        /// The number of a fragment and the place in it.
        fragment: Option<(u32, u32)>,
        /// Stands at the list of the sizes of blocks.
        sizes: Cursor<'a>,
    },
    Link {
        target: Vec<u8>,
    },
    Other,
}

/// One inode.
pub(super) struct Inode<'a> {
    pub(super) mode: u32,
    /// Places in the table of ids.
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) mtime: u32,
    pub(super) links: u32,
    pub(super) size: u64,
    /// The place in the table of attributes.
    pub(super) attributes: Option<u32>,
    pub(super) kind: Kind<'a>,
}

impl<'a> Inode<'a> {
    /// Reads the inode at a place in the table.
    pub(super) fn read(fs: &'a Squashfs, id: Id) -> Result<Self, Error> {
        let mut cursor = fs.cursor(fs.inodes, id >> 16, (id & 0xffff) as usize)?;
        let head: [u8; 16] = cursor.array()?;
        let form = le16(&head, 0)?;
        let types = [0o040_000, 0o100_000, 0o120_000, 0o060_000, 0o020_000, 0o010_000, 0o140_000];
        let kind = match form {
            1..=7 => form - 1,
            8..=14 => form - 8,
            _ => return Err(damaged(format!("an inode of the unknown form {form}"))),
        };
        let mut inode = Self {
            mode: types[usize::from(kind)] | u32::from(le16(&head, 2)? & 0o7777),
            uid: le16(&head, 4)?,
            gid: le16(&head, 6)?,
            mtime: le32(&head, 8)?,
            links: 1,
            size: 0,
            attributes: None,
            kind: Kind::Other,
        };
        inode.rest(form, cursor)?;
        inode.attributes = inode.attributes.filter(|place| *place != NONE);
        Ok(inode)
    }

    /// What follows the part that all forms have.
    fn rest(&mut self, form: u16, mut cursor: Cursor<'a>) -> Result<(), Error> {
        match form {
            1 => {
                let body: [u8; 16] = cursor.array()?;
                self.links = le32(&body, 4)?;
                self.size = le16(&body, 8)?.into();
                self.kind = Kind::Folder { block: le32(&body, 0)?, offset: le16(&body, 10)? };
            }
            8 => {
                let body: [u8; 24] = cursor.array()?;
                self.links = le32(&body, 0)?;
                self.size = le32(&body, 4)?.into();
                self.attributes = Some(le32(&body, 20)?);
                self.kind = Kind::Folder { block: le32(&body, 8)?, offset: le16(&body, 18)? };
            }
            2 => {
                let body: [u8; 16] = cursor.array()?;
                self.size = le32(&body, 12)?.into();
                let fragment = fragment(le32(&body, 4)?, le32(&body, 8)?);
                self.kind = Kind::File { start: le32(&body, 0)?.into(), fragment, sizes: cursor };
            }
            9 => {
                let body: [u8; 40] = cursor.array()?;
                self.size = le64(&body, 8)?;
                self.links = le32(&body, 24)?;
                self.attributes = Some(le32(&body, 36)?);
                let fragment = fragment(le32(&body, 28)?, le32(&body, 32)?);
                self.kind = Kind::File { start: le64(&body, 0)?, fragment, sizes: cursor };
            }
            3 | 10 => {
                self.links = cursor.u32()?;
                let size = cursor.u32()?;
                if size > LONGEST_TARGET {
                    return Err(damaged(format!("a link of {size} bytes")));
                }
                self.size = size.into();
                self.kind = Kind::Link { target: cursor.bytes(size as usize)? };
                if form == 10 {
                    self.attributes = Some(cursor.u32()?);
                }
            }
            // Devices have a number, pipes and sockets have none.
            _ => {
                self.links = cursor.u32()?;
                if matches!(form, 4 | 5 | 11 | 12) {
                    cursor.u32()?;
                }
                if form >= 11 {
                    self.attributes = Some(cursor.u32()?);
                }
            }
        }
        Ok(())
    }
}

fn fragment(number: u32, offset: u32) -> Option<(u32, u32)> {
    (number != NONE).then_some((number, offset))
}
