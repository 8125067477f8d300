//! Sqlite: which rows has one table of a database file, without a line of C?
//!
//! The file comes from the instance and may be crafted, and rpm's use of SQLite is one table of numbers and
//! blobs. So only that is read: the schema, the b-tree of one table, rows that overflow their page, and pages
//! of a write-ahead log that were committed and not yet written back. Indexes, views and text encodings do
//! not matter here. Every page is visited once, so that a tree in a circle ends.
//! Source: "Database File Format" of sqlite.org, 1.3, 1.5, 1.6, 2.1, 2.6 and 4.1 to 4.5.

mod log;

use std::collections::{HashMap, HashSet};

use super::Broken;

/// Depth of a tree. One of 4 KiB pages holds more than any disk at a depth of ten.
const DEPTH: usize = 20;

/// Rows of one table. The largest distributions have 100,000 packages, of which nobody installs all.
const ROWS: usize = 1 << 18;

/// A database in memory.
pub(crate) struct Database<'a> {
    bytes: &'a [u8],
    page_bytes: usize,
    /// Bytes of a page that hold content.
    usable: usize,
    /// Pages of the log that stand above those of the file.
    newer: HashMap<u32, &'a [u8]>,
}

impl<'a> Database<'a> {
    /// Opens the bytes of a file and of its write-ahead log, which may be empty.
    pub(crate) fn open(bytes: &'a [u8], log: &'a [u8]) -> Result<Self, Broken> {
        let head = bytes.get(..100).filter(|head| head.starts_with(b"SQLite format 3\0"));
        let head = head.ok_or("it is no SQLite database")?;
        let page_bytes = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 65536,
            size if size.is_power_of_two() && size >= 512 => usize::from(size),
            _ => return Err("its pages have no size that SQLite knows"),
        };
        let usable = page_bytes - usize::from(head[20]);
        if usable < 480 {
            return Err("its pages have no room");
        }
        Ok(Self { bytes, page_bytes, usable, newer: log::committed(log, page_bytes)? })
    }

    /// Hands over the second value of each row of a table: the first is its number.
    pub(super) fn each(&self, table: &str, each: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
        let left = self.bytes.len() + self.newer.len() * self.page_bytes;
        let (mut root, mut rows) = (None, 0);
        let mut schema = |row: &[u8]| {
            let values = values(row).unwrap_or_default();
            // type, name, tbl_name, rootpage, sql
            let text = |n: usize| values.get(n).map(|(_, bytes)| *bytes);
            if root.is_none() && text(0) == Some(b"table") && text(1) == Some(table.as_bytes()) {
                root = text(3).and_then(integer);
            }
            Ok(())
        };
        let mut walk = Walk { seen: HashSet::new(), left, each: &mut schema };
        self.rows(1, 0, &mut walk)?;
        let Walk { seen, left, .. } = walk;
        let root = root.and_then(|root| u32::try_from(root).ok()).ok_or("it has no table of packages")?;
        let mut row = |row: &[u8]| {
            rows += 1;
            if rows > ROWS {
                return Err("it has more rows than any system has packages");
            }
            each(values(row).and_then(|values| Some(values.get(1)?.1)).ok_or("a row of it is damaged")?);
            Ok(())
        };
        self.rows(root, 0, &mut Walk { seen, left, each: &mut row })
    }

    fn page(&self, number: u32) -> Result<&'a [u8], Broken> {
        if let Some(page) = self.newer.get(&number) {
            return Ok(page);
        }
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1)?.checked_mul(self.page_bytes));
        let page = at.and_then(|at| self.bytes.get(at..at.checked_add(self.page_bytes)?));
        page.ok_or("a page of it lies behind its end")
    }

    /// The payload of every row below a page.
    fn rows(&self, number: u32, depth: usize, walk: &mut Walk<'_>) -> Result<(), Broken> {
        if depth > DEPTH || !walk.seen.insert(number) {
            return Err("its pages point in a circle");
        }
        let page = self.page(number)?;
        // The first page begins with the header of the file.
        let head = if number == 1 { 100 } else { 0 };
        let cells = be16(page, head + 3).ok_or("a page of it is damaged")?;
        let (pointers, is_leaf) = match page.get(head) {
            Some(5) => (head + 12, false),
            Some(13) => (head + 8, true),
            _ => return Err("a page of it is none of a table"),
        };
        for n in 0..usize::from(cells) {
            let cell = be16(page, pointers + 2 * n).map(usize::from).ok_or("a page of it is damaged")?;
            if is_leaf {
                let row = self.payload(page, cell, walk)?;
                (walk.each)(&row)?;
            } else {
                let child = be32(page, cell).ok_or("a page of it is damaged")?;
                self.rows(child, depth + 1, walk)?;
            }
        }
        if !is_leaf {
            let last = be32(page, head + 8).ok_or("a page of it is damaged")?;
            self.rows(last, depth + 1, walk)?;
        }
        Ok(())
    }

    /// The whole payload of one row, with what overflows its page.
    fn payload(&self, page: &[u8], at: usize, walk: &mut Walk<'_>) -> Result<Vec<u8>, Broken> {
        const DAMAGED: Broken = "a row of it is damaged";
        let (size, at) = varint(page, at).ok_or(DAMAGED)?;
        let (_, at) = varint(page, at).ok_or(DAMAGED)?;
        // No two rows share bytes, so that all of them fit into the file.
        let size = usize::try_from(size).ok().filter(|size| *size <= walk.left).ok_or(DAMAGED)?;
        walk.left -= size;
        let (most, least) = (self.usable - 35, (self.usable - 12) * 32 / 255 - 23);
        if size <= most {
            return page.get(at..at + size).map(<[u8]>::to_vec).ok_or(DAMAGED);
        }
        let fitting = least + (size - least) % (self.usable - 4);
        let here = if fitting <= most { fitting } else { least };
        let mut payload = page.get(at..at + here).ok_or(DAMAGED)?.to_vec();
        let mut next = be32(page, at + here).ok_or(DAMAGED)?;
        while payload.len() < size {
            if !walk.seen.insert(next) {
                return Err("its pages point in a circle");
            }
            let overflow = self.page(next)?;
            let count = (size - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(&overflow[4..4 + count]);
            next = be32(overflow, 0).ok_or(DAMAGED)?;
        }
        Ok(payload)
    }
}

/// What was met so far, and who takes the rows.
struct Walk<'w> {
    seen: HashSet<u32>,
    /// Bytes that further rows can have.
    left: usize,
    each: &'w mut dyn FnMut(&[u8]) -> Result<(), Broken>,
}

/// The values of a row with their serial types; `None` if it is damaged.
fn values(row: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let (head, mut at) = varint(row, 0)?;
    let head = usize::try_from(head).ok()?;
    let mut body = head;
    let mut values = Vec::new();
    while at < head {
        let (kind, next) = varint(row, at)?;
        at = next;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            kind => (kind - 12) / 2,
        };
        let end = body.checked_add(usize::try_from(length).ok()?)?;
        // The numbers 0 and 1 take no bytes.
        let bytes = if kind == 9 { &[1] } else { row.get(body..end)? };
        values.push((kind, bytes));
        body = end;
    }
    Some(values)
}

/// Up to eight bytes as a number.
fn integer(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// A number of one to nine bytes, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for n in 0..9 {
        let byte = *bytes.get(at.checked_add(n)?)?;
        if n == 8 {
            return Some((value << 8 | u64::from(byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + n + 1));
        }
    }
    None
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of one page size whose only table begins at its second page, with that page as given.
    fn database(second: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[..16].copy_from_slice(b"SQLite format 3\0");
        bytes[16..18].copy_from_slice(&512_u16.to_be_bytes());
        // One leaf cell: a row of the schema that names the table and its root, page 2.
        let row = b"\x06\x17\x1d\x1d\x01\x0dtablePackagesPackages\x02";
        let row = [&[row.len() as u8, 1], &row[..]].concat();
        bytes[100] = 13;
        bytes[103..105].copy_from_slice(&1_u16.to_be_bytes());
        bytes[108..110].copy_from_slice(&400_u16.to_be_bytes());
        bytes[400..400 + row.len()].copy_from_slice(&row);
        bytes[512..512 + second.len()].copy_from_slice(second);
        bytes
    }

    fn blobs(bytes: &[u8], log: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
        let mut blobs = Vec::new();
        Database::open(bytes, log)?.each("Packages", &mut |blob| blobs.push(blob.to_vec()))?;
        Ok(blobs)
    }

    #[test]
    fn a_tree_that_points_at_itself_ends() {
        // An interior page without cells whose last child is itself.
        let circle = database(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(blobs(&circle, &[]), Err("its pages point in a circle"));
    }

    #[test]
    fn rows_that_share_their_bytes_do_not_multiply_them() {
        // Two hundred cells, all at one row of 40 bytes.
        let mut page = vec![13, 0, 0, 0, 200, 0, 0, 0];
        page.extend([1, 200].repeat(200));
        page.resize(456, 0);
        page.extend([40, 1]);
        page.resize(500, 0);
        let shared = database(&page);
        assert_eq!(blobs(&shared, &[]), Err("a row of it is damaged"));
    }

    #[test]
    fn a_row_that_says_it_is_huge_takes_no_memory() {
        let mut page = vec![13, 0, 0, 0, 1, 0, 0, 0, 0, 100];
        page.resize(100, 0);
        page.extend([0xff, 0xff, 0xff, 0xff, 0x7f, 1]);
        let huge = database(&page);
        assert_eq!(blobs(&huge, &[]), Err("a row of it is damaged"));
    }

    proptest::proptest! {
        #[test]
        fn no_database_makes_us_panic(second: [u8; 32], at in 0..500_usize, byte: u8, log: Vec<u8>) {
            let mut bytes = database(&second);
            bytes[at] = byte;
            let log = [&0x377f_0682_u32.to_be_bytes()[..], &[0; 4], &512_u32.to_be_bytes(), &log].concat();
            let _ = blobs(&bytes, &log);
            let _ = values(&second);
        }
    }
}
