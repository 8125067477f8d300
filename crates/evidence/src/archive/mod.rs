//! Archive: a tar or zip file as the files of an instance, without unpacking anything to disk.
//!
//! A packed tar can only be met from front to back: it is read once when it is opened, and hashed in
//! that passage. A plain tar and a zip are indexed first and read in parallel. Names that lead out
//! of the root, members that come twice, archives that end too early: each is an obstacle.

mod inner;
mod pax;
mod scan;
mod single;
mod tape;
mod tar;
mod zip;

use std::borrow::Cow;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use directive::progress::Progress;
use directive::text::Text;
use image::ReadAt;

use crate::catalogue::{Catalogue, Item, Place};
use crate::error::Error;
use crate::hash::{Hash, Passed};
use crate::limits::Limits;
use crate::meta::{Kind, Meta};
use crate::resolve::Resolver;
use crate::source::{Digests, Entry, Hides, Obstacle, ObstacleKind, ReadError, Source, Visitor, Wants};
pub(crate) use inner::Inner;
use scan::{Kept, Scan};
pub(crate) use tape::Packing;
use tape::{Plain, Unpacked};

/// An archive, indexed.
pub(crate) struct Archive {
    name: String,
    limits: Limits,
    catalogue: Catalogue,
    resolver: Resolver,
    content: Content,
    /// Small files that were kept in passing, and those that were asked for since, by path.
    kept: Mutex<Kept>,
}

/// Gives the packed bytes from the beginning.
pub type Reopen = Box<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// How the bytes of a member are found again.
enum Content {
    /// A tar that lies open.
    Plain(Arc<dyn ReadAt>),
    /// A tar that has to be unpacked from the beginning.
    Packed(Reopen, Packing),
    /// A tar that a host makes anew each time. It may hold other members by then: they are found by their paths.
    Passing(Reopen),
    /// A tar that came by once and is gone.
    Gone,
    Zip(zip::Zip),
}

impl Archive {
    /// Indexes a tar archive, packed or not.
    pub(crate) fn tar(
        path: &Path,
        bytes: Arc<dyn ReadAt>,
        packing: Packing,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        if packing == Packing::Plain {
            let name = path.to_string_lossy().into_owned();
            let scan = Scan::new(limits, progress).run(&mut Plain::new(Arc::clone(&bytes)), None);
            return Self::of(path, name, scan, Content::Plain(bytes), limits, progress);
        }
        let reopen: Reopen = Box::new(move || Ok(Box::new(crate::file::Cursor::new(Arc::clone(&bytes)))));
        Self::stream(path, reopen, packing, limits, progress)
    }

    /// Indexes a tar that can only be met from front to back.
    pub(crate) fn stream(
        path: &Path,
        reopen: Reopen,
        packing: Packing,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let name = path.to_string_lossy().into_owned();
        let opened = reopen().map_err(|source| Error::Open { path: path.to_owned(), source })?;
        let scan = Scan::new(limits, progress).run(&mut Unpacked::start(opened, packing), Some(Wants::SHA256));
        Self::of(path, name, scan, Content::Packed(reopen, packing), limits, progress)
    }

    /// Indexes a tar stream that a host makes, such as one over SSH. Both digests are computed, since
    /// each passage costs the host a reading of all its files.
    pub(crate) fn passing(name: &str, again: Reopen, limits: Limits, progress: &dyn Progress) -> Result<Self, Error> {
        let stream = again().map_err(|source| Error::Open { path: name.into(), source })?;
        let mut tape = Unpacked::start(stream, Packing::Plain);
        let scan = Scan::new(limits, progress).run(&mut tape, Some(Wants::MD5));
        Self::of(Path::new(name), name.to_owned(), scan, Content::Passing(again), limits, progress)
    }

    /// Indexes a tar that lies in memory, packed or not.
    pub(crate) fn in_memory(
        name: &str,
        bytes: Vec<u8>,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let packing = Packing::of(&bytes);
        let bytes: Arc<[u8]> = bytes.into();
        let reopen: Reopen = Box::new(move || Ok(Box::new(io::Cursor::new(Arc::clone(&bytes)))));
        Self::stream(Path::new(name), reopen, packing, limits, progress)
    }

    /// Indexes a tar stream that comes by once and says by its first bytes how it is packed, such as one
    /// inside a package. SHA-256 alone is computed.
    pub(crate) fn packed(
        name: &str,
        mut stream: Box<dyn Read + Send>,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let mut beginning = Vec::new();
        let read = stream.by_ref().take(6).read_to_end(&mut beginning);
        read.map_err(|source| Error::Open { path: name.into(), source })?;
        let packing = Packing::of(&beginning);
        let mut tape = Unpacked::start(Box::new(io::Cursor::new(beginning).chain(stream)), packing);
        let scan = Scan::new(limits, progress).run(&mut tape, Some(Wants::SHA256));
        Self::of(Path::new(name), name.to_owned(), scan, Content::Gone, limits, progress)
    }

    /// Indexes a zip archive.
    pub(crate) fn zip(
        path: &Path,
        bytes: Arc<dyn ReadAt>,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let refused = |why: String| Error::Refused { path: path.to_owned(), why };
        let (zip, scan) = zip::open(bytes, &limits, progress).map_err(refused)?;
        Self::of(path, path.to_string_lossy().into_owned(), scan, Content::Zip(zip), limits, progress)
    }

    fn of(
        path: &Path,
        name: String,
        scan: scan::Scanned,
        content: Content,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        if progress.stop_requested() {
            return Err(Error::Stopped { path: path.to_owned() });
        }
        if scan.rows.is_empty() && !scan.obstacles.is_empty() {
            let why = scan.obstacles.iter().map(|obstacle| obstacle.message.as_str()).take(3).collect::<Vec<_>>();
            return Err(Error::Refused { path: path.to_owned(), why: why.join("; ") });
        }
        let catalogue = Catalogue::new(scan.rows, scan.obstacles);
        let resolver = Resolver::new(limits.links);
        Ok(Self { name, limits, catalogue, resolver, content, kept: Mutex::new(scan.kept) })
    }

    /// Reads the bytes of one entry, in whatever way the archive allows.
    fn read(&self, item: &Item, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match (&self.content, &item.place) {
            (_, Place::None) => Ok(()),
            (Content::Plain(bytes), Place::At(at)) => scan::pieces(
                &mut Plain::from(Arc::clone(bytes), *at, item.meta.size),
                item.meta.size,
                None,
                item.meta.size,
                sink,
            ),
            (Content::Plain(bytes), Place::Sparse(at, map)) => {
                // The map was found to add up when the archive was indexed.
                let stored = map.iter().map(|(_, length)| length).sum();
                scan::pieces(&mut Plain::from(Arc::clone(bytes), *at, stored), stored, Some(map), item.meta.size, sink)
            }
            (Content::Zip(zip), Place::Member(n)) => zip.reader().read(*n, sink),
            (Content::Packed(reopen, packing), Place::Member(n)) => {
                let mut tape = Unpacked::start(reopen()?, *packing);
                scan::member(&mut tape, &self.limits, &|number, _| number == *n, sink)
            }
            (Content::Passing(again), Place::Member(_)) => {
                let mut tape = Unpacked::start(again()?, Packing::Plain);
                scan::member(&mut tape, &self.limits, &|_, meta| meta.path == item.meta.path, sink)
            }
            _ => Err(io::Error::other("the archive came by once and cannot be read again")),
        }
    }

    fn digest_item(&self, item: &Item, wants: Wants) -> Result<Digests, Obstacle> {
        if let Some(digests) = item.digests.filter(|digests| digests.hold(wants)) {
            return Ok(digests);
        }
        let mut hash = Hash::new(wants);
        let read = self.read(item, &mut |bytes| {
            hash.update(bytes);
            Ok(())
        });
        read.map(|()| hash.finish().digests).map_err(|error| unreadable(&item.meta, &error))
    }

    /// Digests of a packed archive that were not computed when it came by: one more passage for all.
    fn second_passage(&self, mut wanted: Vec<Wanted>, visitor: &dyn Visitor) {
        let (reopen, packing, is_live) = match &self.content {
            Content::Packed(reopen, packing) => (reopen, *packing, false),
            Content::Passing(again) => (again, Packing::Plain, true),
            _ => return,
        };
        // A host may hand over other members by now: there the path tells which one it is.
        let place = |wanted: &Wanted| if is_live { wanted.index as u64 } else { wanted.number };
        wanted.sort_unstable_by_key(place);
        let wanted_at = |number: u64, meta: &Meta| {
            let key = if is_live { self.catalogue.position(meta.path.as_bytes())? as u64 } else { number };
            wanted.binary_search_by_key(&key, place).ok()
        };
        let mut met = vec![false; wanted.len()];
        let passage = reopen().and_then(|packed| {
            let mut tape = Unpacked::start(packed, packing);
            let wants =
                |n: u64, meta: &Meta| Some(visitor.wants(&self.catalogue.item(wanted[wanted_at(n, meta)?].index).meta));
            scan::again(&mut tape, &self.limits, &wants, &mut |n, meta, passed| {
                if let Some(at) = wanted_at(n, meta).filter(|at| !std::mem::replace(&mut met[*at], true)) {
                    visitor.entry(entry(self.catalogue.item(wanted[at].index), Some(passed)));
                }
                !visitor.stop()
            })
        });
        if visitor.stop() {
            return;
        }
        let why = passage.err().unwrap_or_else(|| io::Error::other("it was not met a second time"));
        let left = wanted.iter().zip(&met).filter(|(_, is_met)| !**is_met);
        left.for_each(|(one, _)| visitor.obstacle(unreadable(&self.catalogue.item(one.index).meta, &why)));
    }

    fn walk_in_parallel(&self, indices: &[usize], threads: NonZeroUsize, visitor: &dyn Visitor) {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut zip = match &self.content {
                Content::Zip(zip) => Some(zip.reader()),
                _ => None,
            };
            while let Some(index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) {
                if visitor.stop() {
                    return;
                }
                let item = self.catalogue.item(*index);
                let wants = visitor.wants(&item.meta);
                let mut hash = Hash::new(wants);
                let mut sink = |bytes: &[u8]| {
                    hash.update(bytes);
                    if visitor.stop() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
                };
                let read = match (&mut zip, &item.place) {
                    (Some(zip), Place::Member(n)) => zip.read(*n, &mut sink),
                    _ => self.read(&item, &mut sink),
                };
                match read {
                    Ok(()) => visitor.entry(entry(item, Some(hash.finish()))),
                    Err(_) if visitor.stop() => {}
                    Err(error) => visitor.obstacle(unreadable(&item.meta, &error)),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.get() {
                scope.spawn(work);
            }
            work();
        });
    }
}

/// Whether the digests alone will do: no content is wanted, or it is that of another name.
fn is_enough(wants: Wants, item: &Item) -> bool {
    wants.content == 0 || item.meta.size > wants.content || matches!(item.place, Place::None)
}

/// A member that is wanted in a second passage.
struct Wanted {
    /// Its number in the archive.
    number: u64,
    /// Its number in the catalogue.
    index: usize,
}

fn entry(item: Item, passed: Option<Passed>) -> Entry {
    let bytes_read = if matches!(item.place, Place::None) { 0 } else { item.meta.size };
    let (digests, content) = passed.map(|passed| (passed.digests, passed.content)).unzip();
    Entry { meta: item.meta, digests, content: content.flatten(), bytes_read }
}

fn unreadable(meta: &Meta, error: &io::Error) -> Obstacle {
    let kind = match error.kind() {
        io::ErrorKind::Unsupported => ObstacleKind::NotRead,
        io::ErrorKind::PermissionDenied => ObstacleKind::Encrypted,
        _ => ObstacleKind::Damaged,
    };
    Obstacle { path: meta.path.clone(), kind, hides: Hides::Entry, message: error.to_string() }
}

impl Source for Archive {
    fn name(&self) -> &str {
        &self.name
    }

    fn has_own_ctime(&self) -> bool {
        false
    }

    fn walk(&self, threads: NonZeroUsize, visitor: &dyn Visitor) -> Result<(), Error> {
        self.catalogue.obstacles.iter().cloned().for_each(|obstacle| visitor.obstacle(obstacle));
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for index in 0..self.catalogue.len() {
            let item = self.catalogue.item(index);
            if visitor.stop() {
                return Ok(());
            }
            if self.catalogue.is_superseded(index) {
                let message = "the archive holds it more than once; each is examined".to_owned();
                let path = item.meta.path.clone();
                visitor.obstacle(Obstacle { path, kind: ObstacleKind::Twice, hides: Hides::Entry, message });
            }
            let meta = &item.meta;
            match (meta.kind, &item.place) {
                (Kind::File, place) => {
                    let wants = visitor.wants(meta);
                    let known = item.digests.filter(|digests| digests.hold(wants));
                    match (known.filter(|_| is_enough(wants, &item)), place) {
                        (Some(digests), _) => visitor.entry(entry(item, Some(Passed { digests, content: None }))),
                        (None, Place::Member(n))
                            if matches!(self.content, Content::Packed(..) | Content::Passing(_)) =>
                        {
                            later.push(Wanted { number: *n, index });
                        }
                        (None, _) => now.push(index),
                    }
                }
                (Kind::Folder | Kind::Link, _) => {
                    // The root has no entry of its own in any form of evidence.
                    if !meta.path.as_bytes().is_empty() {
                        visitor.entry(entry(item, None));
                    }
                }
                (kind, _) => {
                    let message = format!("a {} is never opened", kind.as_str());
                    let path = meta.path.clone();
                    let kind = ObstacleKind::Special(kind);
                    visitor.obstacle(Obstacle { path, kind, hides: Hides::Entry, message });
                }
            }
        }
        self.walk_in_parallel(&now, threads, visitor);
        if !later.is_empty() {
            self.second_passage(later, visitor);
        }
        Ok(())
    }

    fn canonical_folder(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.resolver.folder(&self.catalogue, path)
    }

    fn canonical_file(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.resolver.entry(&self.catalogue, path)
    }

    fn read_small(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let found = self.canonical_file(path);
        let Some(item) = found.as_deref().and_then(|found| self.catalogue.find(found)) else { return Ok(None) };
        if item.meta.kind != Kind::File {
            return Err(ReadError::WrongKind { path: Text::new(path), kind: item.meta.kind });
        }
        if item.meta.size > limit {
            return Err(ReadError::TooLarge { path: Text::new(path), limit });
        }
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = kept().get(item.meta.path.as_bytes()) {
            return Ok(Some(bytes.clone()));
        }
        let mut bytes = Vec::new();
        let read = self.read(&self.owner(&item), &mut |more| {
            bytes.extend_from_slice(more);
            Ok(())
        });
        read.map_err(|source| ReadError::Io { path: Text::new(path), source })?;
        kept().put(item.meta.path.as_bytes(), &bytes);
        Ok(Some(bytes))
    }

    fn stream(&self, path: &[u8], sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<Meta>, ReadError> {
        let found = self.canonical_file(path);
        let Some(item) = found.as_deref().and_then(|found| self.catalogue.find(found)) else { return Ok(None) };
        if item.meta.kind != Kind::File {
            return Err(ReadError::WrongKind { path: Text::new(path), kind: item.meta.kind });
        }
        let mut is_over = false;
        let read = self.read(&self.owner(&item), &mut |more| {
            is_over = !sink(more);
            if is_over { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        });
        match read {
            Err(source) if !is_over => Err(ReadError::Io { path: Text::new(path), source }),
            _ => Ok(Some(item.meta)),
        }
    }

    fn list(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, ReadError> {
        let Some(found) = self.canonical_folder(path) else { return Ok(None) };
        match self.catalogue.list(&found, self.limits.listed) {
            Some(names) => Ok(Some(names)),
            None => Err(ReadError::TooLarge { path: Text::new(path), limit: self.limits.listed as u64 }),
        }
    }

    fn digest(&self, path: &[u8], wants: Wants) -> Result<(Meta, Digests), Obstacle> {
        let obstacle = |kind, message: &str| Obstacle {
            path: Text::new(path),
            kind,
            hides: Hides::Entry,
            message: message.to_owned(),
        };
        let item = self.catalogue.find(path);
        let item = item.ok_or_else(|| obstacle(ObstacleKind::Vanished, "the archive does not hold it"))?;
        if item.meta.kind != Kind::File {
            return Err(obstacle(ObstacleKind::Special(item.meta.kind), "it is no regular file"));
        }
        let digests = self.digest_item(&self.owner(&item), wants)?;
        Ok((item.meta, digests))
    }
}

impl Archive {
    /// The entry that holds the bytes: for a hard link, the one that it is another name of.
    fn owner<'a>(&self, item: &'a Item) -> Cow<'a, Item> {
        let first = item.first.as_ref();
        first.and_then(|first| self.catalogue.find(first.as_bytes())).map_or(Cow::Borrowed(item), Cow::Owned)
    }
}
