//! Filing: who answered for a report, where did it go, and who took it?
//!
//! Serves ED 21-03, required action 4 ("attested by the department-level CIO or equivalent"). Part of
//! [`crate::record`]. Signatures are kept with the very text that was signed, so that anybody can verify them again.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named officer answers for a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attestation {
    /// The directive's id.
    pub directive: String,
    /// SHA-256 of the pack, in hex.
    pub pack_sha256: String,
    /// SHA-256 of the report in JSON, in hex. Its bytes are in the case's `evidence/`.
    pub report_sha256: String,
    /// The time as of which the report was made.
    #[schemars(with = "String")]
    pub as_of: Timestamp,
    /// Who answers for it.
    pub officer: String,
    /// As what.
    pub role: String,
    /// Whether the form was complete and its rules held.
    pub complete: bool,
    /// SHA-256 of the report that this one replaces at the authority, if it took one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The key, `SHA256:...` as OpenSSH prints it.
    pub fingerprint: String,
    /// The text that was signed.
    pub statement: String,
    /// The signature over it (SSHSIG, in PEM).
    pub signature: String,
}

/// A report was handed to somebody, or written for somebody to hand over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Submission {
    /// The directive's id.
    pub directive: String,
    /// SHA-256 of the report, in hex.
    pub report_sha256: String,
    /// By which way.
    pub way: SubmissionWay,
    /// To whom: the server's address, the address of the mail; empty for a folder.
    pub to: String,
}

/// By which way a report goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubmissionWay {
    /// To the authority's server.
    Server,
    /// As a signed folder, which somebody carries.
    Folder,
    /// As an e-mail file, which somebody sends.
    Mail,
}

/// The authority took a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The directive's id.
    pub directive: String,
    /// SHA-256 of the report, in hex.
    pub report_sha256: String,
    /// Who took it.
    pub authority: String,
    /// Which report of the organisation under the directive it is, counted from 1.
    pub version: u32,
    /// When it was taken, by the authority's clock.
    #[schemars(with = "String")]
    pub received: Timestamp,
    /// When it was due, as far as the authority's pack says.
    #[schemars(with = "Option<String>")]
    pub due: Option<Timestamp>,
    /// Whether that was before.
    pub late: bool,
    /// The authority's key, `SHA256:...`.
    pub fingerprint: String,
    /// The text that was signed.
    pub statement: String,
    /// The signature over it (SSHSIG, in PEM).
    pub signature: String,
}

/// What became of the reports of a case.
#[derive(Debug, Clone, Default)]
pub struct Filings {
    /// Attestations in order, with the id of their record.
    pub attestations: Vec<(Timestamp, String, Attestation)>,
    /// What was handed over, in order.
    pub submissions: Vec<(Timestamp, Submission)>,
    /// Receipts in order, with the id of their record.
    pub receipts: Vec<(Timestamp, String, Receipt)>,
}

impl Filings {
    /// The latest attestation of a report under a directive.
    pub fn attested(&self, directive: &str) -> Option<&(Timestamp, String, Attestation)> {
        self.attestations.iter().rfind(|(_, _, one)| one.directive == directive)
    }

    /// The receipt of the latest version that the authority took under a directive.
    pub fn received(&self, directive: &str) -> Option<&(Timestamp, String, Receipt)> {
        self.receipts.iter().filter(|(_, _, one)| one.directive == directive).max_by_key(|(_, _, one)| one.version)
    }
}
