//! Look: what stands at a path of a disk image?
//!
//! A file system in an image is asked folder by folder; what a folder holds is remembered, since a
//! manifest asks for the same folders thousands of times.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use image::filesystem::{Error, Id};

use super::{Disk, Names};
use crate::meta::Kind;
use crate::resolve::{Lookup, Step};

/// Names that are remembered, over all folders. The names of a whole host take about 40 MB.
const REMEMBERED: usize = 1 << 19;

impl Disk {
    /// The deepest mount that holds a path, and the rest of the path in it.
    fn mount_of<'p>(&self, path: &'p [u8]) -> Option<(usize, &'p [u8])> {
        let holds = self.mounts.iter().enumerate().filter_map(|(n, mount)| {
            let rest = path.strip_prefix(mount.at.as_slice())?;
            (rest.is_empty() || rest.starts_with(b"/")).then_some((n, rest))
        });
        holds.min_by_key(|(_, rest)| rest.len())
    }

    /// The node at a path whose parents are all real folders.
    pub(super) fn find(&self, path: &[u8]) -> Option<(usize, Id)> {
        let (mount, rest) = self.mount_of(path)?;
        let mut id = self.mounts[mount].fs.root();
        for name in rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            id = *self.names(mount, id).ok()?.get(name)?;
        }
        Some((mount, id))
    }

    /// What a folder holds.
    pub(super) fn names(&self, mount: usize, folder: Id) -> Result<Names, Error> {
        if let Some(names) = self.looked.lock().unwrap_or_else(PoisonError::into_inner).folders.get(&(mount, folder)) {
            return Ok(Arc::clone(names));
        }
        let fs = &self.mounts[mount].fs;
        let mut names = HashMap::new();
        if Kind::from_mode(fs.node(folder)?.mode) == Kind::Folder {
            fs.list(folder, &mut |listed| {
                names.insert(listed.name, listed.id);
                names.len() < REMEMBERED
            })?;
        }
        let names = Arc::new(names);
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.names += names.len();
        if looked.names > REMEMBERED {
            looked.folders.clear();
            looked.names = names.len();
        }
        looked.folders.insert((mount, folder), Arc::clone(&names));
        Ok(names)
    }

    /// How many entries the file system below keeps in the folder at which this one stands.
    pub(super) fn hidden_below(&self, mount: usize, at: &[u8]) -> usize {
        let below = self.mounts.iter().enumerate().filter(|(n, other)| *n != mount && other.at.len() < at.len());
        let holds = below.filter_map(|(n, other)| {
            let rest = at.strip_prefix(other.at.as_slice())?;
            rest.starts_with(b"/").then_some((n, rest))
        });
        let Some((below, rest)) = holds.min_by_key(|(_, rest)| rest.len()) else { return 0 };
        let mut id = self.mounts[below].fs.root();
        for name in rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            match self.names(below, id).ok().and_then(|names| names.get(name).copied()) {
                Some(next) => id = next,
                None => return 0,
            }
        }
        self.names(below, id).map_or(0, |names| names.len())
    }

    /// Names of mounts directly below a folder.
    pub(super) fn mounted_below(&self, folder: &[u8]) -> Vec<Vec<u8>> {
        let name = |at: &Vec<u8>| {
            let name = at.strip_prefix(folder)?.strip_prefix(b"/")?;
            (!name.is_empty() && !name.contains(&b'/')).then(|| name.to_vec())
        };
        self.mounts.iter().filter_map(|mount| name(&mount.at)).collect()
    }
}

impl Lookup for Disk {
    fn look(&self, path: &[u8]) -> Step {
        let Some((mount, id)) = self.find(path) else { return Step::Missing };
        let fs = &self.mounts[mount].fs;
        match fs.node(id).map(|node| Kind::from_mode(node.mode)) {
            Ok(Kind::Folder) => Step::Folder,
            Ok(Kind::Link) => fs.link_target(id).map_or(Step::Other, Step::Link),
            _ => Step::Other,
        }
    }
}
