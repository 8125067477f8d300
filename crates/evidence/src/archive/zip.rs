//! Zip: which members does a zip archive hold?
//!
//! Read with the `zip` crate by its central directory, as every reader does that seeks, one record at a time.
//! A member is known by where its record begins. A reader that
//! streams goes by the local headers instead; where the two differ, one of them was lied to, and that
//! is an obstacle. Unix owners and times come from the Info-ZIP extra fields.
//! Source: PKWARE APPNOTE 6.3.10 (4.3.7, 4.3.12, 4.5.3), Info-ZIP `extrafld.txt` (0x5455, 0x7875).

use std::io::{self, Read};
use std::sync::Arc;

use directive::progress::Progress;
use directive::text::Text;
use image::{ReadAt, Slice};
use zip::ZipArchive;
use zip::read::{Config, ZipFileEntry};
use zip::result::{ZipError, ZipResult};
use zip::unstable::read::ZipIterable;

use super::scan::Scanned;
use super::single::{self, Record};
use crate::catalogue::{Item, Place, blank};
use crate::file::Cursor;
use crate::limits::Limits;
use crate::meta::{Kind, Time};
use crate::source::{Hides, Obstacle, ObstacleKind};

/// Bytes of a symbolic link's target.
const TARGET_BYTES: u64 = 64 << 10;

/// Bytes read at once.
const BUFFER: usize = 128 << 10;

/// An open archive.
#[derive(Clone)]
pub(super) struct Zip {
    bytes: Arc<dyn ReadAt>,
    /// Bytes before the first of the archive, as of a program that unpacks itself.
    offset: u64,
}

/// What one thread needs to read members.
pub(super) struct Reader {
    zip: Zip,
    buffer: Vec<u8>,
}

impl Zip {
    pub(super) fn reader(&self) -> Reader {
        Reader { zip: self.clone(), buffer: vec![0; BUFFER] }
    }

    /// The archive, as one of the member alone whose record begins there.
    fn single(&self, at: u64) -> ZipResult<ZipArchive<Cursor>> {
        single::open(&self.bytes, self.offset, Record::read(&*self.bytes, at)?)
    }

    /// The bytes of a member that is neither packed nor encrypted, where they lie.
    pub(super) fn stored(&self, n: u64) -> Option<Arc<dyn ReadAt>> {
        let mut archive = self.single(n).ok()?;
        let file = archive.by_index(0).ok()?;
        (file.compression() == zip::CompressionMethod::Stored && !file.encrypted()).then_some(())?;
        let slice = Slice::new(Arc::clone(&self.bytes), file.data_start()?, file.size())?;
        Some(Arc::new(slice))
    }
}

impl Reader {
    /// Reads one member to its end, which must come where the directory says, with its checksum.
    pub(super) fn read(&mut self, n: u64, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut archive = self.zip.single(n).map_err(io_error)?;
        let mut file = archive.by_index(0).map_err(io_error)?;
        let size = file.size();
        let mut total = 0_u64;
        loop {
            let count = match file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += count as u64;
            if total > size {
                return Err(io::Error::other("it unpacks to more bytes than the archive says"));
            }
            sink(&self.buffer[..count])?;
        }
        if total < size {
            return Err(io::Error::other(format!("it unpacks to {total} bytes where the archive says {size}")));
        }
        Ok(())
    }
}

fn io_error(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        ZipError::UnsupportedArchive(text) if text == ZipError::PASSWORD_REQUIRED => {
            io::Error::new(io::ErrorKind::PermissionDenied, "it is encrypted; unpack it with its password")
        }
        ZipError::UnsupportedArchive(text) => io::Error::new(io::ErrorKind::Unsupported, text),
        ZipError::CompressionMethodNotSupported(method) => {
            io::Error::new(io::ErrorKind::Unsupported, format!("packed with method {method}, which is not read"))
        }
        error => io::Error::other(error.to_string()),
    }
}

/// Opens an archive and lists what it holds.
///
/// # Errors
///
/// What is wrong with it, if it has no directory that can be read.
pub(super) fn open(bytes: Arc<dyn ReadAt>, limits: &Limits, progress: &dyn Progress) -> Result<(Zip, Scanned), String> {
    let recorded = entries_recorded(&bytes);
    if let Some(count) = recorded.filter(|count| *count > limits.archive_entries as u64) {
        return Err(format!("it lists {count} members; more than {} are not read", limits.archive_entries));
    }
    let opened = ZipIterable::try_new(Cursor::new(Arc::clone(&bytes)), Config::default());
    let mut archive = opened.map_err(|error| error.to_string())?;
    let mut out = Scanned::default();
    if let Some(count) = recorded.filter(|count| *count != archive.len() as u64) {
        let message = format!("its end lists {count} members and its directory {}", archive.len());
        out.obstacle(limits, obstacle(b"/", ObstacleKind::Twice, Hides::Tree, message));
    }
    let mut zip = Zip { bytes, offset: 0 };
    let mut first = None;
    let mut spans = Vec::new();
    for entry in archive.files().map_err(|error| error.to_string())? {
        if progress.stop_requested() {
            break;
        }
        if let Some(message) = out.is_full(limits) {
            out.obstacles.push(obstacle(b"/", ObstacleKind::TooMany, Hides::Tree, message));
            break;
        }
        // Where one record cannot be read, nobody knows where the next one begins.
        let met = entry.map_err(io_error).and_then(|entry| {
            let record = Record::read(&*zip.bytes, entry.central_header_start())?;
            Ok((entry, record))
        });
        let (entry, record) = match met {
            Ok(met) => met,
            Err(error) => {
                let message = format!("a record of its directory is damaged: {error}; nothing behind it is seen");
                out.obstacles.push(obstacle(b"/", ObstacleKind::Damaged, Hides::Tree, message));
                break;
            }
        };
        if first.is_none() {
            zip.offset = record.start().and_then(|start| entry.header_start().checked_sub(start)).unwrap_or(0);
            first = Some(entry.central_header_start());
        }
        match member(&zip, &entry, &record, limits, &mut spans) {
            Ok(item) => out.rows.push(item),
            Err(obstacle) => out.obstacle(limits, *obstacle),
        }
        progress.advance(1, 0);
    }
    spans.sort_unstable();
    let is_shared = spans.windows(2).any(|pair| pair[0].1 > pair[1].0);
    if is_shared || spans.iter().any(|span| first.is_some_and(|directory| span.1 > directory)) {
        let message = "members share bytes, as in a bomb; every size is bounded".to_owned();
        out.obstacles.push(obstacle(b"/", ObstacleKind::Remark, Hides::Entry, message));
    }
    out.count_untold();
    Ok((zip, out))
}

fn obstacle(path: &[u8], kind: ObstacleKind, hides: Hides, message: String) -> Obstacle {
    Obstacle { path: Text::new(path), kind, hides, message }
}

/// One member; where its bytes lie goes into `spans`.
fn member(
    zip: &Zip,
    file: &ZipFileEntry<'_>,
    record: &Record,
    limits: &Limits,
    spans: &mut Vec<(u64, u64)>,
) -> Result<Item, Box<Obstacle>> {
    let fail = |name: &[u8], kind, message: String| {
        let path = [b"/", name.strip_prefix(b"/").unwrap_or(name)].concat();
        Box::new(obstacle(&path, kind, Hides::Entry, message))
    };
    let name = file.name_raw().to_vec();
    let local = local(&zip.bytes, file.header_start());
    if let Some((_, start)) = local.as_ref().filter(|_| file.compressed_size() > 0) {
        spans.push((*start, start.saturating_add(file.compressed_size())));
    }
    if local.is_none_or(|(local, _)| local != name) {
        let message = "the archive's directory and the member's own header name it differently".to_owned();
        return Err(fail(&name, ObstacleKind::BadName, message));
    }
    let path = match crate::path::normalise(&name) {
        Ok(path) if path.len() <= limits.path_bytes => path,
        Ok(_) => return Err(fail(&name[..200], ObstacleKind::PathTooLong, "a name that long is not read".into())),
        Err(error) => return Err(fail(&name, ObstacleKind::BadName, format!("it is named so that {error}"))),
    };
    // The crate clears setuid and its like for those who unpack; here they are what matters.
    let recorded = file.external_attributes() >> 16;
    let mode = if recorded & 0o170_000 == 0 { file.unix_mode() } else { Some(recorded) };
    let kind = match mode.map(Kind::from_mode) {
        Some(Kind::Unknown) | None if file.is_dir() => Kind::Folder,
        Some(Kind::Unknown) | None => Kind::File,
        Some(kind) => kind,
    };
    let mut meta = blank(path, kind);
    meta.mode = mode.unwrap_or(if kind == Kind::Folder { 0o755 } else { 0o644 }) & 0o7777;
    meta.size = file.size();
    let dos = file.last_modified().and_then(|at| {
        let civil = jiff::civil::datetime(
            i16::try_from(at.year()).ok()?,
            i8::try_from(at.month()).ok()?,
            i8::try_from(at.day()).ok()?,
            i8::try_from(at.hour()).ok()?,
            i8::try_from(at.minute()).ok()?,
            i8::try_from(at.second()).ok()?,
            0,
        );
        // The field has no zone; the true one is only known where the Unix field is missing too.
        Some(jiff::tz::Offset::UTC.to_timestamp(civil).ok()?.as_second())
    });
    let unix = Unix::read(record.extra());
    let seconds = unix.mtime.map(i64::from).or(dos).unwrap_or(0);
    meta.mtime = Time { seconds, nanoseconds: 0 };
    (meta.uid, meta.gid) = (unix.uid.unwrap_or(0), unix.gid.unwrap_or(0));
    if kind == Kind::Link {
        let mut target = Vec::new();
        let read = zip.single(file.central_header_start()).map_err(io_error).and_then(|mut single| {
            single.by_index(0).map_err(io_error)?.take(TARGET_BYTES).read_to_end(&mut target)?;
            Ok(())
        });
        read.map_err(|error| fail(&name, ObstacleKind::Damaged, error.to_string()))?;
        meta.target = Some(Text::new(target));
    }
    if kind == Kind::File && meta.size > limits.file_bytes {
        let message = format!("{} bytes, more than {}", meta.size, limits.file_bytes);
        return Err(fail(&name, ObstacleKind::TooLarge, message));
    }
    let place = if kind == Kind::File { Place::Member(file.central_header_start()) } else { Place::None };
    Ok(Item { meta, digests: None, place, first: None })
}

/// The name in a member's own header, and where its bytes begin.
fn local(bytes: &Arc<dyn ReadAt>, start: u64) -> Option<(Vec<u8>, u64)> {
    let mut header = [0; 30];
    bytes.read_at(start, &mut header).ok()?;
    header.starts_with(b"PK\x03\x04").then_some(())?;
    let [length, extra] = [26, 28].map(|at| u16::from_le_bytes([header[at], header[at + 1]]));
    let mut name = vec![0; usize::from(length)];
    bytes.read_at(start + 30, &mut name).ok()?;
    Some((name, start + 30 + u64::from(length) + u64::from(extra)))
}

/// How many members the end record says that there are; `None` where it leaves that to a zip64 record.
fn entries_recorded(bytes: &Arc<dyn ReadAt>) -> Option<u64> {
    let tail = bytes.len().min(22 + 65_535);
    let mut end = vec![0; usize::try_from(tail).ok()?];
    bytes.read_at(bytes.len() - tail, &mut end).ok()?;
    let at = end.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let count = end.get(at + 10..at + 12)?.try_into().map(u16::from_le_bytes).ok()?;
    if count != u16::MAX {
        return Some(u64::from(count));
    }
    let locator = at.checked_sub(20).map(|from| &end[from..at])?;
    locator.starts_with(b"PK\x06\x07").then_some(())?;
    let record = u64::from_le_bytes(locator.get(8..16)?.try_into().ok()?);
    let mut zip64 = [0; 40];
    bytes.read_at(record, &mut zip64).ok()?;
    zip64.starts_with(b"PK\x06\x06").then(|| u64::from_le_bytes(zip64[32..40].try_into().unwrap_or_default()))
}

/// What Unix writes in extra fields.
#[derive(Default)]
struct Unix {
    mtime: Option<i32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Unix {
    fn read(mut extra: &[u8]) -> Self {
        let mut out = Self::default();
        while let Some((head, rest)) = extra.split_at_checked(4) {
            let size = usize::from(u16::from_le_bytes([head[2], head[3]]));
            let Some((field, rest)) = rest.split_at_checked(size) else { break };
            match u16::from_le_bytes([head[0], head[1]]) {
                0x5455 if field.first().is_some_and(|flags| flags & 1 != 0) => {
                    out.mtime = field.get(1..5).and_then(|time| time.try_into().ok()).map(i32::from_le_bytes);
                }
                0x7875 => (out.uid, out.gid) = owners(field),
                _ => {}
            }
            extra = rest;
        }
        out
    }
}

/// Version, size of the user id, user id, size of the group id, group id.
fn owners(field: &[u8]) -> (Option<u32>, Option<u32>) {
    let sized = |field: &[u8]| -> Option<(u32, usize)> {
        let size = usize::from(*field.first()?);
        let digits = field.get(1..1 + size).filter(|digits| digits.len() <= 4)?;
        Some((digits.iter().rev().fold(0, |sum, digit| (sum << 8) | u32::from(*digit)), 1 + size))
    };
    let Some((uid, used)) = field.get(1..).and_then(sized) else { return (None, None) };
    (Some(uid), field.get(1 + used..).and_then(sized).map(|(gid, _)| gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_from_the_extra_field_and_a_short_one_is_none() {
        let unix = Unix::read(&[0x75, 0x78, 11, 0, 1, 4, 0xe8, 3, 0, 0, 4, 0xe9, 3, 0, 0]);
        assert_eq!((unix.uid, unix.gid), (Some(1000), Some(1001)));
        let unix = Unix::read(&[0x75, 0x78, 3, 0, 1, 4, 0xe8]);
        assert_eq!((unix.uid, unix.gid), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn no_extra_field_makes_us_panic(extra: Vec<u8>) {
            let _ = Unix::read(&extra);
        }
    }
}
