//! Walk: how is a whole tree read once, by all cores, in bounded memory?
//!
//! Folders and files wait in one queue. A thread that lists a folder hands its files to the others;
//! when enough wait, it reads them itself. Nothing recurses, so that a tree of thousands of levels
//! costs no stack. Links are reported and never followed.
//! Speed: `crates/check/benches/integrity.rs`.

use std::collections::HashMap;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use directive::text::Text;
use rustix::fs::{AtFlags, FileType, RawDir, fstatfs, readlinkat, statx};
use rustix::io::Errno;

use crate::dir::{Dir, STAT, identity, open_folder, stat_open};
use crate::filesystem::foreign;
use crate::hash::Passed;
use crate::limits::Limits;
use crate::meta::{Kind, Meta, Time};
use crate::read::{Reader, obstacle};
use crate::source::{Digests, Entry, Hides, Obstacle, ObstacleKind, Visitor};

/// Files that a thread takes from the queue at once: few enough that none waits for work.
const TAKEN: usize = 16;

/// Walks the tree below `root` and returns when everything was handed over.
pub(crate) fn run(root: OwnedFd, id: (u64, u64), threads: NonZeroUsize, limits: &Limits, visitor: &dyn Visitor) {
    let open = Arc::new(AtomicUsize::new(0));
    let root = Arc::new(Dir::new(None, Vec::new(), id, Arc::new(root), &open));
    let walk = Walk {
        visitor,
        limits,
        open,
        queue: Mutex::new(Queue { lists: vec![root], ..Queue::default() }),
        wake: Condvar::new(),
        links: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get() {
            scope.spawn(|| walk.work());
        }
        walk.work();
    });
}

struct Walk<'a> {
    visitor: &'a dyn Visitor,
    limits: &'a Limits,
    open: Arc<AtomicUsize>,
    queue: Mutex<Queue>,
    wake: Condvar,
    links: Mutex<HashMap<(u64, u64), (Stamp, Digests)>>,
}

/// What must be unchanged for a digest to count for a further name of the same file.
type Stamp = (u64, Time, Option<Time>);

#[derive(Default)]
struct Queue {
    files: Vec<Waiting>,
    folders: Vec<Waiting>,
    /// Open folders that wait to be listed: the root.
    lists: Vec<Arc<Dir>>,
    busy: usize,
    broken: bool,
}

/// An entry that waits in the folder where it was listed.
struct Waiting {
    dir: Arc<Dir>,
    name: CString,
    ino: u64,
}

enum Job {
    Files(Vec<Waiting>),
    Folder(Waiting),
    List(Arc<Dir>),
}

/// Counts a thread as busy, and says so even if a visitor panics.
struct Busy<'w, 'a>(&'w Walk<'a>);

impl Drop for Busy<'_, '_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.busy -= 1;
        queue.broken |= std::thread::panicking();
        if queue.busy == 0 || queue.broken {
            self.0.wake.notify_all();
        }
    }
}

impl Walk<'_> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut reader = Reader::new();
        let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
        while let Some(job) = self.next() {
            let _busy = Busy(self);
            match job {
                Job::Files(files) => files.iter().for_each(|file| self.file(&mut reader, file)),
                Job::Folder(folder) => {
                    if let Some(dir) = self.enter(&mut reader, &folder) {
                        self.list(&mut reader, &mut buffer, &dir);
                    }
                }
                Job::List(dir) => self.list(&mut reader, &mut buffer, &dir),
            }
        }
    }

    /// Takes work: files before folders, so that the queue stays short, and the folder listed last
    /// before the others, so that a broad tree is not all in memory.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.broken || self.visitor.stop() {
                self.wake.notify_all();
                return None;
            }
            let job = if !queue.files.is_empty() {
                let from = queue.files.len() - (queue.files.len() / 4).clamp(1, TAKEN);
                Some(Job::Files(queue.files.split_off(from)))
            } else {
                queue.folders.pop().map(Job::Folder).or_else(|| queue.lists.pop().map(Job::List))
            };
            if let Some(job) = job {
                queue.busy += 1;
                return Some(job);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stopped(&self) -> bool {
        self.visitor.stop()
    }

    fn hidden(&self, path: Vec<u8>, kind: ObstacleKind, message: String) {
        self.visitor.obstacle(Obstacle { path: Text::new(path), kind, hides: Hides::Tree, message });
    }

    /// Opens a folder, unless it holds something that is not this instance's or is beyond a limit.
    fn enter(&self, reader: &mut Reader, folder: &Waiting) -> Option<Arc<Dir>> {
        let (parent, name) = (&folder.dir, folder.name.to_bytes());
        let path = parent.join(name);
        if parent.depth >= self.limits.depth {
            self.hidden(path, ObstacleKind::TooDeep, format!("more than {} levels", self.limits.depth));
            return None;
        }
        if path.len() > self.limits.path_bytes {
            self.hidden(path, ObstacleKind::PathTooLong, format!("more than {} bytes", self.limits.path_bytes));
            return None;
        }
        let opened = parent.fd().and_then(|fd| open_folder(&fd, name)).and_then(|fd| Ok((stat_open(&fd)?, fd)));
        let (stat, fd) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let gone = matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE);
                let kind = if gone { ObstacleKind::Vanished } else { ObstacleKind::Unreadable };
                self.hidden(path, kind, error.to_string());
                return None;
            }
        };
        let id = identity(&stat);
        if id.0 != parent.identity.0 {
            let magic = fstatfs(&fd).map_or(0, |fs| u64::try_from(fs.f_type).unwrap_or(0) & 0xffff_ffff);
            if let Some((name, kind)) = foreign(magic) {
                self.hidden(path, kind, format!("a file system of kind {name} is mounted here"));
                return None;
            }
        }
        if parent.is_within(id) {
            self.hidden(path, ObstacleKind::Loop, "the folder is one of its own parents".into());
            return None;
        }
        let mut meta = Meta::from_statx(Text::new(path.clone()), &stat);
        meta.xattrs = reader.xattrs(&fd);
        self.visitor.entry(Entry { meta, digests: None, content: None, bytes_read: 0 });
        Some(Arc::new(Dir::new(Some(Arc::clone(parent)), path, id, Arc::new(fd), &self.open)))
    }

    /// Lists an open folder and hands on what it holds.
    fn list(&self, reader: &mut Reader, buffer: &mut [MaybeUninit<u8>], dir: &Arc<Dir>) {
        let fd = match dir.fd() {
            Ok(fd) => fd,
            Err(error) => return self.hidden(dir.path.clone(), ObstacleKind::Vanished, error.to_string()),
        };
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let mut entries = RawDir::new(&*fd, buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.hidden(dir.path.clone(), ObstacleKind::Unreadable, error.to_string());
                    break;
                }
            };
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                let waiting = Waiting { dir: Arc::clone(dir), name: name.to_owned(), ino: entry.ino() };
                match self.kind(&fd, &waiting, entry.file_type()) {
                    Some(Kind::File) => files.push(waiting),
                    Some(Kind::Folder) => folders.push(waiting),
                    Some(Kind::Link) => self.link(&fd, &waiting),
                    Some(kind) => self.special(&waiting, kind),
                    None => {}
                }
            }
            if entries.is_buffer_empty() {
                self.hand_on(reader, &mut files, &mut folders);
                if self.stopped() {
                    return;
                }
            }
        }
        self.hand_on(reader, &mut files, &mut folders);
        if self.open.load(Ordering::Relaxed) > self.limits.open_directories {
            dir.close();
        }
    }

    /// What an entry is; asked of the file system where the listing does not say.
    fn kind(&self, fd: &OwnedFd, waiting: &Waiting, listed: FileType) -> Option<Kind> {
        if listed != FileType::Unknown {
            return Some(Kind::from_type(listed));
        }
        match statx(fd, &waiting.name, AtFlags::SYMLINK_NOFOLLOW, STAT) {
            Ok(stat) => Some(Kind::from_mode(u32::from(stat.stx_mode))),
            Err(error) => {
                let path = Text::new(waiting.dir.join(waiting.name.to_bytes()));
                self.visitor.obstacle(obstacle(path, ObstacleKind::Unreadable, error));
                None
            }
        }
    }

    /// Queues what was listed. Files beyond what may wait are read at once.
    fn hand_on(&self, reader: &mut Reader, files: &mut Vec<Waiting>, folders: &mut Vec<Waiting>) {
        if files.is_empty() && folders.is_empty() {
            return;
        }
        // Neighbouring inodes lie near each other on disk; the queue is taken from its end.
        files.sort_unstable_by_key(|file| std::cmp::Reverse(file.ino));
        let mut queue = self.lock();
        queue.folders.append(folders);
        let room = self.limits.waiting_files.saturating_sub(queue.files.len());
        let mine = files.split_off(room.min(files.len()));
        queue.files.append(files);
        drop(queue);
        self.wake.notify_all();
        mine.iter().for_each(|file| self.file(reader, file));
    }

    fn special(&self, waiting: &Waiting, kind: Kind) {
        let path = Text::new(waiting.dir.join(waiting.name.to_bytes()));
        let message = format!("a {} is never opened", kind.as_str());
        self.visitor.obstacle(Obstacle { path, kind: ObstacleKind::Special(kind), hides: Hides::Entry, message });
    }

    fn link(&self, fd: &OwnedFd, waiting: &Waiting) {
        let path = Text::new(waiting.dir.join(waiting.name.to_bytes()));
        let read = statx(fd, &waiting.name, AtFlags::SYMLINK_NOFOLLOW, STAT)
            .and_then(|stat| Ok((stat, readlinkat(fd, &waiting.name, Vec::new())?)));
        match read {
            Ok((stat, target)) => {
                let mut meta = Meta::from_statx(path, &stat);
                meta.target = Some(Text::new(target.into_bytes()));
                self.visitor.entry(Entry { meta, digests: None, content: None, bytes_read: 0 });
            }
            Err(Errno::NOENT | Errno::INVAL) => {
                self.visitor.obstacle(obstacle(path, ObstacleKind::Vanished, Errno::NOENT));
            }
            Err(error) => self.visitor.obstacle(obstacle(path, ObstacleKind::Unreadable, error)),
        }
    }

    /// Reads one file and hands it over.
    fn file(&self, reader: &mut Reader, waiting: &Waiting) {
        if self.stopped() {
            return;
        }
        let path = Text::new(waiting.dir.join(waiting.name.to_bytes()));
        let fd = match waiting.dir.fd() {
            Ok(fd) => fd,
            Err(error) => return self.visitor.obstacle(obstacle(path, ObstacleKind::Vanished, error)),
        };
        let (file, meta) = match reader.open(&fd, waiting.name.to_bytes(), path) {
            Ok(opened) => opened,
            Err(obstacle) => return self.visitor.obstacle(obstacle),
        };
        let wants = self.visitor.wants(&meta);
        if let Some(digests) = self.remembered(&meta).filter(|digests| digests.hold(wants)) {
            return self.visitor.entry(Entry { meta, digests: Some(digests), content: None, bytes_read: 0 });
        }
        match reader.digest(&file, &meta, wants, self.limits, &|| self.stopped()) {
            Ok(Passed { digests, content }) => {
                self.remember(&meta, digests);
                let bytes_read = meta.size;
                self.visitor.entry(Entry { meta, digests: Some(digests), content, bytes_read });
            }
            Err(_) if self.stopped() => {}
            Err(obstacle) => self.visitor.obstacle(obstacle),
        }
    }

    fn remembered(&self, meta: &Meta) -> Option<Digests> {
        if meta.nlink < 2 {
            return None;
        }
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let (stamp, digests) = links.get(&(meta.dev, meta.ino))?;
        (*stamp == (meta.size, meta.mtime, meta.ctime)).then_some(*digests)
    }

    fn remember(&self, meta: &Meta, digests: Digests) {
        if meta.nlink < 2 {
            return;
        }
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() < self.limits.hard_links {
            links.insert((meta.dev, meta.ino), ((meta.size, meta.mtime, meta.ctime), digests));
        }
    }
}
