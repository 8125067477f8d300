//! Unpack: how is an index of a repository read, however it is packed?
//!
//! gzip, xz and zstd, told by their first bytes, and never more than a limit: an index comes from a network.
//! Source: RFC 1952, the .xz file format 1.2, RFC 8878.

use std::io::{self, Read};

/// The largest index, in bytes once it is unpacked: that of all of Debian has 50 MB, of Fedora 200 MB.
const LARGEST: u64 = 512 << 20;

/// Memory that an xz stream may ask for: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;

/// The window that a zstd frame may ask for, as a power of two.
const ZSTD_WINDOW: u32 = 27;

/// The bytes as they are where nothing packs them.
pub(crate) fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut reader: Box<dyn Read + '_> = match bytes {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED);
            Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream.map_err(io::Error::other)?))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::new(bytes)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        _ => Box::new(bytes),
    };
    let mut out = Vec::new();
    reader.by_ref().take(LARGEST + 1).read_to_end(&mut out)?;
    if out.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it has more than {} MiB", LARGEST >> 20)));
    }
    Ok(out)
}
