//! Scan: one passage over a tar archive, from the first header to whatever ends it.
//!
//! Collects entries, hashes their bytes if they will not lie open later, and keeps the small files
//! that are likely to be asked for, since asking later means another passage.

use std::collections::HashMap;
use std::io;

use directive::progress::Progress;
use directive::text::Text;

use super::tape::Tape;
use super::tar::{Member, Members, Next, padded};
use crate::catalogue::{Item, Place};
use crate::hash::{Hash, Passed};
use crate::limits::Limits;
use crate::meta::{Kind, Meta};
use crate::rows::Rows;
use crate::source::{Digests, Hides, Obstacle, ObstacleKind, Wants};

/// Folders of package databases: every file in them is asked for, by whoever uses a baseline.
const DATABASES: [&[u8]; 6] = [
    b"/var/lib/dpkg/",
    b"/lib/apk/db/",
    b"/usr/lib/apk/db/",
    b"/var/lib/rpm/",
    b"/usr/lib/sysimage/rpm/",
    b"/etc/dpkg/",
];

/// Bytes of all files that are kept. A host with 3,000 packages has 40 MB of databases.
const KEPT_BYTES: usize = 64 << 20;

/// Bytes of a file outside the databases that is kept while there is room: version files, manifests.
const KEPT_SMALL: u64 = 16 << 10;

/// What of [`KEPT_BYTES`] such files may take.
const KEPT_SMALLS: usize = 12 << 20;

/// Memory that one of them takes beside its bytes: half a million empty files are not free.
const KEPT_EXTRA: usize = 128;

/// What of the entries may be obstacles, as a fraction: an archive of bad names must not fill our memory with
/// them. Beyond it they are counted.
const OBSTACLES: usize = 16;

/// Memory that an obstacle takes beside its path.
const OBSTACLE_EXTRA: usize = 200;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Small files by path.
#[derive(Default)]
pub(super) struct Kept {
    files: HashMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
}

impl Kept {
    pub(super) fn get(&self, path: &[u8]) -> Option<&Vec<u8>> {
        self.files.get(path)
    }

    pub(super) fn put(&mut self, path: &[u8], bytes: &[u8]) {
        let size = |bytes: &[u8]| bytes.len() + path.len() + KEPT_EXTRA;
        if self.bytes + size(bytes) <= KEPT_BYTES {
            self.bytes += size(bytes);
            if let Some(old) = self.files.insert(path.to_vec(), bytes.to_vec()) {
                self.bytes -= size(&old);
            }
        }
    }

    fn wants(&self, path: &[u8], size: u64) -> bool {
        let is_database = DATABASES.iter().any(|folder| path.starts_with(folder));
        let taken = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(path.len() + KEPT_EXTRA);
        let fits = |limit: usize| self.bytes.saturating_add(taken) <= limit;
        if is_database { fits(KEPT_BYTES) } else { size <= KEPT_SMALL && fits(KEPT_SMALLS) }
    }
}

/// What a passage found.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) rows: Rows,
    pub(super) obstacles: Vec<Obstacle>,
    pub(super) kept: Kept,
    /// Memory of the obstacles, and how many there were no room for.
    told: usize,
    untold: u64,
}

impl Scanned {
    /// Why no more entries are taken, once that is so.
    pub(super) fn is_full(&self, limits: &Limits) -> Option<String> {
        if self.rows.len() >= limits.archive_entries {
            return Some(format!("more than {} members; the rest is not seen", limits.archive_entries));
        }
        let is_long = self.rows.bytes() + self.told > limits.archive_names;
        is_long.then(|| format!("names of more than {} bytes in all; the rest is not seen", limits.archive_names))
    }

    /// Takes what cannot be handed over; beyond a limit it is only counted.
    pub(super) fn obstacle(&mut self, limits: &Limits, obstacle: Obstacle) {
        let taken = self.told + obstacle.path.as_bytes().len() + OBSTACLE_EXTRA;
        let is_few = self.obstacles.len() < limits.archive_entries / OBSTACLES;
        if is_few && taken + self.rows.bytes() <= limits.archive_names {
            self.told = taken;
            self.obstacles.push(obstacle);
        } else {
            self.untold += 1;
        }
    }

    /// Says how many there were beside those that are told one by one.
    pub(super) fn count_untold(&mut self) {
        if self.untold > 0 {
            let message = format!("{} more members that are not seen", self.untold);
            self.obstacles.push(whole(ObstacleKind::TooMany, Hides::Tree, message));
        }
    }
}

/// A passage in progress.
pub(super) struct Scan<'a> {
    limits: Limits,
    progress: &'a dyn Progress,
    out: Scanned,
}

impl<'a> Scan<'a> {
    pub(super) fn new(limits: Limits, progress: &'a dyn Progress) -> Self {
        Self { limits, progress, out: Scanned::default() }
    }

    /// Reads the tape to its end. `hash` says what to compute in passing; `None` if the bytes lie
    /// open and are hashed later, by all cores.
    pub(super) fn run(mut self, tape: &mut dyn Tape, hash: Option<Wants>) -> Scanned {
        let limits = self.limits;
        let mut members = Members::new(&limits);
        let mut ordinal = 0;
        while !self.progress.stop_requested() {
            let before = tape.position();
            match members.next(tape) {
                Next::Member(member) => {
                    if let Err(error) = self.member(tape, *member, ordinal, hash) {
                        let what = format!("the archive ends or breaks inside a member: {error}");
                        self.out.obstacles.push(super::tar::broken(tape.position(), &what));
                        break;
                    }
                    ordinal += 1;
                }
                Next::Obstacle(obstacle) => self.out.obstacle(&limits, obstacle),
                Next::End(end) => {
                    self.out.obstacles.extend(end);
                    break;
                }
            }
            self.progress.advance(1, tape.position() - before);
            if let Some(message) = self.out.is_full(&limits) {
                self.out.obstacles.push(whole(ObstacleKind::TooMany, Hides::Tree, message));
                break;
            }
            if tape.position() > self.limits.archive_bytes {
                let message =
                    format!("it unpacks to more than {} bytes; the rest is not seen", self.limits.archive_bytes);
                self.out.obstacles.push(whole(ObstacleKind::TooLarge, Hides::Tree, message));
                break;
            }
        }
        if members.has_hidden_members() {
            let message = "members follow after the end mark; they are examined, and `tar` does not see them";
            self.out.obstacles.push(whole(ObstacleKind::Remark, Hides::Entry, message.to_owned()));
        }
        self.join();
        self.out.count_untold();
        self.out
    }

    fn member(&mut self, tape: &mut dyn Tape, member: Member, ordinal: u64, hash: Option<Wants>) -> io::Result<()> {
        let Member { meta, stored, pieces, same_as } = member;
        if meta.kind == Kind::File && meta.size > self.limits.file_bytes {
            let message = format!("{} bytes, more than {}", meta.size, self.limits.file_bytes);
            let obstacle = Obstacle { path: meta.path, kind: ObstacleKind::TooLarge, hides: Hides::Entry, message };
            self.out.obstacle(&self.limits, obstacle);
            return tape.skip(padded(stored));
        }
        let has_bytes = meta.kind == Kind::File && same_as.is_none();
        let at = tape.position();
        let (place, digests) = match hash {
            _ if !has_bytes => {
                tape.skip(padded(stored))?;
                (Place::None, None)
            }
            Some(wants) => {
                let digests = self.hash(tape, &meta, stored, pieces.as_deref(), wants)?;
                tape.skip(padded(stored) - stored)?;
                (Place::Member(ordinal), Some(digests))
            }
            None => {
                tape.skip(padded(stored))?;
                let place = match pieces {
                    Some(map) => Place::Sparse(at, map.into()),
                    None => Place::At(at),
                };
                (place, None)
            }
        };
        // What a hard link names is looked for when every member is known.
        self.out.rows.push(Item { meta, digests, place, first: same_as.map(Text::new) });
        Ok(())
    }

    fn hash(
        &mut self,
        tape: &mut dyn Tape,
        meta: &crate::Meta,
        stored: u64,
        map: Option<&[(u64, u64)]>,
        wants: Wants,
    ) -> io::Result<Digests> {
        let path = meta.path.as_bytes();
        let mut keep = self.out.kept.wants(path, meta.size).then(Vec::new);
        let mut hash = Hash::new(wants);
        pieces(tape, stored, map, meta.size, &mut |bytes| {
            hash.update(bytes);
            if let Some(keep) = &mut keep {
                keep.extend_from_slice(bytes);
            }
            if self.progress.stop_requested() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        })?;
        if let Some(keep) = keep {
            self.out.kept.put(path, &keep);
        }
        Ok(hash.finish().digests)
    }

    /// Gives hard links what the member has whose other name they are.
    fn join(&mut self) {
        let rows = &mut self.out.rows;
        let links: Vec<usize> = (0..rows.len()).filter(|index| rows.is_hard_link(*index)).collect();
        if links.is_empty() {
            return;
        }
        let mut files: Vec<usize> = (0..rows.len()).filter(|index| rows.has_bytes(*index)).collect();
        files.sort_by(|a, b| rows.path(*a).cmp(rows.path(*b)));
        let mut lost = Vec::new();
        let mut obstacles = Vec::new();
        for index in links {
            let item = rows.item(index);
            let target = item.first.unwrap_or_default();
            let found = crate::normalise(target.as_bytes()).ok().and_then(|target| {
                let after = files.partition_point(|file| rows.path(*file) <= target.as_slice());
                files[..after].last().copied().filter(|file| rows.path(*file) == target)
            });
            if let Some(found) = found {
                rows.share(index, found);
                continue;
            }
            lost.push(index);
            let message = format!("a hard link to {target}, which the archive does not hold");
            let path = item.meta.path;
            obstacles.push(Obstacle { path, kind: ObstacleKind::Damaged, hides: Hides::Entry, message });
        }
        rows.remove(&lost);
        obstacles.into_iter().for_each(|obstacle| self.out.obstacle(&self.limits, obstacle));
    }
}

fn whole(kind: ObstacleKind, hides: Hides, message: String) -> Obstacle {
    Obstacle { path: Text::from("/"), kind, hides, message }
}

/// Hands the bytes of a file to `sink`: what is stored, and zeros where a sparse map has holes.
pub(super) fn pieces(
    tape: &mut dyn Tape,
    stored: u64,
    map: Option<&[(u64, u64)]>,
    size: u64,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let Some(map) = map else { return some(tape, stored, sink) };
    let mut at = 0;
    for (offset, length) in map {
        zeros(offset - at, sink)?;
        some(tape, *length, sink)?;
        at = offset + length;
    }
    zeros(size - at, sink)
}

fn some(tape: &mut dyn Tape, mut count: u64, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    while count > 0 {
        let have = tape.fill_buf()?;
        let step = usize::try_from(count).unwrap_or(usize::MAX).min(have.len());
        if step == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        sink(&have[..step])?;
        tape.consume(step);
        count -= step as u64;
    }
    Ok(())
}

fn zeros(mut count: u64, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    while count > 0 {
        let step = count.min(ZEROS.len() as u64);
        sink(&ZEROS[..usize::try_from(step).unwrap_or(0)])?;
        count -= step;
    }
    Ok(())
}

/// Reads one member of a tape that starts anew: the first that `is_wanted` names by its number and itself.
pub(super) fn member(
    tape: &mut dyn Tape,
    limits: &Limits,
    is_wanted: &dyn Fn(u64, &Meta) -> bool,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut members = Members::new(limits);
    let mut ordinal = 0;
    loop {
        match members.next(tape) {
            Next::Member(member) if is_wanted(ordinal, &member.meta) => {
                return pieces(tape, member.stored, member.pieces.as_deref(), member.meta.size, sink);
            }
            Next::Member(member) => {
                tape.skip(padded(member.stored))?;
                ordinal += 1;
            }
            Next::Obstacle(_) => {}
            Next::End(_) => return Err(io::Error::other("the archive does not hold it any more")),
        }
    }
}

/// A second passage: computes the digests that `wants` asks for, by the number of the member and itself, and
/// hands them to `each` until that returns false.
pub(super) fn again(
    tape: &mut dyn Tape,
    limits: &Limits,
    wants: &dyn Fn(u64, &Meta) -> Option<Wants>,
    each: &mut dyn FnMut(u64, &Meta, Passed) -> bool,
) -> io::Result<()> {
    let mut members = Members::new(limits);
    let mut ordinal = 0;
    loop {
        match members.next(tape) {
            Next::Member(member) => {
                let stored = member.stored;
                if let Some(wants) = wants(ordinal, &member.meta) {
                    let mut hash = Hash::new(wants);
                    pieces(tape, stored, member.pieces.as_deref(), member.meta.size, &mut |bytes| {
                        hash.update(bytes);
                        Ok(())
                    })?;
                    tape.skip(padded(stored) - stored)?;
                    if !each(ordinal, &member.meta, hash.finish()) {
                        return Ok(());
                    }
                } else {
                    tape.skip(padded(stored))?;
                }
                ordinal += 1;
            }
            Next::Obstacle(_) => {}
            Next::End(_) => return Ok(()),
        }
    }
}
