//! Lines: how does each format of text read one line?
//!
//! One parser per format behind one trait. A parser never fails: a line that it does not understand is counted.

mod access;
mod audit;
mod error;
mod json;
mod pulse;
mod syslog;
mod w3c;

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::Event;
use crate::format::Format;
use crate::meaning::Context;

pub(crate) use json::journal_entry;

/// What a parser says about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It was read.
    Understood,
    /// It is a header or a comment and tells no event.
    Silent,
    /// It is none of this format.
    Strange,
}

/// Reads the lines of one format.
pub(crate) trait Lines: Send {
    /// Reads one line, without its end.
    fn line(&mut self, line: &[u8], number: u64, out: &mut dyn FnMut(Event)) -> Told;

    /// Hands out what waited for more lines.
    fn finish(&mut self, _out: &mut dyn FnMut(Event)) {}

    /// Whether a line may stay unread if no needle is in it: every value of its event stands in the line as
    /// it is, and no other line depends on it.
    fn is_literal(&self) -> bool {
        false
    }
}

/// The parser of a format; none for those that are not made of lines.
pub(crate) fn parser(format: Format, context: &Arc<Context>) -> Option<Box<dyn Lines>> {
    let context = Arc::clone(context);
    Some(match format {
        Format::Syslog => Box::new(syslog::Syslog::new(context)),
        Format::Audit => Box::new(audit::Audit::new(context)),
        Format::Json => Box::new(json::Json::new(context)),
        Format::Access => Box::new(access::Access),
        Format::Error => Box::new(error::Error::new(context)),
        Format::W3c => Box::new(w3c::W3c::default()),
        Format::Vc0 | Format::Journal => return None,
    })
}

/// Hands out the event of a line that is one.
fn single(event: Option<Event>, out: &mut dyn FnMut(Event)) -> Told {
    let told = if event.is_some() { Told::Understood } else { Told::Strange };
    event.into_iter().for_each(out);
    told
}

/// The line as text; what is not UTF-8 becomes a replacement character.
fn text(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(line)
}
