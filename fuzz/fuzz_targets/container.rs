//! Container: can bytes of a disk image make the reader panic, hang or take memory without end?

#![no_main]

use std::sync::Arc;

use image::{Memory, ReadAt, container};
use libfuzzer_sys::fuzz_target;

// An image that names others finds itself under these names.
const NAMES: [&str; 4] = ["base", "data", "disk-s001.vmdk", "disk-flat.vmdk"];

fuzz_target!(|bytes: &[u8]| {
    let image: Arc<dyn ReadAt> = Arc::new(Memory(spread(bytes)));
    let others: Vec<_> = NAMES.iter().map(|name| ((*name).to_owned(), Arc::clone(&image))).collect();
    let Ok(disk) = container::open(image, &others) else { return };
    let len = disk.len();
    let mut buffer = vec![0; 70_000];
    let steps = [0, 1, 511, 4096, 65_536, 1 << 20, 1 << 30, len / 3, len / 2, len.saturating_sub(70_000)];
    for at in steps.into_iter().chain((0..16).map(|n| n * 65_536)) {
        let count = len.saturating_sub(at).min(buffer.len() as u64) as usize;
        let _ = disk.read_at(at, &mut buffer[..count]);
    }
    assert!(disk.read_at(len, &mut [0]).is_err());
    assert!(disk.read_at(u64::MAX, &mut [0; 2]).is_err());
});

/// What a vhdx file has in its first 4 MiB lies far apart: an input holds it close together.
const VHDX: [(usize, usize); 8] = [
    (0, 4096),
    (64 << 10, 4096),
    (128 << 10, 4096),
    (192 << 10, 4096),
    (1 << 20, 8192),
    (2 << 20, 4096),
    ((2 << 20) + (64 << 10), 4096),
    (3 << 20, 4096),
];

fn spread(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(b"vhdxfile") {
        return bytes.to_vec();
    }
    let mut file = vec![0; 5 << 20];
    let mut rest = bytes;
    for (at, count) in VHDX {
        let (head, tail) = rest.split_at(count.min(rest.len()));
        file[at..at + head.len()].copy_from_slice(head);
        rest = tail;
    }
    file
}
