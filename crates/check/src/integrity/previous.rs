//! Previous: was something wrong here at the last check, and is it as shipped again now?
//!
//! Intruders put the original back after use, so that a snapshot shows nothing. What a case once
//! recorded is held against each later check, and a restored file stays a finding.
//! Source: facts on evasions, "restored modified files to clean state after use".

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use directive::record::{Finding, Severity, Times};
use evidence::Meta;

use super::sight::times;

/// Codes that tell of a file that was not as shipped.
const TELLING: [&str; 5] = ["file-modified", "file-added", "file-missing", "file-metadata", "file-restored"];

/// The last check's findings about files.
pub(super) struct Previous<'a> {
    was: HashMap<&'a [u8], Vec<&'a Finding>>,
    now: Mutex<HashMap<Vec<u8>, Now>>,
}

/// How such a file is met this time.
#[derive(Clone)]
pub(super) struct Now {
    pub(super) matched: bool,
    pub(super) times: Times,
}

impl<'a> Previous<'a> {
    pub(super) fn new(findings: &'a [Finding]) -> Self {
        let mut was: HashMap<&[u8], Vec<&Finding>> = HashMap::new();
        for finding in findings.iter().filter(|finding| TELLING.contains(&finding.code.as_str())) {
            if let Some(path) = &finding.path {
                was.entry(path.as_bytes()).or_default().push(finding);
            }
        }
        Self { was, now: Mutex::default() }
    }

    /// Notes how a file is met, if it is one of those.
    pub(super) fn meet(&self, meta: &Meta, matched: bool) {
        if self.was.is_empty() || !self.was.contains_key(meta.path.as_bytes()) {
            return;
        }
        let now = Now { matched, times: times(meta) };
        self.now.lock().unwrap_or_else(PoisonError::into_inner).insert(meta.path.as_bytes().to_vec(), now);
    }

    /// The findings about files that are as shipped again.
    ///
    /// `listed` says whether a manifest lists a path, `wrong` whether this check has a finding or
    /// an obstacle there.
    pub(super) fn restored(
        &self,
        listed: impl Fn(&[u8]) -> bool,
        wrong: impl Fn(&[u8]) -> bool,
        clause: Option<&str>,
    ) -> Vec<Finding> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = Vec::new();
        for (path, was) in self.was.iter().filter(|(path, _)| !wrong(path)) {
            let now = now.get(*path);
            let any = |codes: &[&str]| was.iter().any(|finding| codes.contains(&finding.code.as_str()));
            let again = match (now, listed(path)) {
                (Some(now), true) => now.matched,
                (Some(_), false) => any(&["file-metadata"]) && !any(&["file-modified", "file-added"]),
                (None, listed) => !listed && any(&["file-added", "file-restored"]),
            };
            if again {
                out.push(restored(was, now, clause));
            }
        }
        out
    }
}

fn restored(was: &[&Finding], now: Option<&Now>, clause: Option<&str>) -> Finding {
    let told = |finding: &&Finding| match finding.code.as_str() {
        "file-restored" => finding.why.clone(),
        code => {
            let digest = finding.evidence.as_ref().and_then(|evidence| evidence.sha256.as_deref());
            let digest = digest.map(|digest| format!(" (SHA-256 {digest})")).unwrap_or_default();
            format!("an earlier check found {code}{digest}: {}", finding.why)
        }
    };
    let state = if now.is_some() { "it is as shipped now" } else { "it is gone now" };
    let mut told: Vec<String> = was.iter().map(told).collect();
    told.dedup();
    let why = told.join("; ");
    let why = if why.ends_with(state) { why } else { format!("{why}; {state}") };
    Finding {
        code: "file-restored".into(),
        severity: Severity::Info,
        path: was.first().and_then(|finding| finding.path.clone()),
        place: None,
        why,
        evidence: was.iter().find_map(|finding| finding.evidence.clone()),
        rule: was.iter().find_map(|finding| finding.rule.clone()),
        attack: vec!["T1070".into()],
        clause: clause.map(str::to_owned),
        times: now.map(|now| now.times.clone()).unwrap_or_default(),
    }
}
