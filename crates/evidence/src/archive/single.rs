//! Single: how is one member of a zip read without a directory of all of them in memory?
//!
//! Half a million members take a reader that knows them all 170 MB. So the archive is shown as one whose
//! directory names a single member: its own bytes, and behind them that member's record and an end of the
//! directory. Whatever the reader checks of a member, it checks as ever.
//! Source: PKWARE APPNOTE 6.3.10, 4.3.12, 4.3.14 to 4.3.16.

use std::io;
use std::sync::Arc;

use image::ReadAt;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipResult;

use crate::file::Cursor;

/// Bytes of a record of the directory before its name.
const RECORD: usize = 46;

/// A record of the directory.
pub(super) struct Record(Vec<u8>);

impl Record {
    /// Reads the record that begins there.
    pub(super) fn read(bytes: &dyn ReadAt, at: u64) -> io::Result<Self> {
        let mut record = vec![0; RECORD];
        bytes.read_at(at, &mut record)?;
        let length = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
        let all = RECORD + length(28) + length(30) + length(32);
        record.resize(all, 0);
        bytes.read_at(at, &mut record)?;
        Ok(Self(record))
    }

    /// The extra fields.
    pub(super) fn extra(&self) -> &[u8] {
        let length = |at: usize| usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]));
        let from = RECORD + length(28);
        self.0.get(from..from + length(30)).unwrap_or_default()
    }

    /// Where it says that the member begins, counted from the first byte of the archive; `None` if that
    /// stands in an extra field.
    pub(super) fn start(&self) -> Option<u64> {
        let start = u32::from_le_bytes([self.0[42], self.0[43], self.0[44], self.0[45]]);
        (start != u32::MAX).then(|| u64::from(start))
    }
}

/// The archive with a directory of one record behind it.
struct Single {
    bytes: Arc<dyn ReadAt>,
    tail: Vec<u8>,
}

impl ReadAt for Single {
    fn len(&self) -> u64 {
        self.bytes.len() + self.tail.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let left = self.bytes.len().saturating_sub(offset);
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let (own, tail) = buffer.split_at_mut(here);
        if !own.is_empty() {
            self.bytes.read_at(offset, own)?;
        }
        if tail.is_empty() {
            return Ok(());
        }
        let from = usize::try_from(offset.saturating_sub(self.bytes.len())).unwrap_or(usize::MAX);
        let wanted = self.tail.get(from..).and_then(|rest| rest.get(..tail.len()));
        tail.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// An archive of that one member. `offset` is how many bytes stand before the first of the archive.
pub(super) fn open(bytes: &Arc<dyn ReadAt>, offset: u64, record: Record) -> ZipResult<ZipArchive<Cursor>> {
    let Record(mut tail) = record;
    let (size, start) = (tail.len() as u64, bytes.len() - offset.min(bytes.len()));
    // The end record of zip64, its locator, and the older end record, which points at them.
    tail.extend(b"PK\x06\x06");
    tail.extend(44_u64.to_le_bytes());
    tail.extend([45, 3, 45, 0]);
    tail.extend([0; 8]);
    [1, 1, size, start].iter().for_each(|number: &u64| tail.extend(number.to_le_bytes()));
    tail.extend(b"PK\x06\x07");
    tail.extend([0; 4]);
    tail.extend((start + size).to_le_bytes());
    tail.extend(1_u32.to_le_bytes());
    tail.extend(b"PK\x05\x06");
    tail.extend([0; 4]);
    tail.extend([0xff; 12]);
    tail.extend([0; 2]);
    let single: Arc<dyn ReadAt> = Arc::new(Single { bytes: Arc::clone(bytes), tail });
    let config = Config { archive_offset: ArchiveOffset::Known(offset) };
    ZipArchive::with_config(config, Cursor::new(single))
}
