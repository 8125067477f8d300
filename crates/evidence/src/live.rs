//! Live: what do the processes and the kernel of a running host show?
//!
//! Serves ED 21-03 action 2 where an intruder lives in memory alone: a program that was deleted, code
//! that was patched in a process, a socket that nobody should hold. Reads `/proc`, `/sys` and the files
//! that they name; attaches to no process (no `ptrace`), sends no signal, opens no socket, stops nothing.
//! Links are not followed, with one exception: what the kernel itself keeps behind `/proc/PID/exe`, `root`
//! and `map_files` is no path but the very file that the process has, and there is no other way to it.
//! Such a file is first opened without rights (`O_PATH`), and read only if it is a regular file of this
//! host.
//! Source: `proc(5)`, `proc_pid_maps(5)`, `pagemap` in the kernel's own documentation.

mod code;
mod elf;
mod parse;
mod process;
mod shown;

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, fstatfs, openat, readlinkat, statat};
use rustix::io::{Errno, pread, retry_on_intr};

use crate::folder::Folder;

pub use code::{Compared, Difference, MappedFile};
pub use parse::{Mapping, Module, Mount, Socket, Table, maps, modules, mounts, sockets};
pub use process::{Process, Program};
pub use shown::{Reach, Shown, Stood, shown};

/// Where the kernel's own file system is told from a folder. Source: `linux/magic.h`.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Bounds on what one look at a running host takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Processes that are looked at. A fork bomb must not keep us from an answer; real hosts have thousands.
    pub processes: usize,
    /// Bytes of one file of `/proc`. A process may have some 65,000 mappings, about 8 MiB of text.
    pub text_bytes: usize,
    /// Open files of one process. The kernel's own default bound is a million, and each is a link to read.
    pub open_files: usize,
    /// Bytes of memory that are compared with files, for one process. Only pages that are no longer the
    /// file's own are read, so that healthy processes need almost none.
    pub process_bytes: u64,
    /// The same for the whole run: at a gigabyte a second this is about a quarter of a minute.
    pub run_bytes: u64,
    /// Numbers that are tried for hidden processes: the kernel's own bound of `pid_max`.
    pub numbers: u32,
    /// Network namespaces that are listed. A host of containers has hundreds.
    pub namespaces: usize,
    /// Differences that are described for one mapping; the rest is counted.
    pub differences: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 1 << 16,
            text_bytes: 32 << 20,
            open_files: 1 << 18,
            process_bytes: 1 << 30,
            run_bytes: 16 << 30,
            numbers: 1 << 22,
            namespaces: 1024,
            differences: 8,
        }
    }
}

/// Why something of a running host could not be seen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It is not there: the process ended, or the kernel was built without it.
    #[error("it is not there")]
    Gone,
    /// The kernel does not let us.
    #[error("the kernel refuses it")]
    Refused,
    /// It is longer than the limit.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// What is read at most.
        limit: usize,
    },
    /// The file behind a mapping or a program is none that is read here.
    #[error("the file is {what}, which is not opened")]
    NotOpened {
        /// What it is.
        what: &'static str,
    },
    /// `/proc` is not the kernel's.
    #[error("/proc is not the kernel's own file system: nothing is mounted there, or something else")]
    NotProc,
    /// Anything else that the operating system said.
    #[error("it cannot be read")]
    Io(#[source] std::io::Error),
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::SRCH | Errno::NOTDIR => Self::Gone,
            Errno::ACCESS | Errno::PERM => Self::Refused,
            error => Self::Io(error.into()),
        }
    }
}

/// What a file is, whatever it is called: device and inode.
pub type Identity = (u64, u64);

/// A host that runs, as its kernel shows it.
pub struct Running {
    root: OwnedFd,
    proc: OwnedFd,
    files: Folder,
    own: u32,
    limits: Limits,
}

impl Running {
    /// The host that this program runs on.
    ///
    /// # Errors
    ///
    /// [`Failure::NotProc`] if `/proc` is not the kernel's, or what the operating system said.
    pub fn here() -> Result<Self, Failure> {
        let running = Self::at(Path::new("/"))?;
        let magic = fstatfs(&running.proc)?.f_type;
        if u64::try_from(magic).ok() == Some(PROC_SUPER_MAGIC) { Ok(running) } else { Err(Failure::NotProc) }
    }

    /// A host whose `proc` and `sys` are copies below `root`, for tests.
    ///
    /// # Errors
    ///
    /// What the operating system said.
    pub fn at(root: &Path) -> Result<Self, Failure> {
        let files = Folder::open(root).map_err(|error| Failure::Io(std::io::Error::other(error)))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, root, flags, Mode::empty())?;
        let proc = openat(&root, c"proc", flags | OFlags::NOFOLLOW, Mode::empty())?;
        let own = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
        Ok(Self { root, proc, files, own, limits: Limits::default() })
    }

    /// The same host under other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The limits that hold.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The process that is looking. It is no evidence of anything.
    pub fn own(&self) -> u32 {
        self.own
    }

    /// The files of the host, links followed inside its root.
    pub fn files(&self) -> &Folder {
        &self.files
    }

    /// The processes that the kernel lists, by number, without this one.
    ///
    /// # Errors
    ///
    /// If `/proc` cannot be listed.
    pub fn processes(&self) -> Result<Vec<u32>, Failure> {
        let names = list(&self.proc, c".", usize::MAX)?;
        let mut pids: Vec<u32> = names.iter().filter_map(|name| parse::number(name)).collect();
        pids.retain(|pid| *pid != self.own);
        pids.sort_unstable();
        Ok(pids)
    }

    /// Opens one process. What is read through it later is of that process or fails, even if its number
    /// is given to another.
    ///
    /// # Errors
    ///
    /// [`Failure::Gone`] if there is none of that number.
    pub fn process(&self, pid: u32) -> Result<Process<'_>, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(&self.proc, pid.to_string(), flags, Mode::empty())?;
        Ok(Process { pid, dir, running: self })
    }

    /// Whether a process or thread of that number answers, listed or not.
    pub fn answers(&self, number: u32) -> bool {
        let mut digits = [0_u8; 10];
        statat(&self.proc, decimal(number, &mut digits), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// A file that the kernel makes up: `proc/modules`, `sys/module/ext4/initstate`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not there or cannot be read.
    pub fn kernel(&self, path: &str) -> Result<Vec<u8>, Failure> {
        text(&self.root, path.as_bytes(), self.limits.text_bytes)
    }

    /// The names in a folder that the kernel makes up: `sys/module`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not there or cannot be listed.
    pub fn kernel_names(&self, path: &str) -> Result<Vec<Vec<u8>>, Failure> {
        list(&self.root, path, self.limits.open_files)
    }

    /// What stands at a path of the host, links followed inside its root: device and inode.
    pub fn file_at(&self, path: &[u8]) -> Option<Identity> {
        process::file_at(&self.root, path)
    }

    /// Whether a path of the host is a folder.
    pub fn is_folder(&self, path: &[u8]) -> bool {
        crate::source::Source::canonical_folder(&self.files, path).is_some()
    }
}

impl Reach for Running {
    fn names(&self, folder: &str, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        list(&self.root, folder.trim_start_matches('/'), limit)
    }

    fn text(&self, path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        text(&self.root, path.trim_start_matches('/').as_bytes(), limit)
    }

    fn links(&self, paths: &[String]) -> Vec<Result<Vec<u8>, Failure>> {
        let link = |path: &String| {
            Ok(readlinkat(&self.root, path.trim_start_matches('/'), Vec::new()).map(std::ffi::CString::into_bytes)?)
        };
        paths.iter().map(link).collect()
    }

    fn is_there(&self, path: &[u8]) -> bool {
        self.file_at(path).is_some()
    }

    fn own(&self) -> Option<u32> {
        Some(self.own)
    }

    fn at_once(&self) -> usize {
        1
    }

    fn limits(&self) -> Limits {
        self.limits
    }
}

/// A number as the kernel writes it, without asking for memory: four million are tried in a row.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// A file without a size of its own, read to its end.
fn text(folder: &OwnedFd, path: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat(folder, path, flags, Mode::empty())?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match retry_on_intr(|| pread(&fd, &mut buffer[..], bytes.len() as u64))? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
        if bytes.len() > limit {
            return Err(Failure::TooLarge { limit });
        }
    }
}

/// The names in a folder, up to a limit.
fn list(folder: &OwnedFd, path: impl rustix::path::Arg, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(folder, path, flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if names.len() == limit {
            return Err(Failure::TooLarge { limit });
        }
        names.push(name.to_vec());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_kernel_does() {
        for number in [0, 7, 10, 4_194_304, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string().as_bytes());
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests build their own evidence")]
    fn a_folder_that_is_not_the_kernels_has_no_processes_behind_links() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
        assert!(matches!(Running::at(root.path()), Err(Failure::Gone | Failure::Io(_))));
    }
}
