//! Client: how does a copy of a repository become current without taking a step back?
//!
//! What was judged is kept at once, role by role, so that an update that is cut off goes on where it was. A repository
//! that has nothing new is told by two questions: the next root, which is not there, and the timestamp; both can be
//! asked at once. Source: specification 5.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::thread;

use jiff::Timestamp;

use crate::error::{Error, Refused};
pub use crate::role::Target;
use crate::role::{Listed, Role as _};
use crate::source::Source;
use crate::store::{Store, place, put, quoted};
use crate::trusted::{Offered, Trusted};

/// Bounds of an update.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// Roots that are taken in one update. Each is a ceremony of people around a safe.
    pub roots: u64,
    /// Bytes of a root.
    pub root: u64,
    /// Bytes of a timestamp.
    pub timestamp: u64,
    /// Bytes of a snapshot whose length is not listed.
    pub snapshot: u64,
    /// Bytes of a role of targets whose length is not listed.
    pub targets: u64,
    /// Roles that are asked for one path. Two hostile roles could name each other in endless rows.
    pub delegations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { roots: 256, root: 512_000, timestamp: 16_384, snapshot: 2_000_000, targets: 5_000_000, delegations: 32 }
    }
}

/// A copy of a repository.
pub struct Client<'s> {
    source: &'s dyn Source,
    store: Store,
    limits: Limits,
    trusted: Trusted,
}

/// Begins with a root that came by a way that is trusted. Nothing is asked of the repository.
///
/// # Errors
///
/// [`Error::Refused`] if it is no root that its own keys signed, [`Error::Store`] if it cannot be kept.
pub fn init(store: &Path, root: &[u8], now: Timestamp) -> Result<(), Error> {
    Trusted::new(root, now)?;
    Store::new(store).write("root", root)
}

/// What says whether anything is new.
const TIMESTAMP: &str = "timestamp.json";

impl<'s> Client<'s> {
    /// Makes the copy in `store` current, as of `now`.
    ///
    /// # Errors
    ///
    /// [`Error`]; what was judged until then is kept.
    pub fn refresh(source: &'s dyn Source, store: &Path, now: Timestamp, limits: Limits) -> Result<Self, Error> {
        let mut client = Self::begin(source, store, now, limits)?;
        client.roots()?;
        client.timestamp(source.fetch(TIMESTAMP, limits.timestamp))?;
        client.listed_by_timestamp()
    }

    /// The same, with the next root and the timestamp asked for at once: where nothing is new, that is one round trip.
    /// What comes is judged in the order of the specification all the same (section 5.3 before 5.4).
    ///
    /// # Errors
    ///
    /// As for [`refresh`](Self::refresh).
    pub fn refresh_at_once(
        source: &'s dyn Source,
        store: &Path,
        now: Timestamp,
        limits: Limits,
    ) -> Result<Self, Error> {
        let mut client = Self::begin(source, store, now, limits)?;
        let (roots, timestamp) = thread::scope(|scope| {
            let early = scope.spawn(|| source.fetch(TIMESTAMP, limits.timestamp));
            (client.roots(), early.join())
        });
        roots?;
        let died = |_| Error::Source {
            what: TIMESTAMP.to_owned(),
            source: std::io::Error::other("asking for it ended early"),
        };
        client.timestamp(timestamp.map_err(died).and_then(|answer| answer))?;
        client.listed_by_timestamp()
    }

    fn begin(source: &'s dyn Source, store: &Path, now: Timestamp, limits: Limits) -> Result<Self, Error> {
        let store = Store::new(store);
        let missing = || Error::Missing { what: "root.json that is trusted".into() };
        let trusted = Trusted::new(&store.read("root")?.ok_or_else(missing)?, now)?;
        Ok(Self { source, store, limits, trusted })
    }

    fn listed_by_timestamp(mut self) -> Result<Self, Error> {
        self.snapshot()?;
        self.targets("targets", "root")?;
        Ok(self)
    }

    /// The version of the root that is trusted.
    pub fn root_version(&self) -> u64 {
        self.trusted.root().head().version
    }

    fn roots(&mut self) -> Result<(), Error> {
        for _ in 0..self.limits.roots {
            let next = self.root_version() + 1;
            let Some(bytes) = self.source.fetch(&format!("{next}.root.json"), self.limits.root)? else { break };
            self.trusted.next_root(&bytes)?;
            self.store.write("root", &bytes)?;
        }
        Ok(self.trusted.last_root()?)
    }

    fn timestamp(&mut self, answer: Result<Option<Vec<u8>>, Error>) -> Result<(), Error> {
        if let Some(kept) = self.store.read("timestamp")? {
            // One that is no longer signed guards nothing: its keys were taken away because somebody had them.
            let _ = self.trusted.kept_timestamp(&kept);
        }
        let bytes = answer?.ok_or_else(|| missing(TIMESTAMP))?;
        if self.trusted.new_timestamp(&bytes)? == Offered::New {
            self.store.write("timestamp", &bytes)?;
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), Error> {
        if let Some(kept) = self.store.read("snapshot")?
            && self.trusted.kept_snapshot(&kept) == Ok(true)
        {
            return Ok(());
        }
        let listed = self.trusted.listed_snapshot()?;
        let bytes = self.metadata("snapshot", &listed, self.limits.snapshot)?;
        self.trusted.new_snapshot(&bytes)?;
        self.store.write("snapshot", &bytes)
    }

    fn targets(&mut self, role: &str, parent: &str) -> Result<(), Error> {
        if self.trusted.role(role).is_some() {
            return Ok(());
        }
        if let Some(kept) = self.store.read(role)?
            && self.trusted.targets(role, parent, &kept).is_ok()
        {
            return Ok(());
        }
        let listed = self.trusted.listed_targets(role)?;
        let bytes = self.metadata(role, &listed, self.limits.targets)?;
        self.trusted.targets(role, parent, &bytes)?;
        self.store.write(role, &bytes)
    }

    /// Metadata that another role lists.
    fn metadata(&self, role: &str, listed: &Listed, limit: u64) -> Result<Vec<u8>, Error> {
        let version = self.trusted.root().consistent_snapshot.then(|| format!("{}.", listed.version));
        let name = format!("{}{}.json", version.unwrap_or_default(), quoted(role));
        self.source.fetch(&name, listed.length.unwrap_or(limit))?.ok_or_else(|| missing(&name))
    }

    /// What the repository says of a path: role after role that may sign for it, the first that does decides.
    ///
    /// # Errors
    ///
    /// [`Refused::Unknown`] if nobody lists it; [`Error`] if a role on the way does not hold.
    pub fn target(&mut self, path: &str) -> Result<Target, Error> {
        let mut next = vec![("targets".to_owned(), "root".to_owned())];
        let mut met = HashSet::new();
        while let Some((role, parent)) = next.pop() {
            if met.len() > self.limits.delegations || met.contains(&role) {
                continue;
            }
            self.targets(&role, &parent)?;
            let Some(targets) = self.trusted.role(&role) else { continue };
            if let Some(target) = targets.targets.get(path) {
                return Ok(target.clone());
            }
            let roles = targets.delegations.as_ref().map(|roles| roles.for_path(path)).unwrap_or_default();
            // Nobody behind one that has the last word, neither here nor further up.
            let last = roles.iter().position(|role| role.is_last);
            if last.is_some() {
                next.clear();
            }
            let count = last.map_or(roles.len(), |last| last + 1);
            next.extend(roles.into_iter().take(count).rev().map(|child| (child.name, role.clone())));
            met.insert(role);
        }
        Err(Refused::Unknown { path: path.to_owned() }.into())
    }

    /// The paths that the role `targets` itself lists, and what it says of them.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &Target)> {
        let targets = self.trusted.role("targets").into_iter().flat_map(|targets| &targets.targets);
        targets.map(|(path, target)| (path.as_str(), target))
    }

    /// The bytes of a file, judged.
    ///
    /// # Errors
    ///
    /// [`Error`] if nobody signed for it, or if the repository has other bytes.
    pub fn read(&mut self, targets: &dyn Source, path: &str) -> Result<Vec<u8>, Error> {
        let target = self.target(path)?;
        self.read_known(targets, path, &target)
    }

    /// What the role `targets` itself lists of a path.
    pub(crate) fn listed(&self, path: &str) -> Option<&Target> {
        self.trusted.role("targets")?.targets.get(path)
    }

    pub(crate) fn read_known(&self, targets: &dyn Source, path: &str, target: &Target) -> Result<Vec<u8>, Error> {
        let name = self.file_name(path, target)?;
        let bytes = targets.fetch(&name, target.length)?.ok_or_else(|| missing(&name))?;
        target.check(path, &bytes)?;
        Ok(bytes)
    }

    /// Puts a file into a folder, unless the very same lies there, and says where. The whole path is its name.
    ///
    /// # Errors
    ///
    /// [`Error`] as for [`read`](Self::read), or if it cannot be written.
    pub fn download(&mut self, targets: &dyn Source, path: &str, folder: &Path) -> Result<PathBuf, Error> {
        let target = self.target(path)?;
        self.file_name(path, &target)?;
        let to = folder.join(quoted(path));
        let has_it = std::fs::metadata(&to).is_ok_and(|meta| meta.is_file() && meta.len() == target.length)
            && std::fs::read(&to).is_ok_and(|bytes| target.check(path, &bytes).is_ok());
        if !has_it {
            put(&to, &self.read_known(targets, path, &target)?)?;
        }
        Ok(to)
    }

    /// Where a file lies in the repository: with its digest in front if states may stand beside each other.
    fn file_name(&self, path: &str, target: &Target) -> Result<String, Refused> {
        let digest = target.hashes.get("sha256").or_else(|| target.hashes.values().next());
        place(path, digest.filter(|_| self.trusted.root().consistent_snapshot).map(String::as_str))
    }
}

fn missing(what: &str) -> Error {
    Error::Missing { what: what.to_owned() }
}
