//! Bytes: what stands at this place of a structure, if the structure is long enough?

use super::Error;

/// The sentence for whatever contradicts its format.
pub(super) fn damaged(what: impl Into<String>) -> Error {
    Error::Damaged(what.into())
}

/// The sentence for what is sound, and beyond this crate.
pub(super) fn not_read(what: impl Into<String>) -> Error {
    Error::NotRead(what.into())
}

/// `N` bytes from `at`.
///
/// # Errors
///
/// [`Error::Damaged`] if they are not all there.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Error> {
    let rest = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    rest.copied().ok_or_else(|| damaged("a structure ends too early"))
}

/// `count` bytes from `at`.
///
/// # Errors
///
/// [`Error::Damaged`] if they are not all there.
pub(super) fn part(bytes: &[u8], at: usize, count: usize) -> Result<&[u8], Error> {
    let part = at.checked_add(count).and_then(|end| bytes.get(at..end));
    part.ok_or_else(|| damaged("a structure leaves the place that holds it"))
}

pub(super) fn u8_at(bytes: &[u8], at: usize) -> Result<u8, Error> {
    array::<1>(bytes, at).map(|[byte]| byte)
}

pub(super) fn le16(bytes: &[u8], at: usize) -> Result<u16, Error> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Result<u32, Error> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn le64(bytes: &[u8], at: usize) -> Result<u64, Error> {
    array(bytes, at).map(u64::from_le_bytes)
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Result<u16, Error> {
    array(bytes, at).map(u16::from_be_bytes)
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Result<u32, Error> {
    array(bytes, at).map(u32::from_be_bytes)
}

pub(super) fn be64(bytes: &[u8], at: usize) -> Result<u64, Error> {
    array(bytes, at).map(u64::from_be_bytes)
}

/// An address that a structure claims, as an index into memory.
///
/// # Errors
///
/// [`Error::Damaged`] if no memory is that large.
pub(super) fn index(value: u64) -> Result<usize, Error> {
    usize::try_from(value).map_err(|_| damaged("a size beyond all memory"))
}

/// A product of an address and a unit.
///
/// # Errors
///
/// [`Error::Damaged`] if it overflows.
pub(super) fn times(value: u64, unit: u64) -> Result<u64, Error> {
    value.checked_mul(unit).ok_or_else(|| damaged("an address beyond all disks"))
}

/// A sum of addresses.
///
/// # Errors
///
/// [`Error::Damaged`] if it overflows.
pub(super) fn plus(one: u64, other: u64) -> Result<u64, Error> {
    one.checked_add(other).ok_or_else(|| damaged("an address beyond all disks"))
}

/// Nanoseconds of a second. More than a billion can be crafted and must not reach a calendar.
pub(super) fn nanoseconds(claimed: u32) -> u32 {
    claimed.min(999_999_999)
}

/// Text up to its first zero; `None` if there is none of it.
pub(super) fn label(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (end > 0).then(|| bytes[..end].to_vec())
}

/// Sixteen bytes as `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`; `None` if they are all zero.
pub(super) fn uuid(bytes: &[u8; 16]) -> Option<String> {
    if bytes == &[0; 16] {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (n, byte) in bytes.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

/// Turns access control entries (tag, permissions, id) into the value that Linux shows for
/// `system.posix_acl_access`.
///
/// Source: Linux include/uapi/linux/posix_acl_xattr.h, version 2, little endian.
pub(super) fn access_list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}
