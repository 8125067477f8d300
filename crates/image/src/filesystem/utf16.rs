//! Utf16: what are these sixteen-bit characters as bytes?

/// UTF-16 as bytes. A lone half of a pair becomes three bytes, so that two names stay two.
pub(super) fn utf8(units: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(units.len());
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(character) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(half) => {
                let half = half.unpaired_surrogate();
                bytes.extend([0xe0 | (half >> 12) as u8, 0x80 | (half >> 6 & 0x3f) as u8, 0x80 | (half & 0x3f) as u8]);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_stays_distinct() {
        assert_eq!(utf8(&[0xd83d, 0xde00]), "😀".as_bytes());
        assert_eq!(utf8(&[0x61, 0xd83d]), [0x61, 0xed, 0xa0, 0xbd]);
    }
}
