//! Vhdx-log: what did Hyper-V mean to write when it was cut off?
//!
//! The log holds pages and ranges of zeros that must lie over the file before anything else of it is
//! read. They are laid over it in memory; the file is never changed. Source: \[MS-VHDX\] 2.3.

use std::io;
use std::sync::Arc;

use super::Error;
use super::vhdx::{is_sound, refused};
use crate::ReadAt;
use crate::field::{le16, le32, le64, read};
use crate::joined::clip;

/// Bytes of a log that is read into memory; Hyper-V makes 1 MiB.
const MAX_LOG: u32 = 8 << 20;
/// Writes that are laid over the file: each one is looked at on each read.
const MAX_WRITES: usize = 8192;
const SECTOR: usize = 4096;
/// Bytes of the largest file: the largest disk and its tables.
const MAX_FILE: u64 = 65 << 40;

/// One write: a page, or zeros.
struct Write {
    at: u64,
    len: u64,
    page: Option<Vec<u8>>,
}

struct Replayed {
    below: Arc<dyn ReadAt>,
    /// A page may lie beyond the file's end.
    len: u64,
    writes: Vec<Write>,
}

struct Entry {
    number: u64,
    len: usize,
    tail: usize,
    /// The file had at least this length when the entry was written.
    flushed: u64,
    writes: Vec<Write>,
}

/// The file as it is after its log, by its current header.
pub(super) fn replayed(file: Arc<dyn ReadAt>, header: &[u8]) -> Result<Arc<dyn ReadAt>, Error> {
    let log_guid = &header[48..64];
    if log_guid.iter().all(|byte| *byte == 0) {
        return Ok(file);
    }
    let (len, at) = (le32(header, 68), le64(header, 72));
    if le16(header, 64) != 0 || len > MAX_LOG || len == 0 || !(len as usize).is_multiple_of(SECTOR) {
        return Err(refused("its log has a version or a size that is not read"));
    }
    let log = read(&*file, at, len as usize).map_err(|_| refused("its log lies outside the file"))?;
    let Some(entries) = active(&log, log_guid)? else { return Ok(file) };
    let flushed = entries.last().map_or(0, |last| last.flushed);
    if file.len() < flushed {
        return Err(refused("the file is shorter than its log says: it is cut off"));
    }
    let writes: Vec<Write> = entries.into_iter().flat_map(|entry| entry.writes).collect();
    if writes.len() > MAX_WRITES {
        return Err(refused("its log holds too many writes; open it once with its own program"));
    }
    let pages = writes.iter().filter(|write| write.page.is_some());
    let len = pages.map(|write| write.at + write.len).max().unwrap_or_default().max(file.len());
    if len > MAX_FILE {
        return Err(refused("its log writes beyond the largest file"));
    }
    Ok(Arc::new(Replayed { below: file, len, writes }))
}

/// The run of entries with the highest number that is whole; `None` if there is none.
fn active(log: &[u8], log_guid: &[u8]) -> Result<Option<Vec<Entry>>, Error> {
    let mut best: Option<(u64, usize)> = None;
    // The first sectors of entries that are whole, with what they say; each entry is checked once.
    let mut sound = std::collections::BTreeMap::new();
    let mut work = 0;
    for at in (0..log.len()).step_by(SECTOR) {
        if le32(log, at) != le32(b"loge", 0) {
            continue;
        }
        // Entries that claim to span the whole log from each of its sectors would be read in squares.
        work += (le32(log, at + 8) as usize).min(log.len());
        if work > 4 * MAX_LOG as usize {
            return Err(refused("its log holds entries within entries"));
        }
        if let Some(entry) = entry(log, at, log_guid)
            && !sound.contains_key(&at)
        {
            sound.insert(at, entry);
        }
    }
    // A run goes from its last entry's tail to that entry, with numbers that rise by one.
    for (at, entry) in &sound {
        if best.is_none_or(|(number, _)| entry.number > number) && run(&sound, log.len(), *at).is_some() {
            best = Some((entry.number, *at));
        }
    }
    let Some(places) = best.and_then(|(_, head)| run(&sound, log.len(), head)) else { return Ok(None) };
    Ok(Some(places.iter().filter_map(|at| sound.remove(at)).collect()))
}

type Sound = std::collections::BTreeMap<usize, Entry>;

/// The places of the entries from the tail of the entry at `head` to that entry.
fn run(sound: &Sound, log: usize, head: usize) -> Option<Vec<usize>> {
    let last = sound.get(&head)?;
    let mut at = last.tail;
    let mut places = vec![at];
    while at != head {
        let entry = sound.get(&at)?;
        let next = (at + entry.len) % log;
        if sound.get(&next)?.number != entry.number.checked_add(1)? || places.len() > sound.len() {
            return None;
        }
        places.push(next);
        at = next;
    }
    sound.contains_key(&places[0]).then_some(places)
}

/// The entry at `at`, if it is whole and of this log. It may run over the log's end to its start.
fn entry(log: &[u8], at: usize, log_guid: &[u8]) -> Option<Entry> {
    let len = le32(log, at + 8) as usize;
    if len == 0 || len > log.len() || !len.is_multiple_of(SECTOR) || log.get(at + 32..at + 48)? != log_guid {
        return None;
    }
    let head = (log.len() - at).min(len);
    let bytes = [&log[at..at + head], &log[..len - head]].concat();
    let (tail, number, count) = (le32(&bytes, 12) as usize, le64(&bytes, 16), le32(&bytes, 24) as usize);
    if !is_sound(&bytes) || number == 0 || tail >= log.len() {
        return None;
    }
    let descriptors = count.checked_mul(32)?.checked_add(64)?;
    let mut data = bytes.get(descriptors.next_multiple_of(SECTOR)..)?.chunks_exact(SECTOR);
    let mut writes = Vec::new();
    for descriptor in bytes.get(64..descriptors)?.chunks_exact(32) {
        if le64(descriptor, 24) != number {
            return None;
        }
        let at = le64(descriptor, 16);
        if descriptor.starts_with(b"zero") {
            writes.push(Write { at, len: le64(descriptor, 8), page: None });
        } else if descriptor.starts_with(b"desc") {
            let sector = data.next().filter(|sector| sector.starts_with(b"data"))?;
            let is_whole = u64::from(le32(sector, 4)) << 32 | u64::from(le32(sector, 4092)) == number;
            // The ends of the page lie in the descriptor, where the data sector has its own marks.
            let page = [&descriptor[8..16], &sector[8..4092], &descriptor[4..8]].concat();
            writes.push(Write { at, len: SECTOR as u64, page: is_whole.then_some(page) });
            is_whole.then_some(())?;
        } else {
            return None;
        }
    }
    let is_in_range = |write: &Write| write.at.checked_add(write.len).is_some();
    writes.iter().all(is_in_range).then_some(Entry { number, len, tail, flushed: le64(&bytes, 48), writes })
}

impl ReadAt for Replayed {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        crate::read_at::within(self.len, offset, buffer.len())?;
        let there = clip(self.below.len().saturating_sub(offset), buffer.len());
        let (head, tail) = buffer.split_at_mut(there);
        if !head.is_empty() {
            self.below.read_at(offset, head)?;
        }
        // Between the file's end and a page beyond it nothing was ever written.
        tail.fill(0);
        let end = offset + buffer.len() as u64;
        for write in &self.writes {
            let (from, to) = (write.at.max(offset), (write.at + write.len).min(end));
            if from >= to {
                continue;
            }
            let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let place = &mut buffer[index(from - offset)..index(to - offset)];
            match &write.page {
                Some(page) => place.copy_from_slice(&page[index(from - write.at)..index(to - write.at)]),
                None => place.fill(0),
            }
        }
        Ok(())
    }
}
