//! Luks: does one of the operator's keys open this volume, and what are its bytes then?
//!
//! A header can ask for any amount of work: what is spent on one slot and on one disk is bounded, and
//! what was not tried for that is said. Sources: see `luks_header`; RFC 8018, RFC 9106.

use std::io;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::Keys;
use super::cipher::Cipher;
use super::luks_header::{Digest, Header, Kdf, Slot, header};
use crate::ReadAt;
use crate::field::read;
use crate::joined::clip;
use crate::read_at::within;

/// KiB of memory that a slot may ask for: cryptsetup itself takes at most 1 GiB unless it is told to.
const MAX_MEMORY: u64 = 1 << 20;
/// Passes over that memory; cryptsetup measures and seldom takes more than ten.
const MAX_PASSES: u64 = 64;
/// Lanes: cryptsetup's own limit.
const MAX_LANES: u64 = 4;
/// Stripes of a key; cryptsetup always takes 4000.
const MAX_STRIPES: u64 = 8192;
/// Bytes of a volume key: two of AES-256.
const MAX_KEY: u64 = 64;
/// Bytes of a salt; cryptsetup takes 32.
const MAX_SALT: usize = 256;

/// What one disk may still cost in all its volumes, slots and keys.
pub(super) struct Budget {
    /// Iterations of PBKDF2, times blocks of output: a minute or two of SHA-256. Cryptsetup takes
    /// one to five million for a slot.
    iterations: u64,
    /// KiB times passes of Argon2: a few minutes. Cryptsetup takes four million for a slot.
    memory: u64,
}

impl Default for Budget {
    fn default() -> Self {
        // A fuzzer is to meet the limits, not to wait for them.
        if cfg!(fuzzing) {
            return Self { iterations: 10_000, memory: 1024 };
        }
        Self { iterations: 400_000_000, memory: 128 << 20 }
    }
}

/// A volume that was opened.
pub(super) struct Plain {
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) remark: Option<String>,
}

/// Why one stays closed.
pub(super) struct Closed {
    pub(super) is_encrypted: bool,
    pub(super) why: String,
}

/// Opens a volume with the first key that fits; `None` if the range is no such volume.
pub(super) fn open(bytes: &Arc<dyn ReadAt>, keys: &Keys, budget: &mut Budget) -> Option<Result<Plain, Closed>> {
    let header = match header(&**bytes)? {
        Ok(header) => header,
        Err(why) => return Some(Err(Closed { is_encrypted: true, why })),
    };
    Some(unlock(bytes, &header, keys, budget))
}

fn unlock(bytes: &Arc<dyn ReadAt>, header: &Header, keys: &Keys, budget: &mut Budget) -> Result<Plain, Closed> {
    let version = header.version;
    let closed = |why: String| Closed { is_encrypted: true, why: format!("LUKS{version}, {why}") };
    if keys.0.is_empty() {
        return Err(closed("needs a key file".into()));
    }
    let unread = header.unread.iter().map(|name| format!("slot {name}: it is of a kind that is not read"));
    let mut passed_over: Vec<String> = unread.collect();
    for slot in &header.slots {
        for key in keys.0.iter().flat_map(|key| forms(key)) {
            match try_slot(&**bytes, header, slot, key, budget) {
                Ok(Some(volume_key)) => return payload(bytes, header, &volume_key).map_err(closed),
                Ok(None) => {}
                Err(why) => {
                    passed_over.push(format!("slot {}: {why}", slot.name));
                    break;
                }
            }
        }
    }
    let mut why = match keys.0.len() {
        1 => "the key file that was given does not open it".to_owned(),
        count => format!("none of the {count} key files opens it"),
    };
    if !passed_over.is_empty() {
        why = format!("{why}; not tried: {}", passed_over.join(", "));
    }
    Err(closed(why))
}

/// A key as it is, and without a line break at its end, which editors add.
fn forms(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bare = key.strip_suffix(b"\n").map(|key| key.strip_suffix(b"\r").unwrap_or(key));
    std::iter::once(key).chain(bare)
}

/// The volume key, if `key` opens the slot; a text if the slot was not tried.
fn try_slot(
    bytes: &dyn ReadAt,
    header: &Header,
    slot: &Slot,
    key: &[u8],
    budget: &mut Budget,
) -> Result<Option<Vec<u8>>, String> {
    let is_allowed = (1..=MAX_KEY).contains(&slot.key_len)
        && (1..=MAX_KEY).contains(&slot.area_key_len)
        && (1..=MAX_STRIPES).contains(&slot.stripes);
    let (Ok(key_len), true) = (usize::try_from(slot.key_len), is_allowed) else {
        return Err("its sizes are not allowed".into());
    };
    let mut area_key = vec![0; usize::try_from(slot.area_key_len).unwrap_or_default()];
    derive(&slot.kdf, key, &mut area_key, budget)?;
    let cipher = Cipher::new(&slot.area_cipher, &area_key);
    let cipher = cipher.ok_or_else(|| format!("cipher {:?} is not read", slot.area_cipher))?;
    let count = key_len * usize::try_from(slot.stripes).unwrap_or_default();
    let area = read(bytes, slot.area, count.next_multiple_of(512));
    let mut area = area.map_err(|_| "its area lies outside the volume")?;
    cipher.decrypt(0, 512, &mut area);
    let merged = merge(&area[..count], key_len, &slot.stripe_hash)?;
    Ok(is_key(&header.digest, &merged, budget)?.then_some(merged))
}

fn is_key(digest: &Digest, key: &[u8], budget: &mut Budget) -> Result<bool, String> {
    if digest.value.is_empty() || digest.value.len() > 64 {
        return Err("its digest is damaged".into());
    }
    let mut found = vec![0; digest.value.len()];
    pbkdf2(&digest.hash, digest.iterations, &digest.salt, key, &mut found, budget)?;
    Ok(found == digest.value)
}

fn derive(kdf: &Kdf, key: &[u8], to: &mut [u8], budget: &mut Budget) -> Result<(), String> {
    match kdf {
        Kdf::Pbkdf2 { hash, iterations, salt } => pbkdf2(hash, *iterations, salt, key, to, budget),
        Kdf::Argon2 { is_id, passes, memory, lanes, salt } => {
            let is_allowed = *memory <= MAX_MEMORY && *passes <= MAX_PASSES && *lanes <= MAX_LANES;
            if !is_allowed || salt.len() > MAX_SALT {
                return Err(format!(
                    "it asks for {memory} KiB, {passes} passes and {lanes} lanes, more than is allowed"
                ));
            }
            spend(&mut budget.memory, memory.saturating_mul(*passes))?;
            let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
            let params = Params::new(number(*memory), number(*passes), number(*lanes), Some(to.len()));
            let algorithm = if *is_id { Algorithm::Argon2id } else { Algorithm::Argon2i };
            let wrong = |_| "its key derivation is damaged".to_owned();
            Argon2::new(algorithm, Version::V0x13, params.map_err(wrong)?)
                .hash_password_into(key, salt, to)
                .map_err(wrong)
        }
    }
}

fn spend(left: &mut u64, cost: u64) -> Result<(), String> {
    *left = left.checked_sub(cost).ok_or("the work that this disk may ask for is used up")?;
    Ok(())
}

fn pbkdf2(
    hash: &str,
    iterations: u64,
    salt: &[u8],
    key: &[u8],
    to: &mut [u8],
    budget: &mut Budget,
) -> Result<(), String> {
    // A block of SHA-512 costs about four of SHA-256.
    let (size, weight) = match hash {
        "sha1" => (20, 1),
        "sha256" => (32, 1),
        "sha512" => (64, 4),
        other => return Err(format!("hash {other:?} is not read")),
    };
    let rounds = u32::try_from(iterations).ok().filter(|rounds| *rounds != 0 && salt.len() <= MAX_SALT);
    let rounds = rounds.ok_or("its iterations are not allowed")?;
    spend(&mut budget.iterations, iterations.saturating_mul(to.len().div_ceil(size) as u64 * weight))?;
    match size {
        20 => pbkdf2::pbkdf2_hmac::<Sha1>(key, salt, rounds, to),
        32 => pbkdf2::pbkdf2_hmac::<Sha256>(key, salt, rounds, to),
        _ => pbkdf2::pbkdf2_hmac::<Sha512>(key, salt, rounds, to),
    }
    Ok(())
}

/// Joins the stripes of a key. Source: LUKS1 specification, 2.4.
fn merge(stripes: &[u8], len: usize, hash: &str) -> Result<Vec<u8>, String> {
    let diffuse: fn(&[u8]) -> Vec<u8> = match hash {
        "sha1" => diffuse::<Sha1>,
        "sha256" => diffuse::<Sha256>,
        "sha512" => diffuse::<Sha512>,
        other => return Err(format!("hash {other:?} is not read")),
    };
    let mut key = vec![0; len];
    let mut stripes = stripes.chunks_exact(len).peekable();
    while let Some(stripe) = stripes.next() {
        key.iter_mut().zip(stripe).for_each(|(byte, other)| *byte ^= other);
        if stripes.peek().is_some() {
            key = diffuse(&key);
        }
    }
    Ok(key)
}

fn diffuse<D: sha2::Digest>(key: &[u8]) -> Vec<u8> {
    let size = <D as sha2::Digest>::output_size();
    let blocks = (0_u32..).zip(key.chunks(size));
    blocks
        .flat_map(|(n, block)| {
            let digest = D::new().chain_update(n.to_be_bytes()).chain_update(block).finalize();
            digest[..block.len()].to_vec()
        })
        .collect()
}

struct Payload {
    below: Arc<dyn ReadAt>,
    start: u64,
    len: u64,
    tweak: u64,
    sector: usize,
    cipher: Cipher,
}

fn payload(bytes: &Arc<dyn ReadAt>, header: &Header, key: &[u8]) -> Result<Plain, String> {
    let cipher = Cipher::new(&header.cipher, key).ok_or_else(|| format!("cipher {:?} is not read", header.cipher))?;
    let outside = || "its data lie outside the volume: the header is damaged or the image is cut off".to_owned();
    let room = bytes.len().checked_sub(header.start).ok_or_else(outside)?;
    let len = header.len.unwrap_or(room);
    if len > room {
        return Err(outside());
    }
    if ![512, 1024, 2048, 4096].contains(&header.sector) {
        return Err(format!("sectors of {} bytes are not allowed", header.sector));
    }
    Ok(Plain {
        name: format!("luks-{}", header.uuid),
        label: header.label.clone(),
        remark: header.remark.clone(),
        bytes: Arc::new(Payload {
            below: Arc::clone(bytes),
            start: header.start,
            len: len / header.sector * header.sector,
            tweak: header.tweak,
            sector: clip(header.sector, 4096),
            cipher,
        }),
    })
}

impl Payload {
    fn sectors(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.below.read_at(self.start + offset, buffer)?;
        self.cipher.decrypt(self.tweak.wrapping_add(offset / 512), self.sector, buffer);
        Ok(())
    }
}

impl ReadAt for Payload {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        within(self.len, offset, buffer.len())?;
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let size = self.sector as u64;
            let (inside, whole) = (clip(offset % size, self.sector), rest.len() / self.sector * self.sector);
            let now = if inside == 0 && whole != 0 { whole } else { rest.len().min(self.sector - inside) };
            let (head, tail) = rest.split_at_mut(now);
            if inside == 0 && whole != 0 {
                self.sectors(offset, head)?;
            } else {
                let mut sector = vec![0; self.sector];
                self.sectors(offset - inside as u64, &mut sector)?;
                head.copy_from_slice(&sector[inside..inside + now]);
            }
            (offset, rest) = (offset + now as u64, tail);
        }
        Ok(())
    }
}
