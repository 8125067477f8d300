//! Aide: what does a database of AIDE list?
//!
//! Made on a machine while it was known to be good, and kept elsewhere since. The columns are those that the
//! database names itself. Only SHA-256 vouches: an entry with another digest, or with none as those of logs,
//! says that the file belongs there and nothing of what is in it; how many there are is told.
//! Source: `aide.conf(5)`, "DATABASE" and "DEFAULT GROUPS"; AIDE 0.18.3 `include/attributes.h`, `src/db_file.c`.

use std::collections::HashSet;
use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use directive::problem::{Problem, Problems};

use super::Owner;
use super::lines::{Added, Distinct, Line, Lines};
use super::list::{LIST_BYTES, problem};

/// Bytes of one line. Its access lists can be long; a path in them is at most 4096 bytes, thrice as long escaped.
const LINE_BYTES: usize = 256 << 10;

/// What a line says wrong, and what to try.
type Wrong = (&'static str, &'static str);

// Source: `include/attributes.h`: which attributes the entry was made with.
const TARGET: u64 = 1 << 1;
const PERMISSIONS: u64 = 1 << 2;
const USER: u64 = 1 << 3;
const GROUP: u64 = 1 << 4;

/// What a database lists.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) lines: Lines,
    /// Symbolic links, and where they point.
    pub(super) links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Files that are listed without a digest that vouches.
    pub(super) bare: Vec<Vec<u8>>,
    /// Of those, how many have another digest.
    pub(super) weak: u64,
}

/// Whether these bytes are such a database, unpacked.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').take(20).any(|line| line.trim_ascii() == b"@@begin_db")
}

/// The bytes of a database that is packed with gzip, as AIDE writes it by default.
pub(super) fn unpacked(name: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>, Problems> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(None);
    }
    let mut unpacked = Vec::new();
    let stream = flate2::bufread::MultiGzDecoder::new(bytes);
    let whole = |message: String| Problems::from(Problem::whole(name, message));
    let read = stream.take(LIST_BYTES as u64 + 1).read_to_end(&mut unpacked);
    read.map_err(|error| whole(format!("it cannot be unpacked: {error}")))?;
    if unpacked.len() > LIST_BYTES {
        return Err(whole(format!("it unpacks to more than {LIST_BYTES} bytes")));
    }
    Ok(Some(unpacked))
}

/// Reads a whole database.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Listed, Problems> {
    let whole = |message: &str| Problems::from(Problem::whole(name, message));
    if bytes.len() > LIST_BYTES {
        return Err(whole("the database has more than 536870912 bytes"));
    }
    let mut reader = Reader::default();
    let mut at = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        let from = at;
        at += line.len() + 1;
        reader.line(line).map_err(|(message, hint)| {
            Problems(vec![problem(name, bytes, from, from + line.len(), message).hint(hint)])
        })?;
        if reader.is_ended {
            break;
        }
    }
    if !reader.is_ended {
        return Err(whole("the database has no end mark: it was cut, and files may be missing from it"));
    }
    if reader.lines.is_empty() {
        let hint = "only SHA-256 vouches; make it with a rule that has `sha256`";
        return Err(Problem::whole(name, "the database lists no file with a SHA-256").hint(hint).into());
    }
    Ok(Listed { lines: reader.lines.lines(), ..reader.listed })
}

#[derive(Default)]
struct Reader {
    listed: Listed,
    columns: Option<Columns>,
    lines: Distinct,
    /// Those that have no digest which vouches.
    bare: HashSet<Vec<u8>>,
    is_ended: bool,
}

/// Where each column stands.
#[derive(Clone)]
struct Columns {
    count: usize,
    name: usize,
    target: Option<usize>,
    mode: usize,
    uid: Option<usize>,
    gid: Option<usize>,
    attributes: Option<usize>,
    sha256: Option<usize>,
    others: Vec<usize>,
}

impl Columns {
    /// `@@db_spec name lname perm uid gid size ... sha256`.
    fn new(names: &[&[u8]]) -> Option<Self> {
        let find = |wanted: &[u8]| names.iter().position(|name| *name == wanted);
        let digests: [&[u8]; 8] = [b"md5", b"sha1", b"rmd160", b"tiger", b"whirlpool", b"sha512", b"gost", b"haval"];
        Some(Self {
            count: names.len(),
            name: find(b"name")?,
            target: find(b"lname"),
            // Without it nobody knows what is a file.
            mode: find(b"perm")?,
            uid: find(b"uid"),
            gid: find(b"gid"),
            attributes: find(b"attr"),
            sha256: find(b"sha256"),
            others: digests.into_iter().filter_map(find).collect(),
        })
    }
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        if line.len() > LINE_BYTES {
            return Err(("the line has more than 262144 bytes", "this is no database of AIDE"));
        }
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") || line == b"@@begin_db" {
            return Ok(());
        }
        if line == b"@@end_db" {
            self.is_ended = true;
            return Ok(());
        }
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        if let [b"@@db_spec", names @ ..] = fields.as_slice() {
            let columns = Columns::new(names).ok_or((
                "the database has no column for names, or none for permissions",
                "make it with a rule that has `p` and `sha256`",
            ))?;
            self.columns = Some(columns);
            return Ok(());
        }
        let columns = self.columns.clone().ok_or(("an entry before the columns are named", "the database was cut"))?;
        if fields.len() != columns.count {
            return Err(("the entry has not as many columns as are named", "the database was cut or edited"));
        }
        self.entry(&columns, &fields)
    }

    fn entry(&mut self, columns: &Columns, fields: &[&[u8]]) -> Result<(), Wrong> {
        const NUMBER: Wrong = ("a column that is no number", "the database was edited");
        let column = |place: Option<usize>| place.and_then(|place| fields.get(place).copied()).unwrap_or(b"0");
        let decimal = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
        let mode = std::str::from_utf8(fields[columns.mode]).ok();
        let mode = mode.and_then(|text| u32::from_str_radix(text, 8).ok()).ok_or(NUMBER)?;
        let name = decoded(fields[columns.name]).ok_or(("the name is not escaped as AIDE does", "it was edited"))?;
        let path = match evidence::normalise(&name) {
            Ok(path) => path,
            // The root itself is a folder like others.
            Err(evidence::PathError::Empty) => return Ok(()),
            Err(_) => return Err(("the path climbs with \"..\" or holds a zero byte", "the database was edited")),
        };
        let made_with = match columns.attributes {
            Some(place) => decimal(fields[place]).ok_or(NUMBER)?,
            None => 0,
        };
        // Source: `sys/stat.h`.
        match mode & 0o170_000 {
            0o100_000 => {}
            0o120_000 if columns.target.is_some() && made_with & TARGET != 0 => {
                let target = decoded(column(columns.target)).unwrap_or_default();
                self.listed.links.push((path, target));
                return Ok(());
            }
            _ => return Ok(()),
        }
        let digest = match column(columns.sha256) {
            b"0" => None,
            text => {
                let bytes = BASE64_STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
                Some(bytes.ok_or(("no SHA-256 in base64", "the database was edited"))?)
            }
        };
        const CONTRADICTS: Wrong = ("the path is listed before with another digest", "keep the entry that is right");
        let Some(sha256) = digest else {
            if self.lines.digest(&path).is_some() {
                return Err(CONTRADICTS);
            }
            if !self.bare.insert(path.clone()) {
                return Ok(());
            }
            self.listed.weak += u64::from(columns.others.iter().any(|place| fields[*place] != b"0"));
            self.listed.bare.push(path);
            return Ok(());
        };
        let number = |place: Option<usize>, bit: u64| match place {
            Some(place) if made_with & bit != 0 => {
                decimal(fields[place]).and_then(|number| u32::try_from(number).ok()).map(Some).ok_or(NUMBER)
            }
            _ => Ok(None),
        };
        let owner = Owner {
            mode: (made_with & PERMISSIONS != 0).then_some(mode & 0o7777),
            uid: number(columns.uid, USER)?,
            gid: number(columns.gid, GROUP)?,
            exact: true,
        };
        if self.bare.contains(&path) {
            return Err(CONTRADICTS);
        }
        match self.lines.push(Line { owner: Some(owner), ..Line::new(&path, sha256) }) {
            Added::New | Added::Again => Ok(()),
            Added::Contradicts => Err(CONTRADICTS),
        }
    }
}

/// A name with `%20` for a space.
fn decoded(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        out.push(super::hex::<1>(digits)?[0]);
        rest = after;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "@@begin_db\n# made\n@@db_spec name lname perm uid gid attr md5 sha256\n";
    const DIGEST: &str = "c8s4WKaHqElMozIwUwFigvPa051Cz2LKTnndoqrH2aw=";

    #[track_caller]
    fn check(entries: &str, expected: &str) {
        let text = format!("{HEAD}{}", entries.replace("{D}", DIGEST));
        let shown = match parse("aide.db", text.as_bytes()) {
            Ok(listed) => {
                let paths =
                    |paths: Vec<&[u8]>| paths.into_iter().map(directive::text::escape).collect::<Vec<_>>().join(" ");
                let (lines, bare) = (listed.lines.iter().map(|line| line.path), listed.bare.iter().map(Vec::as_slice));
                format!("{}; {}; weak {}", paths(lines.collect()), paths(bare.collect()), listed.weak)
            }
            Err(problems) => problems.0[0].message.clone(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn entries_with_a_sha256_vouch_and_others_are_counted() {
        check(
            "/a%20b 0 100644 0 0 61 0 {D}\n/log 0 100640 0 0 61 0 0\n/old 0 100644 0 0 61 QBsw47i11iljWlxhPNt5GQ== 0\n\
             / 0 40755 0 0 61 0 0\n/l a 120777 0 0 61 0 0\n@@end_db\n",
            "/a b; /log /old; weak 1",
        );
    }

    #[test]
    fn a_database_that_was_cut_or_edited_is_refused() {
        let cut = "the database has no end mark: it was cut, and files may be missing from it";
        check("/a 0 100644 0 0 61 0 {D}\n", cut);
        check("/a 0 100644 0 0 61 0\n@@end_db\n", "the entry has not as many columns as are named");
        check("/../a 0 100644 0 0 61 0 {D}\n@@end_db\n", "the path climbs with \"..\" or holds a zero byte");
        check("/a 0 100644 0 0 61 0 abc\n@@end_db\n", "no SHA-256 in base64");
        let twice = "/a 0 100644 0 0 61 0 {D}\n/a 0 100644 0 0 61 0 0\n@@end_db\n";
        check(twice, "the path is listed before with another digest");
        check("/a 0 100644 0 0 61 0 0\n@@end_db\n", "the database lists no file with a SHA-256");
        check("/a%2 0 100644 0 0 61 0 {D}\n@@end_db\n", "the name is not escaped as AIDE does");
    }

    #[test]
    fn a_packed_database_that_unpacks_without_end_is_refused() {
        use std::io::Write as _;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let block = vec![b'\n'; 1 << 20];
        (0..600).for_each(|_| packed.write_all(&block).unwrap());
        let packed = packed.finish().unwrap();
        let problems = unpacked("aide.db.gz", &packed).unwrap_err();
        assert!(problems.0[0].message.contains("unpacks to more than"), "{problems}");
    }

    proptest::proptest! {
        #[test]
        fn no_database_makes_us_panic(bytes: Vec<u8>, text in "(/a|0|100644|%|@@end_db| |\n|=|D){0,40}") {
            let _ = parse("aide.db", &bytes).map_err(|problems| problems.to_string());
            let _ = unpacked("aide.db", &bytes).map_err(|problems| problems.to_string());
            let text = format!("{HEAD}{}", text.replace('D', DIGEST));
            let _ = parse("aide.db", text.as_bytes()).map_err(|problems| problems.to_string());
        }
    }
}
