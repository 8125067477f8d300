//! Attestation: for which report does an officer answer, and as what?
//!
//! Serves ED 21-03, required action 4. The statement names the report by its digest, so that whatever changes in it
//! afterwards is another report, and the report that it replaces, so that a second one never slips past the first.

use directive::record::PackRef;
use jiff::Timestamp;

use crate::key::{self, PublicKey, Refused};
use crate::statement::{self, Error, Reader, Writer};

const TITLE: &str = "portcullis-attestation 1";

/// What an officer signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Who reports.
    pub organisation: String,
    /// Under which directive, with the pack exactly.
    pub pack: PackRef,
    /// SHA-256 of the report in JSON, in hex.
    pub report_sha256: String,
    /// The time as of which the report was made.
    pub as_of: Timestamp,
    /// Whether it is of an exercise.
    pub exercise: bool,
    /// Required answers of the form that are missing.
    pub missing: u64,
    /// Rules of the form that do not hold.
    pub broken: u64,
    /// SHA-256 of the report that it replaces at the authority.
    pub replaces: Option<String>,
    /// Who answers for it.
    pub officer: String,
    /// As what.
    pub role: String,
    /// When it is signed, by the officer's clock.
    pub signed: Timestamp,
}

impl Attestation {
    /// The text to sign.
    pub fn text(&self) -> String {
        Writer::new(TITLE)
            .line("organisation", &self.organisation)
            .line("directive", &self.pack.id)
            .line("pack-sha256", &self.pack.sha256)
            .line("report-sha256", &self.report_sha256)
            .line("as-of", self.as_of)
            .line("exercise", statement::said(self.exercise))
            .line("answers-missing", self.missing)
            .line("rules-broken", self.broken)
            .line("replaces", self.replaces.as_deref().unwrap_or("none"))
            .line("officer", &self.officer)
            .line("role", &self.role)
            .line("signed", self.signed)
            .end()
    }

    /// Reads the text back.
    ///
    /// # Errors
    ///
    /// [`Error`], by what it is not.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = Reader::new(text, TITLE)?;
        let time = |text: &str| text.parse().ok();
        let number = |text: &str| text.parse().ok();
        let attestation = Self {
            organisation: lines.line("organisation")?.to_owned(),
            pack: PackRef {
                id: lines.line("directive")?.to_owned(),
                sha256: lines.read("pack-sha256", statement::digest)?,
            },
            report_sha256: lines.read("report-sha256", statement::digest)?,
            as_of: lines.read("as-of", time)?,
            exercise: lines.read("exercise", statement::yes_or_no)?,
            missing: lines.read("answers-missing", number)?,
            broken: lines.read("rules-broken", number)?,
            replaces: lines.read("replaces", statement::digest_or_none)?,
            officer: lines.line("officer")?.to_owned(),
            role: lines.line("role")?.to_owned(),
            signed: lines.read("signed", time)?,
        };
        lines.end(&attestation.text())?;
        Ok(attestation)
    }

    /// Verifies a signature whose key nobody vouches for yet, and says which key it is of: an officer's own signature,
    /// made with another program, is taken into the case by it.
    ///
    /// # Errors
    ///
    /// [`Refused`], by what is wrong.
    pub fn signer(text: &str, signature: &str) -> Result<PublicKey, Refused> {
        let claimed = key::claimed(signature)?;
        key::verify(text, signature, crate::ATTESTATION, &[claimed])
    }
}
