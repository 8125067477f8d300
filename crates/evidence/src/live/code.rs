//! Code: does the code that a process runs equal its file?
//!
//! A page of code that nobody wrote to *is* the page of the file, and the kernel says so (`pagemap`); as
//! soon as somebody writes to it (`ptrace`, `/proc/PID/mem`, `mprotect`, a breakpoint) the process gets a
//! copy. Only copies can differ, so only they are read and compared; where `pagemap` may not be read, all
//! pages are. Position-independent code needs no relocation, so that bytes are compared as they are.
//! Source: `Documentation/admin-guide/mm/pagemap.rst`: bits 63 (present), 62 (swapped), 61 (of a file).

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fstatfs, openat, statx};
use rustix::io::{Errno, pread, retry_on_intr};

use super::parse::Mapping;
use super::process::{Process, open_at};
use super::{Failure, elf};
use crate::dir::identity;
use crate::filesystem;
use crate::meta::Kind;

/// Bytes compared at once.
const CHUNK: u64 = 64 << 10;

/// Bytes that are shown of a difference.
const SHOWN: usize = 16;

/// The file behind a mapping, open for reading.
pub struct MappedFile {
    fd: OwnedFd,
    size: u64,
}

impl MappedFile {
    /// Whether the loader has to write into its code.
    pub fn has_text_relocations(&self) -> bool {
        elf::has_text_relocations(|at, buffer| fill(&self.fd, at, buffer).ok())
    }
}

/// A run of bytes that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Where in the process.
    pub address: u64,
    /// Where in the file.
    pub offset: u64,
    /// How many bytes, from the first that differs to the last.
    pub length: u64,
    /// The first of them in memory.
    pub in_memory: Vec<u8>,
    /// The first of them in the file.
    pub in_file: Vec<u8>,
}

/// What a comparison saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compared {
    /// The first differences; no more than the limit.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub count: u64,
    /// Bytes of memory that were read.
    pub bytes: u64,
    /// Whether `budget` ended before the mapping did.
    pub is_cut: bool,
    /// Bytes of the process that could not be read back.
    pub unread: u64,
}

impl Process<'_> {
    /// Opens the file behind a mapping: through the kernel's own link, which leads to it even if it has no
    /// name any more; without the right to that, by its path, if that is still the same inode.
    ///
    /// # Errors
    ///
    /// [`Failure::NotOpened`] for what is no regular file of this host.
    pub fn mapped_file(&self, mapping: &Mapping) -> Result<MappedFile, Failure> {
        let link = format!("map_files/{:x}-{:x}", mapping.start, mapping.end);
        match open_file(&self.dir, link.as_bytes(), OFlags::empty()) {
            Err(Failure::Gone | Failure::Refused) if !mapping.is_deleted => self.file_by_path(mapping),
            opened => opened,
        }
    }

    fn file_by_path(&self, mapping: &Mapping) -> Result<MappedFile, Failure> {
        let mut failure = Failure::Gone;
        for root in [self.root().ok().as_ref(), Some(&self.running.root)].into_iter().flatten() {
            let Some((folder, name)) = open_at(root, &mapping.path) else { continue };
            let stat = statx(&folder, &name[..], AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
            if identity(&stat).1 != mapping.inode {
                failure = Failure::NotOpened { what: "another than the one that is mapped" };
                continue;
            }
            return open_file(&folder, &name, OFlags::NOFOLLOW);
        }
        Err(failure)
    }

    /// Compares a mapping with its file, reading at most `budget` bytes of memory.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the memory may not be read, or the process ended.
    pub fn compare(&self, mapping: &Mapping, file: &MappedFile, budget: u64) -> Result<Compared, Failure> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let memory = openat(&self.dir, c"mem", flags, Mode::empty())?;
        let pages = openat(&self.dir, c"pagemap", flags, Mode::empty()).ok();
        let mut seen = Compared::default();
        for (start, end) in copies(mapping, pages.as_ref()) {
            let mut at = start;
            while at < end {
                if seen.bytes >= budget {
                    seen.is_cut = true;
                    return Ok(seen);
                }
                let length = (end - at).min(CHUNK);
                self.compare_chunk(mapping, file, &memory, at, length, &mut seen)?;
                at += length;
            }
        }
        Ok(seen)
    }

    fn compare_chunk(
        &self,
        mapping: &Mapping,
        file: &MappedFile,
        memory: &OwnedFd,
        at: u64,
        length: u64,
        seen: &mut Compared,
    ) -> Result<(), Failure> {
        let Some(offset) = mapping.offset.checked_add(at - mapping.start) else { return Ok(()) };
        // Behind the end of the file there is nothing to compare with.
        let length = usize::try_from(length.min(file.size.saturating_sub(offset))).unwrap_or(0);
        let mut ours = vec![0; length];
        let mut theirs = vec![0; length];
        let on_disk = fill(&file.fd, offset, &mut theirs)?;
        let in_memory = match fill(memory, at, &mut ours) {
            Ok(count) => count,
            Err(Errno::IO | Errno::FAULT) => 0,
            Err(error) => return Err(error.into()),
        };
        seen.bytes += in_memory as u64;
        seen.unread += on_disk.saturating_sub(in_memory) as u64;
        let length = on_disk.min(in_memory);
        for (first, last) in runs(&ours[..length], &theirs[..length]) {
            seen.count += 1;
            if seen.differences.len() < self.running.limits.differences {
                let shown = first..last.min(first + SHOWN);
                seen.differences.push(Difference {
                    address: at + first as u64,
                    offset: offset + first as u64,
                    length: (last - first) as u64,
                    in_memory: ours[shown.clone()].to_vec(),
                    in_file: theirs[shown].to_vec(),
                });
            }
        }
        Ok(())
    }

    /// The first bytes of a range of memory, as many as can be read.
    pub fn memory(&self, address: u64, count: usize) -> Vec<u8> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut bytes = vec![0; count];
        let memory = openat(&self.dir, c"mem", flags, Mode::empty()).ok();
        let filled = memory.and_then(|memory| fill(&memory, address, &mut bytes).ok()).unwrap_or(0);
        bytes.truncate(filled);
        bytes
    }
}

/// Opens a file without rights first, and for reading only if it is a regular file of this host.
fn open_file(folder: &OwnedFd, name: &[u8], follow: OFlags) -> Result<MappedFile, Failure> {
    let looked = openat(folder, name, OFlags::PATH | OFlags::CLOEXEC | follow, Mode::empty())?;
    let stat = statx(&looked, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    if Kind::from_mode(u32::from(stat.stx_mode)) != Kind::File {
        return Err(Failure::NotOpened { what: "a device or no regular file" });
    }
    let magic = fstatfs(&looked)?.f_type;
    if filesystem::foreign(u64::try_from(magic).unwrap_or(0)).is_some() {
        return Err(Failure::NotOpened { what: "on another machine, or made up by the kernel" });
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | follow;
    let fd = openat(folder, name, flags, Mode::empty())?;
    let again = statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    if identity(&again) != identity(&stat) {
        return Err(Failure::Gone);
    }
    Ok(MappedFile { fd, size: again.stx_size })
}

/// Fills a buffer from a place in a file, as far as there is something.
fn fill(fd: &OwnedFd, at: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        let Some(place) = at.checked_add(filled as u64) else { break };
        match retry_on_intr(|| pread(fd, &mut buffer[filled..], place)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(_) if filled > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The parts of a mapping that are no longer the file's own pages; all of it where nobody can say.
fn copies(mapping: &Mapping, pages: Option<&OwnedFd>) -> Vec<(u64, u64)> {
    let size = rustix::param::page_size() as u64;
    let whole = vec![(mapping.start, mapping.end)];
    let Some(pages) = pages else { return whole };
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let mut at = mapping.start;
    let mut entries = vec![0; 32 << 10];
    while at < mapping.end {
        let left = usize::try_from((mapping.end - at).div_ceil(size) * 8).unwrap_or(usize::MAX);
        let wanted = left.min(entries.len());
        match fill(pages, at / size * 8, &mut entries[..wanted]) {
            Ok(count) if count == wanted => {}
            _ => return whole,
        }
        for entry in entries[..wanted].chunks_exact(8) {
            let flags = u64::from_ne_bytes(entry.try_into().unwrap_or_default());
            let (is_there, is_swapped, is_of_file) = (flags >> 63 & 1, flags >> 62 & 1, flags >> 61 & 1);
            if is_swapped == 1 || (is_there == 1 && is_of_file == 0) {
                match parts.last_mut() {
                    Some((_, end)) if *end == at => *end = at.saturating_add(size),
                    _ => parts.push((at, at.saturating_add(size))),
                }
            }
            at = at.saturating_add(size);
        }
    }
    parts
}

/// Where two pieces differ. Differences less than eight bytes apart are one.
fn runs(ours: &[u8], theirs: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    if ours == theirs {
        return runs;
    }
    for (n, _) in ours.iter().zip(theirs).enumerate().filter(|(_, (ours, theirs))| ours != theirs) {
        match runs.last_mut() {
            Some((_, end)) if n < *end + 8 => *end = n + 1,
            _ => runs.push((n, n + 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_that_lie_close_together_are_one() {
        assert_eq!(runs(b"abcdefgh", b"abcdefgh"), []);
        assert_eq!(runs(b"aXcdYfgh", b"abcdefgh"), [(1, 5)]);
        assert_eq!(runs(b"X23456789012Y", b"1234567890123"), [(0, 1), (12, 13)]);
    }

    #[test]
    fn without_word_from_the_kernel_all_pages_are_compared() {
        let (maps, _) = super::super::maps(b"1000-5000 r-xp 0 0:1 7 /x\n");
        assert_eq!(copies(&maps[0], None), [(0x1000, 0x5000)]);
    }

    /// The code of this very test was never written to, so that comparing every page finds nothing.
    #[test]
    fn the_code_of_a_healthy_process_equals_its_files_with_and_without_pagemap() {
        let Ok(running) = super::super::Running::here() else { return };
        let process = running.process(std::process::id()).unwrap();
        let (maps, strange) = process.maps().unwrap();
        assert_eq!(strange, 0);
        let code = maps.iter().filter(|one| one.is_executable && one.has_file());
        let mut met = 0;
        for mapping in code {
            let file = process.mapped_file(mapping).unwrap();
            assert!(!file.has_text_relocations());
            let memory = openat(&process.dir, c"mem", OFlags::RDONLY, Mode::empty()).unwrap();
            let mut seen = Compared::default();
            for at in (mapping.start..mapping.end).step_by(CHUNK as usize) {
                let length = (mapping.end - at).min(CHUNK);
                process.compare_chunk(mapping, &file, &memory, at, length, &mut seen).unwrap();
            }
            assert_eq!((seen.count, seen.unread), (0, 0), "{mapping:?}");
            assert!(seen.bytes > 0);
            let quick = process.compare(mapping, &file, u64::MAX).unwrap();
            assert_eq!((quick.count, quick.is_cut), (0, false));
            met += 1;
        }
        assert!(met >= 2, "its own code and that of libc");
    }
}
