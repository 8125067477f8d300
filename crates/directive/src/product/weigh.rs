//! Weigh: which version do several witnesses amount to, and can they all be right?
//!
//! Never takes the word of a majority: the worst decided status counts, and two witnesses that cannot both be right
//! are a finding.

use std::cmp::{Ordering, Reverse};

use crate::record::{Finding, Severity, Status, Times, Version, Witness};
use crate::version::Scheme;

impl Version {
    /// Weighs what the witnesses say.
    ///
    /// The worst decided status counts. A witness that cannot be faked from the instance names the
    /// value before one that can; among equals the first.
    pub fn from_witnesses(witnesses: Vec<Witness>) -> Self {
        let decided = |wanted| witnesses.iter().any(|witness| witness.status == wanted);
        let status = match (decided(Status::Affected), decided(Status::Fixed)) {
            (true, _) => Status::Affected,
            (false, true) => Status::Fixed,
            (false, false) => Status::Unknown,
        };
        let value = witnesses
            .iter()
            .min_by_key(|witness| {
                (witness.package.is_none(), !witness.exact, witness.fakeable, Reverse(witness.confidence))
            })
            .map(|witness| witness.package.clone().unwrap_or_else(|| witness.upstream.clone()));
        Self { value, status, witnesses }
    }

    /// The first two witnesses that cannot both be right, if there are such.
    pub fn disagreement(&self) -> Option<(&Witness, &Witness)> {
        let pairs =
            self.witnesses.iter().enumerate().flat_map(|(n, a)| self.witnesses[n + 1..].iter().map(move |b| (a, b)));
        pairs.into_iter().find(|(a, b)| !agree(a, b))
    }

    /// The finding that two witnesses cannot both be right, if that is so.
    pub fn disagrees(&self) -> Option<Finding> {
        let (a, b) = self.disagreement()?;
        Some(Finding {
            code: "version-disagrees".to_owned(),
            severity: Severity::Medium,
            path: None,
            place: Some(format!("{} and {}", a.source, b.source)),
            why: format!(
                "{} says {}, {} says {}: an update that was not finished, a program that was not restarted, \
                 or a faked version",
                a.source, a.value, b.source, b.value
            ),
            evidence: None,
            rule: None,
            attack: vec!["T1036".to_owned()],
            clause: None,
            times: Times::default(),
        })
    }
}

/// Whether two witnesses can both be right.
fn agree(a: &Witness, b: &Witness) -> bool {
    if let (Some(a), Some(b)) = (&a.package, &b.package) {
        // One instance has packages of one kind.
        let scheme =
            if [a, b].iter().all(|package| Scheme::Debian.accepts(package)) { Scheme::Debian } else { Scheme::Rpm };
        return scheme.compare(a, b).is_none_or(|order| order == Ordering::Equal);
    }
    match (a.exact, b.exact) {
        (true, true) => Scheme::Segments.compare(&a.upstream, &b.upstream).is_none_or(|order| order == Ordering::Equal),
        (false, true) => begins(&b.upstream, &a.upstream),
        (true, false) => begins(&a.upstream, &b.upstream),
        (false, false) => begins(&a.upstream, &b.upstream) || begins(&b.upstream, &a.upstream),
    }
}

/// Whether `whole` begins with `beginning` and goes on, if it does, with something that is not
/// a digit.
fn begins(whole: &str, beginning: &str) -> bool {
    let (whole, beginning) = (whole.to_ascii_lowercase(), beginning.to_ascii_lowercase());
    whole.strip_prefix(&beginning).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{appliance, banner, openssh, package, told};
    use super::super::{Product, Told};
    use super::*;
    use crate::record::Confidence;

    #[track_caller]
    fn disagree(product: &Product, a: Told, b: Told, expected: bool) {
        let version = Version::from_witnesses(vec![product.witness(&a), product.witness(&b)]);
        assert_eq!(version.disagreement().is_some(), expected, "{version:?}");
    }

    #[test]
    fn an_old_daemon_that_still_runs_disagrees_with_the_new_package() {
        disagree(&openssh(), banner("9.2p1", "Debian-2+deb12u2"), package("9.2p1", "1:9.2p1-2+deb12u10"), true);
        disagree(&openssh(), banner("9.2p1", "Debian-2+deb12u10"), package("9.2p1", "1:9.2p1-2+deb12u10"), false);
        disagree(&openssh(), told("9.2p1"), package("9.2p1", "1:9.2p1-2+deb12u10"), false);
    }

    #[test]
    fn the_beginning_of_a_version_agrees_with_the_whole() {
        let beginning = Told { exact: false, ..told("9.1R11") };
        disagree(&appliance(), beginning.clone(), told("9.1R11.4"), false);
        disagree(&appliance(), beginning.clone(), told("9.1R110"), true);
        disagree(&appliance(), beginning, told("9.1R12"), true);
    }

    #[test]
    fn the_worst_witness_decides_the_status() {
        let version =
            Version::from_witnesses(vec![appliance().witness(&told("9.1R12")), appliance().witness(&told("9.1R10"))]);
        assert_eq!(version.status, Status::Affected);
    }

    #[test]
    fn packages_of_rpm_agree_by_their_own_way_of_counting() {
        let rpm = |version: &str| Told { package: Some(("rhel".into(), version.into())), ..told("8.7p1") };
        disagree(&openssh(), rpm("8.7p1-38.el9_4.1"), rpm("0:8.7p1-38.el9_4.1"), false);
        disagree(&openssh(), rpm("8.7p1-38.el9_4.1"), rpm("8.7p1-38.el9"), true);
    }

    #[test]
    fn among_equals_the_witness_that_is_worth_more_names_the_version() {
        let hint = Told { confidence: Confidence::Low, ..told("9.1R9") };
        let version = Version::from_witnesses(vec![appliance().witness(&hint), appliance().witness(&told("9.1R10"))]);
        assert_eq!(version.value.as_deref(), Some("9.1R10"));
        assert!(version.disagrees().unwrap().why.contains("says 9.1R9"));
    }
}
