//! Kev: what does the catalogue of exploited vulnerabilities say of those that concern the case?
//!
//! The catalogue is not signed: it comes by TLS from its publisher, or as a file that the operator took. So it can only
//! set a day for what an advisory or the pack calls affected, and never says itself that something is.

use std::collections::BTreeSet;
use std::path::Path;

use ::csaf::{Address, Fence, Http, Place as _};
use ::directive::kev::{self, Catalogue};
use ::directive::pack::Pack;
use ::directive::record::{Body, Exploited, hex};
use ::directive::state::State;
use ::directive::text::escape;
use sha2::{Digest as _, Sha256};

use super::gather::Gathered;
use super::{gap, is_address};
use crate::error::CommandError;
use crate::open;

/// Reads the catalogue and says what is new in it.
pub(super) fn gather(gathered: &mut Gathered, named: &str, packs: &[Pack], state: &State) -> Result<(), CommandError> {
    let bytes = read(named)?;
    let catalogue = kev::parse(&bytes).map_err(|why| {
        CommandError::new(format!("{named} is no catalogue of exploited vulnerabilities: {}", escape(why)))
    })?;
    let newest = state.following.exploitations().filter_map(|one| one.catalogue).max();
    if let (Some(now), Some(then)) = (catalogue.date_released, newest)
        && now < then
    {
        let why = format!("the catalogue is of {now}, and one of {then} is known");
        gathered.gaps.push(gap("kev-rolled-back", escape(named), why, true));
        return Ok(());
    }
    let sha256 = hex(&Sha256::digest(&bytes));
    let before = gathered.bodies.len();
    for cve in wanted(gathered, packs, state) {
        let known = state.following.exploitation(&cve);
        let Some(entry) = entry(&catalogue, &cve, &sha256, known) else { continue };
        let is_same = |old: &Exploited| (&old.name, old.added, old.due) == (&entry.name, entry.added, entry.due);
        if !known.is_some_and(is_same) {
            gathered.bodies.push(Body::Exploited(entry));
        }
    }
    if gathered.bodies.len() > before {
        gathered.evidence.push(bytes);
    }
    Ok(())
}

/// The vulnerabilities that packs and advisories name.
fn wanted(gathered: &Gathered, packs: &[Pack], state: &State) -> BTreeSet<String> {
    let mut cves: BTreeSet<String> = BTreeSet::new();
    for pack in packs {
        cves.extend(state.current(&pack.product).cves().into_iter().map(str::to_owned));
    }
    for body in &gathered.bodies {
        if let Body::Advisory(notice) = body {
            cves.extend(notice.cve.iter().cloned());
        }
    }
    cves
}

/// The entry of a vulnerability. One that was known and is not listed any more has no day.
fn entry(catalogue: &Catalogue, cve: &str, sha256: &str, known: Option<&Exploited>) -> Option<Exploited> {
    let (catalogue_of, sha256) = (catalogue.date_released, sha256.to_owned());
    match (catalogue.find(cve), known) {
        (Some(entry), _) => Some(Exploited {
            cve: escape(&entry.cve),
            name: escape(entry.vulnerability_name.chars().take(300).collect::<String>()),
            added: entry.date_added,
            due: Some(entry.due_date),
            catalogue: catalogue_of,
            sha256,
        }),
        (None, Some(known)) => Some(Exploited { due: None, catalogue: catalogue_of, sha256, ..known.clone() }),
        (None, None) => None,
    }
}

fn read(named: &str) -> Result<Vec<u8>, CommandError> {
    if !is_address(named) {
        return open::read(Path::new(named)).map_err(|err| CommandError::because(format!("cannot read {named}"), err));
    }
    let at = Address::parse(named).map_err(|err| CommandError::because(format!("{named:?} is not asked"), err))?;
    let fence = Fence::new(&at, &[]);
    let bytes = Http::new(at.clone(), fence).fetch(&at, kev::LARGEST as u64);
    let bytes = bytes.map_err(|err| CommandError::because("the catalogue cannot be read", err))?;
    bytes.ok_or_else(|| CommandError::new(format!("there is no {at}")))
}
