//! Value: how does an answer stand in a cell?
//!
//! Names and notes may come from an instance. What a person could not see is made visible, what a
//! spreadsheet would take for a formula stays a text, what is too long is cut where all can see it.
//! Source: ECMA-376 part 1, 22.9.2.19 (`ST_Xstring`); XML 1.0, 2.2; OWASP, CSV injection.

use directive::text::escape;

/// The most that a cell holds, in UTF-16 units. Source: Excel specifications and limits.
const MOST: usize = 32_767;

/// A value as a cell shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The text.
    pub(crate) text: String,
    /// Whether something of it is missing.
    pub(crate) cut: bool,
}

/// A value for a cell of a workbook: visible characters, line breaks and tabs, cut at the most that
/// a cell holds.
pub(crate) fn cell(value: &str) -> Shown {
    let text = visible(value);
    let units = text.encode_utf16().count();
    if units <= MOST {
        return Shown { text, cut: false };
    }
    let mark = format!(" [cut: {units} characters do not fit]");
    let mut room = MOST - mark.len();
    let kept: String = text
        .chars()
        .take_while(|c| {
            let fits = c.len_utf16() <= room;
            room = room.saturating_sub(c.len_utf16());
            fits
        })
        .collect();
    Shown { text: kept + &mark, cut: true }
}

/// A value for a cell of a CSV file, which spreadsheets open: never a formula.
///
/// A program that takes semicolons or tabs for the ends of cells, as many do by their language, begins a cell after
/// each: what would be a formula there gets its apostrophe as well. The wide forms are read as the narrow ones in East
/// Asia.
pub(crate) fn csv(value: &str) -> String {
    let text = visible(value);
    let mut out = String::with_capacity(text.len() + 1);
    if text.starts_with(['\t', '\n']) {
        out.push('\'');
    }
    let mut begins = true;
    for c in text.chars() {
        if begins && matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') {
            out.push('\'');
        }
        begins = matches!(c, ';' | '\t' | '\n');
        out.push(c);
    }
    out
}

/// The text with everything made visible that is not, except line breaks, tabs and the two joiners
/// that scripts such as Persian and Devanagari are written with.
fn visible(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\n' | '\t' | '\u{200c}' | '\u{200d}' => out.push(c),
            // Not characters, and forbidden in XML.
            '\u{fffe}' | '\u{ffff}' => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push_str(&escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}

/// A text inside of an element of a sheet. `_x000D_` and its like would be read as the character of
/// that number, so the line in front of it is written as one.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '_' if is_code(&text.as_bytes()[at..]) => out.push_str("_x005F_"),
            c => out.push(c),
        }
    }
    out
}

/// Whether bytes begin with `_x`, four hexadecimal digits and `_`.
fn is_code(bytes: &[u8]) -> bool {
    bytes.len() >= 7 && bytes[1] == b'x' && bytes[6] == b'_' && bytes[2..6].iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_shown_and_every_script_stays() {
        for (value, shown) in [
            ("Ünïcode 東京 مرحبا עברית ไทย 🛡", "Ünïcode 東京 مرحبا עברית ไทย 🛡"),
            ("می‌خواهم", "می‌خواهم"),
            ("a\u{0}b\u{1b}[2J\r", "a\\x00b\\x1b[2J\\r"),
            ("x\u{202e}gpj", "x\\u{202e}gpj"),
            ("\u{ffff}\u{fffe}", "\\u{ffff}\\u{fffe}"),
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ] {
            assert_eq!(cell(value), Shown { text: shown.to_owned(), cut: false });
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_cut_where_all_can_see_it() {
        let full = "x".repeat(MOST);
        assert!(!cell(&full).cut);
        for value in ["x".repeat(MOST + 1), "🛡".repeat(MOST)] {
            let shown = cell(&value);
            assert!(shown.cut && shown.text.ends_with("characters do not fit]"));
            assert!(shown.text.encode_utf16().count() <= MOST);
        }
    }

    #[test]
    fn a_formula_in_a_csv_file_is_a_text() {
        for value in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "＝1", "＋1", "－1", "＠SUM(A1)", "\tx", "\nx"]
        {
            assert_eq!(csv(value), format!("'{value}"));
        }
        assert_eq!([csv("10.0.0.1"), csv("a=b"), csv("\r=1")], ["10.0.0.1", "a=b", "\\r=1"]);
    }

    #[test]
    fn a_formula_that_begins_a_cell_in_another_language_is_a_text_too() {
        assert_eq!(csv("a;=cmd|' /C calc'!A0"), "a;'=cmd|' /C calc'!A0");
        assert_eq!(csv("a\t@SUM(A1)\n-1"), "a\t'@SUM(A1)\n'-1");
        assert_eq!(csv("\t=1"), "'\t'=1");
        assert_eq!(csv("a; b;c=d"), "a; b;c=d");
    }

    #[test]
    fn a_code_in_a_value_is_not_read_as_a_character() {
        assert_eq!(xml("a_x000D_<b>&_x00"), "a_x005F_x000D_&lt;b&gt;&amp;_x00");
    }
}
