//! What bytes are on an instance that is reached over SSH?
//!
//! Agentless: nothing is left on the instance, and nothing is needed there but its SFTP server or,
//! where there is none, `tar`. The connection is made by the operator's own `ssh`, so that his jump
//! hosts, agents and hardware keys work as they do every day; the host key must be known beforehand
//! and is never accepted blindly.
//!
//! The bytes pass through programs of the instance, which an intruder may have changed: the source
//! says so as a remark. An image of the disk is better evidence.

mod address;
mod connection;
mod fleeting;
mod host;
mod processes;
mod sftp;
mod ssh;

use std::path::{Path, PathBuf};

use directive::progress::Progress;
use evidence::live::Reach;
use evidence::{Limits, Source};

pub use address::{Address, AddressError};

/// How to reach a host, and what it may cost.
pub struct Options<'a> {
    /// The file with the host keys that are known; the operator's own `known_hosts` where none is given.
    pub known_hosts: Option<&'a Path>,
    /// The key to log in with; what the operator's `ssh` uses where none is given.
    pub identity: Option<&'a Path>,
    /// Bounds on what it may cost.
    pub limits: Limits,
    /// Who watches, and may ask to stop.
    pub progress: &'a dyn Progress,
}

/// Why a host cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none.
    #[error("not an address of a host")]
    Address(#[from] AddressError),
    /// `ssh` could not be started.
    #[error("cannot start `ssh`")]
    Start(#[source] std::io::Error),
    /// There is no connection: the host key is not known, the login was refused, nobody answers.
    #[error("no connection to {host}: {why}")]
    Connect {
        /// The host as the operator wrote it.
        host: String,
        /// What `ssh` said.
        why: String,
    },
    /// The root folder is not there.
    #[error("{folder:?} on {host} cannot be read: {why}")]
    Root {
        /// The host as the operator wrote it.
        host: String,
        /// The folder.
        folder: PathBuf,
        /// What the host said.
        why: String,
    },
    /// It has no SFTP, and processes are seen over nothing else.
    #[error("{host} has no SFTP, by which alone processes are seen")]
    NoSftp {
        /// The host as the operator wrote it.
        host: String,
    },
    /// The stream of `tar` cannot be read.
    #[error(transparent)]
    Evidence(#[from] evidence::Error),
}

/// Connects to a host and opens its files: over SFTP, or with its `tar` where it has no SFTP.
///
/// # Errors
///
/// [`Error`] if the address is none, the host key is not known, or the login is refused.
pub fn open(text: &str, options: &Options<'_>) -> Result<Box<dyn Source>, Error> {
    let address: Address = text.parse()?;
    match host::Host::connect(&address, options) {
        Ok(host) => Ok(evidence::of_filesystem(text, std::sync::Arc::new(host), options.limits)),
        Err(connection::Refusal::NoSftp) => fleeting::open(text, &address, options),
        Err(connection::Refusal::Error(error)) => Err(error),
    }
}

/// Connects to a host and reaches what runs there, over SFTP. The folder of the address does not matter.
///
/// # Errors
///
/// [`Error`] if the address is none, the host key is not known, the login is refused, or there is no SFTP.
pub fn processes(text: &str, options: &Options<'_>) -> Result<Box<dyn Reach>, Error> {
    let address: Address = text.parse()?;
    processes::Processes::connect(&address, options).map(|reached| Box::new(reached) as Box<dyn Reach>)
}

/// Takes bytes for what an SFTP server said: for fuzzing.
#[cfg(fuzzing)]
pub fn converse(bytes: &[u8]) {
    sftp::read_all(bytes);
}
