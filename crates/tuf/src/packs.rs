//! Packs: which directives does a repository hold, and which of their files are new here?
//!
//! A pack is the files below `packs/<id>/`. All of a pack is fetched before any of it takes the place of what was
//! there, so that nobody works from half a directive; a pack that is listed no more stays, and is named.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::client::Client;
use crate::error::{Error, Refused};
use crate::publish::Changes;
use crate::source::Source;

/// Under which folder of a repository packs lie.
const PACKS: &str = "packs/";

/// What a repository may hold for us.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// Packs. There have been some thirty directives in ten years.
    pub packs: usize,
    /// Files of all packs.
    pub files: usize,
    /// Bytes of one pack, which is held until all of it is there.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { packs: 1_000, files: 50_000, bytes: 256 << 20 }
    }
}

/// What became of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It was not here.
    New,
    /// Files of it changed.
    Changed,
    /// It is as it was.
    Same,
    /// It is here, and the repository does not list it.
    Unlisted,
}

/// Packs by their id.
pub type Fetched = BTreeMap<String, News>;

/// The changes that publish a pack: all of its files, and none that it had before and has no more.
pub fn published(id: &str, files: &BTreeMap<String, Vec<u8>>) -> Changes {
    let folder = format!("{PACKS}{id}/");
    let add = files.iter().map(|(name, bytes)| (format!("{folder}{name}"), bytes.clone())).collect();
    Changes { add, remove: vec![folder] }
}

/// Brings the packs in `folder` to the state of a repository.
///
/// # Errors
///
/// [`Error`] if a file is not there or does not hold, a name leads elsewhere, or a limit is met. Packs that were done
/// until then are current; every other one is as it was.
pub fn fetch(client: &Client<'_>, targets: &dyn Source, folder: &Path, limits: Limits) -> Result<Fetched, Error> {
    let mut packs: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (path, _) in client.paths() {
        let Some((id, name)) = path.strip_prefix(PACKS).and_then(|rest| rest.split_once('/')) else { continue };
        let is_name = |piece: &str| !matches!(piece, "" | "." | "..") && !piece.contains(['\\', '\0']);
        if !is_name(id) || id.starts_with('.') || !name.split('/').all(is_name) {
            return Err(Refused::Path { path: path.to_owned() }.into());
        }
        packs.entry(id).or_default().push((name, path));
    }
    let files: usize = packs.values().map(Vec::len).sum();
    if packs.len() > limits.packs || files > limits.files {
        return Err(Refused::TooMany { packs: packs.len(), files }.into());
    }
    let mut fetched = Fetched::new();
    for (id, files) in &packs {
        fetched.insert((*id).to_owned(), pack(client, targets, &folder.join(id), files, limits)?);
    }
    let fail = |source| Error::Store { path: folder.to_owned(), source };
    let here = match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(fail)?,
        Err(err) if err.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(err) => return Err(fail(err)),
    };
    for entry in here {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("directive.toml").is_file() {
            fetched.entry(name).or_insert(News::Unlisted);
        }
    }
    Ok(fetched)
}

/// Brings one pack to the state that is listed.
fn pack(
    client: &Client<'_>,
    source: &dyn Source,
    folder: &Path,
    files: &[(&str, &str)],
    limits: Limits,
) -> Result<News, Error> {
    let (mut length, mut all, mut is_same) = (0_u64, BTreeMap::new(), true);
    for (name, path) in files {
        let Some(target) = client.listed(path) else { continue };
        length = length.saturating_add(target.length);
        if length > limits.bytes {
            return Err(Refused::TooLong { what: (*path).to_owned(), limit: limits.bytes }.into());
        }
        let here = std::fs::read(folder.join(name)).ok().filter(|bytes| target.check(path, bytes).is_ok());
        is_same &= here.is_some();
        let bytes = here.map_or_else(|| client.read_known(source, path, target), Ok)?;
        all.insert(*name, bytes);
    }
    let was_here = folder.join("directive.toml").is_file();
    if is_same && !has_others(folder, &all)? {
        return Ok(News::Same);
    }
    replace(folder, &all).map_err(|source| Error::Store { path: folder.to_owned(), source })?;
    Ok(if was_here { News::Changed } else { News::New })
}

/// Puts a whole pack in the place of another: at no time is there half of one.
fn replace(folder: &Path, files: &BTreeMap<&str, Vec<u8>>) -> io::Result<()> {
    let parent = folder.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(parent)?;
    // A name with a dot is that of no pack. What is in it at the end goes with it.
    let stage = tempfile::Builder::new().prefix(".pack-").tempdir_in(parent)?;
    let (new, old) = (stage.path().join("new"), stage.path().join("old"));
    for (name, bytes) in files {
        let path = new.join(name);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, bytes)?;
    }
    if !folder.exists() {
        return std::fs::rename(new, folder);
    }
    let swap = rustix::fs::RenameFlags::EXCHANGE;
    if rustix::fs::renameat_with(rustix::fs::CWD, &new, rustix::fs::CWD, folder, swap).is_ok() {
        return Ok(());
    }
    // Not every file system exchanges: a stick does not.
    std::fs::rename(folder, &old)?;
    std::fs::rename(new, folder).inspect_err(|_| {
        // Nothing more can be done where that fails too; the first error is told.
        let _ = std::fs::rename(&old, folder);
    })
}

/// Whether a pack here has a file that is not listed.
fn has_others(folder: &Path, listed: &BTreeMap<&str, Vec<u8>>) -> Result<bool, Error> {
    let mut folders = vec![String::new()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        let fail = |source| Error::Store { path: path.clone(), source };
        let entries = match std::fs::read_dir(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(fail)?,
        };
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let last = entry.file_name().to_string_lossy().into_owned();
            let name = if inner.is_empty() { last } else { format!("{inner}/{last}") };
            if entry.file_type().map_err(fail)?.is_dir() {
                folders.push(name);
            } else if !listed.contains_key(name.as_str()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
