//! Folder: the live root of this machine, or a folder that holds a copy of another's.
//!
//! Both are the same bytes behind the same door; they differ only in what their times mean.

use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use directive::text::Text;
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::{Errno, read, retry_on_intr};

use crate::dir::stat_open;
use crate::error::Error;
use crate::limits::Limits;
use crate::meta::Meta;
use crate::path::split;
use crate::read::{Reader, obstacle};
use crate::resolve::{OpenRoot, Resolver, open_resolved};
use crate::source::{Digests, Hides, Obstacle, ObstacleKind, ReadError, Source, Visitor, Wants};
use crate::walk;

/// Bytes that are handed over at once.
const STREAMED: usize = 256 << 10;

/// A folder tree, open for reading.
pub struct Folder {
    name: String,
    root: OwnedFd,
    live: bool,
    limits: Limits,
    resolver: Resolver,
}

impl Folder {
    /// Opens a folder that holds the files of an instance. The folder itself may be named through
    /// a link, since the operator chose it; nothing below it may.
    ///
    /// # Errors
    ///
    /// [`Error`] if it is not there, is no folder, or may not be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::at(path, false, Limits::default())
    }

    /// Opens the root of the running machine.
    ///
    /// # Errors
    ///
    /// [`Error`] if `/` may not be read.
    pub fn live() -> Result<Self, Error> {
        Self::at(Path::new("/"), true, Limits::default())
    }

    /// The same folder under other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.resolver = Resolver::new(limits.links);
        self.limits = limits;
        self
    }

    fn at(path: &Path, live: bool, limits: Limits) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let root = openat(CWD, path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR => Error::NotAFolder { path: path.to_owned() },
            error => Error::Open { path: path.to_owned(), source: error.into() },
        })?;
        let resolver = Resolver::new(limits.links);
        Ok(Self { name: path.to_string_lossy().into_owned(), root, live, limits, resolver })
    }

    /// Opens the folder of a path and says how the path is called in it.
    fn parent_of<'p>(&self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8]), Errno> {
        let (folder, name) = split(path);
        Ok((open_resolved(&self.root, folder)?, name))
    }
}

impl Source for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn has_own_ctime(&self) -> bool {
        self.live
    }

    fn walk(&self, threads: NonZeroUsize, visitor: &dyn Visitor) -> Result<(), Error> {
        let fail = |error: Errno| Error::Open { path: PathBuf::from(&self.name), source: error.into() };
        let root = open_resolved(&self.root, b"").map_err(fail)?;
        let identity = crate::dir::identity(&stat_open(&root).map_err(fail)?);
        walk::run(root, identity, threads, &self.limits, visitor);
        Ok(())
    }

    fn canonical_folder(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.resolver.folder(&OpenRoot(&self.root), path)
    }

    fn canonical_file(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.resolver.entry(&OpenRoot(&self.root), path)
    }

    fn read_small(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(found) = self.resolver.entry(&OpenRoot(&self.root), path) else { return Ok(None) };
        let io = |error: Errno| ReadError::Io { path: Text::new(path), source: error.into() };
        let (folder, name) = self.parent_of(&found).map_err(io)?;
        let opened = Reader::new().open(&folder, name, Text::new(path));
        let (fd, meta) = match opened {
            Ok(opened) => opened,
            Err(Obstacle { kind: ObstacleKind::Special(kind), .. }) => {
                return Err(ReadError::WrongKind { path: Text::new(path), kind });
            }
            Err(Obstacle { kind: ObstacleKind::Vanished, .. }) => return Ok(None),
            Err(obstacle) => {
                return Err(ReadError::Io { path: Text::new(path), source: std::io::Error::other(obstacle.message) });
            }
        };
        if meta.size > limit {
            return Err(ReadError::TooLarge { path: Text::new(path), limit });
        }
        let mut bytes = vec![0; usize::try_from(meta.size.min(limit)).unwrap_or(0) + 1];
        let mut filled = 0;
        loop {
            match retry_on_intr(|| read(&fd, &mut bytes[filled..])).map_err(io)? {
                0 => break,
                count => filled += count,
            }
            if filled as u64 > limit {
                return Err(ReadError::TooLarge { path: Text::new(path), limit });
            }
            if filled == bytes.len() {
                bytes.resize(filled + (64 << 10), 0);
            }
        }
        bytes.truncate(filled);
        Ok(Some(bytes))
    }

    fn stream(&self, path: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<Meta>, ReadError> {
        let Some(found) = self.resolver.entry(&OpenRoot(&self.root), path) else { return Ok(None) };
        let fail = |source| ReadError::Io { path: Text::new(path), source };
        let (folder, name) = self.parent_of(&found).map_err(|error| fail(error.into()))?;
        let (fd, meta) = match Reader::new().open(&folder, name, Text::new(&found[..])) {
            Ok(opened) => opened,
            Err(Obstacle { kind: ObstacleKind::Special(kind), .. }) => {
                return Err(ReadError::WrongKind { path: Text::new(path), kind });
            }
            Err(obstacle) => return Err(fail(std::io::Error::other(obstacle.message))),
        };
        // What a log is given while it is read belongs to the next check.
        let mut left = meta.size;
        let mut buffer = vec![0; STREAMED];
        while left > 0 {
            let count = retry_on_intr(|| read(&fd, &mut buffer[..])).map_err(|error| fail(error.into()))?;
            let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 || !sink(&buffer[..count]) {
                break;
            }
            left -= count as u64;
        }
        Ok(Some(meta))
    }

    fn list(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, ReadError> {
        let Some(found) = self.resolver.folder(&OpenRoot(&self.root), path) else { return Ok(None) };
        let io = |error: Errno| ReadError::Io { path: Text::new(path), source: error.into() };
        let folder = open_resolved(&self.root, &found).map_err(io)?;
        let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
        let mut entries = RawDir::new(&folder, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let name = entry.map_err(io)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
            if names.len() > self.limits.listed {
                return Err(ReadError::TooLarge { path: Text::new(path), limit: self.limits.listed as u64 });
            }
        }
        names.sort();
        Ok(Some(names))
    }

    fn digest(&self, path: &[u8], wants: Wants) -> Result<(Meta, Digests), Obstacle> {
        let gone = |error| Obstacle { hides: Hides::Entry, ..obstacle(Text::new(path), ObstacleKind::Vanished, error) };
        let (folder, name) = self.parent_of(path).map_err(gone)?;
        let mut reader = Reader::new();
        let (fd, meta) = reader.open(&folder, name, Text::new(path))?;
        let digests = reader.digest(&fd, &meta, wants, &self.limits, &|| false)?.digests;
        Ok((meta, digests))
    }
}
