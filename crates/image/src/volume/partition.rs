//! Partition: which ranges does a disk's table name, and what lies outside all of them?
//!
//! The reading of Linux decides which table counts (block/partitions/{msdos,efi}.c); what another
//! reader could see is a remark.

use std::sync::Arc;

use super::{gpt, mbr, signature};
use crate::{ReadAt, Slice};

/// A range that a table names, in bytes.
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) label: Option<String>,
    pub(super) uuid: Option<String>,
}

/// What a table says.
#[derive(Default)]
pub(super) struct Table {
    pub(super) parts: Vec<Part>,
    /// Number of a partition or none for the table itself, and what is wrong.
    pub(super) remarks: Vec<(Option<u32>, String)>,
    /// What a reader should know although nothing is hidden by it.
    pub(super) notes: Vec<String>,
}

/// Bytes between partitions that need no explanation: alignment to 1 MiB.
const SMALL_GAP: u64 = 1 << 20;
/// Spaces between partitions that are looked at: a crafted table could make thousands.
const MAX_GAPS: usize = 32;

/// The disk's partitions; `None` if it has no table.
pub(super) fn table(disk: &Arc<dyn ReadAt>) -> Option<Table> {
    let mbr = mbr::read(&**disk);
    let gpt = gpt::read(&**disk, mbr.as_ref().is_some_and(|mbr| mbr.is_protective));
    let mut table = match (mbr, gpt) {
        (Some(mbr), Some(mut gpt)) if mbr.is_protective || mbr.table.parts.is_empty() => {
            if !mbr.is_protective {
                gpt.remarks.push((None, "its GPT is not announced by a protective MBR; Linux would not use it".into()));
            }
            for part in mbr.table.parts {
                if !gpt.parts.iter().any(|other| other.start == part.start && other.len == part.len) {
                    let why = "the MBR beside the GPT names a range that the GPT does not know; it is listed too";
                    gpt.remarks.push((Some(HYBRID + part.number), why.into()));
                    gpt.parts.push(Part { number: HYBRID + part.number, ..part });
                }
            }
            gpt
        }
        (Some(mut mbr), Some(_)) => {
            let why = "it holds a GPT as well, which its MBR does not announce; the MBR was used, as Linux does";
            mbr.table.remarks.push((None, why.into()));
            mbr.table
        }
        (Some(mbr), None) if mbr.is_protective && mbr.table.parts.is_empty() => {
            let why = "its MBR announces a GPT, and both copies of that are damaged or missing";
            Table { remarks: vec![(None, why.into())], ..Table::default() }
        }
        (Some(mut mbr), None) => {
            if mbr.is_protective {
                mbr.table.remarks.push((None, "its MBR announces a GPT that is damaged or missing".into()));
            }
            mbr.table
        }
        (None, Some(mut gpt)) => {
            gpt.remarks.push((None, "its GPT is not announced by a protective MBR; Linux would not use it".into()));
            gpt
        }
        (None, None) => return None,
    };
    if table.parts.is_empty() && table.remarks.is_empty() {
        return None;
    }
    keep_inside(&mut table, disk.len());
    look_outside(&mut table, disk);
    Some(table)
}

/// Numbers of partitions that only the MBR of a GPT disk names.
const HYBRID: u32 = 1000;

fn keep_inside(table: &mut Table, len: u64) {
    let (inside, outside): (Vec<_>, Vec<_>) = std::mem::take(&mut table.parts)
        .into_iter()
        .partition(|part| part.start.checked_add(part.len).is_some_and(|end| end <= len));
    table.parts = inside;
    let why = "it leaves the disk: the table is damaged or the image is cut off";
    table.remarks.extend(outside.iter().map(|part| (Some(part.number), why.to_owned())));
}

/// Reports what begins where no partition is: file systems can be hidden there.
fn look_outside(table: &mut Table, disk: &Arc<dyn ReadAt>) {
    let mut ranges: Vec<(u64, u64)> = table.parts.iter().map(|part| (part.start, part.start + part.len)).collect();
    ranges.sort_unstable();
    ranges.push((disk.len(), disk.len()));
    // The table itself and boot loaders lie at the front.
    let mut free_from = SMALL_GAP;
    let mut gaps = 0;
    for (start, end) in ranges {
        if start.saturating_sub(free_from) > SMALL_GAP {
            gaps += 1;
            if gaps > MAX_GAPS {
                table
                    .remarks
                    .push((None, format!("only the first {MAX_GAPS} spaces between partitions were looked at")));
                return;
            }
            for at in [free_from, free_from.next_multiple_of(SMALL_GAP)] {
                let found = Slice::new(Arc::clone(disk), at, start.saturating_sub(at));
                if let Some(kind) = found.and_then(|range| signature::of(&range)) {
                    let why = format!("the space outside every partition holds {kind} at byte {at}");
                    table.remarks.push((None, why));
                    break;
                }
            }
        }
        free_from = free_from.max(end);
    }
}
