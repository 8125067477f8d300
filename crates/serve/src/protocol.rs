//! Protocol: which words do the operator's program and the authority's server exchange?
//!
//! The report travels as the very bytes that the officer answered for; what he signed travels in a header beside it.
//! Refusals are problem details. Source: RFC 9110 (HTTP), RFC 6750 (bearer tokens), RFC 9457 (problem details).

use directive::answers::{Broken, Missing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where reports are handed in and listed.
pub const REPORTS: &str = "/v1/reports";

/// Where the server says what it is.
pub const ABOUT: &str = "/v1";

/// The header with the attestation: [`Signed`] as JSON in base64.
pub const ATTESTATION_HEADER: &str = "portcullis-attestation";

/// A text and the signature over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The text.
    pub statement: String,
    /// The signature (SSHSIG, in PEM).
    pub signature: String,
}

/// The answer to a report that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The receipt.
    pub receipt: Signed,
    /// The key of the receipt, as a line of OpenSSH. It proves nothing: compare it with the one that you were given.
    pub key: String,
}

/// The reports of one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// By directive, then by version.
    pub reports: Vec<Report>,
}

/// A report that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The directive's id.
    pub directive: String,
    /// Which one of the organisation it is, counted from 1.
    pub version: u32,
    /// SHA-256 of the report, in hex.
    pub sha256: String,
    /// When it was taken.
    pub received: Timestamp,
    /// Whether that was late.
    pub late: bool,
    /// Its receipt.
    pub receipt: Signed,
}

/// What the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Whose it is.
    pub authority: String,
    /// Whether it takes reports of exercises, and no others.
    pub exercise: bool,
    /// The directives under which it takes reports.
    pub directives: Vec<String>,
    /// The most bytes of a body as it is sent.
    pub most_bytes: u64,
    /// The most bytes of a report after unpacking.
    pub most_unpacked: u64,
}

/// Why something was refused, as problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:portcullis:problem:` and a word that stays.
    pub r#type: String,
    /// The same in a few words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong here, and what to do.
    pub detail: String,
    /// Required answers that are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Rules of the form that do not hold, in its own words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
    /// How many more of both there are than are listed.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more: u64,
    /// SHA-256 of the latest report that was taken, where another is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<String>,
}

fn is_none(more: &u64) -> bool {
    *more == 0
}

/// What of a report the door looks at. Everything else in it is kept, and nothing of it believed.
#[derive(Debug, Deserialize)]
pub(crate) struct Submitted {
    pub(crate) organisation: String,
    pub(crate) pack: Pack,
    pub(crate) at: Timestamp,
    pub(crate) exercise: bool,
    pub(crate) form: Form,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Pack {
    pub(crate) id: String,
    pub(crate) sha256: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    pub(crate) fields: Vec<Answer>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) instance: String,
    pub(crate) answers: Vec<Answer>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) value: Option<String>,
}
