//! Volume: can bytes of a disk make the search for volumes panic, hang or take memory without end?

#![no_main]

use std::sync::Arc;

use image::volume::{Keys, list};
use image::{Memory, ReadAt};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (volumes, blind) = list(Arc::new(Sparse(Memory(bytes.to_vec()))), &Keys(vec![b"key".to_vec()]));
    assert!(!volumes.is_empty() || !blind.is_empty(), "a disk of which nothing is said");
    let mut buffer = [0; 5000];
    for volume in volumes.iter().take(64) {
        let len = volume.bytes.len();
        for at in [0, 100, len / 2, len.saturating_sub(5000)] {
            let count = len.saturating_sub(at).min(5000) as usize;
            let _ = volume.bytes.read_at(at, &mut buffer[..count]);
        }
        assert!(volume.bytes.read_at(len, &mut [0]).is_err());
    }
});

/// Small inputs as a disk of 8 MiB: the last 64 KiB of the input lie at its end, where copies of
/// tables and superblocks are, and between them there are zeros.
struct Sparse(Memory);

const LEN: u64 = 8 << 20;
const TAIL: u64 = 64 << 10;

impl ReadAt for Sparse {
    fn len(&self) -> u64 {
        LEN
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= LEN);
        end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let there = self.0.0.len() as u64;
        let tail = TAIL.min(there / 2);
        buffer.fill(0);
        let bytes = &self.0.0;
        let (front, back) = bytes.split_at((there - tail) as usize);
        for (part, begin) in [(front, 0), (back, LEN - tail)] {
            let (from, to) = (offset.max(begin), (offset + buffer.len() as u64).min(begin + part.len() as u64));
            if from < to {
                let piece = &part[(from - begin) as usize..(to - begin) as usize];
                buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(piece);
            }
        }
        Ok(())
    }
}
