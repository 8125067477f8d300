//! Form: what does the authority want to be told, and which answers contradict each other?
//!
//! `report.toml` of a pack: fields, columns of the instance list, choices, cross-field rules. A
//! field says where its value comes from; a value that the case does not hold stays empty and is
//! listed. `report` fills forms; this module only reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::record::Status;
use crate::verdict::Verdict;
use crate::workbook::Workbook;

/// A report form.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Form {
    /// Its title.
    pub title: String,
    /// Its version.
    pub version: String,
    /// How it must be handled.
    #[serde(default)]
    pub caveat: String,
    /// Where it goes.
    #[serde(default)]
    pub submit_to: String,
    /// Questions that are asked once.
    #[serde(default, rename = "field")]
    pub fields: Vec<Field>,
    /// Questions that are asked for each instance.
    #[serde(default, rename = "column")]
    pub columns: Vec<Field>,
    /// The actions of the directive that handing in this form does, in the order in which they are due.
    #[serde(default)]
    pub actions: Vec<Spanned<String>>,
    /// The most instances that the form has room for.
    pub most_rows: Option<usize>,
    /// The workbook that the authority wants filled, if it publishes one.
    pub workbook: Option<Workbook>,
    /// What must hold between answers.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// One question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Field {
    /// Its id, unique in the form.
    pub id: Spanned<String>,
    /// The form's own number or name for it, as short as it can be.
    pub label: String,
    /// What is asked.
    #[serde(default)]
    pub question: String,
    /// Whether it must be filled.
    #[serde(default)]
    pub required: bool,
    /// The only answers allowed, if there are such.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Where the answer comes from: the first of these that gives one. Empty: nowhere.
    #[serde(default)]
    pub from: Vec<Origin>,
    /// Which answer a value of the case becomes; a value that is not named stays unanswered.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
}

/// Where an answer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The organisation's name.
    Organisation,
    /// `yes` if the case knows an instance, `no` if a discovery ended without one.
    AnyInstance,
    /// The instance's name.
    Name,
    /// The instance's addresses.
    Addresses,
    /// Those of them that are private, link-local or loopback (RFC 1918, RFC 4193, RFC 6890).
    AddressesPrivate,
    /// The others.
    AddressesPublic,
    /// The instance's version.
    Version,
    /// `affected`, `fixed` or `unknown`.
    Status,
    /// The instance's latest verdict, or `not-run` if somebody decided against the check.
    Verdict,
    /// What the scope states: `fact.hardware-model`.
    Fact(String),
    /// What a person stated: `mark.us-cert-ticket`.
    Mark(String),
    /// `done` or `skipped`, and nothing if it is neither: `action.2.a.ii`.
    Action(String),
    /// Why somebody decided not to do an action: `why.2`.
    Why(String),
    /// When the latest check ended.
    CheckedAt,
    /// What the latest check saw, in one sentence.
    Coverage,
    /// How many instances there are, of all or of a kind: `count`, `count.affected`, `count.compromised`.
    Count(Counted),
}

/// Which instances are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// All.
    All,
    /// Those whose version has a status: `affected`, `fixed`, `unknown`.
    Status(Status),
    /// Those with a latest verdict: `compromised`, `mismatch`, `inconclusive`, `no-evidence-found`.
    Verdict(Verdict),
    /// Those that were not checked: `not-checked`.
    NotChecked,
}

impl Counted {
    fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "affected" => Self::Status(Status::Affected),
            "fixed" => Self::Status(Status::Fixed),
            "unknown" => Self::Status(Status::Unknown),
            "not-checked" => Self::NotChecked,
            _ => Self::Verdict(Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == kind)?),
        })
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.split_once('.') {
            Some(("fact", name)) => Self::Fact(name.to_owned()),
            Some(("mark", name)) => Self::Mark(name.to_owned()),
            Some(("action", id)) => Self::Action(id.to_owned()),
            Some(("why", id)) => Self::Why(id.to_owned()),
            Some(("count", kind)) => Self::Count(Counted::of(kind).ok_or_else(|| {
                de::Error::custom(format!(
                    "{kind:?} is no kind of instance: expected affected, fixed, unknown, compromised, mismatch, \
                     inconclusive, no-evidence-found or not-checked"
                ))
            })?),
            _ => match text.as_str() {
                "organisation" => Self::Organisation,
                "any-instance" => Self::AnyInstance,
                "name" => Self::Name,
                "addresses" => Self::Addresses,
                "addresses-private" => Self::AddressesPrivate,
                "addresses-public" => Self::AddressesPublic,
                "version" => Self::Version,
                "status" => Self::Status,
                "verdict" => Self::Verdict,
                "checked-at" => Self::CheckedAt,
                "coverage" => Self::Coverage,
                "count" => Self::Count(Counted::All),
                _ => {
                    return Err(de::Error::custom(format!(
                        "{text:?} is no origin: expected organisation, any-instance, name, addresses, \
                         addresses-private, addresses-public, version, status, verdict, checked-at, coverage, count, \
                         count.KIND, fact.NAME, mark.NAME, action.ID or why.ID"
                    )));
                }
            },
        })
    }
}

/// What must hold between answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// Its id, unique in the form.
    pub id: String,
    /// What it demands, in the form's own sense.
    pub text: String,
    /// The field or column whose answer calls for it; absent: always.
    pub when: Option<Answer>,
    /// What is demanded then.
    pub demands: Demand,
}

/// An answer to a question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Answer {
    /// The question.
    pub field: Spanned<String>,
    /// The answer.
    pub is: String,
}

/// A total and its parts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sum {
    /// The question for the total.
    pub total: Spanned<String>,
    /// The questions for the parts.
    pub of: Vec<Spanned<String>>,
}

/// A part and its whole.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AtMost {
    /// The question for the part.
    pub field: Spanned<String>,
    /// The question for the whole.
    pub of: Spanned<String>,
}

impl Demand {
    /// The questions that it is about.
    pub fn names(&self) -> Vec<&Spanned<String>> {
        match self {
            Self::Filled(field) => vec![field],
            Self::Answered(answer) => vec![&answer.field],
            Self::Sum(sum) => std::iter::once(&sum.total).chain(&sum.of).collect(),
            Self::AtMost(most) => vec![&most.field, &most.of],
            Self::Rows | Self::NoRows => Vec::new(),
        }
    }
}

/// What a rule demands.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Demand {
    /// That question must be answered.
    Filled(Spanned<String>),
    /// That question must be answered so.
    Answered(Answer),
    /// Numbers that must add up to another.
    Sum(Sum),
    /// A number that must not be larger than another.
    AtMost(AtMost),
    /// The instance list must have a row.
    Rows,
    /// The instance list must be empty.
    NoRows,
}
