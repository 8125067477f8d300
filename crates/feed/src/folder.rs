//! Folder: which files does a pack hold on disk?
//!
//! Reads regular files only, within limits, and follows no link: a pack that somebody sends must
//! not be able to pull in other files of the analyst, to hang the run on a pipe, or to fill memory.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use directive::pack::{Files, Pack};
use directive::problem::Problems;
use rustix::fs::{Mode, OFlags};

/// What a pack may hold. Real ones have some twenty files of a few kilobytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files in all: stops a folder that was named by mistake, a home folder for example.
    pub files: usize,
    /// Folders below each other: stops a tree made to exhaust the stack. Examples of instances are trees of files.
    pub depth: usize,
    /// Bytes in all: stops a pack made to exhaust memory. Manifests are the largest part, about
    /// two megabytes for 20,000 files.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 2_000, depth: 24, bytes: 256 << 20 }
    }
}

/// Why a folder could not be read as a pack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder or a file in it could not be read.
    #[error("cannot read {path:?}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something in it is neither a file nor a folder.
    #[error("{path:?} is neither a file nor a folder, and a pack holds nothing else")]
    Special {
        /// The link, pipe, socket or device.
        path: PathBuf,
    },
    /// A name in it is not UTF-8.
    #[error("the name of {path:?} is not UTF-8")]
    Name {
        /// The file or folder.
        path: PathBuf,
    },
    /// It holds more than a pack can.
    #[error("{path:?} holds {what}: this is no pack")]
    TooLarge {
        /// The folder.
        path: PathBuf,
        /// More than what.
        what: String,
    },
    /// What it says is not a pack.
    #[error("{path:?} is not a pack that can be worked from")]
    Pack {
        /// The folder.
        path: PathBuf,
        /// Every mistake with its place.
        source: Problems,
    },
}

/// Reads a pack from a folder.
///
/// # Errors
///
/// [`Error::Pack`] shows every mistake; the others say why the folder could not be read.
pub fn load(path: &Path) -> Result<Pack, Error> {
    let files = read(path, Limits::default())?;
    let place = path.display().to_string();
    Pack::parse(place.trim_end_matches('/'), &files).map_err(|source| Error::Pack { path: path.to_owned(), source })
}

/// Reads the files of a folder.
///
/// # Errors
///
/// See [`Error`].
pub fn read(path: &Path, limits: Limits) -> Result<Files, Error> {
    let mut reader = Reader { root: path, limits, files: Files::new(), bytes: 0 };
    reader.folder(path, "", 0)?;
    Ok(reader.files)
}

struct Reader<'a> {
    root: &'a Path,
    limits: Limits,
    files: Files,
    bytes: u64,
}

impl Reader<'_> {
    fn folder(&mut self, path: &Path, name: &str, depth: usize) -> Result<(), Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        if depth > self.limits.depth {
            return Err(self.too_large(format!("more than {} folders below each other", self.limits.depth)));
        }
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let Some(entry_name) = entry.file_name().to_str().map(str::to_owned) else {
                return Err(Error::Name { path });
            };
            let inner = if name.is_empty() { entry_name } else { format!("{name}/{entry_name}") };
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                self.folder(&path, &inner, depth + 1)?;
            } else if kind.is_file() {
                self.file(&path, inner)?;
            } else {
                return Err(Error::Special { path });
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String) -> Result<(), Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        if self.files.len() >= self.limits.files {
            return Err(self.too_large(format!("more than {} files", self.limits.files)));
        }
        // The entry may have become a link or a pipe since it was listed.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let file = fs::File::from(file);
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::Special { path: path.to_owned() });
        }
        let room = self.limits.bytes - self.bytes;
        let mut bytes = Vec::new();
        file.take(room + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > room {
            return Err(self.too_large(format!("more than {} bytes", self.limits.bytes)));
        }
        self.bytes += bytes.len() as u64;
        self.files.insert(name, bytes);
        Ok(())
    }

    fn too_large(&self, what: String) -> Error {
        Error::TooLarge { path: self.root.to_owned(), what }
    }
}
