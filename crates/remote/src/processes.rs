//! Processes: what do links and tables of a machine's `/proc` say, read over SFTP?
//!
//! Nothing is started on the machine but its SFTP server. What it answers is bounded like any hostile input: so many
//! processes, so many open files of each, so many bytes of a text.

use std::io;

use evidence::live::{Failure, Limits, Reach};

use crate::connection::{Connection, Refusal};
use crate::sftp::Pending;
use crate::{Address, Error, Options};

/// Questions that are under way at once: a link costs a round trip, whatever the line.
const AT_ONCE: usize = 16;

/// Links that are asked for before the first answer is waited for.
const AHEAD: usize = 64;

/// Names of a folder that are taken, whatever the caller allows.
const ENTRIES: usize = 1 << 20;

/// A machine.
pub(crate) struct Processes(Connection);

impl Processes {
    pub(crate) fn connect(address: &Address, options: &Options<'_>) -> Result<Self, Error> {
        Connection::new(address, options).map(Self).map_err(|refusal| match refusal {
            Refusal::NoSftp => Error::NoSftp { host: address.host.clone() },
            Refusal::Error(error) => error,
        })
    }
}

impl Reach for Processes {
    fn names(&self, folder: &str, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let sftp = &self.0.sftp;
        let handle = sftp.open_folder(folder.as_bytes()).map_err(failure)?;
        let limit = limit.min(ENTRIES);
        let mut names = Vec::new();
        let listed = loop {
            match sftp.more_names(&handle) {
                Ok(Some(more)) => names.extend(more.into_iter().map(|(name, _)| name)),
                Ok(None) => break Ok(names),
                Err(error) => break Err(failure(error)),
            }
            if names.len() > limit {
                break Err(Failure::TooLarge { limit });
            }
        };
        sftp.close(&handle);
        listed
    }

    fn text(&self, path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::new();
        self.0.sftp.read_text(path.as_bytes(), limit, &mut text).map_err(failure)?;
        if text.len() > limit { Err(Failure::TooLarge { limit }) } else { Ok(text) }
    }

    fn links(&self, paths: &[String]) -> Vec<Result<Vec<u8>, Failure>> {
        let mut all = Vec::with_capacity(paths.len());
        for some in paths.chunks(AHEAD) {
            let asked: Vec<io::Result<Pending>> =
                some.iter().map(|path| self.0.sftp.ask_link(path.as_bytes())).collect();
            all.extend(asked.into_iter().map(|asked| asked.and_then(Pending::link).map_err(failure)));
        }
        all
    }

    fn is_there(&self, path: &[u8]) -> bool {
        self.0.sftp.stat(path).is_ok()
    }

    fn own(&self) -> Option<u32> {
        None
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn limits(&self) -> Limits {
        Limits { processes: 8192, open_files: 8192, text_bytes: 4 << 20, ..Limits::default() }
    }
}

/// A process that has ended meanwhile is any other failure to OpenSSH's server.
fn failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::Gone,
        io::ErrorKind::PermissionDenied => Failure::Refused,
        _ => Failure::Io(error),
    }
}
