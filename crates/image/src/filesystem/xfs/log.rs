//! Log: which changes were promised to this XFS volume and perhaps not yet written to their places?
//!
//! Finds the newest record by the cycle numbers that begin every 512 bytes of the log, checks all
//! records from its tail on, and puts their pieces together again to transactions. A record that was
//! being written when the machine stopped ends the log, as in the kernel.
//!
//! Source: XFS Algorithms & Data Structures, "Journaling Log"; Linux fs/xfs/xfs_log_recover.c.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::bytes::{array, be32, be64, damaged, le32, part, u8_at};
use super::super::checksum::crc32c;
use super::{Error, Superblock};
use crate::ReadAt;

/// The unit of everything in the log.
pub(super) const UNIT: u64 = 512;

const MAGIC: u32 = 0xfeed_babe;

/// Units around the head in which records may be out of order: eight buffers of 256 KiB, twice.
const WINDOW: u64 = (4 << 20) / UNIT;

/// Bytes of a record. The kernel's largest buffer is 256 KiB.
const LARGEST_RECORD: u64 = 1 << 20;

/// Bytes of transactions that are not committed yet. The kernel holds them to a part of the log, and
/// that to 2 GiB; a record can claim a transaction of any size.
const MOST_PENDING: usize = 512 << 20;

const START: u8 = 0x01;
const COMMIT: u8 = 0x02;
const WAS_CONTINUED: u8 = 0x08;
const UNMOUNT: u8 = 0x20;

/// A committed transaction: its place in the log and its pieces in order.
pub(super) struct Transaction {
    pub(super) sequence: u64,
    pub(super) regions: Vec<Vec<u8>>,
}

/// The log of a volume.
pub(super) struct Log {
    volume: Arc<dyn ReadAt>,
    start: u64,
    units: u64,
    is_version_2: bool,
    is_v5: bool,
}

/// The head of one record.
#[derive(Clone, Copy)]
struct Record {
    unit: u64,
    cycle: u32,
    sequence: u64,
    tail: u64,
    /// Bytes of data.
    length: u64,
    /// Units before the data.
    headers: u64,
    operations: u32,
}

/// Takes a record and its data.
type EachRecord<'a> = &'a mut dyn FnMut(&Record, Vec<u8>) -> Result<(), Error>;

impl Log {
    pub(super) fn new(volume: Arc<dyn ReadAt>, superblock: &Superblock) -> Result<Self, Error> {
        let start = superblock.position(superblock.log_start)?;
        let units = superblock.log_blocks * (superblock.block / UNIT);
        if units == 0 || start.checked_add(units * UNIT).is_none_or(|end| end > volume.len()) {
            return Err(damaged("it lies outside the volume"));
        }
        let is_version_2 = superblock.log_version_2;
        Ok(Self { volume, start, units, is_version_2, is_v5: superblock.is_v5 })
    }

    fn read(&self, unit: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let unit = unit % self.units;
        // The log goes round at its end.
        let before = buffer.len().min(((self.units - unit) * UNIT) as usize);
        let (first, rest) = buffer.split_at_mut(before);
        self.volume.read_at(self.start + unit * UNIT, first)?;
        if rest.len() as u64 > self.units * UNIT {
            return Err(damaged("a record longer than the log"));
        }
        Ok(self.volume.read_at(self.start, rest)?)
    }

    /// The cycle in which a unit was written; zero if never.
    fn cycle(&self, unit: u64) -> Result<u32, Error> {
        let mut head = [0; 8];
        self.read(unit, &mut head)?;
        be32(&head, if be32(&head, 0)? == MAGIC { 4 } else { 0 })
    }

    /// The head of the record that begins at a unit, if one does.
    fn record(&self, unit: u64) -> Result<Option<Record>, Error> {
        let mut head = [0; 512];
        self.read(unit, &mut head)?;
        if be32(&head, 0)? != MAGIC {
            return Ok(None);
        }
        let unit = unit % self.units;
        let (cycle, length, size) = (be32(&head, 4)?, u64::from(be32(&head, 12)?), u64::from(be32(&head, 320)?));
        let headers = if self.is_version_2 { size.div_ceil(32 << 10).max(1) } else { 1 };
        let sequence = be64(&head, 16)?;
        let is_sound = sequence == u64::from(cycle) << 32 | unit
            && length.is_multiple_of(UNIT)
            && length <= LARGEST_RECORD
            && headers <= LARGEST_RECORD / (32 << 10)
            && length / UNIT <= headers * 64;
        if !is_sound {
            return Ok(None);
        }
        if be32(&head, 300)? != 1 {
            return Err(damaged("it was written by a machine of another byte order"));
        }
        let (tail, operations) = (be64(&head, 24)?, be32(&head, 40)?);
        Ok(Some(Record { unit, cycle, sequence, tail, length, headers, operations }))
    }

    /// The data of a record, as before cycle numbers were written over it; `None` if it is not whole.
    fn data(&self, record: &Record) -> Result<Option<Vec<u8>>, Error> {
        let units = record.headers + record.length / UNIT;
        let mut bytes = vec![0; (units * UNIT) as usize];
        self.read(record.unit, &mut bytes)?;
        let (headers, data) = bytes.split_at_mut((record.headers * UNIT) as usize);
        if self.is_v5 && !sums_match(headers, data)? {
            return Ok(None);
        }
        for (n, unit) in data.chunks_mut(UNIT as usize).enumerate() {
            if be32(unit, 0)? != record.cycle {
                return Ok(None);
            }
            // The first header holds 64 words, each further one 64 more.
            let at = if n < 64 { 44 + n * 4 } else { n / 64 * UNIT as usize + 4 + n % 64 * 4 };
            unit[..4].copy_from_slice(&array::<4>(headers, at)?);
        }
        Ok(Some(data.to_vec()))
    }

    /// The newest record around the head.
    fn newest(&self) -> Result<Record, Error> {
        // Units of the newest cycle come first, then those of the one before.
        let first = self.cycle(0)?;
        let (mut low, mut high) = (1, self.units);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.cycle(middle)? == first { low = middle + 1 } else { high = middle }
        }
        let window = WINDOW.min(self.units / 2);
        let mut newest: Option<Record> = None;
        for back in 0..=window * 2 {
            let unit = (low + window + self.units - back) % self.units;
            if let Some(record) = self.record(unit)?
                && newest.is_none_or(|newest| record.sequence > newest.sequence)
            {
                newest = Some(record);
            }
        }
        newest.ok_or_else(|| damaged("there is no record in it"))
    }

    /// All whole records from `tail` on, in order, without a gap.
    fn from(&self, tail: u64, until: u64, each: EachRecord<'_>) -> Result<Option<Record>, Error> {
        let mut last: Option<Record> = None;
        let mut unit = tail & 0xffff_ffff;
        let mut gone = 0;
        while gone <= self.units {
            let Some(record) = self.record(unit)? else { break };
            let follows = last.map_or(record.sequence == tail, |last| record.sequence > last.sequence);
            if !follows || record.sequence > until {
                break;
            }
            let Some(data) = self.data(&record)? else { break };
            each(&record, data)?;
            let step = record.headers + record.length / UNIT;
            (unit, gone) = ((unit + step) % self.units, gone + step);
            last = Some(record);
        }
        Ok(last)
    }

    /// The first and the last record to be replayed; `None` if the file system was unmounted.
    pub(super) fn active(&self) -> Result<Option<(u64, u64)>, Error> {
        let newest = self.newest()?;
        let mut unmounts = 0;
        let last = self.from(newest.tail, newest.sequence, &mut |record, data| {
            let is_unmount = record.operations == 1 && u8_at(&data, 9)? & UNMOUNT != 0;
            unmounts = if is_unmount { record.sequence } else { unmounts };
            Ok(())
        })?;
        let last = last.ok_or_else(|| damaged("the record at its tail is damaged"))?;
        Ok((unmounts != last.sequence).then_some((last.tail, last.sequence)))
    }

    /// Hands over each transaction that was committed between two records.
    pub(super) fn transactions(
        &self,
        (tail, head): (u64, u64),
        each: &mut dyn FnMut(Transaction) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut pending: HashMap<u32, Transaction> = HashMap::new();
        let mut held = 0;
        let last = self.from(tail, head, &mut |record, data| {
            let mut at = 0;
            for _ in 0..record.operations {
                let (id, length, flags) = (be32(&data, at)?, be32(&data, at + 4)? as usize, u8_at(&data, at + 9)?);
                let piece = part(&data, at + 12, length)?;
                at += 12 + length;
                if flags & UNMOUNT != 0 {
                    continue;
                }
                if flags & START != 0 {
                    pending.insert(id, Transaction { sequence: record.sequence, regions: Vec::new() });
                    continue;
                }
                if flags & COMMIT != 0 {
                    if let Some(transaction) = pending.remove(&id) {
                        held -= transaction.regions.iter().map(Vec::len).sum::<usize>();
                        each(transaction)?;
                    }
                    continue;
                }
                // What began before the tail was written back long ago.
                let Some(transaction) = pending.get_mut(&id) else { continue };
                held += length;
                if held > MOST_PENDING {
                    return Err(damaged("its transactions are larger than any log"));
                }
                match transaction.regions.last_mut() {
                    Some(last) if flags & WAS_CONTINUED != 0 => last.extend_from_slice(piece),
                    _ if length > 0 => transaction.regions.push(piece.to_vec()),
                    _ => {}
                }
            }
            Ok(())
        })?;
        match last {
            Some(last) if last.sequence == head => Ok(()),
            _ => Err(damaged("a record between its tail and its head is damaged")),
        }
    }
}

/// Checks the sum over the headers and the data of a record.
fn sums_match(headers: &[u8], data: &[u8]) -> Result<bool, Error> {
    let stored = le32(headers, 32)?;
    if cfg!(fuzzing) {
        return Ok(true);
    }
    // The size of the header differs between machines of 32 and 64 bits.
    for size in [328, 324] {
        let mut state = crc32c(crc32c(crc32c(!0, part(headers, 0, 32)?), &[0; 4]), part(headers, 36, size - 36)?);
        for further in headers.chunks(UNIT as usize).skip(1) {
            state = crc32c(state, part(further, 0, 260)?);
        }
        if !crc32c(state, data) == stored {
            return Ok(true);
        }
    }
    Ok(false)
}
