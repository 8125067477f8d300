//! Resolve: where does a path lead when the evidence root is the whole world?
//!
//! A link to `/etc/passwd` inside the evidence means the evidence's own `/etc/passwd`; `..` stops
//! at the root. The kernel never resolves a link for us, so that none can lead outside.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, readlinkat, statat};
use rustix::io::Errno;

use crate::dir::open_folder;
use crate::meta::Kind;
use crate::path::split;

/// Prefixes that are remembered. A manifest names folders by the ten thousand, not by the million.
const REMEMBERED: usize = 1 << 18;

/// What stands at a path.
#[derive(Clone)]
pub(crate) enum Step {
    Folder,
    /// A link, and where it points as written.
    Link(Vec<u8>),
    Other,
    Missing,
}

/// Says what stands at a path whose parents are all real folders.
pub(crate) trait Lookup {
    fn look(&self, path: &[u8]) -> Step;
}

/// A root that the kernel holds open.
pub(crate) struct OpenRoot<'a>(pub(crate) &'a OwnedFd);

impl Lookup for OpenRoot<'_> {
    fn look(&self, path: &[u8]) -> Step {
        let relative = &path[1..];
        match statat(self.0, relative, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match Kind::from_mode(stat.st_mode) {
                Kind::Folder => Step::Folder,
                Kind::Link => match readlinkat(self.0, relative, Vec::new()) {
                    Ok(target) => Step::Link(target.into_bytes()),
                    Err(_) => Step::Other,
                },
                _ => Step::Other,
            },
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Step::Missing,
            Err(_) => Step::Other,
        }
    }
}

/// Resolves paths below one root and remembers folders and links.
pub(crate) struct Resolver {
    known: Mutex<HashMap<Vec<u8>, Step>>,
    links: usize,
}

impl Resolver {
    pub(crate) fn new(links: usize) -> Self {
        Self { known: Mutex::new(HashMap::new()), links }
    }

    /// The folder that `path` leads to; the root is the empty path.
    pub(crate) fn folder(&self, root: &dyn Lookup, path: &[u8]) -> Option<Vec<u8>> {
        let (found, step) = self.follow(root, path)?;
        matches!(step, Step::Folder).then_some(found)
    }

    /// The entry that `path` leads to, whatever it is.
    pub(crate) fn entry(&self, root: &dyn Lookup, path: &[u8]) -> Option<Vec<u8>> {
        let (found, step) = self.follow(root, path)?;
        (!matches!(step, Step::Missing)).then_some(found)
    }

    fn follow(&self, root: &dyn Lookup, path: &[u8]) -> Option<(Vec<u8>, Step)> {
        let mut left: Vec<Vec<u8>> = parts(path);
        let mut here: Vec<u8> = Vec::new();
        let mut step = Step::Folder;
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == b".." {
                here.truncate(split(&here).0.len());
                continue;
            }
            let parent = here.len();
            here.push(b'/');
            here.extend_from_slice(&part);
            step = self.step(root, &here);
            match &step {
                Step::Folder => {}
                Step::Link(target) => {
                    links += 1;
                    if links > self.links {
                        return None;
                    }
                    here.truncate(if target.starts_with(b"/") { 0 } else { parent });
                    left.extend(parts(target));
                    step = Step::Folder;
                }
                Step::Other | Step::Missing if left.is_empty() => {}
                Step::Other | Step::Missing => return None,
            }
        }
        Some((here, step))
    }

    /// What stands at a path whose parents are all real folders.
    fn step(&self, root: &dyn Lookup, path: &[u8]) -> Step {
        if let Some(step) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return step.clone();
        }
        let step = root.look(path);
        // Files are asked for once; only what lies on the way to many of them is worth keeping.
        if matches!(step, Step::Folder | Step::Link(_)) {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() < REMEMBERED {
                known.insert(path.to_vec(), step.clone());
            }
        }
        step
    }
}

/// The parts of a path, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

/// Opens a folder whose path is resolved, part by part, so that a link put there meanwhile fails.
pub(crate) fn open_resolved(root: &OwnedFd, folder: &[u8]) -> Result<OwnedFd, Errno> {
    // Opened anew and not duplicated: a duplicate shares its place in the listing, so that a second
    // walk would find the root at its end, and empty.
    let mut fd = open_folder(root, b".")?;
    for part in folder.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        fd = open_folder(&fd, part)?;
    }
    Ok(fd)
}
