//! Attributes: which extended attributes does a squashfs inode have?
//!
//! Source: Linux fs/squashfs/xattr.c, xattr_id.c.

use super::super::attributes::Attributes;
use super::super::bytes::{damaged, le16, le32, le64, plus};
use super::{Error, Squashfs, Table};

type Attribute = (Vec<u8>, Vec<u8>);

/// Attributes of one inode, and bytes of one value. Source: Linux `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`.
const MOST: u32 = 4096;
const LARGEST: u32 = 64 << 10;

/// The attributes at a place in their table.
pub(super) fn all(fs: &Squashfs, place: Option<u32>) -> Result<Vec<Attribute>, Error> {
    let mut found = Attributes::default();
    let Some(place) = place else { return Ok(Vec::new()) };
    let mut head = [0; 16];
    fs.volume.read_at(fs.attributes, &mut head)?;
    let values = le64(&head, 0)?;
    let table = Table { list: plus(fs.attributes, 16)?, entries: le32(&head, 8)?, size: 16 };
    let entry: [u8; 16] = fs.entry(&table, place)?.array()?;
    let (start, count) = (le64(&entry, 0)?, le32(&entry, 8)?);
    if count > MOST {
        return Err(damaged(format!("{count} attributes of one inode")));
    }
    let mut cursor = fs.cursor(values, start >> 16, (start & 0xffff) as usize)?;
    for _ in 0..count {
        let head: [u8; 4] = cursor.array()?;
        let (kind, length) = (le16(&head, 0)?, le16(&head, 2)?);
        let prefix: &[u8] = match kind & 0xff {
            0 => b"user.",
            1 => b"trusted.",
            2 => b"security.",
            other => return Err(damaged(format!("an attribute of the unknown family {other}"))),
        };
        let name = [prefix, &cursor.bytes(length.into())?].concat();
        let size = cursor.u32()?;
        let value = if kind & 0x100 != 0 {
            // The value is that of another attribute, and here is its place.
            let place = u64::from_le_bytes(cursor.array()?);
            let mut there = fs.cursor(values, place >> 16, (place & 0xffff) as usize)?;
            let size = there.u32()?;
            there.bytes(checked(size)?)?
        } else {
            cursor.bytes(checked(size)?)?
        };
        found.push(name, value)?;
    }
    Ok(found.all())
}

fn checked(size: u32) -> Result<usize, Error> {
    if size > LARGEST { Err(damaged(format!("an attribute of {size} bytes"))) } else { Ok(size as usize) }
}
