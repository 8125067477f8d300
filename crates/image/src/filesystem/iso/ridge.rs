//! Ridge: what does Rock Ridge add to a record of ISO 9660?
//!
//! Entries of two letters stand behind the name and, where that is too short, elsewhere on the volume.
//!
//! Source: IEEE P1281 (SUSP 1.12), IEEE P1282 (RRIP 1.12).

use super::super::bytes::{damaged, le32, part, plus, times, u8_at};
use super::{Error, Iso, Record, days_since_1970, short_time};

/// Areas that one record may continue in. Thirty-two are more than a name and a target can fill.
const MOST_AREAS: usize = 32;

/// Bytes of a name, and of a target. Source: Linux `NAME_MAX`, `PATH_MAX`.
const LONGEST_NAME: usize = 4096;
const LONGEST_TARGET: usize = 64 << 10;

/// What Rock Ridge says about one record.
#[derive(Default)]
pub(super) struct Ridge {
    /// Whether it says anything at all.
    pub(super) is_there: bool,
    pub(super) name: Option<Vec<u8>>,
    pub(super) mode: Option<u32>,
    pub(super) links: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) target: Vec<u8>,
    pub(super) mtime: Option<i64>,
    pub(super) ctime: Option<i64>,
    pub(super) birth: Option<i64>,
    /// The block of a folder that was moved because it lay too deep.
    pub(super) child: Option<u32>,
    /// Content is not as it was.
    pub(super) is_packed: bool,
    /// The last part of the target goes on in the next entry.
    is_split: bool,
}

/// The mark in the root's own record that system use areas are used as agreed; gives its place, and
/// what to skip in others.
pub(super) fn mark(area: &[u8]) -> Option<(usize, usize)> {
    // CD-ROM XA puts fourteen bytes before it. Source: Linux fs/isofs/rock.c.
    [0, 14].into_iter().find_map(|at| match area.get(at..at + 7) {
        Some([b'S', b'P', 7, 1, 0xbe, 0xef, skip]) => Some((at, usize::from(*skip))),
        _ => None,
    })
}

impl Ridge {
    /// Reads all entries of a record.
    pub(super) fn of(iso: &Iso, record: &Record, skip: usize) -> Result<Self, Error> {
        let mut ridge = Self { links: 1, ..Self::default() };
        let mut area = record.system_use()?.get(skip..).unwrap_or_default().to_vec();
        for _ in 0..MOST_AREAS {
            let Some((block, offset, length)) = ridge.area(&area)? else { return Ok(ridge) };
            let place = plus(times(block.into(), iso.block)?, offset.into())?;
            if u64::from(length) > super::SECTOR * 16 {
                return Err(damaged(format!("a system use area of {length} bytes")));
            }
            area = iso.metadata.bytes(place, length as usize)?;
        }
        Err(damaged("system use areas without an end"))
    }

    /// Reads one area; gives where the next one is: block, offset, length.
    fn area(&mut self, area: &[u8]) -> Result<Option<(u32, u32, u32)>, Error> {
        let (mut at, mut next) = (0, None);
        while at + 4 <= area.len() {
            let length = usize::from(area[at + 2]);
            // Zeros pad the end of an area.
            if area[at] == 0 {
                break;
            }
            if length < 4 {
                return Err(damaged("a system use entry without a length"));
            }
            let entry = part(area, at, length)?;
            at += length;
            match &entry[..2] {
                b"CE" => next = Some((le32(entry, 4)?, le32(entry, 12)?, le32(entry, 20)?)),
                b"ST" => break,
                b"PX" => {
                    self.is_there = true;
                    self.mode = Some(le32(entry, 4)?);
                    self.links = le32(entry, 12)?;
                    (self.uid, self.gid) = (le32(entry, 20)?, le32(entry, 28)?);
                }
                b"NM" => self.named(entry)?,
                b"SL" => self.linked(entry)?,
                b"TF" => self.timed(entry)?,
                b"CL" => self.child = Some(le32(entry, 4)?),
                b"RR" => self.is_there = true,
                b"ZF" | b"SF" => self.is_packed = true,
                _ => {}
            }
        }
        Ok(next)
    }

    fn named(&mut self, entry: &[u8]) -> Result<(), Error> {
        self.is_there = true;
        let flags = u8_at(entry, 4)?;
        // Flags of `.` and `..`: those records are told by their own names.
        if flags & 0x6 != 0 {
            return Ok(());
        }
        let name = self.name.get_or_insert_default();
        name.extend_from_slice(&entry[5..]);
        if name.len() > LONGEST_NAME { Err(damaged("a name without an end")) } else { Ok(()) }
    }

    fn linked(&mut self, entry: &[u8]) -> Result<(), Error> {
        let mut at = 5;
        while at + 2 <= entry.len() {
            let (flags, length) = (entry[at], usize::from(entry[at + 1]));
            let text = part(entry, at + 2, length)?;
            at += 2 + length;
            if !self.is_split && !self.target.is_empty() && !self.target.ends_with(b"/") {
                self.target.push(b'/');
            }
            match flags & 0xe {
                0x2 => self.target.push(b'.'),
                0x4 => self.target.extend_from_slice(b".."),
                0x8 => self.target.push(b'/'),
                _ => self.target.extend_from_slice(text),
            }
            self.is_split = flags & 1 != 0;
            if self.target.len() > LONGEST_TARGET {
                return Err(damaged("a link without an end"));
            }
        }
        Ok(())
    }

    fn timed(&mut self, entry: &[u8]) -> Result<(), Error> {
        let flags = u8_at(entry, 4)?;
        let size = if flags & 0x80 != 0 { 17 } else { 7 };
        let mut at = 5;
        for bit in 0..7 {
            if flags & 1 << bit == 0 {
                continue;
            }
            let raw = part(entry, at, size)?;
            let time = if size == 7 { short_time(raw)? } else { long_time(raw)? };
            at += size;
            match bit {
                0 => self.birth = Some(time),
                1 => self.mtime = Some(time),
                3 => self.ctime = Some(time),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Seventeen bytes: sixteen digits and quarters of an hour east of UTC.
fn long_time(raw: &[u8]) -> Result<i64, Error> {
    let number = |at, count| {
        let digits = part(raw, at, count)?;
        digits.iter().try_fold(0, |number, digit| match digit {
            b'0'..=b'9' => Ok(number * 10 + i64::from(digit - b'0')),
            _ => Err(damaged("a time that is none")),
        })
    };
    let days = days_since_1970(number(0, 4)?, number(4, 2)?, number(6, 2)?);
    let zone = i64::from(u8_at(raw, 16)? as i8) * 900;
    Ok(days * 86_400 + number(8, 2)? * 3600 + number(10, 2)? * 60 + number(12, 2)? - zone)
}
