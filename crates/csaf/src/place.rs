//! Place: how is a provider asked, over HTTP or in a folder?
//!
//! Nothing that comes back is trusted, so that a stick from the post is as good as a server.

mod folder;
mod http;

use std::io::{self, Read as _};

pub use folder::Folder;
pub use http::Http;

use crate::address::Address;

/// Where a provider's files are.
pub trait Place {
    /// The address of the provider's metadata: his name.
    fn metadata(&self) -> &Address;

    /// The bytes of a file; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error`], if it cannot be asked or has more than `limit` bytes.
    fn fetch(&self, at: &Address, limit: u64) -> Result<Option<Vec<u8>>, Error>;
}

/// Why a provider could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be asked for.
    #[error("cannot read {what}")]
    Unread {
        /// Its address.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than any real one.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// Its address.
        what: String,
        /// How many are read.
        limit: u64,
    },
    /// It lies where the operator did not say that we may ask.
    #[error("{what} is not of a host that may be asked")]
    Elsewhere {
        /// Its address.
        what: String,
    },
    /// It is not there.
    #[error("there is no {what}")]
    Missing {
        /// Its address.
        what: String,
    },
    /// It is no metadata of a provider.
    #[error("{what} is no metadata of a provider: {why}")]
    NoProvider {
        /// Its address.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads to the end, which must come in time.
fn read(what: &str, from: impl io::Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = from.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| Error::Unread { what: what.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { what: what.to_owned(), limit });
    }
    Ok(bytes)
}
