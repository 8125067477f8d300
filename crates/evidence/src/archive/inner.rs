//! Inner: how is evidence opened that lies inside an archive?
//!
//! A support bundle in a zip, a disk in a tar: one level, named by the operator. Where the bytes lie open
//! they are used in place; where they have to be unpacked, a tar is met as a stream and anything else
//! only if it fits into memory. Nothing is written to disk.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use image::{Memory, ReadAt, Slice};

use super::{Archive, Content, Reopen};
use crate::catalogue::Place;
use crate::meta::Kind;

/// Bytes of an inner file that is neither open nor a tar and is unpacked into memory.
const IN_MEMORY: u64 = 64 << 20;

/// Blocks that the unpacking thread may be ahead.
const AHEAD: usize = 8;

/// A file inside an archive.
pub(crate) enum Inner {
    /// Its bytes lie open.
    Open(Arc<dyn ReadAt>),
    /// It has to be unpacked from the beginning.
    Stream(Reopen),
}

impl Inner {
    /// The first bytes, to tell what it is.
    pub(crate) fn beginning(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self {
            Self::Open(bytes) => {
                let count = usize::try_from(bytes.len()).unwrap_or(usize::MAX).min(buffer.len());
                bytes.read_at(0, &mut buffer[..count])?;
                count
            }
            Self::Stream(reopen) => {
                let mut stream = reopen()?.take(buffer.len() as u64);
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes)?;
                buffer[..bytes.len()].copy_from_slice(&bytes);
                bytes.len()
            }
        };
        Ok(count)
    }

    /// All of it at offsets; `None` if it has to be unpacked and is too large for that.
    pub(crate) fn at_offsets(&self) -> io::Result<Option<Arc<dyn ReadAt>>> {
        match self {
            Self::Open(bytes) => Ok(Some(Arc::clone(bytes))),
            Self::Stream(reopen) => {
                let mut bytes = Vec::new();
                reopen()?.take(IN_MEMORY + 1).read_to_end(&mut bytes)?;
                Ok((bytes.len() as u64 <= IN_MEMORY).then(|| Arc::new(Memory(bytes)) as Arc<dyn ReadAt>))
            }
        }
    }
}

impl Archive {
    /// A regular file of the archive, as something that can be opened in turn; `None` if there is none.
    pub(crate) fn inner(self, path: &[u8]) -> Option<Inner> {
        let found = self.resolver.entry(&self.catalogue, path)?;
        let item = self.catalogue.find(&found).filter(|item| item.meta.kind == Kind::File)?;
        let item = self.owner(&item);
        let open: Option<Arc<dyn ReadAt>> = match (&self.content, &item.place) {
            (Content::Plain(bytes), Place::At(at)) => {
                Slice::new(Arc::clone(bytes), *at, item.meta.size).map(|slice| Arc::new(slice) as _)
            }
            (Content::Zip(zip), Place::Member(n)) => zip.stored(*n),
            _ => None,
        };
        if let Some(open) = open {
            return Some(Inner::Open(open));
        }
        let path = item.meta.path.as_bytes().to_vec();
        let archive = Arc::new(self);
        Some(Inner::Stream(Box::new(move || Ok(Box::new(Passing::start(Arc::clone(&archive), path.clone()))))))
    }
}

/// The bytes of one member, unpacked by a thread of its own.
struct Passing {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
}

impl Passing {
    fn start(archive: Arc<Archive>, path: Vec<u8>) -> Self {
        let (send, blocks) = sync_channel(AHEAD);
        // Ends when its next block finds no receiver.
        std::thread::spawn(move || {
            let gone = || io::Error::other("nobody reads any more");
            let read = match archive.catalogue.find(&path) {
                Some(item) => archive.read(&item, &mut |bytes| send.send(Ok(bytes.to_vec())).map_err(|_| gone())),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            if let Err(error) = read {
                // If nobody reads any more, nobody has to be told.
                let _ = send.send(Err(error));
            }
        });
        Self { blocks, block: Vec::new(), at: 0 }
    }
}

impl Read for Passing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            match self.blocks.recv() {
                Ok(block) => (self.block, self.at) = (block?, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
