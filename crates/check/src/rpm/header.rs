//! Header: what does one package of rpm say about its files?
//!
//! A header is a list of entries (tag, type, offset, count) over a heap of bytes. Only the tags that a check
//! needs are read; each with its own bounds, since offsets and counts come from whoever wrote the database.
//! Source: rpm 4.18 `docs/manual/format_header.md`, `docs/manual/tags.md`, `include/rpm/rpmfiles.h`.

use super::sqlite::be32;

/// Files of one package. Kernel sources have 80,000.
const FILES: usize = 1 << 20;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const ARCH: u32 = 1022;
const FILE_STATES: u32 = 1029;
const FILE_MODES: u32 = 1030;
const FILE_DIGESTS: u32 = 1035;
const FILE_LINKS: u32 = 1036;
const FILE_FLAGS: u32 = 1037;
const FILE_USERS: u32 = 1039;
const FILE_GROUPS: u32 = 1040;
const FILE_VERIFY: u32 = 1045;
const FOLDER_OF: u32 = 1116;
const BASENAMES: u32 = 1117;
const FOLDERS: u32 = 1118;
const DIGEST_KIND: u32 = 5011;

/// A package, with what it says of its files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Version and release, as rpm prints them.
    pub(crate) version: String,
    pub(crate) architecture: String,
    pub(crate) files: Vec<File>,
}

/// One file, folder or link of a package.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: Vec<u8>,
    /// With the bits that tell what it is.
    pub(crate) mode: u32,
    pub(crate) user: Vec<u8>,
    pub(crate) group: Vec<u8>,
    pub(crate) digest: Option<Digest>,
    /// Where a link points.
    pub(crate) target: Vec<u8>,
    pub(crate) flags: u32,
    /// What the packager wants to be verified; all bits if it says nothing.
    pub(crate) verify: u32,
    /// Whether it was installed at all, and not replaced by another package.
    pub(crate) is_there: bool,
}

/// The digest of a file as far as its kind is one that is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha256([u8; 32]),
    Sha1([u8; 20]),
    Md5([u8; 16]),
    /// Of a kind that is not.
    Other,
}

/// The entries of a header.
struct Header<'a> {
    entries: &'a [u8],
    heap: &'a [u8],
}

/// Reads a header as the database holds it: without magic bytes before it.
pub(crate) fn parse(bytes: &[u8]) -> Option<Package> {
    let (count, length) = (be32(bytes, 0)? as usize, be32(bytes, 4)? as usize);
    let (entries, heap) = bytes.get(8..)?.split_at_checked(count.checked_mul(16)?)?;
    let header = Header { entries, heap: heap.get(..length)? };
    let text = |tag| Some(String::from_utf8_lossy(header.strings(tag)?.first()?).into_owned());
    let name = text(NAME)?;
    let version = [text(VERSION)?, text(RELEASE)?].join("-");
    // A key that rpm trusts stands among the packages, and has no architecture.
    let architecture = text(ARCH).unwrap_or_default();
    Some(Package { name, version, architecture, files: header.files()? })
}

impl<'a> Header<'a> {
    /// The bytes of a tag from its beginning, its type and its count.
    fn find(&self, tag: u32) -> Option<(&'a [u8], u32, usize)> {
        let entry = self.entries.chunks_exact(16).find(|entry| be32(entry, 0) == Some(tag))?;
        let at = self.heap.get(be32(entry, 8)? as usize..)?;
        Some((at, be32(entry, 4)?, be32(entry, 12)? as usize))
    }

    fn strings(&self, tag: u32) -> Option<Vec<&'a [u8]>> {
        let (bytes, kind, count) = self.find(tag)?;
        // A string, an array of them, or one in several languages.
        (matches!(kind, 6 | 8 | 9) && count <= FILES).then_some(())?;
        let mut rest = bytes;
        (0..count)
            .map(|_| {
                let end = rest.iter().position(|byte| *byte == 0)?;
                let (string, after) = rest.split_at(end);
                rest = &after[1..];
                Some(string)
            })
            .collect()
    }

    /// Numbers of one, two or four bytes.
    fn numbers(&self, tag: u32) -> Option<Vec<u32>> {
        let (bytes, kind, count) = self.find(tag)?;
        let width = match kind {
            1 | 2 => 1,
            3 => 2,
            4 => 4,
            _ => return None,
        };
        let bytes = bytes.get(..count.checked_mul(width).filter(|_| count <= FILES)?)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        Some(bytes.chunks_exact(width).map(number).collect())
    }

    /// What the package says of its files; empty if it has none, `None` if that is damaged.
    fn files(&self) -> Option<Vec<File>> {
        let Some(names) = self.strings(BASENAMES) else {
            // A package without files has no such tag at all.
            return self.find(BASENAMES).is_none().then(Vec::new);
        };
        let (folders, folder_of) = (self.strings(FOLDERS)?, self.numbers(FOLDER_OF)?);
        let (modes, flags, verify) = (self.numbers(FILE_MODES), self.numbers(FILE_FLAGS), self.numbers(FILE_VERIFY));
        let (users, groups) = (self.strings(FILE_USERS), self.strings(FILE_GROUPS));
        let (digests, links) = (self.strings(FILE_DIGESTS), self.strings(FILE_LINKS));
        let states = self.numbers(FILE_STATES);
        let kind = self.numbers(DIGEST_KIND).and_then(|kinds| kinds.first().copied()).unwrap_or(1);
        let number = |list: &Option<Vec<u32>>, n: usize| list.as_ref().and_then(|list| list.get(n).copied());
        // A long folder under many names is much from little; a file takes a hundred bytes of the header.
        let mut left = 4 * self.heap.len() + (1 << 16);
        let mut files = Vec::new();
        for (n, name) in names.into_iter().enumerate() {
            let folder = folders.get(*folder_of.get(n)? as usize)?;
            left = left.checked_sub(folder.len() + name.len())?;
            files.push(File {
                path: [folder, name].concat(),
                mode: number(&modes, n)?,
                user: string(&users, n).to_vec(),
                group: string(&groups, n).to_vec(),
                digest: digest(kind, string(&digests, n)),
                target: string(&links, n).to_vec(),
                flags: number(&flags, n).unwrap_or(0),
                verify: number(&verify, n).unwrap_or(!0),
                is_there: number(&states, n).unwrap_or(0) == 0,
            });
        }
        Some(files)
    }
}

/// One of a list that may be shorter, or not there.
fn string<'a>(list: &Option<Vec<&'a [u8]>>, n: usize) -> &'a [u8] {
    list.as_ref().and_then(|list| list.get(n).copied()).unwrap_or_default()
}

/// A digest as it is written; `None` where there is none. Kinds as in RFC 4880 9.4.
fn digest(kind: u32, text: &[u8]) -> Option<Digest> {
    let read = match kind {
        _ if text.is_empty() => return None,
        8 => crate::manifest::hex(text).map(Digest::Sha256),
        2 => crate::manifest::hex(text).map(Digest::Sha1),
        1 => crate::manifest::hex(text).map(Digest::Md5),
        _ => None,
    };
    Some(read.unwrap_or(Digest::Other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of these tags: type, count, bytes.
    fn header(tags: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let (mut entries, mut heap) = (Vec::new(), Vec::new());
        for (tag, kind, count, bytes) in tags {
            for word in [*tag, *kind, heap.len() as u32, *count] {
                entries.extend(word.to_be_bytes());
            }
            heap.extend_from_slice(bytes);
        }
        [&(tags.len() as u32).to_be_bytes()[..], &(heap.len() as u32).to_be_bytes(), &entries, &heap].concat()
    }

    const HEAD: [(u32, u32, u32, &[u8]); 3] = [(NAME, 6, 1, b"a\0"), (VERSION, 6, 1, b"1\0"), (RELEASE, 6, 1, b"2\0")];

    #[test]
    fn a_package_without_files_is_a_package() {
        let package = parse(&header(&HEAD)).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str(), package.files.len()), ("a", "1-2", 0));
    }

    #[test]
    fn a_header_that_counts_more_than_it_holds_is_damaged() {
        let names: (u32, u32, u32, &[u8]) = (BASENAMES, 8, 4_000_000_000, b"x\0");
        assert_eq!(parse(&header(&[&HEAD[..], &[names]].concat())), None);
        let mut cut = header(&HEAD);
        cut.truncate(cut.len() - 1);
        assert_eq!(parse(&cut), None);
        let lost: [(u32, u32, u32, &[u8]); 4] = [
            (BASENAMES, 8, 1, b"x\0"),
            (FOLDERS, 8, 1, b"/usr/\0"),
            (FOLDER_OF, 4, 1, &[0, 0, 0, 9]),
            (FILE_MODES, 3, 1, &[0x81, 0xa4]),
        ];
        assert_eq!(parse(&header(&[&HEAD[..], &lost].concat())), None);
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_us_panic(bytes: Vec<u8>, tags: Vec<(u8, u8, u8, Vec<u8>)>) {
            let _ = parse(&bytes);
            let known = [NAME, BASENAMES, FOLDERS, FOLDER_OF, FILE_MODES, FILE_DIGESTS, FILE_STATES];
            let tags: Vec<(u32, u32, u32, &[u8])> = tags
                .iter()
                .map(|(tag, kind, count, bytes)| {
                    (known[usize::from(*tag) % known.len()], u32::from(kind % 10), u32::from(*count), bytes.as_slice())
                })
                .collect();
            let _ = parse(&header(&[&HEAD[..], &tags].concat()));
        }
    }
}
