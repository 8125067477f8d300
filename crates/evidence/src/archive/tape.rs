//! Tape: how do an archive's bytes come by, from front to back, at the speed of the slower of
//! unpacking and hashing?
//!
//! A packed archive is unpacked by a thread of its own, a few blocks ahead; a plain one is read where
//! it lies, so that what is not wanted is passed over without being read.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use image::ReadAt;

use crate::file::Cursor;

/// Bytes that the unpacking thread hands over at once: large enough that handing over costs
/// nothing, small enough for the second-level cache.
const BLOCK: usize = 256 << 10;

/// Blocks that it may be ahead.
const AHEAD: usize = 8;

/// The largest window that a packed stream may ask of us, as a power of two: 128 MiB, what
/// `zstd --long` uses. A crafted header may ask for 2 GiB.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Bytes that an xz stream may ask for its dictionary: what `xz -9` takes, with room.
const XZ_MEMORY: u64 = 160 << 20;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    /// Told by the first bytes. Source: RFC 1952 2.3.1, xz file format 2.1.1.1, RFC 8878 3.1.1.
    pub(crate) fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may stand first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// The unpacked bytes.
    pub(crate) fn unpack<'a>(self, packed: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(BLOCK, packed))),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_auto_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                let packed = io::BufReader::with_capacity(BLOCK, packed);
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(packed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

/// An archive's bytes, from front to back.
pub(crate) trait Tape: BufRead {
    /// Bytes that came by so far.
    fn position(&self) -> u64;

    /// Passes over `count` bytes; an error of kind `UnexpectedEof` if there are fewer.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// A tape that another thread unpacks.
pub(crate) struct Unpacked {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
    position: u64,
    ended: bool,
}

impl Unpacked {
    /// Starts to unpack what `open` gives.
    pub(crate) fn start(source: Box<dyn Read + Send>, packing: Packing) -> Self {
        let (fill, full) = sync_channel(AHEAD);
        let (empty, refill) = sync_channel::<Vec<u8>>(AHEAD + 2);
        // It ends by itself: when the tape is dropped its next block finds no receiver.
        std::thread::spawn(move || unpack(source, packing, &fill, &refill));
        Self { full, empty, block: Vec::new(), at: 0, position: 0, ended: false }
    }
}

fn unpack(
    source: Box<dyn Read + Send>,
    packing: Packing,
    fill: &SyncSender<io::Result<Vec<u8>>>,
    refill: &Receiver<Vec<u8>>,
) {
    let mut reader = match packing.unpack(source) {
        Ok(reader) => reader,
        Err(error) => return drop(fill.send(Err(error))),
    };
    loop {
        let mut block = refill.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let mut filled = 0;
        while filled < BLOCK {
            match reader.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // What was unpacked before the damage still counts.
                    block.truncate(filled);
                    if fill.send(Ok(block)).is_ok() {
                        let _ = fill.send(Err(error));
                    }
                    return;
                }
            }
        }
        block.truncate(filled);
        if filled == 0 || fill.send(Ok(block)).is_err() {
            return;
        }
    }
}

impl BufRead for Unpacked {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.block.len() && !self.ended {
            let used = std::mem::take(&mut self.block);
            self.at = 0;
            let _ = self.empty.try_send(used);
            match self.full.recv() {
                Ok(Ok(block)) => self.block = block,
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Err(_) => self.ended = true,
            }
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.position += count as u64;
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

impl Tape for Unpacked {
    fn position(&self) -> u64 {
        self.position
    }

    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let have = self.fill_buf()?.len();
            if have == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(have);
            self.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

/// A tape that lies open in a file.
pub(crate) struct Plain {
    cursor: Cursor,
    len: u64,
    block: Vec<u8>,
    at: usize,
    position: u64,
    ahead: usize,
}

/// Headers are read in blocks of this size: the headers of small files lie near each other.
const HEADERS: usize = 16 << 10;

impl Plain {
    pub(crate) fn new(bytes: Arc<dyn ReadAt>) -> Self {
        let len = bytes.len();
        Self { cursor: Cursor::new(bytes), len, block: Vec::new(), at: 0, position: 0, ahead: HEADERS }
    }

    /// The tape from the bytes of one member on, read in large blocks.
    pub(crate) fn from(bytes: Arc<dyn ReadAt>, position: u64, size: u64) -> Self {
        let len = bytes.len();
        let cursor = Cursor::at(bytes, position);
        let ahead = usize::try_from(size).unwrap_or(BLOCK).clamp(1, BLOCK);
        Self { cursor, len, block: Vec::new(), at: 0, position, ahead }
    }
}

impl BufRead for Plain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.block.len() {
            self.block.resize(self.ahead, 0);
            let count = self.cursor.read(&mut self.block)?;
            self.block.truncate(count);
            self.at = 0;
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.position += count as u64;
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

impl Tape for Plain {
    fn position(&self) -> u64 {
        self.position
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        let target = self.position.checked_add(count).filter(|target| *target <= self.len);
        let target = target.ok_or(io::ErrorKind::UnexpectedEof)?;
        let have = (self.block.len() - self.at) as u64;
        if count <= have {
            // It fits: it is no more than what is in memory.
            self.at += usize::try_from(count).unwrap_or(0);
        } else {
            io::Seek::seek(&mut self.cursor, io::SeekFrom::Start(target))?;
            self.block.clear();
            self.at = 0;
        }
        self.position = target;
        Ok(())
    }
}

fn read_buffered(tape: &mut dyn Tape, buffer: &mut [u8]) -> io::Result<usize> {
    let have = tape.fill_buf()?;
    let count = have.len().min(buffer.len());
    buffer[..count].copy_from_slice(&have[..count]);
    tape.consume(count);
    Ok(count)
}
