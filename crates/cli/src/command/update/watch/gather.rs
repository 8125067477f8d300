//! Gather: what does a look at a provider leave for the case?

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ::csaf::{Ask, Known, Limits, Verified, look};
use ::directive::notice::{self, Origin};
use ::directive::pack::Pack;
use ::directive::record::{Body, Gap, Look, Notice};
use ::directive::state::{State, doubts};
use jiff::Timestamp;

use super::{Provider, gap};
use crate::error::CommandError;

/// Bytes of documents that are held until the case takes them. A vendor's advisories on one product have some
/// megabytes.
const HELD: usize = 512 << 20;

/// What a look brings.
#[derive(Default)]
pub(super) struct Gathered {
    /// Facts for the case.
    pub(super) bodies: Vec<Body>,
    /// Bytes behind them.
    pub(super) evidence: Vec<Vec<u8>>,
    /// What was not seen, or not believed.
    pub(super) gaps: Vec<Gap>,
    held: usize,
}

impl Gathered {
    /// Looks at a provider. Of `since`, the first is what the operator says, the second what holds for a first look.
    pub(super) fn provider(
        &mut self,
        provider: &Provider,
        packs: &[Pack],
        state: &State,
        since: (Option<Timestamp>, Timestamp),
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let name = provider.place.metadata().to_string();
        let last = state.following.last_look(&name);
        let own = || state.following.all().iter().map(|one| &one.notice).filter(|notice| notice.provider == name);
        let mut known = BTreeMap::new();
        for notice in own() {
            known.insert(notice.url.clone(), Known { listed: notice.listed });
        }
        let ask = Ask {
            place: provider.place.as_ref(),
            fence: &provider.fence,
            keys: &provider.keys,
            now,
            since: since.0.or(last.map(|look| look.until)).unwrap_or(since.1),
            again: last.map(|look| look.again.as_slice()).unwrap_or_default(),
            known: &known,
            limits: Limits::default(),
        };
        let notices: Vec<&Notice> = own().collect();
        let seen = look(&ask, |document| self.document(&document, &name, packs, &notices));
        let seen = seen.map_err(|err| {
            CommandError::because("the provider could not be looked at", err)
                .hint("nothing new is known: what is owed already stays owed")
        })?;
        // Nobody may move it back by asking for older documents once more.
        let until = last.map_or(seen.until, |last| last.until.max(seen.until));
        let new = Look { provider: name, until, again: seen.again, gaps: seen.gaps };
        self.gaps.extend(new.gaps.iter().cloned());
        if last != Some(&new) {
            self.bodies.push(Body::Look(new));
        }
        Ok(())
    }

    /// Takes a verified document, for each pack that it is about.
    fn document(&mut self, document: &Verified, provider: &str, packs: &[Pack], known: &[&Notice]) -> Result<(), Gap> {
        let mut found: Vec<Notice> = Vec::new();
        for pack in packs {
            let origin = Origin {
                provider: provider.to_owned(),
                url: document.at().to_string(),
                listed: document.updated(),
                sha256: document.sha256().to_owned(),
                signed_by: document.signed().key().to_string(),
                signed: document.signed().made(),
            };
            let read = notice::read(document.advisory(), &pack.product, origin, known);
            let Some(notice) = read.filter(|notice| found.iter().all(|other| other.product != notice.product)) else {
                continue;
            };
            if let Some(old) = known.iter().find(|old| old.is_same(&notice)) {
                not_older(&notice, old)?;
            }
            found.push(notice);
        }
        if found.is_empty() {
            return Ok(());
        }
        self.held += document.bytes().len();
        if self.held > HELD {
            let why = format!("the new documents of this look have more than {} MiB together", HELD >> 20);
            return Err(gap("advisory-list-cut", document.at().to_string(), why, true));
        }
        self.evidence.push(document.bytes().to_vec());
        self.gaps.extend(found.iter().flat_map(doubts));
        self.bodies.extend(found.into_iter().map(Body::Advisory));
        Ok(())
    }
}

/// A version that was signed once stays signed: whoever puts an old one back would take away what a newer one says.
fn not_older(notice: &Notice, known: &Notice) -> Result<(), Gap> {
    let at = notice.url.clone();
    match notice.age(known) {
        Ordering::Less => {
            let why = format!("version {} is handed out, and version {} is known", notice.version, known.version);
            Err(gap("advisory-rolled-back", at, why, true))
        }
        Ordering::Equal if notice.sha256 != known.sha256 => {
            let both = "both are signed, and nobody can say which counts";
            let why = format!("version {} is known with other bytes: {both}", known.version);
            Err(gap("advisory-changed", at, why, true))
        }
        _ => Ok(()),
    }
}
