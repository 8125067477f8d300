//! Tamper: which files show that somebody covered his tracks?
//!
//! The tables of a pack (`hunt/tamper.toml`) say which files tell what; here they are held against the evidence.
//! Times are believed in the order in which they are hard to set: `mtime` is anybody's, `ctime` and birth are the
//! kernel's own.
//! Source: ATT&CK T1070.006 (timestomping), T1574.006 (preload), T1074.001 (local staging).

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use directive::hunting::{self, Misplaced, Tamper, TellingFile};
use directive::record::{Evidence, Finding, Severity};
use directive::text::Text;
use evidence::{Digests, Kind, Meta, Nature, Source};

use super::lock;
use crate::glob;
use crate::integrity::{about, bare, is_below};

/// Bytes of a file whose lines tell. `ld.so.preload` and its like have a few hundred.
const SMALL: u64 = 1 << 20;

/// Lines of one file that are findings one by one.
const LINES: usize = 100;

/// Files of a folder below which their common second says nothing.
const TOGETHER: u64 = 8;

/// Folders whose times are counted. A spool has a million.
const FOLDERS: usize = 100_000;

/// Files whose place or times tell.
pub(super) struct Places {
    misplaced: Vec<(Vec<u8>, Misplaced)>,
    files: Vec<TellingFile>,
    times_below: Vec<Vec<u8>>,
    has_own_ctime: bool,
    seconds: Mutex<HashMap<Vec<u8>, Second>>,
}

/// The one second on which all files of a folder are, as long as that is so.
#[derive(Debug, Clone, Copy)]
struct Second {
    at: Option<i64>,
    files: u64,
}

impl Places {
    pub(super) fn new(tamper: &Tamper, source: &dyn Source) -> Self {
        let place = |path: &str| {
            let path = path.trim_end_matches('/').as_bytes();
            source.canonical_folder(path).unwrap_or_else(|| path.to_vec())
        };
        Self {
            misplaced: tamper.misplaced.iter().map(|row| (place(&row.below), row.clone())).collect(),
            files: tamper.files.clone(),
            times_below: tamper.times_below.iter().map(|path| place(path)).collect(),
            has_own_ctime: source.has_own_ctime(),
            seconds: Mutex::default(),
        }
    }

    /// A regular file that was met.
    pub(super) fn meet(&self, meta: &Meta, digests: &Digests, clause: Option<&str>) -> Vec<Finding> {
        let path = meta.path.as_bytes();
        let rows = self.misplaced.iter().filter(|(folder, row)| is_below(path, folder) && is(row, path, digests));
        let mut findings: Vec<Finding> = rows
            .map(|(_, row)| Finding {
                rule: Some(row.id.clone()),
                attack: row.attack.clone(),
                ..about("file-misplaced", row.severity, meta, row.why.clone(), clause)
            })
            .collect();
        if self.has_own_ctime && self.times_below.iter().any(|folder| is_below(path, folder)) {
            findings.extend(contradiction(meta, clause));
            self.count(meta);
        }
        findings
    }

    fn count(&self, meta: &Meta) {
        let path = meta.path.as_bytes();
        let folder = &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)];
        let mut seconds = lock(&self.seconds);
        if let Some(second) = seconds.get_mut(folder) {
            second.files += 1;
            second.at = second.at.filter(|at| *at == meta.mtime.seconds);
        } else if seconds.len() < FOLDERS {
            seconds.insert(folder.to_vec(), Second { at: Some(meta.mtime.seconds), files: 1 });
        }
    }

    /// What only shows when everything was met.
    pub(super) fn finish(&self, source: &dyn Source, clause: Option<&str>) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.files.iter().flat_map(|row| lines(row, source, clause)).collect();
        findings.extend(self.folders_on_one_second(clause));
        findings
    }

    /// Folders whose files all bear one second, where other folders do not: somebody gave a whole folder the
    /// time of one of its files. An image that was made in one go has the same second everywhere.
    fn folders_on_one_second(&self, clause: Option<&str>) -> Vec<Finding> {
        let seconds = lock(&self.seconds);
        let mut by_second: BTreeMap<i64, u64> = BTreeMap::new();
        let on_one = seconds.iter().filter_map(|(folder, second)| Some((folder, second.at?, second.files)));
        let on_one: Vec<_> = on_one.filter(|(_, _, files)| *files >= TOGETHER).collect();
        on_one.iter().for_each(|(_, at, _)| *by_second.entry(*at).or_default() += 1);
        let all = seconds.values().filter(|second| second.files >= TOGETHER).count() as u64;
        let unusual = on_one.into_iter().filter(|(_, at, _)| by_second[at] == 1 && all > 3);
        let finding = |(folder, at, files): (&Vec<u8>, i64, u64)| {
            let time = jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string());
            let why = format!("all {files} files of this folder, and of no other, bear the second {time}");
            let finding = bare("times-contradict", Severity::Low, folder, why, clause);
            Finding { attack: vec!["T1070.006".into()], ..finding }
        };
        unusual.map(finding).collect()
    }
}

fn is(row: &Misplaced, path: &[u8], digests: &Digests) -> bool {
    let nature = row.nature.is_none_or(|kind| {
        digests.nature
            == match kind {
                hunting::Kind::Archive => Nature::Archive,
                hunting::Kind::Program => Nature::Program,
                hunting::Kind::Script => Nature::Script,
            }
    });
    nature
        && row.path.as_ref().is_none_or(|pattern| glob::matches(pattern.as_bytes(), path))
        && !row.but.iter().any(|pattern| glob::matches(pattern.as_bytes(), path))
}

/// A file that says it was written after the kernel last saw it change: its `mtime` was set by hand.
fn contradiction(meta: &Meta, clause: Option<&str>) -> Option<Finding> {
    let ctime = meta.ctime?;
    if meta.kind != Kind::File || meta.mtime.seconds <= ctime.seconds {
        return None;
    }
    let why = "it says that it was written later than the kernel last saw it change: its time was set by hand";
    let finding = about("times-contradict", Severity::Medium, meta, why.to_owned(), clause);
    Some(Finding { attack: vec!["T1070.006".into()], ..finding })
}

/// The lines of a small file that tell.
fn lines(row: &TellingFile, source: &dyn Source, clause: Option<&str>) -> Vec<Finding> {
    let Ok(Some(bytes)) = source.read_small(row.path.as_bytes(), SMALL) else { return Vec::new() };
    let text = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let text = text.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let tells = |line: &&[u8]| {
        let shown = String::from_utf8_lossy(line);
        let is_foreign = row.allowed.as_ref().is_some_and(|allowed| !allowed.iter().any(|known| *known == shown));
        is_foreign || row.forbidden.as_ref().is_some_and(|pattern| pattern.is_match(&shown))
    };
    let finding = |line: &[u8]| Finding {
        rule: Some(row.id.clone()),
        attack: row.attack.clone(),
        evidence: Some(Evidence { sha256: None, excerpt: Some(Text::excerpt(line, 200)) }),
        ..bare("telltale-file", row.severity, row.path.as_bytes(), row.why.clone(), clause)
    };
    text.filter(tells).take(LINES).map(finding).collect()
}
