//! Folder: how is a copy of a provider on a stick or a share asked?
//!
//! The metadata says where it was published; what lay beside and below it there lies beside and below it here. No link
//! is followed, since whoever sends the stick made the folder.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{Error, Place, read};
use crate::address::Address;
use crate::metadata::{self, Metadata};

/// A copy of a provider's files, with `provider-metadata.json` in it.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    metadata: Address,
}

/// The name that the standard gives it.
const METADATA: &str = "provider-metadata.json";

impl Folder {
    /// Opens a copy.
    ///
    /// # Errors
    ///
    /// [`Error`] if it holds no metadata of a provider.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let bytes = open(root, METADATA, metadata::LARGEST)?;
        let bytes = bytes.ok_or_else(|| Error::Missing { what: format!("{METADATA} in {}", root.display()) })?;
        let no = |why| Error::NoProvider { what: METADATA.to_owned(), why };
        let metadata = Metadata::parse(&bytes).map_err(no)?.canonical_url;
        let metadata = Address::parse(&metadata).map_err(|err| no(format!("its own address: {err}")))?;
        Ok(Self { root: root.to_owned(), metadata })
    }
}

impl Place for Folder {
    fn metadata(&self) -> &Address {
        &self.metadata
    }

    fn fetch(&self, at: &Address, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        if *at == self.metadata {
            return open(&self.root, METADATA, limit);
        }
        let path = at.below_folder_of(&self.metadata).ok_or_else(|| Error::Elsewhere { what: at.to_string() })?;
        open(&self.root, path, limit)
    }
}

fn open(root: &Path, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let fail = |source| Error::Unread { what: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty()).map_err(|err| fail(err.into()))?;
    // No pipe that hangs, no link and no mount that leads away.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(folder, path, flags, Mode::empty(), inside) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(err) => return Err(fail(err.into())),
    };
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(fail(io::Error::other("it is no regular file")));
    }
    read(path, file, limit).map(Some)
}
