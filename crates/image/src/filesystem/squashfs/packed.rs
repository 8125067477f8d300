//! Packed: what does a packed block hold?
//!
//! Every block says beforehand how large it can become, and no unpacker writes further than that.
//!
//! Source: Linux fs/squashfs/squashfs_fs.h, `ZLIB_COMPRESSION` and the others.

use flate2::{Decompress, FlushDecompress, Status};
use liblzma::stream::{Action, Stream};

use super::super::bytes::{damaged, not_read};
use super::Error;

/// Memory of the LZMA unpacker. A block has 1 MiB, so a larger dictionary helps nobody.
const LZMA_MEMORY: u64 = 64 << 20;

/// How blocks are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Zlib,
    Lzma,
    Xz,
    Lz4,
    Zstd,
}

impl Codec {
    pub(super) fn new(number: u16) -> Result<Self, Error> {
        match number {
            1 => Ok(Self::Zlib),
            2 => Ok(Self::Lzma),
            3 => Err(not_read("squashfs packed by LZO")),
            4 => Ok(Self::Xz),
            5 => Ok(Self::Lz4),
            6 => Ok(Self::Zstd),
            other => Err(not_read(format!("squashfs packed by the unknown method {other}"))),
        }
    }

    /// Unpacks one block to at most `most` bytes.
    pub(super) fn unpack(self, packed: &[u8], most: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; most];
        let count = match self {
            Self::Zlib => zlib(packed, &mut bytes),
            Self::Lzma => {
                Stream::new_lzma_decoder(LZMA_MEMORY).ok().and_then(|stream| lzma(stream, packed, &mut bytes))
            }
            Self::Xz => {
                Stream::new_stream_decoder(LZMA_MEMORY, 0).ok().and_then(|stream| lzma(stream, packed, &mut bytes))
            }
            Self::Lz4 => lz4_flex::block::decompress_into(packed, &mut bytes).ok(),
            Self::Zstd => zstd::bulk::decompress_to_buffer(packed, &mut bytes).ok(),
        };
        let count = count.ok_or_else(|| damaged("a packed block cannot be unpacked"))?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

fn zlib(packed: &[u8], bytes: &mut [u8]) -> Option<usize> {
    let mut stream = Decompress::new(true);
    let status = stream.decompress(packed, bytes, FlushDecompress::Finish).ok()?;
    (status == Status::StreamEnd).then(|| usize::try_from(stream.total_out()).ok()).flatten()
}

fn lzma(mut stream: Stream, packed: &[u8], bytes: &mut [u8]) -> Option<usize> {
    let status = stream.process(packed, bytes, Action::Finish).ok()?;
    (status == liblzma::stream::Status::StreamEnd).then(|| usize::try_from(stream.total_out()).ok()).flatten()
}
