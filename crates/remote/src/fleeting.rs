//! Fleeting: a host without SFTP, as the stream of its own `tar`.
//!
//! The stream is read like any tar: hostile until proved otherwise. It is asked for once, and once more where the
//! content of files is looked at. The folders that
//! the kernel makes up are left out by name and not with `--exclude`, since an implant that is known
//! waits for that very option of `tar`; each of them is a gap.
//! Source: facts on evasions, ZIPLINE ("when `tar` is run with `--exclude`").

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout};

use directive::progress::Unwatched;
use evidence::Source;

use crate::ssh::{Remote, said, start};
use crate::{Address, Error, Options};

/// Makes the stream. `$1` would be the folder, but a remote shell takes one string: it is quoted into it.
/// Names that the root of a Linux host has and that hold no files of it are passed over.
fn command(folder: &str) -> String {
    let quoted = if folder.is_empty() { "/".to_owned() } else { folder.replace('\'', "'\\''") };
    let skip = if folder.is_empty() { "proc|sys|dev" } else { "." };
    format!(
        "cd '{quoted}' && set -- && for f in * .[!.]* ..?*; do case \"$f\" in {skip}) ;; *) \
         if [ -e \"$f\" ] || [ -L \"$f\" ]; then set -- \"$@\" \"./$f\"; fi;; esac; done && \
         exec tar -cf - \"$@\""
    )
}

pub(crate) fn open(text: &str, address: &Address, options: &Options<'_>) -> Result<Box<dyn Source>, Error> {
    let command = command(&address.folder);
    let (address, limits) = (address.clone(), options.limits);
    let (known_hosts, identity) = (options.known_hosts.map(Path::to_owned), options.identity.map(Path::to_owned));
    let again = move || -> io::Result<Box<dyn Read + Send>> {
        let options = Options {
            known_hosts: known_hosts.as_deref(),
            identity: identity.as_deref(),
            limits,
            progress: &Unwatched,
        };
        let mut ssh = start(&address, &options, &Remote::Command(&command))?;
        // `tar` reads nothing from us.
        drop(ssh.stdin.take());
        let stdout = ssh.stdout.take().ok_or_else(|| io::Error::other("ssh has no end to read from"))?;
        Ok(Box::new(Stream { ssh, stdout, ended: false }))
    };
    Ok(evidence::passing_tar(text, Box::new(again), options.limits, options.progress)?)
}

/// The stream, which ends with an error if the `tar` that made it did.
struct Stream {
    ssh: Child,
    stdout: ChildStdout,
    ended: bool,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stdout.read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.ended {
            self.ended = true;
            let status = self.ssh.wait()?;
            if !status.success() {
                let why = said(self.ssh.stderr.take());
                return Err(io::Error::other(format!("`tar` on the host ended with {status}: {why}")));
            }
        }
        Ok(count)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_quote_stays_one_folder() {
        assert!(command("/data/it's").starts_with("cd '/data/it'\\''s' && "));
        assert!(!command("").contains("--exclude"));
    }

    #[test]
    fn a_log_of_the_host_shows_our_command_as_ours() {
        let own = directive::scope::Scanner::own(Vec::new());
        assert!(own.runs(&format!("sh -c {}", command("/data"))) && own.runs("tar -cf - ./bin"));
    }
}
