//! Load: how does a Recog file become fingerprints?
//!
//! Entities of a document type are never expanded, and a file holds a bounded number of
//! fingerprints: a pack may come from anybody until its signature is checked.

use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::example::Example;
use super::expression::{Expression, ExpressionError};
use super::literals::Index;
use super::{Database, Fingerprint, Param, Source};

/// Fingerprints in one file; the largest published one has 548.
const MOST_FINGERPRINTS: usize = 10_000;

/// Why a database cannot be used. Each names the file and the line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not well-formed XML.
    #[error("{file}:{line}: the XML is broken")]
    Xml {
        /// The database.
        file: String,
        /// Where.
        line: usize,
        /// What the parser said.
        source: Box<quick_xml::Error>,
    },
    /// It is XML, but not a Recog database.
    #[error("{file}:{line}: {what}")]
    Shape {
        /// The database.
        file: String,
        /// Where.
        line: usize,
        /// What is missing or too much.
        what: String,
    },
    /// A pattern cannot be used.
    #[error("{file}:{line}: a fingerprint cannot be used")]
    Expression {
        /// The database.
        file: String,
        /// Where.
        line: usize,
        /// Why.
        source: ExpressionError,
    },
}

pub(super) fn parse(file: &str, text: &str) -> Result<Database, Error> {
    let mut loader =
        Loader { file, text, database: None, fingerprints: Vec::new(), open: Vec::new(), content: String::new() };
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    // Counted on from the element before, since a file has thousands of them.
    let (mut at, mut counted) = (1, 0);
    loop {
        let before = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX).min(text.len());
        let passed = text.as_bytes().get(counted..before).unwrap_or_default();
        at += passed.iter().filter(|byte| **byte == b'\n').count();
        counted = before;
        match reader.read_event() {
            Err(source) => return Err(loader.xml(reader.error_position(), source)),
            Ok(Event::Eof) => break,
            Ok(Event::Start(element)) => loader.start(&element, at)?,
            Ok(Event::End(_)) => loader.end(at)?,
            Ok(Event::Text(text)) => loader.content.push_str(&text.xml10_content()),
            Ok(Event::CData(text)) => loader.content.push_str(&text.xml10_content()),
            Ok(Event::GeneralRef(name)) => loader.reference(&name, at)?,
            Ok(_) => {}
        }
    }
    if !loader.open.is_empty() {
        return Err(loader.shape(loader.line(text.len() as u64), "the file ends inside an element"));
    }
    match loader.database {
        Some(mut database) if !loader.fingerprints.is_empty() => {
            let needed = loader.fingerprints.iter().map(|fingerprint| &fingerprint.expression.needed);
            database.index = Arc::new(Index::new(needed));
            database.fingerprints = Arc::new(loader.fingerprints);
            Ok(database)
        }
        _ => Err(Error::Shape { file: file.to_owned(), line: 1, what: "the file holds no fingerprints".to_owned() }),
    }
}

struct Loader<'a> {
    file: &'a str,
    text: &'a str,
    /// The head of the database, without fingerprints yet.
    database: Option<Database>,
    fingerprints: Vec<Fingerprint>,
    /// The elements that are open, outermost first.
    open: Vec<Open>,
    /// Text since the last tag.
    content: String,
}

struct Open {
    name: String,
    line: usize,
    attributes: Vec<(String, String)>,
}

impl Loader<'_> {
    fn line(&self, position: u64) -> usize {
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(self.text.len());
        let bytes = &self.text.as_bytes()[..position];
        // Positions stand before the white space that precedes a tag at most; good enough to find it.
        bytes.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn xml(&self, position: u64, source: quick_xml::Error) -> Error {
        Error::Xml { file: self.file.to_owned(), line: self.line(position), source: Box::new(source) }
    }

    fn shape(&self, line: usize, what: impl Into<String>) -> Error {
        Error::Shape { file: self.file.to_owned(), line, what: what.into() }
    }

    fn start(&mut self, element: &BytesStart<'_>, line: usize) -> Result<(), Error> {
        let mut attributes = Vec::new();
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|err| self.shape(line, err.to_string()))?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|err| self.shape(line, err.to_string()))?.into_owned();
            attributes.push((attribute.key.as_ref().to_owned(), value));
        }
        let open = Open { name: element.name().as_ref().to_owned(), line, attributes };
        match open.name.as_str() {
            "fingerprints" => self.begin(&open),
            "fingerprint" => self.fingerprint(&open)?,
            _ => {}
        }
        self.content.clear();
        self.open.push(open);
        Ok(())
    }

    fn begin(&mut self, open: &Open) {
        let stem = self.file.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
        self.database.get_or_insert_with(|| Database {
            file: self.file.to_owned(),
            matches: open.get("matches").unwrap_or(stem).to_owned(),
            // 0.10 is Recog's own default.
            preference: open.get("preference").and_then(|text| text.parse().ok()).unwrap_or(0.10),
            protocol: open.get("protocol").map(str::to_ascii_lowercase).filter(|protocol| !protocol.is_empty()),
            fingerprints: Arc::default(),
            index: Arc::default(),
        });
    }

    fn fingerprint(&mut self, open: &Open) -> Result<(), Error> {
        let line = open.line;
        let pattern = open.get("pattern").ok_or_else(|| self.shape(line, "a fingerprint has no `pattern`"))?;
        let expression = Expression::new(pattern, open.get("flags").unwrap_or_default())
            .map_err(|source| Error::Expression { file: self.file.to_owned(), line, source })?;
        if self.database.is_none() {
            return Err(self.shape(line, "a fingerprint stands outside of `fingerprints`"));
        }
        if self.fingerprints.len() == MOST_FINGERPRINTS {
            return Err(self.shape(line, format!("more than {MOST_FINGERPRINTS} fingerprints in one file")));
        }
        self.fingerprints.push(Fingerprint {
            line,
            description: String::new(),
            expression,
            params: Vec::new(),
            examples: Vec::new(),
        });
        Ok(())
    }

    fn reference(&mut self, name: &quick_xml::events::BytesRef<'_>, line: usize) -> Result<(), Error> {
        if let Ok(Some(character)) = name.resolve_char_ref() {
            self.content.push(character);
            return Ok(());
        }
        let entity = name.xml10_content();
        let meaning = quick_xml::escape::resolve_predefined_entity(&entity);
        let meaning = meaning.ok_or_else(|| self.shape(line, format!("the entity {entity:?} is not known")))?;
        self.content.push_str(meaning);
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), Error> {
        let Some(open) = self.open.pop() else {
            return Err(self.shape(line, "an element ends that never began"));
        };
        let content = std::mem::take(&mut self.content);
        let inside = self.open.last().is_some_and(|parent| parent.name == "fingerprint");
        let Some(fingerprint) = self.fingerprints.last_mut().filter(|_| inside) else {
            return Ok(());
        };
        match open.name.as_str() {
            "description" => fingerprint.description = content.split_whitespace().collect::<Vec<_>>().join(" "),
            "example" => fingerprint.examples.push(Example::new(open.line, open.attributes, &content)),
            "param" => match param(&open, fingerprint.expression.groups()) {
                Ok(param) => {
                    // Of two with one name the last counts, as in Recog.
                    fingerprint.params.retain(|other| other.name != param.name);
                    fingerprint.params.push(param);
                }
                Err(what) => return Err(self.shape(line, what)),
            },
            _ => {}
        }
        Ok(())
    }
}

impl Open {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn param(open: &Open, groups: usize) -> Result<Param, String> {
    let name = open.get("name").ok_or("a param has no `name`")?.to_owned();
    let position: usize = open.get("pos").unwrap_or("0").parse().map_err(|_| "`pos` is no number")?;
    let value = open.get("value").unwrap_or_default().to_owned();
    let source = match position {
        0 if value.contains('{') => Source::Template(value),
        0 => Source::Constant(value),
        group if group < groups => Source::Group(group),
        group => return Err(format!("the pattern has no group {group}")),
    };
    Ok(Param { name, source })
}
