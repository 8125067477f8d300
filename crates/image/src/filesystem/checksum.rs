//! Checksum: is this structure as it was written?
//!
//! CRC-32C (Castagnoli), reflected, eight bytes at a time. It guards against damage, not against people.

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut n = 0;
    while n < 256 {
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        tables[0][n] = value;
        n += 1;
    }
    let mut n = 0;
    while n < 256 {
        let mut table = 1;
        while table < 8 {
            let before = tables[table - 1][n];
            tables[table][n] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            table += 1;
        }
        n += 1;
    }
    tables
}

/// Goes on from `state` over `bytes`. Begin with `!0`; whether the end is inverted is up to the format.
pub(super) fn crc32c(state: u32, bytes: &[u8]) -> u32 {
    let mut state = state;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in chunks {
        let low = state ^ u32::from_le_bytes([*a, *b, *c, *d]);
        state = TABLES[7][(low & 0xff) as usize]
            ^ TABLES[6][(low >> 8 & 0xff) as usize]
            ^ TABLES[5][(low >> 16 & 0xff) as usize]
            ^ TABLES[4][(low >> 24) as usize]
            ^ TABLES[3][*e as usize]
            ^ TABLES[2][*f as usize]
            ^ TABLES[1][*g as usize]
            ^ TABLES[0][*h as usize];
    }
    for byte in rest {
        state = (state >> 8) ^ TABLES[0][((state ^ u32::from(*byte)) & 0xff) as usize];
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
