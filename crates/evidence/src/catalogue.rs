//! Catalogue: which entries does a form of evidence hold that cannot be asked for one by one?
//!
//! An archive is met from front to back, once. What it holds is kept here, without the bytes,
//! sorted by path, so that a path can be looked up, a link resolved and a folder listed.
//! An archive has entries by the hundred thousand: what most of them have lies in [rows](crate::rows)
//! of one size, and an [`Item`] is made of a row when somebody asks for it.
//! Memory: `bench/memory.py`.

use std::cmp::Ordering;

use directive::text::Text;

use crate::meta::{Kind, Meta};
use crate::resolve::{Lookup, Step};
use crate::rows::Rows;
use crate::source::{Digests, Obstacle};

/// One entry.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) meta: Meta,
    pub(crate) digests: Option<Digests>,
    /// Where the bytes of a regular file are; the form of evidence knows what it means.
    pub(crate) place: Place,
    /// For a hard link: the entry whose bytes it shares.
    pub(crate) first: Option<Text>,
}

/// Where the bytes of an entry are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has none, or they are those of another entry (a hard link).
    None,
    /// In one piece, from here.
    At(u64),
    /// In a sparse entry: pieces of the file (`offset`, `length`) that lie one after the other from here.
    Sparse(u64, Box<[(u64, u64)]>),
    /// The member of this number.
    Member(u64),
}

/// All entries, sorted by path; of two with the same path the later one counts, as for whoever unpacks.
#[derive(Default)]
pub(crate) struct Catalogue {
    rows: Rows,
    /// What could not be seen.
    pub(crate) obstacles: Vec<Obstacle>,
}

impl Catalogue {
    /// Sorts what was met.
    pub(crate) fn new(mut rows: Rows, obstacles: Vec<Obstacle>) -> Self {
        rows.sort();
        Self { rows, obstacles }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The entry of that number, which is below [`len`](Self::len).
    pub(crate) fn item(&self, index: usize) -> Item {
        self.rows.item(index)
    }

    /// Whether another entry of the same path comes later.
    pub(crate) fn is_superseded(&self, index: usize) -> bool {
        index + 1 < self.len() && self.rows.path(index) == self.rows.path(index + 1)
    }

    /// The number of the entry that a path names, without following a link.
    pub(crate) fn position(&self, path: &[u8]) -> Option<usize> {
        let after = self.rows.partition_point(|found| found <= path);
        after.checked_sub(1).filter(|index| self.rows.path(*index) == path)
    }

    /// The entry that a path names, without following a link.
    pub(crate) fn find(&self, path: &[u8]) -> Option<Item> {
        self.position(path).map(|index| self.item(index))
    }

    /// Names in a folder, sorted. A folder that is only implied by what is in it counts too.
    pub(crate) fn list(&self, folder: &[u8], limit: usize) -> Option<Vec<Vec<u8>>> {
        let below = [folder, b"/"].concat();
        let mut at = self.rows.partition_point(|path| path < below.as_slice());
        let mut names: Vec<Vec<u8>> = Vec::new();
        let inside = |at: usize| {
            let rest = (at < self.len()).then(|| self.rows.path(at))?.strip_prefix(&below[..])?;
            rest.split(|byte| *byte == b'/').next()
        };
        while let Some(name) = inside(at) {
            names.push(name.to_vec());
            if names.len() > limit {
                return None;
            }
            // Pass over everything below that name at once.
            while inside(at) == Some(name) {
                at += 1;
            }
        }
        names.sort();
        names.dedup();
        Some(names)
    }
}

impl Lookup for Catalogue {
    fn look(&self, path: &[u8]) -> Step {
        if let Some(index) = self.position(path) {
            return match (self.rows.kind(index), self.rows.target(index)) {
                (Kind::Folder, _) => Step::Folder,
                (Kind::Link, Some(target)) => Step::Link(target.to_vec()),
                _ => Step::Other,
            };
        }
        let below = [path, b"/"].concat();
        let at = self.rows.partition_point(|path| path.cmp(&below) == Ordering::Less);
        let implied = at < self.len() && self.rows.path(at).starts_with(&below);
        if implied { Step::Folder } else { Step::Missing }
    }
}

/// A description of an entry with nothing known but its path and kind.
pub(crate) fn blank(path: Vec<u8>, kind: Kind) -> Meta {
    Meta {
        path: Text::new(path),
        kind,
        uid: 0,
        gid: 0,
        mode: 0,
        size: 0,
        mtime: crate::meta::Time { seconds: 0, nanoseconds: 0 },
        ctime: None,
        birth: None,
        nlink: 1,
        target: None,
        xattrs: Vec::new(),
        dev: 0,
        ino: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(paths: &[&str]) -> Catalogue {
        let mut rows = Rows::default();
        for path in paths {
            let (path, target) = path.split_once("->").map_or((*path, None), |(path, target)| (path, Some(target)));
            let kind = if target.is_some() { Kind::Link } else { Kind::File };
            let mut meta = blank(path.into(), kind);
            meta.target = target.map(Text::from);
            rows.push(Item { meta, digests: None, place: Place::None, first: None });
        }
        Catalogue::new(rows, Vec::new())
    }

    #[test]
    fn a_folder_is_listed_even_if_only_its_files_are_there() {
        let catalogue = catalogue(&["/usr/bin/ls", "/usr/bin-x", "/usr/bin/cat", "/usr/lib/a/b", "/etc"]);
        let shown = |folder: &str| catalogue.list(folder.as_bytes(), 9).map(|names| names.join(&b' '));
        assert_eq!(shown("/usr").as_deref(), Some(&b"bin bin-x lib"[..]));
        assert_eq!(shown("/usr/bin").as_deref(), Some(&b"cat ls"[..]));
        assert_eq!(shown("").as_deref(), Some(&b"etc usr"[..]));
        assert!(matches!(catalogue.look(b"/usr/lib"), Step::Folder));
        assert!(matches!(catalogue.look(b"/usr/li"), Step::Missing));
        assert!(matches!(catalogue.look(b"/etc"), Step::Other));
    }
}
