//! Apt: does a signed Debian repository name this package?
//!
//! `InRelease`, or `Release` with its signature, lists indexes by digest, and an index lists packages. Each link is
//! held against the one before it; only SHA-256 counts, and a list past its own end is no list. Read here and not by a
//! library of such files, since a few fields of fifty megabytes of somebody else's text are wanted, a stanza at a time.
//! Source: Debian wiki, "RepositoryFormat"; apt-secure(8); deb822(5).

use std::collections::BTreeMap;

use directive::record::hex;
use directive::text::escape;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use sha2::{Digest as _, Sha256};
use signer::Signed;
use signer::openpgp::Keys;

use crate::unpack::unpack;
use crate::verify::{NotVerified, Package, Subject, Trust, Verified};

/// The most files that a list may name; Debian's has some thousand.
const MOST: usize = 100_000;

/// The list of a repository, signed by a pinned key and not past its end.
#[derive(Debug, Clone)]
pub struct Release {
    signed: Signed,
    name: String,
    /// Size by digest of the indexes of packages.
    indexes: BTreeMap<String, u64>,
}

impl Release {
    /// Reads an `InRelease`.
    ///
    /// # Errors
    ///
    /// [`NotVerified`] by what is wrong.
    pub fn clear(keys: &Keys, text: &[u8], now: Timestamp) -> Result<Self, NotVerified> {
        let (signed, text) = keys.clear(text, now)?;
        Self::read(signed, &text, now)
    }

    /// Reads a `Release` with the signature in `Release.gpg`.
    ///
    /// # Errors
    ///
    /// [`NotVerified`] by what is wrong.
    pub fn detached(keys: &Keys, text: &[u8], signature: &[u8], now: Timestamp) -> Result<Self, NotVerified> {
        let signed = keys.detached(text, signature, now)?;
        Self::read(signed, &String::from_utf8_lossy(text), now)
    }

    fn read(signed: Signed, text: &str, now: Timestamp) -> Result<Self, NotVerified> {
        let wrong = |why: String| NotVerified::Unreadable { what: "list of a repository", why: escape(why) };
        let fields = fields(text);
        let of = |name: &str| fields.get(name).map_or("?", |lines| lines.0.trim());
        let name = escape(format!("{} {} of {}", of("origin"), of("codename"), of("date")));
        if let Some((until, _)) = fields.get("valid-until") {
            // Debian writes UTC, which RFC 2822 knows as an old name only.
            let stamp = until.trim().replace("UTC", "+0000");
            let until = DateTimeParser::new().parse_timestamp(&stamp).map_err(|err| wrong(err.to_string()))?;
            if until <= now {
                return Err(NotVerified::Expired { list: name, until });
            }
        }
        let Some((_, lines)) = fields.get("sha256") else {
            return Err(wrong("it lists no SHA-256".into()));
        };
        let mut indexes = BTreeMap::new();
        for line in lines.iter().take(MOST) {
            let mut words = line.split_whitespace();
            let (Some(digest), Some(size), Some(path)) = (words.next(), words.next(), words.next()) else { continue };
            let file = path.rsplit('/').next().unwrap_or_default();
            if file == "Packages" || file.starts_with("Packages.") {
                indexes.insert(digest.to_ascii_lowercase(), size.parse().map_err(|_| wrong(format!("{line:?}")))?);
            }
        }
        Ok(Self { signed, name, indexes })
    }

    /// What it calls itself: origin, code name and date.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes an index that it names. How it is packed may differ from how it was offered: apt packs it anew.
    ///
    /// # Errors
    ///
    /// [`NotVerified::OtherIndex`] if it does not name it.
    pub fn index(&self, bytes: &[u8]) -> Result<Index<'_>, NotVerified> {
        let is_named = |bytes: &[u8]| {
            self.indexes.get(&hex(&Sha256::digest(bytes))).is_some_and(|size| *size == bytes.len() as u64)
        };
        let outside = is_named(bytes);
        let text = unpack(bytes)
            .map_err(|err| NotVerified::Unreadable { what: "index of packages", why: escape(err.to_string()) })?;
        if outside || is_named(&text) {
            return Ok(Index { release: self, text });
        }
        Err(NotVerified::OtherIndex { list: self.name.clone() })
    }
}

/// An index of packages that a signed list names.
#[derive(Debug, Clone)]
pub struct Index<'a> {
    release: &'a Release,
    text: Vec<u8>,
}

impl Index<'_> {
    /// Verifies a package by its entry.
    ///
    /// # Errors
    ///
    /// [`NotVerified::NotListed`], or [`NotVerified::Differs`] if its entry says another size.
    pub fn package(&self, subject: Subject<'_>) -> Result<Verified, NotVerified> {
        let (sha256, list) = (subject.sha256(), &self.release.name);
        let needle = format!("SHA256: {sha256}");
        let lines = self.text.split(|byte| *byte == b'\n');
        let mut stanza: Vec<&[u8]> = Vec::new();
        let mut is_found = false;
        for line in lines.chain([&b""[..]]) {
            if !line.iter().all(u8::is_ascii_whitespace) {
                is_found |= line.trim_ascii_end() == needle.as_bytes();
                stanza.push(line);
            } else if is_found {
                break;
            } else {
                stanza.clear();
            }
        }
        if !is_found {
            return Err(NotVerified::NotListed { list: list.clone(), sha256 });
        }
        let text = stanza.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n");
        let fields = fields(&text);
        let of = |name: &str| fields.get(name).map(|(value, _)| value.trim().to_owned()).unwrap_or_default();
        let size = subject.bytes.len().to_string();
        if of("size") != size {
            return Err(NotVerified::Differs(format!(
                "it has {size} bytes, and its entry says {}",
                escape(of("size"))
            )));
        }
        let package = Package { name: of("package"), version: of("version"), architecture: of("architecture") };
        let trust = Trust::Listed {
            key: self.release.signed.key().to_string(),
            made: self.release.signed.made(),
            list: list.clone(),
        };
        Ok(Verified::new(subject, Some(package), trust))
    }
}

/// The first line and the further lines of each field, by its name in lower case. The first of a name counts.
fn fields(text: &str) -> BTreeMap<String, (&str, Vec<&str>)> {
    let mut fields: BTreeMap<String, (&str, Vec<&str>)> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            let lines = current.as_ref().and_then(|name| fields.get_mut(name));
            lines.into_iter().for_each(|(_, lines)| lines.push(line));
        } else if let Some((name, value)) = line.split_once(':') {
            let name = name.to_ascii_lowercase();
            current = (!fields.contains_key(&name)).then(|| name.clone());
            fields.entry(name).or_insert((value, Vec::new()));
        } else {
            current = None;
        }
    }
    fields
}
