//! Error: what failed, why, and what to try?
//!
//! Told to a person in that order. The message never contains its cause; the printer walks the chain.

use std::error::Error;
use std::fmt;

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct CommandError {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
}

impl CommandError {
    /// An error without a cause behind it.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None, hint: None }
    }

    /// What failed, and why.
    pub(crate) fn because(what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { what: what.into(), source: Some(Box::new(source)), hint: None }
    }

    /// Adds what to try.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to try.
    pub(crate) fn hinted(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<case::Error> for CommandError {
    fn from(source: case::Error) -> Self {
        let hint = match &source {
            case::Error::NoCase { .. } => Some("`portcullis respond` and `portcullis case init` make one"),
            case::Error::InUse { .. } => Some("wait until it ends; `case status` and `case verify` work meanwhile"),
            case::Error::Exists { .. } => Some("`portcullis respond --case` goes on with it"),
            case::Error::Broken(_) => Some("keep the folder as it is, and compare with the head that a report quotes"),
            _ => None,
        };
        let err = Self::because("the case cannot be used", source);
        match hint {
            Some(hint) => err.hint(hint),
            None => err,
        }
    }
}
