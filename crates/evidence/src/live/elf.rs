//! Elf: must the loader write into the code of this file?
//!
//! Modern programs and libraries are position-independent and their code is never written to. A few old
//! ones have *text relocations*: there memory differs from the file on a healthy host.
//! Source: ELF, "Dynamic Section": `DT_TEXTREL`, and `DF_TEXTREL` in `DT_FLAGS`.

const PT_DYNAMIC: u64 = 2;
const DT_NULL: u64 = 0;
const DT_TEXTREL: u64 = 22;
const DT_FLAGS: u64 = 30;
const DF_TEXTREL: u64 = 4;

/// Entries that are looked at, of either table. Real files have some dozens.
const ENTRIES: u64 = 512;

/// How numbers stand in one file.
struct Layout {
    is_wide: bool,
    is_little: bool,
}

impl Layout {
    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        if self.is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }
}

/// Whether a file says that its code is relocated. `read` gives up to as many bytes as the slice has.
pub(super) fn has_text_relocations(read: impl Fn(u64, &mut [u8]) -> Option<usize>) -> bool {
    dynamic_says_so(&read).unwrap_or(false)
}

fn dynamic_says_so(read: &dyn Fn(u64, &mut [u8]) -> Option<usize>) -> Option<bool> {
    let mut head = [0; 64];
    let got = read(0, &mut head)?;
    if got < 52 || !head.starts_with(b"\x7fELF") {
        return None;
    }
    let layout = Layout { is_wide: head[4] == 2, is_little: head[5] == 1 };
    let (offset, size, count) = if layout.is_wide {
        (layout.number(&head[32..40]), layout.number(&head[54..56]), layout.number(&head[56..58]))
    } else {
        (layout.number(&head[28..32]), layout.number(&head[42..44]), layout.number(&head[44..46]))
    };
    for n in 0..count.min(ENTRIES) {
        let mut header = [0; 56];
        let at = offset.checked_add(n.checked_mul(size)?)?;
        if read(at, &mut header)? < if layout.is_wide { 40 } else { 20 } {
            return None;
        }
        if layout.number(&header[..4]) != PT_DYNAMIC {
            continue;
        }
        let (at, length) = if layout.is_wide {
            (layout.number(&header[8..16]), layout.number(&header[32..40]))
        } else {
            (layout.number(&header[4..8]), layout.number(&header[16..20]))
        };
        return entries(&layout, at, length, read);
    }
    Some(false)
}

fn entries(layout: &Layout, at: u64, length: u64, read: &dyn Fn(u64, &mut [u8]) -> Option<usize>) -> Option<bool> {
    let width = if layout.is_wide { 8 } else { 4 };
    for n in 0..(length / (width as u64 * 2)).min(ENTRIES) {
        let mut entry = [0; 16];
        let entry = &mut entry[..width * 2];
        if read(at.checked_add(n * width as u64 * 2)?, entry)? < entry.len() {
            return None;
        }
        match (layout.number(&entry[..width]), layout.number(&entry[width..])) {
            (DT_NULL, _) => return Some(false),
            (DT_TEXTREL, _) => return Some(true),
            (DT_FLAGS, flags) if flags & DF_TEXTREL != 0 => return Some(true),
            _ => {}
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(file: &[u8]) -> bool {
        has_text_relocations(|at, buffer| {
            let rest = file.get(usize::try_from(at).ok()?..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Some(count)
        })
    }

    /// The least of a 64-bit file: one program header, one dynamic table.
    fn file(entries: &[(u64, u64)]) -> Vec<u8> {
        let mut file = vec![0; 120];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64] = 2;
        file[72] = 120;
        file[96..104].copy_from_slice(&(entries.len() as u64 * 16).to_le_bytes());
        for (tag, value) in entries {
            file.extend_from_slice(&tag.to_le_bytes());
            file.extend_from_slice(&value.to_le_bytes());
        }
        file
    }

    #[test]
    fn a_file_says_whether_its_code_is_relocated() {
        assert!(asked(&file(&[(1, 1), (DT_TEXTREL, 0), (0, 0)])));
        assert!(asked(&file(&[(DT_FLAGS, 4), (0, 0)])));
        assert!(!asked(&file(&[(DT_FLAGS, 8), (0, 0), (DT_TEXTREL, 0)])));
        assert!(!asked(b"#!/bin/sh\n"));
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_fail(
            bits in 0_u8..3,
            order in 0_u8..3,
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut file = b"\x7fELF".to_vec();
            file.extend([bits, order]);
            file.extend(rest);
            asked(&file);
        }
    }
}
