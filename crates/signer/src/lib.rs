//! Who signed these bytes?
//!
//! What a vendor publishes is signed with OpenPGP, minisign or sigstore. A signature proves nothing by itself: only one
//! under a key that somebody pinned before does. So every function here takes the key as its owner's fingerprint names
//! it, the bytes and the time, and gives a [`Signed`] or says by name why not. Bytes in, answer out: it opens nothing,
//! asks nobody and knows no clock. Shared by what verifies packages and what reads advisories; fenced, since it meets
//! whatever a network brings; a crate of its own because OpenPGP is heavy.
//! Serves ED 21-03 action 3. Source: RFC 9580; minisign(1); CSAF 2.0, section 7.1.20.

mod key;
pub mod minisign;
pub mod openpgp;
pub mod sigstore;

use directive::record::hex;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

pub use self::key::Fingerprint;

/// Bytes whose signature is verified. Only the functions of this crate make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    key: Fingerprint,
    made: Timestamp,
    sha256: String,
}

impl Signed {
    pub(crate) fn new(key: Fingerprint, made: Timestamp, data: &[u8]) -> Self {
        Self { key, made, sha256: hex(&Sha256::digest(data)) }
    }

    /// SHA-256 of the bytes that are signed, in hex: so that it cannot be held beside others.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The pinned key that signed, or whose subkey did.
    pub fn key(&self) -> &Fingerprint {
        &self.key
    }

    /// When, by the signer's clock.
    pub fn made(&self) -> Timestamp {
        self.made
    }
}

/// Why a signature counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is larger than any real one.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How much is read.
        limit: usize,
    },
    /// It cannot be read as what it is said to be.
    #[error("this is no {what}: {why}")]
    Unreadable {
        /// What it is said to be.
        what: &'static str,
        /// Why it is none.
        why: String,
    },
    /// None of the keys that were given is pinned.
    #[error("none of these keys is pinned: {found}; pinned are {pinned}")]
    NotPinned {
        /// The keys that were given.
        found: String,
        /// Those that are pinned.
        pinned: String,
    },
    /// No key that is pinned made it.
    #[error("it is signed by {claimed}, and pinned are {pinned}")]
    OtherKey {
        /// Whose it says it is.
        claimed: String,
        /// Those that are pinned.
        pinned: String,
    },
    /// The bytes are not those that were signed.
    #[error("the bytes are not those that {key} signed")]
    Changed {
        /// The key.
        key: String,
    },
    /// The key did not have the right to make it then.
    #[error("{key} must not be believed: {why}")]
    Key {
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
    /// The signature itself is too weak, too old or of another kind.
    #[error("the signature of {key} counts for nothing: {why}")]
    Weak {
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
}
