//! Cache: which pieces of metadata were read a moment ago?
//!
//! Bounded: the oldest piece of a shard leaves when a new one comes. Shards keep threads apart, and
//! nothing is read from below while a shard is locked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Error;
use crate::ReadAt;

/// As many as the threads that we expect at most.
const SHARDS: u64 = 16;

/// Values by number, each made once and kept for a while.
pub(super) struct Cache<V> {
    shards: Vec<Mutex<Shard<V>>>,
    most: usize,
}

struct Shard<V> {
    values: HashMap<u64, Arc<V>>,
    order: VecDeque<u64>,
}

impl<V> Cache<V> {
    /// Keeps at most `entries` values.
    pub(super) fn new(entries: usize) -> Self {
        let shard = || Mutex::new(Shard { values: HashMap::new(), order: VecDeque::new() });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), most: entries.div_ceil(SHARDS as usize) }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard<V>> {
        // Neighbours go to different shards, and so do those that differ in high bits only.
        let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.shards[(spread % SHARDS) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`, made by `make` if it is not kept. Two threads may both make it.
    ///
    /// # Errors
    ///
    /// What `make` says; an error is not kept.
    pub(super) fn get(&self, key: u64, make: impl FnOnce() -> Result<V, Error>) -> Result<Arc<V>, Error> {
        if let Some(value) = self.shard(key).values.get(&key) {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(make()?);
        let mut shard = self.shard(key);
        if shard.values.insert(key, Arc::clone(&value)).is_none() {
            shard.order.push_back(key);
            if shard.order.len() > self.most
                && let Some(oldest) = shard.order.pop_front()
            {
                shard.values.remove(&oldest);
            }
        }
        Ok(value)
    }
}

/// Bytes a piece: an inode table is read in order, so neighbours come along.
const PIECE: u64 = 16 << 10;

/// Pieces kept: 32 MiB at most, whatever the image.
const PIECES: usize = 2048;

/// Inodes, folders and maps of a volume, read through a cache.
pub(super) struct Metadata {
    below: Arc<dyn ReadAt>,
    cache: Cache<Vec<u8>>,
}

impl Metadata {
    pub(super) fn new(below: Arc<dyn ReadAt>) -> Self {
        Self { below, cache: Cache::new(PIECES) }
    }

    /// Fills `buffer` from `position` of the volume.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] as from below.
    pub(super) fn read(&self, position: u64, buffer: &mut [u8]) -> Result<(), Error> {
        crate::read_at::within(self.below.len(), position, buffer.len())?;
        let mut done = 0;
        while done < buffer.len() {
            let at = position + done as u64;
            let piece = self.cache.get(at / PIECE, || {
                let start = at / PIECE * PIECE;
                let mut bytes = vec![0; PIECE.min(self.below.len() - start) as usize];
                self.below.read_at(start, &mut bytes)?;
                Ok(bytes)
            });
            let Ok(piece) = piece else {
                // A bad sector next to ours is no reason to lose ours.
                return Ok(self.below.read_at(at, &mut buffer[done..])?);
            };
            let from = (at % PIECE) as usize;
            let count = (piece.len() - from).min(buffer.len() - done);
            buffer[done..done + count].copy_from_slice(&piece[from..from + count]);
            done += count;
        }
        Ok(())
    }

    /// `count` bytes from `position`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] as from below.
    pub(super) fn bytes(&self, position: u64, count: usize) -> Result<Vec<u8>, Error> {
        // Asked before memory is taken: `count` may be a claim.
        crate::read_at::within(self.below.len(), position, count)?;
        let mut bytes = vec![0; count];
        self.read(position, &mut bytes)?;
        Ok(bytes)
    }
}
