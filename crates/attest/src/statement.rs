//! Statement: which words does somebody put his signature under?
//!
//! A title and lines `name: value`, in one order and each once, so that a person sees all of it and a program reads it
//! in one way only. Values are made visible (`directive::text::escape`) before they are written: a name with a line
//! break in it cannot write a line of its own.

use std::fmt::Write as _;

use directive::text::escape;

/// The longest statement, in bytes. Real ones have less than one KB.
const LONGEST: usize = 16 << 10;

/// Why a text is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It has another title.
    #[error("it does not begin with {wanted:?}")]
    Title {
        /// What it must begin with.
        wanted: &'static str,
    },
    /// A line is missing, doubled, out of order or unknown.
    #[error("where the line {wanted:?} must stand, there is {found:?}")]
    Line {
        /// The line's name.
        wanted: &'static str,
        /// What is there.
        found: String,
    },
    /// A value cannot be what it is said to be.
    #[error("the line {name:?} has the value {value:?}, which it cannot have")]
    Value {
        /// The line's name.
        name: &'static str,
        /// What is there.
        value: String,
    },
    /// A line says what it may in other words than a statement does: two texts would be one statement.
    #[error("the line {found:?} is written {wanted:?}")]
    Written {
        /// How it is written.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// It goes on after its last line, or is too long.
    #[error("it says more than a statement says")]
    More,
}

/// Writes a statement line by line.
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn new(title: &str) -> Self {
        Self(format!("{title}\n"))
    }

    pub(crate) fn line(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        // Writing into a `String` cannot fail.
        let _ = writeln!(self.0, "{name}: {}", escape(value.to_string()));
        self
    }

    pub(crate) fn end(self) -> String {
        self.0
    }
}

/// Reads a statement line by line.
pub(crate) struct Reader<'a> {
    text: &'a str,
    lines: std::str::Lines<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, title: &'static str) -> Result<Self, Error> {
        if text.len() > LONGEST {
            return Err(Error::More);
        }
        let mut lines = text.lines();
        if lines.next() != Some(title) || !text.ends_with('\n') {
            return Err(Error::Title { wanted: title });
        }
        Ok(Self { text, lines })
    }

    /// The value of the next line, which must have this name.
    pub(crate) fn line(&mut self, name: &'static str) -> Result<&'a str, Error> {
        let line = self.lines.next().unwrap_or_default();
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
        let value = value.filter(|value| !value.is_empty() && escape(value) == *value);
        value.ok_or_else(|| Error::Line { wanted: name, found: escape(line) })
    }

    /// The same, read as something.
    pub(crate) fn read<T>(&mut self, name: &'static str, as_: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
        let value = self.line(name)?;
        as_(value).ok_or_else(|| Error::Value { name, value: value.to_owned() })
    }

    /// Refuses whatever follows, and every text but the one in which this statement is written: `+1`, another time
    /// zone and a carriage return are read like what they mean, and would be a second text of it.
    pub(crate) fn end(mut self, written: &str) -> Result<(), Error> {
        if self.lines.next().is_some() {
            return Err(Error::More);
        }
        // By `split` and not `lines`, which takes a carriage return away.
        let differs = written.split('\n').zip(self.text.split('\n')).find(|(wanted, found)| wanted != found);
        match differs {
            Some((wanted, found)) => Err(Error::Written { wanted: wanted.to_owned(), found: escape(found) }),
            None => Ok(()),
        }
    }
}

/// 64 digits of SHA-256 in lower-case hex.
pub(crate) fn digest(text: &str) -> Option<String> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == 64 && text.bytes().all(is_digit)).then(|| text.to_owned())
}

/// The same, or `none`.
pub(crate) fn digest_or_none(text: &str) -> Option<Option<String>> {
    if text == "none" { Some(None) } else { digest(text).map(Some) }
}

pub(crate) fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

pub(crate) fn said(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
