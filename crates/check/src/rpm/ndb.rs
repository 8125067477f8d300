//! Ndb: which headers does a file of rpm's own small database hold?
//!
//! The form of SUSE and of rpm where it is told so: slots of sixteen bytes that say where the header of a package lies,
//! and each header with its number before it and a checksum behind it. No other format is like it, so that no library
//! reads it. Headers may not lie over each other, so that a crafted file hands out no byte twice.
//! Source: rpm 4.18, `lib/backend/ndb/rpmpkg.c`.

use adler2::adler32_slice;

use super::Broken;

/// Bytes of a page of slots.
const PAGE: usize = 4096;

/// Bytes of a slot, and of the unit in which places are counted.
const BLOCK: usize = 16;

/// Bytes of the head of the file, which takes the first two slots.
const HEAD: usize = 32;

/// Bytes behind a header: checksum, length, magic.
const TAIL: usize = 12;

const DAMAGED: Broken = "a package of it is damaged";

/// Hands over the header of each package.
pub(super) fn each(bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
    let head =
        bytes.get(..HEAD).filter(|head| head.starts_with(b"RpmP")).ok_or("it is no database of rpm's own form")?;
    if number(head, 4) != Some(0) {
        return Err("it has a version that is not known");
    }
    let pages = number(head, 12).and_then(|pages| usize::try_from(pages).ok()).unwrap_or_default();
    let end = pages.checked_mul(PAGE).filter(|end| *end >= HEAD);
    let slots = end.and_then(|end| bytes.get(HEAD..end)).ok_or("its slots lie behind its end")?;
    let mut places = Vec::new();
    for slot in slots.chunks_exact(BLOCK) {
        let field = |at| number(slot, at).map(|value| value as usize);
        if !slot.starts_with(b"Slot") {
            return Err("a slot of it is damaged");
        }
        match (field(4), field(8), field(12)) {
            (_, Some(0), _) => {}
            (Some(package), Some(at), Some(count)) => places.push((at, count, package)),
            _ => return Err("a slot of it is damaged"),
        }
    }
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[0].0.saturating_add(pair[0].1) > pair[1].0) {
        return Err("packages of it lie over each other");
    }
    for (at, count, package) in places {
        each(blob(bytes, at, count, package).ok_or(DAMAGED)?);
    }
    Ok(())
}

/// The header of a package that lies at a block and takes so many.
fn blob(bytes: &[u8], at: usize, count: usize, package: usize) -> Option<&[u8]> {
    let start = at.checked_mul(BLOCK)?;
    let whole = bytes.get(start..start.checked_add(count.checked_mul(BLOCK)?)?)?;
    let (head, rest) = whole.split_at_checked(BLOCK)?;
    let is_it = head.starts_with(b"BlbS") && number(head, 4)? as usize == package;
    let length = number(head, 12)? as usize;
    let tail = rest.len().checked_sub(TAIL).and_then(|at| rest.get(at..))?;
    let is_closed = number(tail, 4)? as usize == length && tail.ends_with(b"BlbE");
    let blob = rest.get(..length).filter(|_| is_it && is_closed && length <= rest.len() - TAIL)?;
    // Over the header with what stands before it, and with what fills its last block.
    (number(tail, 0)? == adler32_slice(&whole[..whole.len() - TAIL])).then_some(blob)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one page of slots, and packages as `(slot, blocks from, blocks, text)`.
    fn file(packages: &[(usize, usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; PAGE];
        bytes[..4].copy_from_slice(b"RpmP");
        bytes[12] = 1;
        (HEAD..PAGE).step_by(BLOCK).for_each(|at| bytes[at..at + 4].copy_from_slice(b"Slot"));
        for (n, (at, count, text)) in packages.iter().enumerate() {
            let n = u32::try_from(n + 1).unwrap();
            let slot = &mut bytes[HEAD + BLOCK * (n as usize - 1)..][..BLOCK];
            slot[4..8].copy_from_slice(&n.to_le_bytes());
            slot[8..12].copy_from_slice(&u32::try_from(*at).unwrap().to_le_bytes());
            slot[12..16].copy_from_slice(&u32::try_from(*count).unwrap().to_le_bytes());
            let (start, end) = (at * BLOCK, (at + count) * BLOCK);
            bytes.resize(bytes.len().max(end), 0);
            let length = u32::try_from(text.len()).unwrap().to_le_bytes();
            bytes[start..start + 4].copy_from_slice(b"BlbS");
            bytes[start + 4..start + 8].copy_from_slice(&n.to_le_bytes());
            bytes[start + 12..start + 16].copy_from_slice(&length);
            bytes[start + 16..start + 16 + text.len()].copy_from_slice(text);
            let sum = adler32_slice(&bytes[start..end - TAIL]).to_le_bytes();
            bytes[end - 12..end - 8].copy_from_slice(&sum);
            bytes[end - 8..end - 4].copy_from_slice(&length);
            bytes[end - 4..end].copy_from_slice(b"BlbE");
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
        let mut blobs = Vec::new();
        each(bytes, &mut |blob| blobs.push(blob.to_vec()))?;
        Ok(blobs)
    }

    #[test]
    fn packages_are_read_in_the_order_in_which_they_lie() {
        let bytes = file(&[(260, 3, b"second"), (256, 2, b"a")]);
        assert_eq!(read(&bytes), Ok(vec![b"a".to_vec(), b"second".to_vec()]));
        assert_eq!(read(&file(&[])), Ok(vec![]));
    }

    #[test]
    fn packages_that_share_their_bytes_do_not_multiply_them() {
        let shared = file(&[(256, 40, b"a"), (257, 40, b"b")]);
        assert_eq!(read(&shared), Err("packages of it lie over each other"));
    }

    #[test]
    fn a_package_that_was_changed_or_cut_off_is_damage_and_no_package_less() {
        let mut bytes = file(&[(256, 3, b"hello")]);
        assert_eq!(read(&bytes[..bytes.len() - 1]), Err(DAMAGED));
        bytes[256 * BLOCK + 17] ^= 1;
        assert_eq!(read(&bytes), Err(DAMAGED));
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_us_panic(at in 0..4288_usize, byte: u8) {
            let mut bytes = file(&[(256, 3, b"hello"), (259, 9, b"x")]);
            bytes[at] = byte;
            let _ = read(&bytes);
        }
    }
}
