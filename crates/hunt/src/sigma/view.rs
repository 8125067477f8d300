//! View: how does the engine of Sigma rules see an event?
//!
//! Values stay where they are: nothing is copied for a rule that does not match. A field that the log tells several
//! times matches if one of its values does.

use std::borrow::Cow;

use logs::Event;
use rsigma_eval::event::{Event as Seen, EventValue};
use serde_json::{Map, Value};

/// The name under which rules find what the log says in words.
const MESSAGE: &str = "message";

/// The name under which rules find the vendor's code of an event.
pub(super) const CODE: &str = "code";

/// An event, as rules see it.
pub(super) struct View<'e>(pub(super) &'e Event);

impl View<'_> {
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn message(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.0.message.as_bytes())
    }

    /// What every event has, whatever its log calls its fields.
    fn always(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            MESSAGE => Some(self.message()).filter(|text| !text.is_empty()),
            CODE => self.0.code.as_deref().map(Cow::Borrowed),
            _ => None,
        }
    }
}

impl Seen for View<'_> {
    fn get_field(&self, name: &str) -> Option<EventValue<'_>> {
        let mut values = self.values(name);
        let Some(first) = values.next() else { return self.always(name).map(EventValue::Str) };
        let first = EventValue::Str(Cow::Borrowed(first));
        let mut more = values.map(|value| EventValue::Str(Cow::Borrowed(value))).peekable();
        if more.peek().is_none() {
            return Some(first);
        }
        Some(EventValue::Array(std::iter::once(first).chain(more).collect()))
    }

    fn any_string_value(&self, holds: &dyn Fn(&str) -> bool) -> bool {
        holds(&self.message()) || self.0.fields.iter().any(|(_, value)| holds(value))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let values = self.0.fields.iter().map(|(_, value)| Cow::Borrowed(value.as_str()));
        std::iter::once(self.message()).chain(values).collect()
    }

    fn visit_string_values(&self, visit: &mut dyn FnMut(&str)) {
        visit(&self.message());
        self.0.fields.iter().for_each(|(_, value)| visit(value));
    }

    fn to_json(&self) -> Value {
        let value = |name: &str| self.get_field(name).map(|value| (name.to_owned(), value.to_json()));
        let names = self.0.fields.iter().map(|(name, _)| name.as_str());
        Value::Object(names.chain([MESSAGE, CODE]).filter_map(value).collect::<Map<_, _>>())
    }

    // The names of fields hold dots and brackets of their own, so that the engine is not told of any roots: it would
    // cut names at them.
}
