//! Look: what does a provider list now, which of it is new, and what of that counts?
//!
//! Lists are not signed: they say what to ask for, and what was known before is held against them. A list that goes
//! back, leaves out what it named, leads elsewhere or never ends is told. A look ends with the time up to which
//! everything was looked at; what could not be taken is asked for again by the next one. Nothing in a list can move
//! that time into the future, where it would hide what comes.

use std::collections::{BTreeMap, BTreeSet};

use directive::record::Gap;
use directive::text::{chain, escape};
use jiff::Timestamp;
use signer::openpgp::Keys;

use crate::address::{Address, Fence};
use crate::document::{Judge, Verified, elsewhere, gap};
use crate::list::{self, Entry, List};
use crate::metadata::{self, Metadata};
use crate::place::{Error, Place};

/// Bounds of a look.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// Pages of one feed: one that names a next page for ever would be read for ever.
    pub pages: usize,
    /// Documents that all lists name together. The largest provider has some ten thousands.
    pub entries: usize,
    /// Documents that are taken in one look; the others wait for the next.
    pub documents: usize,
    /// Documents that are kept to be asked for again.
    pub again: usize,
    /// Documents in a row that cannot be read: behind them the server is left alone until the next look.
    pub silences: usize,
    /// Gaps that are told; behind them only their count.
    pub gaps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pages: 64, entries: 200_000, documents: 5_000, again: 10_000, silences: 5, gaps: 200 }
    }
}

/// A document that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// When it changed, by the list that named it.
    pub listed: Option<Timestamp>,
}

/// What is asked of a provider.
pub struct Ask<'a> {
    /// Where he is.
    pub place: &'a dyn Place,
    /// Which hosts may be asked.
    pub fence: &'a Fence,
    /// The keys that are pinned.
    pub keys: &'a Keys,
    /// The time, in which keys and dates are judged.
    pub now: Timestamp,
    /// Documents that changed before are not asked for.
    pub since: Timestamp,
    /// Documents that are asked for whatever their date, by their address.
    pub again: &'a [String],
    /// Documents that are known, by their address.
    pub known: &'a BTreeMap<String, Known>,
    /// Bounds.
    pub limits: Limits,
}

/// How a look ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How many documents the lists name.
    pub listed: usize,
    /// How many were asked for.
    pub asked: usize,
    /// Everything that the lists date up to here was looked at, but for what `again` names.
    pub until: Timestamp,
    /// Documents to ask for again.
    pub again: Vec<String>,
    /// What was not seen, or not believed.
    pub gaps: Vec<Gap>,
}

/// Looks at what a provider lists, and hands on each document that is new and verified. What `each` refuses becomes a
/// gap.
///
/// # Errors
///
/// [`Error`] if his metadata cannot be read: nothing was seen then.
pub fn look(ask: &Ask<'_>, mut each: impl FnMut(Verified) -> Result<(), Gap>) -> Result<Seen, Error> {
    let at = ask.place.metadata();
    let bytes = ask.place.fetch(at, metadata::LARGEST)?.ok_or_else(|| Error::Missing { what: at.to_string() })?;
    let no = |why| Error::NoProvider { what: at.to_string(), why };
    let metadata = Metadata::parse(&bytes).map_err(no)?;
    let mut lists = Lists { ask, entries: BTreeMap::new(), gaps: Vec::new(), is_whole: true };
    lists.read(&metadata);
    lists.hold_against_known();
    let (listed, mut gaps) = (lists.entries.len(), std::mem::take(&mut lists.gaps));
    let mut wanted = lists.wanted();
    // What is new comes before what failed: a document that never answers must not stand before all others.
    wanted.sort_by_key(|entry| (is_again(ask, entry), entry.updated, entry.at.clone()));
    let judge = Judge { place: ask.place, fence: ask.fence, keys: ask.keys, now: ask.now };
    let (mut again, mut silences, mut asked) = (Vec::new(), 0, 0);
    for entry in wanted.iter().take(ask.limits.documents) {
        asked += 1;
        let taken = judge.take(entry).map_err(|gap| *gap).and_then(&mut each);
        let Err(gap) = taken else {
            silences = 0;
            continue;
        };
        silences = if gap.code == "advisory-unread" { silences + 1 } else { 0 };
        again.push(entry.at.to_string());
        gaps.push(gap);
        if silences >= ask.limits.silences {
            break;
        }
    }
    let (asked_for, left) = wanted.split_at(asked);
    if !left.is_empty() {
        let why = format!("{} documents that may be new were not asked for: the next look goes on", left.len());
        gaps.push(gap("advisory-list-cut", &at.to_string(), why, true));
    }
    again.extend(left.iter().filter(|entry| is_again(ask, entry)).map(|entry| entry.at.to_string()));
    let last = asked_for.iter().filter_map(|entry| entry.updated).filter(|at| *at <= ask.now).max();
    let mut until = last.map_or(ask.since, |last| last.max(ask.since));
    if again.len() > ask.limits.again {
        // Too many to name: they are asked for again by their date.
        until = ask.since;
        again = ask.again.to_vec();
    }
    bound(&mut gaps, ask.limits.gaps, &at.to_string());
    Ok(Seen { listed, asked, until, again, gaps })
}

fn is_again(ask: &Ask<'_>, entry: &Entry) -> bool {
    ask.again.contains(&entry.at.to_string())
}

/// The lists of a provider, read.
struct Lists<'a> {
    ask: &'a Ask<'a>,
    entries: BTreeMap<Address, Entry>,
    gaps: Vec<Gap>,
    /// Whether every list was read to its end.
    is_whole: bool,
}

impl Lists<'_> {
    fn read(&mut self, metadata: &Metadata) {
        let mut hidden: BTreeSet<&str> = BTreeSet::new();
        for feed in metadata.feeds() {
            if feed.is_public() {
                self.feed(&feed.url);
            } else {
                hidden.insert(&feed.tlp_label);
            }
        }
        for folder in metadata.directories() {
            self.folder(folder);
        }
        if metadata.feeds().count() + metadata.directories().count() == 0 {
            self.unread(&self.ask.place.metadata().to_string(), "it names no list of documents");
        }
        for label in hidden {
            let why = "a feed for fewer readers than everybody is not asked for, since it needs a login";
            let at = format!("{} ({label})", self.ask.place.metadata());
            self.gaps.push(gap("advisory-restricted", &at, why, false));
        }
    }

    fn feed(&mut self, url: &str) {
        let mut seen = BTreeSet::new();
        let mut next = Some(url.to_owned());
        while let Some(url) = next.take() {
            if !seen.insert(url.clone()) || seen.len() > self.ask.limits.pages || self.is_full() {
                self.is_whole = false;
                let why = format!("it does not end after {} pages and {} documents", seen.len(), self.entries.len());
                self.gaps.push(gap("advisory-list-endless", &url, why, true));
                return;
            }
            let Some(bytes) = self.fetch(&url, true) else { return };
            match list::rolie(&bytes) {
                Ok(list) => next = self.add(&url, list),
                Err(why) => self.unread(&url, &why),
            }
        }
    }

    /// A folder: what changed when, and what is listed beside that.
    fn folder(&mut self, url: &str) {
        let at = |name: &str| format!("{}/{name}", url.trim_end_matches('/'));
        let (changes, index) = (at("changes.csv"), at("index.txt"));
        let dated = self.fetch(&changes, false).map(|bytes| list::changes(url, &bytes));
        let is_dated = dated.is_some();
        if let Some(list) = dated {
            self.add(&changes, list);
        }
        if let Some(bytes) = self.fetch(&index, !is_dated) {
            self.add(&index, list::index(url, &bytes));
        }
    }

    /// The bytes of a list. One that is not there is told if it is `needed`.
    fn fetch(&mut self, url: &str, needed: bool) -> Option<Vec<u8>> {
        let at = match Address::parse(url) {
            Ok(at) => at,
            Err(err) => {
                self.unread(url, &err.to_string());
                return None;
            }
        };
        if !self.ask.fence.allows(&at) {
            self.is_whole = false;
            self.gaps.push(gap("advisory-elsewhere", url, elsewhere(&at), true));
            return None;
        }
        match self.ask.place.fetch(&at, list::LARGEST) {
            Ok(Some(bytes)) => return Some(bytes),
            Ok(None) if needed => self.unread(url, "it is not there"),
            Ok(None) => {}
            Err(err @ Error::Elsewhere { .. }) => {
                self.is_whole = false;
                self.gaps.push(gap("advisory-elsewhere", url, err.to_string(), true));
            }
            Err(err) => self.unread(url, &chain(&err)),
        }
        None
    }

    fn unread(&mut self, url: &str, why: &str) {
        self.is_whole = false;
        self.gaps.push(gap("advisory-list-unread", url, why, true));
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.ask.limits.entries
    }

    /// Takes what a list names; returns its next page.
    fn add(&mut self, url: &str, list: List) -> Option<String> {
        for (what, why) in list.refused {
            self.gaps.push(gap("advisory-list-unread", url, format!("{what}: {why}"), true));
        }
        for entry in list.entries {
            if self.is_full() && !self.entries.contains_key(&entry.at) {
                self.is_whole = false;
                let why = format!("the lists name more than {} documents", self.ask.limits.entries);
                self.gaps.push(gap("advisory-list-endless", url, why, true));
                return None;
            }
            match self.entries.get(&entry.at) {
                // Of two lists the later date counts, and the one that names digests and signature.
                Some(known) if known.updated >= entry.updated => {}
                _ => {
                    self.entries.insert(entry.at.clone(), entry);
                }
            }
        }
        list.next
    }

    /// Lists that go back, or leave out what they named before.
    fn hold_against_known(&mut self) {
        let mut told = Vec::new();
        for (url, known) in self.ask.known {
            let entry = Address::parse(url).ok().and_then(|at| self.entries.get(&at));
            let older = entry.and_then(|entry| entry.updated).zip(known.listed).filter(|(now, then)| now < then);
            if let Some((now, then)) = older {
                let why =
                    format!("the list dates it {now}, and dated it {then} before: somebody puts back an old list");
                told.push(gap("advisory-rolled-back", url, why, true));
            }
            if entry.is_none() && self.is_whole {
                let why = "no list names it any more; what it says stays until a newer version takes it back";
                told.push(gap("advisory-unlisted", url, why, false));
            }
        }
        self.gaps.extend(told);
    }

    /// The documents to ask for.
    fn wanted(&self) -> Vec<Entry> {
        let ask = self.ask;
        let is_wanted = |entry: &&Entry| {
            let url = entry.at.to_string();
            let again = ask.again.contains(&url);
            match (ask.known.get(&url), entry.updated) {
                _ if again => true,
                (Some(known), Some(updated)) => known.listed.is_none_or(|listed| updated > listed),
                (Some(_), None) => false,
                (None, Some(updated)) => updated >= ask.since,
                (None, None) => true,
            }
        };
        self.entries.values().filter(is_wanted).cloned().collect()
    }
}

/// Tells so many gaps and no more: a hostile list has as many as it likes.
fn bound(gaps: &mut Vec<Gap>, limit: usize, at: &str) {
    let more = gaps.len().saturating_sub(limit);
    if more > 0 {
        gaps.truncate(limit);
        gaps.push(gap("advisory-list-cut", &escape(at), format!("{more} more gaps of this look are not told"), true));
    }
}
