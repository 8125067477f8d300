//! Compose: which list describes the files of evidence that is known to be good?
//!
//! What is written here is read back by [`Manifest::from_operator`] and, but for the comments, by
//! `sha256sum --check`. What could not be seen is a gap, and stands in the list as a comment too: a
//! list with a hole must not look whole. Links, modes and owners are not listed.
//! Source: coreutils manual, "md5sum invocation", for the escapes.
//!
//! [`Manifest::from_operator`]: crate::Manifest::from_operator

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use directive::progress::Progress;
use directive::record::{Gap, hex};
use directive::text::escape;
use evidence::{Entry, Meta, Obstacle, Source, Visitor, Wants};

use super::list::LIST_BYTES;

/// Obstacles that are kept one by one.
const GAPS: usize = 10_000;

/// What a line takes beside its path.
const LINE_EXTRA: usize = 70;

/// The files of some evidence, with their digests.
#[derive(Debug, Default)]
pub struct Composed {
    files: BTreeMap<Vec<u8>, [u8; 32]>,
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
    let kept = walk.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
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
    Ok(Composed { files: kept.files, gaps })
}

fn gap(obstacle: Obstacle) -> Gap {
    let (code, advice, expected) = crate::integrity::describe(obstacle.kind);
    let why = format!("{}; {advice}", obstacle.message);
    Gap { code: code.into(), path: Some(obstacle.path), place: None, why, required: !expected }
}

impl Composed {
    /// How many files are listed.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The list, sorted by path.
    pub fn render(&self, head: &Head<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.files.keys().map(|path| path.len() + LINE_EXTRA).sum());
        // The version comes first: only the first comments are looked at for it.
        let said = [("# version", head.version), ("# product", head.product), ("# source", Some(head.source))];
        for (name, value) in said {
            if let Some(value) = value {
                out.extend(format!("{name}: {}\n", escape(value)).bytes());
            }
        }
        let holes = self.gaps.iter().filter(|gap| gap.required);
        for gap in holes.take(10) {
            let path = gap.path.as_ref().map(|path| format!(" {}", path.escaped())).unwrap_or_default();
            out.extend(format!("# not seen, {}{path}: {}\n", gap.code, escape(&gap.why)).bytes());
        }
        for (path, sha256) in &self.files {
            let escaped = escaped(path);
            if escaped.is_some() {
                out.push(b'\\');
            }
            out.extend(hex(sha256).bytes());
            out.extend(b"  ");
            // Relative, so that `sha256sum --check` holds against any copy of the files.
            out.extend(b".");
            out.extend(escaped.as_deref().unwrap_or(path));
            out.push(b'\n');
        }
        out
    }
}

/// A name as `sha256sum` writes it; `None` if it needs no escapes.
fn escaped(path: &[u8]) -> Option<Vec<u8>> {
    path.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r')).then_some(())?;
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

#[derive(Default)]
struct Kept {
    files: BTreeMap<Vec<u8>, [u8; 32]>,
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
        // A list that is too long to be read back is none. Every byte may need an escape.
        let bytes = kept.bytes + 2 * path.len() + LINE_EXTRA;
        if bytes > LIST_BYTES {
            kept.beyond += 1;
        } else {
            kept.bytes = bytes;
            kept.files.insert(path.to_vec(), digests.sha256);
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
        Composed { files: paths.iter().map(|path| (path.to_vec(), [0xaa; 32])).collect(), gaps: Vec::new() }
    }

    #[test]
    fn a_version_with_a_line_break_forges_no_line_of_the_list() {
        let evil = format!("1\n{}  ./bin/implant", "b".repeat(64));
        let list = composed(&[b"/bin/web"]).render(&Head { version: Some(&evil), source: &evil, product: Some(&evil) });
        let back = Manifest::from_operator("list", &list).unwrap();
        assert_eq!(back.len(), 1, "{}", String::from_utf8_lossy(&list));
    }

    #[test]
    fn a_name_with_a_line_break_forges_no_line_of_the_list() {
        let name = format!("/a\n{}  ./bin/implant", "b".repeat(64)).into_bytes();
        let back = Manifest::from_operator("list", &composed(&[&name]).render(&Head::default())).unwrap();
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
            let list = composed(&paths).render(&Head { version: Some(&version), ..Head::default() });
            let back = Manifest::from_operator("list", &list).unwrap();
            proptest::prop_assert_eq!(back.version.as_deref(), Some(version.as_str()));
            let read: Vec<&[u8]> = back.lines.iter().map(|line| line.path).collect();
            proptest::prop_assert_eq!(read, paths);
        }
    }
}
