//! Compose: which list describes the files of evidence that is known to be good?
//!
//! What is written here is read back by [`Manifest::from_operator`] and, but for the comments, by
//! `sha256sum --check`. What could not be seen is a gap, and stands in the list as a comment too: a
//! list with a hole must not look whole. Links, modes and owners are not listed.
//! Source: coreutils manual, "md5sum invocation", for the escapes.
//!
//! [`Manifest::from_operator`]: crate::Manifest::from_operator

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use directive::progress::Progress;
use directive::record::{Gap, hex};
use directive::text::escape;
use evidence::{Entry, Meta, Obstacle, Source, Visitor, Wants};

use super::lines::{Line, Lines};

/// Bytes of one list as it is written. What is listed is kept until it is sorted: 1.8 million files with paths of 76
/// bytes, and 230 MB of memory.
const LIST_BYTES: usize = 256 << 20;

/// Obstacles that are kept one by one.
const GAPS: usize = 10_000;

/// What a line takes beside its path.
const LINE_EXTRA: usize = 70;

/// The files of some evidence, with their digests.
#[derive(Debug, Default)]
pub struct Composed {
    files: Lines,
    /// The numbers of the lines, sorted by path.
    order: Vec<u32>,
    /// What could not be seen, sorted by path. A required one leaves a hole in the list.
    pub gaps: Vec<Gap>,
}

/// What a list says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head<'a> {
    /// Where the files were.
    pub source: &'a str,
    /// The product.
    pub product: Option<&'a str>,
    /// The version whose files these are; it decides which installation the list is for.
    pub version: Option<&'a str>,
}

/// Reads every file once and lists it.
///
/// # Errors
///
/// [`evidence::Error`] if the root cannot be read. Anything below it is a gap.
pub fn compose(
    source: &dyn Source,
    threads: NonZeroUsize,
    progress: &dyn Progress,
) -> Result<Composed, evidence::Error> {
    let walk = Walk { progress, kept: Mutex::default() };
    source.walk(threads, &walk)?;
    let mut kept = walk.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    kept.files.shrink();
    let mut gaps: Vec<Gap> = kept.obstacles.into_iter().map(gap).collect();
    gaps.sort_by(|a, b| a.path.cmp(&b.path));
    let mut whole = |code: &str, why: String| {
        gaps.push(Gap { code: code.into(), path: None, place: None, why, required: true });
    };
    if kept.beyond > 0 {
        let why = format!("{} more files or obstacles than one list holds; list the evidence in parts", kept.beyond);
        whole("too-many", why);
    }
    if progress.stop_requested() {
        whole("interrupted", "the walk was stopped before everything was listed; run it again".into());
    }
    Ok(Composed { order: order(&kept.files), files: kept.files, gaps })
}

fn order(files: &Lines) -> Vec<u32> {
    // A list has fewer bytes than this could overflow.
    let mut order: Vec<u32> = (0..u32::try_from(files.len()).unwrap_or(u32::MAX)).collect();
    order.sort_unstable_by_key(|number| (files.path(*number as usize), *number));
    // An archive may hold a file twice, which is a gap of its own; whoever unpacks it gets the last.
    order.dedup_by(|later, kept| {
        let is_same = files.path(*later as usize) == files.path(*kept as usize);
        if is_same {
            *kept = *later;
        }
        is_same
    });
    order
}

fn gap(obstacle: Obstacle) -> Gap {
    let (code, advice, expected) = crate::integrity::describe(obstacle.kind);
    let why = format!("{}; {advice}", obstacle.message);
    Gap { code: code.into(), path: Some(obstacle.path), place: None, why, required: !expected }
}

impl Composed {
    /// How many files are listed.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Writes the list, sorted by path.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if it cannot be written.
    pub fn write(&self, head: &Head<'_>, out: &mut dyn Write) -> io::Result<()> {
        // The version comes first: only the first comments are looked at for it.
        let said = [("# version", head.version), ("# product", head.product), ("# source", Some(head.source))];
        for (name, value) in said {
            if let Some(value) = value {
                writeln!(out, "{name}: {}", escape(value))?;
            }
        }
        let holes = self.gaps.iter().filter(|gap| gap.required);
        for gap in holes.take(10) {
            let path = gap.path.as_ref().map(|path| format!(" {}", path.escaped())).unwrap_or_default();
            writeln!(out, "# not seen, {}{path}: {}", gap.code, escape(&gap.why))?;
        }
        for line in self.order.iter().filter_map(|number| self.files.get(*number as usize)) {
            let escaped = escaped(line.path);
            if escaped.is_some() {
                out.write_all(b"\\")?;
            }
            // Relative, so that `sha256sum --check` holds against any copy of the files.
            write!(out, "{}  .", hex(&line.digest))?;
            out.write_all(escaped.as_deref().unwrap_or(line.path))?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// A name as `sha256sum` writes it; `None` if it needs no escapes.
fn escaped(path: &[u8]) -> Option<Vec<u8>> {
    path.iter().any(|byte| is_escaped(*byte)).then_some(())?;
    let mut out = Vec::with_capacity(path.len() + 8);
    for byte in path {
        match byte {
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            byte => out.push(*byte),
        }
    }
    Some(out)
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'\\' | b'\n' | b'\r')
}

#[derive(Default)]
struct Kept {
    files: Lines,
    bytes: usize,
    obstacles: Vec<Obstacle>,
    beyond: u64,
}

struct Walk<'a> {
    progress: &'a dyn Progress,
    kept: Mutex<Kept>,
}

impl Visitor for Walk<'_> {
    fn wants(&self, _: &Meta) -> Wants {
        Wants::SHA256
    }

    fn entry(&self, entry: Entry) {
        let Some(digests) = entry.digests else { return };
        let path = entry.meta.path.as_bytes();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A list that is too long to be read back is none.
        let bytes = kept.bytes + path.len() + path.iter().filter(|byte| is_escaped(**byte)).count() + LINE_EXTRA;
        if bytes > LIST_BYTES {
            kept.beyond += 1;
        } else {
            kept.bytes = bytes;
            kept.files.push(Line::new(path, digests.sha256));
        }
        drop(kept);
        self.progress.advance(1, entry.bytes_read);
    }

    fn obstacle(&self, obstacle: Obstacle) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.obstacles.len() < GAPS {
            kept.obstacles.push(obstacle);
        } else {
            kept.beyond += 1;
        }
    }

    fn stop(&self) -> bool {
        self.progress.stop_requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    fn composed(paths: &[&[u8]]) -> Composed {
        let mut files = Lines::default();
        paths.iter().for_each(|path| files.push(Line::new(path, [0xaa; 32])));
        Composed { order: order(&files), files, gaps: Vec::new() }
    }

    fn written(list: &Composed, head: &Head<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        list.write(head, &mut out).unwrap();
        out
    }

    #[test]
    fn a_version_with_a_line_break_forges_no_line_of_the_list() {
        let evil = format!("1\n{}  ./bin/implant", "b".repeat(64));
        let head = Head { version: Some(&evil), source: &evil, product: Some(&evil) };
        let list = written(&composed(&[b"/bin/web"]), &head);
        let back = Manifest::from_operator("list", &list).unwrap();
        assert_eq!(back.len(), 1, "{}", String::from_utf8_lossy(&list));
    }

    #[test]
    fn a_file_that_an_archive_holds_twice_is_listed_once_as_it_is_unpacked() {
        let mut files = Lines::default();
        for (path, digest) in [(b"/b", 1), (b"/a", 2), (b"/b", 3)] {
            files.push(Line::new(path, [digest; 32]));
        }
        let list = Composed { order: order(&files), files, gaps: Vec::new() };
        let text = String::from_utf8(written(&list, &Head::default())).unwrap();
        assert_eq!(text, format!("# source: \n{}  ./a\n{}  ./b\n", "02".repeat(32), "03".repeat(32)));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn a_name_with_a_line_break_forges_no_line_of_the_list() {
        let name = format!("/a\n{}  ./bin/implant", "b".repeat(64)).into_bytes();
        let back = Manifest::from_operator("list", &written(&composed(&[&name]), &Head::default())).unwrap();
        assert_eq!(back.lines.path(0), name);
        assert_eq!(back.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn what_is_composed_is_read_back(
            names in proptest::collection::btree_set("[^\0/]{1,12}", 1..8), version in "[0-9A-Z.]{1,9}",
        ) {
            let names = names.iter().filter(|name| *name != "." && *name != "..");
            let paths: Vec<Vec<u8>> = names.map(|name| format!("/bin/{name}").into_bytes()).collect();
            proptest::prop_assume!(!paths.is_empty());
            let paths: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
            let list = written(&composed(&paths), &Head { version: Some(&version), ..Head::default() });
            let back = Manifest::from_operator("list", &list).unwrap();
            proptest::prop_assert_eq!(back.version.as_deref(), Some(version.as_str()));
            let read: Vec<&[u8]> = back.lines.iter().map(|line| line.path).collect();
            proptest::prop_assert_eq!(read, paths);
        }
    }
}
