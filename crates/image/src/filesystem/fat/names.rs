//! Names: what is a file on FAT called?
//!
//! A long name stands in slots before the entry, last part first, tied to it by a checksum; where it is
//! torn, the short name holds. Names come back as UTF-8, halves of surrogates in the same scheme.
//!
//! Source: Microsoft FAT specification of 2004 (fatgen103), "Long File Name Implementation".

use super::super::utf16::utf8;
use super::ENTRY;

/// Code page 437 from 0x80 on, which Linux takes by default. Source: Unicode's CP437.TXT.
const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Slots of one name: 255 characters.
const MOST: u8 = 20;

/// A long name while its slots come in.
#[derive(Default)]
pub(super) struct Long {
    units: Vec<u16>,
    /// The number of the slot that must come next; zero if the name is whole.
    next: u8,
    sum: u8,
    is_torn: bool,
}

impl Long {
    /// Takes a slot.
    pub(super) fn add(&mut self, slot: &[u8; ENTRY]) {
        let number = slot[0] & 0x3f;
        if slot[0] & 0x40 != 0 {
            *self = Self { units: Vec::new(), next: number, sum: slot[13], is_torn: number == 0 || number > MOST };
        }
        if self.is_torn || number != self.next || slot[13] != self.sum || number == 0 {
            self.is_torn = true;
            return;
        }
        self.next = number - 1;
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        let part: Vec<u16> = places.map(|at| u16::from_le_bytes([slot[at], slot[at + 1]])).collect();
        self.units.splice(0..0, part);
    }

    /// The name, if it is whole and belongs to this entry.
    pub(super) fn name(self, entry: &[u8; ENTRY]) -> Option<Vec<u8>> {
        let sum = entry[..11].iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.is_torn || self.next != 0 || self.units.is_empty() || self.sum != sum {
            return None;
        }
        let end = self.units.iter().position(|unit| *unit == 0).unwrap_or(self.units.len());
        (end > 0).then(|| utf8(&self.units[..end]))
    }
}

/// The name in the entry: eight and three, in small letters where it is marked so.
pub(super) fn short(entry: &[u8; ENTRY]) -> Vec<u8> {
    let mut raw = [0; 11];
    raw.copy_from_slice(&entry[..11]);
    // 0xE5 marks deleted entries, so a name that begins with it is written otherwise.
    if raw[0] == 0x05 {
        raw[0] = 0xe5;
    }
    let (stem, extension) = raw.split_at(8);
    let mut name = Vec::new();
    part(stem, entry[12] & 0x08 != 0, &mut name);
    if !extension.trim_ascii_end().is_empty() {
        name.push(b'.');
        part(extension, entry[12] & 0x10 != 0, &mut name);
    }
    name
}

fn part(raw: &[u8], is_small: bool, name: &mut Vec<u8>) {
    let end = raw.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    for byte in &raw[..end] {
        match byte {
            0x80.. => {
                let character = UPPER.chars().nth(usize::from(byte - 0x80)).unwrap_or('\u{fffd}');
                name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            byte if is_small => name.push(byte.to_ascii_lowercase()),
            byte => name.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_page_has_a_character_for_every_byte() {
        assert_eq!(UPPER.chars().count(), 128);
    }
}
