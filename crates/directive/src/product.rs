//! Product: which versions are affected, and what does a version that somebody tells us mean?
//!
//! `product.toml` of a pack: names, version scheme, affected ranges, fixes that distributions
//! carry back, where a version can be read on disk, and which folders the vendor accounts for.
//! Never says "affected" on the word of a banner that a distribution fixes without changing it.
//! Source: ED 21-03 action 3; the advisories that each pack's `SOURCES.md` names.

mod current;
mod integrity;
mod vulnerability;
mod weigh;

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use crate::pattern::Pattern;
use crate::record::{Confidence, Status, Witness};
use crate::text::escape;
use crate::version::Scheme;
pub use current::Current;
pub(crate) use current::{again, is_affected_by};
pub use integrity::{Fingerprint, Integrity, MetadataRule, Octal, SignatureScheme, SignedManifest};
pub use vulnerability::Exposure;

/// A product, as its pack describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Product {
    /// The product's name.
    pub name: String,
    /// Who makes it.
    pub vendor: String,
    /// CPE 2.3 names, for reports and imports.
    #[serde(default)]
    pub cpe: Vec<String>,
    /// Whether it answers nobody that it does not know, by design: it cannot be counted from outside.
    #[serde(default)]
    pub silent_by_design: bool,
    /// How it counts versions.
    #[serde(default)]
    pub scheme: Scheme,
    /// Ranges that the directive is about.
    #[serde(default)]
    pub affected: Vec<Range>,
    /// Releases that install what the directive asks for.
    #[serde(default, rename = "release")]
    pub releases: Vec<Release>,
    /// Distributions that fix it under an unchanged upstream version.
    #[serde(default, rename = "backport")]
    pub backports: Vec<Backport>,
    /// Where a version can be read in evidence.
    #[serde(default, rename = "witness")]
    pub witnesses: Vec<EvidenceWitness>,
    /// What the vendor accounts for on disk.
    #[serde(default)]
    pub integrity: Integrity,
    /// Installations that lie on one disk beside the one that runs.
    #[serde(default, rename = "generation")]
    pub generations: Vec<Generation>,
}

/// An installation of the product beside the one that runs: the one before the last update, the one
/// from the factory. An intruder who waits there comes back with a rollback.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Generation {
    /// What people call it: `rollback`, `factory`.
    pub name: String,
    /// The folder that is its root, absolute from the evidence root.
    pub folder: Option<String>,
    /// A pattern for the name of the volume that holds it, where it has a volume of its own.
    pub volume: Option<Pattern>,
}

/// A half-open range of versions: `from <= version < before`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Range {
    /// The first affected version; absent: all before `before`.
    pub from: Option<String>,
    /// The first version that is not affected any more; absent: all from `from`.
    pub before: Option<String>,
    /// The vulnerabilities meant.
    #[serde(default)]
    pub cve: Vec<String>,
    /// The last affected version, where an advisory says that and not which comes next.
    #[serde(skip)]
    pub through: Option<String>,
    /// The advisory that says so; absent: the pack itself.
    #[serde(skip)]
    pub by: Option<String>,
}

impl Range {
    /// Whether it holds a version.
    pub(crate) fn holds(&self, scheme: Scheme, version: &str) -> bool {
        let order = |other: &String| scheme.compare(version, other);
        self.from.as_ref().is_none_or(|from| matches!(order(from), Some(Ordering::Equal | Ordering::Greater)))
            && self.before.as_ref().is_none_or(|end| order(end) == Some(Ordering::Less))
            && self.through.as_ref().is_none_or(|end| matches!(order(end), Some(Ordering::Less | Ordering::Equal)))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.from.as_ref().map_or(Ok(()), |from| write!(f, " from {from}"))?;
        self.before.as_ref().map_or(Ok(()), |end| write!(f, " before {end}"))?;
        self.through.as_ref().map_or(Ok(()), |end| write!(f, " through {end}"))?;
        if !self.cve.is_empty() {
            write!(f, " ({})", self.cve.join(", "))?;
        }
        self.by.as_ref().map_or(Ok(()), |by| write!(f, ", by {by}"))
    }
}

/// A version that the vendor released.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Release {
    /// The version.
    pub version: String,
    /// When the vendor released it.
    pub released: Timestamp,
    /// What it brings.
    #[serde(default)]
    pub note: String,
}

/// A distribution's own fix.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Backport {
    /// `debian`, `ubuntu`.
    pub distribution: String,
    /// Its release, for people: `12 (bookworm)`.
    pub release: String,
    /// The upstream version that the release carries.
    pub upstream: String,
    /// The package.
    pub package: String,
    /// The first package version with the fix; absent if the release was never affected.
    pub fixed: Option<String>,
    /// How a banner names the package revision: a pattern with a group `revision`.
    pub comment: Option<Pattern>,
    /// How the distribution counts its packages.
    #[serde(default = "Scheme::debian")]
    pub scheme: Scheme,
}

/// Where a version can be read in evidence. Files of the instance are always fakeable.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "source", deny_unknown_fields, rename_all = "kebab-case")]
pub enum EvidenceWitness {
    /// The dpkg database in the evidence.
    Dpkg {
        /// The package whose version counts.
        package: String,
    },
    /// The rpm database in the evidence.
    Rpm {
        /// The package whose version counts.
        package: String,
    },
    /// A text file.
    File {
        /// Absolute from the evidence root.
        path: String,
        /// Patterns that must all match; their named groups fill the template.
        patterns: Vec<Pattern>,
        /// `{major}.{minor}{comment}`.
        template: String,
    },
}

/// A version as somebody told it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Where it was read, for the witness.
    pub source: String,
    /// The upstream or vendor version.
    pub version: String,
    /// What came with it: a banner's comment.
    pub comment: Option<String>,
    /// A package: distribution (`debian`) and full package version.
    pub package: Option<(String, String)>,
    /// False if the source names only the beginning of the version.
    pub exact: bool,
    /// Whether somebody who controls the instance can make it say what he likes.
    pub fakeable: bool,
    /// How much it is worth while nobody fakes it.
    pub confidence: Confidence,
}

impl Product {
    /// What a version that somebody told means under the directive.
    pub fn witness(&self, told: &Told) -> Witness {
        let (status, package, why) = self.judge(told);
        let mut value = escape(&told.version);
        if let Some((_, package)) = &told.package {
            value = escape(package);
        } else if let Some(comment) = &told.comment {
            value = format!("{value} {}", escape(comment));
        }
        Witness {
            source: escape(&told.source),
            value,
            upstream: escape(&told.version),
            package: package.map(escape),
            exact: told.exact,
            status,
            fakeable: told.fakeable,
            confidence: told.confidence,
            why,
        }
    }

    fn judge(&self, told: &Told) -> (Status, Option<String>, String) {
        if let Some((distribution, version)) = &told.package {
            let same = |b: &&Backport| b.distribution == *distribution && b.upstream == told.version;
            if let Some(backport) = self.backports.iter().find(same) {
                let (status, why) = backport.judge(version);
                return (status, Some(version.clone()), why);
            }
            let (status, why) = self.judge_upstream(told);
            return (status, Some(version.clone()), why);
        }
        for backport in self.backports.iter().filter(|b| b.upstream == told.version) {
            if let Some(version) = backport.version_in(told.comment.as_deref()) {
                let (status, why) = backport.judge(&version);
                return (status, Some(version), format!("{why}; the revision is in the banner"));
            }
        }
        let (status, why) = self.judge_upstream(told);
        (status, None, why)
    }

    fn judge_upstream(&self, told: &Told) -> (Status, String) {
        let version = &told.version;
        if !self.scheme.accepts(version) {
            return (Status::Unknown, "not a version of this product".to_owned());
        }
        let low = self.in_affected(version);
        // What only begins with this version may be any later version with the same beginning.
        let high = if told.exact { low.clone() } else { self.in_affected(&current::longest(version)) };
        match (low, high) {
            (Some(range), Some(_)) if self.backports.is_empty() => {
                (Status::Affected, format!("in the affected range{range}"))
            }
            (Some(range), Some(_)) => (
                Status::Unknown,
                format!(
                    "in the affected range{range}, but distributions fix it without changing this number: \
                     the package version decides"
                ),
            ),
            (None, None) => (Status::Fixed, "outside every affected range".to_owned()),
            _ => (Status::Unknown, "only the beginning of the version, and the fix lies behind it".to_owned()),
        }
    }

    /// The affected range that holds `version`, described.
    fn in_affected(&self, version: &str) -> Option<String> {
        self.affected.iter().find(|range| self.is_in(range, version)).map(Range::to_string)
    }

    /// Whether a range holds a version.
    fn is_in(&self, range: &Range, version: &str) -> bool {
        range.holds(self.scheme, version)
    }

    /// The latest release up to `now` that is not affected itself.
    pub(crate) fn fixing_release(&self, now: Timestamp) -> Option<&Release> {
        self.releases
            .iter()
            .filter(|release| release.released <= now && self.in_affected(&release.version).is_none())
            .min_by_key(|release| release.released)
    }
}

impl Backport {
    fn judge(&self, version: &str) -> (Status, String) {
        let where_ = format!("{} {}", self.distribution, self.release);
        let Some(fixed) = &self.fixed else {
            return (Status::Fixed, format!("{where_} was never affected"));
        };
        match self.scheme.compare(version, fixed) {
            Some(Ordering::Less) => (Status::Affected, format!("{where_} is fixed from {} {fixed}", self.package)),
            Some(_) => (Status::Fixed, format!("{where_} is fixed from {} {fixed}", self.package)),
            None => (Status::Unknown, format!("{} is not a package version", escape(version))),
        }
    }

    /// The package version that a banner's comment amounts to.
    fn version_in(&self, comment: Option<&str>) -> Option<String> {
        let found = self.comment.as_ref()?.captures(comment?)?;
        let revision = found.name("revision")?.as_str();
        let epoch = match self.fixed.as_ref().and_then(|fixed| fixed.split_once(':')) {
            Some((epoch, _)) => format!("{epoch}:"),
            None => String::new(),
        };
        let version = format!("{epoch}{}-{revision}", self.upstream);
        self.scheme.accepts(&version).then_some(version)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn appliance() -> Product {
        toml::from_str(
            r#"
            name = "Example Gateway"
            vendor = "Example"
            [[affected]]
            from = "9.0R3"
            before = "9.1R11.4"
            cve = ["CVE-2021-22893"]
            [[release]]
            version = "9.1R11.3"
            released = "2021-02-01T00:00:00Z"
            [[release]]
            version = "9.1R11.4"
            released = "2021-05-03T00:00:00Z"
            "#,
        )
        .unwrap()
    }

    pub(crate) fn openssh() -> Product {
        toml::from_str(
            r#"
            name = "OpenSSH"
            vendor = "OpenBSD"
            [[affected]]
            from = "8.5p1"
            before = "9.8p1"
            [[backport]]
            distribution = "debian"
            release = "12 (bookworm)"
            upstream = "9.2p1"
            package = "openssh-server"
            fixed = "1:9.2p1-2+deb12u3"
            comment = '^Debian-(?<revision>\S+)$'
            [[backport]]
            distribution = "rhel"
            release = "9"
            upstream = "8.7p1"
            package = "openssh-server"
            scheme = "rpm"
            fixed = "8.7p1-38.el9_4.1"
            "#,
        )
        .unwrap()
    }

    pub(crate) fn told(version: &str) -> Told {
        Told { source: "test".into(), version: version.into(), exact: true, fakeable: true, ..Told::default() }
    }

    pub(crate) fn banner(version: &str, comment: &str) -> Told {
        Told { comment: Some(comment.into()), ..told(version) }
    }

    pub(crate) fn package(upstream: &str, version: &str) -> Told {
        Told { package: Some(("debian".into(), version.into())), ..told(upstream) }
    }

    #[track_caller]
    fn check(product: &Product, told: &Told, expected: Status) {
        let witness = product.witness(told);
        assert_eq!(witness.status, expected, "{}", witness.why);
    }

    #[test]
    fn a_version_in_the_range_is_affected_and_the_fix_is_not() {
        check(&appliance(), &told("9.0R2"), Status::Fixed);
        check(&appliance(), &told("9.0R3"), Status::Affected);
        check(&appliance(), &told("9.1R11.3"), Status::Affected);
        check(&appliance(), &told("9.1R11.4"), Status::Fixed);
        check(&appliance(), &told("no version"), Status::Unknown);
    }

    #[test]
    fn a_version_of_which_only_the_beginning_is_known_is_decided_only_where_it_can_be() {
        let beginning = |version| Told { exact: false, ..told(version) };
        check(&appliance(), &beginning("9.1R10"), Status::Affected);
        check(&appliance(), &beginning("9.1R11"), Status::Unknown);
        check(&appliance(), &beginning("9.1R12"), Status::Fixed);
    }

    #[test]
    fn a_patched_debian_host_is_not_called_vulnerable_by_its_banner_alone() {
        check(&openssh(), &told("9.2p1"), Status::Unknown);
        check(&openssh(), &banner("9.2p1", "Debian-2+deb12u10"), Status::Fixed);
        check(&openssh(), &banner("9.2p1", "Debian-2+deb12u2"), Status::Affected);
        check(&openssh(), &banner("9.2p1", "FreeBSD-20240701"), Status::Unknown);
        check(&openssh(), &banner("9.8p1", ""), Status::Fixed);
    }

    #[test]
    fn the_package_version_decides() {
        check(&openssh(), &package("9.2p1", "1:9.2p1-2+deb12u2"), Status::Affected);
        check(&openssh(), &package("9.2p1", "1:9.2p1-2+deb12u3"), Status::Fixed);
        check(&openssh(), &package("9.3p1", "1:9.3p1-1"), Status::Unknown);
        check(&openssh(), &package("8.4p1", "1:8.4p1-5"), Status::Fixed);
    }

    #[test]
    fn a_package_of_rpm_is_held_against_the_fix_of_its_own_distribution() {
        let rpm = |version: &str| Told { package: Some(("rhel".into(), version.into())), ..told("8.7p1") };
        check(&openssh(), &rpm("8.7p1-38.el9"), Status::Affected);
        check(&openssh(), &rpm("8.7p1-38.el9_4.1"), Status::Fixed);
        check(&openssh(), &rpm("8.7p1-38.el9_4.10"), Status::Fixed);
        // The banner of that distribution does not name its package: nobody is called vulnerable by it.
        check(&openssh(), &told("8.7p1"), Status::Unknown);
    }

    #[test]
    fn a_release_that_does_not_fix_or_is_not_out_yet_starts_no_clock() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(appliance().fixing_release(at("2021-04-23T00:00:00Z")).is_none());
        let release = appliance().fixing_release(at("2021-05-04T00:00:00Z")).map(|release| release.version.clone());
        assert_eq!(release.as_deref(), Some("9.1R11.4"));
    }

    #[test]
    fn a_hostile_banner_stays_one_harmless_line() {
        let witness = openssh().witness(&banner("9.2p1", "Debian-2\u{1b}[2J\n"));
        assert!(!witness.value.chars().any(char::is_control), "{witness:?}");
    }
}
