//! Text: how does a string from a suspect instance travel without loss and without harm?
//!
//! File names, banners and log lines are bytes chosen by somebody else. They survive a JSON round
//! trip whatever they hold ([`Text`]), and reach a terminal only escaped ([`Text::escaped`]).
//! Never decides what a string means.
//! Source: contract, "Bytes that are not UTF-8 appear as `{"bytes":"<base64>"}`".

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are usually, but not certainly, UTF-8.
///
/// Serialises as a JSON string when the bytes are UTF-8 and as `{"bytes":"<base64>"}` otherwise,
/// so that reading back gives the same bytes. Orders by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Vec<u8>);

impl Text {
    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes as they were found.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The first `limit` bytes, cut at a character border where the text is UTF-8.
    pub fn excerpt(bytes: &[u8], limit: usize) -> Self {
        let mut end = bytes.len().min(limit);
        if std::str::from_utf8(bytes).is_ok() {
            while end > 0 && end < bytes.len() && bytes[end] & 0xC0 == 0x80 {
                end -= 1;
            }
        }
        Self(bytes[..end].to_vec())
    }

    /// The text made safe for a terminal, a log line or a page.
    ///
    /// Control characters, escape codes, line breaks, invisible and direction-changing characters
    /// and bytes that are not UTF-8 appear as `\n`, `\x1b`, `\u{202e}`, `\xff`. Everything else
    /// stays as it is, and so does a backslash: the result is for reading, not for parsing.
    pub fn escaped(&self) -> String {
        escape(&self.0)
    }
}

/// An error and its causes in one line, for a record or a table. It is not escaped.
pub fn chain(err: &dyn std::error::Error) -> String {
    let mut line = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        line = format!("{line}: {err}");
        cause = err.source();
    }
    line
}

/// Escapes any string for display; see [`Text::escaped`].
pub fn escape(bytes: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    for chunk in bytes.as_ref().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if is_treacherous(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Characters that change how their neighbours are shown, or that are not shown at all.
///
/// Source: Unicode TR 36 section 2.5 (bidirectional text spoofing), TR 9 (explicit directional
/// formatting); C1 controls start escape sequences on some terminals (ECMA-48 section 5.3).
fn is_treacherous(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.escaped())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escaped())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("bytes", &STANDARD.encode(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or {\"bytes\": base64}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::from(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let Some((key, value)) = map.next_entry::<String, String>()? else {
            return Err(de::Error::missing_field("bytes"));
        };
        if key != "bytes" {
            return Err(de::Error::unknown_field(&key, &["bytes"]));
        }
        let bytes = STANDARD.decode(value).map_err(de::Error::custom)?;
        Ok(Text(bytes))
    }
}

impl schemars::JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A string; bytes that are not UTF-8 appear as base64.",
            "oneOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "bytes": { "type": "string", "contentEncoding": "base64" } },
                    "required": ["bytes"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], json: &str, shown: &str) {
        let text = Text::new(bytes);
        assert_eq!(serde_json::to_string(&text).unwrap(), json);
        assert_eq!(serde_json::from_str::<Text>(json).unwrap(), text);
        assert_eq!(text.escaped(), shown);
    }

    #[test]
    fn a_plain_name_stays_as_it_is() {
        check(b"/home/bin/web", r#""/home/bin/web""#, "/home/bin/web");
    }

    #[test]
    fn a_newline_in_a_name_cannot_forge_a_line() {
        check(b"a\nb", r#""a\nb""#, "a\\nb");
    }

    #[test]
    fn an_escape_code_in_a_name_cannot_reach_the_terminal() {
        check(b"\x1b[2J", r#""\u001b[2J""#, "\\x1b[2J");
    }

    #[test]
    fn a_name_that_is_not_utf_8_survives_as_bytes() {
        check(b"x\xff", r#"{"bytes":"eP8="}"#, "x\\xff");
    }

    #[test]
    fn a_direction_override_cannot_disguise_an_ending() {
        check("gpj\u{202e}exe".as_bytes(), "\"gpj\u{202e}exe\"", "gpj\\u{202e}exe");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_survive_a_json_round_trip(bytes: Vec<u8>) {
            let text = Text::new(bytes);
            let json = serde_json::to_string(&text).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<Text>(&json).unwrap(), text);
        }

        #[test]
        fn nothing_escaped_holds_a_control_character(bytes: Vec<u8>) {
            proptest::prop_assert!(!Text::new(bytes).escaped().chars().any(char::is_control));
        }
    }
}
