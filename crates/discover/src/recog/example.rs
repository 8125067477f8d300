//! Example: does a fingerprint still do what its author wrote beside it?
//!
//! Each `<example>` is a string that must match, with the facts that must come out.

use std::path::{Component, Path};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Fingerprint;

/// Gives the content of a file that lies beside a database, by its path from the database's folder.
pub type Beside<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// A string that must match.
#[derive(Debug, Clone)]
pub(super) struct Example {
    pub(super) line: usize,
    text: Text,
    /// Facts that must come out.
    expected: Vec<(String, String)>,
}

/// Where the string of an example is.
#[derive(Debug, Clone)]
enum Text {
    Here(String),
    /// In a file of the folder that is called like the database.
    File(String),
    /// Nowhere: why.
    Wrong(String),
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
            (Some(file), _) => Text::File(file.to_owned()),
            (None, Some("base64")) => decode(content).map_or_else(Text::Wrong, Text::Here),
            (None, Some(other)) => Text::Wrong(format!("the encoding {other:?} is not known")),
            (None, None) => Text::Here(content.to_owned()),
        };
        let special = |name: &str| matches!(name, "_encoding" | "_filename");
        let expected = attributes.into_iter().filter(|(name, _)| !special(name)).collect();
        Self { line, text, expected }
    }

    /// The string, where it stands in the database itself.
    pub(super) fn here(&self) -> Option<&str> {
        match &self.text {
            Text::Here(text) => Some(text),
            Text::File(_) | Text::Wrong(_) => None,
        }
    }

    /// What is wrong with this example of `fingerprint`, if anything is. `database` is the file's path.
    pub(super) fn check(
        &self,
        fingerprint: &Fingerprint,
        protocol: Option<&str>,
        database: &str,
        beside: Beside<'_>,
    ) -> Option<Failure> {
        let read;
        let text = match &self.text {
            Text::Here(text) => Ok(text),
            Text::File(name) => {
                read = in_file(database, name, beside);
                read.as_ref().map_err(Clone::clone)
            }
            Text::Wrong(why) => Err(why.clone()),
        };
        let why = match text {
            Err(why) => why,
            Ok(text) => self.compare(fingerprint, protocol, text)?,
        };
        Some(Failure { line: self.line, description: fingerprint.description.clone(), why })
    }

    fn compare(&self, fingerprint: &Fingerprint, protocol: Option<&str>, text: &str) -> Option<String> {
        let facts = match fingerprint.recognise(text, protocol) {
            Ok(Some(found)) => found.facts,
            Ok(None) => return Some("it does not match".to_owned()),
            Err(super::Exhausted) => return Some("it takes too long".to_owned()),
        };
        self.expected.iter().find_map(|(name, expected)| match facts.get(name) {
            Some(value) if value == expected => None,
            Some(value) => Some(format!("{name} is {value:?}, not {expected:?}")),
            None if expected.is_empty() => None,
            None => Some(format!("{name} is missing")),
        })
    }
}

/// The file `name` in the folder that is called like the database, which it must not leave.
fn in_file(database: &str, name: &str, beside: Beside<'_>) -> Result<String, String> {
    let stays = Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays {
        return Err(format!("the example is outside of its folder, {name:?}"));
    }
    let path = format!("{}/{name}", database.strip_suffix(".xml").unwrap_or(database));
    let bytes = beside(&path).ok_or_else(|| format!("there is no file {path:?}"))?;
    Ok(super::text(&bytes))
}

fn decode(content: &str) -> Result<String, String> {
    let packed: String = content.split_whitespace().collect();
    let bytes = STANDARD.decode(packed).map_err(|err| err.to_string())?;
    Ok(super::text(&bytes))
}
