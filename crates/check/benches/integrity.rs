//! How fast is evidence held against a list? Goal: no slower than hashing on all cores.
//!
//! Inputs: 64 files of 1 MiB (hashing), 2,000 files of 1 KiB in 50 folders (walking). Warm page
//! cache. Recorded runs against `sha256sum` are made by `bench/integrity.sh` and kept in
//! `bench/runs/`.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench builds its own folder")]

use std::num::NonZeroUsize;
use std::path::Path;

use check::Manifest;
use check::integrity::{Baseline, Request, check};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use directive::progress::Unwatched;
use directive::record::hex;
use sha2::Digest as _;

/// Writes `count` files of `size` bytes and gives the list of what is there.
fn build(root: &Path, count: usize, size: usize) -> Manifest<check::Operator> {
    let mut list = String::new();
    for n in 0..count {
        let folder = format!("d{}", n % 50);
        std::fs::create_dir_all(root.join(&folder)).unwrap();
        let content = n.to_le_bytes().repeat(size / 8);
        list += &format!("{}  {folder}/f{n}\n", hex(&sha2::Sha256::digest(&content)));
        std::fs::write(root.join(folder).join(format!("f{n}")), content).unwrap();
    }
    Manifest::from_operator("list", list.as_bytes()).unwrap()
}

fn integrity(c: &mut Criterion) {
    let mut group = c.benchmark_group("integrity");
    for (name, count, size) in [("64x1MiB", 64, 1 << 20), ("2000x1KiB", 2000, 1 << 10)] {
        let dir = tempfile::tempdir().unwrap();
        let manifests = [build(dir.path(), count, size)];
        let source = evidence::Folder::open(dir.path()).unwrap();
        let request = Request {
            source: &source,
            manifests: &manifests,
            baseline: Baseline::None,
            product: None,
            clause: None,
            previous: &[],
            previous_coverage: None,
            live: None,
            hunt: None,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            progress: &Unwatched,
        };
        assert_eq!(check(&request).unwrap().coverage.vouched, count as u64);
        group.throughput(Throughput::Bytes((count * size) as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let outcome = check(&request).unwrap();
                // A check that sees nothing is fast.
                assert_eq!(outcome.coverage.vouched, count as u64);
                outcome
            });
        });
    }
    group.finish();
}

criterion_group!(benches, integrity);
criterion_main!(benches);
