//! Action: what does a directive order, for whom, under which condition?
//!
//! `directive.toml` of a pack, read as written. References between actions are checked in
//! [`crate::pack`]; what follows from them for a case is in [`crate::plan`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use crate::deadline::Due;
use crate::record::{Status, WaitsFor};
use crate::verdict::Verdict;

/// A directive: identity, lifecycle, actions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Directive {
    /// The id, which is also the pack's folder name: `ed-21-03`.
    pub id: Spanned<String>,
    /// The title.
    pub title: String,
    /// Who issued it.
    pub issuer: Issuer,
    /// The IANA zone in which its days are counted.
    pub zone: Spanned<String>,
    /// The calendar of its holidays, `us-federal`; absent: weekends only.
    pub calendar: Option<Spanned<String>>,
    /// Single days beside them on which nobody works.
    #[serde(default)]
    pub holidays: Vec<jiff::civil::Date>,
    /// The documents that make it up: the directive, then its supplements.
    #[serde(rename = "document")]
    pub documents: Vec<Document>,
    /// When it was closed, if it was; from then on nothing is owed.
    pub closed: Option<Closure>,
    /// What it orders.
    #[serde(rename = "action")]
    pub actions: Vec<Action>,
    /// What only a person can state.
    #[serde(default, rename = "mark")]
    pub marks: Vec<MarkQuestion>,
}

/// Who issued a directive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Issuer {
    /// The authority's name.
    pub name: String,
    /// Where reports and questions go.
    #[serde(default)]
    pub contact: String,
    /// False if nobody is bound by it: a pack of advice.
    #[serde(default = "yes")]
    pub binding: bool,
}

fn yes() -> bool {
    true
}

/// One document of a directive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Document {
    /// Its id: `ed-21-02-v2`.
    pub id: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// Its title.
    #[serde(default)]
    pub title: String,
}

/// The end of a directive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Closure {
    /// When.
    pub at: Timestamp,
    /// By what.
    pub why: String,
}

/// One required action.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Action {
    /// The number that the directive gives it: `2.b.i`.
    pub id: Spanned<String>,
    /// What has to be done, in a few words.
    pub title: String,
    /// What has to be done, exactly, in our words.
    #[serde(default)]
    pub text: String,
    /// Where the directive says so.
    pub clause: String,
    /// The document that orders it; absent: the first.
    pub document: Option<Spanned<String>>,
    /// Once for the organisation, or for each instance.
    #[serde(default)]
    pub each: Each,
    /// Who does it.
    #[serde(default)]
    pub does: Does,
    /// Under which condition it is owed.
    #[serde(default)]
    pub when: When,
    /// From when on it is owed no more.
    pub until: Option<When>,
    /// Actions that must be done before.
    #[serde(default)]
    pub after: Vec<Spanned<String>>,
    /// What must be shown before it counts as done, beside somebody's word.
    #[serde(default)]
    pub proof: Vec<crate::gate::Proof>,
    /// Actions that do instead of this one.
    #[serde(default)]
    pub instead: Vec<Spanned<String>>,
    /// Allowed instead of another action, but never owed by itself.
    #[serde(default)]
    pub optional: bool,
    /// Actions that this one replaces once its document is issued.
    #[serde(default)]
    pub supersedes: Vec<Spanned<String>>,
    /// When it is due.
    #[serde(default)]
    pub due: Due,
}

/// For whom an action is owed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// Once.
    #[default]
    Organisation,
    /// Once for every instance that meets the condition.
    Instance,
}

/// Who does an action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// The room that counts instances.
    Discover,
    /// The room that checks integrity.
    Check,
    /// The room that changes things, after a person has approved it. Done while its proof holds.
    Mitigate,
    /// A person.
    #[default]
    Person,
    /// The vendor, and then a person.
    Vendor,
}

impl Does {
    /// Whom an action of this kind waits for.
    pub fn waits_for(self) -> WaitsFor {
        match self {
            Self::Discover | Self::Check => WaitsFor::Nobody,
            Self::Person | Self::Mitigate => WaitsFor::Person,
            Self::Vendor => WaitsFor::Vendor,
        }
    }
}

/// A condition. All parts that are given must hold; a part with several values holds if one does.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct When {
    /// The instance's latest verdict.
    #[serde(default)]
    pub verdict: Vec<Verdict>,
    /// Any verdict that the instance ever had.
    #[serde(default)]
    pub ever: Vec<Verdict>,
    /// The status of its version.
    #[serde(default)]
    pub version: Vec<Status>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Vec<OwnerKind>,
    /// What a person stated.
    #[serde(default)]
    pub mark: BTreeMap<String, String>,
    /// Whether the vendor released a version that is not affected.
    pub release: Option<bool>,
}

/// Who answers for an instance, as far as obligations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerKind {
    /// The organisation itself.
    Agency,
    /// Another government body.
    Federal,
    /// A commercial provider.
    Commercial,
}

/// What only a person can state.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MarkQuestion {
    /// Its id, used in conditions and in the form.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// Of the organisation, or of each instance.
    #[serde(default)]
    pub each: Each,
}
