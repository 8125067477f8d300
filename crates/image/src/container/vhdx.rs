//! Vhdx: where in the file does each block of a Hyper-V disk lie?
//!
//! Fixed and dynamic disks; a log that waits to be replayed is laid over the file in memory.
//! Differencing disks are refused with the name of their parent. Checksums are verified.
//! Source: Microsoft, \[MS-VHDX\] 2.

use std::io;
use std::sync::Arc;

use super::cache::Cache;
use super::unpack::damaged;
use super::{Error, vhdx_log};
use crate::ReadAt;
use crate::field::{CASTAGNOLI, guid, is_sum, le16, le32, le64, read, whole_crc32};
use crate::joined::clip;
use crate::read_at::within;

pub(super) const MAGIC: &[u8] = b"vhdxfile";

const MIB: u64 = 1 << 20;
/// \[MS-VHDX\] 2.2: two headers, each in 4 KiB.
const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
/// \[MS-VHDX\] 2.2: two region tables of 64 KiB.
const REGIONS: [u64; 2] = [192 << 10, 256 << 10];
/// Bytes of the largest disk that the format allows.
const MAX_DISK: u64 = 64 << 40;
/// Entries of the block table read at once: 4 KiB.
const PAGE: u64 = 512;
/// Bytes of the block table kept.
const TABLE_CACHE: usize = 4 << 20;

const BAT: &str = "2dc27766-f623-4200-9d64-115e9bfd4a08";
const METADATA: &str = "8b7ca206-4790-4b9a-b8fe-575f050f886e";
const PARAMETERS: &str = "caa16737-fa36-4d43-b3b6-33f0aa44e76b";
const DISK_SIZE: &str = "2fa54224-cd1b-4876-b211-5dbed83bf4b8";
const SECTOR_SIZE: &str = "8141bf1d-a96f-4709-ba47-f233a8faab5f";
const PARENT: &str = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c";
/// Items that are known and say nothing about where bytes lie: the disk's identifier, the physical
/// size of its sectors.
const HARMLESS: [&str; 2] = ["beca12ab-b2e6-4523-93ef-c309e000c746", "cda348c7-445d-4471-9cc9-e9885251c556"];

struct Vhdx {
    file: Arc<dyn ReadAt>,
    len: u64,
    block: u64,
    /// Blocks between two bitmaps in the block table.
    ratio: u64,
    bat: u64,
    pages: Cache<Vec<u8>>,
}

pub(super) fn refused(why: impl Into<String>) -> Error {
    Error::Refused { format: "vhdx", why: why.into() }
}

/// Whether a structure's checksum, at byte 4, holds.
pub(super) fn is_sound(structure: &[u8]) -> bool {
    let mut bare = structure.to_vec();
    bare.get_mut(4..8).is_some_and(|sum| {
        sum.fill(0);
        true
    }) && is_sum(&whole_crc32(CASTAGNOLI, &bare), &le32(structure, 4))
}

/// Opens a disk whose first bytes are [`MAGIC`].
pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Arc<dyn ReadAt>, Error> {
    // The header with the higher number counts; the other one is what it was before.
    let headers = HEADERS.iter().filter_map(|at| read(&*file, *at, 4096).ok());
    let headers = headers.filter(|header| header.starts_with(b"head") && is_sound(header));
    let header = headers.max_by_key(|header| le64(header, 8)).ok_or_else(|| refused("both headers are damaged"))?;
    if le16(&header, 66) != 1 {
        return Err(refused("its version is not read"));
    }
    let file = vhdx_log::replayed(file, &header)?;
    let [bat, metadata] = regions(&*file)?;
    let disk = metadata_of(&*file, metadata)?;
    let ratio = (u64::from(disk.sector) << 23) / disk.block;
    let blocks = disk.len.div_ceil(disk.block);
    let entries = blocks + blocks.saturating_sub(1) / ratio;
    if entries.checked_mul(8).is_none_or(|needed| needed > bat.1) {
        return Err(refused("its block table is shorter than the disk"));
    }
    Ok(Arc::new(Vhdx {
        file,
        len: disk.len,
        block: disk.block,
        ratio,
        bat: bat.0,
        pages: Cache::new(TABLE_CACHE, 4096),
    }))
}

/// Offset and length in bytes of the block table and of the metadata.
fn regions(file: &dyn ReadAt) -> Result<[(u64, u64); 2], Error> {
    let tables = REGIONS.iter().filter_map(|at| read(file, *at, 64 << 10).ok());
    let table = tables.into_iter().find(|table| table.starts_with(b"regi") && is_sound(table));
    let table = table.ok_or_else(|| refused("both region tables are damaged"))?;
    let (mut bat, mut metadata) = (None, None);
    for entry in table[16..].chunks_exact(32).take(le32(&table, 8) as usize) {
        let range = (le64(entry, 16), u64::from(le32(entry, 24)));
        if range.0.checked_add(range.1).is_none_or(|end| end > file.len()) || range.0 < MIB {
            return Err(refused("a region lies outside the file"));
        }
        match guid(entry, 0).as_str() {
            BAT => bat = Some(range),
            METADATA => metadata = Some(range),
            other if le32(entry, 28) & 1 != 0 => return Err(refused(format!("a region {other} is not known"))),
            _ => {}
        }
    }
    match (bat, metadata) {
        (Some(bat), Some(metadata)) => Ok([bat, metadata]),
        _ => Err(refused("it has no block table or no metadata")),
    }
}

struct Disk {
    len: u64,
    block: u64,
    sector: u32,
}

fn metadata_of(file: &dyn ReadAt, (at, len): (u64, u64)) -> Result<Disk, Error> {
    let damaged = || refused("its metadata are damaged");
    let table = read(file, at, 64 << 10).map_err(|_| damaged())?;
    if !table.starts_with(b"metadata") {
        return Err(damaged());
    }
    let (mut size, mut parameters, mut sector, mut parent) = (None, None, None, None);
    for entry in table[32..].chunks_exact(32).take(usize::from(le16(&table, 10))) {
        let (offset, count) = (u64::from(le32(entry, 16)), u64::from(le32(entry, 20)));
        let value = |wanted: u64| {
            let is_inside = count >= wanted && offset.checked_add(count).is_some_and(|end| end <= len);
            let count = usize::try_from(count.min(4096)).unwrap_or_default();
            is_inside.then(|| read(file, at + offset, count).ok()).flatten().ok_or_else(damaged)
        };
        match guid(entry, 0).as_str() {
            DISK_SIZE => size = Some(le64(&value(8)?, 0)),
            PARAMETERS => parameters = Some(value(8)?),
            SECTOR_SIZE => sector = Some(le32(&value(4)?, 0)),
            PARENT => parent = Some(parent_name(&value(20)?)),
            // Bit 2 of the flags: who does not know it must not open the disk.
            other if le32(entry, 24) & 4 != 0 && !HARMLESS.contains(&other) => {
                return Err(refused(format!("metadata {other} are not known")));
            }
            _ => {}
        }
    }
    let (Some(len), Some(parameters), Some(sector)) = (size, parameters, sector) else {
        return Err(damaged());
    };
    if le32(&parameters, 4) & 2 != 0 {
        let parent = parent.unwrap_or_default();
        return Err(refused(format!(
            "it holds only what differs from {parent:?}; such a disk is not read, merge it into its parent first"
        )));
    }
    let block = u64::from(le32(&parameters, 0));
    let is_allowed = block.is_power_of_two() && (MIB..=256 * MIB).contains(&block) && [512, 4096].contains(&sector);
    if !is_allowed || len > MAX_DISK {
        return Err(refused("its sizes are not allowed"));
    }
    Ok(Disk { len, block, sector })
}

/// The path that a parent locator gives, if it can be read from its first 4 KiB.
fn parent_name(locator: &[u8]) -> String {
    let text = |at: u32, count: u16| {
        let bytes = locator.get(at as usize..(at as usize).saturating_add(usize::from(count)))?;
        let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| le16(unit, 0)).collect();
        Some(String::from_utf16_lossy(&units))
    };
    let entries = locator.get(20..).unwrap_or_default().chunks_exact(12).take(usize::from(le16(locator, 18)));
    let mut pairs = entries.filter_map(|entry| {
        let key = text(le32(entry, 0), le16(entry, 8))?;
        key.ends_with("_path").then(|| text(le32(entry, 4), le16(entry, 10))).flatten()
    });
    pairs.next().unwrap_or_default()
}

impl Vhdx {
    /// Where block `n` lies in the file; `None` for zeros.
    fn place(&self, n: u64) -> io::Result<Option<u64>> {
        let entry = n + n / self.ratio;
        let page = self.pages.get(entry / PAGE, || {
            let at = self.bat + entry / PAGE * PAGE * 8;
            read(&*self.file, at, clip(self.file.len().saturating_sub(at), 4096)).map(Arc::new)
        })?;
        let at = usize::try_from(entry % PAGE).unwrap_or_default() * 8;
        let entry = page.get(at..at + 8).map(|entry| le64(entry, 0)).ok_or_else(|| damaged("the block table ends"))?;
        match entry & 7 {
            // Not present, undefined, zero, unmapped: nothing is stored.
            0..=3 => Ok(None),
            6 => match entry >> 20 {
                0 => Err(damaged("a block lies on the header")),
                megabytes => Ok(Some(megabytes << 20)),
            },
            _ => Err(damaged("a block is in a state that this disk cannot have")),
        }
    }
}

impl ReadAt for Vhdx {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.len, offset, buffer.len())?;
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let inside = offset % self.block;
            let now = clip(self.block - inside, rest.len());
            let (head, tail) = rest.split_at_mut(now);
            match self.place(offset / self.block)? {
                None => head.fill(0),
                Some(at) => self.file.read_at(at + inside, head)?,
            }
            (offset, rest) = (offset + now as u64, tail);
        }
        Ok(())
    }
}
