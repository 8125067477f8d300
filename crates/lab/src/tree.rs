//! Tree: how do the files of an instance come into a folder, the same every time?
//!
//! Modes and modification times are set, so that two labs differ in nothing that a check looks at.
//! Owners are those of whoever builds the lab.

use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::Error;

/// One file of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Absolute from the evidence root.
    pub(crate) path: String,
    pub(crate) mode: u32,
    /// Modification time, in seconds since 1970.
    pub(crate) modified: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Writes the files below `root`. What lay there before is removed.
pub(crate) fn write(root: &Path, entries: &[Entry]) -> Result<(), Error> {
    match fs::remove_dir_all(root) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Write { path: root.to_owned(), source });
        }
        _ => {}
    }
    for entry in entries {
        let path = root.join(entry.path.trim_start_matches('/'));
        write_file(&path, &entry.bytes)?;
        dress(&path, entry.mode, entry.modified).map_err(|source| Error::Write { path, source })?;
    }
    let shipped = entries.iter().map(|entry| entry.modified).min().unwrap_or_default();
    dress_folders(root, shipped).map_err(|source| Error::Write { path: root.to_owned(), source })
}

/// Writes one file, and makes the folders above it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let wrong = |source| Error::Write { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(wrong)?;
    }
    fs::write(path, bytes).map_err(wrong)
}

fn dress(path: &Path, mode: u32, modified: u64) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(modified);
    File::open(path)?.set_times(FileTimes::new().set_modified(at).set_accessed(at))
}

/// Folders come last and from below: writing into one changes its time.
fn dress_folders(folder: &Path, modified: u64) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            dress_folders(&entry.path(), modified)?;
        }
    }
    dress(folder, 0o755, modified)
}
