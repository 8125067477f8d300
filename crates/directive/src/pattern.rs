//! Pattern: a regular expression from a pack, refused at the edge if it is broken or too large.
//!
//! The engine runs in time linear in the text, so a pack cannot stall us with a clever pattern.

use std::ops::Deref;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, de};

/// Compiled size that a pattern of a pack may have, in bytes. Real ones take a few kilobytes;
/// counted repetitions of repetitions reach gigabytes.
const SIZE_LIMIT: usize = 1 << 20;

/// A regular expression that is known to compile. Matches anywhere unless it is anchored.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// The expression is not valid, or compiles to more than a megabyte.
    pub fn new(expression: &str) -> Result<Self, regex::Error> {
        RegexBuilder::new(expression).size_limit(SIZE_LIMIT).build().map(Self)
    }

    /// Fills `{name}` and `{1}` in `template` from the groups of the first match in `text`.
    ///
    /// `None` if there is no match, or if the template names a group that is not there.
    pub fn fill(&self, text: &str, template: &str) -> Option<String> {
        let found = self.0.captures(text)?;
        fill(template, |group| match group.parse::<usize>() {
            Ok(number) => found.get(number).map(|found| found.as_str().to_owned()),
            Err(_) => found.name(group).map(|found| found.as_str().to_owned()),
        })
    }
}

/// Replaces each `{name}` of a template by what `value` gives for it; `None` as soon as it gives
/// nothing or a brace stays open.
pub fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&value(name)?);
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

impl Deref for Pattern {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}
