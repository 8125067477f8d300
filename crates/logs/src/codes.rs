//! Codes: what does the code of a Pulse or Ivanti event stand for, and which code has a message that names none?
//!
//! `data/pulse-codes.tsv`: code, category, name, and the words of the message with `%1` for what changes. A
//! message that fits several codes equally well has none.
//! Source: `data/SOURCES.md`.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
    /// `Authenticate`.
    pub(crate) category: &'static str,
    /// `LogAuthSuccess`.
    pub(crate) name: &'static str,
    template: &'static str,
    compiled: LazyLock<Option<Regex>, Box<dyn FnOnce() -> Option<Regex> + Send>>,
}

/// Letters of a template that must be there before it says anything.
const FEWEST: usize = 8;

static TABLE: LazyLock<Vec<Code>> =
    LazyLock::new(|| include_str!("../data/pulse-codes.tsv").lines().filter_map(row).collect());

/// The longest fixed words of each template, and the rows that they belong to.
static WORDS: LazyLock<Option<(AhoCorasick, Vec<usize>)>> = LazyLock::new(|| {
    let longest = |code: &Code| {
        pieces(code.template).into_iter().filter_map(Piece::fixed).max_by_key(|words| words.len()).map(str::to_owned)
    };
    let words = TABLE.iter().enumerate().filter_map(|(row, code)| Some((longest(code)?, row)));
    let (words, rows): (Vec<_>, Vec<_>) = words.filter(|(words, _)| words.len() >= FEWEST).unzip();
    AhoCorasick::new(words).ok().map(|search| (search, rows))
});

/// The row of a code. The table is sorted.
pub(crate) fn find(code: &str) -> Option<&'static Code> {
    TABLE.binary_search_by(|row| row.code.cmp(code)).ok().map(|at| &TABLE[at])
}

/// The codes whose words are those of a message, of which no other fits better.
pub(crate) fn derive(message: &str) -> Vec<&'static Code> {
    let Some((search, rows)) = &*WORDS else { return Vec::new() };
    let mut met: Vec<usize> = search.find_overlapping_iter(message).map(|found| rows[found.pattern()]).collect();
    met.sort_unstable();
    met.dedup();
    let mut best = (0, Vec::new());
    for code in met.into_iter().map(|row| &TABLE[row]) {
        let Some(found) = code.compiled.as_ref().and_then(|regex| regex.captures(message)) else { continue };
        // What is not a placeholder is words: the more of the message they explain, the better.
        let changing: usize = found.iter().skip(1).flatten().map(|value| value.len()).sum();
        let explained = message.len().saturating_sub(changing);
        match explained.cmp(&best.0) {
            std::cmp::Ordering::Greater => best = (explained, vec![code]),
            std::cmp::Ordering::Equal => best.1.push(code),
            std::cmp::Ordering::Less => {}
        }
    }
    best.1
}

impl Code {
    /// User, realm and address, where the template says `for %2/%3` and `from %4`.
    pub(crate) fn people(&self, message: &str) -> (Option<String>, Option<String>, Option<String>) {
        let Some(found) = self.compiled.as_ref().and_then(|regex| regex.captures(message)) else {
            return (None, None, None);
        };
        let value = |mark: &str| {
            let (_, rest) = self.template.split_once(mark)?;
            let number = rest.bytes().next().filter(u8::is_ascii_digit)?;
            found.name(&format!("p{}", char::from(number))).map(|value| value.as_str().to_owned())
        };
        let realm = self.template.split_once("for %").and_then(|(_, rest)| rest.get(1..)?.strip_prefix("/%"));
        (value("for %").filter(|_| realm.is_some()), realm.and_then(|_| value("/%")), value("from %"))
    }

    /// Where user, realm and address stand among the parameters, counted from 0: the same, for a record that
    /// holds the parameters alone.
    pub(crate) fn places(&self) -> (Option<usize>, Option<usize>, Option<usize>) {
        let place = |mark: &str| {
            let (_, rest) = self.template.split_once(mark)?;
            rest.bytes().next().filter(|byte| (b'1'..=b'9').contains(byte)).map(|byte| usize::from(byte - b'1'))
        };
        let realm = self.template.split_once("for %").and_then(|(_, rest)| rest.get(1..)?.strip_prefix("/%"));
        match realm {
            Some(_) => (place("for %"), place("/%"), place("from %")),
            None => (None, None, place("from %")),
        }
    }
}

fn row(line: &'static str) -> Option<Code> {
    let mut parts = line.splitn(4, '\t');
    let (code, category, name) = (parts.next()?, parts.next()?, parts.next()?);
    let template = parts.next().unwrap_or_default();
    let compiled: Box<dyn FnOnce() -> Option<Regex> + Send> = Box::new(move || compile(template));
    Some(Code { code, category, name, template, compiled: LazyLock::new(compiled) })
}

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Fixed(&'a str),
    /// `%1`.
    Changing(char),
    /// `%{2 (session:%2)}`: there only if the parameter is.
    Perhaps(&'a str),
}

impl<'a> Piece<'a> {
    fn fixed(self) -> Option<&'a str> {
        match self {
            Self::Fixed(words) => Some(words),
            _ => None,
        }
    }
}

fn pieces(template: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), template);
    while let Some(at) = rest.find('%') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        if !before.is_empty() {
            pieces.push(Piece::Fixed(before));
        }
        let (piece, next) = match after.chars().next() {
            Some('{') if after.contains('}') => {
                let (inside, next) = after[1..].split_once('}').unwrap_or((after, ""));
                (Piece::Perhaps(inside.get(1..).unwrap_or_default()), next)
            }
            Some(digit) if digit.is_ascii_digit() => (Piece::Changing(digit), &after[1..]),
            // `%%` is a percent sign.
            Some('%') => (Piece::Fixed("%"), &after[1..]),
            _ => (Piece::Fixed("%"), after),
        };
        pieces.push(piece);
        rest = next;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Fixed(rest));
    }
    pieces
}

/// The expression of a template, for a whole message.
fn compile(template: &str) -> Option<Regex> {
    if template.is_empty() {
        return None;
    }
    let mut seen = Vec::new();
    let body = expression(template.trim_end_matches(['.', ' ']), &mut seen);
    // Appliances write a period, or spaces, or neither behind the same words.
    regex::RegexBuilder::new(&format!("(?s)^{body}[ .]*$")).size_limit(1 << 20).build().ok()
}

fn expression(template: &str, seen: &mut Vec<char>) -> String {
    let mut out = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Fixed(words) => out.push_str(&regex::escape(words)),
            Piece::Changing(digit) if seen.contains(&digit) => out.push_str("(.*?)"),
            Piece::Changing(digit) => {
                seen.push(digit);
                out.push_str(&format!("(?<p{digit}>.*?)"));
            }
            Piece::Perhaps(inside) => out.push_str(&format!("(?:{})?", expression(inside, seen))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: &[&str]) {
        let codes: Vec<&str> = derive(message).into_iter().map(|code| code.code).collect();
        assert_eq!(codes, expected, "{message}");
    }

    #[test]
    fn a_message_that_fits_one_code_has_it() {
        check("Logout from 192.0.2.7 (session:00000000)", &["AUT22673"]);
        check("Changed log event LicenseServer to On", &["ADM20603"]);
    }

    #[test]
    fn a_message_that_fits_several_codes_has_none_of_its_own() {
        assert!(derive("Logout from 192.0.2.7").len() > 1);
        let twins = ["AUT24327", "AUT30685"];
        check("Primary authentication failed for alice/System Local from 192.0.2.7", &twins);
        check("nothing that an appliance says", &[]);
    }

    #[test]
    fn the_table_is_sorted_so_that_codes_are_found() {
        assert!(TABLE.is_sorted_by_key(|row| row.code));
        assert_eq!(find("ADM20599").map(|code| code.name), Some("LogCleared"));
    }

    #[test]
    fn a_message_says_who_came_from_where() {
        let code = find("AUT24326").unwrap();
        let told = code.people("Primary authentication successful for alice/System Local from 192.0.2.7");
        let told = [told.0, told.1, told.2].map(Option::unwrap);
        assert_eq!(told, ["alice", "System Local", "192.0.2.7"]);
    }
}
