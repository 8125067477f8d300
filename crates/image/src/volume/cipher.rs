//! Cipher: what are the bytes of a sector that dm-crypt wrote?
//!
//! AES with XTS or CBC, as LUKS names them. Only decrypts. Source: Linux, drivers/md/dm-crypt.c;
//! IEEE 1619-2007 (XTS).

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, consts::U16};
use aes::{Aes128, Aes192, Aes256};
use sha2::{Digest, Sha256};

type Block = Array<u8, U16>;

/// AES with a key of any of its sizes.
enum Aes {
    Of128(Aes128),
    Of192(Aes192),
    Of256(Aes256),
}

impl Aes {
    fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128::new_from_slice(key).ok().map(Self::Of128),
            24 => Aes192::new_from_slice(key).ok().map(Self::Of192),
            32 => Aes256::new_from_slice(key).ok().map(Self::Of256),
            _ => None,
        }
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Of128(aes) => aes.decrypt_blocks(blocks),
            Self::Of192(aes) => aes.decrypt_blocks(blocks),
            Self::Of256(aes) => aes.decrypt_blocks(blocks),
        }
    }

    fn encrypt(&self, value: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(value);
        match self {
            Self::Of128(aes) => aes.encrypt_block(&mut block),
            Self::Of192(aes) => aes.encrypt_block(&mut block),
            Self::Of256(aes) => aes.encrypt_block(&mut block),
        }
        block.into()
    }
}

enum Mode {
    /// The tweak is encrypted with the second half of the key.
    Xts(Aes),
    Cbc,
    /// The vector is encrypted with a digest of the key.
    CbcEssiv(Aes),
}

/// A cipher with its key.
pub(super) struct Cipher {
    aes: Aes,
    mode: Mode,
    /// The vector counts sectors in 32 bits.
    is_short: bool,
}

impl Cipher {
    /// `name` as dm-crypt writes it: `aes-xts-plain64`. `None` if it is not read, or does not fit the key.
    pub(super) fn new(name: &str, key: &[u8]) -> Option<Self> {
        let (is_short, name) = match name {
            "aes-xts-plain" => (true, "aes-xts-plain64"),
            "aes-cbc-plain" => (true, "aes-cbc-plain64"),
            other => (false, other),
        };
        let (aes, mode) = match name {
            "aes-xts-plain64" if key.len().is_multiple_of(2) => {
                let (data, tweak) = key.split_at(key.len() / 2);
                (Aes::new(data)?, Mode::Xts(Aes::new(tweak)?))
            }
            "aes-cbc-plain64" => (Aes::new(key)?, Mode::Cbc),
            "aes-cbc-essiv:sha256" => (Aes::new(key)?, Mode::CbcEssiv(Aes::new(&Sha256::digest(key))?)),
            _ => return None,
        };
        Some(Self { aes, mode, is_short })
    }

    /// Decrypts whole sectors of `size` bytes; `number` counts 512 bytes, whatever the size is.
    pub(super) fn decrypt(&self, number: u64, size: usize, sectors: &mut [u8]) {
        let step = size as u64 / 512;
        let mut number = number;
        for sector in sectors.chunks_exact_mut(size) {
            self.sector(number, sector);
            number = number.wrapping_add(step);
        }
    }

    fn sector(&self, number: u64, sector: &mut [u8]) {
        let number = if self.is_short { number & 0xFFFF_FFFF } else { number };
        let mut vector = [0; 16];
        vector[..8].copy_from_slice(&number.to_le_bytes());
        let (blocks, _) = Block::slice_as_chunks_mut(sector);
        match &self.mode {
            Mode::Xts(tweak) => {
                let begin = u128::from_le_bytes(tweak.encrypt(vector));
                mask(blocks, begin);
                self.aes.decrypt(blocks);
                mask(blocks, begin);
            }
            Mode::Cbc => self.cbc(vector, blocks),
            Mode::CbcEssiv(salt) => self.cbc(salt.encrypt(vector), blocks),
        }
    }

    fn cbc(&self, vector: [u8; 16], blocks: &mut [Block]) {
        let before: Vec<Block> = blocks.to_vec();
        self.aes.decrypt(blocks);
        let first = Block::from(vector);
        for (block, before) in blocks.iter_mut().zip(std::iter::once(&first).chain(&before)) {
            block.iter_mut().zip(before).for_each(|(byte, other)| *byte ^= other);
        }
    }
}

/// Lays the run of tweaks over the blocks: each is the one before times x in GF(2^128).
fn mask(blocks: &mut [Block], begin: u128) {
    let mut tweak = begin;
    for block in blocks {
        let masked = u128::from_le_bytes((*block).into()) ^ tweak;
        *block = Block::from(masked.to_le_bytes());
        tweak = tweak << 1 ^ if tweak >> 127 == 1 { 0x87 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xts_is_that_of_the_standard() {
        // IEEE 1619-2007, vector 2: AES-128, sector 0x3333333333.
        let key = [[0x11; 16], [0x22; 16]].concat();
        let mut sector = [
            0xc4, 0x54, 0x18, 0x5e, 0x6a, 0x16, 0x93, 0x6e, 0x39, 0x33, 0x40, 0x38, 0xac, 0xef, 0x83, 0x8b, 0xfb, 0x18,
            0x6f, 0xff, 0x74, 0x80, 0xad, 0xc4, 0x28, 0x93, 0x82, 0xec, 0xd6, 0xd3, 0x94, 0xf0,
        ];
        let cipher = Cipher::new("aes-xts-plain64", &key).unwrap();
        cipher.sector(0x33_3333_3333, &mut sector);
        assert_eq!(sector, [0x44; 32]);
    }

    #[test]
    fn ciphers_that_are_not_read_are_not_guessed() {
        assert!(Cipher::new("serpent-xts-plain64", &[0; 64]).is_none());
        assert!(Cipher::new("aes-xts-plain64", &[0; 33]).is_none());
    }
}
