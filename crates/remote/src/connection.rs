//! Connection: does a host speak SFTP with us, and if not, why?

use std::io;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use crate::sftp::Sftp;
use crate::ssh::{Remote, said, start};
use crate::{Address, Error, Options};

/// Why there is no conversation over SFTP.
pub(crate) enum Refusal {
    /// It answers and has no SFTP; perhaps it has `tar`.
    NoSftp,
    Error(Error),
}

/// A conversation over SFTP, and the `ssh` that carries it.
pub(crate) struct Connection {
    pub(crate) sftp: Sftp,
    ssh: Mutex<Child>,
}

impl Connection {
    pub(crate) fn new(address: &Address, options: &Options<'_>) -> Result<Self, Refusal> {
        let mut ssh = start(address, options, &Remote::Sftp).map_err(|error| Refusal::Error(Error::Start(error)))?;
        let (to, from, stderr) = (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take());
        let conversation = match (to, from) {
            (Some(to), Some(from)) => Sftp::new(to, from),
            _ => Err(io::Error::other("ssh has no ends")),
        };
        match conversation {
            Ok(sftp) => Ok(Self { sftp, ssh: Mutex::new(ssh) }),
            Err(error) => Err(refused(ssh, stderr, address, &error)),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut ssh = self.ssh.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is lost: it only reads.
        let _ = ssh.kill();
        let _ = ssh.wait();
    }
}

/// Why `ssh` gave no conversation: its own word, if it ended; otherwise the host has no SFTP.
fn refused(mut ssh: Child, stderr: Option<std::process::ChildStderr>, address: &Address, error: &io::Error) -> Refusal {
    // Ours to end: a login shell that talks instead of SFTP would wait for us for ever.
    let _ = ssh.kill();
    let why = said(stderr);
    let status = ssh.wait().ok().and_then(|status| status.code());
    // Source: ssh(1), "exit status": 255 is an error of ssh itself.
    if status == Some(255) && !why.contains("subsystem request failed") {
        let why = if why.is_empty() { error.to_string() } else { why };
        return Refusal::Error(Error::Connect { host: address.host.clone(), why });
    }
    Refusal::NoSftp
}
