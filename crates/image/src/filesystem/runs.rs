//! Runs: where on the volume do the bytes of a file lie, and what are they?
//!
//! The one way in which file systems that store files as they are hand out content: large reads of
//! contiguous bytes straight into the buffer of whoever asked. What no run covers reads as zero, so a
//! file system in which files have no holes must check that its runs cover the file.

use std::io;
use std::sync::Arc;

use super::bytes::{damaged, not_read, plus};
use super::{Content, Error};
use crate::ReadAt;

/// Runs of one file: 48 MiB of memory. A real file in two million pieces has not been seen; a
/// crafted map of them costs a few bytes each.
const MOST_RUNS: usize = 2 << 20;

/// Bytes by which a sparse file may be larger than its volume. `lastlog` of a machine with large user
/// numbers is 1.2 TB of nothing; exabytes of nothing would be hashed for years.
const LARGEST_HOLES: u64 = 2 << 40;

/// A piece of a file that lies in one piece on the volume. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) logical: u64,
    pub(super) physical: u64,
    pub(super) length: u64,
}

/// All runs of a file, in order.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    /// Adds the next run; joins it with the last where they touch.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if it lies before the end of the last: maps are in order, and one that is
    /// not could hold the same leaf a million times. [`Error::NotRead`] if there are too many.
    pub(super) fn push(&mut self, logical: u64, physical: u64, length: u64) -> Result<(), Error> {
        plus(physical, length)?;
        plus(logical, length)?;
        if length == 0 {
            return Ok(());
        }
        if let Some(last) = self.0.last_mut() {
            let end = last.logical + last.length;
            if logical < end {
                return Err(damaged("the map of a file goes back"));
            }
            if logical == end && last.physical + last.length == physical {
                last.length += length;
                return Ok(());
            }
        }
        if self.0.len() == MOST_RUNS {
            return Err(not_read(format!("a file in more than {MOST_RUNS} pieces")));
        }
        self.0.push(Run { logical, physical, length });
        Ok(())
    }

    /// Where the next run must begin at the earliest.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |last| last.logical + last.length)
    }

    pub(super) fn all(&self) -> &[Run] {
        &self.0
    }

    /// Whether two pieces of the file lie on the same bytes.
    pub(super) fn overlap(&self) -> bool {
        let mut places: Vec<(u64, u64)> = self.0.iter().map(|run| (run.physical, run.length)).collect();
        places.sort_unstable();
        places.windows(2).any(|two| two[0].0 + two[0].1 > two[1].0)
    }

    /// The content of a file of `size` bytes that lies in these runs.
    ///
    /// # Errors
    ///
    /// [`Error::NotRead`] if the file is mostly holes and so large that reading it would not end.
    pub(super) fn content(self, volume: Arc<dyn ReadAt>, size: u64) -> Result<InRuns, Error> {
        if size > volume.len().saturating_add(LARGEST_HOLES) {
            return Err(not_read(format!("a file of {size} bytes, nearly all of them holes")));
        }
        Ok(InRuns { volume, runs: self.0, next: 0, size, position: 0 })
    }
}

/// Content that lies in runs.
pub(super) struct InRuns {
    volume: Arc<dyn ReadAt>,
    runs: Vec<Run>,
    /// The first run that does not end before `position`.
    next: usize,
    size: u64,
    position: u64,
}

impl InRuns {
    /// Goes to a place in the file.
    pub(super) fn seek(&mut self, position: u64) {
        self.position = position;
        self.next = self.runs.partition_point(|run| run.logical + run.length <= position);
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if it is more than `limit` bytes.
    pub(super) fn whole(mut self, limit: u64) -> Result<Vec<u8>, Error> {
        if self.size > limit {
            return Err(damaged(format!("{} bytes where at most {limit} can be", self.size)));
        }
        let mut bytes = vec![0; self.size as usize];
        self.exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Fills the buffer.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the content ends before that.
    pub(super) fn exact(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let count = self.read(buffer)?;
        if count < buffer.len() { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(()) }
    }
}

impl Content for InRuns {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let count = (buffer.len() as u64).min(self.size.saturating_sub(self.position)) as usize;
        let mut done = 0;
        while done < count {
            let wanted = (count - done) as u64;
            let target = &mut buffer[done..count];
            let part = match self.runs.get(self.next) {
                Some(run) if run.logical <= self.position => {
                    let into = self.position - run.logical;
                    let part = wanted.min(run.length - into) as usize;
                    self.volume.read_at(run.physical + into, &mut target[..part])?;
                    if into + part as u64 == run.length {
                        self.next += 1;
                    }
                    part
                }
                next => {
                    let hole = next.map_or(u64::MAX, |run| run.logical - self.position);
                    let part = wanted.min(hole) as usize;
                    target[..part].fill(0);
                    part
                }
            };
            done += part;
            self.position += part as u64;
        }
        Ok(done)
    }
}

/// Content that is in memory already.
pub(super) struct InMemory {
    pub(super) bytes: Vec<u8>,
    pub(super) position: usize,
}

impl Content for InMemory {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let rest = &self.bytes[self.position..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn holes_are_zero_and_runs_are_read_where_they_lie() {
        let volume = Arc::new(Memory((0..=255).collect()));
        let mut runs = Runs::default();
        runs.push(2, 10, 2).unwrap();
        runs.push(4, 12, 1).unwrap();
        runs.push(6, 100, 2).unwrap();
        assert_eq!(runs.all().len(), 2);
        assert_eq!(runs.content(volume, 9).unwrap().whole(9).unwrap(), [0, 0, 10, 11, 12, 0, 100, 101, 0]);
    }

    #[test]
    fn a_map_that_goes_back_is_damage() {
        let mut runs = Runs::default();
        runs.push(5, 10, 5).unwrap();
        assert!(matches!(runs.push(9, 0, 1), Err(Error::Damaged(_))));
        assert!(matches!(runs.push(u64::MAX, 0, 1), Err(Error::Damaged(_))));
    }

    #[test]
    fn an_exabyte_of_holes_is_not_read() {
        let volume = Arc::new(Memory(vec![0; 100]));
        assert!(matches!(Runs::default().content(volume, 1 << 60), Err(Error::NotRead(_))));
    }
}
