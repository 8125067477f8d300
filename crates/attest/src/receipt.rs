//! Receipt: which report did an authority take, when, and was that in time?

use jiff::Timestamp;

use crate::key::{self, PublicKey, Refused};
use crate::statement::{self, Error, Reader, Writer};

const TITLE: &str = "portcullis-receipt 1";

/// What an authority signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who took it.
    pub authority: String,
    /// From whom.
    pub organisation: String,
    /// Under which directive.
    pub directive: String,
    /// Which report of the organisation under the directive it is, counted from 1.
    pub version: u32,
    /// SHA-256 of the report, in hex.
    pub report_sha256: String,
    /// SHA-256 of the report that it replaces.
    pub replaces: Option<String>,
    /// Whether it is of an exercise.
    pub exercise: bool,
    /// Who answers for it.
    pub officer: String,
    /// As what.
    pub role: String,
    /// The officer's key, `SHA256:...`.
    pub officer_key: String,
    /// When it was taken, by the authority's clock.
    pub received: Timestamp,
    /// When it was due, as far as the authority's pack says.
    pub due: Option<Timestamp>,
}

/// Whether something came after it was due; to the second it is in time.
pub fn late(received: Timestamp, due: Option<Timestamp>) -> bool {
    due.is_some_and(|due| received > due)
}

impl Receipt {
    /// Whether it came late.
    pub fn late(&self) -> bool {
        late(self.received, self.due)
    }

    /// The text to sign.
    pub fn text(&self) -> String {
        Writer::new(TITLE)
            .line("authority", &self.authority)
            .line("organisation", &self.organisation)
            .line("directive", &self.directive)
            .line("version", self.version)
            .line("report-sha256", &self.report_sha256)
            .line("replaces", self.replaces.as_deref().unwrap_or("none"))
            .line("exercise", statement::said(self.exercise))
            .line("officer", &self.officer)
            .line("role", &self.role)
            .line("officer-key", &self.officer_key)
            .line("received", self.received)
            .line("due", self.due.map_or_else(|| "none".to_owned(), |due| due.to_string()))
            .line("late", statement::said(self.late()))
            .end()
    }

    /// Reads the text back.
    ///
    /// # Errors
    ///
    /// [`Error`], by what it is not.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = Reader::new(text, TITLE)?;
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let time_or_none = |text: &str| if text == "none" { Some(None) } else { time(text).map(Some) };
        let version = |text: &str| text.parse().ok().filter(|version| *version > 0);
        let receipt = Self {
            authority: lines.line("authority")?.to_owned(),
            organisation: lines.line("organisation")?.to_owned(),
            directive: lines.line("directive")?.to_owned(),
            version: lines.read("version", version)?,
            report_sha256: lines.read("report-sha256", statement::digest)?,
            replaces: lines.read("replaces", statement::digest_or_none)?,
            exercise: lines.read("exercise", statement::yes_or_no)?,
            officer: lines.line("officer")?.to_owned(),
            role: lines.line("role")?.to_owned(),
            officer_key: lines.line("officer-key")?.to_owned(),
            received: lines.read("received", time)?,
            due: lines.read("due", time_or_none)?,
        };
        let late = lines.read("late", statement::yes_or_no)?;
        if late != receipt.late() {
            return Err(Error::Value { name: "late", value: statement::said(late).to_owned() });
        }
        lines.end(&receipt.text())?;
        Ok(receipt)
    }

    /// Verifies a signature whose key nobody vouches for, and says which key it is of. By it a receipt is shown that
    /// was taken into a case before, under the key of then; one that comes anew counts by [`crate::verify`] alone.
    ///
    /// # Errors
    ///
    /// [`Refused`], by what is wrong.
    pub fn signer(text: &str, signature: &str) -> Result<PublicKey, Refused> {
        let claimed = key::claimed(signature)?;
        key::verify(text, signature, crate::RECEIPT, &[claimed])
    }
}
