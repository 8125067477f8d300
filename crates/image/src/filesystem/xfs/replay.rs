//! Replay: what would this XFS volume hold if its log had been written back?
//!
//! The changes of committed transactions are laid over the volume in memory: blocks, inodes and new
//! clusters of inodes. Intents about free space, reverse maps and reference counts change nothing that
//! a reader sees; those about maps and attributes do, and one that the crash left open is a remark.
//!
//! Source: XFS Algorithms & Data Structures, "Journaling Log"; Linux fs/xfs/xfs_buf_item_recover.c,
//! xfs_inode_item_recover.c, xfs_icreate_item.c.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::bytes::{array, be16, be32, be64, damaged, le16, le32, le64, part, times, u8_at};
use super::super::checksum::crc32c;
use super::super::overlay::{Newer, Overlay};
use super::log::{Log, Transaction, UNIT};
use super::{Error, Superblock};
use crate::ReadAt;

/// Units of 512 bytes that the log may change: 1 GiB of memory.
const MOST_CHANGED: usize = (1 << 30) / UNIT as usize;

/// Bytes that are written while replaying: a minute's work. A log of 2 GiB, the largest that there is,
/// can say a million times that the same cluster of inodes is new.
const MOST_WRITTEN: u64 = 64 << 30;

/// Units of one buffer. Source: Linux `XFS_MAX_BLOCKSIZE`, 64 KiB.
const LARGEST_BUFFER: u16 = 128;

/// Types of items. Source: Linux fs/xfs/libxfs/xfs_log_format.h, `XFS_LI_*`.
mod item {
    pub(super) const INODE: u16 = 0x123b;
    pub(super) const BUFFER: u16 = 0x123c;
    pub(super) const CREATE: u16 = 0x123f;
    /// Intents that change what a reader sees, each with what says that it is done.
    pub(super) const VISIBLE: [(u16, u16); 3] = [(0x1244, 0x1245), (0x1246, 0x1247), (0x1248, 0x1249)];
    /// Freed extents, unlinked inodes, quota, reverse maps and reference counts, also of real time.
    pub(super) const INVISIBLE: [u16; 15] = [
        0x1236, 0x1237, 0x1238, 0x123d, 0x123e, 0x1240, 0x1241, 0x1242, 0x1243, 0x124a, 0x124b, 0x124c, 0x124d, 0x124e,
        0x124f,
    ];
}

/// Lays the log over the volume, with a sentence about it. `None` if there is nothing to replay.
pub(super) fn replay(superblock: &Superblock, volume: &Arc<dyn ReadAt>) -> Result<Option<(Overlay, String)>, Error> {
    if superblock.log_start == 0 {
        return Err(damaged("it is on another device, and may be clean"));
    }
    let log = Log::new(Arc::clone(volume), superblock)?;
    let Some(range) = log.active()? else { return Ok(None) };
    let mut replay = Replay {
        superblock,
        overlay: Overlay::new(Arc::clone(volume), UNIT),
        cancelled: HashMap::new(),
        open: HashSet::new(),
        written: 0,
    };
    log.transactions(range, &mut |transaction| replay.find_cancelled(&transaction))?;
    let mut count = 0_u64;
    log.transactions(range, &mut |transaction| {
        count += 1;
        replay.apply(&transaction)
    })?;
    let mut remark = format!("not cleanly unmounted: {count} transactions were taken from the log");
    if !replay.open.is_empty() {
        let open = replay.open.len();
        remark += &format!("; {open} changes of maps or attributes were left half done, and were NOT finished here");
    }
    Ok(Some((replay.overlay, remark)))
}

struct Replay<'a> {
    superblock: &'a Superblock,
    overlay: Overlay,
    /// Buffers that were freed later, by place and length, and how often.
    cancelled: HashMap<(u64, u16), u32>,
    /// Intents that are not done.
    open: HashSet<(u16, u64)>,
    /// Bytes so far.
    written: u64,
}

/// The type of an item, and its regions.
type Item<'a> = (u16, &'a [Vec<u8>]);

/// The items of a transaction.
fn items(transaction: &Transaction) -> Result<Vec<Item<'_>>, Error> {
    let mut items = Vec::new();
    let Some((head, mut rest)) = transaction.regions.split_first() else { return Ok(items) };
    if le32(head, 0)? != 0x5452_414e {
        return Err(damaged("a transaction in the log has no head"));
    }
    while let Some(first) = rest.first() {
        let (kind, count) = (le16(first, 0)?, usize::from(le16(first, 2)?));
        if count == 0 || count > rest.len() {
            return Err(damaged("an item in the log is not all there"));
        }
        let (regions, after) = rest.split_at(count);
        items.push((kind, regions));
        rest = after;
    }
    Ok(items)
}

/// The head of a logged buffer.
struct Buffer<'a> {
    flags: u16,
    key: (u64, u16),
    map: &'a [u8],
}

fn buffer(head: &[u8]) -> Result<Buffer<'_>, Error> {
    let words = le32(head, 16)? as usize;
    let map = part(head, 20, words.saturating_mul(4))?;
    Ok(Buffer { flags: le16(head, 4)?, key: (le64(head, 8)?, le16(head, 6)?), map })
}

const OF_INODES: u16 = 0x1;
const CANCEL: u16 = 0x2;
const OF_QUOTA: u16 = 0x4 | 0x8 | 0x10;

impl Replay<'_> {
    fn find_cancelled(&mut self, transaction: &Transaction) -> Result<(), Error> {
        for (kind, regions) in items(transaction)? {
            if kind == item::BUFFER {
                let buffer = buffer(&regions[0])?;
                if buffer.flags & CANCEL != 0 {
                    *self.cancelled.entry(buffer.key).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    /// In the order of the kernel: buffers and new inodes, then inodes, then what is cancelled.
    fn apply(&mut self, transaction: &Transaction) -> Result<(), Error> {
        let items = items(transaction)?;
        for (kind, regions) in &items {
            match *kind {
                item::BUFFER => self.buffer(regions, transaction.sequence)?,
                item::CREATE => self.create(&regions[0])?,
                _ => {}
            }
        }
        for (kind, regions) in &items {
            match *kind {
                item::INODE => self.inode(regions, transaction.sequence)?,
                item::BUFFER | item::CREATE => {}
                other if item::INVISIBLE.contains(&other) => {}
                other => {
                    let id = le64(&regions[0], 8)?;
                    match item::VISIBLE.iter().find(|(intent, done)| other == *intent || other == *done) {
                        Some((intent, _)) if other == *intent => self.open.insert((*intent, id)),
                        Some((intent, _)) => self.open.remove(&(*intent, id)),
                        None => return Err(damaged(format!("it holds items of the unknown type {other:#x}"))),
                    };
                }
            }
        }
        for (kind, regions) in &items {
            if *kind == item::BUFFER {
                let buffer = buffer(&regions[0])?;
                if buffer.flags & CANCEL != 0
                    && let Some(count) = self.cancelled.get_mut(&buffer.key)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.cancelled.remove(&buffer.key);
                    }
                }
            }
        }
        Ok(())
    }

    fn buffer(&mut self, regions: &[Vec<u8>], sequence: u64) -> Result<(), Error> {
        let buffer = buffer(&regions[0])?;
        // Of buffers of inodes only the list of unlinked ones is logged, which nobody reads here.
        if buffer.flags & (CANCEL | OF_INODES | OF_QUOTA) != 0 || self.cancelled.contains_key(&buffer.key) {
            return Ok(());
        }
        if buffer.key.1 > LARGEST_BUFFER {
            return Err(damaged("a logged buffer is larger than any block"));
        }
        let position = times(buffer.key.0, UNIT)?;
        let mut bytes = vec![0; usize::from(buffer.key.1) * UNIT as usize];
        self.overlay.read_at(position, &mut bytes)?;
        if self.superblock.is_v5 && self.is_newer(&bytes, sequence) {
            return Ok(());
        }
        // Each bit stands for 128 bytes; each region fills a row of them.
        let is_set = |bit: usize| buffer.map.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1);
        let bits = buffer.map.len() * 8;
        let mut bit = 0;
        for region in &regions[1..] {
            while bit < bits && !is_set(bit) {
                bit += 1;
            }
            let row = (bit..bits).take_while(|bit| is_set(*bit)).count().min(region.len() / 128);
            let target = bytes.get_mut(bit * 128..(bit + row) * 128);
            let target = target.ok_or_else(|| damaged("a logged buffer is longer than it says"))?;
            target.copy_from_slice(part(region, 0, row * 128)?);
            bit += row;
        }
        self.put(position, &bytes)
    }

    /// Whether a block on the volume was written back after this transaction.
    fn is_newer(&self, block: &[u8], sequence: u64) -> bool {
        // Places of the sequence and of the uuid, by magic number.
        let places = match block.get(..4) {
            Some(b"XFSB") => Some((240, 32)),
            Some(b"BMA3") => Some((32, 40)),
            Some(b"XDB3" | b"XDD3" | b"XDF3") => Some((16, 24)),
            Some(b"XSLM") => Some((48, 16)),
            _ => matches!(be16(block, 8), Ok(0x3bee | 0x3ebe | 0x3df1 | 0x3dff)).then_some((24, 32)),
        };
        let Some((at, uuid)) = places else { return false };
        let is_ours = array::<16>(block, uuid)
            .is_ok_and(|uuid| uuid == self.superblock.metadata_uuid || uuid == self.superblock.uuid);
        is_ours && be64(block, at).is_ok_and(|stored| stored != 0 && stored != u64::MAX && stored >= sequence)
    }

    fn inode(&mut self, regions: &[Vec<u8>], sequence: u64) -> Result<(), Error> {
        let head = &regions[0];
        // Machines of 32 bits left out the padding.
        let shift = if head.len() >= 56 { 4 } else { 0 };
        let (fields, device) = (le32(head, 4)?, le32(head, 20 + shift)?);
        let (unit, units, offset) = (le64(head, 36 + shift)?, le32(head, 44 + shift)?, le32(head, 48 + shift)?);
        if u16::try_from(units).is_ok_and(|units| self.cancelled.contains_key(&(unit, units))) {
            return Ok(());
        }
        let position = times(unit, UNIT)?.checked_add(offset.into());
        let position = position.ok_or_else(|| damaged("an inode beyond all disks"))?;
        let mut inode = vec![0; self.superblock.inode_size];
        self.overlay.read_at(position, &mut inode)?;
        if inode.get(..2) != Some(b"IN") {
            return Err(damaged("a logged inode has no place"));
        }
        let Some(core) = regions.get(1) else { return Ok(()) };
        let is_v3 = u8_at(core, 4)? == 3;
        if is_v3 && matches!(be64(&inode, 112)?, stored if stored != 0 && stored != u64::MAX && stored >= sequence) {
            return Ok(());
        }
        let (on_volume, logged) = (be16(&inode, 30)?, le16(core, 30)?);
        let went_round = on_volume == u16::MAX && logged < u16::MAX / 2;
        if !is_v3 && logged < on_volume && !went_round {
            return Ok(());
        }
        let size = put_core(&mut inode, core)?;
        let split = match usize::from(u8_at(&inode, 82)?) {
            0 => inode.len(),
            split => size + split * 8,
        };
        if split > inode.len() {
            return Err(damaged("the forks of a logged inode leave it"));
        }
        let mut next = 2;
        if fields & 0xe != 0 {
            let region = regions.get(next).ok_or_else(|| damaged("a logged inode lacks its map"))?;
            put_fork(&mut inode[size..split], region, fields & 0x8 != 0, is_v3)?;
            next += 1;
        } else if fields & 0x10 != 0 {
            inode[size..size + 4].copy_from_slice(&device.to_be_bytes());
        }
        if fields & 0x1c0 != 0 {
            let region = regions.get(next).ok_or_else(|| damaged("a logged inode lacks its attributes"))?;
            put_fork(&mut inode[split..], region, fields & 0x100 != 0, is_v3)?;
        }
        if is_v3 {
            inode[112..120].copy_from_slice(&sequence.to_be_bytes());
            seal(&mut inode)?;
        }
        self.put(position, &inode)
    }

    /// Writes a cluster of new inodes.
    fn create(&mut self, head: &[u8]) -> Result<(), Error> {
        let superblock = self.superblock;
        let [group, block, count, size, length, generation] = [4, 8, 12, 16, 20, 24].map(|at| be32(head, at));
        let (group, block, count, length) = (u64::from(group?), u64::from(block?), u64::from(count?), length?);
        let blocks = u64::from(length);
        let inode_size = superblock.inode_size as u64;
        if u64::from(size?) != inode_size
            || !superblock.is_v5
            || blocks > superblock.group_blocks
            || count.checked_mul(inode_size).is_none_or(|bytes| bytes > blocks * superblock.block || bytes > 1 << 20)
            || block >= superblock.group_blocks
        {
            return Err(damaged("a logged cluster of inodes contradicts itself"));
        }
        let number = group << superblock.group_bits | block;
        let position = superblock.position(number)?;
        let units = position / UNIT..(position + blocks * superblock.block) / UNIT;
        // A cluster that was freed again belongs to somebody else by now. The search counts as work.
        self.written += self.cancelled.len() as u64 * 16;
        if self.cancelled.keys().any(|(unit, count)| *unit < units.end && unit + u64::from(*count) > units.start) {
            return Ok(());
        }
        let generation = generation?;
        for n in 0..count {
            let mut inode = vec![0; superblock.inode_size];
            inode[..2].copy_from_slice(b"IN");
            inode[4] = 3;
            inode[92..96].copy_from_slice(&generation.to_be_bytes());
            inode[96..100].fill(0xff);
            inode[152..160].copy_from_slice(&((number << superblock.inode_bits) + n).to_be_bytes());
            inode[160..176].copy_from_slice(&superblock.metadata_uuid);
            seal(&mut inode)?;
            self.put(position + n * inode_size, &inode)?;
        }
        Ok(())
    }

    /// Lays bytes over the volume.
    fn put(&mut self, position: u64, bytes: &[u8]) -> Result<(), Error> {
        self.written += bytes.len() as u64;
        if self.written > MOST_WRITTEN {
            return Err(damaged("it writes more than a log can say"));
        }
        let (first, end) = (position / UNIT, (position + bytes.len() as u64).div_ceil(UNIT));
        let mut whole = vec![0; ((end - first) * UNIT) as usize];
        self.overlay.read_at(first * UNIT, &mut whole)?;
        let from = (position - first * UNIT) as usize;
        whole[from..from + bytes.len()].copy_from_slice(bytes);
        for (n, unit) in whole.chunks(UNIT as usize).enumerate() {
            self.overlay.put(first + n as u64, Newer::Bytes(unit.into()));
        }
        if self.overlay.count() > MOST_CHANGED {
            return Err(damaged("it changes more than 1 GiB"));
        }
        Ok(())
    }
}

/// Makes the checksum of a changed inode right again.
fn seal(inode: &mut [u8]) -> Result<(), Error> {
    let sum = crc32c(crc32c(crc32c(!0, part(inode, 0, 100)?), &[0; 4]), part(inode, 104, inode.len() - 104)?);
    inode[100..104].copy_from_slice(&(!sum).to_le_bytes());
    Ok(())
}

/// Puts the fields of a logged inode, which are in the machine's order, in the order of the volume;
/// gives their size. The list of unlinked inodes and the place of the log stay as they were.
fn put_core(inode: &mut [u8], core: &[u8]) -> Result<usize, Error> {
    /// Place and width of each number of version 3 that is kept. Single bytes need no turning.
    const FIELDS: [(usize, usize); 21] = [
        (0, 2),
        (2, 2),
        (6, 2),
        (8, 4),
        (12, 4),
        (16, 4),
        (20, 2),
        (22, 2),
        (56, 8),
        (64, 8),
        (72, 4),
        (76, 4),
        (80, 2),
        (84, 4),
        (88, 2),
        (90, 2),
        (92, 4),
        (104, 8),
        (120, 8),
        (128, 4),
        (152, 8),
    ];
    let is_v3 = u8_at(core, 4)? == 3;
    let size = if is_v3 { 176 } else { 100 };
    let mut fields = part(core, 0, size)?.to_vec();
    let has_wide_times = is_v3 && le64(core, 120)? & 0x8 != 0;
    for (at, width) in FIELDS {
        if at + width <= size {
            fields[at..at + width].reverse();
        }
    }
    if is_v3 {
        fields[24..32].reverse()
    } else {
        fields[30..32].reverse()
    }
    for at in [32, 40, 48, 144] {
        if at + 8 > size {
            continue;
        }
        if has_wide_times {
            fields[at..at + 8].reverse();
        } else {
            fields[at..at + 4].reverse();
            fields[at + 4..at + 8].reverse();
        }
    }
    if fields.get(..2) != Some(b"IN") || inode.len() < size {
        return Err(damaged("a logged inode is none"));
    }
    fields[96..100].copy_from_slice(&array::<4>(inode, 96)?);
    if is_v3 {
        fields[112..120].copy_from_slice(&array::<8>(inode, 112)?);
    }
    inode[..size].copy_from_slice(&fields);
    Ok(size)
}

/// Puts a logged fork into an inode. The root of a tree is logged in the form that it has in memory.
fn put_fork(fork: &mut [u8], region: &[u8], is_root: bool, is_v3: bool) -> Result<(), Error> {
    if !is_root {
        let count = region.len().min(fork.len());
        fork[..count].copy_from_slice(&region[..count]);
        return Ok(());
    }
    let header = if is_v3 { 72 } else { 24 };
    let count = usize::from(be16(region, 6)?);
    let (most, room) = (fork.len().saturating_sub(4) / 16, region.len().saturating_sub(header) / 16);
    if count > most || count > room {
        return Err(damaged("a logged root of a tree does not fit into its inode"));
    }
    fork[..4].copy_from_slice(part(region, 4, 4)?);
    fork[4..4 + count * 8].copy_from_slice(part(region, header, count * 8)?);
    fork[4 + most * 8..4 + most * 8 + count * 8].copy_from_slice(part(region, header + room * 8, count * 8)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Memory;

    /// A volume of 64 blocks in one group, with inodes in blocks 4 to 7.
    fn volume() -> (Superblock, Arc<dyn ReadAt>) {
        let mut bytes = vec![0; 64 * 4096];
        bytes[..4].copy_from_slice(b"XFSB");
        bytes[4..8].copy_from_slice(&4096_u32.to_be_bytes());
        bytes[8..16].copy_from_slice(&64_u64.to_be_bytes());
        bytes[84..88].copy_from_slice(&64_u32.to_be_bytes());
        bytes[88..92].copy_from_slice(&1_u32.to_be_bytes());
        bytes[100..102].copy_from_slice(&0x2005_u16.to_be_bytes());
        bytes[104..106].copy_from_slice(&512_u16.to_be_bytes());
        (bytes[120], bytes[123], bytes[124]) = (12, 3, 6);
        for inode in bytes[4 * 4096..8 * 4096].chunks_mut(512) {
            inode[..2].copy_from_slice(b"IN");
        }
        (Superblock::parse(&bytes).unwrap(), Arc::new(Memory(bytes)))
    }

    /// An item of a known type whose numbers are small enough to mean something, or anything at all.
    fn item() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let kinds = prop::sample::select(vec![item::INODE, item::BUFFER, item::CREATE, 0x1244, 0x1245, 0x1236]);
        let word = prop_oneof![4 => Just(0_u32), 4 => 0..70_u32, 2 => prop::sample::select(vec![512, 4096, 0xff]),
            1 => any::<u32>()];
        let region = prop_oneof![Just(vec![0x49, 0x4e, 0, 0, 3]), Just(vec![0x49, 0x4e, 0, 0, 2]), Just(vec![0xff])];
        let region = (region, 0..600_usize).prop_map(|(mut region, size)| {
            region.resize(size.max(region.len()), 0x11);
            region
        });
        (kinds, prop::collection::vec(word, 3..20), prop::collection::vec(region, 0..4), any::<bool>()).prop_map(
            |(kind, words, mut regions, is_big)| {
                let mut head = kind.to_le_bytes().to_vec();
                head.extend((regions.len() as u16 + 1).to_le_bytes());
                head.extend(words.iter().flat_map(|word| if is_big { word.to_be_bytes() } else { word.to_le_bytes() }));
                regions.insert(0, head);
                regions
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_transaction_of_any_items_harms_nobody(items in prop::collection::vec(item(), 1..6)) {
            let (superblock, volume) = volume();
            let overlay = Overlay::new(volume, UNIT);
            let (cancelled, open) = (HashMap::new(), HashSet::new());
            let mut replay = Replay { superblock: &superblock, overlay, cancelled, open, written: 0 };
            let mut regions = vec![0x5452_414e_u32.to_le_bytes().to_vec()];
            regions.extend(items.into_iter().flatten());
            let transaction = Transaction { sequence: 7, regions };
            if replay.find_cancelled(&transaction).is_ok() {
                let _ = replay.apply(&transaction);
            }
        }
    }
}
