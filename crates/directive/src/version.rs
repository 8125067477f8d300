//! Version: which of two version strings is the newer one, in the product's own way of counting?
//!
//! Vendors count as they like: `9.1R11.4`, `22.7R2.5`, `9.16(4)57`, `9.2p1`, `1:9.2p1-2+deb12u3`,
//! `8.7p1-38.el9_4.1`. Three schemes serve all of them so far; which one holds is said in the pack.
//! CVE records are no help: they label such strings `semver`.
//! Source: facts on CVE v5 data; Debian Policy section 5.6.12 (through the `debversion` crate); rpm,
//! `rpmvercmp` as its own tests describe it, and `rpm-version(7)`.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod rpm;

/// How a product counts its versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Runs of digits compare as numbers, runs of letters as words; what is longer is newer:
    /// `9.1R9` < `9.1R11` < `9.1R11.4`.
    #[default]
    Segments,
    /// Debian and Ubuntu packages: epoch, upstream version, revision.
    Debian,
    /// Packages of rpm: epoch, version, release. Where one of two has no release, releases are not compared.
    Rpm,
}

impl Scheme {
    /// What a distribution counts by that does not say it.
    pub(crate) fn debian() -> Self {
        Self::Debian
    }

    /// Compares two versions; `None` if one of them is not a version in this scheme.
    pub fn compare(self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Self::Segments => Some(segments(a)?.cmp(&segments(b)?)),
            Self::Debian => {
                let a: debversion::Version = a.parse().ok()?;
                let b: debversion::Version = b.parse().ok()?;
                Some(a.cmp(&b))
            }
            Self::Rpm => Some(rpm::compare(&rpm::split(a)?, &rpm::split(b)?)),
        }
    }

    /// Whether `version` is a version at all in this scheme.
    pub fn accepts(self, version: &str) -> bool {
        self.compare(version, version).is_some()
    }
}

/// One piece of a version: words sort before numbers, so that `9.1beta` is older than `9.1.1`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Word(String),
    /// Digits without leading zeros, their count first: numbers of any length compare rightly.
    Number(usize, &'a str),
}

/// The pieces of a version, or `None` if it holds no digit or something that no version holds.
fn segments(version: &str) -> Option<Vec<Segment<'_>>> {
    let version = version.trim();
    if version.len() > 128 || !version.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut out = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| c.is_ascii_digit() == first.is_ascii_digit() && c.is_ascii_alphanumeric();
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end.max(first.len_utf8()));
        rest = tail;
        match first {
            '0'..='9' => {
                let digits = piece.trim_start_matches('0');
                out.push(Segment::Number(digits.len(), digits));
            }
            'a'..='z' | 'A'..='Z' => out.push(Segment::Word(piece.to_ascii_lowercase())),
            '.' | '-' | '_' | '+' | ' ' | '(' | ')' | ':' | '~' => {}
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn older(scheme: Scheme, ordered: &str) {
        let versions: Vec<_> = ordered.split(" < ").collect();
        for pair in versions.windows(2) {
            assert_eq!(scheme.compare(pair[0], pair[1]), Some(Ordering::Less), "{pair:?}");
            assert_eq!(scheme.compare(pair[1], pair[0]), Some(Ordering::Greater), "{pair:?}");
        }
    }

    #[test]
    fn the_appliance_counts_maintenance_releases_as_numbers() {
        older(
            Scheme::Segments,
            "8.3R7.1 < 9.0R2 < 9.0R3 < 9.1R1 < 9.1R9 < 9.1R11 < 9.1R11.4 < 9.1R12 < 9.1R18.9 \
             < 22.4R2.2 < 22.7R2.4 < 22.7R2.5",
        );
    }

    #[test]
    fn four_part_builds_compare_part_by_part() {
        older(Scheme::Segments, "8.3.7.65025 < 9.1.11.12173 < 9.1.13.11723 < 22.7.2.2615 < 22.7.2.3191");
    }

    #[test]
    fn openssh_counts_portable_releases() {
        older(Scheme::Segments, "4.4p1 < 8.5p1 < 9.2p1 < 9.7p1 < 9.8p1 < 10.0p1");
    }

    #[test]
    fn debian_revisions_follow_debian_policy() {
        older(Scheme::Debian, "1:9.2p1-2 < 1:9.2p1-2+deb12u2 < 1:9.2p1-2+deb12u3 < 1:9.2p1-2+deb12u10 < 1:9.7p1-7");
        older(Scheme::Debian, "1:8.9p1-3ubuntu0.7 < 1:8.9p1-3ubuntu0.10");
        older(Scheme::Debian, "9.8p1-1 < 1:9.2p1-1");
    }

    #[test]
    fn an_asa_counts_interims_behind_brackets() {
        older(Scheme::Segments, "9.8(4) < 9.16(1) < 9.16(4) < 9.16(4)5 < 9.16(4)57 < 9.16(10)");
    }

    #[test]
    fn other_neighbours_count_in_segments_too() {
        older(Scheme::Segments, "12.1-65.25 < 13.0-47.24 < 13.1-4.43 < 13.1-49.15");
        older(Scheme::Segments, "10.0.9 < 10.1.0-h2 < 10.1.14 < 11.0.2");
        older(Scheme::Segments, "15.1.2176.2 < 15.1.2176.12 < 15.1.2242.8 < 15.2.221.12");
        older(Scheme::Segments, "2019.4HF5 < 2020.2.1HF1 < 2020.2.1HF2 < 2020.2.6");
    }

    #[test]
    fn packages_of_rpm_count_as_rpm_does() {
        older(Scheme::Rpm, "8.7p1-8.el9 < 8.7p1-38.el9 < 8.7p1-38.el9_4.1 < 8.7p1-38.el9_4.10 < 1:8.0p1-1");
        older(Scheme::Rpm, "1.0~rc1 < 1.0~rc2 < 1.0 < 1.0^git1 < 1.0^git2 < 1.0.1 < 1.1");
        older(Scheme::Rpm, "2.0a < 2.0.1 < 2.0.02 < 2.0.10");
        older(Scheme::Rpm, "5.5p1 < 5.5p2 < 5.5p10 < 5.6");
        let equal = |a, b| assert_eq!(Scheme::Rpm.compare(a, b), Some(Ordering::Equal), "{a} {b}");
        equal("1.0", "0:1.0");
        equal("2_0", "2.0");
        equal("1.05", "1.5");
        // Without a release, any release of that version is meant.
        equal("8.7p1", "8.7p1-38.el9");
        assert!(!Scheme::Rpm.accepts("not a version"));
    }

    #[test]
    fn letter_case_does_not_make_a_version_newer() {
        assert_eq!(Scheme::Segments.compare("9.1r11.4", "9.1R11.4"), Some(Ordering::Equal));
    }

    #[test]
    fn a_sentence_is_no_version() {
        assert_eq!(Scheme::Segments.compare("Fixed in", "9.1R1"), None);
        assert_eq!(Scheme::Segments.compare("9.1R1\u{1b}[2J", "9.1R1"), None);
        assert!(!Scheme::Debian.accepts("not a version"));
    }

    #[test]
    fn a_number_of_a_hundred_digits_is_only_a_large_number() {
        older(Scheme::Segments, &format!("9.1 < 9.{}", "9".repeat(100)));
    }

    proptest::proptest! {
        #[test]
        fn comparing_never_panics(a: String, b: String) {
            for scheme in [Scheme::Segments, Scheme::Debian, Scheme::Rpm] {
                let _ = scheme.compare(&a, &b);
            }
        }
    }
}
