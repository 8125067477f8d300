//! Made: which files does Debian make itself, after it has unpacked its packages?
//!
//! A table (`data/debian-made.toml`) with a reason and a source for each row. It explains that a file is
//! there, never what is in it: an explained file is not vouched for. Programs are not explained unless the
//! row says so, since the folders where Debian writes are those where intruders write too.

use evidence::{Digests, Meta, Nature};

use crate::glob;

const TABLE: &str = include_str!("../../data/debian-made.toml");

/// The table. What is only for people is read too, so that no row goes without it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Made {
    made: Vec<Row>,
    local: Vec<Local>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Which program writes it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for people, and asked for by a test"))]
    by: String,
    paths: Vec<String>,
    #[serde(default)]
    programs: bool,
    beside: Option<Beside>,
    #[cfg_attr(not(test), expect(dead_code, reason = "for people, and asked for by a test"))]
    source: String,
}

/// What has to be shipped for a file to be explained.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Beside {
    /// The module that bytecode was made from.
    Python,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Local {
    folders: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "for people, and asked for by a test"))]
    why: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "for people, and asked for by a test"))]
    source: String,
}

impl Made {
    pub(super) fn new() -> Self {
        // A test parses this very table; it cannot fail here.
        toml::from_str(TABLE).expect("data/debian-made.toml is part of the program")
    }

    /// Folders that are not Debian's to account for.
    pub(super) fn local(&self) -> impl Iterator<Item = &[u8]> {
        self.local.iter().flat_map(|row| &row.folders).map(|folder| folder.as_bytes())
    }

    /// Whether Debian makes such a file there. `ships` says whether a package ships a path.
    pub(super) fn explains(&self, meta: &Meta, digests: &Digests, ships: &dyn Fn(&[u8]) -> bool) -> bool {
        let path = meta.path.as_bytes();
        if meta.mode & 0o6000 != 0 || meta.capability().is_some() {
            return false;
        }
        let is_code = matches!(digests.nature, Nature::Program | Nature::Script);
        self.made.iter().any(|row| {
            let named = row.paths.iter().find(|pattern| glob::matches(pattern.as_bytes(), path));
            let Some(named) = named else { return false };
            let may_run = row.programs || !named.contains('*');
            (row.programs || !is_code)
                && (may_run || !meta.is_executable())
                && row.beside.is_none_or(|beside| beside.origin(path).is_some_and(|origin| ships(&origin)))
        })
    }
}

impl Beside {
    /// The shipped file that a path follows from. Source: PEP 3147.
    fn origin(self, path: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Python => {
                let text = std::str::from_utf8(path).ok()?;
                let (folder, name) = text.rsplit_once("/__pycache__/")?;
                let module = name.split('.').next().filter(|module| !module.is_empty())?;
                Some(format!("{folder}/{module}.py").into_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_a_reason_and_a_source() {
        let made = Made::new();
        assert!(made.made.len() > 10);
        for row in &made.made {
            assert!(!row.by.is_empty() && !row.source.is_empty(), "{:?}", row.paths);
            assert!(row.paths.iter().all(|path| path.starts_with('/') && path.len() > 4), "{:?}", row.paths);
        }
        for row in &made.local {
            assert!(!row.why.is_empty() && !row.source.is_empty(), "{:?}", row.folders);
            assert!(row.folders.iter().all(|folder| folder.starts_with('/') && !folder.ends_with('/')));
        }
        assert!(made.local().any(|folder| folder == b"/home"));
    }

    #[test]
    fn bytecode_is_explained_by_the_shipped_module_beside_it() {
        let origin = |path: &str| Beside::Python.origin(path.as_bytes());
        let found = origin("/usr/lib/python3/dist-packages/a/__pycache__/b.cpython-311.pyc");
        assert_eq!(found.as_deref(), Some(&b"/usr/lib/python3/dist-packages/a/b.py"[..]));
        assert_eq!(origin("/usr/lib/python3/b.pyc"), None);
        assert_eq!(origin("/usr/lib/__pycache__/.pyc"), None);
    }
}
