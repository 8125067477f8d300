//! Joined: how do several ranges become one run of bytes?
//!
//! Extents of a vmdk disk, segments of a logical volume. A range that nobody filled is zeros only
//! where the description says so.

use std::io;
use std::sync::Arc;

use crate::ReadAt;
use crate::read_at::within;

/// Zeros that a description asks for.
pub(crate) struct Zeros(pub(crate) u64);

impl ReadAt for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.0, offset, buffer.len())?;
        buffer.fill(0);
        Ok(())
    }
}

/// Ranges one after another.
#[derive(Default)]
pub(crate) struct Joined {
    /// Where each part ends, and its bytes.
    parts: Vec<(u64, Arc<dyn ReadAt>)>,
}

impl Joined {
    /// Appends a part; `None` if the sum leaves 64 bits.
    pub(crate) fn push(&mut self, part: Arc<dyn ReadAt>) -> Option<()> {
        let end = self.len().checked_add(part.len())?;
        if !part.is_empty() {
            self.parts.push((end, part));
        }
        Some(())
    }
}

impl ReadAt for Joined {
    fn len(&self) -> u64 {
        self.parts.last().map_or(0, |(end, _)| *end)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.len(), offset, buffer.len())?;
        let (mut offset, mut rest) = (offset, buffer);
        let mut next = self.parts.partition_point(|(end, _)| *end <= offset);
        while !rest.is_empty() {
            let (end, part) = self.parts.get(next).ok_or(io::ErrorKind::UnexpectedEof)?;
            let now = clip(end - offset, rest.len());
            let (head, tail) = rest.split_at_mut(now);
            part.read_at(offset - (end - part.len()), head)?;
            (offset, rest, next) = (offset + now as u64, tail, next + 1);
        }
        Ok(())
    }
}

/// Chunks dealt out in turn over parts of equal length (RAID-0).
pub(crate) struct Striped {
    parts: Vec<Arc<dyn ReadAt>>,
    chunk: u64,
    len: u64,
}

impl Striped {
    /// `None` unless all parts have the same length, a multiple of `chunk` bytes.
    pub(crate) fn new(parts: Vec<Arc<dyn ReadAt>>, chunk: u64) -> Option<Self> {
        let each = parts.first()?.len();
        let is_even = chunk != 0 && each.is_multiple_of(chunk) && parts.iter().all(|part| part.len() == each);
        let len = each.checked_mul(parts.len() as u64)?;
        is_even.then_some(Self { parts, chunk, len })
    }
}

impl ReadAt for Striped {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.len, offset, buffer.len())?;
        let (mut offset, mut rest) = (offset, buffer);
        let width = self.parts.len() as u64;
        while !rest.is_empty() {
            let (chunk, inside) = (offset / self.chunk, offset % self.chunk);
            let now = clip(self.chunk - inside, rest.len());
            let (head, tail) = rest.split_at_mut(now);
            let part = usize::try_from(chunk % width).map_err(|_| io::ErrorKind::InvalidData)?;
            self.parts[part].read_at(chunk / width * self.chunk + inside, head)?;
            (offset, rest) = (offset + now as u64, tail);
        }
        Ok(())
    }
}

/// The lesser of what there is and what is wanted.
pub(crate) fn clip(there: u64, wanted: usize) -> usize {
    usize::try_from(there).map_or(wanted, |there| there.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    fn memory(bytes: &[u8]) -> Arc<dyn ReadAt> {
        Arc::new(Memory(bytes.to_vec()))
    }

    fn all(bytes: &dyn ReadAt) -> Vec<u8> {
        let mut buffer = vec![9; usize::try_from(bytes.len()).unwrap()];
        bytes.read_at(0, &mut buffer).unwrap();
        buffer
    }

    #[test]
    fn parts_follow_one_another_and_end() {
        let mut joined = Joined::default();
        joined.push(memory(&[1, 2, 3])).unwrap();
        joined.push(Arc::new(Zeros(2))).unwrap();
        joined.push(memory(&[4])).unwrap();
        assert_eq!(all(&joined), [1, 2, 3, 0, 0, 4]);
        let mut middle = [0; 3];
        joined.read_at(2, &mut middle).unwrap();
        assert_eq!(middle, [3, 0, 0]);
        assert!(joined.read_at(4, &mut middle).is_err());
        assert!(joined.push(Arc::new(Zeros(u64::MAX))).is_none());
    }

    #[test]
    fn stripes_are_dealt_in_turn() {
        let striped = Striped::new(vec![memory(&[0, 1, 4, 5]), memory(&[2, 3, 6, 7])], 2).unwrap();
        assert_eq!(all(&striped), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(Striped::new(vec![memory(&[0]), memory(&[2, 3])], 1).is_none());
        assert!(Striped::new(vec![memory(&[0])], 0).is_none());
    }
}
