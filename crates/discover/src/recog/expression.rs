//! Expression: what does a Ruby regular expression mean here?
//!
//! Recog is written for Ruby's engine, Oniguruma. Three differences matter: `^` and `$` hold at
//! every line, `(?m)` lets the dot match a line break (that is `(?s)` elsewhere), and some escapes.
//! Source: Ruby `Regexp` documentation; `lib/recog/fingerprint/regexp_factory.rb` for the flags.

use fancy_regex::{Regex, RegexBuilder};

/// Steps that an expression may try on one string. Real ones take some hundred; the limit bounds a
/// crafted banner at about 10 ms.
const BACKTRACK_LIMIT: usize = 100_000;

/// Compiled size of one expression, in bytes.
const SIZE_LIMIT: usize = 4 << 20;

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

/// Compiles a Recog pattern with its `flags` attribute.
pub(super) fn compile(pattern: &str, flags: &str) -> Result<Regex, ExpressionError> {
    let mut builder = RegexBuilder::new(&dialect(pattern));
    builder.oniguruma_mode(true).multi_line(true).backtrack_limit(BACKTRACK_LIMIT).delegate_size_limit(SIZE_LIMIT);
    for flag in flags.split([',', '|', ' ']).filter(|flag| !flag.is_empty()) {
        match flag {
            "REG_ICASE" => builder.case_insensitive(true),
            "REG_DOT_NEWLINE" | "REG_LINE_ANY_CRLF" | "REG_MULTILINE" => builder.dot_matches_new_line(true),
            _ => return Err(ExpressionError::Flag(flag.to_owned())),
        };
    }
    builder.build().map_err(|source| ExpressionError::Compile { source: Box::new(source) })
}

/// Ruby's inline flag `m` under its name in this engine, `s`: `(?mi)`, `(?m:`, `(?-m)`.
fn dialect(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '(']) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let taken = if let Some(escaped) = tail.strip_prefix('\\') {
            1 + escaped.chars().next().map_or(0, char::len_utf8)
        } else {
            flags_after(tail).unwrap_or(1)
        };
        let (token, tail) = tail.split_at(taken);
        let is_flags = token.starts_with("(?");
        out.push_str(&if is_flags { token.replace('m', "s") } else { token.to_owned() });
        rest = tail;
    }
    out + rest
}

/// The length of `(?` and the flags that follow, if they are only flags.
fn flags_after(text: &str) -> Option<usize> {
    let flags = text.strip_prefix("(?")?;
    let length = flags.find(|c: char| !matches!(c, 'i' | 'm' | 'x' | '-'))?;
    (length > 0 && flags[length..].starts_with([')', ':'])).then_some(2 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ruby: &str, here: &str) {
        assert_eq!(dialect(ruby), here);
    }

    #[test]
    fn only_the_flag_changes_its_name() {
        check("(?m)a", "(?s)a");
        check("(?mi:a)m(?-m)", "(?si:a)m(?-s)");
        check(r"\(?m)(?:m)(?<m>m)", r"\(?m)(?:m)(?<m>m)");
        check(r"a\", r"a\");
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_compiles_or_is_refused(pattern: String) {
            let _ = compile(&pattern, "");
        }
    }
}
