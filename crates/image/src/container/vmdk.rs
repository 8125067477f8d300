//! Vmdk: where in the file does each grain of a VMware disk lie?
//!
//! Sparse extents (`monolithicSparse`, `streamOptimized`, pieces of 2 GiB) and flat ones. Never opens
//! a file that the description names: it takes those that the operator gave by exactly that name.
//! Source: VMware, Virtual Disk Format 5.0.

use std::io;
use std::sync::Arc;

use super::cache::Cache;
use super::unpack::{Method, damaged, unpack};
use super::vmdk_text::{Kind, MAX_TEXT, parse};
use super::{Error, Others, named};
use crate::field::{le16, le32, le64, read};
use crate::joined::{Joined, Zeros, clip};
use crate::read_at::within;
use crate::{ReadAt, Slice};

pub(super) const MAGIC: &[u8] = b"KDMV";

const SECTOR: u64 = 512;
/// Bytes of the grain directory: 32 MiB map 256 TiB of grains of 64 KiB.
const MAX_DIRECTORY: u64 = 32 << 20;
/// Sectors of a grain: VMware writes 128; 2 MiB is the largest cluster of any other form.
const MAX_GRAIN: u64 = 4096;
/// Entries of a grain table; the specification fixes it.
const TABLE: usize = 512;
/// Bytes of grain tables kept: they map 128 GiB of grains of 64 KiB.
const TABLE_CACHE: usize = 8 << 20;
/// Bytes of unpacked grains kept.
const GRAIN_CACHE: usize = 16 << 20;

struct Sparse {
    file: Arc<dyn ReadAt>,
    len: u64,
    /// Bytes of a grain.
    grain: u64,
    directory: Vec<u32>,
    is_compressed: bool,
    has_zero_grains: bool,
    tables: Cache<[u32]>,
    grains: Cache<Vec<u8>>,
}

pub(super) fn refused(why: impl Into<String>) -> Error {
    Error::Refused { format: "vmdk", why: why.into() }
}

/// Opens a sparse disk that holds its own description.
pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Arc<dyn ReadAt>, Error> {
    let header = header(&*file, 0)?;
    let (at, count) = (le64(&header, 28), le64(&header, 36));
    let at = at.checked_mul(SECTOR).filter(|at| *at != 0);
    let count = count.checked_mul(SECTOR).filter(|count| *count <= MAX_TEXT);
    let (Some(at), Some(count)) = (at, count.and_then(|count| usize::try_from(count).ok())) else {
        return Err(refused("it has no description: it is one extent of a disk; open the disk's description instead"));
    };
    let text = read(&*file, at, count).map_err(|_| refused("its description lies outside the file"))?;
    match parse(&text)?.extents.as_slice() {
        [] => Err(refused("it has no description: it is one extent of a disk; open the disk's description instead")),
        [only] if matches!(only.kind, Kind::Sparse(_)) => sparse(file, Some(only.sectors)),
        _ => Err(refused("its description names further extents; open a description that stands alone")),
    }
}

/// Opens a disk whose description is a file of its own.
pub(super) fn open_description(file: &dyn ReadAt, others: Others<'_>) -> Result<Arc<dyn ReadAt>, Error> {
    if file.len() > MAX_TEXT {
        return Err(refused("its description is too long"));
    }
    let text = read(file, 0, clip(file.len(), usize::MAX))?;
    let extents = parse(&text)?.extents;
    if extents.is_empty() {
        return Err(refused("its description names no extents"));
    }
    let mut disk = Joined::default();
    let too_large = || refused("the disk is too large");
    for extent in extents {
        let len = extent.sectors.checked_mul(SECTOR).ok_or_else(too_large)?;
        let given = |name: &str| {
            let why = || refused(format!("its bytes lie in {name:?}; give that file by exactly this name"));
            named(others, name).ok_or_else(why)
        };
        let part: Arc<dyn ReadAt> = match extent.kind {
            Kind::Zero => Arc::new(Zeros(len)),
            Kind::Sparse(name) => sparse(given(&name)?, Some(extent.sectors))?,
            Kind::Flat(name, start) => {
                let start = start.checked_mul(SECTOR).ok_or_else(too_large)?;
                let part = Slice::new(given(&name)?, start, len);
                Arc::new(part.ok_or_else(|| refused(format!("extent {name:?} is cut off")))?)
            }
        };
        disk.push(part).ok_or_else(too_large)?;
    }
    Ok(Arc::new(disk))
}

fn header(file: &dyn ReadAt, at: u64) -> Result<Vec<u8>, Error> {
    let header = read(file, at, 512).map_err(|_| refused("the header is cut off"))?;
    if !header.starts_with(MAGIC) || !(1..=3).contains(&le32(&header, 4)) {
        return Err(refused("an extent has no header of version 1 to 3"));
    }
    Ok(header)
}

/// One file with grains. `sectors` is what the description says.
fn sparse(file: Arc<dyn ReadAt>, sectors: Option<u64>) -> Result<Arc<dyn ReadAt>, Error> {
    let mut head = header(&*file, 0)?;
    if le64(&head, 56) == u64::MAX {
        // The directory was written last; its place is in the footer, before the end marker.
        let footer = file.len().checked_sub(2 * SECTOR).ok_or_else(|| refused("the footer is cut off"))?;
        head = header(&*file, footer).map_err(|_| refused("the footer is missing: the file is cut off"))?;
    }
    let flags = le32(&head, 8);
    let is_compressed = flags & 1 << 16 != 0;
    if is_compressed && le16(&head, 77) != 1 {
        return Err(refused("its compression is not known"));
    }
    let (capacity, grain) = (le64(&head, 12), le64(&head, 20));
    if !grain.is_power_of_two() || grain > MAX_GRAIN {
        return Err(refused(format!("grains of {grain} sectors are not allowed")));
    }
    if le32(&head, 44) as usize != TABLE {
        return Err(refused("its grain tables have a size that is not allowed"));
    }
    if sectors.is_some_and(|sectors| sectors > capacity) {
        return Err(refused("an extent is shorter than its description says"));
    }
    let len = sectors.unwrap_or(capacity).checked_mul(SECTOR).ok_or_else(|| refused("the disk is too large"))?;
    let grain = grain * SECTOR;
    let count = len.div_ceil(grain).div_ceil(TABLE as u64).checked_mul(4).filter(|bytes| *bytes <= MAX_DIRECTORY);
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(|| refused("its grain directory is too large"))?;
    let outside = || refused("its grain directory lies outside the file");
    let at = le64(&head, 56).checked_mul(SECTOR).ok_or_else(outside)?;
    let directory = read(&*file, at, count).map_err(|_| outside())?;
    let grain_bytes = usize::try_from(grain).map_err(|_| outside())?;
    Ok(Arc::new(Sparse {
        directory: directory.chunks_exact(4).map(|entry| le32(entry, 0)).collect(),
        file,
        len,
        grain,
        is_compressed,
        has_zero_grains: flags & 4 != 0,
        tables: Cache::new(TABLE_CACHE, TABLE * 4),
        grains: Cache::new(GRAIN_CACHE, grain_bytes),
    }))
}

impl Sparse {
    /// The first sector of grain `n` in the file; `None` for zeros.
    fn place(&self, n: u64) -> io::Result<Option<u64>> {
        let table = n / TABLE as u64;
        let entry = usize::try_from(table).ok().and_then(|table| self.directory.get(table));
        let at = *entry.ok_or_else(|| damaged("the grain directory ends early"))?;
        if at == 0 {
            return Ok(None);
        }
        let table = self.tables.get(table, || {
            let bytes = read(&*self.file, u64::from(at) * SECTOR, TABLE * 4)?;
            Ok::<_, io::Error>(bytes.chunks_exact(4).map(|entry| le32(entry, 0)).collect())
        })?;
        match table[usize::try_from(n % TABLE as u64).unwrap_or_default()] {
            0 => Ok(None),
            1 if self.has_zero_grains => Ok(None),
            at => Ok(Some(u64::from(at))),
        }
    }

    fn unpacked(&self, n: u64, sector: u64) -> io::Result<Arc<Vec<u8>>> {
        self.grains.get(n, || {
            let at = sector * SECTOR;
            let marker = read(&*self.file, at, 12)?;
            if le64(&marker, 0).checked_mul(SECTOR) != Some(n * self.grain) {
                return Err(damaged("a grain belongs elsewhere"));
            }
            let grain = usize::try_from(self.grain).map_err(|_| io::ErrorKind::InvalidData)?;
            let count = le32(&marker, 8) as usize;
            // Deflate adds a few bytes to what it cannot pack.
            if count > grain + grain / 16 + 512 {
                return Err(damaged("a packed grain is longer than a grain"));
            }
            let packed = read(&*self.file, at + 12, count)?;
            // The last grain may be cut off where the disk ends.
            let there = clip(self.len - n * self.grain, grain);
            unpack(Method::Zlib, &packed, there).map(Arc::new)
        })
    }
}

impl ReadAt for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.len, offset, buffer.len())?;
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let (n, inside) = (offset / self.grain, offset % self.grain);
            let now = clip(self.grain - inside, rest.len());
            let (head, tail) = rest.split_at_mut(now);
            match self.place(n)? {
                None => head.fill(0),
                Some(sector) if self.is_compressed => {
                    let from = usize::try_from(inside).map_err(|_| io::ErrorKind::InvalidData)?;
                    head.copy_from_slice(&self.unpacked(n, sector)?[from..from + now]);
                }
                Some(sector) => self.file.read_at(sector * SECTOR + inside, head)?,
            }
            (offset, rest) = (offset + now as u64, tail);
        }
        Ok(())
    }
}
