//! Walk: how is every file of a disk image read once, in the order of the disk, by all cores?
//!
//! Folders are listed first, until enough files wait; those are sorted by where they lie and read.
//! Nothing recurses, and a folder that is met a second time is reported and not entered.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use directive::text::Text;
use image::filesystem::Id;

use super::listing::Listing;
use super::{BUFFER, Disk, kind_of, say};
use crate::hash::Passed;
use crate::meta::{Kind, Meta};
use crate::source::{Digests, Entry, Hides, Obstacle, ObstacleKind, Visitor};

/// Files that are sorted by their place at once: two seconds of a spinning disk.
const SORTED: usize = 4096;

/// Files that a thread takes at once.
const TAKEN: usize = 16;

struct Folder {
    mount: usize,
    id: Id,
    path: Vec<u8>,
    depth: usize,
}

struct File {
    mount: usize,
    id: Id,
    meta: Meta,
    place: u64,
}

#[derive(Default)]
struct Queue {
    folders: Vec<Folder>,
    /// Listed, in no order.
    listed: Vec<File>,
    /// Sorted, the first at the end.
    sorted: Vec<File>,
    /// Folders that were met, by file system.
    met: HashSet<(usize, Id)>,
    busy: usize,
    broken: bool,
}

enum Job {
    Folder(Folder),
    Files(Vec<File>),
}

struct Walk<'a> {
    disk: &'a Disk,
    visitor: &'a dyn Visitor,
    queue: Mutex<Queue>,
    wake: Condvar,
    links: Mutex<HashMap<(usize, Id), Digests>>,
}

/// Counts a thread as busy, and says so even if a visitor panics.
struct Busy<'w, 'a>(&'w Walk<'a>);

impl Drop for Busy<'_, '_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.busy -= 1;
        queue.broken |= std::thread::panicking();
        self.0.wake.notify_all();
    }
}

pub(super) fn run(disk: &Disk, threads: NonZeroUsize, visitor: &dyn Visitor) {
    let threads = disk.mounts.iter().filter_map(|mount| mount.fs.readers()).fold(threads, NonZeroUsize::max);
    let mut queue = Queue::default();
    for (mount, at) in disk.mounts.iter().enumerate() {
        let id = at.fs.root();
        queue.met.insert((mount, id));
        queue.folders.push(Folder { mount, id, path: at.at.clone(), depth: 0 });
    }
    let walk = Walk { disk, visitor, queue: Mutex::new(queue), wake: Condvar::new(), links: Mutex::default() };
    for (mount, at) in disk.mounts.iter().enumerate() {
        walk.mount_point(mount, &at.at);
    }
    std::thread::scope(|scope| {
        for _ in 1..threads.get() {
            scope.spawn(|| walk.work());
        }
        walk.work();
    });
}

impl Walk<'_> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut buffer = vec![0; BUFFER];
        while let Some(job) = self.next() {
            let _busy = Busy(self);
            match job {
                Job::Folder(folder) => self.list(&folder),
                Job::Files(files) => files.into_iter().for_each(|file| self.file(file, &mut buffer)),
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.broken || self.visitor.stop() {
                self.wake.notify_all();
                return None;
            }
            let has_enough = queue.listed.len() >= SORTED || queue.folders.is_empty();
            if queue.sorted.is_empty() && has_enough && !queue.listed.is_empty() {
                let mut files = std::mem::take(&mut queue.listed);
                files.sort_unstable_by_key(|file| std::cmp::Reverse((file.mount, file.place)));
                queue.sorted = files;
            }
            let job = if queue.sorted.is_empty() {
                queue.folders.pop().map(Job::Folder)
            } else {
                let from = queue.sorted.len() - (queue.sorted.len() / 4).clamp(1, TAKEN);
                let mut files = queue.sorted.split_off(from);
                files.reverse();
                Some(Job::Files(files))
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

    fn obstacle(&self, path: Vec<u8>, kind: ObstacleKind, hides: Hides, message: String) {
        let path = Text::new(if path.is_empty() { b"/".to_vec() } else { path });
        self.visitor.obstacle(Obstacle { path, kind, hides, message });
    }

    /// The folder at which a file system stands, and what the one below keeps there unseen.
    fn mount_point(&self, mount: usize, at: &[u8]) {
        if at.is_empty() {
            return;
        }
        let fs = &self.disk.mounts[mount].fs;
        match fs.node(fs.root()) {
            Ok(node) => {
                let meta = self.disk.meta(mount, fs.root(), at.to_vec(), &node);
                self.visitor.entry(Entry { meta, digests: None, content: None, bytes_read: 0 });
            }
            Err(error) => self.obstacle(at.to_vec(), kind_of(&error), Hides::Tree, say(&error)),
        }
        let hidden = self.disk.hidden_below(mount, at);
        if hidden > 0 {
            let message = format!("{hidden} entries lie under what is mounted here; a mount can hide files");
            self.obstacle(at.to_vec(), ObstacleKind::Covered, Hides::Entry, message);
        }
    }

    fn list(&self, folder: &Folder) {
        let disk = self.disk;
        let mut listed = Listing::default();
        let mut too_many = false;
        let ended = disk.mounts[folder.mount].fs.list(folder.id, &mut |entry| {
            too_many = !listed.push(&entry, disk.limits.folder_entries);
            !too_many && !self.visitor.stop()
        });
        if let Err(error) = ended {
            self.obstacle(folder.path.clone(), kind_of(&error), Hides::Tree, say(&error));
        }
        if too_many {
            let most = disk.limits.folder_entries;
            let message = format!("more than {most} entries, or than 64 MiB of names; the rest is not seen");
            self.obstacle(folder.path.clone(), ObstacleKind::TooMany, Hides::Tree, message);
        }
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for (name, id) in listed.iter() {
            if self.visitor.stop() {
                return;
            }
            let path = [folder.path.as_slice(), b"/", name].concat();
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                self.obstacle(path, ObstacleKind::BadName, Hides::Tree, "a name that no kernel takes".into());
                continue;
            }
            if disk.mounts.iter().any(|mount| mount.at == path) {
                continue;
            }
            self.entry(folder, id, path, &mut files, &mut folders);
            if files.len() >= SORTED {
                self.hand_on(&mut files, &mut folders);
            }
        }
        self.hand_on(&mut files, &mut folders);
    }

    fn hand_on(&self, files: &mut Vec<File>, folders: &mut Vec<Folder>) {
        let mut queue = self.lock();
        queue.listed.append(files);
        queue.folders.append(folders);
        let is_over = queue.listed.len() > 2 * SORTED;
        drop(queue);
        self.wake.notify_all();
        if is_over {
            // The readers are behind: help them before listing more.
            let mut buffer = vec![0; BUFFER];
            let mine = self.lock().listed.split_off(SORTED);
            mine.into_iter().for_each(|file| self.file(file, &mut buffer));
        }
    }

    fn entry(&self, folder: &Folder, id: Id, path: Vec<u8>, files: &mut Vec<File>, folders: &mut Vec<Folder>) {
        let (mount, limits) = (folder.mount, &self.disk.limits);
        let fs = &self.disk.mounts[mount].fs;
        if path.len() > limits.path_bytes {
            let message = format!("more than {} bytes", limits.path_bytes);
            return self.obstacle(path, ObstacleKind::PathTooLong, Hides::Tree, message);
        }
        let node = match fs.node(id) {
            Ok(node) => node,
            Err(error) => return self.obstacle(path, kind_of(&error), Hides::Tree, say(&error)),
        };
        let mut meta = self.disk.meta(mount, id, path, &node);
        match meta.kind {
            Kind::File => files.push(File { mount, id, meta, place: fs.place(id) }),
            Kind::Folder => {
                if folder.depth >= limits.depth {
                    let message = format!("more than {} levels", limits.depth);
                    let path = meta.path.as_bytes().to_vec();
                    return self.obstacle(path, ObstacleKind::TooDeep, Hides::Tree, message);
                }
                let (is_new, waiting) = {
                    let mut queue = self.lock();
                    (queue.met.insert((mount, id)), queue.folders.len() + folders.len())
                };
                let path = meta.path.as_bytes().to_vec();
                if !is_new {
                    let message = "the folder was met before under another name".to_owned();
                    return self.obstacle(path, ObstacleKind::Damaged, Hides::Tree, message);
                }
                if waiting >= limits.waiting_folders {
                    let message = format!("more than {} folders wait to be looked into", limits.waiting_folders);
                    return self.obstacle(path, ObstacleKind::TooMany, Hides::Tree, message);
                }
                self.visitor.entry(Entry { meta, digests: None, content: None, bytes_read: 0 });
                folders.push(Folder { mount, id, path, depth: folder.depth + 1 });
            }
            Kind::Link => match fs.link_target(id) {
                Ok(target) => {
                    meta.target = Some(Text::new(target));
                    self.visitor.entry(Entry { meta, digests: None, content: None, bytes_read: 0 });
                }
                Err(error) => {
                    self.obstacle(meta.path.as_bytes().to_vec(), kind_of(&error), Hides::Entry, say(&error));
                }
            },
            kind => {
                let message = format!("a {} is never opened", kind.as_str());
                self.obstacle(meta.path.as_bytes().to_vec(), ObstacleKind::Special(kind), Hides::Entry, message);
            }
        }
    }

    fn file(&self, file: File, buffer: &mut [u8]) {
        if self.visitor.stop() {
            return;
        }
        let File { mount, id, meta, .. } = file;
        let wants = self.visitor.wants(&meta);
        let links = || self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if meta.nlink > 1
            && let Some(digests) = links().get(&(mount, id)).copied().filter(|digests| digests.hold(wants))
        {
            return self.visitor.entry(Entry { meta, digests: Some(digests), content: None, bytes_read: 0 });
        }
        match self.disk.hash(mount, id, &meta, wants, buffer, &|| self.visitor.stop()) {
            Ok(Passed { digests, content }) => {
                if meta.nlink > 1 {
                    let mut links = links();
                    if links.len() < self.disk.limits.hard_links {
                        links.insert((mount, id), digests);
                    }
                }
                let bytes_read = meta.size;
                self.visitor.entry(Entry { meta, digests: Some(digests), content, bytes_read });
            }
            Err(_) if self.visitor.stop() => {}
            Err(obstacle) => self.visitor.obstacle(obstacle),
        }
    }
}
