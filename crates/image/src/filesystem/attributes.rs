//! Attributes: how many extended attributes may one node have?
//!
//! Thousands of entries can name the same large value, so that a few kilobytes stand for gigabytes.

use super::Error;
use super::bytes::damaged;

/// Bytes of all names and values of one node. Linux lists at most 64 KiB of names.
const LARGEST: usize = 32 << 20;

/// Attributes as they are found.
#[derive(Default)]
pub(super) struct Attributes {
    list: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Attributes {
    /// Adds one: full name and value.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if all together are larger than any node can have.
    pub(super) fn push(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        self.bytes += name.len() + value.len() + 64;
        if self.bytes > LARGEST {
            return Err(damaged("attributes of one node larger than any node can have"));
        }
        self.list.push((name, value));
        Ok(())
    }

    pub(super) fn all(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.list
    }
}
