//! Error: why is something that a repository offers not taken?

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

/// Why an update or a download came to nothing. What was trusted before still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was offered does not hold.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The repository could not be asked.
    #[error("the repository cannot be read: {what}")]
    Source {
        /// What was asked for.
        what: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The repository does not have what its own metadata name, or what every repository has.
    #[error("the repository has no {what}: it is not whole, or this is none")]
    Missing {
        /// The file.
        what: String,
    },
    /// The folder with what is trusted could not be read or written.
    #[error("cannot use {path:?}, where what is trusted is kept")]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why what a repository offers is refused: each attack has its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is not of the form that the specification gives it.
    #[error("{role} is not metadata of that role: {why}")]
    Form {
        /// The role.
        role: String,
        /// What is wrong.
        why: String,
    },
    /// Arbitrary software: too few of the keys that count signed it.
    #[error("{role} is signed by {valid} of the keys that count, and {threshold} must: somebody else made it")]
    Unsigned {
        /// The role.
        role: String,
        /// How many must sign.
        threshold: u64,
        /// How many did.
        valid: u64,
    },
    /// Rollback: it is older than what was seen before.
    #[error("{role} has version {offered}, and version {trusted} was seen before: somebody shows an old state")]
    Rollback {
        /// The role.
        role: String,
        /// The version that is trusted.
        trusted: u64,
        /// The version that is offered.
        offered: u64,
    },
    /// The next root must have the next version.
    #[error("the root has version {offered} where {expected} must come")]
    RootOrder {
        /// The version that must come.
        expected: u64,
        /// The version that is offered.
        offered: u64,
    },
    /// Freeze: nobody said in time that it is still current.
    #[error("{role} expired at {since}: nobody vouches that it is still current")]
    Expired {
        /// The role.
        role: String,
        /// Since when.
        since: Timestamp,
    },
    /// Mix and match: it is not the version that belongs to the others.
    #[error("{role} has version {offered}, and version {listed} is listed: states of two times are mixed")]
    Mixed {
        /// The role.
        role: String,
        /// The version that is listed.
        listed: u64,
        /// The version that is offered.
        offered: u64,
    },
    /// It was listed, and is listed no more.
    #[error("the snapshot lists {file} no more, and it did before")]
    Dropped {
        /// The file.
        file: String,
    },
    /// It is not listed.
    #[error("the snapshot does not list {file}")]
    Unlisted {
        /// The file.
        file: String,
    },
    /// Other bytes than those that were signed for.
    #[error("{what} has another digest than the one that is signed for")]
    Digest {
        /// The file.
        what: String,
    },
    /// Other bytes than those that were signed for, by their number.
    #[error("{what} has another length than the one that is signed for")]
    Length {
        /// The file.
        what: String,
    },
    /// Endless data.
    #[error("{what} has more than {limit} bytes")]
    TooLong {
        /// The file.
        what: String,
        /// How many it may have.
        limit: u64,
    },
    /// More than directives ever were.
    #[error("the repository lists {packs} packs with {files} files: this is no repository of directives")]
    TooMany {
        /// How many packs.
        packs: usize,
        /// How many files in all.
        files: usize,
    },
    /// Nobody who may sign for it does.
    #[error("nobody who may sign for {path} lists it")]
    Unknown {
        /// Its path.
        path: String,
    },
    /// A path that leads elsewhere.
    #[error("{path} is no path of a repository")]
    Path {
        /// The path.
        path: String,
    },
}

impl Refused {
    pub(crate) fn form(role: &str, why: impl ToString) -> Self {
        Self::Form { role: role.to_owned(), why: why.to_string() }
    }
}
