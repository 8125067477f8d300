//! Open: how does the operator's word become evidence, wherever it is?
//!
//! Files are opened by `evidence`, hosts over SSH by `remote`: this is the one place that knows both.

use std::path::{Path, PathBuf};

use directive::progress::Progress;
use directive::scope::Access;
use evidence::{Limits, Options, Source, SourceSpec};

/// Why evidence cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder.
    #[error(transparent)]
    File(#[from] evidence::SpecError),
    /// A host over SSH.
    #[error(transparent)]
    Host(#[from] remote::Error),
}

/// Opens a SOURCE. Relative paths are taken from `base`.
///
/// # Errors
///
/// [`Error`] if it is not there, cannot be read, or the host is not one that is known.
pub fn open(text: &str, base: &Path, access: &Access, progress: &dyn Progress) -> Result<Box<dyn Source>, Error> {
    let paths = |names: &[String]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    match text.parse::<SourceSpec>()? {
        SourceSpec::Remote(text) => {
            let known_hosts = access.known_hosts.as_ref().map(|path| base.join(path));
            let identity = access.identity.as_ref().map(|path| base.join(path));
            let options = remote::Options {
                known_hosts: known_hosts.as_deref(),
                identity: identity.as_deref(),
                limits: Limits::default(),
                progress,
            };
            Ok(remote::open(&text, &options)?)
        }
        spec => {
            let (keys, backing) = (paths(&access.key_files), paths(&access.backing));
            let options = Options { base, keys: &keys, backing: &backing, progress, ..Options::default() };
            Ok(spec.open(&options).map_err(evidence::SpecError::from)?)
        }
    }
}
