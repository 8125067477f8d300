//! Verify: is this package the one that its publisher made?
//!
//! A package counts by a digest that somebody pinned, by a signature under a pinned key, or by the list of a repository
//! that such a key has signed. Only that makes a [`Verified`], and only a `Verified` can be installed. Bytes in, answer
//! out. Source: ED 21-03 action 3; docs/update.md.

use directive::record::hex;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use signer::{Refused, Signed};

/// A package by its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The name of its file, without a folder.
    pub file: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl Subject<'_> {
    /// SHA-256 of them, in hex.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(self.bytes))
    }
}

/// What a package calls itself, as far as its publisher's list or its signed header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its whole version, as the package manager writes it.
    pub version: String,
    /// For which machines.
    pub architecture: String,
}

/// Why a package is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Its digest is the pinned one; who said so.
    Digest(String),
    /// It is signed itself.
    Signed {
        /// By whom.
        key: String,
        /// When, by the signer's clock.
        made: Timestamp,
    },
    /// A signed list of a repository names it.
    Listed {
        /// Who signed the list.
        key: String,
        /// When, by the signer's clock.
        made: Timestamp,
        /// Which repository, by its own words.
        list: String,
    },
}

impl std::fmt::Display for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = |at: &Timestamp| at.strftime("%Y-%m-%d").to_string();
        match self {
            Self::Digest(by) => write!(f, "its digest is the one of {by}"),
            Self::Signed { key, made } => write!(f, "signed by {key} on {}", day(made)),
            Self::Listed { key, made, list } => {
                write!(f, "in the list of {list}, signed by {key} on {}", day(made))
            }
        }
    }
}

/// A package that its publisher made. Only this crate makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    file: String,
    sha256: String,
    size: u64,
    package: Option<Package>,
    trust: Trust,
}

impl Verified {
    pub(crate) fn new(subject: Subject<'_>, package: Option<Package>, trust: Trust) -> Self {
        let size = subject.bytes.len() as u64;
        Self { file: subject.file.to_owned(), sha256: subject.sha256(), size, package, trust }
    }

    /// The name of its file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// SHA-256 of its bytes, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it calls itself, where that is signed too.
    pub fn package(&self) -> Option<&Package> {
        self.package.as_ref()
    }

    /// Why it is believed.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
}

/// Why a package is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotVerified {
    /// Its digest is another one.
    #[error("its digest is {found}, and pinned is {pinned}")]
    OtherDigest {
        /// What it has.
        found: String,
        /// What it should have.
        pinned: String,
    },
    /// The signature counts for nothing.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A list cannot be read.
    #[error("this is no {what}: {why}")]
    Unreadable {
        /// What it is said to be.
        what: &'static str,
        /// Why it is none.
        why: String,
    },
    /// The list has expired: somebody may keep newer ones from us.
    #[error("the list of {list} was valid until {until}")]
    Expired {
        /// Whose.
        list: String,
        /// Until when.
        until: Timestamp,
    },
    /// The signed list does not name the index.
    #[error("the signed list of {list} does not name this index")]
    OtherIndex {
        /// Whose.
        list: String,
    },
    /// The index does not name the package.
    #[error("the index of {list} does not name this package: no entry has its digest {sha256}")]
    NotListed {
        /// Whose.
        list: String,
        /// The package's digest.
        sha256: String,
    },
    /// What is signed and what is there differ.
    #[error("{0}")]
    Differs(String),
}

/// Verifies by a digest that somebody pinned; `by` says who.
///
/// # Errors
///
/// [`NotVerified::OtherDigest`].
pub fn by_digest(subject: Subject<'_>, pinned: &str, by: &str) -> Result<Verified, NotVerified> {
    let found = subject.sha256();
    if !found.eq_ignore_ascii_case(pinned.trim()) {
        return Err(NotVerified::OtherDigest { found, pinned: directive::text::escape(pinned.trim()) });
    }
    Ok(Verified::new(subject, None, Trust::Digest(by.to_owned())))
}

/// Takes what [`signer`] verified, if it was these bytes.
///
/// # Errors
///
/// [`NotVerified::OtherDigest`] if other bytes were signed.
pub fn by_signature(subject: Subject<'_>, signed: &Signed) -> Result<Verified, NotVerified> {
    let found = subject.sha256();
    if signed.sha256() != found {
        return Err(NotVerified::OtherDigest { found, pinned: signed.sha256().to_owned() });
    }
    let trust = Trust::Signed { key: signed.key().to_string(), made: signed.made() };
    Ok(Verified::new(subject, None, trust))
}
