//! Lines: how are the files that a list names kept so that a million of them take little memory?
//!
//! All paths in one piece of memory, each once, and a row of one size beside it. Whoever looks a path
//! up keeps a table of numbers, not of paths.
//! Memory: `bench/memory.py`.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::Owner;

/// The bit of a row that says that the file is a configuration file.
const CONFFILE: u32 = 1 << 31;

/// Files with their digests, in the order in which they are listed.
#[derive(Debug, Clone)]
pub(crate) struct Lines<D = [u8; 32]> {
    paths: Vec<u8>,
    rows: Vec<Row<D>>,
    owners: Vec<Owner>,
    known: HashMap<Owner, u32>,
}

#[derive(Debug, Clone)]
struct Row<D> {
    /// Where the path begins; it ends where the next one does.
    at: usize,
    /// Which owner, counted from one; zero for none. With [`CONFFILE`].
    owner: u32,
    digest: D,
}

/// One line of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'l, D = [u8; 32]> {
    /// Absolute from the evidence root, as written: links are not resolved yet.
    pub(crate) path: &'l [u8],
    pub(crate) digest: D,
    /// A configuration file, which the administrator is expected to change.
    pub(crate) conffile: bool,
    /// Whose it is and what it may do, where the list says so.
    pub(crate) owner: Option<Owner>,
}

impl<'l, D> Line<'l, D> {
    pub(crate) fn new(path: &'l [u8], digest: D) -> Self {
        Self { path, digest, conffile: false, owner: None }
    }
}

impl<D> Default for Lines<D> {
    fn default() -> Self {
        Self { paths: Vec::new(), rows: Vec::new(), owners: Vec::new(), known: HashMap::new() }
    }
}

impl<D: Copy> Lines<D> {
    pub(crate) fn push(&mut self, line: Line<'_, D>) {
        let fresh = u32::try_from(self.owners.len() + 1).unwrap_or(0) & !CONFFILE;
        let owner = line.owner.map_or(0, |owner| {
            *self.known.entry(owner).or_insert_with(|| {
                self.owners.push(owner);
                fresh
            })
        });
        let conffile = if line.conffile { CONFFILE } else { 0 };
        self.rows.push(Row { at: self.paths.len(), owner: owner | conffile, digest: line.digest });
        self.paths.extend_from_slice(line.path);
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of all paths.
    pub(crate) fn path_bytes(&self) -> usize {
        self.paths.len()
    }

    /// The line of that number.
    pub(crate) fn get(&self, number: usize) -> Option<Line<'_, D>> {
        let row = self.rows.get(number)?;
        let owner = (row.owner & !CONFFILE).checked_sub(1).and_then(|owner| self.owners.get(owner as usize));
        Some(Line {
            path: self.path(number),
            digest: row.digest,
            conffile: row.owner & CONFFILE != 0,
            owner: owner.copied(),
        })
    }

    /// The path of the line of that number; empty if there is none.
    pub(crate) fn path(&self, number: usize) -> &[u8] {
        let Some(row) = self.rows.get(number) else { return &[] };
        let end = self.rows.get(number + 1).map_or(self.paths.len(), |next| next.at);
        &self.paths[row.at..end]
    }

    /// All paths, in the order of the lines.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|number| self.path(number))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Line<'_, D>> {
        (0..self.len()).filter_map(|number| self.get(number))
    }

    /// Gives back memory that is not needed once no more lines come.
    pub(crate) fn shrink(&mut self) {
        self.paths.shrink_to_fit();
        self.rows.shrink_to_fit();
        self.owners.shrink_to_fit();
        self.known = HashMap::new();
    }
}

/// Finds numbers by paths that whoever asks holds. Its hash has a key of its own each time: paths may be crafted.
#[derive(Default)]
pub(crate) struct Numbers {
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Numbers {
    pub(crate) fn with_capacity(numbers: usize) -> Self {
        Self { table: HashTable::with_capacity(numbers), hasher: RandomState::new() }
    }

    /// The number of a path; `path_of` says which path a number has.
    pub(crate) fn find<'p>(&self, path: &[u8], path_of: impl Fn(u32) -> &'p [u8]) -> Option<u32> {
        self.table.find(self.hasher.hash_one(path), |number| path_of(*number) == path).copied()
    }

    /// Takes the number of a path that [`find`](Self::find) does not find.
    pub(crate) fn insert<'p>(&mut self, path: &[u8], number: u32, path_of: impl Fn(u32) -> &'p [u8]) {
        let hasher = &self.hasher;
        self.table.insert_unique(hasher.hash_one(path), number, |number| hasher.hash_one(path_of(*number)));
    }
}

/// What becomes of a line, given those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It was taken.
    New,
    /// The very same was there.
    Again,
    /// Its path is listed with another digest.
    Contradicts,
}

/// Lines of which no two have the same path.
#[derive(Default)]
pub(super) struct Distinct {
    lines: Lines,
    numbers: Numbers,
}

impl Distinct {
    pub(super) fn push(&mut self, line: Line<'_>) -> Added {
        match self.digest(line.path) {
            Some(digest) if digest == line.digest => Added::Again,
            Some(_) => Added::Contradicts,
            None => {
                let lines = &self.lines;
                // A list has fewer bytes than lines could overflow this.
                let number = u32::try_from(lines.len()).unwrap_or(u32::MAX);
                self.numbers.insert(line.path, number, |number| lines.path(number as usize));
                self.lines.push(line);
                Added::New
            }
        }
    }

    /// The digest that a path is listed with.
    pub(super) fn digest(&self, path: &[u8]) -> Option<[u8; 32]> {
        let number = self.numbers.find(path, |number| self.lines.path(number as usize))?;
        self.lines.get(number as usize).map(|line| line.digest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn lines(self) -> Lines {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn lines_come_out_as_they_went_in_and_each_path_once(
            listed in proptest::collection::vec(("[a-c]{0,2}", 0..2_u8, 0..3_u32, proptest::bool::ANY), 0..20),
        ) {
            let (mut distinct, mut expected) = (Distinct::default(), Vec::<(String, u8, u32, bool)>::new());
            for (path, digest, uid, conffile) in listed {
                let owner = (uid > 0).then_some(Owner { mode: Some(uid), uid: Some(uid), gid: None, exact: true });
                let line = Line { path: path.as_bytes(), digest: [digest; 32], conffile, owner };
                let before = expected.iter().find(|before| before.0 == path);
                let added = match before {
                    None => Added::New,
                    Some(before) if before.1 == digest => Added::Again,
                    Some(_) => Added::Contradicts,
                };
                proptest::prop_assert_eq!(distinct.push(line), added);
                if added == Added::New {
                    expected.push((path, digest, uid, conffile));
                }
            }
            let lines = distinct.lines();
            let shown = |line: Line<'_>| {
                let path = String::from_utf8_lossy(line.path).into_owned();
                (path, line.digest[0], line.owner.map_or(0, |owner| owner.uid.unwrap_or(9)), line.conffile)
            };
            proptest::prop_assert_eq!(lines.iter().map(shown).collect::<Vec<_>>(), expected);
        }
    }
}
