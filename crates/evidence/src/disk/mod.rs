//! Disk: an image of an instance's disk as the files of that instance.
//!
//! Every file system on the disk is shown: the root at `/`, what its `fstab` mounts at its place, and
//! everything else as `/@<volume>`, so that a rollback generation or a forgotten partition is looked
//! at like the rest. What is encrypted, damaged or of a kind that is not read is an obstacle at its
//! place, never silence. Nothing is mounted by the kernel.

mod assemble;
mod listing;
mod look;
mod walk;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};

use directive::text::Text;
use image::ReadAt;
use image::filesystem::{Content, FileSystem, Id, Node};
use image::volume::Keys;

use crate::catalogue::blank;
use crate::error::Error;
use crate::hash::{Hash, Passed};
use crate::limits::Limits;
use crate::meta::{Kind, Meta, Time, Xattr};
use crate::resolve::Resolver;
use crate::source::{Digests, Hides, Obstacle, ObstacleKind, ReadError, Source, Visitor, Wants};

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// A disk image, with its file systems in place.
pub(crate) struct Disk {
    name: String,
    limits: Limits,
    mounts: Vec<Mount>,
    obstacles: Vec<Obstacle>,
    resolver: Resolver,
    has_own_ctime: bool,
    /// Names in folders that were looked into, by file system and folder.
    looked: Mutex<Looked>,
}

/// A file system at its place.
struct Mount {
    /// Where it stands; the root is empty.
    at: Vec<u8>,
    fs: Arc<dyn FileSystem>,
}

/// What a folder holds.
type Names = Arc<HashMap<Vec<u8>, Id>>;

#[derive(Default)]
struct Looked {
    folders: HashMap<(usize, Id), Names>,
    names: usize,
}

impl Disk {
    /// Opens an image: container, volumes, file systems.
    pub(crate) fn open(
        path: &Path,
        bytes: Arc<dyn ReadAt>,
        others: &[(String, Arc<dyn ReadAt>)],
        keys: &Keys,
        limits: Limits,
    ) -> Result<Self, Error> {
        let fail = |source| Error::Image { path: path.to_owned(), source };
        let disk = image::container::open(bytes, others).map_err(fail)?;
        let assembled = assemble::assemble(disk, keys);
        if assembled.mounts.is_empty() {
            let mut why: Vec<&str> = assembled.obstacles.iter().map(|obstacle| obstacle.message.as_str()).collect();
            why.truncate(3);
            let why = match why.is_empty() {
                true => "it is no archive, and no disk with a file system that is known".to_owned(),
                false => why.join("; "),
            };
            return Err(Error::Refused { path: path.to_owned(), why });
        }
        Ok(Self {
            name: path.to_string_lossy().into_owned(),
            limits,
            mounts: assembled.mounts,
            obstacles: assembled.obstacles,
            resolver: Resolver::new(limits.links),
            has_own_ctime: true,
            looked: Mutex::default(),
        })
    }

    /// A single file system that somebody else opened, such as that of a host over SSH.
    pub(crate) fn of_filesystem(name: &str, fs: Arc<dyn FileSystem>, limits: Limits) -> Self {
        let obstacles = fs.remarks().into_iter().map(|message| Obstacle {
            path: Text::from("/"),
            kind: ObstacleKind::Remark,
            hides: Hides::Entry,
            message,
        });
        Self {
            name: name.to_owned(),
            limits,
            obstacles: obstacles.collect(),
            mounts: vec![Mount { at: Vec::new(), fs }],
            resolver: Resolver::new(limits.links),
            has_own_ctime: false,
            looked: Mutex::default(),
        }
    }

    fn meta(&self, mount: usize, id: Id, path: Vec<u8>, node: &Node) -> Meta {
        let kind = Kind::from_mode(node.mode);
        let mut meta = blank(path, kind);
        let time = |(seconds, nanoseconds): (i64, u32)| Time { seconds, nanoseconds };
        (meta.uid, meta.gid, meta.mode) = (node.uid, node.gid, node.mode & 0o7777);
        (meta.size, meta.nlink) = (node.size, node.links);
        meta.mtime = time(node.mtime);
        meta.ctime = node.ctime.map(time);
        meta.birth = node.birth.filter(|(seconds, _)| *seconds != 0).map(time);
        meta.xattrs = node.xattrs.iter().map(|(name, value)| Xattr::of(name, value)).collect();
        (meta.dev, meta.ino) = (mount as u64, id);
        meta
    }

    /// Reads a regular file for its digests.
    fn hash(
        &self,
        mount: usize,
        id: Id,
        meta: &Meta,
        wants: Wants,
        buffer: &mut [u8],
        stop: &dyn Fn() -> bool,
    ) -> Result<Passed, Obstacle> {
        let fail = |kind, message: String| Obstacle { path: meta.path.clone(), kind, hides: Hides::Entry, message };
        if meta.size > self.limits.file_bytes {
            let message = format!("{} bytes, more than {}", meta.size, self.limits.file_bytes);
            return Err(fail(ObstacleKind::TooLarge, message));
        }
        let mut hash = Hash::new(wants);
        self.content(mount, id, meta.size, buffer, &mut |bytes| {
            hash.update(bytes);
            !stop()
        })
        .map_err(|error| fail(kind_of(&error), say(&error)))?;
        Ok(hash.finish())
    }

    /// Hands the bytes of a file to `sink` until that returns false.
    fn content(
        &self,
        mount: usize,
        id: Id,
        size: u64,
        buffer: &mut [u8],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), image::filesystem::Error> {
        let mut content: Box<dyn Content + '_> = self.mounts[mount].fs.open(id)?;
        let mut total = 0_u64;
        loop {
            let count = content.read(buffer)?;
            if count == 0 {
                break;
            }
            total += count as u64;
            if total > size || !sink(&buffer[..count]) {
                break;
            }
        }
        if total != size {
            let message = format!("{total} bytes where {size} are recorded");
            return Err(image::filesystem::Error::Damaged(message));
        }
        Ok(())
    }
}

fn kind_of(error: &image::filesystem::Error) -> ObstacleKind {
    match error {
        image::filesystem::Error::Damaged(_) => ObstacleKind::Damaged,
        image::filesystem::Error::NotRead(_) => ObstacleKind::NotRead,
        image::filesystem::Error::Changed(_) => ObstacleKind::Changed,
        image::filesystem::Error::Foreign { is_network: true, .. } => ObstacleKind::NetworkFilesystem,
        image::filesystem::Error::Foreign { .. } => ObstacleKind::PseudoFilesystem,
        _ => ObstacleKind::Unreadable,
    }
}

/// The message with its cause.
fn say(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Source for Disk {
    fn name(&self) -> &str {
        &self.name
    }

    fn has_own_ctime(&self) -> bool {
        self.has_own_ctime
    }

    fn walk(&self, threads: NonZeroUsize, visitor: &dyn Visitor) -> Result<(), Error> {
        self.obstacles.iter().cloned().for_each(|obstacle| visitor.obstacle(obstacle));
        walk::run(self, threads, visitor);
        Ok(())
    }

    fn canonical_folder(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.resolver.folder(self, path)
    }

    fn canonical_file(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.resolver.entry(self, path)
    }

    fn read_small(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let Some((mount, id)) = self.canonical_file(path).and_then(|found| self.find(&found)) else { return Ok(None) };
        let fail = |error: &image::filesystem::Error| ReadError::Io {
            path: Text::new(path),
            source: std::io::Error::other(say(error)),
        };
        let node = self.mounts[mount].fs.node(id).map_err(|error| fail(&error))?;
        let kind = Kind::from_mode(node.mode);
        if kind != Kind::File {
            return Err(ReadError::WrongKind { path: Text::new(path), kind });
        }
        if node.size > limit {
            return Err(ReadError::TooLarge { path: Text::new(path), limit });
        }
        let mut bytes = Vec::new();
        self.content(mount, id, node.size, &mut vec![0; 64 << 10], &mut |more| {
            bytes.extend_from_slice(more);
            true
        })
        .map_err(|error| fail(&error))?;
        Ok(Some(bytes))
    }

    fn stream(&self, path: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<Meta>, ReadError> {
        let Some(found) = self.canonical_file(path) else { return Ok(None) };
        let Some((mount, id)) = self.find(&found) else { return Ok(None) };
        let fail = |error: &image::filesystem::Error| ReadError::Io {
            path: Text::new(path),
            source: std::io::Error::other(say(error)),
        };
        let node = self.mounts[mount].fs.node(id).map_err(|error| fail(&error))?;
        let meta = self.meta(mount, id, found, &node);
        if meta.kind != Kind::File {
            return Err(ReadError::WrongKind { path: Text::new(path), kind: meta.kind });
        }
        let mut is_over = false;
        let read = self.content(mount, id, node.size, &mut vec![0; BUFFER], &mut |more| {
            is_over = !sink(more);
            !is_over
        });
        match read {
            Err(error) if !is_over => Err(fail(&error)),
            _ => Ok(Some(meta)),
        }
    }

    fn list(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, ReadError> {
        let Some(found) = self.canonical_folder(path) else { return Ok(None) };
        let Some((mount, id)) = self.find(&found) else { return Ok(None) };
        let fail = |error: image::filesystem::Error| ReadError::Io {
            path: Text::new(path),
            source: std::io::Error::other(say(&error)),
        };
        let mut names: Vec<Vec<u8>> = self.names(mount, id).map_err(fail)?.keys().cloned().collect();
        names.extend(self.mounted_below(&found));
        if names.len() > self.limits.listed {
            return Err(ReadError::TooLarge { path: Text::new(path), limit: self.limits.listed as u64 });
        }
        names.sort();
        names.dedup();
        Ok(Some(names))
    }

    fn digest(&self, path: &[u8], wants: Wants) -> Result<(Meta, Digests), Obstacle> {
        let fail = |kind, message: String| Obstacle { path: Text::new(path), kind, hides: Hides::Entry, message };
        let (mount, id) = self.find(path).ok_or_else(|| fail(ObstacleKind::Vanished, "it is not there".into()))?;
        let node = self.mounts[mount].fs.node(id).map_err(|error| fail(kind_of(&error), say(&error)))?;
        let meta = self.meta(mount, id, path.to_vec(), &node);
        if meta.kind != Kind::File {
            return Err(fail(ObstacleKind::Special(meta.kind), "it is no regular file".into()));
        }
        let digests = self.hash(mount, id, &meta, wants, &mut vec![0; BUFFER], &|| false)?.digests;
        Ok((meta, digests))
    }
}

#[cfg(test)]
mod tests;
