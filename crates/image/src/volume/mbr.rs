//! Mbr: which ranges do the four entries of a boot sector and its logical partitions name?
//!
//! Numbers and PARTUUIDs are those of Linux: logical partitions from 5 on, in the order of the chain.
//! Source: Linux, block/partitions/msdos.c.

use super::partition::{Part, Table};
use crate::ReadAt;
use crate::field::{self, le16, le32};

/// Sectors of an MBR have 512 bytes: disks of 4096 bytes a sector carry GPT.
const SECTOR: u64 = 512;
/// Logical partitions that are followed; Linux itself stops at 100 empty links and its own minors.
const MAX_LOGICAL: u32 = 128;

const EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];
const PROTECTIVE: u8 = 0xEE;

/// A boot sector with a table.
pub(super) struct Mbr {
    /// An entry announces a GPT.
    pub(super) is_protective: bool,
    pub(super) table: Table,
}

struct Entry {
    kind: u8,
    start: u64,
    len: u64,
}

fn entries(sector: &[u8]) -> impl Iterator<Item = Entry> {
    sector[446..510].chunks_exact(16).map(|entry| Entry {
        kind: entry[4],
        start: u64::from(le32(entry, 8)) * SECTOR,
        len: u64::from(le32(entry, 12)) * SECTOR,
    })
}

/// The table of a disk; `None` if the boot sector holds none.
pub(super) fn read(disk: &dyn ReadAt) -> Option<Mbr> {
    let sector = read_table(disk, 0)?;
    // As Linux: an entry is active or not; anything else is the code of a boot sector without table.
    if sector[446..510].chunks_exact(16).any(|entry| entry[0] & 0x7F != 0) {
        return None;
    }
    let signature = le32(&sector, 440);
    let mut found = Mbr { is_protective: false, table: Table::default() };
    let mut extended = Vec::new();
    for (number, entry) in (1..).zip(entries(&sector)) {
        match entry.kind {
            _ if entry.len == 0 => {}
            0 => {}
            PROTECTIVE => found.is_protective = true,
            kind if EXTENDED.contains(&kind) => extended.push(entry),
            _ => found.table.parts.push(part(number, entry.start, entry.len, signature)),
        }
    }
    let mut number = 5;
    for outer in extended {
        follow(disk, &outer, signature, &mut number, &mut found.table);
    }
    Some(found)
}

fn read_table(disk: &dyn ReadAt, at: u64) -> Option<Vec<u8>> {
    field::read(disk, at, 512).ok().filter(|sector| le16(sector, 510) == 0xAA55)
}

fn part(number: u32, start: u64, len: u64, signature: u32) -> Part {
    let uuid = Some(format!("{signature:08x}-{number:02x}"));
    Part { number, start, len, label: None, uuid }
}

/// The chain of logical partitions inside `outer`: each link names one and the next link.
fn follow(disk: &dyn ReadAt, outer: &Entry, signature: u32, number: &mut u32, table: &mut Table) {
    let mut seen = std::collections::BTreeSet::new();
    let mut at = outer.start;
    loop {
        if *number >= 5 + MAX_LOGICAL || !seen.insert(at) {
            let why = "the chain of logical partitions has no end; what comes after is not listed";
            table.remarks.push((Some(*number), why.into()));
            return;
        }
        let Some(link) = read_table(disk, at) else {
            let why = "the chain of logical partitions is broken; what comes after is not listed";
            table.remarks.push((Some(*number), why.into()));
            return;
        };
        let mut next = None;
        for entry in entries(&link).filter(|entry| entry.len != 0 && entry.kind != 0) {
            if EXTENDED.contains(&entry.kind) {
                next = next.or(outer.start.checked_add(entry.start));
            } else if let Some(start) = at.checked_add(entry.start) {
                table.parts.push(part(*number, start, entry.len, signature));
                *number += 1;
            }
        }
        match next {
            Some(next) => at = next,
            None => return,
        }
    }
}
