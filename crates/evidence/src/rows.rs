//! Rows: how are the entries of an archive kept so that half a million of them take little memory?
//!
//! One row of 80 bytes an entry; all names in one piece of memory, each once. What few entries have
//! (a birth time, a map of pieces) lies apart, and attributes that many share lie there once.
//! What is taken out is exactly what was put in.

use std::collections::HashMap;

use directive::text::Text;

use crate::catalogue::{Item, Place};
use crate::meta::{Kind, Meta, Time, Xattr};
use crate::source::Digests;

/// No number: of digests, attributes, or what is rare.
const NONE: u32 = u32::MAX;

/// What memory takes beside the bytes of a name, a list of attributes or a map.
const APART: usize = 128;

/// Where a name lies among all names.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Slice {
    at: u32,
    length: u32,
}

/// What a slice or a place means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Other {
    Nothing,
    /// Where a symbolic link points.
    Target,
    /// The path of the entry whose bytes a hard link shares.
    First,
}

#[derive(Clone, Copy)]
enum Bytes {
    None,
    At,
    Member,
}

/// Both in one byte.
#[derive(Clone, Copy)]
struct Flags(u8);

impl Flags {
    fn new(other: Other, bytes: Bytes) -> Self {
        Self(other as u8 | (bytes as u8) << 2)
    }

    fn other(self) -> Other {
        match self.0 & 3 {
            0 => Other::Nothing,
            1 => Other::Target,
            _ => Other::First,
        }
    }

    fn bytes(self) -> Bytes {
        match self.0 >> 2 {
            0 => Bytes::None,
            1 => Bytes::At,
            _ => Bytes::Member,
        }
    }
}

/// One entry.
struct Row {
    path: Slice,
    other: Slice,
    size: u64,
    place: u64,
    mtime: i64,
    ctime: i64,
    mtime_nanoseconds: u32,
    /// [`NONE`] if there is no `ctime`: no second has so many.
    ctime_nanoseconds: u32,
    uid: u32,
    gid: u32,
    digests: u32,
    xattrs: u32,
    rare: u32,
    mode: u16,
    kind: Kind,
    flags: Flags,
}

/// What few entries have.
struct Rare {
    birth: Option<Time>,
    nlink: u64,
    /// Bits of the mode beyond sixteen, which no archive has.
    mode: u32,
    pieces: Option<Box<[(u64, u64)]>>,
    ctime: Option<Time>,
    target: Option<Text>,
    inode: (u64, u64),
}

/// Entries, in the order in which they came until they are sorted.
#[derive(Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    names: Vec<u8>,
    digests: Vec<Digests>,
    xattrs: Vec<Vec<Xattr>>,
    same: HashMap<Vec<Xattr>, u32>,
    rare: Vec<Rare>,
    /// Bytes of what lies apart.
    apart: usize,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of names, attributes and maps so far: what an author can make long.
    pub(crate) fn bytes(&self) -> usize {
        self.names.len() + self.apart
    }

    /// Takes an entry. The caller bounds [`bytes`](Self::bytes) far below four gigabytes.
    pub(crate) fn push(&mut self, item: Item) {
        let Item { meta, digests, place, first } = item;
        let rare = self.rare_of(&meta, &place, first.is_some());
        let path = self.name(meta.path.as_bytes());
        let (other, means) = match (&first, &meta.target) {
            (Some(first), _) => (self.name(first.as_bytes()), Other::First),
            (None, Some(target)) => (self.name(target.as_bytes()), Other::Target),
            (None, None) => (Slice { at: 0, length: 0 }, Other::Nothing),
        };
        let (place, bytes) = match place {
            Place::None => (0, Bytes::None),
            Place::At(at) | Place::Sparse(at, _) => (at, Bytes::At),
            Place::Member(number) => (number, Bytes::Member),
        };
        let ctime = meta.ctime.filter(|time| time.nanoseconds != NONE);
        let xattrs = self.xattrs_of(meta.xattrs);
        self.digests.extend(digests);
        self.rows.push(Row {
            path,
            other,
            size: meta.size,
            place,
            mtime: meta.mtime.seconds,
            ctime: ctime.map_or(0, |time| time.seconds),
            mtime_nanoseconds: meta.mtime.nanoseconds,
            ctime_nanoseconds: ctime.map_or(NONE, |time| time.nanoseconds),
            uid: meta.uid,
            gid: meta.gid,
            digests: digests.map_or(NONE, |_| number(self.digests.len() - 1)),
            xattrs,
            rare,
            mode: u16::try_from(meta.mode & 0xffff).unwrap_or(0),
            kind: meta.kind,
            flags: Flags::new(means, bytes),
        });
    }

    fn name(&mut self, name: &[u8]) -> Slice {
        let at = number(self.names.len());
        self.names.extend_from_slice(name);
        Slice { at, length: number(name.len()) }
    }

    fn xattrs_of(&mut self, xattrs: Vec<Xattr>) -> u32 {
        if xattrs.is_empty() {
            return NONE;
        }
        if let Some(known) = self.same.get(&xattrs) {
            return *known;
        }
        let bytes = |xattr: &Xattr| xattr.name.as_bytes().len() + xattr.value.as_ref().map_or(0, String::len) + APART;
        // Twice: to look it up, and to give it out.
        self.apart += 2 * (APART + xattrs.iter().map(bytes).sum::<usize>());
        let number = number(self.xattrs.len());
        self.same.insert(xattrs.clone(), number);
        self.xattrs.push(xattrs);
        number
    }

    /// Keeps what a row has no room for, if there is any.
    fn rare_of(&mut self, meta: &Meta, place: &Place, is_hard_link: bool) -> u32 {
        let pieces = if let Place::Sparse(_, pieces) = place { Some(pieces.clone()) } else { None };
        let rare = Rare {
            birth: meta.birth,
            nlink: meta.nlink,
            mode: meta.mode & !0xffff,
            ctime: meta.ctime.filter(|time| time.nanoseconds == NONE),
            target: meta.target.clone().filter(|_| is_hard_link),
            inode: (meta.dev, meta.ino),
            pieces,
        };
        let is_nothing = rare.birth.is_none() && rare.pieces.is_none() && rare.ctime.is_none() && rare.target.is_none();
        if is_nothing && rare.nlink == 1 && rare.mode == 0 && rare.inode == (0, 0) {
            return NONE;
        }
        let pieces = rare.pieces.as_ref().map_or(0, |pieces| size_of_val(&**pieces));
        self.apart += APART + pieces + rare.target.as_ref().map_or(0, |target| target.as_bytes().len());
        self.rare.push(rare);
        number(self.rare.len() - 1)
    }

    fn text(&self, slice: Slice) -> &[u8] {
        let from = slice.at as usize;
        &self.names[from..from + slice.length as usize]
    }

    pub(crate) fn path(&self, index: usize) -> &[u8] {
        self.text(self.rows[index].path)
    }

    pub(crate) fn kind(&self, index: usize) -> Kind {
        self.rows[index].kind
    }

    /// Whether bytes lie in the archive for it.
    pub(crate) fn has_bytes(&self, index: usize) -> bool {
        !matches!(self.rows[index].flags.bytes(), Bytes::None)
    }

    /// Whether it is another name of another entry.
    pub(crate) fn is_hard_link(&self, index: usize) -> bool {
        self.rows[index].flags.other() == Other::First
    }

    /// Where a symbolic link points.
    pub(crate) fn target(&self, index: usize) -> Option<&[u8]> {
        let row = &self.rows[index];
        (row.flags.other() == Other::Target).then(|| self.text(row.other))
    }

    /// The entry as it was put in.
    pub(crate) fn item(&self, index: usize) -> Item {
        let row = &self.rows[index];
        let rare = self.rare.get(row.rare as usize);
        let ctime = Time { seconds: row.ctime, nanoseconds: row.ctime_nanoseconds };
        let other = |means: Other| (row.flags.other() == means).then(|| Text::new(self.text(row.other)));
        let meta = Meta {
            path: Text::new(self.text(row.path)),
            kind: row.kind,
            uid: row.uid,
            gid: row.gid,
            mode: u32::from(row.mode) | rare.map_or(0, |rare| rare.mode),
            size: row.size,
            mtime: Time { seconds: row.mtime, nanoseconds: row.mtime_nanoseconds },
            ctime: Some(ctime).filter(|time| time.nanoseconds != NONE).or(rare.and_then(|rare| rare.ctime)),
            birth: rare.and_then(|rare| rare.birth),
            nlink: rare.map_or(1, |rare| rare.nlink),
            target: other(Other::Target).or_else(|| rare?.target.clone()),
            xattrs: self.xattrs.get(row.xattrs as usize).cloned().unwrap_or_default(),
            dev: rare.map_or(0, |rare| rare.inode.0),
            ino: rare.map_or(0, |rare| rare.inode.1),
        };
        let place = match (row.flags.bytes(), rare.and_then(|rare| rare.pieces.as_ref())) {
            (Bytes::None, _) => Place::None,
            (Bytes::At, None) => Place::At(row.place),
            (Bytes::At, Some(pieces)) => Place::Sparse(row.place, pieces.clone()),
            (Bytes::Member, _) => Place::Member(row.place),
        };
        Item { meta, digests: self.digests.get(row.digests as usize).copied(), place, first: other(Other::First) }
    }

    /// Makes a hard link share what another entry has; `with_bytes` says whether it gives its bytes too.
    pub(crate) fn share(&mut self, index: usize, of: usize) {
        let owner = &self.rows[of];
        let (path, size, place, digests, bytes) =
            (owner.path, owner.size, owner.place, owner.digests, owner.flags.bytes());
        let pieces = self.rare.get(owner.rare as usize).and_then(|rare| rare.pieces.clone());
        // Where the bytes lie open they are read under this name too; otherwise they are known.
        let bytes = if digests == NONE { bytes } else { Bytes::None };
        if let (Some(pieces), Bytes::At) = (pieces, bytes) {
            let item = self.item(index);
            self.rows[index].rare = self.rare_of(&item.meta, &Place::Sparse(place, pieces), true);
        }
        let row = &mut self.rows[index];
        (row.other, row.size, row.place, row.digests) = (path, size, place, digests);
        row.flags = Flags::new(Other::First, bytes);
    }

    /// Takes entries out, by their numbers, which rise.
    pub(crate) fn remove(&mut self, indices: &[usize]) {
        let (mut left, mut index) = (indices.iter().peekable(), 0);
        self.rows.retain(|_| {
            let is_out = left.next_if_eq(&&index).is_some();
            index += 1;
            !is_out
        });
    }

    /// Sorts by path; entries of one path stay in the order in which they came.
    pub(crate) fn sort(&mut self) {
        let names = &self.names;
        let text = |row: &Row| &names[row.path.at as usize..][..row.path.length as usize];
        // Names lie in the order in which they came, so that their places tell it.
        self.rows.sort_unstable_by(|a, b| text(a).cmp(text(b)).then(a.path.at.cmp(&b.path.at)));
        self.same = HashMap::new();
        self.rows.shrink_to_fit();
        self.names.shrink_to_fit();
        self.digests.shrink_to_fit();
    }

    /// How many entries come first whose paths are as asked; of those that are sorted.
    pub(crate) fn partition_point(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        self.rows.partition_point(|row| is_before(self.text(row.path)))
    }
}

/// Below four billion, since [`Rows::bytes`] and the number of entries are bounded far below that.
fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::blank;

    #[test]
    fn a_row_takes_eighty_bytes() {
        assert_eq!(size_of::<Row>(), 80);
    }

    #[test]
    fn attributes_that_many_share_are_kept_once() {
        let mut rows = Rows::default();
        for n in 0..1000 {
            let mut meta = blank(format!("/{n:09}").into_bytes(), Kind::File);
            meta.xattrs = vec![Xattr::of(b"security.selinux", b"system_u:object_r:bin_t:s0")];
            rows.push(Item { meta, digests: None, place: Place::None, first: None });
        }
        assert!(rows.bytes() < 11_000, "{}", rows.bytes());
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_out_is_what_was_put_in(
            entries in proptest::collection::vec(
                ("[a-c]{0,3}", 0..3_u8, 0..4_u8, proptest::option::of((-9..9_i64, 0..9_u32)), 0..3_u64), 0..9),
        ) {
            let make = |n: usize, (path, kind, place, time, extra): &(String, u8, u8, Option<(i64, u32)>, u64)| {
                let kind = [Kind::File, Kind::Link, Kind::Folder][usize::from(*kind)];
                let mut meta = blank(format!("/{path}").into_bytes(), kind);
                let time = time.map(|(seconds, nanoseconds)| Time { seconds, nanoseconds });
                (meta.uid, meta.gid, meta.mode, meta.size) = (n as u32, 7, 0o104_755, extra * 5);
                (meta.ctime, meta.mtime) = (time, Time { seconds: n as i64, nanoseconds: 3 });
                meta.birth = time.filter(|_| *extra == 1);
                meta.nlink = extra + 1;
                meta.target = (kind == Kind::Link).then(|| Text::from("../x"));
                meta.xattrs = (0..*extra).map(|n| Xattr::of(format!("user.{n}").as_bytes(), b"")).collect();
                let pieces = vec![(*extra, 1)].into();
                let place = [Place::None, Place::At(*extra), Place::Member(*extra), Place::Sparse(4, pieces)]
                    [usize::from(*place)].clone();
                let sha256 = [n as u8; 32];
                let digests = Digests { sha256, md5: None, sha1: Some([1; 20]), nature: crate::Nature::Script };
                let digests = Some(digests).filter(|_| *extra == 2);
                let first = (kind == Kind::File && *extra == 0).then(|| Text::from("/first"));
                Item { meta, digests, place, first }
            };
            let shown = |item: &Item| format!("{:?} {:?} {:?} {:?}", item.meta, item.digests, item.place, item.first);
            let mut rows = Rows::default();
            entries.iter().enumerate().for_each(|(n, entry)| rows.push(make(n, entry)));
            rows.sort();
            let mut put: Vec<Item> = entries.iter().enumerate().map(|(n, entry)| make(n, entry)).collect();
            put.sort_by(|a, b| a.meta.path.cmp(&b.meta.path));
            let put: Vec<String> = put.iter().map(shown).collect();
            let taken: Vec<String> = (0..rows.len()).map(|index| shown(&rows.item(index))).collect();
            proptest::prop_assert_eq!(taken, put);
        }
    }
}
