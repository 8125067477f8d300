//! Open: how does the operator's word become evidence, wherever it is?
//!
//! Files are opened by `evidence`, hosts over SSH by `remote`: this is the one place that knows both.

use std::path::{Path, PathBuf};

use check::live::Live;
use directive::progress::Progress;
use directive::scope::Access;
use evidence::live::{Failure, Reach, Running};
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
    /// The processes of this machine.
    #[error("the processes of this machine cannot be seen")]
    Here(#[from] Failure),
    /// A copy of files has no processes.
    #[error("only a machine that runs has processes: this one, `/`, or one over SSH, `ssh://..`")]
    NotRunning,
}

/// A machine that runs.
pub enum Runs {
    /// The one that we run on.
    Here(Box<Running>),
    /// One over SSH.
    There(Box<dyn Reach>),
    /// One over SSH that shows its files in another way, and no processes.
    Unreached(String),
}

impl Runs {
    /// What a check looks at.
    pub fn live(&self) -> Live<'_> {
        match self {
            Self::Here(running) => Live::Here(running),
            Self::There(reach) => Live::There(reach.as_ref()),
            Self::Unreached(why) => Live::Unreached(why),
        }
    }
}

/// Reaches the processes of a SOURCE that is a machine which runs. Nothing is looked at yet.
///
/// # Errors
///
/// [`Error`] if it is none or cannot be reached. A host without SFTP gives a gap: its files may be read otherwise.
pub fn runs(text: &str, base: &Path, access: &Access, progress: &dyn Progress) -> Result<Runs, Error> {
    match text.parse::<SourceSpec>()? {
        SourceSpec::Remote(text) => {
            let files = Files::of(base, access);
            match remote::processes(&text, &files.options(progress)) {
                Err(error @ remote::Error::NoSftp { .. }) => Ok(Runs::Unreached(error.to_string())),
                reached => Ok(Runs::There(reached?)),
            }
        }
        _ if text == "/" => Ok(Runs::Here(Box::new(Running::here()?))),
        _ => Err(Error::NotRunning),
    }
}

/// The files that a login takes.
struct Files {
    known_hosts: Option<PathBuf>,
    identity: Option<PathBuf>,
}

impl Files {
    fn of(base: &Path, access: &Access) -> Self {
        let below = |path: &Option<String>| path.as_ref().map(|path| base.join(path));
        Self { known_hosts: below(&access.known_hosts), identity: below(&access.identity) }
    }

    fn options<'a>(&'a self, progress: &'a dyn Progress) -> remote::Options<'a> {
        remote::Options {
            known_hosts: self.known_hosts.as_deref(),
            identity: self.identity.as_deref(),
            limits: Limits::default(),
            progress,
        }
    }
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
            let files = Files::of(base, access);
            Ok(remote::open(&text, &files.options(progress))?)
        }
        spec => {
            let (keys, backing) = (paths(&access.key_files), paths(&access.backing));
            let options = Options { base, keys: &keys, backing: &backing, progress, ..Options::default() };
            Ok(spec.open(&options).map_err(evidence::SpecError::from)?)
        }
    }
}
