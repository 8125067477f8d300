//! Trusted: what may take the place of what is trusted?
//!
//! Pure: bytes and a time in, a judgement out. Each function is one step of the client's workflow, and what it refuses
//! leaves everything as it was. An older state that is no longer current is kept as far as it guards against a
//! rollback. Source: specification 5.3 to 5.6.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::error::Refused;
use crate::metadata::Metadata;
use crate::role::{Head, Listed, Role, Root, Snapshot, Targets, TimestampRole};

/// What is trusted so far.
pub(crate) struct Trusted {
    now: Timestamp,
    root: Root,
    timestamp: Option<TimestampRole>,
    snapshot: Option<Snapshot>,
    targets: BTreeMap<String, Targets>,
}

/// What became of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It takes the place of the one before.
    New,
    /// It is of the version that is trusted: nothing is new. Source: 5.4.3.1.
    Same,
}

impl Trusted {
    /// Begins with a root that the operator trusts. It must be signed by its own keys.
    pub(crate) fn new(root: &[u8], now: Timestamp) -> Result<Self, Refused> {
        let root = Metadata::<Root>::parse("root", root)?;
        verify_root(&root, &root.role)?;
        let (timestamp, snapshot, targets) = (None, None, BTreeMap::new());
        Ok(Self { now, root: root.role, timestamp, snapshot, targets })
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Takes the next root: signed by the keys of the last one and by its own, and of the next version.
    /// Source: 5.3.4, 5.3.5.
    pub(crate) fn next_root(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let next = Metadata::<Root>::parse("root", bytes)?;
        verify_root(&next, &self.root)?;
        verify_root(&next, &next.role)?;
        let expected = self.root.head().version + 1;
        if next.role.head().version != expected {
            return Err(Refused::RootOrder { expected, offered: next.role.head().version });
        }
        self.root = next.role;
        Ok(())
    }

    /// Says that no further root comes. Source: 5.3.10.
    pub(crate) fn last_root(&self) -> Result<(), Refused> {
        self.root.head().check_current("root", self.now)
    }

    /// Takes a timestamp that was kept, to guard against a rollback even if it has expired.
    pub(crate) fn kept_timestamp(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.timestamp = Some(self.signed::<TimestampRole>("timestamp", bytes)?);
        Ok(())
    }

    /// Takes the timestamp that the repository offers. Source: 5.4.
    pub(crate) fn new_timestamp(&mut self, bytes: &[u8]) -> Result<Offered, Refused> {
        let new = self.signed::<TimestampRole>("timestamp", bytes)?;
        if let Some(trusted) = &self.timestamp {
            not_older("timestamp", trusted.head(), new.head())?;
            if trusted.head().version == new.head().version {
                trusted.head().check_current("timestamp", self.now)?;
                return Ok(Offered::Same);
            }
            let (trusted, offered) = (trusted.snapshot()?.version, new.snapshot()?.version);
            if offered < trusted {
                return Err(Refused::Rollback { role: "snapshot".into(), trusted, offered });
            }
        }
        new.head().check_current("timestamp", self.now)?;
        self.timestamp = Some(new);
        Ok(Offered::New)
    }

    /// What the timestamp lists of the snapshot.
    pub(crate) fn listed_snapshot(&self) -> Result<Listed, Refused> {
        let timestamp = self.timestamp.as_ref().ok_or_else(|| Refused::Unlisted { file: "snapshot.json".into() })?;
        timestamp.snapshot().cloned()
    }

    /// Takes a snapshot that was kept. Whether it is the current one is the answer; if not, it still guards against a
    /// rollback. Its digest was verified when it was new.
    pub(crate) fn kept_snapshot(&mut self, bytes: &[u8]) -> Result<bool, Refused> {
        let kept = self.signed::<Snapshot>("snapshot", bytes)?;
        let is_current = self.check_snapshot(&kept).is_ok();
        self.snapshot = Some(kept);
        Ok(is_current)
    }

    /// Takes the snapshot that the repository offers. Source: 5.5.
    pub(crate) fn new_snapshot(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.listed_snapshot()?.check("snapshot.json", bytes)?;
        let new = self.signed::<Snapshot>("snapshot", bytes)?;
        for (file, before) in self.snapshot.iter().flat_map(|trusted| &trusted.meta) {
            let after = new.meta.get(file).ok_or_else(|| Refused::Dropped { file: file.clone() })?;
            if after.version < before.version {
                let role = file.trim_end_matches(".json").to_owned();
                return Err(Refused::Rollback { role, trusted: before.version, offered: after.version });
            }
        }
        self.check_snapshot(&new)?;
        self.snapshot = Some(new);
        Ok(())
    }

    fn check_snapshot(&self, snapshot: &Snapshot) -> Result<(), Refused> {
        is_listed("snapshot", &self.listed_snapshot()?, snapshot.head())?;
        snapshot.head().check_current("snapshot", self.now)
    }

    /// What the snapshot lists of a role.
    pub(crate) fn listed_targets(&self, role: &str) -> Result<Listed, Refused> {
        let file = format!("{role}.json");
        let listed = self.snapshot.as_ref().and_then(|snapshot| snapshot.meta.get(&file)).cloned();
        listed.ok_or(Refused::Unlisted { file })
    }

    /// Takes a role of targets, kept or offered, that `parent` lets sign. Source: 5.6.
    pub(crate) fn targets(&mut self, role: &str, parent: &str, bytes: &[u8]) -> Result<(), Refused> {
        let listed = self.listed_targets(role)?;
        listed.check(&format!("{role}.json"), bytes)?;
        let new = Metadata::<Targets>::parse(role, bytes)?;
        let keys = match self.targets.get(parent) {
            Some(parent) => parent.delegations.as_ref().and_then(|delegations| delegations.keys(role)),
            None => self.root.keys(role).filter(|_| parent == "root"),
        };
        new.verify(role, keys.ok_or_else(|| Refused::form(parent, format!("it says not who signs {role}")))?)?;
        is_listed(role, &listed, new.role.head())?;
        new.role.head().check_current(role, self.now)?;
        self.targets.insert(role.to_owned(), new.role);
        Ok(())
    }

    /// A role of targets that was taken.
    pub(crate) fn role(&self, role: &str) -> Option<&Targets> {
        self.targets.get(role)
    }

    /// Reads a role that the root lets sign.
    fn signed<R: Role>(&self, role: &str, bytes: &[u8]) -> Result<R, Refused> {
        let metadata = Metadata::<R>::parse(role, bytes)?;
        let keys =
            self.root.keys(role).ok_or_else(|| Refused::form("root", format!("it says not who signs {role}")))?;
        metadata.verify(role, keys)?;
        Ok(metadata.role)
    }
}

fn verify_root(root: &Metadata<Root>, by: &Root) -> Result<(), Refused> {
    let keys = by.keys("root").ok_or_else(|| Refused::form("root", "it says not who signs it"))?;
    root.verify("root", keys)
}

fn not_older(role: &str, trusted: &Head, offered: &Head) -> Result<(), Refused> {
    if offered.version >= trusted.version {
        return Ok(());
    }
    Err(Refused::Rollback { role: role.to_owned(), trusted: trusted.version, offered: offered.version })
}

fn is_listed(role: &str, listed: &Listed, offered: &Head) -> Result<(), Refused> {
    if offered.version == listed.version {
        return Ok(());
    }
    Err(Refused::Mixed { role: role.to_owned(), listed: listed.version, offered: offered.version })
}
