//! Filing: who answers for this report, and has an authority taken it?
//!
//! Stands in what people read and never in the report in JSON: an attestation signs the digest of that, which must not
//! change by being attested or taken. Serves ED 21-03, required action 4 ("attested by the department-level CIO or
//! equivalent"). Never verifies a signature: whoever makes a [`Filing`] has done so, and says what came of it.

use jiff::Timestamp;

/// What a case holds about handing its report in, read from what was signed.
#[derive(Debug, Clone, Default)]
pub struct Filing {
    /// The latest attestation; absent: nobody answers for the report yet.
    pub attested: Option<Attested>,
    /// Receipts under the same directive, in any order.
    pub receipts: Vec<Received>,
}

/// An officer's attestation.
#[derive(Debug, Clone)]
pub struct Attested {
    /// Who answers for the report.
    pub officer: String,
    /// As what.
    pub role: String,
    /// When it was signed, by the officer's clock.
    pub signed: Timestamp,
    /// As of when the report is that was attested.
    pub as_of: Timestamp,
    /// SHA-256 of that report in JSON, in hex.
    pub report_sha256: String,
    /// The officer's key, `SHA256:...` as OpenSSH prints it.
    pub fingerprint: String,
    /// Required answers that were missing, and rules of the form that did not hold.
    pub lacking: (u64, u64),
    /// Whether it still counts.
    pub standing: Standing,
}

/// Whether an attestation counts for what the case says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The case says what was attested.
    Current,
    /// The case has changed since: what, in words.
    Stale(Vec<String>),
    /// The report that was attested is not in the case any more, or not as it was.
    Lost,
    /// The signature is none of that key over what the case holds.
    Forged,
}

/// An authority's receipt.
#[derive(Debug, Clone)]
pub struct Received {
    /// Who took it.
    pub authority: String,
    /// Which report of the organisation under the directive it is, counted from 1.
    pub version: u32,
    /// When it was taken, by the authority's clock.
    pub received: Timestamp,
    /// When it was due, as far as the authority's pack says.
    pub due: Option<Timestamp>,
    /// Whether that was before.
    pub late: bool,
    /// SHA-256 of the report that was taken, in hex.
    pub report_sha256: String,
    /// The authority's key, `SHA256:...` as OpenSSH prints it.
    pub fingerprint: String,
    /// Whether the signature is one of that key over what the case holds.
    pub holds: bool,
}
