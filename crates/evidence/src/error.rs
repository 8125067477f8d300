//! Error: why can evidence not be opened?
//!
//! What lies below the root is an obstacle, not an error: these are about the evidence as a whole.

use std::path::PathBuf;

/// Why evidence cannot be opened. What lies below the root is an obstacle, not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The root is not there or may not be read.
    #[error("cannot open evidence {path:?}")]
    Open {
        /// As the caller gave it.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A folder was expected.
    #[error("evidence {path:?} is not a folder")]
    NotAFolder {
        /// As the caller gave it.
        path: PathBuf,
    },
    /// An archive or image was expected: one file.
    #[error("evidence {path:?} is not a regular file")]
    NotAFile {
        /// As the caller gave it.
        path: PathBuf,
    },
    /// It is not of the form that its name says, or not one that is read.
    #[error("evidence {path:?} cannot be read: {why}")]
    Refused {
        /// As the caller gave it.
        path: PathBuf,
        /// What is wrong, and what helps.
        why: String,
    },
    /// The disk image cannot be opened.
    #[error("the disk image {path:?} cannot be opened")]
    Image {
        /// As the caller gave it.
        path: PathBuf,
        /// What is wrong with it.
        source: image::container::Error,
    },
    /// Somebody asked to stop while it was opened.
    #[error("stopped while the evidence {path:?} was opened")]
    Stopped {
        /// As the caller gave it.
        path: PathBuf,
    },
}
