//! Provider: does a look take what a provider signed, and nothing else?
//!
//! Keys and signatures are made by a real `gpg`; the files lie in a folder, or a real nginx serves them. Each attack is
//! a test under its name, and each ends with a gap that names the document.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "integration tests that run gpg and nginx")]

mod attacks;
mod keys;
mod maker;
mod server;

use std::collections::BTreeMap;

use csaf::{Ask, Fence, Folder, Known, Limits, Place, Seen, look};
use jiff::Timestamp;
use signer::openpgp::Keys;

use maker::{FIRST, HOME, Provider, Said};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The time of all looks.
const NOW: &str = "2021-09-01T00:00:00Z";

/// What a look asks beside the provider.
struct Asked {
    known: BTreeMap<String, Known>,
    since: Timestamp,
    again: Vec<String>,
    limits: Limits,
}

impl Default for Asked {
    fn default() -> Self {
        let since = at("2021-04-20T00:00:00Z");
        Self { known: BTreeMap::new(), since, again: Vec::new(), limits: Limits::default() }
    }
}

/// Looks at a place; the ids of what was taken, and how it ended.
fn look_at(place: &dyn Place, fence: &Fence, keys: &Keys, asked: &Asked) -> (Vec<String>, Seen) {
    let ask = Ask {
        place,
        fence,
        keys,
        now: at(NOW),
        since: asked.since,
        again: &asked.again,
        known: &asked.known,
        limits: asked.limits,
    };
    let mut taken = Vec::new();
    let seen = look(&ask, |document| {
        let tracking = &document.advisory().document.tracking;
        taken.push(format!("{} {}", tracking.id, tracking.version));
        Ok(())
    });
    (taken, seen.unwrap())
}

fn keys(provider: &Provider) -> Keys {
    let pin = provider.signer.print.parse().unwrap();
    Keys::parse(&provider.signer.public()).unwrap().pinned(&[pin]).unwrap()
}

/// Looks at the folder of a provider. What was taken and every gap, one a line.
fn seen(provider: &Provider, asked: &Asked) -> String {
    let folder = Folder::open(provider.dir.path()).unwrap();
    let fence = Fence::new(folder.metadata(), &[]);
    let (taken, seen) = look_at(&folder, &fence, &keys(provider), asked);
    shown(&taken, &seen)
}

fn shown(taken: &[String], seen: &Seen) -> String {
    let gap = |gap: &directive::record::Gap| {
        let place = gap.place.as_deref().unwrap_or_default();
        format!("{} {}: {}", gap.code, place.rsplit('/').next().unwrap_or_default(), gap.why)
    };
    let gaps = seen.gaps.iter().map(gap);
    taken.iter().map(|id| format!("taken {id}")).chain(gaps).collect::<Vec<_>>().join("\n")
}

/// A provider with one advisory.
fn provider() -> Provider {
    let mut provider = Provider::new(HOME);
    provider.publish(&FIRST);
    provider
}

#[test]
fn a_signed_document_of_a_feed_is_taken() {
    assert_eq!(seen(&provider(), &Asked::default()), "taken SA44858 1");
}

#[test]
fn a_signed_document_of_a_folder_is_taken_once() {
    let provider = provider();
    provider.metadata(&[&format!("{HOME}/white/feed.json")], &[&format!("{HOME}/white")]);
    assert_eq!(seen(&provider, &Asked::default()), "taken SA44858 1");
    provider.metadata(&[], &[&format!("{HOME}/white/")]);
    assert_eq!(seen(&provider, &Asked::default()), "taken SA44858 1");
}

#[test]
fn a_folder_without_times_lists_documents_all_the_same() {
    let provider = provider();
    provider.metadata(&[], &[&format!("{HOME}/white/")]);
    std::fs::remove_file(provider.path("white/changes.csv")).unwrap();
    assert_eq!(seen(&provider, &Asked::default()), "taken SA44858 1");
}

#[test]
fn what_was_looked_at_is_not_asked_for_again_and_what_changed_is() {
    let mut provider = provider();
    let url = format!("{HOME}/white/2021/sa44858.json");
    let known = |updated: &str| BTreeMap::from([(url.clone(), Known { listed: Some(at(updated)) })]);
    let asked = Asked { known: known(FIRST.updated), ..Asked::default() };
    assert_eq!(seen(&provider, &asked), "");
    provider.publish(&Said { version: 2, updated: "2021-08-10T00:00:00.000Z", ..FIRST });
    assert_eq!(seen(&provider, &asked), "taken SA44858 2");
    let asked = Asked { since: at("2021-08-11T00:00:00Z"), ..Asked::default() };
    assert_eq!(seen(&provider, &asked), "");
}

#[test]
fn a_look_ends_with_the_time_up_to_which_everything_was_seen() {
    let mut provider = provider();
    let folder = Folder::open(provider.dir.path()).unwrap();
    let fence = Fence::new(folder.metadata(), &[]);
    let until = |provider: &Provider| look_at(&folder, &fence, &keys(provider), &Asked::default()).1.until;
    assert_eq!(until(&provider), at(FIRST.updated));
    // A list that dates a document into the future would hide whatever comes until then.
    provider.relist("sa44858.json", Some("2999-01-01T00:00:00.000Z"));
    assert_eq!(until(&provider), Asked::default().since);
}
