//! Chain: were records edited, deleted or swapped after they were written?
//!
//! Each record's hash covers the one before it, so a change breaks the chain from there on. The end
//! of the chain is held by the `head` file and by every report that quotes it: whoever rewrites the
//! whole chain has to rewrite those too. That takes write access to the folder and to every copy of
//! a report, and is all that a store without a second party can promise.

use std::fmt;

use directive::record::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// SHA-256 over the hash before, the number and the record's bytes.
pub(crate) type Hash = [u8; 32];

/// What stands before the first record.
pub(crate) fn genesis() -> Hash {
    Sha256::digest(b"portcullis case v1").into()
}

/// The hash of the record number `seq` (from 1).
pub(crate) fn link(before: &Hash, seq: i64, body: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(seq.to_le_bytes());
    hasher.update((body.len() as u64).to_le_bytes());
    hasher.update(body);
    hasher.finalize().into()
}

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many records there are.
    pub records: i64,
    /// The hash of the last one, in hex.
    pub hash: String,
}

/// The first place at which a case is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The record's number, from 1.
    pub record: i64,
    /// Its id, where one can be read.
    pub id: Option<String>,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}", self.record)?;
        if let Some(id) = &self.id {
            write!(f, " ({})", directive::text::escape(id))?;
        }
        write!(f, ": {}", self.why)
    }
}

/// One row as it stands in the store.
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) hash: Vec<u8>,
}

/// Follows the chain row by row.
pub(crate) struct Walk {
    before: Hash,
    records: i64,
    /// The hash that the `head` file gives, once its record has been passed.
    head: Head,
}

impl Walk {
    pub(crate) fn new(head: Head) -> Self {
        Self { before: genesis(), records: 0, head }
    }

    /// Takes the next row in order of its number.
    pub(crate) fn step(&mut self, row: &Row) -> Result<(), Break> {
        let expected = self.records + 1;
        if row.seq != expected {
            return Err(Break { record: expected, id: None, why: "it is missing".into() });
        }
        let broken = |why: &str| Break { record: row.seq, id: Some(row.id.clone()), why: why.into() };
        let hash = link(&self.before, row.seq, row.body.as_bytes());
        if hash[..] != row.hash[..] {
            return Err(broken("it is not what was written, or not where it was written"));
        }
        let inside = serde_json::from_str::<serde_json::Value>(&row.body).ok();
        if inside.as_ref().and_then(|json| json.get("id")?.as_str()) != Some(row.id.as_str()) {
            return Err(broken("its id column was changed"));
        }
        if row.seq == self.head.records && hex(&hash) != self.head.hash {
            return Err(broken("the chain was written anew: the head file holds another hash for it"));
        }
        self.before = hash;
        self.records = row.seq;
        Ok(())
    }

    /// Ends the walk after the last row.
    pub(crate) fn end(self) -> Result<Head, Break> {
        if self.records < self.head.records {
            let why = format!("it is missing: the head file counts {} records", self.head.records);
            return Err(Break { record: self.records + 1, id: None, why });
        }
        Ok(Head { records: self.records, hash: hex(&self.before) })
    }
}
