//! Gpt: which partitions does a GUID partition table name, and does one of its copies hold?
//!
//! Checksums of header and entries are verified; the copy at the end stands in for a damaged one at
//! the front. Source: UEFI Specification 2.10, 5.3.

use super::partition::{Part, Table};
use crate::ReadAt;
use crate::field::{self, IEEE, guid, is_sum, le16, le32, le64, whole_crc32};

/// Bytes of all entries: 2048 of the usual 128 bytes; tools make 128 of them.
const MAX_ENTRIES: u64 = 256 << 10;

/// The table of a disk; `None` if there is none.
///
/// `is_announced`: a protective MBR is there, so the copy at the end is looked for even if nothing
/// stands at the front.
pub(super) fn read(disk: &dyn ReadAt, is_announced: bool) -> Option<Table> {
    let mut first_wrong = None;
    for sector in [512, 4096] {
        let front = copy_at(disk, sector, 1);
        let last = (disk.len() / sector).checked_sub(1)?;
        let why = match front {
            Ok(mut table) => {
                let copy = copy_at(disk, sector, backup(disk, sector).unwrap_or(last));
                match copy {
                    Err(why) => {
                        let why = format!("the copy of its GPT at the end: {why}; the image may be cut off");
                        table.notes.push(why);
                    }
                    Ok(copy) if !is_same(&table, &copy) => {
                        let why = "the two copies of its GPT differ; the one at the front was used";
                        table.remarks.push((None, why.into()));
                    }
                    Ok(_) => {}
                }
                return Some(table);
            }
            Err(why) => why,
        };
        let has_front = field::read(disk, sector, 8).is_ok_and(|start| start == b"EFI PART");
        if !has_front && !is_announced {
            continue;
        }
        if let Ok(mut table) = copy_at(disk, sector, last) {
            table.notes.push(format!("the GPT at the front: {why}; its copy at the end was used"));
            return Some(table);
        }
        if has_front {
            first_wrong.get_or_insert(why);
        }
    }
    let why = first_wrong?;
    let why = format!("its GPT: {why}, and the copy at the end is no better");
    Some(Table { parts: Vec::new(), remarks: vec![(None, why)], ..Table::default() })
}

/// The copy whose header is at sector `lba`, or why it does not count.
fn copy_at(disk: &dyn ReadAt, sector: u64, lba: u64) -> Result<Table, String> {
    let damaged = |why: &str| Err(why.to_owned());
    let at = lba.checked_mul(sector).ok_or("its header lies outside the disk")?;
    let header = field::read(disk, at, 512).map_err(|_| "its header lies outside the disk")?;
    if !header.starts_with(b"EFI PART") {
        return damaged("there is no header");
    }
    let size = le32(&header, 12) as usize;
    let Some(summed) = header.get(..size).filter(|_| size >= 92) else {
        return damaged("its header has a size that is not allowed");
    };
    let mut summed = summed.to_vec();
    summed[16..20].fill(0);
    if !is_sum(&whole_crc32(IEEE, &summed), &le32(&header, 16)) || le64(&header, 24) != lba {
        return damaged("the checksum of its header is wrong");
    }
    let (count, each) = (u64::from(le32(&header, 80)), u64::from(le32(&header, 84)));
    let total = count.checked_mul(each).filter(|total| *total <= MAX_ENTRIES);
    let total = total.and_then(|total| usize::try_from(total).ok());
    let Some(total) = total.filter(|_| each >= 128 && each.is_multiple_of(128)) else {
        return Err(format!("it claims {count} entries of {each} bytes"));
    };
    let at = le64(&header, 72).checked_mul(sector).ok_or("its entries lie outside the disk")?;
    let entries = field::read(disk, at, total).map_err(|_| "its entries lie outside the disk")?;
    if !is_sum(&whole_crc32(IEEE, &entries), &le32(&header, 88)) {
        return damaged("the checksum of its entries is wrong");
    }
    let mut table = Table::default();
    let each = usize::try_from(each).map_err(|_| "its entries are too large")?;
    for (number, entry) in (1..).zip(entries.chunks_exact(each)) {
        if entry[..16].iter().all(|byte| *byte == 0) {
            continue;
        }
        let (first, last) = (le64(entry, 32), le64(entry, 40));
        let range = last.checked_sub(first).and_then(|len| len.checked_add(1)?.checked_mul(sector));
        let (Some(len), Some(start)) = (range, first.checked_mul(sector)) else {
            table.remarks.push((Some(number), "its range is not allowed".into()));
            continue;
        };
        let name: Vec<u16> = entry[56..128].chunks_exact(2).map(|unit| le16(unit, 0)).collect();
        let name = String::from_utf16_lossy(name.split(|unit| *unit == 0).next().unwrap_or_default());
        let label = Some(name).filter(|name| !name.is_empty());
        table.parts.push(Part { number, start, len, label, uuid: Some(guid(entry, 16)) });
    }
    Ok(table)
}

/// Where a sound header at the front says that its copy is.
fn backup(disk: &dyn ReadAt, sector: u64) -> Option<u64> {
    field::read(disk, sector, 40).ok().map(|header| le64(&header, 32))
}

fn is_same(one: &Table, other: &Table) -> bool {
    one.parts.len() == other.parts.len()
        && one.parts.iter().zip(&other.parts).all(|(a, b)| {
            (a.number, a.start, a.len, &a.uuid, &a.label) == (b.number, b.start, b.len, &b.uuid, &b.label)
        })
}
