//! Source: how does evidence of any form hand over its entries?
//!
//! A source drives its own threads, because only it knows what may run in parallel: files of a
//! folder, extents of an image in disk order, one stream of an archive. It reads each file once
//! and computes all digests that are wanted in that one read.
//! Never writes, never follows a link out of the root, never hands over half a file as a whole.

use std::num::NonZeroUsize;

use directive::text::Text;

use crate::meta::{Kind, Meta};

/// Evidence of one instance, open for reading.
pub trait Source: Sync {
    /// The source as the operator named it: `/`, `images/vpn1`.
    fn name(&self) -> &str;

    /// Whether `ctime` and birth times are the instance's own, as on a running machine and in an
    /// image of its disk, and not those of a copy of its files.
    fn has_own_ctime(&self) -> bool;

    /// Hands every entry below the root to `visitor`, from up to `threads` threads at once.
    ///
    /// Entries come in no particular order. Ends early, and without an error, when
    /// [`Visitor::stop`] says so.
    ///
    /// # Errors
    ///
    /// Only if the root itself cannot be read; anything below it is an obstacle.
    fn walk(&self, threads: NonZeroUsize, visitor: &dyn Visitor) -> Result<(), crate::Error>;

    /// The folder that `path` names once every link on the way is resolved inside the root:
    /// `/bin` is `/usr/bin` where `/bin` is a link. `None` if there is no such folder.
    fn canonical_folder(&self, path: &[u8]) -> Option<Vec<u8>>;

    /// The path of the file that `path` names once every link, the last one too, is resolved
    /// inside the root. `None` if there is no such entry.
    fn canonical_file(&self, path: &[u8]) -> Option<Vec<u8>>;

    /// Reads a small file whole. Links are followed inside the root. `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it is there and cannot be read, is no regular file or has more than
    /// `limit` bytes.
    fn read_small(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, ReadError>;

    /// Hands the bytes of one file to `sink`, outside a walk, until that returns false: for what is too long
    /// to be held, as logs are. Links are followed inside the root. `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it is there and cannot be read to its end, or is no regular file.
    fn stream(&self, path: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<Meta>, ReadError>;

    /// The names in a folder, sorted. Links are followed inside the root. `None` if it is not
    /// there.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it is there and cannot be listed.
    fn list(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, ReadError>;

    /// Reads one file for its digests, outside a walk. `path` is taken as it is: its last part is
    /// not followed if it is a link.
    ///
    /// # Errors
    ///
    /// An obstacle, as a walk would report it.
    fn digest(&self, path: &[u8], wants: Wants) -> Result<(Meta, Digests), Obstacle>;
}

/// Receives what a walk meets. Called from several threads at once.
pub trait Visitor: Sync {
    /// Which digests a file needs beside SHA-256. Asked once, before the file is read.
    fn wants(&self, meta: &Meta) -> Wants;

    /// A file that was read whole, a folder or a link.
    fn entry(&self, entry: Entry);

    /// Something that could not be seen.
    fn obstacle(&self, obstacle: Obstacle);

    /// Whether to stop as soon as possible. Asked often.
    fn stop(&self) -> bool {
        false
    }
}

/// Digests that cost extra: SHA-256 is always there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants {
    /// MD5, which package databases still list. It costs three times as much as SHA-256 on a
    /// processor with SHA instructions.
    pub md5: bool,
    /// SHA-1, which indicators of others still list.
    pub sha1: bool,
    /// Hand over the content too, if it has at most so many bytes. Zero: never.
    pub content: u64,
}

impl Wants {
    /// SHA-256 alone.
    pub const SHA256: Self = Self { md5: false, sha1: false, content: 0 };
    /// SHA-256 and MD5.
    pub const MD5: Self = Self { md5: true, sha1: false, content: 0 };

    /// The same, and the content of files that have at most `bytes`.
    #[must_use]
    pub fn with_content(self, bytes: u64) -> Self {
        Self { content: bytes, ..self }
    }

    /// The same, and MD5 if `wanted`.
    #[must_use]
    pub fn with_md5(self, wanted: bool) -> Self {
        Self { md5: wanted, ..self }
    }

    /// The same, and SHA-1 if `wanted`.
    #[must_use]
    pub fn with_sha1(self, wanted: bool) -> Self {
        Self { sha1: wanted, ..self }
    }
}

/// The digests of one file, all from the same read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Digests {
    /// SHA-256 over the whole file.
    pub sha256: [u8; 32],
    /// MD5 over the whole file, if it was wanted.
    pub md5: Option<[u8; 16]>,
    /// SHA-1 over the whole file, if it was wanted.
    pub sha1: Option<[u8; 20]>,
    /// What the file is by its first bytes.
    pub nature: Nature,
}

impl Digests {
    /// Whether all digests that are wanted are there.
    pub(crate) fn hold(&self, wants: Wants) -> bool {
        (!wants.md5 || self.md5.is_some()) && (!wants.sha1 || self.sha1.is_some())
    }
}

/// What a file is by its first bytes, whatever it is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nature {
    /// A program or library for a processor: ELF, PE, Mach-O.
    Program,
    /// Begins with `#!`.
    Script,
    /// A packed archive: zip (also a Java archive), gzip, xz, zstd, bzip2, 7z, rar.
    Archive,
    /// Anything else.
    #[default]
    Other,
}

impl Nature {
    /// Tells it from up to eight bytes; those of a PE as linkers write them.
    ///
    /// Source: `file(1)`, the magic numbers of each format.
    pub fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x7f, b'E', b'L', b'F', ..] | [b'M', b'Z', _, 0, _, 0, _, 0, ..] | [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => {
                Self::Program
            }
            [b'#', b'!', ..] => Self::Script,
            [b'P', b'K', 3, 4, ..]
            | [0x1f, 0x8b, ..]
            | [0xfd, b'7', b'z', b'X', b'Z', ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [b'B', b'Z', b'h', ..]
            | [b'7', b'z', 0xbc, 0xaf, ..]
            | [b'R', b'a', b'r', b'!', ..] => Self::Archive,
            _ => Self::Other,
        }
    }
}

/// One entry of the evidence.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// What the file system records.
    pub meta: Meta,
    /// The digests of a regular file; absent for folders and links.
    pub digests: Option<Digests>,
    /// The whole content of a file, if it was wanted and is no longer than was wanted. A further name of a
    /// file that was read already comes without.
    pub content: Option<Vec<u8>>,
    /// Bytes read for it. Zero for a further name of a file that was read already.
    pub bytes_read: u64,
}

/// Something below the root that could not be seen.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Obstacle {
    /// Absolute from the evidence root.
    pub path: Text,
    /// What stands in the way.
    pub kind: ObstacleKind,
    /// Whether it hides one entry or everything below it.
    pub hides: Hides,
    /// What the operating system said, or which limit was met.
    pub message: String,
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ObstacleKind {
    /// Opening or reading failed.
    Unreadable,
    /// It was listed and then was not there, or was something else.
    Vanished,
    /// Size, `mtime` or `ctime` differed after reading.
    Changed,
    /// A pipe, socket or device; never opened.
    Special(Kind),
    /// A file system made up by the kernel: `/proc`, `/sys`.
    PseudoFilesystem,
    /// A file system of another machine, which may hang and is not this instance's.
    NetworkFilesystem,
    /// Deeper than the limit.
    TooDeep,
    /// A longer path than the limit.
    PathTooLong,
    /// A larger file than the limit.
    TooLarge,
    /// A folder that is one of its own parents, through a mount.
    Loop,
    /// The bytes that describe it contradict themselves, or end too early.
    Damaged,
    /// Encrypted, and no key was given that opens it.
    Encrypted,
    /// Sound, in a form that is not read here.
    NotRead,
    /// A name that leads out of the root, or that no kernel takes.
    BadName,
    /// An archive that names it more than once: readers differ in which one they take.
    Twice,
    /// More entries than the limit.
    TooMany,
    /// A disk or a part of it that holds nothing that is known: swap, unused space.
    NoFiles,
    /// A folder in which something lies under what is mounted there.
    Covered,
    /// It was seen; the reader had to do something that the report should say, such as replaying a
    /// journal.
    Remark,
}

/// How much an obstacle hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hides {
    /// That entry alone.
    Entry,
    /// Everything below.
    Tree,
}

/// Why a small file or a folder could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It has more bytes than the caller allows.
    #[error("{path:?} is larger than {limit} bytes")]
    TooLarge {
        /// Absolute from the evidence root.
        path: Text,
        /// What the caller allows.
        limit: u64,
    },
    /// It is a pipe, a device, a folder where a file is expected.
    #[error("{path:?} is a {}", kind.as_str())]
    WrongKind {
        /// Absolute from the evidence root.
        path: Text,
        /// What it is.
        kind: Kind,
    },
    /// The operating system refused.
    #[error("cannot read {path:?}")]
    Io {
        /// Absolute from the evidence root.
        path: Text,
        /// What the operating system said.
        source: std::io::Error,
    },
}
