//! Store: where does what is trusted lie from one run to the next?
//!
//! One file a role, byte for byte as it was signed, put in place whole or not at all.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, Refused};

/// What stands for itself in the name of a file and in one piece of a path. Source: RFC 3986, 2.3.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Bytes of a kept file that are read back. The longest role has 5 MB.
const LONGEST: u64 = 8 << 20;

/// A name as one piece of a path. That of a role always ends in `.json`, so that dots lead nowhere else.
pub(crate) fn quoted(name: &str) -> String {
    utf8_percent_encode(name, NAME).to_string()
}

/// Where a file lies in a repository, with its digest in front of its name if it has one there. Source: 6.2.
///
/// Nothing that leads elsewhere is a path of a repository.
pub(crate) fn place(path: &str, digest: Option<&str>) -> Result<String, Refused> {
    let is_piece = |piece: &str| !matches!(piece, "" | "." | "..");
    let is_digest = |digest: &str| digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !path.split('/').all(is_piece) || !digest.is_none_or(is_digest) {
        return Err(Refused::Path { path: path.to_owned() });
    }
    let mut pieces: Vec<String> = path.split('/').map(quoted).collect();
    if let (Some(digest), Some(last)) = (digest, pieces.last_mut()) {
        *last = format!("{digest}.{last}");
    }
    Ok(pieces.join("/"))
}

/// A folder that holds what is trusted.
#[derive(Debug, Clone)]
pub(crate) struct Store(PathBuf);

impl Store {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn path(&self, role: &str) -> PathBuf {
        self.0.join(format!("{}.json", quoted(role)))
    }

    /// What is kept of a role, if anything is.
    pub(crate) fn read(&self, role: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(role);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Store { path, source }),
        }
    }

    /// Keeps what is trusted now.
    pub(crate) fn write(&self, role: &str, bytes: &[u8]) -> Result<(), Error> {
        put(&self.path(role), bytes)
    }
}

/// Writes a file whole or not at all, and makes its folder.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| tempfile::NamedTempFile::new_in(folder))
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map(|()| file))
        .and_then(|file| file.persist(path).map_err(|err| err.error));
    written.map(drop).map_err(|source| Error::Store { path: path.to_owned(), source })
}
