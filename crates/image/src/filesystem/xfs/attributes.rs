//! Attributes: which extended attributes does an XFS inode have?
//!
//! Small ones stand in the inode; more stand in leaves, large values in blocks of their own. Names
//! come back as Linux shows them.
//!
//! Source: XFS Algorithms & Data Structures, "Extended Attributes"; Linux fs/xfs/libxfs/xfs_da_format.h,
//! fs/xfs/xfs_xattr.c.

use std::collections::HashSet;

use super::super::attributes::Attributes;
use super::super::bytes::{access_list, be16, be32, be64, damaged, part, u8_at};
use super::super::runs::InRuns;
use super::inode::Format;
use super::{Error, Inode, Xfs};

type Attribute = (Vec<u8>, Vec<u8>);

/// Bytes of all attributes of one inode. A hundred megabytes can be crafted for every inode.
const LARGEST: u64 = 64 << 20;

/// Bytes of one value. Source: Linux `XATTR_SIZE_MAX`.
const LARGEST_VALUE: usize = 64 << 10;

const LOCAL: u8 = 0x1;
const ROOT: u8 = 0x2;
const SECURE: u8 = 0x4;
const PARENT: u8 = 0x8;
const INCOMPLETE: u8 = 0x80;

/// All attributes that Linux would list.
pub(super) fn all(xfs: &Xfs, inode: &Inode) -> Result<Vec<Attribute>, Error> {
    let mut found = Attributes::default();
    match inode.attributes.format {
        Format::Nothing => {}
        Format::Local => short(inode.fork(&inode.attributes), &mut found)?,
        Format::Extents if inode.attributes.extents == 0 => {}
        _ => leaves(xfs, inode, &mut found)?,
    }
    Ok(found.all())
}

fn add(found: &mut Attributes, flags: u8, name: &[u8], value: &[u8]) -> Result<(), Error> {
    // Links to parents are no attributes, and unfinished ones were never set.
    if flags & (PARENT | INCOMPLETE) != 0 {
        return Ok(());
    }
    let prefix: &[u8] = match flags & (ROOT | SECURE) {
        ROOT => b"trusted.",
        SECURE => b"security.",
        0 => b"user.",
        _ => return Err(damaged("an attribute of two families")),
    };
    if flags & ROOT != 0 {
        let list = match name {
            b"SGI_ACL_FILE" => Some("system.posix_acl_access"),
            b"SGI_ACL_DEFAULT" => Some("system.posix_acl_default"),
            _ => None,
        };
        if let Some(list) = list {
            found.push(list.into(), linux_list(value)?)?;
        }
    }
    found.push([prefix, name].concat(), value.to_vec())
}

/// XFS keeps access lists in a form of its own. Source: Linux fs/xfs/xfs_acl.c.
fn linux_list(value: &[u8]) -> Result<Vec<u8>, Error> {
    let count = be32(value, 0)? as usize;
    let entries = part(value, 4, count.saturating_mul(12))?.as_chunks::<12>().0.iter().map(|entry| {
        let tag = be32(entry, 0)? as u16;
        let id = if matches!(tag, 2 | 8) { be32(entry, 4)? } else { u32::MAX };
        Ok((tag, be16(entry, 8)?, id))
    });
    Ok(access_list(&entries.collect::<Result<Vec<_>, Error>>()?))
}

fn short(bytes: &[u8], found: &mut Attributes) -> Result<(), Error> {
    let mut at = 4;
    for _ in 0..u8_at(bytes, 2)? {
        let (name, value) = (usize::from(u8_at(bytes, at)?), usize::from(u8_at(bytes, at + 1)?));
        let flags = u8_at(bytes, at + 2)?;
        add(found, flags, part(bytes, at + 3, name)?, part(bytes, at + 3 + name, value)?)?;
        at += 3 + name + value;
    }
    Ok(())
}

/// Goes down to the first leaf and from leaf to leaf.
fn leaves(xfs: &Xfs, inode: &Inode, found: &mut Attributes) -> Result<(), Error> {
    let runs = super::map::runs(xfs, inode, &inode.attributes)?;
    let end = runs.end();
    if end > LARGEST {
        return Err(damaged(format!("{end} bytes of attributes")));
    }
    let mut fork = Fork { xfs, inode, content: runs.content(std::sync::Arc::clone(&xfs.volume), end)? };
    let mut number = 0;
    let mut level = None;
    loop {
        let block = fork.block(number)?;
        if block.is_leaf {
            break;
        }
        let at = if xfs.superblock.is_v5 { 56 } else { 12 };
        let here = be16(&block.bytes, at + 2)?;
        if here == 0 || level.is_some_and(|above| here >= above) {
            return Err(damaged("a node of a tree of attributes is none"));
        }
        level = Some(here);
        number = be32(&block.bytes, if xfs.superblock.is_v5 { 64 } else { 16 } + 4)?;
    }
    let mut seen = HashSet::new();
    loop {
        if !seen.insert(number) {
            return Err(damaged("leaves of attributes go round in a circle"));
        }
        let block = fork.block(number)?;
        if !block.is_leaf {
            return Err(damaged("a leaf of attributes is none"));
        }
        leaf(&mut fork, &block.bytes, found)?;
        number = be32(&block.bytes, 0)?;
        if number == 0 {
            return Ok(());
        }
    }
}

struct Fork<'a> {
    xfs: &'a Xfs,
    inode: &'a Inode,
    content: InRuns,
}

struct Block {
    bytes: Vec<u8>,
    is_leaf: bool,
}

impl Fork<'_> {
    fn raw(&mut self, number: u32) -> Result<Vec<u8>, Error> {
        let block = self.xfs.superblock.block;
        let mut bytes = vec![0; block as usize];
        self.content.seek(u64::from(number) * block);
        self.content.exact(&mut bytes)?;
        Ok(bytes)
    }

    fn block(&mut self, number: u32) -> Result<Block, Error> {
        let bytes = self.raw(number)?;
        let is_v5 = self.xfs.superblock.is_v5;
        let is_leaf = match (be16(&bytes, 8)?, is_v5) {
            (0x3bee, true) | (0xfbee, false) => true,
            (0x3ebe, true) | (0xfebe, false) => false,
            _ => return Err(damaged(format!("a block of attributes of inode {} is none", self.inode.id))),
        };
        if is_v5 && be64(&bytes, 48)? != self.inode.id {
            return Err(damaged(format!("a block of attributes of inode {} belongs to another", self.inode.id)));
        }
        Ok(Block { bytes, is_leaf })
    }

    /// A value in blocks of its own.
    fn remote(&mut self, first: u32, size: usize) -> Result<Vec<u8>, Error> {
        if size > LARGEST_VALUE {
            return Err(damaged(format!("an attribute of {size} bytes")));
        }
        let header = if self.xfs.superblock.is_v5 { 56 } else { 0 };
        let mut value = Vec::with_capacity(size);
        let mut number = first;
        while value.len() < size {
            let block = self.raw(number)?;
            if header > 0 && (block.get(..4) != Some(b"XARM") || be64(&block, 32)? != self.inode.id) {
                return Err(damaged("a block of an attribute is none"));
            }
            let count = (size - value.len()).min(block.len() - header);
            value.extend(part(&block, header, count)?);
            number = number.checked_add(1).ok_or_else(|| damaged("an attribute beyond all blocks"))?;
        }
        Ok(value)
    }
}

fn leaf(fork: &mut Fork<'_>, block: &[u8], found: &mut Attributes) -> Result<(), Error> {
    let (count, entries) = if fork.xfs.superblock.is_v5 { (56, 80) } else { (12, 32) };
    for n in 0..usize::from(be16(block, count)?) {
        let entry = entries + n * 8;
        let (at, flags) = (usize::from(be16(block, entry + 4)?), u8_at(block, entry + 6)?);
        if flags & INCOMPLETE != 0 {
            continue;
        }
        if flags & LOCAL != 0 {
            let (size, length) = (usize::from(be16(block, at)?), usize::from(u8_at(block, at + 2)?));
            add(found, flags, part(block, at + 3, length)?, part(block, at + 3 + length, size)?)?;
        } else {
            let (first, size) = (be32(block, at)?, be32(block, at + 4)? as usize);
            let name = part(block, at + 9, u8_at(block, at + 8)?.into())?;
            let value = fork.remote(first, size)?;
            add(found, flags, name, &value)?;
        }
    }
    Ok(())
}
