//! Fleeting: a host without SFTP, as the stream of its own `tar`.
//!
//! The stream comes by once and is read like any tar: hostile until proved otherwise. The folders that
//! the kernel makes up are left out by name and not with `--exclude`, since an implant that is known
//! waits for that very option of `tar`; each of them is a gap.
//! Source: facts on evasions, ZIPLINE ("when `tar` is run with `--exclude`").

use std::io::{self, Read};
use std::process::{Child, ChildStdout};

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
    let mut ssh = start(address, options, &Remote::Command(&command)).map_err(Error::Start)?;
    // `tar` reads nothing from us.
    drop(ssh.stdin.take());
    let stdout = ssh.stdout.take().ok_or_else(|| Error::Start(io::Error::other("ssh has no end to read from")))?;
    let stream = Stream { ssh, stdout, ended: false };
    Ok(evidence::passing_tar(text, Box::new(stream), options.limits, options.progress)?)
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
}
