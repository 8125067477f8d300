//! OpenPGP: which pinned key signed these bytes, and might it do so then?
//!
//! The library verifies the arithmetic of single signatures; whether a key had the right to make one at that time is
//! ours (`policy.rs`), since it judges no certificate as a whole, and the library that does binds whoever links it to
//! its own licence. Source: RFC 9580, sections 5.2, 7 (cleartext), 10.1 (certificates).

mod policy;

use std::io::Cursor;

use directive::text::escape;
use jiff::Timestamp;
use pgp::composed::{CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedPublicKey};
use pgp::packet::Signature;
use pgp::types::KeyDetails as _;

use crate::key::{Fingerprint, names};
use crate::{Refused, Signed};

/// The largest file of keys that is read, in bytes: Debian's whole keyring of developers has 30 MB, those of its
/// archive have less than one.
const KEYS: usize = 8 << 20;

/// The largest detached signature, in bytes; one has less than two KB, and a file may hold some.
const SIGNATURE: usize = 256 << 10;

/// The largest text with a signature in it, in bytes: that of Debian's archive has 0.2 MB.
const TEXT: usize = 32 << 20;

/// How many certificates and signatures are looked at. Each signature is tried with each key that it names.
const MANY: usize = 512;

/// Certificates to hold signatures against.
#[derive(Debug, Clone)]
pub struct Keys {
    certificates: Vec<SignedPublicKey>,
}

impl Keys {
    /// Reads certificates, binary or armoured, as many as there are.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLarge`], or [`Refused::Unreadable`] if one cannot be read: half a keyring is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let what = "OpenPGP key";
        if bytes.len() > KEYS {
            return Err(Refused::TooLarge { what, limit: KEYS });
        }
        let unreadable = |why: String| Refused::Unreadable { what, why };
        let mut certificates = Vec::new();
        for part in armoured(bytes) {
            let (found, _) = SignedPublicKey::from_reader_many_buf(Cursor::new(part))
                .map_err(|err| unreadable(escape(err.to_string())))?;
            for one in found.take(MANY + 1) {
                certificates.push(one.map_err(|err| unreadable(escape(err.to_string())))?);
            }
        }
        if certificates.is_empty() || certificates.len() > MANY {
            return Err(unreadable(format!("it holds {} certificates", certificates.len())));
        }
        Ok(Self { certificates })
    }

    /// The fingerprints, each of a whole certificate.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.certificates.iter().map(of).collect()
    }

    /// Keeps those that are pinned.
    ///
    /// # Errors
    ///
    /// [`Refused::NotPinned`] if none is.
    pub fn pinned(self, pins: &[Fingerprint]) -> Result<Self, Refused> {
        let found = self.fingerprints();
        let certificates: Vec<_> = self.certificates.into_iter().filter(|one| pins.contains(&of(one))).collect();
        if certificates.is_empty() {
            return Err(Refused::NotPinned { found: names(&found), pinned: names(pins) });
        }
        Ok(Self { certificates })
    }

    /// Verifies a detached signature, armoured or binary. Of several, one that counts is enough.
    ///
    /// # Errors
    ///
    /// [`Refused`] by what is wrong with the one that comes nearest.
    pub fn detached(&self, data: &[u8], signature: &[u8], now: Timestamp) -> Result<Signed, Refused> {
        let what = "OpenPGP signature";
        if signature.len() > SIGNATURE {
            return Err(Refused::TooLarge { what, limit: SIGNATURE });
        }
        let unreadable = |why: String| Refused::Unreadable { what, why: escape(why) };
        let (found, _) = DetachedSignature::from_reader_many_buf(Cursor::new(signature))
            .map_err(|err| unreadable(err.to_string()))?;
        let found: Result<Vec<_>, _> = found.take(MANY).collect();
        let found = found.map_err(|err| unreadable(err.to_string()))?;
        let signatures: Vec<&Signature> = found.iter().map(|one| &one.signature).collect();
        self.judge(&signatures, data, now)
    }

    /// Verifies a text that holds its signature, and gives the text that was signed and nothing around it.
    ///
    /// # Errors
    ///
    /// [`Refused`] by what is wrong with the one that comes nearest.
    pub fn clear(&self, text: &[u8], now: Timestamp) -> Result<(Signed, String), Refused> {
        let what = "text with an OpenPGP signature";
        if text.len() > TEXT {
            return Err(Refused::TooLarge { what, limit: TEXT });
        }
        let unreadable = |why: String| Refused::Unreadable { what, why: escape(why) };
        let text = std::str::from_utf8(text).map_err(|err| unreadable(err.to_string()))?;
        let (message, _) = CleartextSignedMessage::from_string(text).map_err(|err| unreadable(err.to_string()))?;
        let signatures: Vec<&Signature> = message.signatures().iter().take(MANY).collect();
        let said = message.signed_text();
        let signed = self.judge(&signatures, said.as_bytes(), now)?;
        Ok((signed, said))
    }

    fn judge(&self, signatures: &[&Signature], data: &[u8], now: Timestamp) -> Result<Signed, Refused> {
        let mut nearest: Option<Refused> = None;
        for signature in signatures {
            match self.judge_one(signature, data, now) {
                Ok(signed) => return Ok(signed),
                // What a pinned key signed and must not be believed says more than that a stranger signed too.
                Err(other @ Refused::OtherKey { .. }) => nearest = nearest.or(Some(other)),
                Err(why) => nearest = Some(why),
            }
        }
        let none = || Refused::Unreadable { what: "OpenPGP signature", why: "it holds none".to_owned() };
        Err(nearest.unwrap_or_else(none))
    }

    fn judge_one(&self, signature: &Signature, data: &[u8], now: Timestamp) -> Result<Signed, Refused> {
        let mut nearest = None;
        for certificate in &self.certificates {
            match policy::judge(certificate, signature, data, now) {
                Some(Ok(made)) => return Ok(Signed::new(of(certificate), made, data)),
                Some(Err(why)) => nearest = Some(why),
                None => {}
            }
        }
        Err(nearest
            .unwrap_or_else(|| Refused::OtherKey { claimed: claimed(signature), pinned: names(&self.fingerprints()) }))
    }
}

fn of(certificate: &SignedPublicKey) -> Fingerprint {
    Fingerprint::of(certificate.fingerprint().as_bytes())
}

/// Whose a signature says it is.
fn claimed(signature: &Signature) -> String {
    let prints = signature.issuer_fingerprint().into_iter().map(|print| Fingerprint::of(print.as_bytes()).to_string());
    let ids = signature.issuer_key_id().into_iter().map(|id| id.to_string().to_ascii_uppercase());
    prints.chain(ids).next().unwrap_or_else(|| "a key that it does not name".to_owned())
}

/// Armoured blocks that follow each other, each by itself: the library reads the first one only. Binary bytes are one.
fn armoured(bytes: &[u8]) -> Vec<&[u8]> {
    const HEAD: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
    let starts: Vec<usize> =
        bytes.windows(HEAD.len()).enumerate().filter(|(_, window)| *window == HEAD).map(|(at, _)| at).collect();
    if starts.len() < 2 {
        return vec![bytes];
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().zip(ends).map(|(start, end)| &bytes[*start..end]).collect()
}
