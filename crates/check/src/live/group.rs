//! Group: which processes share a finding?
//!
//! A server runs eight workers of one program, and a shell hands its settings to all that it starts. What
//! is the same for all of them is one finding that names the first.

use std::collections::BTreeMap;
use std::fmt;

use directive::record::{Evidence, Finding, Gap, Severity};
use directive::text::Text;
use evidence::live::{Failure, Process};

use super::Seen;

/// Processes that one finding names. The rest is counted.
const NAMED: usize = 8;

/// Findings and gaps that are kept. A process can map a million files, each with a name of its own.
const KEPT: usize = 20_000;

/// A process, as a finding names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    pid: u32,
    name: Text,
}

impl Who {
    pub(super) fn named(pid: u32, name: Text) -> Self {
        Self { pid, name }
    }

    pub(super) fn of(process: &Process<'_>) -> Self {
        Self { pid: process.pid, name: process.name() }
    }

    pub(super) fn unnamed(pid: u32) -> Self {
        Self { pid, name: Text::default() }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.as_bytes().is_empty() {
            return write!(f, "{}", self.pid);
        }
        write!(f, "{} ({})", self.pid, self.name.escaped())
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Path(Text),
    Place(String),
}

impl At {
    pub(super) fn path(path: &[u8]) -> Self {
        Self::Path(Text::new(path))
    }
}

/// What processes can share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shared {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    pub(super) at: At,
    pub(super) why: String,
    /// ATT&CK technique.
    pub(super) attack: Option<&'static str>,
    pub(super) excerpt: Vec<u8>,
}

impl Shared {
    pub(super) fn new(code: &'static str, severity: Severity, at: At, why: impl Into<String>) -> Self {
        Self { code, severity, at, why: why.into(), attack: None, excerpt: Vec::new() }
    }

    pub(super) fn attack(self, technique: &'static str) -> Self {
        Self { attack: Some(technique), ..self }
    }
}

/// Findings and gaps, each with the processes that share it.
#[derive(Default)]
pub(super) struct Groups {
    findings: BTreeMap<Shared, Vec<Who>>,
    unread: BTreeMap<(&'static str, String), Vec<Who>>,
    gaps: Vec<Gap>,
    beyond: u64,
}

impl Groups {
    /// A finding about the host as a whole.
    pub(super) fn host(&mut self, shared: Shared) {
        self.entry(shared);
    }

    /// A finding about a process.
    pub(super) fn process(&mut self, shared: Shared, who: &Who) {
        if let Some(all) = self.entry(shared)
            && all.last() != Some(who)
        {
            all.push(who.clone());
        }
    }

    fn entry(&mut self, shared: Shared) -> Option<&mut Vec<Who>> {
        if self.findings.len() >= KEPT && !self.findings.contains_key(&shared) {
            self.beyond += 1;
            return None;
        }
        Some(self.findings.entry(shared).or_default())
    }

    /// A required gap.
    pub(super) fn gap(&mut self, code: &str, place: &str, why: String) {
        self.push(Gap { code: code.into(), path: None, place: Some(place.into()), why, required: true });
    }

    /// A gap that healthy hosts have.
    pub(super) fn remark(&mut self, code: &str, place: &str, why: String) {
        self.push(Gap { code: code.into(), path: None, place: Some(place.into()), why, required: false });
    }

    fn push(&mut self, gap: Gap) {
        if self.gaps.len() < KEPT {
            self.gaps.push(gap);
        } else {
            self.beyond += 1;
        }
    }

    /// A process of which something could not be seen.
    pub(super) fn unread(&mut self, who: &Who, what: &'static str, failure: &Failure) {
        self.unread.entry((what, super::said(failure))).or_default().push(who.clone());
    }

    pub(super) fn finish(mut self, clause: Option<&str>) -> Seen {
        for ((what, said), all) in std::mem::take(&mut self.unread) {
            let why = format!("{what}: {said}; run it as root, outside containers. Processes: {}", named(&all));
            self.gap("process-unread", "processes", why);
        }
        if self.beyond > 0 {
            let why = format!("{} more findings or gaps than the {KEPT} that are kept", self.beyond);
            self.gaps.push(Gap {
                code: "too-many".into(),
                path: None,
                place: Some("processes".into()),
                why,
                required: true,
            });
        }
        let findings = self.findings.into_iter().map(|(shared, all)| finding(shared, &all, clause)).collect();
        Seen { findings, gaps: self.gaps, running: None }
    }
}

fn finding(shared: Shared, all: &[Who], clause: Option<&str>) -> Finding {
    let (path, place) = match shared.at {
        At::Path(path) => (Some(path), None),
        At::Place(place) => (None, Some(place)),
    };
    let whose = match all.len() {
        0 => String::new(),
        1 => format!("; process {}", named(all)),
        _ => format!("; processes {}", named(all)),
    };
    let excerpt = (!shared.excerpt.is_empty()).then(|| Text::excerpt(&shared.excerpt, 200));
    Finding {
        code: shared.code.into(),
        severity: shared.severity,
        path,
        place,
        why: format!("{}{whose}", shared.why),
        evidence: excerpt.map(|excerpt| Evidence { sha256: None, excerpt: Some(excerpt) }),
        rule: None,
        attack: shared.attack.into_iter().map(str::to_owned).collect(),
        clause: clause.map(str::to_owned),
        times: Default::default(),
    }
}

/// `12 (nginx), 13 (nginx)` and how many more.
fn named(all: &[Who]) -> String {
    let first: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    match all.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
