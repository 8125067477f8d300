//! Overlay: what would the volume hold if its journal had been written back?
//!
//! The volume stays as it is; units that the journal holds newer are taken from there.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::ReadAt;

/// What stands over one unit.
pub(super) enum Newer {
    /// The bytes themselves.
    Bytes(Box<[u8]>),
    /// Bytes elsewhere on the volume; `head` replaces the first four of them.
    At { position: u64, head: Option<[u8; 4]> },
}

/// A volume with newer units over it.
pub(super) struct Overlay {
    below: Arc<dyn ReadAt>,
    unit: u64,
    newer: BTreeMap<u64, Newer>,
}

impl Overlay {
    /// `unit` in bytes, not zero.
    pub(super) fn new(below: Arc<dyn ReadAt>, unit: u64) -> Self {
        Self { below, unit, newer: BTreeMap::new() }
    }

    pub(super) fn put(&mut self, number: u64, newer: Newer) {
        self.newer.insert(number, newer);
    }

    /// How many units are newer.
    pub(super) fn count(&self) -> usize {
        self.newer.len()
    }

    fn one(&self, newer: &Newer, from: u64, buffer: &mut [u8]) -> io::Result<()> {
        match newer {
            Newer::Bytes(bytes) => {
                let from = from as usize;
                let bytes = bytes.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(bytes);
            }
            Newer::At { position, head } => {
                let at = position.checked_add(from).ok_or(io::ErrorKind::UnexpectedEof)?;
                self.below.read_at(at, buffer)?;
                if let Some(head) = head {
                    for (n, byte) in buffer.iter_mut().enumerate().take(4) {
                        if let Some(byte_of_head) = head.get(from as usize + n) {
                            *byte = *byte_of_head;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl ReadAt for Overlay {
    fn len(&self) -> u64 {
        self.below.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        crate::read_at::within(self.len(), offset, buffer.len())?;
        let end = offset + buffer.len() as u64;
        let mut at = offset;
        for (number, newer) in self.newer.range(offset / self.unit..end.div_ceil(self.unit)) {
            let start = (number * self.unit).max(offset);
            let stop = (number * self.unit).saturating_add(self.unit).min(end);
            if start > at {
                self.below.read_at(at, &mut buffer[(at - offset) as usize..(start - offset) as usize])?;
            }
            let target = &mut buffer[(start - offset) as usize..(stop - offset) as usize];
            self.one(newer, start % self.unit, target)?;
            at = stop;
        }
        if at < end {
            self.below.read_at(at, &mut buffer[(at - offset) as usize..])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[test]
    fn newer_units_stand_over_the_volume() {
        let mut overlay = Overlay::new(Arc::new(Memory((0..40).collect())), 8);
        overlay.put(1, Newer::Bytes(vec![100; 8].into()));
        overlay.put(3, Newer::At { position: 0, head: Some([9, 9, 9, 9]) });
        let mut all = [0; 40];
        overlay.read_at(0, &mut all).unwrap();
        assert_eq!(all[6..17], [6, 7, 100, 100, 100, 100, 100, 100, 100, 100, 16]);
        assert_eq!(all[23..33], [23, 9, 9, 9, 9, 4, 5, 6, 7, 32]);
        let mut some = [0; 4];
        overlay.read_at(26, &mut some).unwrap();
        assert_eq!(some, [9, 9, 4, 5]);
    }
}
