//! Expression: what does a Ruby regular expression mean here?
//!
//! Recog is written for Ruby's engine, Onigmo. `dialect.rs` puts a pattern into the words of the engine here, and
//! this file says what the flags of Recog mean and which texts a pattern can match at all.
//! Most patterns run in time linear in the text; those with look-arounds or references to groups have a limit of
//! steps, and running into it is told and is no match.
//! Source: Ruby `Regexp` documentation; `lib/recog/fingerprint/regexp_factory.rb` for the flags.

use fancy_regex::{Assertion, Captures, Expr, Regex, RegexOptionsBuilder};

use super::dialect;
use super::literals::{Needed, needed};

/// Steps that an expression may try on one string. Real ones take some hundred; the limit bounds a
/// crafted banner at about 10 ms.
const BACKTRACK_LIMIT: usize = 100_000;

/// Compiled size of one expression, in bytes.
const SIZE_LIMIT: usize = 4 << 20;

/// Instructions of one expression that has look-arounds; real ones have some hundred.
const PROGRAM_LIMIT: usize = 100_000;

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// It does not compile.
    #[error("the pattern does not compile")]
    Compile {
        /// What the engine said.
        source: Box<fancy_regex::Error>,
    },
    /// A flag that Recog does not have.
    #[error("the flag {0:?} is not known")]
    Flag(String),
}

/// A pattern that can be held against texts.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    regex: Regex,
    /// Whether every match begins at the beginning of a line.
    at_line: bool,
    /// Strings of which one is in every text that matches.
    pub(super) needed: Needed,
}

/// What a pattern says of a text.
pub(super) enum Found<'t> {
    /// It does not match.
    No,
    /// It matches.
    Yes(Captures<'t, str>),
    /// It used up its steps without an answer.
    Exhausted,
}

impl Expression {
    /// Compiles a Recog pattern with its `flags` attribute.
    pub(super) fn new(pattern: &str, flags: &str) -> Result<Self, ExpressionError> {
        // The line break ends a comment, where patterns may have some.
        let flags = inline(flags)?;
        let end = if flags.contains('x') { "\n" } else { "" };
        let text = format!("(?m{flags}:{}{end})", dialect::translate(pattern));
        let wrong = |source| ExpressionError::Compile { source: Box::new(source) };
        let tree = Expr::parse_tree(&text).map_err(wrong)?;
        let regex = RegexOptionsBuilder::new()
            // Where a group has a name, Ruby does not count those without.
            .ignore_numbered_groups_when_named_groups_exist(true)
            .oniguruma_mode(repeats_a_repetition(pattern))
            .backtrack_limit(BACKTRACK_LIMIT)
            .delegate_size_limit(SIZE_LIMIT)
            .max_prog_size(PROGRAM_LIMIT)
            .build(text)
            .map_err(wrong)?;
        Ok(Self { regex, at_line: begins_a_line(&tree.expr), needed: needed(&tree.expr) })
    }

    /// Groups of the pattern, the whole match included.
    pub(super) fn groups(&self) -> usize {
        self.regex.captures_len()
    }

    /// The first match in a text.
    pub(super) fn find<'t>(&self, text: &'t str) -> Found<'t> {
        match self.regex.captures(text) {
            Err(_) => Found::Exhausted,
            Ok(None) => Found::No,
            // To Ruby, no line begins behind the last line break of a text.
            Ok(Some(found))
                if self.at_line && found.get(0).is_some_and(|all| all.start() > 0 && all.start() == text.len()) =>
            {
                Found::No
            }
            Ok(Some(found)) => Found::Yes(found),
        }
    }
}

/// Recog's flags under their names in the engine here.
fn inline(flags: &str) -> Result<String, ExpressionError> {
    let mut inline = String::new();
    for flag in flags.split([',', '|', ' ']).filter(|flag| !flag.is_empty()) {
        let letter = match flag {
            "REG_ICASE" => 'i',
            // Ruby's MULTILINE lets the dot match a line break; `^` and `$` hold at every line anyway.
            "REG_DOT_NEWLINE" | "REG_LINE_ANY_CRLF" | "REG_MULTILINE" => 's',
            "REG_EXTENDED" => 'x',
            _ => return Err(ExpressionError::Flag(flag.to_owned())),
        };
        if !inline.contains(letter) {
            inline.push(letter);
        }
    }
    Ok(inline)
}

/// Whether something follows `{n}` that Ruby reads as a repetition of the repetition, and others as a mark on it.
fn repeats_a_repetition(pattern: &str) -> bool {
    ["}+", "}?", "}*"].iter().any(|mark| pattern.contains(mark))
}

fn begins_a_line(expression: &Expr) -> bool {
    match expression {
        Expr::Assertion(Assertion::StartLine { .. } | Assertion::StartLineOniguruma { .. }) => true,
        Expr::Concat(parts) => parts.first().is_some_and(begins_a_line),
        Expr::Alt(ways) => !ways.is_empty() && ways.iter().all(begins_a_line),
        Expr::Group(inner) => begins_a_line(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups of the first match, `-` for one that took no part; `no` without a match.
    #[track_caller]
    fn check(pattern: &str, flags: &str, text: &str, expected: &str) {
        let shown = match Expression::new(pattern, flags).unwrap().find(text) {
            Found::No => "no".to_owned(),
            Found::Exhausted => "exhausted".to_owned(),
            Found::Yes(found) => {
                let groups = found.iter().map(|group| group.map_or("-", |group| group.as_str()));
                groups.collect::<Vec<_>>().join(",")
            }
        };
        assert_eq!(shown, expected, "{pattern}");
    }

    #[test]
    fn anchors_hold_at_every_line_as_in_ruby() {
        check("^b$", "", "a\nb\nc", "b");
        check(r"\Ab", "", "a\nb", "no");
        check(r"b\Z", "", "a\nb\n", "b");
        check(r"b\z", "", "a\nb\n", "no");
    }

    #[test]
    fn no_line_begins_behind_the_last_line_break() {
        check("^$", "", "a\n", "no");
        check("^$", "", "", "");
        check("^$", "", "a\n\nb", "");
        check("^\\s*$", "", "a\nb\n", "no");
    }

    #[test]
    fn flags_of_recog_are_those_of_ruby() {
        check("A.b", "REG_ICASE", "a-B", "a-B");
        check("a.b", "", "a\nb", "no");
        for flag in ["REG_DOT_NEWLINE", "REG_LINE_ANY_CRLF", "REG_MULTILINE"] {
            check("a.b", flag, "a\nb", "a\nb");
        }
        check("A.b", "REG_ICASE,REG_DOT_NEWLINE", "a\nB", "a\nB");
        check("a b # note", "REG_EXTENDED", "ab", "ab");
        check("(?x) a b # note", "", "ab", "ab");
        assert!(matches!(Expression::new("a", "REG_NO"), Err(ExpressionError::Flag(flag)) if flag == "REG_NO"));
    }

    #[test]
    fn an_option_in_the_middle_groups_what_follows() {
        // /a(?i)b|c/ is /a(?i:b|c)/ to Ruby; elsewhere it is /a(?i:b)|(?i:c)/.
        check("^a(?i)b|c$", "", "C", "no");
        check("^a(?i)b|c$", "", "aC", "aC");
        check("^(a(?i)b)c$", "", "aBC", "no");
        check(r"(?m)a.b", "", "a\nb", "a\nb");
        check("(?mi-x:A.b)c", "", "a\nBc", "a\nBc");
    }

    #[test]
    fn digits_words_and_spaces_are_those_of_ascii() {
        check(r"^\w+$", "", "é", "no");
        check(r"^[\w.]+$", "", "a.é", "no");
        check(r"^\d$", "", "٣", "no");
        check(r"^\s$", "", "\u{a0}", "no");
        check(r"^\W[^\d]\S$", "", "ééé", "ééé");
        check(r"^[\W\d]+$", "", "é1", "é1");
        check("^[[:alpha:]]+$", "", "é", "é");
        check("^[^[:digit:]-]+$", "", "a٣", "no");
    }

    #[test]
    fn escapes_are_those_of_ruby() {
        check(r"^\x41\u0042\u{43 44}\101\e\0$", "", "ABCDA\u{1b}\0", "ABCDA\u{1b}\0");
        check(r"^[\b\x41]$", "", "\u{8}", "\u{8}");
        check(r"^\<\_\/\'\:\i\>$", "", "<_/':i>", "<_/':i>");
        check(r"^\h\H$", "", "fg", "fg");
        check(r"^[\h]{2}$", "", "f0", "f0");
        check(r"^\p{^Digit}$", "", "a", "a");
        check(r"^(a)\1$", "", "aa", "aa,a");
        check("^a(?# a note)b$", "", "ab", "ab");
        check("^[a~~+--]+$", "", "~-a,", "~-a,");
    }

    #[test]
    fn repetitions_are_those_of_ruby() {
        check(r"^a++b", "", "aab", "aab");
        check(r"^a++a", "", "aa", "no");
        check(r"^(?:a{2}+)a$", "", "aaaaa", "aaaaa");
        check(r"^a{2}?b$", "", "b", "b");
        check(r"^a{x}$", "", "a{x}", "a{x}");
        check(r"^(?>a|ab)c$", "", "abc", "no");
        check(r"^(?:\s?\w+?)*?\s?(\d+?(?:\.\d+?)*?)?$", "", "for groups 3.11", "for groups 3.11,3.11");
    }

    #[test]
    fn groups_without_a_name_do_not_count_beside_one_with() {
        check(r"^(a)(?<x>b)$", "", "ab", "ab,b");
        check(r"(?<=a)b(?!c)", "", "abcab", "b");
    }

    #[test]
    fn a_pattern_that_never_ends_is_told() {
        check("^(?:a|a(?=a))+$", "", &("a".repeat(100) + "b"), "exhausted");
    }

    #[test]
    fn patterns_that_would_take_all_memory_are_refused() {
        for pattern in [r"(?:(?:\p{L}{1000}){1000}){1000}", r"(?:(?=a)(?:b{1000}){1000}){1000}"] {
            assert!(Expression::new(pattern, "").is_err(), "{pattern}");
        }
        assert!(Expression::new(&"(".repeat(100_000), "").is_err());
    }

    /// Signs that mean something, escapes and options.
    const ALMOST: &str = r"([\[\](){}|*+?^$.\\\-&~a-z0-9:<]|\\[a-zA-Z]|\(\?[imx-]){0,24}";

    proptest::proptest! {
        #[test]
        fn any_pattern_compiles_or_is_refused(pattern: String) {
            let _ = Expression::new(&pattern, "");
        }

        #[test]
        fn almost_any_pattern_compiles_or_is_refused(pattern in ALMOST) {
            let _ = Expression::new(&pattern, "REG_ICASE");
        }
    }
}
