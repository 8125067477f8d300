//! Fat: which files are in this FAT12, FAT16 or FAT32 volume?
//!
//! A narrow reader of our own: the crate `fatfs` wants to write and is one reader behind one lock. An
//! entry's place on the volume is its number.
//!
//! FAT records no owners and no modes: folders are shown as 0755 and files as 0755, or 0555 where they
//! are read-only, as Linux shows them by default; times are those of the writer's clock, without a zone.
//! Source: Microsoft FAT specification of 2004 (fatgen103); Linux fs/fat.

mod names;

use std::sync::Arc;

use super::bytes::{array, damaged, le16, le32, not_read, plus, times, u8_at};
use super::cache::Metadata;
use super::calendar::days_since_1970;
use super::runs::Runs;
use super::{Content, Error, FileSystem, Id, Listed, Node};
use crate::ReadAt;

/// The root has no entry; no entry lies at the very beginning.
const ROOT: Id = 0;

const ENTRY: usize = 32;

/// Bytes of a folder: the specification ends at 65,536 entries.
const LARGEST_FOLDER: u64 = 65_536 * ENTRY as u64;

mod mark {
    pub(super) const READ_ONLY: u8 = 0x01;
    pub(super) const LABEL: u8 = 0x08;
    pub(super) const FOLDER: u8 = 0x10;
    /// All of read-only, hidden, system and label: part of a long name.
    pub(super) const LONG_NAME: u8 = 0x0f;
}

/// How wide an entry of the table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    Bits12,
    Bits16,
    Bits32,
}

/// A FAT volume, open for reading.
pub(super) struct Fat {
    volume: Arc<dyn ReadAt>,
    metadata: Metadata,
    width: Width,
    /// Where the table begins, in bytes.
    table: u64,
    /// Where the root lies, if it lies outside the clusters, and its bytes.
    root: (u64, u64),
    root_cluster: u32,
    /// Where the second cluster lies; there is no first.
    data: u64,
    /// Bytes of a cluster.
    cluster: u64,
    clusters: u32,
    serial: u32,
    label: [u8; 11],
    remarks: Vec<String>,
}

/// Opens the volume. `Ok(None)` if it is none: FAT has no magic number, so its sizes must make sense.
///
/// # Errors
///
/// [`Error::Io`] if the first sector cannot be read.
pub(super) fn open(volume: Arc<dyn ReadAt>) -> Result<Option<Fat>, Error> {
    if volume.len() < 512 {
        return Ok(None);
    }
    let mut raw = [0; 512];
    volume.read_at(0, &mut raw)?;
    Ok(parse(&raw, volume).ok().flatten())
}

fn parse(raw: &[u8], volume: Arc<dyn ReadAt>) -> Result<Option<Fat>, Error> {
    let (sector, per_cluster) = (u64::from(le16(raw, 11)?), u64::from(u8_at(raw, 13)?));
    let (reserved, tables) = (u64::from(le16(raw, 14)?), u64::from(u8_at(raw, 16)?));
    let (media, jump) = (u8_at(raw, 21)?, u8_at(raw, 0)?);
    let is_sound = matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && matches!(tables, 1 | 2)
        && (media == 0xf0 || media >= 0xf8)
        && matches!(jump, 0xeb | 0xe9)
        && le16(raw, 510)? == 0xaa55;
    if !is_sound {
        return Ok(None);
    }
    let either = |short: u64, long: u32| if short > 0 { short } else { long.into() };
    let sectors = either(le16(raw, 19)?.into(), le32(raw, 32)?);
    let table_sectors = either(le16(raw, 22)?.into(), le32(raw, 36)?);
    let entries = u64::from(le16(raw, 17)?);
    let root = reserved + tables * table_sectors;
    let data = root + (entries * ENTRY as u64).div_ceil(sector);
    let Some(clusters) = sectors.checked_sub(data).map(|sectors| sectors / per_cluster) else { return Ok(None) };
    // The count of clusters decides, and nothing else. Source: fatgen103, "FAT Type Determination".
    // A table of 32 bits is told by its size, as in Linux.
    let width = match clusters {
        _ if le16(raw, 22)? == 0 => Width::Bits32,
        0..4085 => Width::Bits12,
        _ => Width::Bits16,
    };
    let held = match width {
        Width::Bits12 => table_sectors * sector * 2 / 3,
        Width::Bits16 => table_sectors * sector / 2,
        Width::Bits32 => table_sectors * sector / 4,
    };
    let clusters = clusters.min(held.saturating_sub(2)).min(0x0fff_fff5);
    if clusters == 0 {
        return Ok(None);
    }
    let is_32 = width == Width::Bits32;
    let mut fat = Fat {
        metadata: Metadata::new(Arc::clone(&volume)),
        width,
        table: reserved * sector,
        root: (root * sector, entries * ENTRY as u64),
        root_cluster: if is_32 { le32(raw, 44)? } else { 0 },
        data: data * sector,
        cluster: per_cluster * sector,
        clusters: clusters as u32,
        serial: le32(raw, if is_32 { 67 } else { 39 })?,
        label: array(raw, if is_32 { 71 } else { 43 })?,
        remarks: Vec::new(),
        volume,
    };
    let whole = sectors * sector;
    if whole > fat.volume.len() {
        let there = fat.volume.len();
        fat.remarks.push(format!("the volume was cut off: the file system has {whole} bytes, {there} are there"));
    }
    fat.remarks.push("FAT records no owners and no modes; its times have no zone and are shown as UTC".into());
    Ok(Some(fat))
}

/// Takes a slot and its place; false for enough.
type EachSlot<'a> = &'a mut dyn FnMut(u64, &[u8; ENTRY]) -> Result<bool, Error>;

/// One entry of a folder.
struct Entry {
    raw: [u8; ENTRY],
}

impl Entry {
    fn marks(&self) -> u8 {
        self.raw[11]
    }

    fn is_folder(&self) -> bool {
        self.marks() & mark::FOLDER != 0
    }

    fn cluster(&self, width: Width) -> Result<u32, Error> {
        let high = if width == Width::Bits32 { u32::from(le16(&self.raw, 20)?) << 16 } else { 0 };
        Ok(high | u32::from(le16(&self.raw, 26)?))
    }

    fn size(&self) -> Result<u32, Error> {
        le32(&self.raw, 28)
    }

    /// A date and a time of day, as seconds since 1970.
    fn time(&self, date: usize, time: Option<usize>) -> Result<i64, Error> {
        let date = i64::from(le16(&self.raw, date)?);
        let time = time.map_or(Ok(0), |at| le16(&self.raw, at))?;
        let days = days_since_1970(1980 + (date >> 9), date >> 5 & 15, date & 31);
        let time = i64::from(time);
        Ok(days * 86_400 + (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2)
    }
}

impl Fat {
    /// What the table says about a cluster: the next one, or `None` at the end.
    fn next(&self, cluster: u32) -> Result<Option<u32>, Error> {
        let number = u64::from(cluster);
        let (value, last) = match self.width {
            Width::Bits12 => {
                let pair = self.metadata.bytes(self.table + number * 3 / 2, 2)?;
                let pair = u32::from(le16(&pair, 0)?);
                (if number.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 }, 0xff7)
            }
            Width::Bits16 => (le16(&self.metadata.bytes(self.table + number * 2, 2)?, 0)?.into(), 0xfff7),
            Width::Bits32 => (le32(&self.metadata.bytes(self.table + number * 4, 4)?, 0)? & 0x0fff_ffff, 0x0fff_fff7),
        };
        match value {
            value if value > last => Ok(None),
            value if value == last => Err(damaged("a file goes on in a bad cluster")),
            value => Ok(Some(value)),
        }
    }

    fn place_of(&self, cluster: u32) -> Result<u64, Error> {
        match cluster.checked_sub(2) {
            Some(number) if number < self.clusters => plus(self.data, times(number.into(), self.cluster)?),
            _ => Err(damaged(format!("there is no cluster {cluster}"))),
        }
    }

    /// The runs of a chain that holds `size` bytes, or, without a size, goes to its end.
    fn chain(&self, first: u32, size: Option<u64>, most: u64) -> Result<Runs, Error> {
        let mut runs = Runs::default();
        let wanted = size.map(|size| size.div_ceil(self.cluster));
        if wanted.is_some_and(|wanted| wanted > self.clusters.into()) {
            return Err(damaged("a file larger than the volume"));
        }
        let (mut cluster, mut count) = (first, 0);
        while wanted.is_none_or(|wanted| count < wanted) {
            if count * self.cluster >= most {
                return Err(damaged("a chain of clusters without an end"));
            }
            runs.push(count * self.cluster, self.place_of(cluster)?, self.cluster)?;
            count += 1;
            match self.next(cluster)? {
                Some(next) => cluster = next,
                None if wanted.is_some_and(|wanted| count < wanted) => {
                    return Err(damaged("a file ends before its last byte"));
                }
                None => break,
            }
        }
        if runs.overlap() {
            return Err(damaged("a chain of clusters goes round in a circle"));
        }
        Ok(runs)
    }

    fn entry(&self, id: Id) -> Result<Entry, Error> {
        let mut raw = [0; ENTRY];
        self.metadata.read(id, &mut raw)?;
        Ok(Entry { raw })
    }

    /// Hands over each slot of a folder that is in use, with its place. Slots after one that was never
    /// used are looked at too, as in Linux: Windows stops there, and so would whoever hides files from it.
    fn slots(&self, folder: Id, each: EachSlot<'_>) -> Result<(), Error> {
        let mut runs = Runs::default();
        if folder == ROOT && self.width != Width::Bits32 {
            runs.push(0, self.root.0, self.root.1)?;
        } else {
            let first = if folder == ROOT {
                self.root_cluster
            } else {
                let entry = self.entry(folder)?;
                if !entry.is_folder() {
                    return Err(damaged("not a folder"));
                }
                entry.cluster(self.width)?
            };
            runs = self.chain(first, None, LARGEST_FOLDER)?;
        }
        for run in runs.all() {
            let mut at = run.physical;
            while at < run.physical + run.length {
                let mut slot = [0; ENTRY];
                self.metadata.read(at, &mut slot)?;
                if slot[0] != 0 && !each(at, &slot)? {
                    return Ok(());
                }
                at += ENTRY as u64;
            }
        }
        Ok(())
    }
}

impl FileSystem for Fat {
    fn kind(&self) -> &'static str {
        "vfat"
    }

    /// The root's entry for it; the copy in the first sector is often older.
    fn label(&self) -> Option<Vec<u8>> {
        let mut label = self.label;
        let _ = self.slots(ROOT, &mut |_, slot| {
            let is_label =
                slot[0] != 0xe5 && slot[11] & mark::LONG_NAME != mark::LONG_NAME && slot[11] & mark::LABEL != 0;
            if is_label {
                label.copy_from_slice(&slot[..11]);
            }
            Ok(!is_label)
        });
        let label = label.trim_ascii_end();
        (!label.is_empty() && label != b"NO NAME" && label[0] != 0).then(|| label.to_vec())
    }

    fn uuid(&self) -> Option<String> {
        Some(format!("{:04x}-{:04x}", self.serial >> 16, self.serial & 0xffff))
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }

    fn root(&self) -> Id {
        ROOT
    }

    fn node(&self, id: Id) -> Result<Node, Error> {
        if id == ROOT {
            return Ok(Node { mode: 0o40_755, links: 1, ..Node::default() });
        }
        let entry = self.entry(id)?;
        let mode = match (entry.is_folder(), entry.marks() & mark::READ_ONLY != 0) {
            (true, false) => 0o40_755,
            (true, true) => 0o40_555,
            (false, false) => 0o100_755,
            (false, true) => 0o100_555,
        };
        let has_birth = le16(&entry.raw, 16)? != 0;
        let tenths = u32::from(entry.raw[13].min(199));
        Ok(Node {
            mode,
            size: if entry.is_folder() { 0 } else { entry.size()?.into() },
            links: 1,
            mtime: (entry.time(24, Some(22))?, 0),
            birth: if has_birth {
                Some((entry.time(16, Some(14))? + i64::from(tenths / 100), tenths % 100 * 10_000_000))
            } else {
                None
            },
            ..Node::default()
        })
    }

    fn list(&self, folder: Id, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
        let mut long = names::Long::default();
        let mut dots = 0;
        self.slots(folder, &mut |place, slot| {
            if slot[0] == 0xe5 {
                long = names::Long::default();
                return Ok(true);
            }
            if slot[11] & 0x3f == mark::LONG_NAME {
                long.add(slot);
                return Ok(true);
            }
            let name = std::mem::take(&mut long).name(slot);
            if slot[11] & mark::LABEL != 0 {
                return Ok(true);
            }
            // The first two of a folder that is not the root.
            if folder != ROOT && dots < 2 && matches!(&slot[..11], b".          " | b"..         ") {
                dots += 1;
                return Ok(true);
            }
            Ok(each(Listed { name: name.unwrap_or_else(|| names::short(slot)), id: place }))
        })
    }

    fn link_target(&self, _: Id) -> Result<Vec<u8>, Error> {
        Err(not_read("FAT has no links"))
    }

    fn open<'a>(&'a self, id: Id) -> Result<Box<dyn Content + 'a>, Error> {
        let entry = self.entry(id)?;
        if id == ROOT || entry.is_folder() {
            return Err(damaged("not a regular file"));
        }
        let size = u64::from(entry.size()?);
        let runs = match size {
            0 => Runs::default(),
            size => self.chain(entry.cluster(self.width)?, Some(size), u64::MAX)?,
        };
        Ok(Box::new(runs.content(Arc::clone(&self.volume), size)?))
    }

    fn place(&self, id: Id) -> u64 {
        let cluster = self.entry(id).and_then(|entry| entry.cluster(self.width));
        cluster.and_then(|cluster| self.place_of(cluster)).unwrap_or(0)
    }
}
