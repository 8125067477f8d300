//! Field: which number stands at this place of a header, and does its checksum hold?
//!
//! A field outside the header is zero: headers are read whole, so only a mistake of ours could ask.

use std::io;

use crate::ReadAt;

/// CRC-32 of IEEE 802.3, reflected: GPT, LVM2.
pub(crate) const IEEE: u32 = 0xEDB8_8320;
/// CRC-32C, reflected: vhdx.
pub(crate) const CASTAGNOLI: u32 = 0x82F6_3B78;

fn bytes<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    at.checked_add(N).and_then(|end| header.get(at..end)?.try_into().ok()).unwrap_or([0; N])
}

pub(crate) fn le16(header: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(header, at))
}

pub(crate) fn le32(header: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(header, at))
}

pub(crate) fn le64(header: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(header, at))
}

pub(crate) fn be16(header: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes(header, at))
}

pub(crate) fn be32(header: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(header, at))
}

pub(crate) fn be64(header: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes(header, at))
}

/// Text up to the first zero byte, without spaces around it.
pub(crate) fn text(header: &[u8]) -> String {
    let end = header.iter().position(|byte| *byte == 0).unwrap_or(header.len());
    String::from_utf8_lossy(&header[..end]).trim().to_owned()
}

/// A GUID as people write it, lower case; its first three groups are little-endian.
pub(crate) fn guid(header: &[u8], at: usize) -> String {
    let (a, b, c) = (le32(header, at), le16(header, at + 4), le16(header, at + 6));
    let (d, e) = (be16(header, at + 8), be64(header, at + 8) & 0xFFFF_FFFF_FFFF);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

/// The running remainder of a reflected CRC-32 with `polynomial`, from `begin`, not inverted.
pub(crate) fn crc32(polynomial: u32, begin: u32, bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (n, slot) in (0_u32..).zip(&mut table) {
        *slot = (0..8).fold(n, |crc, _| if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 });
    }
    bytes.iter().fold(begin, |crc, byte| crc >> 8 ^ table[((crc ^ u32::from(*byte)) & 0xFF) as usize])
}

/// A whole CRC-32: begun with ones and inverted at the end.
pub(crate) fn whole_crc32(polynomial: u32, bytes: &[u8]) -> u32 {
    !crc32(polynomial, u32::MAX, bytes)
}

/// Whether a checksum holds. A fuzzer cannot make one, and is to get behind it.
pub(crate) fn is_sum<T: PartialEq + ?Sized>(found: &T, expected: &T) -> bool {
    found == expected || cfg!(fuzzing)
}

/// Reads `count` bytes into memory of their own. The caller bounds `count`; here it is only held
/// against the bytes that there are, before anything is allocated.
pub(crate) fn read(bytes: &dyn ReadAt, offset: u64, count: usize) -> io::Result<Vec<u8>> {
    crate::read_at::within(bytes.len(), offset, count)?;
    let mut buffer = vec![0; count];
    bytes.read_at(offset, &mut buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        // The check values of the CRC catalogue for "123456789".
        assert_eq!(whole_crc32(IEEE, b"123456789"), 0xCBF4_3926);
        assert_eq!(whole_crc32(CASTAGNOLI, b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_guid_is_written_as_people_know_it() {
        let esp = [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
        assert_eq!(guid(&esp, 0), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }
}
