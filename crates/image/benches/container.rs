//! How fast are bytes read through a container? Goal: qcow2 at most 1.3 times the time of raw.
//!
//! Input: 256 MiB of random bytes and text, made with `qemu-img`; warm page cache; one thread that
//! reads 1 MiB at a time. Passed over where there is no `qemu-img`.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench makes its own images")]
#![expect(clippy::print_stderr, reason = "what is passed over is said")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::{ReadAt, container, volume};

struct Opened(File, u64);

impl ReadAt for Opened {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

fn file(path: &Path) -> Arc<dyn ReadAt> {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len();
    Arc::new(Opened(file, len))
}

const LEN: usize = 256 << 20;

fn read(disk: &dyn ReadAt) {
    let mut buffer = vec![0; 1 << 20];
    for at in (0..LEN as u64).step_by(1 << 20) {
        disk.read_at(at, &mut buffer).unwrap();
    }
}

fn container(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..LEN / 8)
        .flat_map(|n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // A quarter of each 64 KiB is random, the rest packs well.
            if n % 8192 < 2048 { state.to_le_bytes() } else { *b"login.c " }
        })
        .collect();
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    let mut group = c.benchmark_group("container");
    group.throughput(Throughput::Bytes(LEN as u64)).sample_size(10);
    group.bench_function("raw", |b| b.iter(|| read(&*container::open(file(&dir.path().join("raw")), &[]).unwrap())));
    for (name, options) in [
        ("qcow2", "-O qcow2"),
        ("qcow2-deflate", "-O qcow2 -c"),
        ("qcow2-zstd", "-O qcow2 -c -o compression_type=zstd"),
        ("vmdk", "-O vmdk"),
        ("vmdk-stream", "-O vmdk -o subformat=streamOptimized"),
        ("vhdx", "-O vhdx"),
        ("luks1", "-O luks --object secret,id=k,data=key -o key-secret=k,iter-time=10"),
    ] {
        let args = format!("convert -f raw {options} raw {name}");
        let made = Command::new("qemu-img").args(args.split(' ')).current_dir(dir.path()).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("passed over: qemu-img cannot make {name}");
            continue;
        }
        let disk = container::open(file(&dir.path().join(name)), &[]).unwrap();
        let disk = match name {
            "luks1" => Arc::clone(&volume::list(disk, &volume::Keys(vec![b"key".to_vec()])).0[0].bytes),
            _ => disk,
        };
        group.bench_function(name, |b| b.iter(|| read(&*disk)));
    }
    group.finish();
}

criterion_group!(benches, container);
criterion_main!(benches);
