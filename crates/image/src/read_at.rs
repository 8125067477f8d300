//! Bytes at an offset: the only way in which this crate sees an image.

use std::io;
use std::sync::Arc;

/// Bytes at an offset, for many threads at once.
pub trait ReadAt: Send + Sync {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the range leaves the bytes that there are; otherwise
    /// what the layer below says. Nothing is filled in for what cannot be read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }
}

/// Checks that a range lies inside `len` bytes.
///
/// # Errors
///
/// [`io::ErrorKind::UnexpectedEof`] if it does not.
pub(crate) fn within(len: u64, offset: u64, count: usize) -> io::Result<()> {
    match offset.checked_add(count as u64) {
        Some(end) if end <= len => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the range lies outside the bytes that there are")),
    }
}

/// A range of other bytes.
pub struct Slice {
    below: Arc<dyn ReadAt>,
    start: u64,
    len: u64,
}

impl Slice {
    /// `len` bytes from `start` of `below`; `None` if they are not all there.
    pub fn new(below: Arc<dyn ReadAt>, start: u64, len: u64) -> Option<Self> {
        (start.checked_add(len)? <= below.len()).then_some(Self { below, start, len })
    }
}

impl ReadAt for Slice {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.len, offset, buffer.len())?;
        self.below.read_at(self.start + offset, buffer)
    }
}

/// Bytes in memory: for tests and fuzzing.
pub struct Memory(pub Vec<u8>);

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.len(), offset, buffer.len())?;
        let from = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(&self.0[from..from + buffer.len()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_leaves_the_bytes_is_refused() {
        let memory: Arc<dyn ReadAt> = Arc::new(Memory(vec![7; 10]));
        assert!(Slice::new(Arc::clone(&memory), 4, 7).is_none());
        assert!(Slice::new(Arc::clone(&memory), u64::MAX, 2).is_none());
        let slice = Slice::new(memory, 4, 6).unwrap();
        assert!(slice.read_at(0, &mut [0; 6]).is_ok());
        assert!(slice.read_at(1, &mut [0; 6]).is_err());
        assert!(slice.read_at(u64::MAX, &mut [0; 1]).is_err());
    }
}
