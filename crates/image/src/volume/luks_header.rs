//! Luks-header: which key slots and which range does the header of an encrypted volume describe?
//!
//! Versions 1 and 2 in one form. A version 2 whose first header is damaged is read from its second.
//! Sources: LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification 1.1.1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ReadAt;
use crate::field::{be16, be32, be64, is_sum, read, text};

const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// Where the second header of version 2 may lie, in bytes; the specification lists them.
const SECOND: [u64; 9] = [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
/// Key slots that are tried: version 2 allows 32.
const MAX_SLOTS: usize = 32;

/// How a key is made from what the operator gives.
pub(super) enum Kdf {
    Pbkdf2 {
        hash: String,
        iterations: u64,
        salt: Vec<u8>,
    },
    /// Memory in KiB.
    Argon2 {
        is_id: bool,
        passes: u64,
        memory: u64,
        lanes: u64,
        salt: Vec<u8>,
    },
}

/// One key slot.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) kdf: Kdf,
    /// Bytes of the volume key.
    pub(super) key_len: u64,
    /// Bytes of the key that the area is encrypted with.
    pub(super) area_key_len: u64,
    pub(super) area: u64,
    pub(super) area_cipher: String,
    pub(super) stripes: u64,
    pub(super) stripe_hash: String,
}

/// What a volume key is known by.
pub(super) struct Digest {
    pub(super) hash: String,
    pub(super) iterations: u64,
    pub(super) salt: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// A header.
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) uuid: String,
    pub(super) label: Option<String>,
    pub(super) slots: Vec<Slot>,
    /// Names of slots that are not understood.
    pub(super) unread: Vec<String>,
    pub(super) digest: Digest,
    /// Where the data begin, in bytes.
    pub(super) start: u64,
    /// Bytes of data; up to the end if there is no number.
    pub(super) len: Option<u64>,
    /// Number of the first sector, in units of 512 bytes.
    pub(super) tweak: u64,
    pub(super) cipher: String,
    pub(super) sector: u64,
    /// What was wrong with it although it could be read.
    pub(super) remark: Option<String>,
}

/// The header of a range; `None` if it has none, a text if it cannot be used.
pub(super) fn header(bytes: &dyn ReadAt) -> Option<Result<Header, String>> {
    let start = read(bytes, 0, 592).ok()?;
    let mut why = None;
    if start.starts_with(MAGIC) {
        match be16(&start, 6) {
            1 => return Some(version_1(&start)),
            2 => match version_2(bytes, 0) {
                Ok(header) => return Some(header_of(&header)),
                Err(wrong) => why = Some(wrong),
            },
            other => return Some(Err(format!("LUKS version {other} is not read"))),
        }
    }
    for at in SECOND {
        if read(bytes, at, 8).is_ok_and(|start| start == b"SKUL\xba\xbe\0\x02")
            && let Ok(second) = version_2(bytes, at)
        {
            let remark = "its first LUKS header is damaged; the second was used";
            let header = header_of(&second);
            return Some(header.map(|header| Header { remark: Some(remark.into()), ..header }));
        }
    }
    why.map(Err)
}

fn version_1(start: &[u8]) -> Result<Header, String> {
    let cipher = format!("{}-{}", text(&start[8..40]), text(&start[40..72]));
    let (hash, key_len) = (text(&start[72..104]), u64::from(be32(start, 108)));
    let slots = start[208..592].chunks_exact(48).enumerate().filter(|(_, slot)| be32(slot, 0) == 0x00AC_71F3);
    let slots = slots.map(|(n, slot)| Slot {
        name: n.to_string(),
        kdf: Kdf::Pbkdf2 { hash: hash.clone(), iterations: be32(slot, 4).into(), salt: slot[8..40].to_vec() },
        key_len,
        area_key_len: key_len,
        area: u64::from(be32(slot, 40)) * 512,
        area_cipher: cipher.clone(),
        stripes: be32(slot, 44).into(),
        stripe_hash: hash.clone(),
    });
    Ok(Header {
        version: 1,
        uuid: text(&start[168..208]),
        label: None,
        slots: slots.collect(),
        unread: Vec::new(),
        digest: Digest {
            hash: hash.clone(),
            iterations: be32(start, 164).into(),
            salt: start[132..164].to_vec(),
            value: start[112..132].to_vec(),
        },
        start: u64::from(be32(start, 104)) * 512,
        len: None,
        tweak: 0,
        cipher,
        sector: 512,
        remark: None,
    })
}

/// The bytes of a header of version 2 whose checksum holds.
fn version_2(bytes: &dyn ReadAt, at: u64) -> Result<Vec<u8>, String> {
    let damaged = || "its LUKS2 header is damaged".to_owned();
    let size = read(bytes, at, 512).ok().map(|start| be64(&start, 8)).filter(|size| SECOND.contains(size));
    let size = size.and_then(|size| usize::try_from(size).ok()).ok_or_else(damaged)?;
    let header = read(bytes, at, size).map_err(|_| damaged())?;
    let mut bare = header.clone();
    bare[448..512].fill(0);
    if be64(&header, 256) != at || text(&header[72..104]) != "sha256" {
        return Err(damaged());
    }
    is_sum(&Sha256::digest(&bare)[..], &header[448..480]).then_some(header).ok_or_else(damaged)
}

fn header_of(header: &[u8]) -> Result<Header, String> {
    let json = header[4096..].split(|byte| *byte == 0).next().unwrap_or_default();
    let json: Value = serde_json::from_slice(json).map_err(|_| "the text of its LUKS2 header is damaged")?;
    if let Some(word) = json.pointer("/config/requirements/mandatory/0") {
        return Err(format!("LUKS2 with the requirement {word}, which is not read"));
    }
    let mut segments = json["segments"].as_object().into_iter().flatten();
    let (Some((segment_name, segment)), None) = (segments.next(), segments.next()) else {
        return Err("LUKS2 with no or several segments: it was being encrypted anew".into());
    };
    if segment["type"] != "crypt" || !segment["integrity"].is_null() {
        return Err("LUKS2 with integrity or a segment that is not encrypted, which is not read".into());
    }
    let names = |value: &Value, name: &str| value.as_array().into_iter().flatten().any(|other| *other == *name);
    let mut digests = json["digests"].as_object().into_iter().flatten();
    let digest = digests.find(|(_, digest)| names(&digest["segments"], segment_name)).map(|(_, digest)| digest);
    let damaged = |what: &str| format!("the {what} of its LUKS2 header is damaged");
    let digest = digest.ok_or_else(|| damaged("digest"))?;
    let slots = json["keyslots"].as_object().into_iter().flatten().take(MAX_SLOTS);
    let slots = slots.filter(|(name, _)| names(&digest["keyslots"], name));
    let (mut read_slots, mut unread) = (Vec::new(), Vec::new());
    for (name, value) in slots {
        match slot(name, value) {
            Some(slot) => read_slots.push(slot),
            None => unread.push(name.clone()),
        }
    }
    let label = text(&header[24..72]);
    let read = || {
        Some(Header {
            version: 2,
            uuid: text(&header[168..208]),
            label: Some(label).filter(|label| !label.is_empty()),
            slots: read_slots,
            unread,
            digest: Digest {
                hash: word(&digest["hash"])?,
                iterations: digest["iterations"].as_u64()?,
                salt: binary(&digest["salt"])?,
                value: binary(&digest["digest"])?,
            },
            start: number(&segment["offset"])?,
            len: if segment["size"] == "dynamic" { None } else { Some(number(&segment["size"])?) },
            tweak: number(&segment["iv_tweak"])?,
            cipher: word(&segment["encryption"])?,
            sector: segment["sector_size"].as_u64()?,
            remark: None,
        })
    };
    read().ok_or_else(|| damaged("segment"))
}

fn slot(name: &str, slot: &Value) -> Option<Slot> {
    let kdf = &slot["kdf"];
    let salt = binary(&kdf["salt"])?;
    let kdf = match kdf["type"].as_str()? {
        "pbkdf2" => Kdf::Pbkdf2 { hash: word(&kdf["hash"])?, iterations: kdf["iterations"].as_u64()?, salt },
        kind @ ("argon2i" | "argon2id") => Kdf::Argon2 {
            is_id: kind == "argon2id",
            passes: kdf["time"].as_u64()?,
            memory: kdf["memory"].as_u64()?,
            lanes: kdf["cpus"].as_u64()?,
            salt,
        },
        _ => return None,
    };
    Some(Slot {
        name: name.to_owned(),
        kdf,
        key_len: slot["key_size"].as_u64()?,
        area_key_len: slot["area"]["key_size"].as_u64()?,
        area: number(&slot["area"]["offset"])?,
        area_cipher: word(&slot["area"]["encryption"])?,
        stripes: slot["af"]["stripes"].as_u64()?,
        stripe_hash: word(&slot["af"]["hash"])?,
    })
}

/// Numbers of 64 bits are texts in the header: JSON's own do not reach so far.
fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn binary(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}
