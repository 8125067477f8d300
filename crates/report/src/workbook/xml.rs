//! XML: what stands where in a part of a workbook?
//!
//! A reader of events that says which bytes each one takes, so that all others can be copied. A
//! document type, and so every entity of one's own, is refused: no part of a workbook has one.

use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::Error;

/// Goes through a part.
pub(super) struct Walk<'a> {
    part: &'a str,
    reader: Reader<&'a [u8]>,
    /// Bytes before the document: a byte order mark.
    base: usize,
    at: usize,
    depth: usize,
}

/// One event.
pub(super) struct Step<'a> {
    /// The event.
    pub(super) event: Event<'a>,
    /// The bytes it takes.
    pub(super) span: Range<usize>,
    /// How many elements it is in; the end of an element is as deep as its start.
    pub(super) depth: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(part: &'a str, xml: &'a str) -> Self {
        let document = xml.strip_prefix('\u{feff}').unwrap_or(xml);
        let base = xml.len() - document.len();
        Self { part, reader: Reader::from_str(document), base, at: base, depth: 0 }
    }

    /// The next event; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Step<'a>>, Error> {
        let start = self.at;
        let event = self.reader.read_event().map_err(|err| self.shape(err.to_string()))?;
        self.at = self.base + usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        match &event {
            Event::Start(_) => self.depth += 1,
            Event::End(_) => self.depth = self.depth.saturating_sub(1),
            Event::DocType(_) => return Err(self.shape("a document type, which no workbook has")),
            Event::Decl(decl) => {
                let encoding = decl.encoding().transpose().map_err(|err| self.shape(err.to_string()))?;
                if encoding.is_some_and(|name| !name.eq_ignore_ascii_case("utf-8")) {
                    return Err(self.shape("an encoding other than UTF-8"));
                }
            }
            Event::Eof if self.depth > 0 => return Err(self.shape("ends inside of an element")),
            Event::Eof => return Ok(None),
            _ => {}
        }
        let depth = if matches!(event, Event::Start(_)) { self.depth - 1 } else { self.depth };
        Ok(Some(Step { event, span: start..self.at, depth }))
    }

    /// The value of an attribute, by its whole name.
    pub(super) fn attribute(&self, element: &BytesStart<'_>, name: &str) -> Result<Option<String>, Error> {
        let found = element.try_get_attribute(name).map_err(|err| self.shape(err.to_string()))?;
        let value = found
            .map(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).map(std::borrow::Cow::into_owned));
        value.transpose().map_err(|err| self.shape(err.to_string()))
    }

    /// What an event adds to the text of its element.
    pub(super) fn text(&self, event: &Event<'_>) -> Result<String, Error> {
        Ok(match event {
            Event::Text(text) => text.xml10_content().into_owned(),
            Event::CData(text) => text.xml10_content().into_owned(),
            Event::GeneralRef(name) => match name.resolve_char_ref() {
                Ok(Some(character)) => character.to_string(),
                _ => {
                    let entity = name.xml10_content();
                    let meaning = quick_xml::escape::resolve_predefined_entity(&entity);
                    meaning.ok_or_else(|| self.shape(format!("the entity {entity:?} is not known")))?.to_owned()
                }
            },
            _ => String::new(),
        })
    }

    /// What is wrong here.
    pub(super) fn shape(&self, what: impl Into<String>) -> Error {
        Error::Shape { part: self.part.to_owned(), at: self.at, what: what.into() }
    }
}

/// The name without its prefix.
pub(super) fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The prefix with its colon; empty if there is none.
pub(super) fn prefix(name: &str) -> &str {
    &name[..name.len() - local(name).len()]
}

/// Collects the text of a string item: of its `t` elements, without phonetic readings.
#[derive(Default)]
pub(super) struct Phrase {
    text: String,
    inside: bool,
    phonetic: usize,
}

impl Phrase {
    pub(super) fn take(&mut self, walk: &Walk<'_>, event: &Event<'_>) -> Result<(), Error> {
        match event {
            Event::Start(element) => match local(element.name().as_ref()) {
                "t" => self.inside = self.phonetic == 0,
                "rPh" => self.phonetic += 1,
                _ => {}
            },
            Event::End(element) => match local(element.name().as_ref()) {
                "t" => self.inside = false,
                "rPh" => self.phonetic = self.phonetic.saturating_sub(1),
                _ => {}
            },
            event if self.inside => self.text.push_str(&walk.text(event)?),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> String {
        std::mem::take(self).text
    }
}
