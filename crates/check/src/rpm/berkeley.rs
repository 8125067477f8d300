//! Berkeley: which blobs does a hash file of Berkeley DB hold, without a line of C?
//!
//! The form of rpm before 4.16 (Red Hat 8 and older): one hash file from number to header, headers on chains of
//! overflow pages. The file comes from the instance and may be crafted, and rpm uses a small part of the format, so
//! that only that is read: pages of hash buckets in either byte order, values on the page or off it. No page belongs to
//! two chains, so that a chain in a circle ends and no byte is handed out twice.
//! Source: Berkeley DB 5.3, `src/dbinc/db_page.h`: `DBMETA`, `HMETA`, `PAGE`, `HOFFPAGE`.

use super::Broken;

const MAGIC: u32 = 0x0006_1561;

/// Bytes before the content of a page.
const HEAD: usize = 26;

// Kinds of pages.
const UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH_META: u8 = 8;
const SORTED: u8 = 13;

// Kinds of items.
const ON_PAGE: u8 = 1;
const OFF_PAGE: u8 = 3;

const DAMAGED: Broken = "a page of it is damaged";

/// A hash file in memory.
pub(super) struct Database<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    /// Numbers stand in the order of the machine that made it.
    is_big: bool,
}

impl<'a> Database<'a> {
    /// Opens the bytes of a file.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Broken> {
        let magic = bytes.get(12..16).and_then(|magic| magic.try_into().ok()).ok_or("it is no Berkeley DB")?;
        let is_big = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (MAGIC, _) => false,
            (_, MAGIC) => true,
            _ => return Err("it is no hash file of Berkeley DB"),
        };
        let mut database = Self { bytes, page_bytes: 0, is_big };
        let size = database.number(bytes, 20).and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
        if !(512..=65_536).contains(&size) || !size.is_power_of_two() {
            return Err("its pages have no size that Berkeley DB knows");
        }
        database.page_bytes = size;
        // Encryption, the kind of the page, and whether pages begin with a checksum.
        match bytes.get(24..27) {
            Some([0, HASH_META, flags]) if flags & 1 == 0 => Ok(database),
            _ => Err("it is encrypted, bears checksums or is no hash: rpm makes no such file"),
        }
    }

    /// Hands over each value whose key is the number of a package.
    pub(super) fn each(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
        let mut seen = vec![false; self.bytes.len() / self.page_bytes];
        for page in self.bytes.chunks_exact(self.page_bytes).skip(1) {
            if matches!(page[25], UNSORTED | SORTED) {
                self.bucket(page, &mut seen, each)?;
            }
        }
        // What is left over is less than a page, and pages are written whole.
        if self.bytes.len().is_multiple_of(self.page_bytes) { Ok(()) } else { Err("it is cut off") }
    }

    /// Keys and values by turns. Items lie from the end of a page to its front, each behind the one before.
    fn bucket(&self, page: &[u8], seen: &mut [bool], each: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
        let count = usize::from(self.short(page, 20).ok_or(DAMAGED)?);
        let place = |n: usize| self.short(page, HEAD + 2 * n).map(usize::from);
        let mut end = page.len();
        let mut item = |n: usize| {
            let at = place(n)?;
            let item = page.get(at..end)?;
            end = at;
            Some(item)
        };
        for pair in 0..count / 2 {
            let (key, value) = item(2 * pair).zip(item(2 * pair + 1)).ok_or(DAMAGED)?;
            // The number 0 is where rpm keeps the next number that is free.
            if key.iter().skip(1).all(|byte| *byte == 0) {
                continue;
            }
            match value {
                [ON_PAGE, value @ ..] => each(value),
                [OFF_PAGE, ..] => each(&self.chain(value, seen)?),
                _ => return Err("it holds several values under one number"),
            }
        }
        Ok(())
    }

    /// A value that lies on pages of its own.
    fn chain(&self, item: &[u8], seen: &mut [bool]) -> Result<Vec<u8>, Broken> {
        let (first, total) = self.number(item, 4).zip(self.number(item, 8)).ok_or(DAMAGED)?;
        let total = usize::try_from(total).ok().filter(|total| *total <= self.bytes.len()).ok_or(DAMAGED)?;
        let mut value = Vec::with_capacity(total);
        let mut next = first;
        while value.len() < total {
            let number = usize::try_from(next).map_err(|_| DAMAGED)?;
            if std::mem::replace(seen.get_mut(number).ok_or("a page of it lies behind its end")?, true) {
                return Err("its pages point in a circle");
            }
            let page = &self.bytes[number * self.page_bytes..][..self.page_bytes];
            let length = usize::from(self.short(page, 22).ok_or(DAMAGED)?);
            let content = page.get(HEAD..HEAD + length).filter(|_| page[25] == OVERFLOW && length > 0);
            value.extend_from_slice(content.ok_or(DAMAGED)?);
            next = self.number(page, 16).ok_or(DAMAGED)?;
        }
        if value.len() == total { Ok(value) } else { Err(DAMAGED) }
    }

    fn number(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let four = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self.is_big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    fn short(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let two = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self.is_big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of three pages of 512 bytes: head, a bucket with one value off the page, and the page of that value.
    fn file(next: u32, total: u32) -> Vec<u8> {
        let mut bytes = vec![0; 3 * 512];
        bytes[12..16].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[20..24].copy_from_slice(&512_u32.to_le_bytes());
        bytes[25] = HASH_META;
        let bucket = &mut bytes[512..1024];
        (bucket[20], bucket[25]) = (2, SORTED);
        bucket[26..30].copy_from_slice(&[0xfb, 1, 0xef, 1]);
        bucket[507..512].copy_from_slice(&[ON_PAGE, 7, 0, 0, 0]);
        bucket[495] = OFF_PAGE;
        bucket[499..503].copy_from_slice(&2_u32.to_le_bytes());
        bucket[503..507].copy_from_slice(&total.to_le_bytes());
        let page = &mut bytes[1024..];
        page[16..20].copy_from_slice(&next.to_le_bytes());
        (page[22], page[25]) = (5, OVERFLOW);
        page[26..31].copy_from_slice(b"hello");
        bytes
    }

    fn values(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
        let mut values = Vec::new();
        Database::open(bytes)?.each(&mut |value| values.push(value.to_vec()))?;
        Ok(values)
    }

    #[test]
    fn a_value_off_its_page_is_read() {
        assert_eq!(values(&file(0, 5)), Ok(vec![b"hello".to_vec()]));
    }

    #[test]
    fn a_chain_that_points_at_itself_ends() {
        assert_eq!(values(&file(2, 500)), Err("its pages point in a circle"));
    }

    #[test]
    fn a_value_that_says_it_is_huge_takes_no_memory() {
        assert_eq!(values(&file(2, u32::MAX)), Err(DAMAGED));
    }

    #[test]
    fn a_file_that_was_cut_off_is_no_shorter_database() {
        assert_eq!(values(&file(0, 5)[..3 * 512 - 1]), Err("a page of it lies behind its end"));
        assert_eq!(values(&[file(0, 5), vec![0; 9]].concat()), Err("it is cut off"));
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_us_panic(at in 0..1536_usize, byte: u8, rest in proptest::collection::vec(0..=255_u8, 0..64)) {
            let mut bytes = file(0, 5);
            bytes[at] = byte;
            let _ = values(&bytes);
            bytes.extend(rest);
            let _ = values(&bytes);
        }
    }
}
