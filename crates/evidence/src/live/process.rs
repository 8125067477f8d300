//! Process: what does one running program show of itself?
//!
//! Everything is read below the open folder of the process, so that a number which is given to another
//! program meanwhile cannot mix the two.

use std::os::fd::OwnedFd;

use directive::text::Text;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, openat, readlinkat, statx};
use rustix::io::Errno;

use super::parse::{self, Mapping};
use super::{Failure, Identity, Running, Table, list, text};
use crate::dir::identity;
use crate::resolve::{OpenRoot, Resolver, open_resolved};

/// Links that are followed on one path: the kernel's own bound.
const LINKS: usize = 40;

/// The flag of a thread of the kernel in `/proc/PID/stat`. Source: `linux/sched.h`, `PF_KTHREAD`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// A process, held open.
pub struct Process<'a> {
    /// Its number.
    pub pid: u32,
    pub(super) dir: OwnedFd,
    pub(super) running: &'a Running,
}

/// The file that a process was started from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// Its path as the kernel last knew it, without ` (deleted)`.
    pub path: Vec<u8>,
    /// Whether its last name is gone.
    pub is_deleted: bool,
    /// What the process runs: device and inode.
    pub identity: Identity,
    /// What lies at the path now, if anything does.
    pub at_path: Option<Identity>,
}

impl Program {
    /// A program of which only names are known. Numbers stand for "the same" and "another".
    pub(super) fn named(path: &[u8], is_deleted: bool, has_file: bool) -> Self {
        let at_path = has_file.then_some((0, u64::from(is_deleted)));
        Self { path: path.to_vec(), is_deleted, identity: (0, 0), at_path }
    }

    /// Whether it never had a name on a disk (`memfd_create`).
    pub fn is_memfd(&self) -> bool {
        self.path.starts_with(b"/memfd:")
    }
}

impl Process<'_> {
    fn text(&self, name: &str) -> Result<Vec<u8>, Failure> {
        text(&self.dir, name.as_bytes(), self.running.limits.text_bytes)
    }

    /// The name that it goes by. It may call itself anything.
    pub fn name(&self) -> Text {
        let name = self.text("comm").unwrap_or_default();
        Text::new(name.strip_suffix(b"\n").unwrap_or(&name))
    }

    /// Whether it is part of the kernel, or has ended and waits to be collected: neither has a program.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is gone or cannot be read.
    pub fn has_no_program(&self) -> Result<bool, Failure> {
        let stat = self.text("stat")?;
        // Its own name stands in brackets, and may hold any character.
        let end = stat.iter().rposition(|byte| *byte == b')').map_or(0, |at| at + 1);
        let fields: Vec<&[u8]> = stat[end..].split(u8::is_ascii_whitespace).filter(|one| !one.is_empty()).collect();
        let is_over = fields.first().is_some_and(|state| matches!(state, [b'Z' | b'X' | b'x']));
        let flags: u64 = fields.get(6).and_then(|flags| parse::number(flags)).unwrap_or(0);
        Ok(is_over || flags & PF_KTHREAD != 0)
    }

    /// The group of threads that it belongs to: its own number, unless it is a thread.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is gone or cannot be read.
    pub fn thread_group(&self) -> Result<Option<u32>, Failure> {
        let status = self.text("status")?;
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"));
        Ok(line.and_then(|line| parse::number(line.trim_ascii())))
    }

    /// What it was started from; `None` for what has no program.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is gone or may not be seen.
    pub fn program(&self) -> Result<Option<Program>, Failure> {
        let link = match readlinkat(&self.dir, c"exe", Vec::new()) {
            Ok(link) => link.into_bytes(),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The kernel's own link: it leads to the very file, whatever has become of its name.
        let is = identity(&statx(&self.dir, c"exe", AtFlags::empty(), StatxFlags::BASIC_STATS)?);
        // A file may really be called so.
        let whole = self.file_at(&link, is);
        let (path, is_deleted, at_path) = match link.strip_suffix(b" (deleted)") {
            Some(path) if whole != Some(is) => (path.to_vec(), true, self.file_at(path, is)),
            _ => (link, false, whole),
        };
        Ok(Some(Program { path, is_deleted, identity: is, at_path }))
    }

    /// What lies at a path: below the root of the host, or of the process if it has another (a container,
    /// a `chroot`). Where both have something, that which is `wanted` counts.
    pub fn file_at(&self, path: &[u8], wanted: Identity) -> Option<Identity> {
        let of_host = self.running.file_at(path);
        if of_host == Some(wanted) {
            return of_host;
        }
        let of_process = self.root().ok().and_then(|root| file_at(&root, path));
        of_process.filter(|found| *found == wanted).or(of_host).or(of_process)
    }

    /// Its root folder, through the kernel's own link.
    pub(super) fn root(&self) -> Result<OwnedFd, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&self.dir, c"root", flags, Mode::empty())?)
    }

    /// Its mappings, and how many lines were not understood.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is gone or may not be seen.
    pub fn maps(&self) -> Result<(Vec<Mapping>, u64), Failure> {
        Ok(parse::maps(&self.text("maps")?))
    }

    /// The settings that it was started with: `NAME=value`. It can write over them later.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is gone or may not be seen.
    pub fn environment(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let all = self.text("environ")?;
        Ok(all.split(|byte| *byte == 0).filter(|one| !one.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// The inodes of the sockets that it holds.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is gone or may not be seen, or holds more files than the limit.
    pub fn sockets(&self) -> Result<Vec<u64>, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(&self.dir, c"fd", flags, Mode::empty())?;
        let names = list(&folder, c".", self.running.limits.open_files)?;
        let socket = |name: Vec<u8>| {
            // The link is read, never followed: behind it may be a pipe or a device.
            let link = readlinkat(&folder, name, Vec::new()).ok()?.into_bytes();
            parse::number(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
        };
        Ok(names.into_iter().filter_map(socket).collect())
    }

    /// Which network it lives in. Processes with the same answer see the same sockets.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is gone or may not be seen.
    pub fn network(&self) -> Result<Vec<u8>, Failure> {
        Ok(readlinkat(&self.dir, c"ns/net", Vec::new())?.into_bytes())
    }

    /// The sockets of its network, of one kind.
    ///
    /// # Errors
    ///
    /// [`Failure::Gone`] also where the kernel has no such sockets.
    pub fn table(&self, table: Table) -> Result<Vec<u8>, Failure> {
        self.text(&format!("net/{}", table.as_str()))
    }

    /// The mounts that it sees.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is gone or may not be seen.
    pub fn mounts(&self) -> Result<Vec<u8>, Failure> {
        self.text("mountinfo")
    }
}

/// What stands at a path below a root, links followed inside it.
pub(super) fn file_at(root: &OwnedFd, path: &[u8]) -> Option<Identity> {
    let (folder, name) = open_at(root, path)?;
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    Some(identity(&statx(&folder, name, flags, StatxFlags::BASIC_STATS).ok()?))
}

/// The folder that a path below a root lies in once its links are followed, and its name there.
pub(super) fn open_at(root: &OwnedFd, path: &[u8]) -> Option<(OwnedFd, Vec<u8>)> {
    let found = Resolver::new(LINKS).entry(&OpenRoot(root), path)?;
    let (folder, name) = crate::path::split(&found);
    let folder = open_resolved(root, folder).ok()?;
    Some((folder, if name.is_empty() { b".".to_vec() } else { name.to_vec() }))
}
