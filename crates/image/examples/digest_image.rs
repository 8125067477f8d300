//! Digest: how fast are all files of a raw image hashed?
//!
//! `digest_image IMAGE [THREADS]` prints a line per file in the form of `sha256sum` and, on stderr, how
//! long it took. The peer is the same over a folder, in whose place the image may be given.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to whoever runs it")]
#![expect(clippy::disallowed_methods, reason = "an example opens the image and looks at the clock")]

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use image::ReadAt;
use image::filesystem::{self, FileSystem, Id};
use sha2::{Digest, Sha256};

struct Raw(File, u64);

impl ReadAt for Raw {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let path = args.next().ok_or("which image?")?;
    let threads = args.next().and_then(|count| count.to_str()?.parse().ok()).unwrap_or(2);
    if std::fs::metadata(&path)?.is_dir() {
        return folder(Path::new(&path), threads);
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let begun = Instant::now();
    let fs = filesystem::open(Arc::new(Raw(file, length)))?.ok_or("there is no file system that is known")?;
    let mut files = files(&*fs)?;
    files.sort_by_cached_key(|(id, _)| (fs.place(*id), *id));
    let walked = begun.elapsed();
    let (next, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; 256 << 10];
                while let Some((id, name)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match digest(&*fs, *id, &mut buffer, &bytes) {
                        Ok(digest) => println!("{digest}  {}", name.escape_ascii()),
                        Err(error) => eprintln!("{}: {error}", name.escape_ascii()),
                    }
                }
            });
        }
    });
    let (count, megabytes) = (files.len(), bytes.into_inner() >> 20);
    eprintln!("{count} files, {megabytes} MiB: walked in {walked:?}, all in {:?}", begun.elapsed());
    for remark in fs.remarks() {
        eprintln!("{remark}");
    }
    Ok(())
}

/// The peer: the same tree, as the kernel shows it.
fn folder(root: &Path, threads: usize) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() {
                files.push((meta.ino(), entry.path()));
            }
        }
    }
    files.sort();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; 256 << 10];
                while let Some((_, path)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut hasher = Sha256::new();
                    let Ok(mut file) = File::open(path) else { continue };
                    while let Ok(count @ 1..) = file.read(&mut buffer) {
                        hasher.update(&buffer[..count]);
                    }
                    println!("{:x?}  {}", hasher.finalize(), path.display());
                }
            });
        }
    });
    eprintln!("{} files of a folder in {:?}", files.len(), begun.elapsed());
    Ok(())
}

/// All regular files with their names.
fn files(fs: &dyn FileSystem) -> Result<Vec<(Id, Vec<u8>)>, filesystem::Error> {
    let (mut files, mut folders) = (Vec::new(), vec![(fs.root(), b".".to_vec())]);
    while let Some((folder, path)) = folders.pop() {
        let mut listed = Vec::new();
        fs.list(folder, &mut |entry| {
            listed.push(entry);
            true
        })?;
        for entry in listed {
            let path = [&path[..], b"/", &entry.name].concat();
            match fs.node(entry.id)?.mode & 0o170_000 {
                0o040_000 => folders.push((entry.id, path)),
                0o100_000 => files.push((entry.id, path)),
                _ => {}
            }
        }
    }
    Ok(files)
}

fn digest(fs: &dyn FileSystem, id: Id, buffer: &mut [u8], bytes: &AtomicU64) -> Result<String, filesystem::Error> {
    let mut content = fs.open(id)?;
    let mut hasher = Sha256::new();
    loop {
        match content.read(buffer)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                bytes.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
