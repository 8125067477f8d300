//! Example: what must a pack say of versions, times and instances whose answer is known?
//!
//! `examples.toml` of a pack. Whoever changes a pack sees what else changed; a pack for a new directive brings its
//! own examples, and needs no test in Rust. Versions and times are judged here; instances are checked by whoever has a
//! room.

use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use crate::deadline::Moments;
use crate::pack::Pack;
use crate::product::Told;
use crate::record::{Conclusion, Finding, Status};
use crate::verdict::Verdict;

/// What a pack must say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Examples {
    /// Versions and what they mean.
    #[serde(default, rename = "version")]
    pub versions: Vec<VersionExample>,
    /// Times at which actions are due.
    #[serde(default, rename = "deadline")]
    pub deadlines: Vec<DeadlineExample>,
    /// Instances that are checked.
    #[serde(default, rename = "instance")]
    pub instances: Vec<InstanceExample>,
}

/// A version and what it means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VersionExample {
    /// The version, whole.
    pub value: String,
    /// What came with it: the comment of a banner.
    pub comment: Option<String>,
    /// The distribution whose package it is.
    pub distribution: Option<String>,
    /// The whole version of that package.
    pub package: Option<String>,
    /// What it means.
    pub status: Status,
}

/// When an action is due.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeadlineExample {
    /// The action's id.
    pub action: Spanned<String>,
    /// When it is due; absent: no time is set.
    pub due: Option<Timestamp>,
    /// When everything happened that a deadline can be counted from; absent: nothing happened but the issue of the
    /// document that orders it.
    pub after: Option<Timestamp>,
    /// When it was done before.
    #[serde(default)]
    pub done: Vec<Timestamp>,
}

/// An instance that is checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InstanceExample {
    /// Its name, which is also its folder below `examples/`.
    pub name: String,
    /// A list of what the vendor shipped, by its path in the pack.
    pub manifest: Option<String>,
    /// What its version means.
    pub status: Option<Status>,
    /// The verdict.
    pub verdict: Verdict,
    /// What must be found: a code, or a code and a path.
    #[serde(default)]
    pub findings: Vec<String>,
    /// Codes that must not be found.
    #[serde(default)]
    pub without: Vec<String>,
    /// The first sign of compromise.
    pub first_sign: Option<Timestamp>,
    /// Accounts that must be reset.
    pub accounts: Option<Vec<String>>,
}

/// Something that a pack does not say as its examples do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Which example.
    pub example: String,
    /// What is expected and what came.
    pub why: String,
}

impl Unmet {
    fn new(example: impl Into<String>, why: impl Into<String>) -> Self {
        Self { example: example.into(), why: why.into() }
    }
}

/// Holds a pack against its examples of versions and times.
pub fn judge(pack: &Pack) -> Vec<Unmet> {
    let versions = pack.expected.versions.iter().filter_map(|example| version(pack, example));
    versions.chain(pack.expected.deadlines.iter().filter_map(|example| deadline(pack, example))).collect()
}

fn version(pack: &Pack, example: &VersionExample) -> Option<Unmet> {
    let package = example.distribution.clone().zip(example.package.clone());
    let (version, comment) = (example.value.clone(), example.comment.clone());
    let told = Told { source: "example".to_owned(), version, comment, package, exact: true, ..Told::default() };
    let status = pack.product.witness(&told).status;
    (status != example.status).then(|| {
        let why = format!("expected {:?}, and the pack says {status:?}", example.status).to_lowercase();
        let revision = example.package.as_ref().or(example.comment.as_ref()).map(|more| format!(" {more}"));
        Unmet::new(format!("version {}{}", example.value, revision.unwrap_or_default()), why)
    })
}

fn deadline(pack: &Pack, example: &DeadlineExample) -> Option<Unmet> {
    let id = example.action.get_ref();
    let name = format!("deadline of {id}");
    let Some(action) = pack.action(id) else {
        return Some(Unmet::new(name, "the directive has no such action"));
    };
    let at = example.after;
    let issued = at.or_else(|| Some(pack.issued_with(action)));
    let moments = Moments { issued, opened: at, known: at, verdict: at, release: at };
    let due = action.due.next(&moments, pack.calendar(), &example.done);
    let words = |due: Option<Timestamp>| due.map_or("no time".to_owned(), |due| due.to_string());
    (due != example.due)
        .then(|| Unmet::new(name, format!("expected {}, and the pack says {}", words(example.due), words(due))))
}

impl InstanceExample {
    /// Holds what a check found against the example.
    pub fn judge(&self, status: Status, conclusion: &Conclusion, findings: &[Finding]) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        let mut say = |why: String| unmet.push(Unmet::new(format!("instance {}", self.name), why));
        if let Some(expected) = self.status.filter(|expected| *expected != status) {
            say(format!("expected the version to be {expected:?}, and the pack says {status:?}").to_lowercase());
        }
        if conclusion.verdict != self.verdict {
            let why = conclusion.reasons.join("; ");
            say(format!("expected {}, and the check says {}: {why}", self.verdict, conclusion.verdict));
        }
        let found: Vec<String> = findings.iter().map(named).collect();
        for expected in self.findings.iter().filter(|expected| !found.iter().any(|found| is(found, expected))) {
            say(format!("expected the finding {expected}; found: {}", found.join(", ")));
        }
        for refused in self.without.iter().filter(|refused| found.iter().any(|found| is(found, refused))) {
            say(format!("found {refused}, which must not be found"));
        }
        if self.first_sign.is_some() && conclusion.first_sign != self.first_sign {
            let words = |at: Option<Timestamp>| at.map_or("none".to_owned(), |at| at.to_string());
            say(format!(
                "expected the first sign {}, and the check says {}",
                words(self.first_sign),
                words(conclusion.first_sign)
            ));
        }
        if self.accounts.as_ref().is_some_and(|accounts| *accounts != conclusion.accounts) {
            say(format!("other accounts must be reset: {}", conclusion.accounts.join(", ")));
        }
        unmet
    }
}

/// A finding as an example names it.
fn named(finding: &Finding) -> String {
    match &finding.path {
        Some(path) => format!("{} {}", finding.code, path.escaped()),
        None => finding.code.clone(),
    }
}

/// Whether a finding is the one that is named, by its code alone or with its path.
fn is(found: &str, named: &str) -> bool {
    found == named || found.split_once(' ').is_some_and(|(code, _)| code == named)
}
