//! Fingerprints: which databases did the operator bring beside those of the packs?
//!
//! A folder of Recog files as they are published. They give names to what answers and no pack knows; which product a
//! directive means, the pack alone says. Follows no folder below the one that was named.

use std::io;
use std::path::Path;

use discover::recog::{Database, Error as RecogError};

/// Why a folder of databases cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {0}")]
    Unread(String, #[source] io::Error),
    /// A file in it is no database.
    #[error("a database cannot be used")]
    Recog(#[from] RecogError),
    /// It holds none.
    #[error("{0} holds no databases; name the folder that holds the `*.xml` themselves, `xml/` of a clone")]
    Empty(String),
}

/// Reads the databases of a folder, in the order of their names. `name` is what the folder is called in messages, and
/// `read` reads a file.
///
/// # Errors
///
/// [`Error`] of the first thing that cannot be used.
pub fn read(folder: &Path, name: &str, read: &impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Vec<Database>, Error> {
    let unread = |source| Error::Unread(name.to_owned(), source);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        paths.push(entry.map_err(unread)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "xml"));
    paths.sort();
    let mut databases = Vec::new();
    for path in &paths {
        // A record never holds a path of this machine.
        let short = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = read(path).map_err(|source| Error::Unread(format!("{name}/{short}"), source))?;
        databases.push(Database::parse(&short, &String::from_utf8_lossy(&bytes))?);
    }
    if databases.is_empty() { Err(Error::Empty(name.to_owned())) } else { Ok(databases) }
}
