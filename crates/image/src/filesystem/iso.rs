//! Iso: which files are on this ISO 9660 volume?
//!
//! A narrow reader of our own; no crate of the kind reads Rock Ridge in full. Rock Ridge is preferred,
//! since it has modes, owners and links; then Joliet for its names; then the names of the volume as
//! recorded, without their `;1`. A record's place on the volume is its number.
//!
//! Never reads content packed by zisofs, interleaved files, or UDF.
//! Source: ECMA-119; IEEE P1281 (SUSP) and P1282 (Rock Ridge); Joliet specification; Linux fs/isofs.

mod ridge;

use std::sync::Arc;

use super::bytes::{be16, damaged, label, le16, le32, not_read, part, plus, times, u8_at};
use super::cache::Metadata;
use super::calendar::days_since_1970;
use super::runs::Runs;
use super::utf16::utf8;
use super::{Content, Error, FileSystem, Id, Listed, Node};
use crate::ReadAt;
use ridge::Ridge;

/// Bytes of a sector. Records do not cross sectors.
const SECTOR: u64 = 2048;

/// Where descriptors begin, and how many are looked at.
const FIRST: u64 = 16 * SECTOR;
const MOST_DESCRIPTORS: u64 = 64;

/// Bytes of a folder. Ten million names would fit.
const LARGEST_FOLDER: u64 = 1 << 30;

/// Parts of one file: each has up to 4 GiB.
const MOST_PARTS: usize = 4096;

const FOLDER: u8 = 0x02;
const GOES_ON: u8 = 0x80;

/// Which names are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Names {
    Ridge {
        /// Bytes to leave out at the start of the root's own system use area.
        mark: usize,
        /// The same for all others.
        skip: usize,
    },
    Joliet,
    Plain,
}

/// An ISO 9660 volume, open for reading.
pub(super) struct Iso {
    volume: Arc<dyn ReadAt>,
    metadata: Metadata,
    names: Names,
    /// Bytes of a logical block.
    block: u64,
    root: Id,
    label: Option<Vec<u8>>,
    uuid: Option<String>,
    remarks: Vec<String>,
}

/// One record of a folder.
struct Record {
    raw: Vec<u8>,
    place: u64,
}

impl Record {
    fn extent(&self) -> Result<u64, Error> {
        // An extended attribute record, if any, stands before the content.
        Ok(u64::from(le32(&self.raw, 2)?) + u64::from(u8_at(&self.raw, 1)?))
    }

    fn size(&self) -> Result<u64, Error> {
        le32(&self.raw, 10).map(u64::from)
    }

    fn flags(&self) -> Result<u8, Error> {
        u8_at(&self.raw, 25)
    }

    fn is_folder(&self) -> Result<bool, Error> {
        Ok(self.flags()? & FOLDER != 0)
    }

    fn name(&self) -> Result<&[u8], Error> {
        part(&self.raw, 33, u8_at(&self.raw, 32)?.into())
    }

    /// What stands behind the name, which is padded to an even length.
    fn system_use(&self) -> Result<&[u8], Error> {
        let at = (33 + usize::from(u8_at(&self.raw, 32)?)).next_multiple_of(2);
        Ok(self.raw.get(at..).unwrap_or_default())
    }

    fn time(&self) -> Result<i64, Error> {
        short_time(part(&self.raw, 18, 7)?)
    }
}

/// Seven bytes: year since 1900, month, day, hour, minute, second, quarters of an hour east of UTC.
fn short_time(raw: &[u8]) -> Result<i64, Error> {
    let field = |n| u8_at(raw, n).map(i64::from);
    let days = days_since_1970(1900 + field(0)?, field(1)?, field(2)?);
    let zone = i64::from(u8_at(raw, 6)? as i8) * 900;
    Ok(days * 86_400 + field(3)? * 3600 + field(4)? * 60 + field(5)? - zone)
}

/// Whether the first descriptor is there.
pub(super) fn is_here(volume: &dyn ReadAt) -> bool {
    let mut magic = [0; 5];
    volume.read_at(FIRST + 1, &mut magic).is_ok() && &magic == b"CD001"
}

/// Opens the volume.
///
/// # Errors
///
/// [`Error::Damaged`] if there is no primary descriptor or no root.
pub(super) fn open(volume: Arc<dyn ReadAt>) -> Result<Iso, Error> {
    let metadata = Metadata::new(Arc::clone(&volume));
    let (mut primary, mut joliet) = (None, None);
    for n in 0..MOST_DESCRIPTORS {
        let Ok(raw) = metadata.bytes(FIRST + n * SECTOR, SECTOR as usize) else { break };
        if part(&raw, 1, 5)? != b"CD001" {
            break;
        }
        match raw[0] {
            1 if primary.is_none() => primary = Some(raw),
            2 if joliet.is_none() && matches!(part(&raw, 88, 3)?, b"%/@" | b"%/C" | b"%/E") => joliet = Some(raw),
            255 => break,
            _ => {}
        }
    }
    let primary = primary.ok_or_else(|| damaged("an ISO 9660 volume without its primary descriptor"))?;
    let block = u64::from(le16(&primary, 128)?);
    if !matches!(block, 512 | 1024 | 2048) {
        return Err(damaged(format!("an ISO 9660 volume with blocks of {block} bytes")));
    }
    let text = label(part(&primary, 40, 32)?).map(|label| label.trim_ascii_end().to_vec());
    let mut iso = Iso {
        volume,
        metadata,
        names: Names::Plain,
        block,
        root: 0,
        label: text.filter(|label| !label.is_empty()),
        uuid: uuid(&primary)?,
        remarks: Vec::new(),
    };
    iso.root = iso.root_of(&primary)?;
    let first = iso.record(iso.root)?;
    if let Some((mark, skip)) = ridge::mark(first.system_use()?) {
        iso.names = Names::Ridge { mark, skip };
        // The mark alone may announce something else.
        if !Ridge::of(&iso, &first, mark)?.is_there {
            iso.names = Names::Plain;
        }
    }
    if iso.names == Names::Plain {
        if let Some(joliet) = joliet {
            iso.root = iso.root_of(&joliet)?;
            iso.names = Names::Joliet;
        }
        iso.remarks.push("there is no Rock Ridge: owners, modes and links are not recorded".into());
    }
    let whole = u64::from(le32(&primary, 80)?) * block;
    if whole > iso.volume.len() {
        let there = iso.volume.len();
        iso.remarks.push(format!("the volume was cut off: the file system has {whole} bytes, {there} are there"));
    }
    Ok(iso)
}

/// What blkid takes for an identifier: the time at which the volume was made or changed.
fn uuid(primary: &[u8]) -> Result<Option<String>, Error> {
    for at in [830, 813] {
        let digits = part(primary, at, 16)?;
        if digits.iter().all(u8::is_ascii_digit) && digits.iter().any(|digit| *digit != b'0') {
            let text = String::from_utf8_lossy(digits);
            let ends = [4, 6, 8, 10, 12, 14, 16];
            let starts = [0, 4, 6, 8, 10, 12, 14];
            let parts: Vec<&str> = starts.iter().zip(ends).filter_map(|(start, end)| text.get(*start..end)).collect();
            return Ok(Some(parts.join("-")));
        }
    }
    Ok(None)
}

impl Iso {
    /// The place of the root's own record.
    fn root_of(&self, descriptor: &[u8]) -> Result<Id, Error> {
        let extent = u64::from(le32(descriptor, 156 + 2)?) + u64::from(u8_at(descriptor, 156 + 1)?);
        times(extent, self.block)
    }

    /// The record at a place.
    fn record(&self, place: u64) -> Result<Record, Error> {
        let mut length = [0];
        self.metadata.read(place, &mut length)?;
        let length = usize::from(length[0]);
        if length < 34 || place % SECTOR + length as u64 > SECTOR {
            return Err(damaged(format!("a record of {length} bytes")));
        }
        let raw = self.metadata.bytes(place, length)?;
        if 33 + usize::from(raw[32]) > length {
            return Err(damaged("a name leaves its record"));
        }
        Ok(Record { raw, place })
    }

    /// Rock Ridge's part of a record, empty where names are others'.
    fn ridge(&self, record: &Record) -> Result<Ridge, Error> {
        match self.names {
            Names::Ridge { mark, skip } => Ridge::of(self, record, if record.place == self.root { mark } else { skip }),
            _ => Ok(Ridge::default()),
        }
    }

    /// Hands over each record that lies in an extent of a folder.
    fn records(&self, start: u64, size: u64, each: &mut dyn FnMut(Record) -> Result<bool, Error>) -> Result<(), Error> {
        if size > LARGEST_FOLDER.min(self.volume.len()) {
            return Err(damaged(format!("a folder of {size} bytes")));
        }
        let end = plus(start, size)?;
        let mut at = start;
        while at < end {
            let mut length = [0];
            self.metadata.read(at, &mut length)?;
            if length[0] == 0 {
                at = (at / SECTOR + 1) * SECTOR;
                continue;
            }
            let record = self.record(at)?;
            at += record.raw.len() as u64;
            if !each(record)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Where a folder's records lie. One that was moved by Rock Ridge lies elsewhere.
    fn folder(&self, record: &Record, ridge: &Ridge) -> Result<(u64, u64), Error> {
        if let Some(block) = ridge.child {
            let start = times(block.into(), self.block)?;
            return Ok((start, self.record(start)?.size()?));
        }
        if !record.is_folder()? {
            return Err(damaged("not a folder"));
        }
        Ok((times(record.extent()?, self.block)?, record.size()?))
    }

    /// All records of one file: files of 4 GiB and more have several, one behind the other.
    fn parts(&self, first: Record) -> Result<Vec<Record>, Error> {
        let mut parts = vec![first];
        while let Some(last) = parts.last() {
            if last.flags()? & GOES_ON == 0 {
                break;
            }
            let mut at = last.place + last.raw.len() as u64;
            let mut length = [0];
            if at.is_multiple_of(SECTOR) || self.metadata.read(at, &mut length).is_err() || length[0] == 0 {
                at = at.next_multiple_of(SECTOR);
            }
            let next = self.record(at)?;
            if next.name()? != parts[0].name()? || parts.len() == MOST_PARTS {
                return Err(damaged("a file goes on in a record that is not its own"));
            }
            parts.push(next);
        }
        Ok(parts)
    }

    fn name(&self, record: &Record, ridge: Ridge) -> Result<Vec<u8>, Error> {
        if let Some(name) = ridge.name {
            return Ok(name);
        }
        let raw = record.name()?;
        if self.names == Names::Joliet {
            let units: Vec<u16> = raw.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            return Ok(without_version(utf8(&units)));
        }
        Ok(without_version(raw.to_vec()))
    }
}

/// `NAME.EXT;1` is a name and a version, of which there is one.
fn without_version(mut name: Vec<u8>) -> Vec<u8> {
    if name.ends_with(b";1") {
        name.truncate(name.len() - 2);
        if name.ends_with(b".") {
            name.pop();
        }
    }
    name
}

impl FileSystem for Iso {
    fn kind(&self) -> &'static str {
        "iso9660"
    }

    fn label(&self) -> Option<Vec<u8>> {
        self.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        self.uuid.clone()
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }

    fn root(&self) -> Id {
        self.root
    }

    fn node(&self, id: Id) -> Result<Node, Error> {
        let record = self.record(id)?;
        let ridge = self.ridge(&record)?;
        let is_folder = record.is_folder()? || ridge.child.is_some();
        let mode = ridge.mode.unwrap_or(if is_folder { 0o40_555 } else { 0o100_444 });
        let time = record.time()?;
        let is_link = mode & 0o170_000 == 0o120_000;
        Ok(Node {
            mode: if ridge.child.is_some() { mode & 0o7777 | 0o40_000 } else { mode },
            uid: ridge.uid,
            gid: ridge.gid,
            size: match () {
                () if is_folder => 0,
                () if is_link => ridge.target.len() as u64,
                () => self.parts(record)?.iter().map(Record::size).sum::<Result<u64, Error>>()?,
            },
            links: ridge.links.into(),
            mtime: (ridge.mtime.unwrap_or(time), 0),
            ctime: ridge.ctime.map(|time| (time, 0)),
            birth: ridge.birth.map(|time| (time, 0)),
            xattrs: Vec::new(),
        })
    }

    fn list(&self, folder: Id, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
        let record = self.record(folder)?;
        let (start, size) = self.folder(&record, &self.ridge(&record)?)?;
        let mut goes_on: Option<Vec<u8>> = None;
        let mut dots = 0;
        self.records(start, size, &mut |record| {
            // The first two records are `.` and `..`; later ones of that name are somebody's.
            if dots < 2 && matches!(record.name()?, [0] | [1]) {
                dots += 1;
                return Ok(true);
            }
            let continues = goes_on.as_deref() == Some(record.name()?);
            goes_on = if record.flags()? & GOES_ON != 0 { Some(record.name()?.to_vec()) } else { None };
            if continues {
                return Ok(true);
            }
            let ridge = self.ridge(&record)?;
            let id = record.place;
            Ok(each(Listed { name: self.name(&record, ridge)?, id }))
        })
    }

    fn link_target(&self, id: Id) -> Result<Vec<u8>, Error> {
        let ridge = self.ridge(&self.record(id)?)?;
        if ridge.mode.is_none_or(|mode| mode & 0o170_000 != 0o120_000) {
            return Err(damaged("not a symbolic link"));
        }
        Ok(ridge.target)
    }

    fn open<'a>(&'a self, id: Id) -> Result<Box<dyn Content + 'a>, Error> {
        let record = self.record(id)?;
        let ridge = self.ridge(&record)?;
        if record.is_folder()? || ridge.mode.is_some_and(|mode| mode & 0o170_000 != 0o100_000) {
            return Err(damaged("not a regular file"));
        }
        if ridge.is_packed {
            return Err(not_read("content packed by zisofs, or sparse by Rock Ridge"));
        }
        let mut runs = Runs::default();
        let mut size = 0;
        for record in self.parts(record)? {
            if be16(&record.raw, 26)? != 0 {
                return Err(not_read("an interleaved file"));
            }
            let length = record.size()?;
            runs.push(size, times(record.extent()?, self.block)?, length)?;
            size = plus(size, length)?;
        }
        Ok(Box::new(runs.content(Arc::clone(&self.volume), size)?))
    }

    fn place(&self, id: Id) -> u64 {
        self.record(id).and_then(|record| times(record.extent()?, self.block)).unwrap_or(0)
    }
}
