//! Hash: all digests of a file, and its content where that is wanted, from one passage of its bytes.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::source::{Digests, Nature, Wants};

/// Digests in the making.
pub(crate) struct Hash {
    sha256: Sha256,
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    /// What the first bytes tell; absent before there are any.
    nature: Option<Nature>,
    /// The bytes so far, as long as they are no more than is wanted.
    content: Option<Vec<u8>>,
    content_limit: u64,
}

/// What one passage gave.
pub(crate) struct Passed {
    pub(crate) digests: Digests,
    pub(crate) content: Option<Vec<u8>>,
}

impl Hash {
    pub(crate) fn new(wants: Wants) -> Self {
        Self {
            sha256: Sha256::new(),
            md5: wants.md5.then(Md5::new),
            sha1: wants.sha1.then(Sha1::new),
            nature: None,
            content: (wants.content > 0).then(Vec::new),
            content_limit: wants.content,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if self.nature.is_none() && !bytes.is_empty() {
            self.nature = Some(Nature::of(&bytes[..bytes.len().min(8)]));
        }
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        if let Some(content) = &mut self.content {
            if (content.len() + bytes.len()) as u64 > self.content_limit {
                self.content = None;
            } else {
                content.extend_from_slice(bytes);
            }
        }
    }

    pub(crate) fn finish(self) -> Passed {
        let digests = Digests {
            sha256: self.sha256.finalize().into(),
            md5: self.md5.map(|md5| md5.finalize().into()),
            sha1: self.sha1.map(|sha1| sha1.finalize().into()),
            nature: self.nature.unwrap_or_default(),
        };
        Passed { digests, content: self.content }
    }
}
