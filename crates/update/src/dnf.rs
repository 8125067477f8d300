//! Dnf: does a signed repository of rpm packages name this one, or is it signed itself?
//!
//! `repomd.xml` with its signature lists the index `primary`, which lists packages by digest. A package's own signature
//! stands over its header, and the header holds the digest of what is packed behind it. The header is read here and not
//! by the library for it: that one verifies what it wrote anew, and what counts is the bytes that were signed.
//! Source: createrepo_c's formats; rpm, docs/manual/format_v4.md and signatures_digests.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directive::record::hex;
use directive::text::escape;
use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use sha2::{Digest as _, Sha256};
use signer::Signed;
use signer::openpgp::Keys;

use crate::unpack::unpack;
use crate::verify::{NotVerified, Package, Subject, Trust, Verified};

/// The largest `repomd.xml`, in bytes; one has some KB.
const LIST: usize = 4 << 20;

/// The list of a repository, signed by a pinned key.
#[derive(Debug, Clone)]
pub struct Repomd {
    signed: Signed,
    /// Digests of the index `primary`, packed and unpacked.
    primary: Vec<String>,
}

impl Repomd {
    /// Reads `repomd.xml` with the signature in `repomd.xml.asc`.
    ///
    /// # Errors
    ///
    /// [`NotVerified`] by what is wrong.
    pub fn detached(keys: &Keys, xml: &[u8], signature: &[u8], now: Timestamp) -> Result<Self, NotVerified> {
        let wrong = |why: &str| NotVerified::Unreadable { what: "repomd.xml", why: why.to_owned() };
        if xml.len() > LIST {
            return Err(wrong("it is larger than any real one"));
        }
        let signed = keys.detached(xml, signature, now)?;
        let (mut primary, mut is_primary) = (Vec::new(), false);
        walk("repomd.xml", xml, |path, start, text| {
            match path {
                [.., "data"] if text.is_none() => is_primary = attribute(start, "type").as_deref() == Some("primary"),
                [.., "data", "checksum" | "open-checksum"] if is_primary => {
                    let is_sha256 = attribute(start, "type").as_deref() == Some("sha256");
                    primary.extend(text.filter(|_| is_sha256).map(|text| text.trim().to_ascii_lowercase()));
                }
                _ => {}
            }
            true
        })?;
        if primary.is_empty() {
            Err(wrong("it names no index `primary` by SHA-256"))
        } else {
            Ok(Self { signed, primary })
        }
    }

    /// Verifies a package by its entry in the index `primary`, packed or not.
    ///
    /// # Errors
    ///
    /// [`NotVerified::OtherIndex`] if the list does not name the index, [`NotVerified::NotListed`] if the index does
    /// not name the package.
    pub fn package(&self, index: &[u8], subject: Subject<'_>) -> Result<Verified, NotVerified> {
        let list = format!("repomd.xml of {}", self.signed.made().strftime("%Y-%m-%d"));
        let is_named = |bytes: &[u8]| self.primary.contains(&hex(&Sha256::digest(bytes)));
        let outside = is_named(index);
        let text = unpack(index)
            .map_err(|err| NotVerified::Unreadable { what: "index primary", why: escape(err.to_string()) })?;
        if !outside && !is_named(&text) {
            return Err(NotVerified::OtherIndex { list });
        }
        let package = entry(&text, &subject.sha256())?;
        let package = package.ok_or_else(|| NotVerified::NotListed { list: list.clone(), sha256: subject.sha256() })?;
        let trust = Trust::Listed { key: self.signed.key().to_string(), made: self.signed.made(), list };
        Ok(Verified::new(subject, Some(package), trust))
    }
}

/// The entry of the index that has this digest.
fn entry(text: &[u8], sha256: &str) -> Result<Option<Package>, NotVerified> {
    let (mut one, mut is_ours, mut found) = (blank(), false, None);
    walk("index primary", text, |path, start, text| {
        match (path, text) {
            ([.., "package"], None) => (one, is_ours) = (blank(), false),
            ([.., "package", "name"], Some(text)) => one.name = text.to_owned(),
            ([.., "package", "arch"], Some(text)) => one.architecture = text.to_owned(),
            ([.., "package", "version"], None) => {
                let of = |name: &str| attribute(start, name).unwrap_or_default();
                one.version = evr(&of("epoch"), &of("ver"), &of("rel"));
            }
            ([.., "package", "checksum"], Some(text)) => {
                let is_sha256 = attribute(start, "type").as_deref() == Some("sha256");
                is_ours = is_sha256 && text.trim().eq_ignore_ascii_case(sha256);
            }
            _ => {}
        }
        // Name, architecture and version stand before and after the digest: all are there when all are filled.
        let is_whole = is_ours && ![&one.name, &one.version, &one.architecture].iter().any(|text| text.is_empty());
        if is_whole {
            found = Some(one.clone());
        }
        !is_whole
    })?;
    Ok(found)
}

fn blank() -> Package {
    Package { name: String::new(), version: String::new(), architecture: String::new() }
}

fn evr(epoch: &str, version: &str, release: &str) -> String {
    let epoch = if matches!(epoch, "" | "0") { String::new() } else { format!("{epoch}:") };
    format!("{epoch}{version}-{release}")
}

/// How deep elements may lie in each other; real ones lie five deep.
const DEEPEST: usize = 16;

/// Walks through the elements: the path with the element, and `None` where it begins or its text. Ends when told so.
fn walk(
    what: &'static str,
    xml: &[u8],
    mut each: impl FnMut(&[&str], &BytesStart<'_>, Option<&str>) -> bool,
) -> Result<(), NotVerified> {
    let wrong = |why: String| NotVerified::Unreadable { what, why: escape(why) };
    let mut reader = Reader::from_reader(xml);
    let mut stack: Vec<(String, BytesStart<'static>)> = Vec::new();
    loop {
        let event = reader.read_event().map_err(|err| wrong(err.to_string()))?;
        let (is_empty, text) = match event {
            Event::Start(start) | Event::Empty(start) if stack.len() >= DEEPEST => {
                return Err(wrong(format!("elements lie too deep: {:?}", start.name())));
            }
            Event::Start(start) => {
                stack.push((name(&start), start.into_owned()));
                (false, None)
            }
            Event::Empty(start) => {
                stack.push((name(&start), start.into_owned()));
                (true, None)
            }
            Event::Text(text) => (false, Some(text.into_inner().into_owned())),
            Event::End(_) => {
                stack.pop();
                continue;
            }
            Event::Eof if stack.is_empty() => return Ok(()),
            Event::Eof => return Err(wrong("it ends in the middle".into())),
            Event::DocType(_) => return Err(wrong("it brings a type of its own".into())),
            _ => continue,
        };
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            continue;
        }
        let path: Vec<&str> = stack.iter().map(|(name, _)| name.as_str()).collect();
        if let Some((_, start)) = stack.last()
            && !each(&path, start, text.as_deref())
        {
            return Ok(());
        }
        if is_empty {
            stack.pop();
        }
    }
}

fn name(start: &BytesStart<'_>) -> String {
    start.local_name().as_ref().to_owned()
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = start.attributes().flatten().find(|one| one.key.as_ref() == name)?;
    Some(found.value.into_owned())
}

/// Verifies a package by the signature in it.
///
/// # Errors
///
/// [`NotVerified`] by what is wrong: no signature over the header, one that counts for nothing, or a payload that is
/// not the one whose digest the header holds.
pub fn signed(keys: &Keys, subject: Subject<'_>, now: Timestamp) -> Result<Verified, NotVerified> {
    let wrong = |why: &str| NotVerified::Unreadable { what: "rpm package", why: why.to_owned() };
    let bytes = subject.bytes;
    if !bytes.starts_with(&[0xed, 0xab, 0xee, 0xdb]) {
        return Err(wrong("it does not begin as one"));
    }
    let outer =
        Header::read(bytes.get(LEAD..).unwrap_or_default()).ok_or_else(|| wrong("its first header is broken"))?;
    // The first header is filled up to eight bytes.
    let begin = LEAD + outer.raw.len().next_multiple_of(8);
    let rest = bytes.get(begin..).unwrap_or_default();
    let header = Header::read(rest).ok_or_else(|| wrong("its second header is broken"))?;
    let payload = &rest[header.raw.len()..];
    let mut last = NotVerified::Unreadable { what: "signed rpm package", why: "its header is not signed".to_owned() };
    let armoured = outer.strings(OPENPGP).into_iter().filter_map(|text| STANDARD.decode(text).ok());
    let plain = [RSA, DSA].into_iter().filter_map(|tag| outer.bytes(tag)).map(<[u8]>::to_vec);
    for signature in plain.chain(armoured) {
        match keys.detached(header.raw, &signature, now) {
            Ok(signed) => return header.holds(payload, subject, &signed),
            Err(refused) => last = refused.into(),
        }
    }
    Err(last)
}

/// Bytes before the first header.
const LEAD: usize = 96;
const DSA: u32 = 267;
const RSA: u32 = 268;
const OPENPGP: u32 = 278;
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCHITECTURE: u32 = 1022;
const PAYLOAD: u32 = 5092;
const PAYLOAD_KIND: u32 = 5093;

/// The number of SHA-256 among digests (RFC 9580, section 9.5).
const SHA256: u32 = 8;

/// A header: its own bytes, its entries and its store.
struct Header<'a> {
    raw: &'a [u8],
    entries: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let number = |at: usize| number(bytes, at).and_then(|one| usize::try_from(one).ok());
        if !bytes.starts_with(&[0x8e, 0xad, 0xe8, 0x01]) {
            return None;
        }
        let (count, size) = (number(8)?, number(12)?);
        let end = count.checked_mul(16)?.checked_add(16)?;
        let raw = bytes.get(..end.checked_add(size)?)?;
        Some(Self { raw, entries: &raw[16..end], store: &raw[end..] })
    }

    /// Where the value of a tag begins, and how many there are.
    fn find(&self, tag: u32) -> Option<(&'a [u8], usize)> {
        let entry = self.entries.chunks_exact(16).find(|entry| number(entry, 0) == Some(tag))?;
        let at = usize::try_from(number(entry, 8)?).ok()?;
        Some((self.store.get(at..)?, usize::try_from(number(entry, 12)?).ok()?))
    }

    fn bytes(&self, tag: u32) -> Option<&'a [u8]> {
        let (store, count) = self.find(tag)?;
        store.get(..count)
    }

    fn strings(&self, tag: u32) -> Vec<String> {
        let Some((store, count)) = self.find(tag) else { return Vec::new() };
        let parts = store.split(|byte| *byte == 0).take(count.min(64));
        parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    }

    fn string(&self, tag: u32) -> String {
        self.strings(tag).into_iter().next().unwrap_or_default()
    }

    fn number(&self, tag: u32) -> Option<u32> {
        number(self.find(tag)?.0, 0)
    }

    fn holds(&self, payload: &[u8], subject: Subject<'_>, signed: &Signed) -> Result<Verified, NotVerified> {
        let found = hex(&Sha256::digest(payload));
        let said = self.string(PAYLOAD);
        if self.number(PAYLOAD_KIND) != Some(SHA256) || !said.eq_ignore_ascii_case(&found) {
            let said = if said.is_empty() { "none".to_owned() } else { escape(said) };
            return Err(NotVerified::Differs(format!(
                "what is packed in it has the digest {found}, and the signed header says {said}"
            )));
        }
        let epoch = self.number(EPOCH).unwrap_or_default().to_string();
        let package = Package {
            name: self.string(NAME),
            version: evr(&epoch, &self.string(VERSION), &self.string(RELEASE)),
            architecture: self.string(ARCHITECTURE),
        };
        let trust = Trust::Signed { key: signed.key().to_string(), made: signed.made() };
        Ok(Verified::new(subject, Some(package), trust))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
