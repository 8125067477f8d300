//! Read: the one time that a file's bytes pass through our hands.
//!
//! Opened without following a link and without waiting, checked to be a regular file, read with
//! one buffer per thread, and looked at again afterwards: a file that changed meanwhile has no
//! digest worth the name.

use std::os::fd::OwnedFd;

use directive::text::Text;
use rustix::fs::{Advice, Mode, OFlags, fadvise, fgetxattr, flistxattr, openat};
use rustix::io::{Errno, read, retry_on_intr};

use crate::dir::stat_open;
use crate::hash::{Hash, Passed};
use crate::limits::Limits;
use crate::meta::{Kind, Meta, Xattr, describe_capability};
use crate::source::{Hides, Obstacle, ObstacleKind, Wants};

/// Bytes read at once: fits the second-level cache of one core, so that hashing finds them there.
const BUFFER: usize = 256 << 10;

/// Where the kernel is told that we read from front to back.
const WORTH_ADVICE: u64 = 1 << 20;

/// What one thread needs to read files; made once.
pub(crate) struct Reader {
    buffer: Vec<u8>,
    names: Vec<u8>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; BUFFER], names: vec![0; 4096] }
    }

    /// Opens a regular file below `folder` and says what the file system records about it.
    pub(crate) fn open(&mut self, folder: &OwnedFd, name: &[u8], path: Text) -> Result<(OwnedFd, Meta), Obstacle> {
        let fd = match open_quietly(folder, name) {
            Ok(fd) => fd,
            // A link where the listing showed a file, or nothing: it was swapped under our hands.
            Err(error @ (Errno::LOOP | Errno::NOENT | Errno::NOTDIR)) => {
                return Err(obstacle(path, ObstacleKind::Vanished, error));
            }
            Err(error) => return Err(obstacle(path, ObstacleKind::Unreadable, error)),
        };
        let stat = match stat_open(&fd) {
            Ok(stat) => stat,
            Err(error) => return Err(obstacle(path, ObstacleKind::Unreadable, error)),
        };
        let mut meta = Meta::from_statx(path, &stat);
        if meta.kind != Kind::File {
            let message = format!("it became a {}", meta.kind.as_str());
            return Err(Obstacle {
                path: meta.path,
                kind: ObstacleKind::Special(meta.kind),
                hides: Hides::Entry,
                message,
            });
        }
        meta.xattrs = self.xattrs(&fd);
        Ok((fd, meta))
    }

    /// Reads an open file to its end.
    pub(crate) fn digest(
        &mut self,
        fd: &OwnedFd,
        meta: &Meta,
        wants: Wants,
        limits: &Limits,
        stop: &dyn Fn() -> bool,
    ) -> Result<Passed, Obstacle> {
        let fail =
            |kind, message: String| Err(Obstacle { path: meta.path.clone(), kind, hides: Hides::Entry, message });
        if meta.size > limits.file_bytes {
            return fail(ObstacleKind::TooLarge, format!("{} bytes, more than {}", meta.size, limits.file_bytes));
        }
        if meta.size > WORTH_ADVICE {
            // Advice only: a file system that does not take it is read all the same.
            let _ = fadvise(fd, 0, None, Advice::Sequential);
        }
        let mut hash = Hash::new(wants);
        let mut total = 0_u64;
        loop {
            let count = match retry_on_intr(|| read(fd, &mut self.buffer[..])) {
                Ok(count) => count,
                Err(error) => return fail(ObstacleKind::Unreadable, error.to_string()),
            };
            hash.update(&self.buffer[..count]);
            total += count as u64;
            // A short read that completes the recorded size is the end; anything else is asked again.
            if count == 0 || (total == meta.size && count < self.buffer.len()) {
                break;
            }
            if total > meta.size {
                return fail(ObstacleKind::Changed, "it grew while it was read".into());
            }
            if stop() {
                return fail(ObstacleKind::Unreadable, "the run was interrupted".into());
            }
        }
        match stat_open(fd).map(|stat| Meta::from_statx(Text::default(), &stat)) {
            Ok(after) if (after.size, after.mtime, after.ctime) == (meta.size, meta.mtime, meta.ctime) => {}
            Ok(_) => return fail(ObstacleKind::Changed, "size, mtime or ctime changed while it was read".into()),
            Err(error) => return fail(ObstacleKind::Unreadable, error.to_string()),
        }
        if total != meta.size {
            return fail(ObstacleKind::Changed, format!("{total} bytes read where {} are recorded", meta.size));
        }
        Ok(hash.finish())
    }

    /// Names of the extended attributes, and the capabilities in them. A file system that has none
    /// says so with an error, which is the same as having none.
    pub(crate) fn xattrs(&mut self, fd: &OwnedFd) -> Vec<Xattr> {
        let count = match flistxattr(fd, &mut self.names[..]) {
            Ok(0) | Err(Errno::OPNOTSUPP | Errno::ACCESS | Errno::PERM) => return Vec::new(),
            Ok(count) => count,
            Err(Errno::RANGE) => {
                // The kernel's own bound for the list is 64 KiB.
                self.names.resize(64 << 10, 0);
                flistxattr(fd, &mut self.names[..]).unwrap_or(0)
            }
            Err(_) => return Vec::new(),
        };
        let names = self.names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty());
        names
            .map(|name| {
                let mut value = [0_u8; 64];
                let is_capability = name == b"security.capability";
                let value = is_capability.then(|| match fgetxattr(fd, name, &mut value[..]) {
                    Ok(length) => describe_capability(&value[..length]),
                    Err(error) => format!("unreadable: {error}"),
                });
                Xattr { name: Text::new(name), value }
            })
            .collect()
    }
}

/// Opens for reading without following a link, without waiting for a pipe's other end and, where
/// the kernel lets us, without leaving a trace in the access time.
fn open_quietly(folder: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match openat(folder, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(folder, name, flags, Mode::empty()),
        other => other,
    }
}

pub(crate) fn obstacle(path: Text, kind: ObstacleKind, error: Errno) -> Obstacle {
    Obstacle { path, kind, hides: Hides::Entry, message: error.to_string() }
}
