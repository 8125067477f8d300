//! Hands: how is a machine touched, here or over SSH?
//!
//! The one place in `mitigate` that starts a program. A program is run without a shell, a file is read whole, and
//! written whole beside its place before it takes it. Over SSH the operator's own `ssh` does the same: it never asks
//! anything, never learns a new host key and forwards nothing; `remote` says why it is that program.
//! Whoever calls has an approved change, or only reads.
//! Source: `ssh(1)`, `ssh_config(5)`; POSIX `rename`.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use directive::text::escape;

/// The largest file that is read, in bytes. A configuration is far smaller; a package may have this much.
const LARGEST: usize = 256 << 20;

/// What a program left.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it wrote.
    pub out: Vec<u8>,
    /// What it complained of, escaped, its end.
    pub said: String,
}

/// Why a machine could not be touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program could not be started.
    #[error("cannot run {program}")]
    Start {
        /// Its name.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no connection, or it was lost.
    #[error("no connection to {host}: {said}")]
    Lost {
        /// The host.
        host: String,
        /// What `ssh` said.
        said: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {said}")]
    File {
        /// Read, write or remove.
        what: &'static str,
        /// The file.
        path: String,
        /// What the machine said.
        said: String,
    },
    /// The program failed.
    #[error("{command} failed: {said}")]
    Failed {
        /// The program with its arguments.
        command: String,
        /// What it said.
        said: String,
    },
}

/// Touches one machine.
pub trait Hands {
    /// Runs a program without a shell, with this as its input.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] or [`Error::Lost`]; that it fails is no error here.
    fn run(&self, words: &[&str], input: &[u8]) -> Result<Done, Error>;

    /// Runs a program that must succeed.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] with what it said.
    fn must(&self, words: &[&str]) -> Result<Vec<u8>, Error> {
        let done = self.run(words, &[])?;
        if done.code == 0 {
            return Ok(done.out);
        }
        Err(Error::Failed { command: escape(words.join(" ")), said: done.said })
    }

    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it cannot be read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let done = self.run(&["sh", "-c", READ, "sh", path, &(LARGEST + 1).to_string()], &[])?;
        match done.code {
            0 if done.out.len() <= LARGEST => Ok(Some(done.out)),
            0 => Err(file("read", path, format!("it has more than {LARGEST} bytes"))),
            NOTHING => Ok(None),
            _ => Err(file("read", path, done.said)),
        }
    }

    /// Writes a file whole: beside its place, synchronised, with owner and mode of what stands there, and then renamed.
    ///
    /// # Errors
    ///
    /// [`Error::File`]; then the file is as it was.
    fn write(&self, path: &str, content: &[u8]) -> Result<(), Error> {
        let done = self.run(&["sh", "-c", WRITE, "sh", path, &content.len().to_string()], content)?;
        if done.code == 0 { Ok(()) } else { Err(file("write", path, done.said)) }
    }

    /// The children of the process whose number a file holds; none if there is no such process.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] or [`Error::Lost`].
    fn children(&self, pid_file: &str) -> Result<Vec<u32>, Error> {
        let done = self.run(&["sh", "-c", CHILDREN, "sh", pid_file], &[])?;
        Ok(numbers(&String::from_utf8_lossy(&done.out)))
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it is still there.
    fn remove(&self, path: &str) -> Result<(), Error> {
        let done = self.run(&["rm", "-f", "--", path], &[])?;
        if done.code == 0 { Ok(()) } else { Err(file("remove", path, done.said)) }
    }
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

const CHILDREN: &str = "read -r pid < \"$1\" && cat /proc/\"$pid\"/task/\"$pid\"/children";

fn file(what: &'static str, path: &str, said: String) -> Error {
    Error::File { what, path: escape(path), said }
}

/// The exit code for a file that is not there.
const NOTHING: i32 = 44;

const READ: &str = "[ -e \"$1\" ] || exit 44; exec head -c \"$2\" -- \"$1\"";

/// A copy of the old file keeps owner, mode and attributes when new bytes are put into it. Its size is compared, since
/// a connection that is lost in the middle looks like the end of the input.
const WRITE: &str = "set -e; new=\"$1.portcullis-new\"; trap 'rm -f -- \"$new\"' EXIT; rm -f -- \"$new\"; \
    if [ -e \"$1\" ]; then cp -p -- \"$1\" \"$new\"; else (umask 022; : > \"$new\"); fi; cat > \"$new\"; \
    [ \"$(wc -c < \"$new\")\" -eq \"$2\" ] || { echo 'the input ended early' >&2; exit 1; }; \
    sync -- \"$new\" 2>/dev/null || sync; mv -f -- \"$new\" \"$1\"";

/// This machine. What only reads needs no program: of two hundred proxies on one machine the programs that read took
/// half of the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Here;

impl Hands for Here {
    fn run(&self, words: &[&str], input: &[u8]) -> Result<Done, Error> {
        start(words, input)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let wrong = |err: io::Error| file("read", path, err.to_string());
        let opened = match File::open(path) {
            Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            opened => opened.map_err(wrong)?,
        };
        let mut bytes = Vec::new();
        opened.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(wrong)?;
        match bytes.len() <= LARGEST {
            true => Ok(Some(bytes)),
            false => Err(file("read", path, format!("it has more than {LARGEST} bytes"))),
        }
    }

    fn children(&self, pid_file: &str) -> Result<Vec<u32>, Error> {
        let first = std::fs::read_to_string(pid_file).ok().and_then(|text| numbers(&text).first().copied());
        let children = first.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok());
        Ok(children.map_or_else(Vec::new, |text| numbers(&text)))
    }
}

/// A machine that is reached over SSH.
#[derive(Debug, Clone)]
pub struct There {
    /// As the operator wrote it.
    host: String,
    /// Options and host of `ssh`.
    words: Vec<String>,
}

/// How to log in, where the operator's own configuration does not say it.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Host keys that are known.
    pub known_hosts: Option<PathBuf>,
    /// The key to log in with.
    pub identity: Option<PathBuf>,
}

const SETTINGS: [&str; 14] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "EscapeChar=none",
    "ControlMaster=no",
    "ControlPath=none",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "LogLevel=ERROR",
];

impl There {
    /// A host by its address, `ssh://user@host:port`; nothing in it may become an option.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the address is none.
    pub fn new(text: &str, login: &Login) -> Result<Self, Error> {
        let refused = || Error::Lost { host: escape(text), said: "write it as ssh://user@host:port".to_owned() };
        let authority = text.strip_prefix("ssh://").ok_or_else(refused)?;
        let is_word = |word: &str| {
            let is_fine = |c: char| c.is_ascii_alphanumeric() || ".-_:%[]".contains(c);
            !word.is_empty() && !word.starts_with('-') && word.chars().all(is_fine)
        };
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        if !is_word(host) || user.is_some_and(|user| !is_word(user) || user.contains(':')) {
            return Err(refused());
        }
        let mut words: Vec<String> = vec!["ssh".into()];
        SETTINGS.iter().for_each(|setting| words.extend(["-o".into(), (*setting).into()]));
        if let Some(known_hosts) = &login.known_hosts {
            words.extend(["-o".into(), format!("UserKnownHostsFile=\"{}\"", known_hosts.display())]);
            words.extend(["-o".into(), "GlobalKnownHostsFile=/dev/null".into()]);
        }
        if let Some(identity) = &login.identity {
            words.extend(["-o".into(), "IdentitiesOnly=yes".into(), "-i".into(), identity.display().to_string()]);
        }
        words.extend(["--".into(), text.to_owned()]);
        Ok(Self { host: escape(text), words })
    }
}

impl Hands for There {
    fn run(&self, words: &[&str], input: &[u8]) -> Result<Done, Error> {
        // The other side's shell gets each word in quotes of its own.
        let command: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let command = command.join(" ");
        let words: Vec<&str> = self.words.iter().map(String::as_str).chain([command.as_str()]).collect();
        let done = start(&words, input)?;
        // `ssh` itself ends with 255, which no program of ours does; where a signal ended it, nobody knows how it ended
        // over there.
        if done.code == 255 || done.code == -1 {
            return Err(Error::Lost { host: self.host.clone(), said: done.said });
        }
        Ok(done)
    }
}

fn start(words: &[&str], input: &[u8]) -> Result<Done, Error> {
    let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
    let failed = |source| Error::Start { program: escape(program), source };
    #[expect(clippy::disallowed_methods, reason = "these are the hands: the one place that starts a program")]
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut stdin = child.stdin.take();
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends without reading its input has said all that it had to say.
            let _ = stdin.as_mut().map(|stdin| stdin.write_all(input));
        });
        let err = scope.spawn(move || stderr.as_mut().map_or(Ok(Vec::new()), complaints));
        // A machine in strange hands may write without end.
        let out = stdout.as_mut().map_or(Ok(Vec::new()), |out| upto(out, LARGEST));
        drop(stdout.take());
        if out.as_ref().map_or(true, |out| out.len() > LARGEST) {
            // Before its complaints are waited for, which might never end. That it has ended by itself is as good.
            let _ = child.kill();
        }
        (out, err.join().unwrap_or_else(|_| Ok(Vec::new())))
    });
    let status = child.wait().map_err(failed)?;
    let (out, err) = (out.map_err(failed)?, err.map_err(failed)?);
    if out.len() > LARGEST {
        return Err(failed(io::Error::other(format!("it wrote more than {LARGEST} bytes"))));
    }
    let text = String::from_utf8_lossy(&err);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = escape(lines[lines.len().saturating_sub(4)..].join("; "));
    Ok(Done { code: status.code().unwrap_or(-1), out, said })
}

/// How much of what a program complains of is kept; the end of that is shown.
const COMPLAINTS: usize = 1 << 20;

/// What a program complains of. The rest is read too, since whoever writes into a closed pipe is ended by it.
fn complaints(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let kept = upto(from, COMPLAINTS)?;
    io::copy(&mut from.take(LARGEST as u64), &mut io::sink())?;
    Ok(kept)
}

/// Reads to the end, and one byte more than this at most.
fn upto(from: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The hands for a target: `local`, or `ssh://user@host:port`.
///
/// # Errors
///
/// [`Error::Lost`] if it is neither.
pub fn of(host: &str, login: &Login) -> Result<Box<dyn Hands + Sync>, Error> {
    match host {
        "local" => Ok(Box::new(Here)),
        host => Ok(Box::new(There::new(host, login)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_with_the_mode_of_the_old_one_or_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a file's name");
        let path = path.to_str().unwrap();
        assert!(Here.read(path).unwrap().is_none());
        Here.write(path, b"one\n\0").unwrap();
        Here.must(&["chmod", "640", path]).unwrap();
        Here.write(path, b"two").unwrap();
        assert_eq!(Here.read(path).unwrap().unwrap(), b"two");
        assert_eq!(Here.must(&["stat", "-c", "%a", path]).unwrap(), b"640\n");
        let err = Here.write(&format!("{}/missing/x", dir.path().display()), b"x").unwrap_err();
        assert!(err.to_string().starts_with("cannot write"), "{err}");
        Here.remove(path).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_program_that_writes_without_end_is_ended() {
        // It ignores that nobody reads any more, and would go on for ever.
        let script = "trap '' PIPE; while :; do head -c 16777216 /dev/zero || :; done";
        let err = Here.run(&["sh", "-c", script], &[]).unwrap_err();
        let Error::Start { source, .. } = &err else { panic!("{err}") };
        assert!(source.to_string().contains("wrote more than"), "{source}");
    }

    #[test]
    fn nothing_in_an_address_becomes_an_option_of_ssh() {
        for text in ["ssh://-oProxyCommand=sh", "ssh://a b", "ssh://$(id)", "ssh://root:x@h", "http://h", "ssh://"] {
            assert!(There::new(text, &Login::default()).is_err(), "{text}");
        }
        assert!(There::new("ssh://root@[2001:db8::7]:2222", &Login::default()).is_ok());
    }
}
