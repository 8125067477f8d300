//! Tar: which members does a tar archive hold?
//!
//! The blocks of a header are read with the `tar` crate; the frame around them is ours, because
//! its reader takes the length of a name from the archive and reads that much into memory, and
//! because two readers that disagree about where a member ends are how files are smuggled past one
//! of them. Formats: v7, ustar, GNU (long names, sparse), pax (records, sparse 0.0, 0.1, 1.0).
//! Source: POSIX.1-2017 `pax`, GNU tar manual "Basic Tar Format" and "Storing Sparse Files".

use std::io;

use directive::text::Text;
use tar::{EntryType, GnuExtSparseHeader, Header};

use super::pax::{Pax, records};
use super::tape::Tape;
use crate::catalogue::blank;
use crate::limits::Limits;
use crate::meta::{Kind, Meta, Time, Xattr};
use crate::source::{Hides, Obstacle, ObstacleKind};

const BLOCK: usize = 512;

/// Bytes of pax records before one member. Real ones have a few hundred; attributes of 64 KiB exist.
const PAX_BYTES: u64 = 1 << 20;

/// Pieces of one sparse file. A file of a terabyte with a hole in every 64 KiB has more; it is an
/// obstacle, since its map alone would fill our memory.
const PIECES: usize = 1 << 20;

/// One member, and where its bytes begin: the tape stands there.
pub(super) struct Member {
    pub(super) meta: Meta,
    /// Bytes that lie on the tape for it.
    pub(super) stored: u64,
    /// Which pieces of the file those are.
    pub(super) pieces: Option<Vec<(u64, u64)>>,
    /// Another member whose bytes it shares.
    pub(super) same_as: Option<Vec<u8>>,
}

/// What comes next on a tape.
pub(super) enum Next {
    Member(Box<Member>),
    /// Something that cannot be handed over; the tape stands behind it.
    Obstacle(Obstacle),
    /// Nothing, or nothing that can be read any more.
    End(Option<Obstacle>),
}

/// Reads members from a tape.
pub(super) struct Members<'l> {
    limits: &'l Limits,
    global: Pax,
    /// What the headers so far said about the member to come.
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    pax: Pax,
    /// Bytes of zeros, and whether anything came after two blocks of them.
    zeros: u64,
    after_end: bool,
}

impl<'l> Members<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            global: Pax::default(),
            name: None,
            target: None,
            pax: Pax::default(),
            zeros: 0,
            after_end: false,
        }
    }

    /// The next member. The caller passes over its bytes (and their padding, see [`padding`]) first.
    pub(super) fn next(&mut self, tape: &mut dyn Tape) -> Next {
        match self.try_next(tape) {
            Ok(next) => next,
            Err(error) => {
                let what = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "the archive ends in the middle of a member".to_owned(),
                    _ => error.to_string(),
                };
                Next::End(Some(broken(tape.position(), &what)))
            }
        }
    }

    fn try_next(&mut self, tape: &mut dyn Tape) -> io::Result<Next> {
        loop {
            let at = tape.position();
            let mut block = [0; BLOCK];
            match fill(tape, &mut block)? {
                0 => return Ok(Next::End(self.early_end(at))),
                BLOCK => {}
                _ => return Ok(Next::End(Some(broken(at, "the archive ends in the middle of a header")))),
            }
            if block.iter().all(|byte| *byte == 0) {
                self.zeros += 1;
                continue;
            }
            if !checksum_holds(&block) {
                return Ok(Next::End(Some(broken(at, "a header does not add up to its checksum"))));
            }
            self.after_end |= self.zeros >= 2;
            self.zeros = 0;
            if let Some(next) = self.header(tape, &block, at)? {
                return Ok(next);
            }
        }
    }

    /// Whether members were met behind the end mark.
    pub(super) fn has_hidden_members(&self) -> bool {
        self.after_end
    }

    fn early_end(&self, at: u64) -> Option<Obstacle> {
        if self.name.is_some() || self.target.is_some() || !self.pax.is_empty() {
            return Some(broken(at, "the archive ends where a member should follow"));
        }
        (self.zeros == 0).then(|| broken(at, "the archive has no end mark, so that members may be missing"))
    }

    /// Takes one header. `None` if it only speaks about the member to come.
    fn header(&mut self, tape: &mut dyn Tape, block: &[u8; BLOCK], at: u64) -> io::Result<Option<Next>> {
        let header = Header::from_byte_slice(block);
        let Ok(size) = header.entry_size() else {
            return Ok(Some(Next::End(Some(broken(at, "a header has no size")))));
        };
        match header.entry_type() {
            // A volume label: no bytes of a file.
            kind if kind.as_byte() == b'V' => tape.skip(padded(size))?,
            EntryType::GNULongName => self.name = Some(self.long_name(tape, size)?),
            EntryType::GNULongLink => self.target = Some(self.long_name(tape, size)?),
            EntryType::XHeader => self.pax = records(&small(tape, size, PAX_BYTES, "pax records")?)?,
            EntryType::XGlobalHeader => self.global = records(&small(tape, size, PAX_BYTES, "pax records")?)?,
            kind => return self.member(tape, header, kind, size, at).map(Some),
        }
        Ok(None)
    }

    fn long_name(&self, tape: &mut dyn Tape, size: u64) -> io::Result<Vec<u8>> {
        let mut name = small(tape, size, self.limits.path_bytes as u64, "name")?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn member(
        &mut self,
        tape: &mut dyn Tape,
        header: &Header,
        kind: EntryType,
        size: u64,
        at: u64,
    ) -> io::Result<Next> {
        let pax = std::mem::take(&mut self.pax).over(&self.global);
        let name = pax.real_name.clone().or_else(|| pax.path.clone()).or_else(|| self.name.take());
        let target = pax.linkpath.clone().or_else(|| self.target.take());
        (self.name, self.target) = (None, None);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = target.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));

        let file_type = kind_of(kind, &name);
        let mut stored = if has_bytes(kind) { pax.size.unwrap_or(size) } else { 0 };
        let mut real_size = stored;
        let mut pieces = None;
        if kind == EntryType::GNUSparse {
            let (map, real) = gnu_sparse(tape, header)?;
            (pieces, real_size) = (Some(map), real);
        } else if let Some(sparse) = pax.sparse()? {
            let map = match sparse.map {
                Some(map) => map,
                None => {
                    let before = tape.position();
                    let map = pax_map(tape)?;
                    stored = stored.saturating_sub(tape.position() - before);
                    map
                }
            };
            (pieces, real_size) = (Some(map), sparse.real_size.unwrap_or(stored));
        }
        if let Some(map) = &pieces
            && !is_in_order(map, stored, real_size)
        {
            tape.skip(padded(stored))?;
            let path = Text::new([b"/", name.as_slice()].concat());
            let message = "the map of a sparse member contradicts itself".to_owned();
            return Ok(Next::Obstacle(Obstacle { path, kind: ObstacleKind::Damaged, hides: Hides::Entry, message }));
        }
        let path = match crate::path::normalise(&name) {
            Ok(path) => path,
            // The root itself, `./`, has no entry of its own.
            Err(crate::PathError::Empty) if file_type == Kind::Folder => Vec::new(),
            Err(error) => {
                tape.skip(padded(stored))?;
                let message = format!("a member at byte {at} of the archive is named so that {error}");
                let path = Text::new([b"/", name.as_slice()].concat());
                return Ok(Next::Obstacle(Obstacle {
                    path,
                    kind: ObstacleKind::BadName,
                    hides: Hides::Entry,
                    message,
                }));
            }
        };
        if path.len() > self.limits.path_bytes {
            tape.skip(padded(stored))?;
            let message = format!("more than {} bytes", self.limits.path_bytes);
            let path = Text::new(path[..200].to_vec());
            return Ok(Next::Obstacle(Obstacle {
                path,
                kind: ObstacleKind::PathTooLong,
                hides: Hides::Entry,
                message,
            }));
        }
        let mut meta = blank(path, file_type);
        fill_meta(&mut meta, header, &pax, real_size);
        let same_as = (kind == EntryType::Link).then(|| target.clone().unwrap_or_default());
        meta.target = (file_type == Kind::Link).then(|| Text::new(target.unwrap_or_default()));
        Ok(Next::Member(Box::new(Member { meta, stored, pieces, same_as })))
    }
}

fn fill_meta(meta: &mut Meta, header: &Header, pax: &Pax, size: u64) {
    meta.mode = header.mode().unwrap_or(0) & 0o7777;
    meta.uid = pax.uid.or_else(|| header.uid().ok().and_then(|uid| u32::try_from(uid).ok())).unwrap_or(0);
    meta.gid = pax.gid.or_else(|| header.gid().ok().and_then(|gid| u32::try_from(gid).ok())).unwrap_or(0);
    meta.size = size;
    let seconds = header.mtime().map(u64::cast_signed).unwrap_or(0);
    meta.mtime = pax.mtime.unwrap_or(Time { seconds, nanoseconds: 0 });
    meta.ctime = pax.ctime;
    meta.birth = pax.birth;
    meta.xattrs = pax.xattrs.iter().map(|(name, value)| Xattr::of(name, value)).collect();
}

/// Bytes up to the next block.
pub(super) fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX)
}

fn has_bytes(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

fn kind_of(kind: EntryType, name: &[u8]) -> Kind {
    match kind {
        EntryType::Directory => Kind::Folder,
        // A folder of an incremental archive; what it stores is its list of names.
        kind if kind.as_byte() == b'D' => Kind::Folder,
        EntryType::Symlink => Kind::Link,
        EntryType::Char => Kind::CharacterDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Fifo => Kind::Fifo,
        // The oldest archives mark a folder by the slash alone.
        EntryType::Regular if name.ends_with(b"/") => Kind::Folder,
        // POSIX: a type that is not known is a regular file.
        _ => Kind::File,
    }
}

/// Source: POSIX.1-2017 `pax`, "chksum": the sum of all bytes, its own field taken as spaces.
/// Some writers sum signed bytes.
fn checksum_holds(block: &[u8; BLOCK]) -> bool {
    let Ok(expected) = Header::from_byte_slice(block).cksum() else { return false };
    let field = |n: usize| (148..156).contains(&n);
    let sum = |value: fn(u8) -> i64| -> i64 {
        block.iter().enumerate().map(|(n, byte)| if field(n) { 32 } else { value(*byte) }).sum()
    };
    let expected = i64::from(expected);
    sum(i64::from) == expected || sum(|byte| i64::from(byte.cast_signed())) == expected
}

/// Fills a buffer as far as the tape goes.
fn fill(tape: &mut dyn Tape, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match tape.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// The bytes of a member that describes another one, within a limit, and their padding.
fn small(tape: &mut dyn Tape, size: u64, limit: u64, what: &str) -> io::Result<Vec<u8>> {
    if size > limit {
        return Err(io::Error::other(format!("a {what} of {size} bytes; more than {limit} are not read")));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    if fill(tape, &mut bytes)? < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    tape.skip(padded(size) - size)?;
    Ok(bytes)
}

/// The map of an old GNU sparse member: four pieces in the header, more in blocks behind it.
fn gnu_sparse(tape: &mut dyn Tape, header: &Header) -> io::Result<(Vec<(u64, u64)>, u64)> {
    let bad = || io::Error::other("a sparse member without a map");
    let gnu = header.as_gnu().ok_or_else(bad)?;
    let mut map = Vec::new();
    let mut take = |pieces: &[tar::GnuSparseHeader]| -> io::Result<()> {
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            map.push((piece.offset()?, piece.length()?));
        }
        if map.len() > PIECES {
            return Err(io::Error::other(format!("a sparse member of more than {PIECES} pieces")));
        }
        Ok(())
    };
    take(&gnu.sparse)?;
    let mut more = gnu.is_extended();
    while more {
        let mut further = GnuExtSparseHeader::new();
        if fill(tape, further.as_mut_bytes())? < BLOCK {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take(&further.sparse)?;
        more = further.is_extended();
    }
    Ok((map, gnu.real_size()?))
}

/// The map of a pax 1.0 sparse member: numbers, one a line, at the beginning of its bytes.
fn pax_map(tape: &mut dyn Tape) -> io::Result<Vec<(u64, u64)>> {
    let bad = || io::Error::other("the map of a sparse member is none");
    let start = tape.position();
    let mut number = || -> io::Result<u64> {
        let mut value: u64 = 0;
        for digits in 0.. {
            let mut byte = [0];
            if fill(tape, &mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match byte[0] {
                b'\n' if digits > 0 => break,
                digit @ b'0'..=b'9' if digits < 20 => {
                    let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
                    value = next.ok_or_else(bad)?;
                }
                _ => return Err(bad()),
            }
        }
        Ok(value)
    };
    let count = number()?;
    if count > PIECES as u64 {
        return Err(io::Error::other(format!("a sparse member of more than {PIECES} pieces")));
    }
    let mut map = Vec::new();
    for _ in 0..count {
        map.push((number()?, number()?));
    }
    let used = tape.position() - start;
    tape.skip(padded(used) - used)?;
    Ok(map)
}

/// Whether pieces follow one another, take up exactly what is stored, and end inside the file.
fn is_in_order(map: &[(u64, u64)], stored: u64, size: u64) -> bool {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for (offset, length) in map {
        let Some(next) = offset.checked_add(*length).filter(|next| *offset >= end && *next <= size) else {
            return false;
        };
        end = next;
        sum = sum.saturating_add(*length);
    }
    sum == stored
}

/// The rest of an archive that cannot be read.
pub(super) fn broken(at: u64, what: &str) -> Obstacle {
    let message = format!("{what} (byte {at}); nothing behind it is seen");
    Obstacle { path: Text::from("/"), kind: ObstacleKind::Damaged, hides: Hides::Tree, message }
}
