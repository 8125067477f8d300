//! Lvm-text: which sections and values does the text of a volume group hold?
//!
//! Text that anybody can write: depth and number of values are bounded.
//! Source: LVM2, lib/config/config.c; lvm.conf(5).

/// Sections within sections; LVM2 itself needs four.
const MAX_DEPTH: usize = 8;
/// Values of one text: a thousand volumes of ten segments have fewer.
const MAX_VALUES: usize = 200_000;

/// A value or a section.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    List(Vec<Value>),
    Section(Section),
    /// A fraction or a negative number: nothing that is used here.
    Other,
}

/// What stands between braces, in order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Section(pub(super) Vec<(String, Value)>);

impl Section {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Some(Value::List(values)) => values,
            _ => &[],
        }
    }

    /// The sections in it, with their names.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections().find(|(key, _)| *key == name).map(|(_, section)| section)
    }
}

/// Reads a text; `None` if it is not one of LVM2, or too large.
pub(super) fn parse(text: &str) -> Option<Section> {
    let mut reader = Reader { rest: text, values: 0 };
    let section = reader.section(0)?;
    reader.skip();
    reader.rest.is_empty().then_some(section)
}

struct Reader<'a> {
    rest: &'a str,
    values: usize,
}

impl Reader<'_> {
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\0');
            match self.rest.strip_prefix('#') {
                Some(comment) => self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest),
                None => return,
            }
        }
    }

    fn eat(&mut self, sign: char) -> bool {
        self.skip();
        let after = self.rest.strip_prefix(sign);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn word(&mut self) -> Option<String> {
        self.skip();
        let is_word = |c: char| c.is_alphanumeric() || "_-.+/".contains(c);
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn section(&mut self, depth: usize) -> Option<Section> {
        let mut section = Section::default();
        while let Some(name) = self.word() {
            self.values += 1;
            if self.values > MAX_VALUES || depth > MAX_DEPTH {
                return None;
            }
            let value = if self.eat('{') {
                let inner = self.section(depth + 1)?;
                self.eat('}').then_some(Value::Section(inner))?
            } else {
                self.eat('=').then_some(())?;
                self.value()?
            };
            section.0.push((name, value));
        }
        Some(section)
    }

    fn value(&mut self) -> Option<Value> {
        if !self.eat('[') {
            return self.single();
        }
        let mut values = Vec::new();
        while !self.eat(']') {
            values.push(self.single()?);
            self.eat(',');
            self.values += 1;
            (self.values <= MAX_VALUES).then_some(())?;
        }
        Some(Value::List(values))
    }

    fn single(&mut self) -> Option<Value> {
        if !self.eat('"') {
            let word = self.word()?;
            return Some(word.parse().map_or(Value::Other, Value::Number));
        }
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => {
                    self.rest = &self.rest[at + 1..];
                    return Some(Value::Text(text));
                }
                (_, '\\') => text.push(chars.next()?.1),
                (_, c) => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_lvm_writes_it() {
        let text = "# Generated\nvg {\nid = \"a\\\"b\"\nseqno = 3\nflags = []\n\
                    stripes = [\n\"pv0\", 7\n]\nseg1 { n = -1 }\n}\n\0";
        let read = parse(text).unwrap();
        let vg = read.section("vg").unwrap();
        assert_eq!((vg.text("id"), vg.number("seqno")), (Some("a\"b"), Some(3)));
        assert_eq!(vg.list("stripes"), [Value::Text("pv0".into()), Value::Number(7)]);
        assert_eq!(vg.section("seg1").unwrap().get("n"), Some(&Value::Other));
    }

    #[test]
    fn a_text_of_a_thousand_sections_within_sections_is_refused() {
        assert!(parse(&"a {".repeat(1000)).is_none());
        assert!(parse("a = [").is_none());
        assert!(parse("a = \"").is_none());
        assert!(parse(&"a = 1\n".repeat(MAX_VALUES + 1)).is_none());
    }
}
