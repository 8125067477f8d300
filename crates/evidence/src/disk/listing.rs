//! Listing: how are the entries of one folder kept until each was looked at?
//!
//! All names in one piece of memory: a crafted folder has two million of them, and each by itself would take three
//! times as much.

use image::filesystem::{Id, Listed};

/// Bytes of the names of one folder. Two million names as the kernel's own tools make them have half of it.
const NAMES: usize = 64 << 20;

/// Names of one folder, in the order of the disk.
#[derive(Default)]
pub(super) struct Listing {
    names: Vec<u8>,
    /// Where each name ends, and what it names.
    rows: Vec<(u32, Id)>,
}

impl Listing {
    /// Takes an entry, unless that would be more than `entries`, or more bytes than are kept.
    pub(super) fn push(&mut self, listed: &Listed, entries: usize) -> bool {
        let end = self.names.len() + listed.name.len();
        if self.rows.len() >= entries || end > NAMES {
            return false;
        }
        self.names.extend_from_slice(&listed.name);
        // No more than 64 MiB.
        self.rows.push((u32::try_from(end).unwrap_or(u32::MAX), listed.id));
        true
    }

    /// Names, and what they name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Id)> {
        let mut start = 0;
        self.rows.iter().map(move |(end, id)| {
            let name = &self.names[start..*end as usize];
            start = *end as usize;
            (name, *id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_as_they_went_in_and_what_is_beyond_is_refused() {
        let mut listing = Listing::default();
        let listed = |name: &[u8], id| Listed { name: name.to_vec(), id };
        assert!(listing.push(&listed(b"a", 7), 3) && listing.push(&listed(b"", 8), 3));
        assert!(!listing.push(&listed(&vec![b'x'; NAMES], 9), 3), "its name has too many bytes");
        assert!(listing.push(&listed(b"bc", 9), 3) && !listing.push(&listed(b"d", 10), 3));
        let all: Vec<(&[u8], Id)> = listing.iter().collect();
        assert_eq!(all, [(b"a".as_slice(), 7), (b"".as_slice(), 8), (b"bc".as_slice(), 9)]);
    }
}
