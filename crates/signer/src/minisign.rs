//! Minisign: did the owner of this key sign these bytes?
//!
//! The key itself is the pin: one line of base64. Both kinds of signature are verified, over the bytes and over their
//! BLAKE2b digest, and the trusted comment with them. Source: minisign(1), format of keys and signatures.

use directive::text::escape;
use jiff::Timestamp;
use minisign_verify::{Error, PublicKey, Signature};

use crate::key::Fingerprint;
use crate::{Refused, Signed};

/// The largest signature, in bytes; a real one has some hundred.
const LARGEST: usize = 16 << 10;

/// Verifies a detached signature: `key` is the line with the public key, or the file that holds it.
///
/// # Errors
///
/// [`Refused`] by what is wrong.
pub fn detached(key: &str, data: &[u8], signature: &str) -> Result<Signed, Refused> {
    let limit = LARGEST;
    for (what, text) in [("key of minisign", key), ("signature of minisign", signature)] {
        if text.len() > limit {
            return Err(Refused::TooLarge { what, limit });
        }
    }
    let line = key.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let read = PublicKey::from_base64(line).map_err(|err| unreadable("key of minisign", &err))?;
    let parsed = Signature::decode(signature).map_err(|err| unreadable("signature of minisign", &err))?;
    let name = Fingerprint::named(format!("minisign:{line}"));
    match read.verify(data, &parsed, true) {
        Ok(()) => Ok(Signed::new(name, made(&parsed), data)),
        Err(Error::UnexpectedKeyId) => {
            Err(Refused::OtherKey { claimed: "another key of minisign".to_owned(), pinned: name.to_string() })
        }
        Err(_) => Err(Refused::Changed { key: name.to_string() }),
    }
}

/// The trusted comment says when, where the signer did not write another: `timestamp:1618905600`.
fn made(signature: &Signature) -> Timestamp {
    let words = signature.trusted_comment().split([' ', '\t']);
    let seconds = words.filter_map(|word| word.strip_prefix("timestamp:")).find_map(|digits| digits.parse().ok());
    seconds.and_then(|seconds: i64| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn unreadable(what: &'static str, err: &Error) -> Refused {
    Refused::Unreadable { what, why: escape(err.to_string()) }
}
