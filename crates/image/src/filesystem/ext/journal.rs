//! Journal: what was promised to this ext volume and not yet written to its place?
//!
//! Three passes as in the kernel: find the last transaction that was committed, collect what was
//! revoked, and lay the newest copy of each block over the volume. Copies stay where they are in the
//! journal; only their places are kept, so memory grows with the journal's blocks, not its bytes.
//!
//! Source: Linux Documentation/filesystems/ext4/journal.rst, fs/jbd2/recovery.c.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::bytes::{array, be16, be32, damaged, part, times};
use super::super::cache::Metadata;
use super::super::checksum::crc32c;
use super::super::overlay::{Newer, Overlay};
use super::super::runs::Run;
use super::{Error, Ext, map};

const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;

const WITH_REVOKES: u32 = 0x1;
const BITS_64: u32 = 0x2;
const CHECKSUM_2: u32 = 0x8;
const CHECKSUM_3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
/// What this reader knows: the above and commits that are written early.
const KNOWN: u32 = WITH_REVOKES | BITS_64 | 0x4 | CHECKSUM_2 | CHECKSUM_3 | FAST_COMMIT;

/// Blocks of a journal. The kernel makes at most 1 GiB; ten times that is read, and more is a claim.
const LONGEST: u32 = 10 << 18;

/// Replays the journal into memory, so that the volume shows what a mount would show.
///
/// A journal that cannot be replayed is a remark: files are shown as they lie on the volume.
pub(super) fn replay(ext: &mut Ext) -> Result<(), Error> {
    let remark = match Journal::open(ext).and_then(|journal| journal.overlay(Arc::clone(&ext.volume))) {
        Ok((overlay, remark)) => {
            let count = overlay.count();
            let volume: Arc<dyn crate::ReadAt> = Arc::new(overlay);
            ext.superblock = super::superblock(&*volume)?;
            ext.metadata = Metadata::new(Arc::clone(&volume));
            ext.volume = volume;
            let replayed = format!("not cleanly unmounted: {count} blocks were taken from the journal");
            remark.map_or(replayed.clone(), |remark| format!("{replayed}; {remark}"))
        }
        Err(why) => format!(
            "not cleanly unmounted, and the journal was NOT replayed ({why}): what was written last may be missing \
             or torn"
        ),
    };
    ext.remarks.push(remark);
    Ok(())
}

struct Journal {
    /// Where each block of the journal lies, in bytes.
    runs: Vec<Run>,
    volume: Arc<dyn crate::ReadAt>,
    block: u64,
    first: u32,
    /// Blocks; the log goes round at its end.
    end: u32,
    sequence: u32,
    start: u32,
    features: u32,
    seed: u32,
    /// Blocks of the file system, for checks.
    blocks: u64,
    has_fast_commits: bool,
}

/// A copy in the journal.
struct Copy {
    block: u64,
    position: u64,
    escaped: bool,
    sequence: u32,
    sum: Sum,
}

/// The checksum of a copy, as far as its tag has room for one.
enum Sum {
    None,
    Lower(u16),
    Full(u32),
}

impl Journal {
    fn open(ext: &Ext) -> Result<Self, Error> {
        if ext.superblock.journal == 0 {
            let elsewhere = ext.superblock.journal_uuid != [0; 16];
            return Err(damaged(if elsewhere { "it is on another device" } else { "there is none" }));
        }
        let inode = ext.inode(ext.superblock.journal.into())?;
        let runs = map::runs(ext, &inode)?.all().to_vec();
        let mut journal = Self {
            runs,
            volume: Arc::clone(&ext.volume),
            block: ext.superblock.block,
            first: 0,
            end: 1,
            sequence: 0,
            start: 0,
            features: 0,
            seed: 0,
            blocks: ext.superblock.blocks,
            has_fast_commits: false,
        };
        let head = journal.read(0)?;
        if be32(&head, 0)? != MAGIC || !matches!(be32(&head, 4)?, 3 | 4) {
            return Err(damaged("the journal has no superblock"));
        }
        if be32(&head, 4)? == 4 {
            journal.features = be32(&head, 40)?;
        }
        if journal.features & !KNOWN != 0 {
            return Err(damaged(format!("the journal has the unknown features {:#x}", journal.features & !KNOWN)));
        }
        journal.end = be32(&head, 16)?;
        if journal.features & FAST_COMMIT != 0 {
            let fast = match be32(&head, 84)? {
                0 => 256,
                fast => fast,
            };
            let end = journal.end.checked_sub(fast);
            journal.end = end.ok_or_else(|| damaged("a journal of fast commits only"))?;
            journal.has_fast_commits = true;
        }
        (journal.first, journal.sequence, journal.start) = (be32(&head, 20)?, be32(&head, 24)?, be32(&head, 28)?);
        journal.seed = crc32c(!0, &array::<16>(&head, 48)?);
        let sound = u64::from(be32(&head, 12)?) == journal.block
            && journal.first >= 1
            && journal.first < journal.end
            && journal.end <= LONGEST
            && journal.start < journal.end;
        if sound { Ok(journal) } else { Err(damaged("the sizes of the journal contradict each other")) }
    }

    fn place(&self, number: u32) -> Result<u64, Error> {
        let at = times(number.into(), self.block)?;
        let run = self.runs.partition_point(|run| run.logical + run.length <= at);
        match self.runs.get(run) {
            Some(run) if run.logical <= at => Ok(run.physical + (at - run.logical)),
            _ => Err(damaged("a block of the journal lies nowhere")),
        }
    }

    fn read(&self, number: u32) -> Result<Vec<u8>, Error> {
        let mut block = vec![0; self.block as usize];
        self.volume.read_at(self.place(number)?, &mut block)?;
        Ok(block)
    }

    fn next(&self, number: u32, by: u32) -> u32 {
        let number = number + by;
        if number >= self.end { number - self.end + self.first } else { number }
    }

    fn has_checksums(&self) -> bool {
        self.features & (CHECKSUM_2 | CHECKSUM_3) != 0
    }

    /// Lays the newest committed copy of each block over the volume.
    fn overlay(&self, volume: Arc<dyn crate::ReadAt>) -> Result<(Overlay, Option<String>), Error> {
        let mut overlay = Overlay::new(volume, self.block);
        if self.start == 0 {
            return Ok((overlay, self.fast_commits(self.sequence)));
        }
        let Log { copies, revoked, next, mut remark } = self.scan()?;
        for copy in copies {
            // A revocation holds for copies up to and with its own transaction.
            if revoked.get(&copy.block).is_some_and(|until| copy.sequence.wrapping_sub(*until) as i32 <= 0) {
                continue;
            }
            if !self.holds(&copy)? {
                let block = copy.block;
                remark = Some(format!("the journal's copy of block {block} is damaged and was left out"));
                continue;
            }
            let head = copy.escaped.then(|| MAGIC.to_be_bytes());
            overlay.put(copy.block, Newer::At { position: copy.position, head });
        }
        remark = remark.or_else(|| self.fast_commits(next));
        Ok((overlay, remark))
    }

    /// Fast commits are changes by name, which this reader does not do again.
    fn fast_commits(&self, sequence: u32) -> Option<String> {
        if !self.has_fast_commits {
            return None;
        }
        // They begin one block after the end, with a head (9) and the number of the transaction to come.
        let block = self.read(self.end + 1).ok()?;
        let is_head = block.get(..2) == Some(&[9, 0]) && block.get(8..12) == Some(&sequence.to_le_bytes());
        is_head.then(|| "fast commits were NOT replayed: what was written last may be missing".to_owned())
    }

    /// Reads transactions until one is not complete.
    fn scan(&self) -> Result<Log, Error> {
        let mut log = Log { copies: Vec::new(), revoked: HashMap::new(), next: self.sequence, remark: None };
        let (mut pending, mut revokes) = (Vec::new(), Vec::new());
        let mut at = self.start;
        let mut steps = 0;
        while steps < self.end {
            let block = self.read(at)?;
            if be32(&block, 0)? != MAGIC || be32(&block, 8)? != log.next {
                break;
            }
            let mut by = 1;
            match be32(&block, 4)? {
                DESCRIPTOR => {
                    if !self.tail_holds(&block)? {
                        log.remark =
                            Some("a descriptor of the journal is damaged; what follows it was left out".into());
                        break;
                    }
                    let copies = self.descriptor(&block, at, log.next)?;
                    by += copies.0;
                    pending.extend(copies.1);
                }
                REVOKE => {
                    if !self.tail_holds(&block)? {
                        log.remark =
                            Some("a revocation of the journal is damaged; what follows it was left out".into());
                        break;
                    }
                    self.revocations(&block, &mut revokes)?;
                }
                COMMIT => {
                    if self.has_checksums() && !self.commit_holds(&block)? {
                        // The last transaction was being written when the machine stopped.
                        break;
                    }
                    log.copies.append(&mut pending);
                    log.revoked.extend(revokes.drain(..).map(|block| (block, log.next)));
                    log.next = log.next.wrapping_add(1);
                }
                _ => break,
            }
            steps += by;
            at = self.next(at, by);
        }
        Ok(log)
    }

    /// The sum in the last four bytes of a descriptor or a revocation.
    fn tail_holds(&self, block: &[u8]) -> Result<bool, Error> {
        if !self.has_checksums() || cfg!(fuzzing) {
            return Ok(true);
        }
        let body = block.len() - 4;
        let sum = crc32c(crc32c(self.seed, &block[..body]), &[0; 4]);
        Ok(be32(block, body)? == sum)
    }

    fn commit_holds(&self, block: &[u8]) -> Result<bool, Error> {
        let sum = crc32c(crc32c(crc32c(self.seed, part(block, 0, 16)?), &[0; 4]), part(block, 20, block.len() - 20)?);
        Ok(be32(block, 16)? == sum || cfg!(fuzzing))
    }

    /// The copies that a descriptor announces, and how many blocks they take.
    fn descriptor(&self, block: &[u8], at: u32, sequence: u32) -> Result<(u32, Vec<Copy>), Error> {
        let is_64 = self.features & BITS_64 != 0;
        // Source: Linux `journal_tag_bytes`.
        let size = match self.features {
            features if features & CHECKSUM_3 != 0 => 16,
            features => 8 + if is_64 { 4 } else { 0 } + if features & CHECKSUM_2 != 0 { 2 } else { 0 },
        };
        let end = block.len() - if self.has_checksums() { 4 } else { 0 };
        let (mut copies, mut count, mut tag) = (Vec::new(), 0, 12);
        while tag + size <= end {
            let flags = if size == 16 { be32(block, tag + 4)? } else { be16(block, tag + 6)?.into() };
            let high = if is_64 { u64::from(be32(block, tag + 8)?) << 32 } else { 0 };
            let number = u64::from(be32(block, tag)?) | high;
            count += 1;
            if count >= self.end {
                return Err(damaged("a transaction longer than the journal"));
            }
            let position = self.place(self.next(at, count))?;
            let sum = match size {
                16 => Sum::Full(be32(block, tag + 12)?),
                _ if self.features & CHECKSUM_2 != 0 => Sum::Lower(be16(block, tag + 4)?),
                _ => Sum::None,
            };
            copies.push(Copy { block: number, position, escaped: flags & 1 != 0, sequence, sum });
            tag += size + if flags & 2 != 0 { 0 } else { 16 };
            if flags & 8 != 0 {
                break;
            }
        }
        Ok((count, copies))
    }

    /// Whether a committed copy has a place, and the sum that its tag says.
    fn holds(&self, copy: &Copy) -> Result<bool, Error> {
        if copy.block >= self.blocks {
            return Ok(false);
        }
        if matches!(copy.sum, Sum::None) || cfg!(fuzzing) {
            return Ok(true);
        }
        let mut bytes = vec![0; self.block as usize];
        self.volume.read_at(copy.position, &mut bytes)?;
        let sum = crc32c(crc32c(self.seed, &copy.sequence.to_be_bytes()), &bytes);
        Ok(match copy.sum {
            Sum::Full(full) => full == sum,
            Sum::Lower(lower) => u32::from(lower) == sum & 0xffff,
            Sum::None => true,
        })
    }

    fn revocations(&self, block: &[u8], revoked: &mut Vec<u64>) -> Result<(), Error> {
        let each = if self.features & BITS_64 != 0 { 8 } else { 4 };
        let used = be32(block, 12)? as usize;
        let list = part(block, 16, used.saturating_sub(16))?;
        for entry in list.chunks_exact(each) {
            let high = if each == 8 { u64::from(be32(entry, 0)?) << 32 } else { 0 };
            revoked.push(high | u64::from(be32(entry, each - 4)?));
        }
        Ok(())
    }
}

/// What the committed transactions say.
struct Log {
    copies: Vec<Copy>,
    revoked: HashMap<u64, u32>,
    /// The number of the transaction that is not there.
    next: u32,
    remark: Option<String>,
}
