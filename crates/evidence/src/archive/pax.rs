//! Pax: what do the extended records before a tar member say about it?
//!
//! Source: POSIX.1-2017 `pax`, "pax Extended Header"; GNU tar manual, "Storing Sparse Files";
//! `SCHILY.xattr` as star, GNU tar and libarchive write it; `LIBARCHIVE.creationtime`.

use std::io;

use crate::meta::Time;

/// Records that matter for evidence. What is not known here does not change which bytes a file has.
#[derive(Default, Clone)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) ctime: Option<Time>,
    pub(super) birth: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The name of a sparse file; the header holds a made-up one.
    pub(super) real_name: Option<Vec<u8>>,
    real_size: Option<u64>,
    sparse_major: Option<u64>,
    sparse_map: Option<Vec<u64>>,
    /// Offsets and lengths of the format 0.0, in turn.
    sparse_pieces: Vec<u64>,
}

/// What the records say about a sparse file.
pub(super) struct Sparse {
    /// The map; `None` if it stands at the beginning of the member's bytes.
    pub(super) map: Option<Vec<(u64, u64)>>,
    pub(super) real_size: Option<u64>,
}

impl Pax {
    pub(super) fn is_empty(&self) -> bool {
        self.path.is_none() && self.linkpath.is_none() && self.size.is_none() && self.xattrs.is_empty()
    }

    /// These records, and those of the whole archive where these are silent.
    pub(super) fn over(mut self, global: &Self) -> Self {
        self.path = self.path.or_else(|| global.path.clone());
        self.linkpath = self.linkpath.or_else(|| global.linkpath.clone());
        self.size = self.size.or(global.size);
        self.uid = self.uid.or(global.uid);
        self.gid = self.gid.or(global.gid);
        self.mtime = self.mtime.or(global.mtime);
        self
    }

    /// What they say about a sparse file, if it is one.
    ///
    /// # Errors
    ///
    /// If the map is not a list of pairs.
    pub(super) fn sparse(&self) -> io::Result<Option<Sparse>> {
        let real_size = self.real_size;
        if self.sparse_major == Some(1) {
            return Ok(Some(Sparse { map: None, real_size }));
        }
        let numbers = match &self.sparse_map {
            Some(map) => map,
            None if self.sparse_pieces.is_empty() => return Ok(None),
            None => &self.sparse_pieces,
        };
        let (pairs, rest) = numbers.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(io::Error::other("the map of a sparse member has an odd number of numbers"));
        }
        let map = pairs.iter().map(|pair| (pair[0], pair[1])).collect();
        Ok(Some(Sparse { map: Some(map), real_size }))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.linkpath = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(number(value)?.try_into().ok()?),
            b"gid" => self.gid = Some(number(value)?.try_into().ok()?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"ctime" => self.ctime = Some(time(value)?),
            b"LIBARCHIVE.creationtime" => self.birth = Some(time(value)?),
            b"GNU.sparse.name" => self.real_name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.real_size = Some(number(value)?),
            b"GNU.sparse.major" => self.sparse_major = Some(number(value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse_pieces.push(number(value)?),
            b"GNU.sparse.map" => {
                self.sparse_map = Some(value.split(|byte| *byte == b',').map(number).collect::<Option<_>>()?);
            }
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Some(())
    }
}

/// Reads `<length> <key>=<value>\n` until the end.
///
/// # Errors
///
/// If a length does not fit or a known record cannot be understood: what a member is called and how
/// long it is must not be guessed.
pub(super) fn records(mut bytes: &[u8]) -> io::Result<Pax> {
    let bad = || io::Error::other("a pax record cannot be understood");
    let mut pax = Pax::default();
    while !bytes.is_empty() && bytes.iter().any(|byte| *byte != 0) {
        let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(bad)?;
        let length = usize::try_from(number(&bytes[..space]).ok_or_else(bad)?).map_err(|_| bad())?;
        let record = bytes.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(bad)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
        pax.set(&record[..equals], &record[equals + 1..]).ok_or_else(bad)?;
        bytes = &bytes[length..];
    }
    Ok(pax)
}

fn number(digits: &[u8]) -> Option<u64> {
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds since 1970 with a fraction, possibly negative.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(number(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    fraction.iter().all(u8::is_ascii_digit).then_some(())?;
    let digit = |n: usize| u32::from(fraction.get(n).map_or(0, |digit| digit - b'0'));
    let nanoseconds = (0..9).fold(0, |sum, n| sum * 10 + digit(n));
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds },
        (true, nanoseconds) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_a_length_that_lies_is_refused() {
        let pax = records(b"12 path=a/b\n19 mtime=1.5000001\n\0\0").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.mtime, Some(Time { seconds: 1, nanoseconds: 500_000_100 }));
        assert!(records(b"99 path=a/b\n").is_err());
        assert!(records(b"0 \n").is_err());
        assert!(records(b"13 size=9x9\n").is_err());
    }

    #[test]
    fn a_time_before_1970_counts_backwards() {
        assert_eq!(time(b"-1.25"), Some(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(time(b"1e9"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_records_make_us_panic(bytes: Vec<u8>) {
            let _ = records(&bytes).map(|pax| pax.sparse().is_ok());
        }
    }
}
