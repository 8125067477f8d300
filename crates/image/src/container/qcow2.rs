//! Qcow2: where in the file does each cluster of the disk lie?
//!
//! Versions 2 and 3: standard, zero, compressed (deflate, zstd) and subdivided clusters, a backing
//! file and an external data file that the operator gave. Never reads a file that the image names,
//! never follows a table outside the file, never writes: a dirty image is read as it lies, since only
//! its reference counts are stale. Snapshots are passed over. Source: QEMU, docs/interop/qcow2.rst.

use std::io;
use std::sync::Arc;

use super::cache::Cache;
use super::unpack::{Method, damaged, unpack};
use super::{Error, Others, named, open_below};
use crate::ReadAt;
use crate::field::{be32, be64, read};
use crate::joined::clip;
use crate::read_at::within;

pub(super) const MAGIC: &[u8] = b"QFI\xfb";

/// Bytes of the table of tables. QEMU's own limit: enough for 2 PiB at 64 KiB a cluster.
const MAX_L1_BYTES: u64 = 32 << 20;
/// Bytes of the name of a backing file. QEMU's own limit.
const MAX_NAME: u32 = 1023;
/// Bytes of header extensions that are looked at: a feature-name table has some hundred.
const MAX_HEADER: u64 = 64 << 10;
/// Bytes of second-level tables kept: they map 8 GiB at 64 KiB a cluster.
const L2_CACHE: usize = 8 << 20;
/// Bytes of unpacked clusters kept: eight of the largest.
const CLUSTER_CACHE: usize = 16 << 20;

/// Where an entry's cluster lies in the file: bits 9 to 55.
const OFFSET: u64 = 0x00FF_FFFF_FFFF_FE00;
const COMPRESSED: u64 = 1 << 62;
const ALL_ZEROS: u64 = 1;

struct Qcow2 {
    file: Arc<dyn ReadAt>,
    /// Where clusters lie: the file itself, or the data file that it names.
    data: Arc<dyn ReadAt>,
    backing: Option<Arc<dyn ReadAt>>,
    len: u64,
    cluster_bits: u32,
    /// Binary logarithm of the entries of a second-level table.
    l2_bits: u32,
    /// Entries have 16 bytes and a bitmap of 32 subclusters.
    is_subdivided: bool,
    has_data_file: bool,
    has_zero_clusters: bool,
    method: Method,
    l1: Vec<u64>,
    /// The first-level table in the file: no cluster may lie there.
    l1_range: (u64, u64),
    tables: Cache<[u64]>,
    clusters: Cache<Vec<u8>>,
}

fn refused(why: impl Into<String>) -> Error {
    Error::Refused { format: "qcow2", why: why.into() }
}

/// Opens an image whose first bytes are [`MAGIC`].
pub(super) fn open(file: Arc<dyn ReadAt>, others: Others<'_>, chain: usize) -> Result<Arc<dyn ReadAt>, Error> {
    let header = read(&*file, 0, clip(file.len(), 4096))?;
    if header.len() < 72 {
        return Err(refused("the header is cut off"));
    }
    let version = be32(&header, 4);
    let (is_v3, header_length) = match version {
        2 => (false, 72),
        3 => (true, be32(&header, 100)),
        other => return Err(refused(format!("version {other} is not read"))),
    };
    if is_v3 && !(104..=4096).contains(&header_length) || header.len() < header_length as usize {
        return Err(refused("the header is cut off"));
    }
    let features = if is_v3 { be64(&header, 72) } else { 0 };
    if features & 2 != 0 {
        return Err(refused("marked as corrupt; try `qemu-img check -r all` on a copy"));
    }
    if features & !0b1_1111 != 0 {
        return Err(refused(format!("features {:#x} are not known", features & !0b1_1111)));
    }
    match be32(&header, 32) {
        0 => {}
        2 => {
            return Err(refused("encrypted (LUKS inside qcow2); decrypt it with `qemu-img convert` and its key first"));
        }
        _ => return Err(refused("encrypted (AES of old qcow); decrypt it with `qemu-img convert` first")),
    }
    let method = match header.get(104).filter(|_| features & 8 != 0 && header_length > 104) {
        None | Some(0) => Method::Deflate,
        Some(1) => Method::Zstd,
        Some(other) => return Err(refused(format!("compression {other} is not known"))),
    };
    let cluster_bits = be32(&header, 20);
    if !(9..=21).contains(&cluster_bits) {
        return Err(refused(format!("clusters of 2^{cluster_bits} bytes are not allowed")));
    }
    let is_subdivided = features & 16 != 0;
    if is_subdivided && cluster_bits < 14 {
        return Err(refused("clusters are too small to be subdivided"));
    }
    let l2_bits = cluster_bits - if is_subdivided { 4 } else { 3 };
    let len = be64(&header, 24);
    let (l1, l1_range) = first_table(&*file, &header, len, cluster_bits + l2_bits)?;
    let extensions = extensions(&*file, &header, u64::from(header_length), cluster_bits)?;
    let has_data_file = features & 4 != 0;
    let data = if has_data_file { data_file(extensions.data_file, others)? } else { Arc::clone(&file) };
    Ok(Arc::new(Qcow2 {
        backing: backing(&*file, &header, extensions.backing_format, others, chain)?,
        tables: Cache::new(L2_CACHE, 1 << cluster_bits),
        clusters: Cache::new(CLUSTER_CACHE, 1 << cluster_bits),
        has_zero_clusters: is_v3,
        file,
        data,
        len,
        cluster_bits,
        l2_bits,
        is_subdivided,
        has_data_file,
        method,
        l1,
        l1_range,
    }))
}

/// The part of the first-level table that the disk needs, and its range.
fn first_table(file: &dyn ReadAt, header: &[u8], len: u64, bits: u32) -> Result<(Vec<u64>, (u64, u64)), Error> {
    let needed = len.div_ceil(1 << bits);
    let (there, offset) = (u64::from(be32(header, 36)), be64(header, 40));
    if needed > there {
        return Err(refused("its table of tables is shorter than the disk"));
    }
    let count = needed.checked_mul(8).filter(|bytes| *bytes <= MAX_L1_BYTES);
    let count = count.ok_or_else(|| refused("its table of tables is too large"))?;
    let count = usize::try_from(count).map_err(|_| refused("its table of tables is too large"))?;
    let bytes = read(file, offset, count).map_err(|_| refused("its table of tables lies outside the file"))?;
    let l1 = bytes.chunks_exact(8).map(|entry| be64(entry, 0)).collect();
    Ok((l1, (offset, offset + count as u64)))
}

#[derive(Default)]
struct Extensions {
    backing_format: Option<String>,
    data_file: Option<String>,
}

/// Header extensions: a type, a length, bytes padded to eight; type zero ends them.
fn extensions(file: &dyn ReadAt, header: &[u8], begin: u64, cluster_bits: u32) -> Result<Extensions, Error> {
    let mut found = Extensions::default();
    // They end where the backing file's name begins, and with the first cluster.
    let name_at = be64(header, 8);
    let end = if name_at == 0 { 1 << cluster_bits } else { name_at };
    let end = end.min(1 << cluster_bits).min(MAX_HEADER).min(file.len());
    let bytes = read(file, 0, usize::try_from(end).unwrap_or_default())?;
    let mut at = usize::try_from(begin).unwrap_or(usize::MAX);
    while let Some(head) = bytes.get(at..at.saturating_add(8)) {
        let (kind, count) = (be32(head, 0), be32(head, 4) as usize);
        let Some(value) = bytes.get(at + 8..(at + 8).saturating_add(count)).filter(|_| kind != 0) else {
            if kind != 0 {
                return Err(refused("a header extension leaves the header"));
            }
            break;
        };
        let text = || String::from_utf8_lossy(value).into_owned();
        match kind {
            0xE279_2ACA => found.backing_format = Some(text()),
            0x4441_5441 => found.data_file = Some(text()),
            _ => {}
        }
        at = (at + 8).saturating_add(count.next_multiple_of(8));
    }
    Ok(found)
}

fn data_file(name: Option<String>, others: Others<'_>) -> Result<Arc<dyn ReadAt>, Error> {
    let name = name.ok_or_else(|| refused("its data lie in another file that it does not name"))?;
    let why = || refused(format!("its data lie in {name:?}; give that file by exactly this name"));
    named(others, &name).ok_or_else(why)
}

fn backing(
    file: &dyn ReadAt,
    header: &[u8],
    format: Option<String>,
    others: Others<'_>,
    chain: usize,
) -> Result<Option<Arc<dyn ReadAt>>, Error> {
    let (at, count) = (be64(header, 8), be32(header, 16));
    if at == 0 {
        return Ok(None);
    }
    if count > MAX_NAME {
        return Err(refused("the name of its backing file is too long"));
    }
    let name = read(file, at, count as usize).map_err(|_| refused("the name of its backing file is cut off"))?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let Some(below) = named(others, &name) else {
        let why = format!("it holds only what differs from {name:?}; give that file by exactly this name");
        return Err(refused(why));
    };
    let Some(chain) = chain.checked_sub(1) else {
        return Err(refused("too many images stand on one another"));
    };
    match format.as_deref() {
        // Not probed: the guest may have written the beginning of a container into its raw disk.
        Some("raw") => Ok(Some(below)),
        Some("qcow2") | None => open_below(below, others, chain).map(Some),
        Some(other) => Err(refused(format!("a backing file of form {other:?} is not read"))),
    }
}

/// What a stretch of the disk reads as.
enum Stretch {
    /// Bytes of the data file, from here.
    Data(u64),
    Zeros,
    Backing,
    /// The entry of a compressed cluster.
    Packed(u64),
}

impl Qcow2 {
    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// The second-level table that maps `offset`; `None` if there is none.
    fn table(&self, offset: u64) -> io::Result<Option<Arc<[u64]>>> {
        let n = offset >> (self.cluster_bits + self.l2_bits);
        let entry = usize::try_from(n).ok().and_then(|n| self.l1.get(n));
        let at = entry.ok_or_else(|| damaged("the first-level table ends early"))? & OFFSET;
        if at == 0 {
            return Ok(None);
        }
        self.is_free_of_headers(at)?;
        let table = self.tables.get(n, || {
            let bytes = read(&*self.file, at, 1 << self.cluster_bits)?;
            Ok::<_, io::Error>(bytes.chunks_exact(8).map(|entry| be64(entry, 0)).collect())
        })?;
        Ok(Some(table))
    }

    /// A cluster lies at a multiple of its size, not on the header and not on the first-level table.
    fn is_free_of_headers(&self, at: u64) -> io::Result<()> {
        let (begin, end) = self.l1_range;
        let is_free = at != 0 && (at >= end || at.saturating_add(self.cluster()) <= begin || begin == end);
        if is_free && at.is_multiple_of(self.cluster()) {
            return Ok(());
        }
        Err(damaged("a cluster lies where none can lie"))
    }

    /// What `offset` reads as, and for how many bytes.
    fn stretch(&self, table: &[u64], offset: u64) -> io::Result<(Stretch, u64)> {
        let inside = offset & (self.cluster() - 1);
        let n = usize::try_from(offset >> self.cluster_bits & ((1 << self.l2_bits) - 1)).unwrap_or_default();
        let (entry, bitmap) = if self.is_subdivided {
            (table.get(n * 2).copied().unwrap_or_default(), table.get(n * 2 + 1).copied().unwrap_or_default())
        } else {
            (table.get(n).copied().unwrap_or_default(), 0)
        };
        let rest = self.cluster() - inside;
        if entry & COMPRESSED != 0 {
            if self.has_data_file {
                return Err(damaged("a compressed cluster in an external data file"));
            }
            return Ok((Stretch::Packed(entry), rest));
        }
        let at = entry & OFFSET;
        // In an external data file the first cluster is one like any other.
        let is_there = at != 0 || self.has_data_file && entry >> 63 == 1;
        let data = |is_data: bool| {
            if !is_data {
                return Ok::<_, io::Error>(Stretch::Backing);
            }
            if !self.has_data_file {
                self.is_free_of_headers(at)?;
            }
            Ok(Stretch::Data(at + inside))
        };
        if self.is_subdivided {
            let size = self.cluster() >> 5;
            let sub = inside / size;
            let (is_zero, is_data) = (bitmap >> (32 + sub) & 1 == 1, bitmap >> sub & 1 == 1);
            let rest = size - inside % size;
            return match (is_zero, is_data) {
                (true, true) => Err(damaged("a subcluster is both data and zeros")),
                (true, false) => Ok((Stretch::Zeros, rest)),
                (false, true) if !is_there => Err(damaged("a subcluster's data lie nowhere")),
                (false, is_data) => Ok((data(is_data)?, rest)),
            };
        }
        if self.has_zero_clusters && entry & ALL_ZEROS != 0 {
            return Ok((Stretch::Zeros, rest));
        }
        Ok((data(is_there)?, rest))
    }

    /// A compressed cluster, unpacked.
    fn unpacked(&self, cluster: u64, entry: u64) -> io::Result<Arc<Vec<u8>>> {
        self.clusters.get(cluster, || {
            let offset_bits = 62 - (self.cluster_bits - 8);
            let at = entry & ((1 << offset_bits) - 1);
            let sectors = (entry & (COMPRESSED - 1)) >> offset_bits;
            if at < self.cluster() && at < 512 {
                return Err(damaged("a compressed cluster lies on the header"));
            }
            let end = (sectors + 1).saturating_mul(512).saturating_add(at & !511);
            // The last sector may be cut off: what is packed ends somewhere inside it.
            let end = end.min(self.file.len());
            let count = end.checked_sub(at).and_then(|count| usize::try_from(count).ok());
            let packed = read(&*self.file, at, count.ok_or_else(|| damaged("a cluster lies outside the file"))?)?;
            unpack(self.method, &packed, 1 << self.cluster_bits).map(Arc::new)
        })
    }

    fn read_backing(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let there = self.backing.as_ref().map_or(0, |below| below.len().saturating_sub(offset));
        let (head, tail) = buffer.split_at_mut(clip(there, buffer.len()));
        // What lies beyond a shorter backing file is zeros by definition.
        tail.fill(0);
        match &self.backing {
            Some(below) if !head.is_empty() => below.read_at(offset, head),
            _ => Ok(()),
        }
    }
}

impl ReadAt for Qcow2 {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.len, offset, buffer.len())?;
        let (mut offset, mut rest) = (offset, buffer);
        let span = 1_u64 << (self.cluster_bits + self.l2_bits);
        while !rest.is_empty() {
            let now = clip(span - offset % span, rest.len());
            let (head, tail) = rest.split_at_mut(now);
            match self.table(offset)? {
                None => self.read_backing(offset, head)?,
                Some(table) => self.read_span(&table, offset, head)?,
            }
            (offset, rest) = (offset + now as u64, tail);
        }
        Ok(())
    }
}

impl Qcow2 {
    /// Reads what one second-level table maps; clusters that follow one another are read at once.
    fn read_span(&self, table: &[u64], offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let (stretch, there) = self.stretch(table, offset)?;
            let mut now = clip(there, rest.len());
            while now < rest.len() {
                let (next, more) = self.stretch(table, offset + now as u64)?;
                let follows = match (&stretch, next) {
                    (Stretch::Data(at), Stretch::Data(next)) => at + now as u64 == next,
                    (Stretch::Zeros, Stretch::Zeros) | (Stretch::Backing, Stretch::Backing) => true,
                    _ => false,
                };
                if !follows {
                    break;
                }
                now += clip(more, rest.len() - now);
            }
            let (head, tail) = rest.split_at_mut(now);
            match stretch {
                Stretch::Data(at) => self.data.read_at(at, head)?,
                Stretch::Zeros => head.fill(0),
                Stretch::Backing => self.read_backing(offset, head)?,
                Stretch::Packed(entry) => {
                    let bytes = self.unpacked(offset >> self.cluster_bits, entry)?;
                    let from = usize::try_from(offset & (self.cluster() - 1)).unwrap_or_default();
                    head.copy_from_slice(&bytes[from..from + now]);
                }
            }
            (offset, rest) = (offset + now as u64, tail);
        }
        Ok(())
    }
}
