//! Example: does a fingerprint still do what its author wrote beside it?
//!
//! Each `<example>` is a string that must match, with the facts that must come out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Fingerprint;

/// A string that must match.
#[derive(Debug, Clone)]
pub(super) struct Example {
    pub(super) line: usize,
    /// The string, or why there is none.
    pub(super) text: Result<String, String>,
    /// Facts that must come out.
    pub(super) expected: Vec<(String, String)>,
}

/// An example that does not do what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line of the example in its file.
    pub line: usize,
    /// The description of its fingerprint.
    pub description: String,
    /// What is wrong.
    pub why: String,
}

impl Example {
    /// Builds an example from its attributes and its content.
    pub(super) fn new(line: usize, attributes: Vec<(String, String)>, content: &str) -> Self {
        let attribute = |wanted| attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let text = match (attribute("_filename"), attribute("_encoding")) {
            (Some(file), _) => Err(format!("the example is in another file, {file:?}")),
            (None, Some("base64")) => decode(content),
            (None, Some(other)) => Err(format!("the encoding {other:?} is not known")),
            (None, None) => Ok(content.to_owned()),
        };
        let special = |name: &str| matches!(name, "_encoding" | "_filename");
        let expected = attributes.into_iter().filter(|(name, _)| !special(name)).collect();
        Self { line, text, expected }
    }

    /// What is wrong with this example of `fingerprint`, if anything is.
    pub(super) fn check(&self, fingerprint: &Fingerprint) -> Option<Failure> {
        let why = match &self.text {
            Err(why) => why.clone(),
            Ok(text) => self.compare(fingerprint, text)?,
        };
        Some(Failure { line: self.line, description: fingerprint.description.clone(), why })
    }

    fn compare(&self, fingerprint: &Fingerprint, text: &str) -> Option<String> {
        let Some(found) = fingerprint.recognise(text) else {
            return Some("it does not match".to_owned());
        };
        self.expected.iter().find_map(|(name, expected)| match found.facts.get(name) {
            Some(value) if value == expected => None,
            Some(value) => Some(format!("{name} is {value:?}, not {expected:?}")),
            None => Some(format!("{name} is missing")),
        })
    }
}

fn decode(content: &str) -> Result<String, String> {
    let packed: String = content.split_whitespace().collect();
    let bytes = STANDARD.decode(packed).map_err(|err| err.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
