//! Attributes: which extended attributes does an ext inode have?
//!
//! They stand behind the fields of the inode, in a block of their own, or, if large, in an inode of
//! their own. Names come back as Linux shows them.
//!
//! Source: Linux Documentation/filesystems/ext4/attributes.rst; fs/ext4/xattr.h; fs/ext4/acl.c.

use std::sync::Arc;

use super::super::attributes::Attributes;
use super::super::bytes::{access_list, damaged, index, le16, le32, part, u8_at};
use super::{Error, Ext, Inode, byte, inode, map};

type Attribute = (Vec<u8>, Vec<u8>);

const MAGIC: u32 = 0xea02_0000;

/// Attributes of one inode. A block of 64 KiB holds fewer.
const MOST: usize = 4096;

/// Bytes of one value. Source: Linux `XATTR_SIZE_MAX`.
const LARGEST: u32 = 64 << 10;

/// Prefixes by number; `posix_acl` ones are whole names.
fn prefix(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "user.",
        2 => "system.posix_acl_access",
        3 => "system.posix_acl_default",
        4 => "trusted.",
        6 => "security.",
        7 => "system.",
        8 => "system.richacl",
        10 => "gnu.",
        _ => return None,
    })
}

/// What one entry says.
struct Entry<'a> {
    prefix: u8,
    name: &'a [u8],
    offset: usize,
    inode: u32,
    size: u32,
}

/// All attributes that Linux would list.
pub(super) fn all(ext: &Ext, inode: &Inode) -> Result<Vec<Attribute>, Error> {
    let mut found = Attributes::default();
    if let Some(values) = in_inode(inode)? {
        collect(ext, inode, &entries(values, values)?, values, &mut found)?;
    }
    if inode.attributes != 0 {
        let block = ext.block(inode.attributes)?;
        if le32(&block, 0)? != MAGIC {
            return Err(damaged(format!("the block with attributes of inode {} is none", inode.number)));
        }
        collect(ext, inode, &entries(part(&block, 32, block.len() - 32)?, &block)?, &block, &mut found)?;
    }
    Ok(found.all())
}

/// The attribute that holds what of the content did not fit into the map.
pub(super) fn inline_rest(inode: &Inode) -> Result<Vec<u8>, Error> {
    let Some(values) = in_inode(inode)? else {
        return Ok(Vec::new());
    };
    let entries = entries(values, values)?;
    match entries.iter().find(|entry| entry.prefix == 7 && entry.name == b"data") {
        Some(entry) => Ok(part(values, entry.offset, index(entry.size.into())?)?.to_vec()),
        None => Ok(Vec::new()),
    }
}

/// The area behind the fields, without its magic number; `None` if there is none.
fn in_inode(inode: &Inode) -> Result<Option<&[u8]>, Error> {
    let tail = inode.tail();
    if tail.len() < 8 || le32(tail, 0)? != MAGIC {
        return Ok(None);
    }
    Ok(Some(&tail[4..]))
}

/// The entries of a table. It ends with four zeros or with the place itself.
fn entries<'a>(table: &'a [u8], values: &[u8]) -> Result<Vec<Entry<'a>>, Error> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at + 4 <= table.len() && le32(table, at)? != 0 {
        let length = byte(table, at)?;
        let entry = Entry {
            prefix: u8_at(table, at + 1)?,
            name: part(table, at + 16, length)?,
            offset: le16(table, at + 2)?.into(),
            inode: le32(table, at + 4)?,
            size: le32(table, at + 8)?,
        };
        if entry.inode == 0 && entry.size > 0 {
            part(values, entry.offset, index(entry.size.into())?)?;
        }
        entries.push(entry);
        if entries.len() > MOST {
            return Err(damaged("more attributes than a block can hold"));
        }
        at += (16 + length).next_multiple_of(4);
    }
    Ok(entries)
}

fn collect(
    ext: &Ext,
    inode: &Inode,
    entries: &[Entry<'_>],
    values: &[u8],
    found: &mut Attributes,
) -> Result<(), Error> {
    for entry in entries {
        let is_content = entry.prefix == 7 && entry.name == b"data" && inode.flags & inode::INLINE != 0;
        // 9 is the context of encryption, which Linux does not list either.
        if is_content || entry.prefix == 9 {
            continue;
        }
        let Some(prefix) = prefix(entry.prefix) else {
            return Err(damaged(format!("an attribute of the unknown family {}", entry.prefix)));
        };
        let mut name = prefix.as_bytes().to_vec();
        name.extend_from_slice(entry.name);
        let value = match (entry.inode, entry.size) {
            (0, 0) => Vec::new(),
            (0, size) => part(values, entry.offset, index(size.into())?)?.to_vec(),
            (elsewhere, size) => in_own_inode(ext, elsewhere, size)?,
        };
        let value = if matches!(entry.prefix, 2 | 3) { linux_list(&value)? } else { value };
        found.push(name, value)?;
    }
    Ok(())
}

/// A value that has an inode of its own. Source: feature `ea_inode`.
fn in_own_inode(ext: &Ext, number: u32, size: u32) -> Result<Vec<u8>, Error> {
    const HOLDS_VALUE: u32 = 0x20_0000;
    let inode = ext.inode(number.into())?;
    if inode.flags & HOLDS_VALUE == 0 || size > LARGEST || inode.size != u64::from(size) {
        return Err(damaged(format!("inode {number} holds no attribute of {size} bytes")));
    }
    let content = map::runs(ext, &inode)?.content(Arc::clone(&ext.volume), inode.size)?;
    content.whole(LARGEST.into())
}

/// Ext packs access lists more tightly than Linux hands them out.
fn linux_list(value: &[u8]) -> Result<Vec<u8>, Error> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    if le32(value, 0)? != 1 {
        return Err(damaged("an access list of an unknown version"));
    }
    let mut entries = Vec::new();
    let mut at = 4;
    while at < value.len() {
        let (tag, permissions) = (le16(value, at)?, le16(value, at + 2)?);
        // Only named users (2) and named groups (8) have an id.
        let has_id = matches!(tag, 2 | 8);
        entries.push((tag, permissions, if has_id { le32(value, at + 4)? } else { u32::MAX }));
        at += if has_id { 8 } else { 4 };
    }
    Ok(access_list(&entries))
}
