//! Unpack: what are the bytes of one compressed cluster?
//!
//! The size of the result is known beforehand and nothing more is ever made, whatever the compressed
//! bytes would grow into. Less is an error.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress};

/// How clusters are compressed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// RFC 1951, without a header: qcow2.
    Deflate,
    /// RFC 1950: vmdk.
    Zlib,
    /// RFC 8878: qcow2.
    Zstd,
}

/// A window larger than this is refused, in bytes: clusters and grains are at most 2 MiB, and no
/// encoder asks for a window beyond what it is given by more than rounding; 8 MiB is zstd's own
/// recommended limit.
const MAX_WINDOW: u64 = 8 << 20;

/// The `size` bytes that `packed` begins with, unpacked.
pub(super) fn unpack(method: Method, packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
    match method {
        Method::Deflate => inflate(packed, size, false),
        Method::Zlib => inflate(packed, size, true),
        Method::Zstd => zstd(packed, size),
    }
}

fn inflate(packed: &[u8], size: usize, has_header: bool) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size);
    // Never grows the vector: what does not fit is left.
    Decompress::new(has_header)
        .decompress_vec(packed, &mut bytes, FlushDecompress::Finish)
        .map_err(|_| damaged("a compressed cluster is damaged"))?;
    if bytes.len() < size {
        return Err(damaged("a compressed cluster is shorter than its place"));
    }
    bytes.truncate(size);
    Ok(bytes)
}

fn zstd(packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
    if zstd_window(packed).is_none_or(|window| window > MAX_WINDOW) {
        return Err(damaged("a compressed cluster is no zstd frame, or asks for too large a window"));
    }
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed)
        .map_err(|_| damaged("a compressed cluster is no zstd frame"))?;
    let mut bytes = vec![0; size];
    decoder.read_exact(&mut bytes).map_err(|_| damaged("a compressed cluster is damaged"))?;
    Ok(bytes)
}

/// The window that a zstd frame asks for, in bytes. Source: RFC 8878, 3.1.1.1.
fn zstd_window(packed: &[u8]) -> Option<u64> {
    let descriptor = *packed.strip_prefix(&[0x28, 0xB5, 0x2F, 0xFD])?.first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let byte = *packed.get(5)?;
        let base = 1_u64 << (10 + (byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 7));
    }
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let field = |count: usize| {
        let mut size = [0; 8];
        size[..count].copy_from_slice(packed.get(at..at + count)?);
        Some(u64::from_le_bytes(size))
    };
    match descriptor >> 6 {
        0 => field(1),
        1 => field(2).map(|size| size + 256),
        2 => field(4),
        _ => field(8),
    }
}

pub(super) fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_makes_no_more_than_its_place() {
        let mut packed = Vec::with_capacity(1 << 20);
        let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
        deflate.compress_vec(&vec![0; 64 << 20], &mut packed, flate2::FlushCompress::Finish).unwrap();
        assert!(packed.len() < 100_000);
        assert_eq!(unpack(Method::Deflate, &packed, 4096).unwrap(), [0; 4096]);
    }

    #[test]
    fn a_zstd_frame_that_asks_for_a_terabyte_of_window_is_refused() {
        let frame = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 30 << 3, 0, 0, 0];
        assert!(unpack(Method::Zstd, &frame, 512).is_err());
        assert!(unpack(Method::Zstd, &[], 512).is_err());
    }
}
