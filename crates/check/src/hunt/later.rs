//! Later: which files are hunted in when all others were met?
//!
//! What was too long to be held in memory, has several names, or is listed and turned out to be another. Each is read
//! once more, and once for all of its names.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoValues;
use std::sync::Mutex;

use directive::record::Gap;
use directive::text::Text;
use evidence::{Digests, Meta};

use super::files::Met;

/// What is scanned once for all of its names: bytes, or one name of them.
type Bytes = ([u8; 32], Option<Text>);

/// Files that wait for a thread.
pub(super) type Queue = Mutex<IntoValues<Bytes, Later>>;

/// A file with all its names.
pub(super) struct Later {
    pub(super) digests: Digests,
    pub(super) names: Vec<Meta>,
}

/// Files that wait until all others were met, by what is scanned once for all of its names.
#[derive(Default)]
pub(super) struct Waiting {
    files: BTreeMap<Bytes, Later>,
    names: usize,
    beyond: u64,
}

impl Waiting {
    /// Takes a name of bytes that were not held in memory, if fewer than `most` are there.
    pub(super) fn add(&mut self, met: &Met<'_>, most: usize) {
        let Met { meta, digests, is_further, .. } = *met;
        if self.names >= most {
            self.beyond += 1;
            return;
        }
        self.names += 1;
        let is_shared = is_further || meta.nlink > 1;
        let name = (!is_shared).then(|| meta.path.clone());
        let later = self.files.entry((digests.sha256, name));
        later.or_insert_with(|| Later { digests: *digests, names: vec![] }).names.push(meta.clone());
    }

    /// How many files there are, each once.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The files, for threads that share them.
    pub(super) fn queue(self) -> Queue {
        Mutex::new(self.files.into_values())
    }

    /// What was not kept and is therefore not hunted in. Required: a hundred thousand names are how to hide one.
    pub(super) fn gap(&self) -> Option<Gap> {
        let why = format!(
            "{} more names of long files, or of files with several names, than are kept until the end: they were not \
             hunted in",
            self.beyond
        );
        (self.beyond > 0).then_some(Gap { code: "not-hunted".into(), path: None, place: None, why, required: true })
    }
}
