//! Notice: what does a case keep of an advisory, of the catalogue of exploited vulnerabilities, and of a look at both?
//!
//! An advisory is kept as what it means for one product of a pack, with the digest of the document, which is in the
//! case's evidence, and the key that signed it. Who may replace it: a newer version of the same document, of the same
//! publisher at the same provider. Source: CSAF 2.0, sections 3.1.11 (versions), 3.2.1.12 (tracking); ED 21-03 action
//! 3.

mod read;

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::product::Range;
use crate::record::Gap;
use crate::version::Scheme;

pub use read::{Origin, read};

/// What a verified advisory means for one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Whose list names it: the address of the provider's metadata.
    pub provider: String,
    /// Who publishes it, by the document.
    pub publisher: String,
    /// The publisher's own name for it.
    pub advisory: String,
    /// The version of the document.
    pub version: String,
    /// Its title.
    pub title: String,
    /// When its first version was published.
    #[schemars(with = "String")]
    pub released: Timestamp,
    /// When this version was.
    #[schemars(with = "String")]
    pub updated: Timestamp,
    /// The product that this is about, as the pack names it.
    pub product: String,
    /// How versions of the product are counted.
    pub scheme: Scheme,
    /// Whether distributions fix the product under an unchanged number, so that a number alone decides nothing.
    #[serde(default)]
    pub backported: bool,
    /// The vulnerabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cve: Vec<String>,
    /// Versions that it calls affected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affected: Vec<Affected>,
    /// Versions that it calls fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<Fixed>,
    /// What it says of the product and nobody can compute with, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<String>,
    /// Where the document was.
    pub url: String,
    /// When the list says that it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub listed: Option<Timestamp>,
    /// SHA-256 of the document, in hex; the bytes are in the case's `evidence/`.
    pub sha256: String,
    /// The fingerprint of the pinned key that signed it.
    pub signed_by: String,
    /// When it was signed, by the signer's clock.
    #[schemars(with = "String")]
    pub signed: Timestamp,
}

/// A range of affected versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Affected {
    /// The first; absent: every older one too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The first that is not affected any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The last that is affected, where that is what the advisory says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// By which vulnerabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cve: Vec<String>,
}

/// A version that fixes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fixed {
    /// The version.
    pub version: String,
    /// Since when it is there. A later version of the document cannot make it later.
    #[schemars(with = "String")]
    pub released: Timestamp,
}

/// A vulnerability that is exploited, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exploited {
    /// `CVE-2021-22893`.
    pub cve: String,
    /// What the catalogue calls it.
    pub name: String,
    /// When it was added.
    #[schemars(with = "String")]
    pub added: Date,
    /// Until when it has to be closed; absent: the catalogue does not list it any more.
    #[schemars(with = "Option<String>")]
    pub due: Option<Date>,
    /// When the catalogue was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub catalogue: Option<Timestamp>,
    /// SHA-256 of the catalogue, in hex; the bytes are in the case's `evidence/`.
    pub sha256: String,
}

/// A look at what a provider publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Look {
    /// The address of the provider's metadata.
    pub provider: String,
    /// Everything that the lists date up to here was looked at, but for what `again` names.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Documents that could not be taken: the next look asks for them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<String>,
    /// What was not seen, or not believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

impl Notice {
    /// Whether another is about the same document and product.
    pub fn is_same(&self, other: &Self) -> bool {
        let named = |of: &Self| [&of.provider, &of.publisher, &of.advisory, &of.product].map(String::clone);
        named(self) == named(other)
    }

    /// How this version of a document stands to another: by its number, then by its date.
    pub fn age(&self, other: &Self) -> Ordering {
        compare(&self.version, &other.version).then(self.updated.cmp(&other.updated))
    }

    /// Whether it says other than another which versions are affected or fixed.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.affected != other.affected || self.fixed != other.fixed
    }

    /// What people call it.
    pub fn name(&self) -> String {
        format!("{} of {}", self.advisory, self.publisher)
    }

    /// Its ranges, as those of the product.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range> {
        self.affected.iter().map(|range| Range {
            from: range.from.clone(),
            before: range.before.clone(),
            through: range.through.clone(),
            cve: range.cve.clone(),
            by: Some(self.name()),
        })
    }
}

/// Two versions of a document: whole numbers, or three of them with a mark of what comes before a release.
///
/// What has neither form is older than what has one: the standard knows no other.
fn compare(a: &str, b: &str) -> Ordering {
    number(a).cmp(&number(b))
}

fn number(version: &str) -> Option<([u64; 3], bool, String)> {
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let (numbers, before) =
        version.split_once('-').map_or((version, None), |(numbers, before)| (numbers, Some(before)));
    let parts: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    let parts = match parts?[..] {
        [major] => [major, 0, 0],
        [major, minor, patch] => [major, minor, patch],
        _ => return None,
    };
    Some((parts, before.is_none(), before.unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_of_a_document_is_the_later_number() {
        for (older, newer) in [("1", "2"), ("9", "10"), ("1.0.0", "1.0.1"), ("1.9.0", "1.10.0"), ("1.0.0-rc", "1.0.0")]
        {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
        }
        assert_eq!(compare("1.0.0+a", "1.0.0+b"), Ordering::Equal);
        assert_eq!(compare("latest", "1"), Ordering::Less);
    }
}
