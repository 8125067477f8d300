//! Verdict: what do findings and gaps add up to?
//!
//! There is no "clean". *No evidence found* needs every required part seen; one required gap makes
//! it inconclusive. A finding wins over a gap.
//! Source: design, words "verdict", "finding", "gap"; contract, "Exit codes".

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Finding, Gap, Severity};

/// What a check concludes. Ordered from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something known to be bad is there.
    Compromised,
    /// The instance is not what the vendor shipped.
    Mismatch,
    /// Part of what had to be seen was not seen.
    Inconclusive,
    /// All that had to be seen was seen, and nothing was found.
    NoEvidenceFound,
}

impl Verdict {
    /// All of them, from worst to best.
    pub const ALL: [Self; 4] = [Self::Compromised, Self::Mismatch, Self::Inconclusive, Self::NoEvidenceFound];

    /// Weighs findings and gaps.
    ///
    /// A finding counts from [`Severity::Medium`]; what is less is reported and changes nothing.
    pub fn weigh(findings: &[Finding], gaps: &[Gap]) -> Self {
        match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Critical) => Self::Compromised,
            Some(Severity::Medium | Severity::High) => Self::Mismatch,
            _ if gaps.iter().any(|gap| gap.required) => Self::Inconclusive,
            _ => Self::NoEvidenceFound,
        }
    }

    /// The word as it is printed and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compromised => "compromised",
            Self::Mismatch => "mismatch",
            Self::Inconclusive => "inconclusive",
            Self::NoEvidenceFound => "no-evidence-found",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a run ended, for the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and nothing to do.
    Done = 0,
    /// Done, and somebody must act.
    Act = 1,
    /// The run could not do its work, or the command line was wrong.
    Failed = 2,
    /// Part of what had to be seen was not seen.
    Inconclusive = 3,
}

impl Exit {
    /// The exit that a verdict calls for.
    pub fn from_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Compromised | Verdict::Mismatch => Self::Act,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::NoEvidenceFound => Self::Done,
        }
    }

    /// The more urgent of two: failed, then act, then inconclusive, then done.
    pub fn and(self, other: Self) -> Self {
        let urgency = |exit: Self| match exit {
            Self::Failed => 3,
            Self::Act => 2,
            Self::Inconclusive => 1,
            Self::Done => 0,
        };
        if urgency(other) > urgency(self) { other } else { self }
    }

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity) -> Finding {
        Finding {
            code: "file-modified".into(),
            severity,
            path: None,
            place: None,
            why: String::new(),
            evidence: None,
            rule: None,
            attack: Vec::new(),
            clause: None,
            times: Default::default(),
        }
    }

    fn gap(required: bool) -> Gap {
        Gap { code: "unreadable".into(), path: None, place: None, why: String::new(), required }
    }

    #[track_caller]
    fn check(severities: &[Severity], gaps: &[bool], expected: Verdict) {
        let findings: Vec<_> = severities.iter().copied().map(finding).collect();
        let gaps: Vec<_> = gaps.iter().copied().map(gap).collect();
        assert_eq!(Verdict::weigh(&findings, &gaps), expected);
    }

    #[test]
    fn an_instance_seen_whole_without_findings_shows_no_evidence() {
        check(&[], &[], Verdict::NoEvidenceFound);
    }

    #[test]
    fn one_required_gap_makes_it_inconclusive() {
        check(&[], &[false, true], Verdict::Inconclusive);
    }

    #[test]
    fn a_gap_that_is_not_required_changes_nothing() {
        check(&[], &[false], Verdict::NoEvidenceFound);
    }

    #[test]
    fn a_finding_wins_over_a_gap() {
        check(&[Severity::High], &[true], Verdict::Mismatch);
    }

    #[test]
    fn a_changed_configuration_file_alone_is_no_mismatch() {
        check(&[Severity::Info, Severity::Low], &[], Verdict::NoEvidenceFound);
    }

    #[test]
    fn something_known_to_be_bad_is_a_compromise() {
        check(&[Severity::Medium, Severity::Critical], &[], Verdict::Compromised);
    }

    #[test]
    fn a_finding_wins_over_a_gap_in_the_exit_code_too() {
        assert_eq!(Exit::Inconclusive.and(Exit::Act), Exit::Act);
        assert_eq!(Exit::Act.and(Exit::Inconclusive), Exit::Act);
        assert_eq!(Exit::Act.and(Exit::Failed), Exit::Failed);
    }
}
