//! Key: how is a key named, so that it can be pinned?

use std::fmt;

use jiff::Timestamp;

use crate::Refused;

/// The fingerprint of an OpenPGP certificate: 40 or 64 hexadecimal digits. A short key id is none, since anybody can
/// make a key that has it (RFC 9580, section 5.5.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02X}")).collect())
    }

    /// A name that is no fingerprint of OpenPGP: the id of a minisign key.
    pub(crate) fn named(name: String) -> Self {
        Self(name)
    }

    /// The digits in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = Refused;

    /// Spaces and colons between the digits are ignored, as people copy them.
    fn from_str(text: &str) -> Result<Self, Refused> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | ':' | '\u{a0}')).collect();
        let digits = digits.strip_prefix("0x").unwrap_or(&digits).to_ascii_uppercase();
        if matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(digits));
        }
        Err(Refused::Unreadable {
            what: "fingerprint",
            why: "it has 40 or 64 hexadecimal digits; a short key id names no key".to_owned(),
        })
    }
}

/// Names in one line.
pub(crate) fn names<'a>(keys: impl IntoIterator<Item = &'a Fingerprint>) -> String {
    let names: Vec<&str> = keys.into_iter().map(Fingerprint::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A day, for a reason.
pub(crate) fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
