//! Advisory: what does a vendor's advisory in CSAF say of versions, vulnerabilities and remedies?
//!
//! Reads what a draft of a pack needs and ignores the rest; whether a document holds to the whole standard is a
//! validator's question. Bounds: size of the document, depth of the tree of products. Source: Common Security Advisory
//! Framework 2.0, OASIS Standard, sections 3.1.2 (branches), 3.2.1 (document), 3.2.2 (product tree), 3.2.3
//! (vulnerabilities).

mod span;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

pub use span::Span;

/// The largest document that is read, in bytes. The standard recommends to accept 150 MB; an advisory on one product
/// has less than one.
pub const LARGEST: usize = 64 << 20;

/// How deep branches may lie below each other: the standard recommends to accept thirty.
const DEEPEST: usize = 30;

/// An advisory, as far as we read it.
#[derive(Debug, Clone, Deserialize)]
pub struct Advisory {
    /// What it is.
    pub document: Document,
    /// What it is about.
    #[serde(default)]
    product_tree: Tree,
    /// What is wrong with that.
    #[serde(default)]
    pub vulnerabilities: Vec<Vulnerability>,
}

/// What an advisory is.
#[derive(Debug, Clone, Deserialize)]
pub struct Document {
    /// Which profile of the standard it follows: `csaf_security_advisory`.
    #[serde(default)]
    pub category: String,
    /// Its title.
    pub title: String,
    /// Who publishes it.
    pub publisher: Publisher,
    /// Its history.
    pub tracking: Tracking,
}

/// Who publishes an advisory.
#[derive(Debug, Clone, Deserialize)]
pub struct Publisher {
    /// Its name.
    pub name: String,
}

/// The history of an advisory.
#[derive(Debug, Clone, Deserialize)]
pub struct Tracking {
    /// The publisher's own name for it.
    pub id: String,
    /// When it was published for the first time.
    pub initial_release_date: Timestamp,
    /// When this version of it was.
    pub current_release_date: Timestamp,
    /// The version.
    pub version: String,
    /// `draft`, `interim`, `final`.
    #[serde(default)]
    pub status: String,
}

/// A vulnerability.
#[derive(Debug, Clone, Deserialize)]
pub struct Vulnerability {
    /// Its CVE, if it has one.
    pub cve: Option<String>,
    /// Which products it is about, by their ids.
    #[serde(default)]
    pub(crate) product_status: BTreeMap<String, Vec<String>>,
    /// What helps.
    #[serde(default)]
    pub remediations: Vec<Remediation>,
}

/// What helps against a vulnerability.
#[derive(Debug, Clone, Deserialize)]
pub struct Remediation {
    /// `vendor_fix`, `workaround`, `mitigation`, `none_available`, `no_fix_planned`.
    pub category: String,
    /// How.
    pub details: String,
    /// Since when.
    pub date: Option<Timestamp>,
    /// Where.
    pub url: Option<String>,
    /// For which products; none named: for all of the vulnerability's.
    #[serde(default)]
    pub(crate) product_ids: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Tree {
    #[serde(default)]
    branches: Vec<Branch>,
    #[serde(default)]
    full_product_names: Vec<FullName>,
    #[serde(default)]
    relationships: Vec<Relationship>,
}

/// One product on, in or with another, which together have an id of their own.
#[derive(Debug, Clone, Deserialize)]
struct Relationship {
    product_reference: String,
    full_product_name: FullName,
}

#[derive(Debug, Clone, Deserialize)]
struct Branch {
    category: String,
    name: String,
    #[serde(default)]
    branches: Vec<Branch>,
    product: Option<FullName>,
}

#[derive(Debug, Clone, Deserialize)]
struct FullName {
    name: String,
    product_id: String,
    product_identification_helper: Option<Helper>,
}

#[derive(Debug, Clone, Deserialize)]
struct Helper {
    cpe: Option<String>,
}

/// A product of an advisory, with what stands above it in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its id in the advisory.
    pub id: String,
    /// Its full name.
    pub full: String,
    /// Its vendor.
    pub vendor: Option<String>,
    /// Its name without a version.
    pub product: Option<String>,
    /// Its version, or the range of versions.
    pub version: Option<Versions>,
    /// Its CPE.
    pub cpe: Option<String>,
}

/// Which versions a product of an advisory stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// One.
    One(String),
    /// Several, in the advisory's own words.
    Range(String),
}

/// Bounds of versions: from the first that belongs to it, up to the first that does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first version; absent: every older one too.
    pub from: Option<String>,
    /// The first version that does not belong to it; absent: every newer one too.
    pub before: Option<String>,
}

impl Versions {
    /// The bounds of a range that is written in one interval, `vers:generic/>=9.0|<9.1R11.4` or `<9.1R11.4`.
    ///
    /// `None` for a single version and for what has no such form: a bound that includes its last version has no first
    /// version beyond it, since nobody here knows which comes next.
    pub fn bounds(&self) -> Option<Bounds> {
        let Self::Range(text) = self else { return None };
        let constraints = match text.strip_prefix("vers:") {
            Some(vers) => vers.split_once('/')?.1,
            None => text.as_str(),
        };
        let mut bounds = Bounds::default();
        for constraint in constraints.split(['|', ',']).map(str::trim).filter(|one| !one.is_empty()) {
            if let Some(version) = constraint.strip_prefix(">=") {
                set(&mut bounds.from, version)?;
            } else if constraint.starts_with("<=") || constraint.starts_with('>') || constraint.starts_with('!') {
                return None;
            } else {
                set(&mut bounds.before, constraint.strip_prefix('<')?)?;
            }
        }
        (bounds != Bounds::default()).then_some(bounds)
    }
}

/// Two bounds on one side are no interval.
fn set(bound: &mut Option<String>, version: &str) -> Option<()> {
    bound.replace(version.trim().to_owned()).is_none().then_some(())
}

/// Reads an advisory.
///
/// # Errors
///
/// What is wrong with it, with line and column.
pub fn parse(bytes: &[u8]) -> Result<Advisory, String> {
    if bytes.len() > LARGEST {
        return Err(format!("it has more than {} MiB", LARGEST >> 20));
    }
    serde_json::from_slice(bytes).map_err(|err| err.to_string())
}

impl Advisory {
    /// Every product, with what stands above it.
    pub fn products(&self) -> Vec<Listed> {
        let mut found = Vec::new();
        for branch in &self.product_tree.branches {
            walk(branch, &Listed::default(), 0, &mut found);
        }
        let flat = self.product_tree.full_product_names.iter();
        found.extend(flat.map(|name| Listed::default().named(name)));
        found
    }

    /// What is one product on, in or with another: its id, and the id of the first.
    pub(crate) fn together(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.product_tree.relationships.iter();
        all.map(|one| (one.full_product_name.product_id.as_str(), one.product_reference.as_str()))
    }

    /// The ids of products of which any vulnerability says one of these: `known_affected`, `fixed`.
    pub fn with_status(&self, statuses: &[&str]) -> Vec<&str> {
        let said = self.vulnerabilities.iter().flat_map(|vulnerability| &vulnerability.product_status);
        let mut ids: Vec<&str> = said
            .filter(|(status, _)| statuses.contains(&status.as_str()))
            .flat_map(|(_, ids)| ids.iter().map(String::as_str))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// CVEs of its vulnerabilities.
    pub fn cves(&self) -> Vec<&str> {
        self.vulnerabilities.iter().filter_map(|vulnerability| vulnerability.cve.as_deref()).collect()
    }
}

impl Listed {
    fn named(self, name: &FullName) -> Self {
        let cpe = name.product_identification_helper.as_ref().and_then(|helper| helper.cpe.clone());
        Self { id: name.product_id.clone(), full: name.name.clone(), cpe, ..self }
    }
}

fn walk(branch: &Branch, above: &Listed, depth: usize, found: &mut Vec<Listed>) {
    if depth >= DEEPEST {
        return;
    }
    let mut here = above.clone();
    let name = branch.name.clone();
    match branch.category.as_str() {
        "vendor" => here.vendor = Some(name),
        "product_name" => here.product = Some(name),
        "product_version" => here.version = Some(Versions::One(name)),
        "product_version_range" => here.version = Some(Versions::Range(name)),
        _ => {}
    }
    found.extend(branch.product.iter().map(|name| here.clone().named(name)));
    branch.branches.iter().for_each(|branch| walk(branch, &here, depth + 1, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bounds(range: &str, expected: Option<(Option<&str>, Option<&str>)>) {
        let found = Versions::Range(range.to_owned()).bounds();
        let expected =
            expected.map(|(from, before)| Bounds { from: from.map(str::to_owned), before: before.map(str::to_owned) });
        assert_eq!(found, expected, "{range}");
    }

    #[test]
    fn one_interval_of_versions_has_bounds() {
        bounds("vers:generic/>=9.0R3|<9.1R11.4", Some((Some("9.0R3"), Some("9.1R11.4"))));
        bounds("<9.1R11.4", Some((None, Some("9.1R11.4"))));
        bounds(">=2.0", Some((Some("2.0"), None)));
    }

    #[test]
    fn what_is_no_half_open_interval_has_none() {
        bounds("vers:generic/<=9.1R11.3", None);
        bounds("vers:generic/>9.0", None);
        bounds("vers:generic/<1|<2", None);
        bounds("versions prior to 9.1R11.4", None);
        bounds("", None);
        assert_eq!(Versions::One("9.1".to_owned()).bounds(), None);
    }

    #[test]
    fn a_tree_that_goes_down_for_ever_is_read_to_its_bound() {
        let mut tree =
            r#"{"category": "product_version", "name": "1", "product": {"name": "p", "product_id": "1"}}"#.to_owned();
        for _ in 0..40 {
            tree = format!(r#"{{"category": "product_family", "name": "f", "branches": [{tree}]}}"#);
        }
        let document = format!(
            r#"{{"document": {{"title": "t", "publisher": {{"name": "p"}}, "tracking": {{"id": "1", "version": "1",
            "initial_release_date": "2021-05-03T00:00:00Z", "current_release_date": "2021-05-03T00:00:00Z"}}}},
            "product_tree": {{"branches": [{tree}]}}}}"#
        );
        assert!(parse(document.as_bytes()).unwrap().products().is_empty());
    }
}
