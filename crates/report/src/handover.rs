//! Handover: what does somebody get who has no server: which files, which e-mail?
//!
//! The report as the officer signed it, his statement and signature, the page for people, and how to verify all that
//! with OpenSSH alone. The same report gives the same files and the same e-mail.
//! Source: RFC 5322 and 2045 through `mail-builder`; OpenSSH, ssh-keygen(1), "ALLOWED SIGNERS".

use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::mime::{BodyPart, MimePart};
use serde::Deserialize;

use directive::record::Attestation;
use directive::text::escape;

/// A file by its name.
pub type File = (&'static str, Vec<u8>);

/// What goes with a report that was attested.
#[derive(Debug, Clone, Copy)]
pub struct Handover<'a> {
    /// The attestation.
    pub attestation: &'a Attestation,
    /// The officer's public key, as a line of OpenSSH.
    pub key: &'a str,
    /// The report in JSON, as it was attested.
    pub report: &'a [u8],
    /// The report for people, as a page; made of the same case at the same time.
    pub page: &'a str,
}

/// Why there is no e-mail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The report cannot be read.
    #[error("the attested report cannot be read")]
    Report(#[from] serde_json::Error),
    /// It cannot be written.
    #[error("the e-mail cannot be written")]
    Write(#[from] std::io::Error),
    /// Nobody says from whom or to whom it goes.
    #[error("{0:?} is no address of an e-mail")]
    Address(String),
}

/// What of a report an e-mail says in its head.
#[derive(Deserialize)]
struct Head {
    organisation: String,
    exercise: bool,
    form: Form,
}

#[derive(Deserialize)]
struct Form {
    title: String,
    version: String,
    caveat: String,
}

impl Handover<'_> {
    /// The files of a signed folder.
    ///
    /// # Errors
    ///
    /// [`Error::Report`] if the report is none.
    pub fn files(&self) -> Result<Vec<File>, Error> {
        let head: Head = serde_json::from_slice(self.report)?;
        Ok(vec![
            ("README.txt", self.readme(&head).into_bytes()),
            ("report.json", self.report.to_vec()),
            ("report.html", self.page.as_bytes().to_vec()),
            ("statement.txt", self.attestation.statement.as_bytes().to_vec()),
            ("statement.txt.sig", self.attestation.signature.as_bytes().to_vec()),
            ("officer.pub", format!("officer {}\n", self.key).into_bytes()),
        ])
    }

    /// How to read and to verify the files, for whoever opens them.
    fn readme(&self, head: &Head) -> String {
        let attestation = self.attestation;
        let exercise = if head.exercise { "EXERCISE: every time in it is exercise time.\n\n" } else { "" };
        let caveat = match head.form.caveat.is_empty() {
            true => String::new(),
            false => format!("Handling: {}\n\n", escape(&head.form.caveat)),
        };
        format!(
            "{exercise}{}, version {}\n{}\n\n{caveat}\
             report.json        the report; SHA-256 {}\n\
             report.html        the same for people\n\
             statement.txt      what {}, {}, answers for\n\
             statement.txt.sig  the signature over it\n\
             officer.pub        the key {}\n\n\
             To verify: the key must be the one that the officer gave you by another way. Then\n\n\
             ssh-keygen -Y verify -f officer.pub -I officer -n portcullis-attestation -s statement.txt.sig \
             < statement.txt\n\
             sha256sum report.json    must print the report-sha256 of the statement\n",
            escape(&head.form.title),
            escape(&head.form.version),
            escape(&head.organisation),
            attestation.report_sha256,
            escape(&attestation.officer),
            escape(&attestation.role),
            attestation.fingerprint,
        )
    }

    /// An e-mail with the same files, for a program that sends it.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] if one of the two is none; [`Error::Report`].
    pub fn mail(&self, from: &str, to: &str) -> Result<Vec<u8>, Error> {
        for address in [from, to] {
            if !is_address(address) {
                return Err(Error::Address(address.to_owned()));
            }
        }
        let head: Head = serde_json::from_slice(self.report)?;
        let exercise = if head.exercise { "EXERCISE: " } else { "" };
        let subject = format!("{exercise}{}: {}", escape(&head.form.title), escape(&head.organisation));
        let digest = &self.attestation.report_sha256;
        let mut parts = vec![MimePart::new("text/plain", self.readme(&head))];
        for (name, bytes) in self.files()?.into_iter().filter(|(name, _)| *name != "README.txt") {
            // No text: what is signed must come out byte by byte.
            parts.push(MimePart::new("application/octet-stream", BodyPart::Binary(bytes.into())).attachment(name));
        }
        let boundary = ContentType::new("multipart/mixed").attribute("boundary", format!("report-{digest}"));
        let message = MessageBuilder::new()
            .from(from.to_owned())
            .to(to.to_owned())
            .subject(subject)
            .date(self.attestation.as_of.as_second())
            .message_id(format!("{digest}@report.invalid"))
            .body(MimePart::new(boundary, BodyPart::Multipart(parts)));
        Ok(message.write_to_vec()?)
    }
}

/// Whether a text can stand as an address in the head of an e-mail and nothing else with it.
fn is_address(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && name.chars().all(is_plain) && host.contains('.') && host.chars().all(is_plain)
    })
}
