//! Host: the files of a running machine, read over SFTP as if they were those of a disk.
//!
//! What SFTP does not show (change times, attributes, hard links) is said once, as a remark. Pseudo
//! and network file systems are passed over by the machine's own list of mounts, each as a gap.
//! Source: `proc(5)` "/proc/pid/mounts".

use std::collections::{HashMap, VecDeque};
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use image::filesystem::{Content, Error as FsError, FileSystem, Id, Listed, Node};

use crate::connection::{Connection, Refusal};
use crate::sftp::{Attributes, Pending, READ_BYTES};
use crate::{Address, Error, Options};

/// Requests for the next bytes of one file that are under way at once: what fills a link of 100 Mbit/s
/// at 20 ms.
const AHEAD: usize = 8;

/// Files that are read at once: small ones cost a round trip each, whatever the link.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// Entries that are remembered while a host is read; each takes about 100 bytes.
const ENTRIES: usize = 1 << 21;

/// Entries of one folder.
const FOLDER_ENTRIES: usize = 1 << 21;

/// Bytes of the list of mounts.
const MOUNTS_BYTES: usize = 1 << 20;

/// Kinds of file system that a machine keeps on its own disks or in memory. Every other kind is
/// passed over, as a gap that names it.
const OWN: [&str; 22] = [
    "aufs", "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jffs2", "jfs", "msdos",
    "ntfs", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "vfat", "xfs",
];

/// Kinds that lie on another machine.
const NETWORK: [&str; 7] = ["9p", "ceph", "cifs", "nfs", "nfs4", "smb3", "fuse.sshfs"];

/// A host.
pub(crate) struct Host {
    connection: Connection,
    /// The root folder on the host, without a slash at its end.
    folder: Vec<u8>,
    entries: Mutex<Entries>,
    /// Folders at which something stands that is not the machine's own, and its kind.
    foreign: HashMap<Vec<u8>, String>,
}

#[derive(Default)]
struct Entries {
    all: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    parent: Id,
    name: Box<[u8]>,
    attributes: Attributes,
}

impl Host {
    pub(crate) fn connect(address: &Address, options: &Options<'_>) -> Result<Self, Refusal> {
        let connection = Connection::new(address, options)?;
        let host = Self {
            connection,
            folder: address.folder.clone().into_bytes(),
            entries: Mutex::default(),
            foreign: HashMap::new(),
        };
        host.find_root(address).map_err(Refusal::Error)
    }

    fn find_root(mut self, address: &Address) -> Result<Self, Error> {
        let root = if self.folder.is_empty() { b"/".to_vec() } else { self.folder.clone() };
        // The operator chose the root, so that it may be a link; nothing below it may.
        let attributes = self.connection.sftp.stat(&root).and_then(|attributes| match attributes.mode & 0o170_000 {
            0o040_000 => Ok(attributes),
            _ => Err(io::Error::other("it is no folder")),
        });
        let attributes = attributes.map_err(|error| Error::Root {
            host: address.host.clone(),
            folder: String::from_utf8_lossy(&root).into_owned().into(),
            why: error.to_string(),
        })?;
        self.lock().all.push(Entry { parent: 0, name: Box::default(), attributes });
        self.foreign = self.mounts();
        Ok(self)
    }

    /// Mounts below the root that are not the machine's own files.
    fn mounts(&self) -> HashMap<Vec<u8>, String> {
        let mut text = Vec::new();
        // What was read counts, also where the rest is not to be had.
        let _ = self.connection.sftp.read_text(b"/proc/mounts", MOUNTS_BYTES, &mut text);
        let mut foreign = HashMap::new();
        for line in text.split(|byte| *byte == b'\n') {
            let mut words = line.split(|byte| *byte == b' ').skip(1);
            let (Some(at), Some(kind)) = (words.next(), words.next()) else { continue };
            let (at, kind) = (unescape(at), String::from_utf8_lossy(kind).into_owned());
            let Some(below) = at.strip_prefix(self.folder.as_slice()).filter(|below| below.len() > 1) else { continue };
            if below.starts_with(b"/") && !OWN.contains(&kind.as_str()) {
                foreign.insert(below.to_vec(), kind);
            }
        }
        foreign
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of an entry below the root; the root is empty.
    fn path(&self, id: Id) -> Result<Vec<u8>, FsError> {
        let entries = self.lock();
        let mut parts: VecDeque<Box<[u8]>> = VecDeque::new();
        let mut id = id;
        while id != 0 {
            let entry = usize::try_from(id).ok().and_then(|id| entries.all.get(id));
            let entry = entry.ok_or_else(|| FsError::Damaged("an entry that was never listed".into()))?;
            parts.push_front(entry.name.clone());
            id = entry.parent;
        }
        let mut path = Vec::new();
        for part in parts {
            path.push(b'/');
            path.extend_from_slice(&part);
        }
        Ok(path)
    }

    fn full(&self, path: &[u8]) -> Vec<u8> {
        let full = [self.folder.as_slice(), path].concat();
        if full.is_empty() { b"/".to_vec() } else { full }
    }

    fn attributes(&self, id: Id) -> Result<Attributes, FsError> {
        let entries = self.lock();
        let entry = usize::try_from(id).ok().and_then(|id| entries.all.get(id));
        entry.map(|entry| entry.attributes).ok_or_else(|| FsError::Damaged("an entry that was never listed".into()))
    }

    fn remember(&self, parent: Id, name: Vec<u8>, attributes: Attributes) -> Result<Id, FsError> {
        let mut entries = self.lock();
        if entries.all.len() >= ENTRIES {
            return Err(FsError::NotRead(format!("the host has more than {ENTRIES} entries; check it in parts")));
        }
        entries.all.push(Entry { parent, name: name.into(), attributes });
        Ok((entries.all.len() - 1) as Id)
    }

    fn list_open(
        &self,
        folder: Id,
        path: &[u8],
        handle: &[u8],
        each: &mut dyn FnMut(Listed) -> bool,
    ) -> Result<(), FsError> {
        let mut count = 0;
        while let Some(names) = self.connection.sftp.more_names(handle)? {
            for (name, mut attributes) in names {
                if name == b"." || name == b".." {
                    continue;
                }
                if attributes.mode == 0 {
                    let full = self.full(&[path, b"/", name.as_slice()].concat());
                    attributes = self.connection.sftp.lstat(&full)?;
                }
                let id = self.remember(folder, name.clone(), attributes)?;
                count += 1;
                if !each(Listed { name, id }) {
                    return Ok(());
                }
                if count >= FOLDER_ENTRIES {
                    return Err(FsError::NotRead(format!("a folder of more than {FOLDER_ENTRIES} entries")));
                }
            }
        }
        Ok(())
    }
}

/// `\040` is a space. Source: `proc(5)`.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some((byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match (byte, octal) {
            (b'\\', Some(digits)) => {
                let value = digits.iter().fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
                out.push(u8::try_from(value).unwrap_or(b'?'));
                rest = &tail[3..];
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

impl FileSystem for Host {
    fn kind(&self) -> &'static str {
        "sftp"
    }

    fn label(&self) -> Option<Vec<u8>> {
        None
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn remarks(&self) -> Vec<String> {
        vec![
            "every byte passed through the SFTP server of the host, which an intruder may have changed; an image of \
             its disk is better evidence"
                .into(),
            "SFTP shows neither change times, nor file capabilities and other attributes, nor which files are hard \
             links"
                .into(),
        ]
    }

    fn readers(&self) -> Option<NonZeroUsize> {
        Some(AT_ONCE)
    }

    fn root(&self) -> Id {
        0
    }

    fn node(&self, id: Id) -> Result<Node, FsError> {
        let attributes = self.attributes(id)?;
        Ok(Node {
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            size: attributes.size,
            links: 1,
            mtime: (i64::from(attributes.mtime), 0),
            ..Node::default()
        })
    }

    fn list(&self, folder: Id, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), FsError> {
        let path = self.path(folder)?;
        if let Some(kind) = self.foreign.get(&path) {
            let is_network = NETWORK.contains(&kind.as_str());
            return Err(FsError::Foreign { kind: directive::text::escape(kind), is_network });
        }
        let handle = self.connection.sftp.open_folder(&self.full(&path))?;
        let listed = self.list_open(folder, &path, &handle, each);
        self.connection.sftp.close(&handle);
        listed
    }

    fn link_target(&self, id: Id) -> Result<Vec<u8>, FsError> {
        Ok(self.connection.sftp.read_link(&self.full(&self.path(id)?))?)
    }

    fn open<'a>(&'a self, id: Id) -> Result<Box<dyn Content + 'a>, FsError> {
        let attributes = self.attributes(id)?;
        let full = self.full(&self.path(id)?);
        let handle = self.connection.sftp.open(&full)?;
        let open = self.connection.sftp.fstat(&handle);
        let file = Open { host: self, handle, attributes, asked: VecDeque::new(), next: 0, at: 0, left: Vec::new() };
        // Opened by path: what was listed as a file may be something else by now.
        match open? {
            now if now.mode & 0o170_000 != 0o100_000 => Err(FsError::Changed("it is no regular file any more".into())),
            now if now != attributes => Err(FsError::Changed("size, owner, mode or mtime changed".into())),
            _ => Ok(Box::new(file)),
        }
    }
}

/// An open file, with requests under way.
struct Open<'a> {
    host: &'a Host,
    handle: Vec<u8>,
    attributes: Attributes,
    /// Requests in the order of the file: where, how many, and the answer to come.
    asked: VecDeque<(u64, u32, Pending)>,
    /// Where the next request begins.
    next: u64,
    /// Bytes handed over.
    at: u64,
    left: Vec<u8>,
}

impl Open<'_> {
    fn ask_ahead(&mut self) -> io::Result<()> {
        // One more than the size: a file that grew must be noticed.
        while self.asked.len() < AHEAD && self.next <= self.attributes.size {
            let left = self.attributes.size + 1 - self.next;
            let count = u32::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            let pending = self.host.connection.sftp.read(&self.handle, self.next, count)?;
            self.asked.push_back((self.next, count, pending));
            self.next += u64::from(count);
        }
        Ok(())
    }

    /// The next bytes; empty at the end.
    fn more(&mut self) -> Result<Vec<u8>, FsError> {
        self.ask_ahead()?;
        let Some((offset, count, pending)) = self.asked.pop_front() else { return Ok(Vec::new()) };
        let bytes = pending.data()?.unwrap_or_default();
        if bytes.len() > count as usize {
            return Err(FsError::Damaged("the host sent more than it was asked for".into()));
        }
        // A server may send less than asked; the rest is asked again, and what was asked behind it too.
        let got = offset + bytes.len() as u64;
        if bytes.len() < count as usize && got < self.attributes.size {
            if bytes.is_empty() {
                return Err(FsError::Changed("it became shorter while it was read".into()));
            }
            self.asked.clear();
            self.next = got;
        }
        Ok(bytes)
    }
}

impl Content for Open<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FsError> {
        if self.left.is_empty() {
            self.left = self.more()?;
            self.at += self.left.len() as u64;
            if self.at > self.attributes.size {
                return Err(FsError::Changed("it grew while it was read".into()));
            }
            if self.left.is_empty() {
                let now = self.host.connection.sftp.fstat(&self.handle)?;
                return match now == self.attributes {
                    true => Ok(0),
                    false => Err(FsError::Changed("size, owner, mode or mtime changed while it was read".into())),
                };
            }
        }
        let count = self.left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.left[..count]);
        self.left.drain(..count);
        Ok(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.host.connection.sftp.close(&self.handle);
    }
}
