//! File: the one file that the operator names as evidence, as bytes at offsets.
//!
//! The operator chose it, so that he may name it through a link; nothing that it says itself makes
//! us open another one.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use image::ReadAt;
use rustix::fs::{CWD, FileType, Mode, OFlags, SeekFrom, fstat, openat, seek};

use crate::error::Error;

/// An open file or block device.
pub(crate) struct Bytes {
    file: File,
    len: u64,
}

impl Bytes {
    /// Opens a regular file or a block device for reading.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>, Error> {
        let fail = |error: rustix::io::Errno| Error::Open { path: path.to_owned(), source: error.into() };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd: OwnedFd = openat(CWD, path, flags, Mode::empty()).map_err(fail)?;
        let len = match FileType::from_raw_mode(fstat(&fd).map_err(fail)?.st_mode) {
            FileType::RegularFile | FileType::BlockDevice => seek(&fd, SeekFrom::End(0)).map_err(fail)?,
            _ => return Err(Error::NotAFile { path: path.to_owned() }),
        };
        Ok(Arc::new(Self { file: File::from(fd), len }))
    }
}

impl ReadAt for Bytes {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Bytes at offsets as a stream that can be wound back.
#[derive(Clone)]
pub(crate) struct Cursor {
    bytes: Arc<dyn ReadAt>,
    position: u64,
}

impl Cursor {
    pub(crate) fn new(bytes: Arc<dyn ReadAt>) -> Self {
        Self::at(bytes, 0)
    }

    pub(crate) fn at(bytes: Arc<dyn ReadAt>, position: u64) -> Self {
        Self { bytes, position }
    }
}

impl io::Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.len().saturating_sub(self.position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.bytes.read_at(self.position, &mut buffer[..count])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl io::Seek for Cursor {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let target = match to {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::End(by) => self.bytes.len().checked_add_signed(by),
            io::SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the beginning"))?;
        Ok(self.position)
    }
}
