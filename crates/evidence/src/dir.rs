//! Dir: an open folder of a walk, found again when it had to be closed.
//!
//! Files are opened relative to the folder that listed them, so that nobody can slip another
//! folder underneath. Only so many folders stay open; a closed one is opened again from its
//! parents and must be the same inode.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags, openat, statx};
use rustix::io::Errno;

/// What every entry is asked for.
pub(crate) const STAT: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// Opens a folder below an open one. A link is never followed.
pub(crate) fn open_folder(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat(parent, name, FOLDER, Mode::empty())
}

/// What the file system records about an open file.
pub(crate) fn stat_open(fd: &OwnedFd) -> Result<Statx, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW, STAT)
}

/// Device and inode: what an entry is, whatever it is called.
pub(crate) fn identity(stat: &Statx) -> (u64, u64) {
    ((u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor), stat.stx_ino)
}

/// A folder in a walk.
pub(crate) struct Dir {
    parent: Option<Arc<Dir>>,
    /// Absolute from the evidence root; the root itself is empty.
    pub(crate) path: Vec<u8>,
    pub(crate) depth: usize,
    pub(crate) identity: (u64, u64),
    open: Mutex<Option<Counted>>,
}

/// An open folder, counted while it is open.
#[derive(Clone)]
struct Counted {
    fd: Arc<OwnedFd>,
    _count: Arc<Count>,
}

struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dir {
    pub(crate) fn new(
        parent: Option<Arc<Self>>,
        path: Vec<u8>,
        identity: (u64, u64),
        fd: Arc<OwnedFd>,
        open: &Arc<AtomicUsize>,
    ) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        let counted = Counted { fd, _count: Arc::new(Count(Arc::clone(open))) };
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        Self { parent, path, depth, identity, open: Mutex::new(Some(counted)) }
    }

    /// The folder's descriptor. Opened again from the nearest open parent if it was closed.
    pub(crate) fn fd(&self) -> Result<Arc<OwnedFd>, Errno> {
        let mut closed: Vec<&Self> = Vec::new();
        let mut dir = self;
        let mut fd = loop {
            let open = dir.open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(counted) = open.as_ref() {
                break Arc::clone(&counted.fd);
            }
            drop(open);
            closed.push(dir);
            // The root is never closed, so that this ends.
            dir = dir.parent.as_deref().ok_or(Errno::BADF)?;
        };
        for dir in closed.into_iter().rev() {
            let (_, name) = crate::path::split(&dir.path);
            let again = open_folder(&fd, name)?;
            if identity(&stat_open(&again)?) != dir.identity {
                return Err(Errno::STALE);
            }
            fd = Arc::new(again);
        }
        Ok(fd)
    }

    /// Closes the folder while its children wait, to be opened again when one of them needs it.
    pub(crate) fn close(&self) {
        if self.parent.is_some() {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// Whether one of the folders above is this one: a mount that leads back into itself.
    pub(crate) fn is_within(&self, identity: (u64, u64)) -> bool {
        let mut dir = Some(self);
        while let Some(here) = dir {
            if here.identity == identity {
                return true;
            }
            dir = here.parent.as_deref();
        }
        false
    }

    /// The path of an entry of this folder.
    pub(crate) fn join(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(&self.path);
        path.push(b'/');
        path.extend_from_slice(name);
        path
    }
}

impl Drop for Dir {
    /// Lets go of the parents one after the other: a tree of thousands of levels must not take a
    /// stack frame for each.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut dir) = next.and_then(|parent| Arc::try_unwrap(parent).ok()) {
            next = dir.parent.take();
        }
    }
}
