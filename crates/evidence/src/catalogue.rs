//! Catalogue: which entries does a form of evidence hold that cannot be asked for one by one?
//!
//! An archive is met from front to back, once. What it holds is kept here, without the bytes,
//! sorted by path, so that a path can be looked up, a link resolved and a folder listed.

use std::cmp::Ordering;

use directive::text::Text;

use crate::meta::{Kind, Meta};
use crate::resolve::{Lookup, Step};
use crate::source::{Digests, Obstacle};

/// One entry.
pub(crate) struct Item {
    pub(crate) meta: Meta,
    pub(crate) digests: Option<Digests>,
    /// Where the bytes of a regular file are; the form of evidence knows what it means.
    pub(crate) place: Place,
    /// For a hard link: the entry whose bytes it shares.
    pub(crate) first: Option<Text>,
}

/// Where the bytes of an entry are.
#[derive(Clone)]
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
    items: Vec<Item>,
    /// What could not be seen.
    pub(crate) obstacles: Vec<Obstacle>,
}

impl Catalogue {
    /// Sorts what was met.
    pub(crate) fn new(mut items: Vec<Item>, obstacles: Vec<Obstacle>) -> Self {
        // Stable: entries of one path stay in the order in which they came.
        items.sort_by(|a, b| a.meta.path.cmp(&b.meta.path));
        Self { items, obstacles }
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether another entry of the same path comes later.
    pub(crate) fn is_superseded(&self, index: usize) -> bool {
        matches!((self.items.get(index), self.items.get(index + 1)),
            (Some(item), Some(next)) if item.meta.path == next.meta.path)
    }

    /// The entry that a path names, without following a link.
    pub(crate) fn find(&self, path: &[u8]) -> Option<&Item> {
        let after = self.items.partition_point(|item| item.meta.path.as_bytes() <= path);
        self.items[..after].last().filter(|item| item.meta.path.as_bytes() == path)
    }

    /// Names in a folder, sorted. A folder that is only implied by what is in it counts too.
    pub(crate) fn list(&self, folder: &[u8], limit: usize) -> Option<Vec<Vec<u8>>> {
        let below = [folder, b"/"].concat();
        let mut at = self.items.partition_point(|item| item.meta.path.as_bytes() < below.as_slice());
        let mut names: Vec<Vec<u8>> = Vec::new();
        while let Some(rest) = self.items.get(at).and_then(|item| item.meta.path.as_bytes().strip_prefix(&below[..])) {
            let name = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
            names.push(name.to_vec());
            if names.len() > limit {
                return None;
            }
            // Pass over everything below that name at once.
            let skip = |item: &Item| {
                let path = item.meta.path.as_bytes();
                let inside = path.strip_prefix(&below[..]).unwrap_or_default();
                inside.split(|byte| *byte == b'/').next() == Some(name)
            };
            let from = at;
            at += self.items[from..].iter().take_while(|item| skip(item)).count();
        }
        names.sort();
        names.dedup();
        Some(names)
    }
}

impl Lookup for Catalogue {
    fn look(&self, path: &[u8]) -> Step {
        if let Some(item) = self.find(path) {
            return match (item.meta.kind, &item.meta.target) {
                (Kind::Folder, _) => Step::Folder,
                (Kind::Link, Some(target)) => Step::Link(target.as_bytes().to_vec()),
                _ => Step::Other,
            };
        }
        let below = [path, b"/"].concat();
        let at = self.items.partition_point(|item| item.meta.path.as_bytes().cmp(&below) == Ordering::Less);
        let implied = self.items.get(at).is_some_and(|item| item.meta.path.as_bytes().starts_with(&below));
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
        let item = |path: &&str| {
            let (path, target) = path.split_once("->").map_or((*path, None), |(path, target)| (path, Some(target)));
            let kind = if target.is_some() { Kind::Link } else { Kind::File };
            let mut meta = blank(path.into(), kind);
            meta.target = target.map(Text::from);
            Item { meta, digests: None, place: Place::None, first: None }
        };
        Catalogue::new(paths.iter().map(item).collect(), Vec::new())
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
