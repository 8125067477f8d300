//! Md: is this range a member of a Linux RAID-1, and where do its data lie?
//!
//! One member of a mirror holds everything. Superblocks 1.0, 1.1, 1.2 and 0.90; other levels are seen
//! and not read. Source: Linux, include/uapi/linux/raid/md_p.h; md(4).

use std::sync::Arc;

use crate::field::{is_sum, le16, le32, le64, read, text};
use crate::{ReadAt, Slice};

const MAGIC: u32 = 0xA92B_4EFC;
const SECTOR: u64 = 512;
/// Roles in an array of version 1; the format's end.
const MAX_ROLES: u32 = 1920;

/// A member of an array.
pub(super) struct Member {
    /// The array's identifier, as mdadm writes it.
    pub(super) uuid: String,
    pub(super) label: Option<String>,
    pub(super) events: u64,
    /// The superblock lies before the data, so that the range begins with nothing else.
    pub(super) is_in_front: bool,
    /// The member's data, or why they cannot be used.
    pub(super) data: Result<Arc<dyn ReadAt>, String>,
    /// What a reader should know about it.
    pub(super) remark: Option<String>,
}

/// The member that a range is; `None` if it is none, a text if its superblock is damaged.
pub(super) fn member(bytes: &Arc<dyn ReadAt>) -> Option<Result<Member, String>> {
    let len = bytes.len();
    let at_end = (len / SECTOR).checked_sub(16).map(|sector| sector / 8 * 8 * SECTOR);
    let mut damaged = None;
    for at in [Some(4096), Some(0), at_end].into_iter().flatten() {
        match version_1(bytes, at) {
            Some(Err(why)) => damaged = Some(why),
            found @ Some(Ok(_)) => return found,
            None => {}
        }
    }
    let found = (len / 65536).checked_sub(1).and_then(|n| version_0(bytes, n * 65536));
    found.map(Ok).or(damaged.map(Err))
}

fn sum(words: &[u8]) -> u32 {
    let sum: u64 = words.chunks_exact(4).map(|word| u64::from(le32(word, 0))).sum();
    let folded = (sum & 0xFFFF_FFFF) + (sum >> 32);
    u32::try_from(folded & 0xFFFF_FFFF).unwrap_or_default()
}

fn version_1(bytes: &Arc<dyn ReadAt>, at: u64) -> Option<Result<Member, String>> {
    let block = read(&**bytes, at, 256).ok()?;
    // A superblock knows its place: that of the last partition is not that of the disk.
    if le32(&block, 0) != MAGIC || le32(&block, 4) != 1 || le64(&block, 144).checked_mul(SECTOR) != Some(at) {
        return None;
    }
    let roles = le32(&block, 220);
    let count = 256 + 2 * roles.min(MAX_ROLES) as usize;
    let Some(mut block) = read(&**bytes, at, count).ok().filter(|_| roles <= MAX_ROLES) else {
        return Some(Err("its RAID superblock is damaged".into()));
    };
    let expected = le32(&block, 216);
    block[216..220].fill(0);
    // An odd number of roles ends in half a word.
    let mut summed = block.clone();
    summed.resize(count.next_multiple_of(4), 0);
    if !is_sum(&sum(&summed), &expected) {
        return Some(Err("the checksum of its RAID superblock is wrong".into()));
    }
    let (features, level) = (le32(&block, 8), le32(&block, 72));
    let hex: String = block[16..32].iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = [&hex[..8], &hex[8..16], &hex[16..24], &hex[24..]].join(":");
    let role = usize::try_from(le32(&block, 160)).ok().and_then(|n| n.checked_mul(2)?.checked_add(256));
    let role = role.filter(|at| *at < block.len()).map_or(0xFFFF, |at| le16(&block, at));
    let data = if level != 1 {
        Err(level_name(level))
    } else if features & 4 != 0 {
        Err("the array was being reshaped".into())
    } else if features & 2 != 0 || role >= 0xFFFD {
        Err("this member is a spare, faulty, or was not filled yet".into())
    } else {
        slice(bytes, le64(&block, 128), le64(&block, 80), le64(&block, 136))
    };
    let has_bad_blocks = features & 8 != 0;
    Some(Ok(Member {
        uuid,
        label: Some(text(&block[32..64])).filter(|name| !name.is_empty()),
        events: le64(&block, 200),
        is_in_front: at <= 4096,
        data,
        remark: has_bad_blocks.then(|| "this member lists blocks that it could not write; they may be stale".into()),
    }))
}

/// The array's part of the member, in sectors; the size of the array may be less than the room.
fn slice(bytes: &Arc<dyn ReadAt>, start: u64, size: u64, room: u64) -> Result<Arc<dyn ReadAt>, String> {
    let wrong = || "its data leave the range: the superblock is damaged or the image is cut off".to_owned();
    if size == 0 || size > room {
        return Err(wrong());
    }
    let (Some(start), Some(len)) = (start.checked_mul(SECTOR), size.checked_mul(SECTOR)) else { return Err(wrong()) };
    let slice = Slice::new(Arc::clone(bytes), start, len).ok_or_else(wrong)?;
    Ok(Arc::new(slice))
}

fn level_name(level: u32) -> String {
    let name = match level {
        0xFFFF_FFFF => "a linear array".to_owned(),
        0xFFFF_FFFC => "a multipath array".to_owned(),
        other => format!("RAID-{other}"),
    };
    format!("{name}: only mirrors are read; assemble it on an analysis host and give the array as an image")
}

fn version_0(bytes: &Arc<dyn ReadAt>, at: u64) -> Option<Member> {
    let block = read(&**bytes, at, 4096).ok()?;
    if le32(&block, 0) != MAGIC || le32(&block, 4) != 0 || le32(&block, 8) != 90 {
        return None;
    }
    let mut bare = block.clone();
    bare[152..156].fill(0);
    // The size of each member, in KiB. It does not know its own place: a superblock at the end of the
    // last partition may lie where that of the disk would lie, but then the size does not reach it.
    let len = u64::from(le32(&block, 32)) << 10;
    let is_ours = is_sum(&sum(&bare), &le32(&block, 152)) && len <= at && at - len < 1 << 20;
    if !is_ours {
        return None;
    }
    let level = le32(&block, 28);
    let (number, state) = (le32(&block, 3968), le32(&block, 3968 + 16));
    // Bits of a disk's state: faulty, active, in sync.
    let data = if level != 1 {
        Err(level_name(level))
    } else if state & 0b111 != 0b110 {
        Err(format!("member {number} is a spare or faulty"))
    } else {
        slice(bytes, 0, len / SECTOR, len / SECTOR)
    };
    let word = |at: usize| format!("{:08x}", le32(&block, at));
    Some(Member {
        uuid: [word(20), word(52), word(56), word(60)].join(":"),
        label: None,
        events: u64::from(le32(&block, 160)) << 32 | u64::from(le32(&block, 156)),
        is_in_front: false,
        data,
        remark: None,
    })
}
