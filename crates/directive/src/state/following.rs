//! Following: what do advisories and the catalogue add to what a case knows?
//!
//! Each advisory counts as its newest version has it, so that one that is withdrawn or corrected takes back what it
//! said. Witnesses are kept as they were recorded and are judged anew with each advisory: whatever reads a version of
//! the state reads it as the advisories of the case have it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::notice::{Exploited, Look, Notice};
use crate::product::{Current, Product, again};
use crate::record::{Gap, Version};

use super::{Known, State};

/// What a case follows.
#[derive(Debug, Clone, Default)]
pub struct Following {
    notices: Vec<Followed>,
    exploited: BTreeMap<String, Exploited>,
    looks: BTreeMap<String, Look>,
}

/// An advisory that a case follows, in its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// What it says.
    pub notice: Notice,
    /// Since when the case knows that these versions are affected and fixed.
    pub since: Timestamp,
}

/// What an advisory changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing: what it says is known, or something newer is.
    Not,
    /// It adds something.
    First,
    /// It stands in place of another version, which may have said more.
    Instead,
}

impl Following {
    /// Takes an advisory, unless a newer version of it is known.
    pub(super) fn take(&mut self, at: Timestamp, notice: &Notice) -> Taken {
        let Some(known) = self.notices.iter_mut().find(|known| known.notice.is_same(notice)) else {
            self.notices.push(Followed { notice: notice.clone(), since: at });
            return Taken::First;
        };
        if notice.age(&known.notice) == Ordering::Less {
            return Taken::Not;
        }
        let differs = notice.differs(&known.notice);
        if differs {
            known.since = at;
        }
        known.notice = notice.clone();
        if differs { Taken::Instead } else { Taken::Not }
    }

    pub(super) fn exploited(&mut self, entry: &Exploited) {
        self.exploited.insert(entry.cve.to_ascii_uppercase(), entry.clone());
    }

    pub(super) fn look(&mut self, look: &Look) {
        self.looks.insert(look.provider.clone(), look.clone());
    }

    /// Advisories of a product.
    pub fn notices<'a>(&'a self, product: &'a str) -> impl Iterator<Item = &'a Followed> {
        self.notices.iter().filter(move |followed| followed.notice.product == product)
    }

    /// Every advisory.
    pub fn all(&self) -> &[Followed] {
        &self.notices
    }

    /// What the catalogue says of a vulnerability.
    pub fn exploitation(&self, cve: &str) -> Option<&Exploited> {
        self.exploited.get(&cve.to_ascii_uppercase())
    }

    /// Every entry of the catalogue that the case knows.
    pub fn exploitations(&self) -> impl Iterator<Item = &Exploited> {
        self.exploited.values()
    }

    /// The latest look at what a provider publishes.
    pub fn last_look(&self, provider: &str) -> Option<&Look> {
        self.looks.get(provider)
    }

    /// What the latest looks did not see, and what nobody can compute with in the advisories.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> {
        let doubts = self.notices.iter().flat_map(|followed| doubts(&followed.notice));
        self.looks.values().flat_map(|look| look.gaps.iter().cloned()).chain(doubts)
    }
}

/// What nobody can compute with in an advisory. Somebody has to read it: a version may be affected and nothing says so.
pub fn doubts(notice: &Notice) -> impl Iterator<Item = Gap> {
    notice.undecided.iter().map(|why| Gap {
        code: "advisory-undecided".to_owned(),
        path: None,
        place: Some(notice.name()),
        why: format!("{why}: read it, and say in the pack what it means for {}", notice.product),
        required: true,
    })
}

impl State {
    /// The product of a pack as it is today: by the pack and by every advisory of the case.
    pub fn current(&self, product: &Product) -> Current {
        Current::of(product, self.following.notices(&product.name).map(|followed| &followed.notice))
    }

    /// An advisory came: every instance may mean something else now.
    pub(super) fn follow(&mut self, at: Timestamp, notice: &Notice) {
        match self.following.take(at, notice) {
            Taken::Not => {}
            // Ten thousand instances under fifty advisories: only what is new is looked at.
            Taken::First => self.instances.values_mut().for_each(|known| known.judge_by(notice)),
            Taken::Instead => self.instances.values_mut().for_each(|known| known.judge(&self.following)),
        }
    }
}

impl Known {
    /// Judges the version by what its witnesses said when they were recorded and by what advisories say since.
    pub(super) fn judge(&mut self, following: &Following) {
        let product = self.instance.product.as_deref();
        let about = |followed: &&Followed| product.is_none_or(|name| name == followed.notice.product);
        let notices: Vec<&Notice> = following.notices.iter().filter(about).map(|one| &one.notice).collect();
        let witnesses = self.told.iter().map(|witness| again(witness, notices.iter().copied())).collect();
        self.instance.version = Version::from_witnesses(witnesses);
    }

    /// Judges by one advisory more.
    fn judge_by(&mut self, notice: &Notice) {
        if self.instance.product.as_ref().is_none_or(|name| *name == notice.product) {
            let witnesses = std::mem::take(&mut self.instance.version.witnesses);
            let witnesses = witnesses.iter().map(|witness| again(witness, [notice])).collect();
            self.instance.version = Version::from_witnesses(witnesses);
        }
    }

    /// The version by its pack alone, as it was recorded.
    pub fn recorded(&self) -> Version {
        Version::from_witnesses(self.told.clone())
    }
}
