//! Document: is this document the one that the provider signed?
//!
//! Digest first, signature second, and only then is anything read of it: what comes is hostile until a pinned key
//! vouches for it. Its name must follow from its own id, so that no document is handed out under another's name.
//! Source: CSAF 2.0, sections 5.1 (filename), 7.1.18 (integrity), 7.1.19 (signatures).

use directive::advisory::{self, Advisory};
use directive::record::{Gap, hex};
use directive::text::{chain, escape};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256, Sha512};
use signer::Signed;
use signer::openpgp::Keys;

use crate::address::{Address, Fence};
use crate::list::Entry;
use crate::place::{Error, Place};

/// The largest file with a digest, in bytes.
const DIGEST: u64 = 4096;

/// The largest signature, in bytes.
const SIGNATURE: u64 = 256 << 10;

/// A document whose digest is the one beside it and which a pinned key signed. Only [`take`] makes one.
#[derive(Debug)]
pub struct Verified {
    at: Address,
    updated: Option<Timestamp>,
    bytes: Vec<u8>,
    sha256: String,
    signed: Signed,
    advisory: Advisory,
}

impl Verified {
    /// Where it was.
    pub fn at(&self) -> &Address {
        &self.at
    }

    /// When it changed, by the list.
    pub fn updated(&self) -> Option<Timestamp> {
        self.updated
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of its bytes, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Who signed it, and when.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// What it says.
    pub fn advisory(&self) -> &Advisory {
        &self.advisory
    }
}

/// Whom to ask, and whom to believe.
pub(crate) struct Judge<'a> {
    pub(crate) place: &'a dyn Place,
    pub(crate) fence: &'a Fence,
    pub(crate) keys: &'a Keys,
    pub(crate) now: Timestamp,
}

/// So much of a text as a sentence needs: what is said of hostile bytes may quote them whole.
fn short(text: &str) -> &str {
    const LONGEST: usize = 2048;
    &text[..text.floor_char_boundary(LONGEST)]
}

/// A gap about a document. `required`: somebody has to look, since it may concern an instance.
pub(crate) fn gap(code: &str, at: &str, why: impl Into<String>, required: bool) -> Gap {
    let (place, why) = (escape(short(at)), escape(short(&why.into())));
    Gap { code: code.to_owned(), path: None, place: Some(place), why, required }
}

impl Judge<'_> {
    /// Takes one document of a list.
    ///
    /// # Errors
    ///
    /// A gap that says by name why it counts for nothing.
    pub(crate) fn take(&self, entry: &Entry) -> Result<Verified, Box<Gap>> {
        let at = &entry.at;
        let refuse = |code: &str, why: String| Box::new(gap(code, &at.to_string(), why, true));
        let bytes = self.fetch(at, at, advisory::LARGEST as u64)?;
        let bytes = bytes.ok_or_else(|| refuse("advisory-missing", "it is listed, and it is not there".to_owned()))?;
        self.digests(entry, &bytes)?;
        let signature = entry.signature.clone().unwrap_or_else(|| at.with(".asc"));
        let asc = self.fetch(at, &signature, SIGNATURE)?.ok_or_else(|| {
            refuse("advisory-unsigned", format!("there is no {}: nobody vouches for it", signature.name()))
        })?;
        let signed = self.keys.detached(&bytes, &asc, self.now);
        let signed = signed.map_err(|err| refuse("advisory-signature-refused", err.to_string()))?;
        let advisory = advisory::parse(&bytes).map_err(|err| refuse("advisory-invalid", err))?;
        let named = file_name(&advisory.document.tracking.id);
        if at.name() != named {
            let why = format!("the document in it is {named}: one is handed out under the name of another");
            return Err(refuse("advisory-misnamed", why));
        }
        let sha256 = hex(&Sha256::digest(&bytes));
        Ok(Verified { at: at.clone(), updated: entry.updated, bytes, sha256, signed, advisory })
    }

    /// Every digest that is there must be that of the document, and one must be there.
    fn digests(&self, entry: &Entry, bytes: &[u8]) -> Result<(), Box<Gap>> {
        let at = &entry.at;
        let refuse = |code: &str, why: String| Box::new(gap(code, &at.to_string(), why, true));
        let beside = || [".sha256", ".sha512"].iter().map(|ending| at.with(ending)).collect();
        let files: Vec<Address> = if entry.hashes.is_empty() { beside() } else { entry.hashes.clone() };
        let mut held = 0;
        // Two are what the standard knows; a list that names hundreds would have us ask for each.
        for file in files.iter().take(4) {
            let Some(text) = self.fetch(at, file, DIGEST)? else { continue };
            let text = String::from_utf8_lossy(&text);
            let mut words = text.split_whitespace();
            let (told, of) = (words.next().unwrap_or_default(), words.next());
            let own = match told.len() {
                64 => hex(&Sha256::digest(bytes)),
                128 => hex(&Sha512::digest(bytes)),
                _ => return Err(refuse("advisory-hash-wrong", format!("{} holds no digest", file.name()))),
            };
            if !told.eq_ignore_ascii_case(&own) {
                return Err(refuse("advisory-hash-wrong", format!("{} is not its digest", file.name())));
            }
            let is_other = |name: &str| name.trim_start_matches('*').rsplit('/').next() != Some(at.name());
            if of.is_some_and(is_other) {
                return Err(refuse("advisory-hash-wrong", format!("{} is about another file", file.name())));
            }
            held += 1;
        }
        if held == 0 {
            return Err(refuse("advisory-hash-missing", "there is no digest beside it".to_owned()));
        }
        Ok(())
    }

    /// A file that belongs to a document.
    fn fetch(&self, of: &Address, at: &Address, limit: u64) -> Result<Option<Vec<u8>>, Box<Gap>> {
        let refuse = |code: &str, why: String| Box::new(gap(code, &of.to_string(), why, true));
        if !self.fence.allows(at) {
            return Err(refuse("advisory-elsewhere", elsewhere(at)));
        }
        self.place.fetch(at, limit).map_err(|err| match err {
            Error::Elsewhere { .. } => refuse("advisory-elsewhere", err.to_string()),
            _ => refuse("advisory-unread", chain(&err)),
        })
    }
}

/// Why an address is not asked, and how it would be.
pub(crate) fn elsewhere(at: &Address) -> String {
    format!("it leads to {}, which nobody said may be asked: `--host {}`, if it is the provider's", at, at.origin())
}

/// The name of the file that a document with this id lies in.
fn file_name(id: &str) -> String {
    let mut name = String::with_capacity(id.len() + 5);
    for c in id.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '+' | '-' => name.push(c),
            // What lies beside each other becomes one sign.
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    name + ".json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_follows_from_the_id() {
        assert_eq!(file_name("Example Company - 2019-YH3234"), "example_company_-_2019-yh3234.json");
        assert_eq!(file_name("RHBA-2019:0024"), "rhba-2019_0024.json");
        assert_eq!(file_name("SA 44784: two"), "sa_44784_two.json");
    }
}
