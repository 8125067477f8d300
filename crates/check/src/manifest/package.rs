//! Package: which files does a package from outside ship, of whatever system it is?
//!
//! Debian's `.deb` is unpacked and hashed ([`deb`]); an `.rpm` says the digests of its files in its header
//! ([`rpm`]). Which system a file belongs to is told by its name, as the package managers do.

use std::io::Read;

use directive::progress::Progress;

use super::{Manifest, Operator, deb, rpm};

/// Whose packages they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum System {
    Dpkg,
    Rpm,
}

/// Which package a manifest is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) system: System,
    pub(crate) name: String,
    /// As the package manager writes it: of rpm with the release.
    pub(crate) version: String,
    pub(crate) architecture: String,
}

/// Why a package is not used. It comes from the operator, so that nothing of it is passed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A `.deb`.
    #[error(transparent)]
    Deb(#[from] deb::Error),
    /// An `.rpm`.
    #[error(transparent)]
    Rpm(#[from] rpm::Error),
}

/// Whether a file is named as packages are.
pub fn is_named(name: &[u8]) -> bool {
    let endings: [&[u8]; 3] = [b".deb", b".udeb", b".rpm"];
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Reads a package. The caller answers for its origin.
///
/// # Errors
///
/// [`Error`] if it is none, is damaged, or is larger than what is read.
pub fn read(name: &str, stream: Box<dyn Read + Send>, progress: &dyn Progress) -> Result<Manifest<Operator>, Error> {
    match name.ends_with(".rpm") {
        true => Ok(rpm::read(name, stream)?),
        false => Ok(deb::read(name, stream, &deb::Limits::default(), progress)?),
    }
}
