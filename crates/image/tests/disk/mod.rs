//! Disk: what do the tests of containers and volumes read, and which programs make it?
//!
//! A test that needs a program or root says so and is passed over; under CI nothing may be.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make images with files and programs")]
#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use image::volume::{Blind, Keys, Volume, list};
use image::{Memory, ReadAt};

/// A file, as the caller of this crate opens it.
pub(crate) struct Opened(File, u64);

impl ReadAt for Opened {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

pub(crate) fn file(path: impl AsRef<Path>) -> Arc<dyn ReadAt> {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len();
    Arc::new(Opened(file, len))
}

pub(crate) fn memory(bytes: &[u8]) -> Arc<dyn ReadAt> {
    Arc::new(Memory(bytes.to_vec()))
}

pub(crate) fn all(bytes: &dyn ReadAt) -> Vec<u8> {
    let mut buffer = vec![0; usize::try_from(bytes.len()).unwrap()];
    bytes.read_at(0, &mut buffer).unwrap();
    buffer
}

/// Whether all `programs` are there; `root` asks for root as well.
pub(crate) fn can(programs: &[&str]) -> bool {
    let is_there = |program: &&&str| {
        ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|folder| Path::new(folder).join(program).exists())
    };
    let is_root = || Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    let missing: Vec<_> =
        programs.iter().filter(|name| if **name == "root" { !is_root() } else { !is_there(name) }).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "under CI nothing is passed over, and missing: {missing:?}");
    eprintln!("NOT TESTED, since these are missing: {missing:?}");
    false
}

/// Runs a program; its output.
#[track_caller]
pub(crate) fn run(folder: &Path, line: &str) -> String {
    let mut words = line.split_whitespace();
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    let mut command = Command::new("env");
    command.arg(format!("PATH={path}")).args(["LC_ALL=C", words.next().unwrap()]).args(words).current_dir(folder);
    let out = command.output().unwrap();
    assert!(
        out.status.success(),
        "{line}: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// Numbers that look random and are the same each time (xorshift64*).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }
}

/// A disk of `len` bytes with random stretches, text that packs well, and holes.
pub(crate) fn patchwork(len: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        let count = usize::try_from(512 * (1 + dice.below(600))).unwrap().min(len - at);
        let place = &mut bytes[at..at + count];
        match dice.below(3) {
            0 => place.copy_from_slice(&dice.bytes(count)),
            1 => place.iter_mut().zip(b"GET /login.cgi HTTP/1.1 ".iter().cycle()).for_each(|(to, from)| *to = *from),
            _ => {}
        }
        at += count;
    }
    bytes
}

/// Every byte, and then ranges at random places from four threads at once.
#[track_caller]
pub(crate) fn same(found: &Arc<dyn ReadAt>, expected: &[u8]) {
    assert_eq!(found.len(), expected.len() as u64);
    assert!(
        all(&**found) == expected,
        "bytes differ at {:?}",
        all(&**found).iter().zip(expected).position(|(a, b)| a != b)
    );
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || {
                let mut dice = Dice(seed);
                for _ in 0..300 {
                    let at = dice.below(expected.len() as u64);
                    let count = dice.below((expected.len() as u64 - at).min(300_000)) + 1;
                    let mut buffer = vec![1; usize::try_from(count).unwrap()];
                    found.read_at(at, &mut buffer).unwrap();
                    let at = usize::try_from(at).unwrap();
                    assert!(buffer == expected[at..at + buffer.len()], "differs in {count} bytes at {at}");
                }
            });
        }
    });
    assert!(found.read_at(found.len(), &mut [0]).is_err());
    assert!(found.read_at(u64::MAX, &mut [0; 2]).is_err());
}

pub(crate) const MIB: usize = 1 << 20;

/// `name label uuid start+len` a volume, then `place: why`; starts are found by a mark in the bytes.
pub(crate) fn shown(disk: &[u8], keys: &[&[u8]]) -> (Vec<String>, Vec<String>) {
    let (volumes, blind) = listed(disk, keys);
    let volumes = volumes.iter().map(|volume| {
        let label = volume.label.as_deref().unwrap_or("-");
        format!("{} {label} {} {}", volume.name, volume.partition_uuid.as_deref().unwrap_or("-"), volume.bytes.len())
    });
    (volumes.collect(), blind.iter().map(|blind| format!("{}: {}", blind.place, blind.why)).collect())
}

pub(crate) fn listed(disk: &[u8], keys: &[&[u8]]) -> (Vec<Volume>, Vec<Blind>) {
    list(memory(disk), &Keys(keys.iter().map(|key| key.to_vec()).collect()))
}

pub(crate) fn volume(disk: &[u8], keys: &[&[u8]], name: &str) -> Arc<dyn ReadAt> {
    let (volumes, blind) = listed(disk, keys);
    let found = volumes.iter().find(|volume| volume.name == name);
    Arc::clone(&found.unwrap_or_else(|| panic!("no {name}: {:?}, {blind:?}", shown(disk, keys))).bytes)
}

#[track_caller]
pub(crate) fn is_blind(disk: &[u8], keys: &[&[u8]], place: &str, why: &str) {
    let (_, blind) = shown(disk, keys);
    assert!(blind.iter().any(|said| said.starts_with(&format!("{place}: ")) && said.contains(why)), "{blind:?}");
}

/// A disk of `mib` MiB with a table that sfdisk makes of `script`.
pub(crate) fn sfdisk(mib: usize, script: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::File::create(&path).unwrap().set_len((mib * MIB) as u64).unwrap();
    let mut child = Command::new("/usr/sbin/sfdisk").arg("-q").arg(&path).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
    std::fs::read(path).unwrap()
}
