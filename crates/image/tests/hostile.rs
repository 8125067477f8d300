//! Hostile: does a changed or cut image end in an answer, whatever was changed?
//!
//! The seeds are those of the fuzz targets. What is found here must be an error or bytes, in bounded
//! time and memory; ci/fuzz.sh goes on where this stops.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "seeds are files")]

mod disk;

use std::path::Path;
use std::sync::Arc;

use disk::{Dice, memory};
use image::volume::{Keys, list};
use image::{ReadAt, container};

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let seeds = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let seeds: Vec<_> = seeds.collect();
    assert!(seeds.len() > 5);
    seeds
}

/// Each seed with some bytes changed, most of them in its headers, and some seeds cut.
fn changed(target: &str, mut each: impl FnMut(&[u8])) {
    let mut dice = Dice(20_210_420);
    for seed in seeds(target) {
        for round in 0..400 {
            let mut bytes = seed.clone();
            for _ in 0..=dice.below(4) {
                let reach = [64, 512, 4096, u64::MAX][usize::try_from(dice.below(4)).unwrap()];
                let at = usize::try_from(dice.below(reach.min(bytes.len() as u64))).unwrap();
                bytes[at] = [0, 0xFF, 1, 0x80, dice.next() as u8][usize::try_from(dice.below(5)).unwrap()];
            }
            if round % 4 == 0 {
                bytes.truncate(usize::try_from(dice.below(bytes.len() as u64)).unwrap());
            }
            each(&bytes);
        }
    }
}

fn read_here_and_there(disk: &dyn ReadAt) {
    let mut buffer = vec![0; 70_000];
    for at in [0, 1, 4096, 65_536, disk.len() / 2, disk.len().saturating_sub(70_000)] {
        let count = disk.len().saturating_sub(at).min(70_000);
        let _ = disk.read_at(at, &mut buffer[..usize::try_from(count).unwrap()]);
    }
    assert!(disk.read_at(disk.len(), &mut [0]).is_err());
}

#[test]
fn a_changed_container_is_an_error_or_bytes() {
    changed("container", |bytes| {
        let image = memory(bytes);
        if let Ok(disk) =
            container::open(Arc::clone(&image), &[("base".into(), Arc::clone(&image)), ("data".into(), image)])
        {
            read_here_and_there(&*disk);
        }
    });
}

#[test]
fn a_changed_disk_is_volumes_or_reasons() {
    changed("volume", |bytes| {
        let (volumes, blind) = list(memory(bytes), &Keys::default());
        assert!(!volumes.is_empty() || !blind.is_empty());
        volumes.iter().for_each(|volume| read_here_and_there(&*volume.bytes));
    });
}

#[test]
fn tables_within_tables_end() {
    // A table whose partition begins with a table whose partition begins with a table: each names
    // four ranges that hold the rest of the disk, so that 4^8 ranges could be looked at.
    let mut bytes = vec![0; 1 << 20];
    for (at, sector) in (0_u32..).zip(bytes.chunks_exact_mut(512)) {
        sector[510..].copy_from_slice(&[0x55, 0xAA]);
        for n in 0..4 {
            sector[446 + 16 * n + 4] = 0x83;
            sector[446 + 16 * n + 8] = 1 + n as u8;
            // Shorter from sector to sector, so that what is inside fits.
            let len = 1500_u32.saturating_sub(5 * at).max(1);
            sector[446 + 16 * n + 12..446 + 16 * n + 16].copy_from_slice(&len.to_le_bytes());
        }
    }
    let (volumes, blind) = list(memory(&bytes), &Keys::default());
    assert!(volumes.len() <= 1024 && blind.len() <= 4096, "{} {}", volumes.len(), blind.len());
    assert!(blind.iter().any(|blind| blind.why.contains("more than")));
}
