//! Dialect: how does a Ruby pattern read in the words of the engine here?
//!
//! The two agree on most of their grammar. What differs: `(?m)` lets the dot match a line break, which is `(?s)`
//! here; an option in the middle of a pattern groups all that follows, alternatives too; `\w`, `\d` and `\s` know
//! ASCII only, and `[[:alpha:]]` all of Unicode, where here it is the other way about; some escapes; and a letter or
//! sign that needs no escape may have one. Where case does not count, two letters are read otherwise than by Ruby: the
//! long s and the sign of Kelvin are letters of `\w` here, and `[[:upper:]]` holds every letter.
//! Never judges a pattern: what is wrong with it the engine says.
//! Source: Ruby `Regexp` documentation; `doc/RE` of Onigmo, with the parts on Ruby's syntax. `tests/recog.rs` holds it
//! against Ruby itself.

/// A pattern of Ruby in the dialect of the engine.
pub(super) fn translate(pattern: &str) -> String {
    let mut translator =
        Translator { rest: pattern, out: String::new(), class: 0, behind_set: false, options: vec![String::new()] };
    while let Some(next) = translator.rest.chars().next() {
        translator.step(next);
    }
    translator.end()
}

struct Translator<'p> {
    rest: &'p str,
    out: String,
    /// How many brackets of classes are open.
    class: usize,
    /// Whether a set of characters was written last: a dash behind it is itself.
    behind_set: bool,
    /// For each open group, and for the pattern: what closes the options in its middle, which became groups.
    options: Vec<String>,
}

impl Translator<'_> {
    fn step(&mut self, next: char) {
        let behind_set = std::mem::take(&mut self.behind_set);
        match next {
            '\\' => self.escape(),
            '[' => self.open_class(),
            ']' if self.class > 0 => {
                self.class -= 1;
                self.copy(1);
            }
            '-' if self.class > 0 && (behind_set || self.out.ends_with('-')) => self.write(1, r"\-"),
            _ if self.class > 0 => self.in_class(next),
            '(' => self.open_group(),
            ')' => {
                self.close_options();
                if self.options.len() > 1 {
                    self.options.pop();
                }
                self.copy(1);
            }
            _ => self.copy(next.len_utf8()),
        }
    }

    fn end(mut self) -> String {
        self.close_options();
        self.out
    }

    fn close_options(&mut self) {
        if let Some(open) = self.options.last_mut() {
            self.out.push_str(&std::mem::take(open));
        }
    }

    /// Takes bytes over as they are.
    fn copy(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.out.push_str(taken);
        self.rest = rest;
    }

    /// Writes something else for bytes.
    fn write(&mut self, length: usize, text: &str) {
        self.out.push_str(text);
        self.rest = &self.rest[length..];
    }

    /// `(`, and what stands behind `(?`.
    fn open_group(&mut self) {
        if self.rest.starts_with("(?#") {
            let end = self.rest.find(')').map_or(self.rest.len(), |at| at + 1);
            return self.write(end, "");
        }
        let Some((length, flags)) = flags_after(self.rest) else {
            self.options.push(String::new());
            return self.copy(1);
        };
        let is_group = self.rest[..length].ends_with(':');
        self.write(length, &format!("(?{flags}:"));
        if is_group {
            self.options.push(String::new());
        } else if let Some(open) = self.options.last_mut() {
            // A comment of an extended pattern would go on behind its end.
            let is_extended = flags.split('-').next().is_some_and(|on| on.contains('x'));
            open.insert_str(0, if is_extended { "\n)" } else { ")" });
        }
    }

    fn open_class(&mut self) {
        if self.class > 0
            && let Some((length, set)) = posix(self.rest)
        {
            self.behind_set = true;
            return self.write(length, &set);
        }
        self.class += 1;
        self.copy(1);
        if self.rest.starts_with('^') {
            self.copy(1);
        }
        // A bracket that closes nothing is itself.
        if self.rest.starts_with(']') {
            self.write(1, r"\]");
        }
    }

    /// Signs that mean nothing in a class of Ruby and something here, or the other way about.
    fn in_class(&mut self, next: char) {
        match next {
            '~' | '#' => self.write(1, &format!("\\{next}")),
            ' ' => self.write(1, r"\x20"),
            '\t' => self.write(1, r"\t"),
            '\n' => self.write(1, r"\n"),
            _ => self.copy(next.len_utf8()),
        }
    }

    fn escape(&mut self) {
        let Some(kind) = self.rest[1..].chars().next() else {
            return self.copy(1);
        };
        let length = 1 + kind.len_utf8();
        match kind {
            'd' | 'w' | 's' | 'h' | 'D' | 'W' | 'S' | 'H' => {
                self.write(length, &set(kind, self.class > 0));
                self.behind_set = true;
            }
            'x' => self.number(length, 16, 2),
            'u' => self.number(length, 16, 4),
            '0' => self.number(1, 8, 3),
            '1'..='7' if self.class > 0 => self.number(1, 8, 3),
            '1'..='7' if is_octal(self.rest) => self.number(1, 8, 3),
            'b' if self.class > 0 => self.write(length, r"\x08"),
            // Before one line break at the end, where others pass over any number of them.
            'Z' if self.class == 0 => self.write(length, r"(?=\n?\z)"),
            'p' | 'P' => self.property(kind),
            '1'..='9'
            | 'a'
            | 'b'
            | 'B'
            | 'A'
            | 'c'
            | 'C'
            | 'e'
            | 'f'
            | 'g'
            | 'G'
            | 'k'
            | 'K'
            | 'n'
            | 'r'
            | 'R'
            | 't'
            | 'v'
            | 'X'
            | 'z'
            | 'Z' => self.copy(length),
            ' ' => self.write(length, r"\x20"),
            _ if r".+*?()|[]{}^$#&-~\".contains(kind) => self.copy(length),
            _ => self.write(length, &kind.to_string()),
        }
    }

    /// A character by its number: `\x41`, `\u0041`, `\u{41 42}`, `\101`. `before` stands before the digits.
    fn number(&mut self, before: usize, radix: u32, most: usize) {
        let digits = &self.rest[before..];
        if radix == 16
            && let Some((inside, _)) = digits.strip_prefix('{').and_then(|digits| digits.split_once('}'))
        {
            let all: String = inside.split_whitespace().map(|number| format!("\\x{{{number}}}")).collect();
            return self.write(before + inside.len() + 2, &all);
        }
        let length = digits.chars().take(most).take_while(|digit| digit.is_digit(radix)).count();
        match u32::from_str_radix(&digits[..length], radix) {
            Ok(number) => self.write(before + length, &format!("\\x{{{number:x}}}")),
            Err(_) => self.copy(before),
        }
    }

    /// `\p{^Digit}` is `\P{Digit}`.
    fn property(&mut self, kind: char) {
        if self.rest[2..].starts_with("{^") {
            let other = if kind == 'p' { 'P' } else { 'p' };
            self.write(4, &format!("\\{other}{{"));
        } else {
            self.copy(2);
        }
    }
}

/// Whether an escape of three digits is a character: a reference has as many digits as its group.
fn is_octal(text: &str) -> bool {
    let digits = text[1..].chars().take(3);
    digits.clone().count() == 3 && digits.clone().all(|digit| digit.is_digit(8))
}

/// `(?` and the flags that follow, if they are only flags: how long it is, and what they are called here. `a`, `d` and
/// `u` say which letters `\w` means.
fn flags_after(text: &str) -> Option<(usize, String)> {
    let flags = text.strip_prefix("(?")?;
    let length = flags.find(|c: char| !matches!(c, 'i' | 'm' | 'x' | 'a' | 'd' | 'u' | '-'))?;
    let ends = flags[length..].starts_with([')', ':']);
    let kept: String = flags[..length].chars().filter(|flag| !matches!(flag, 'a' | 'd' | 'u')).collect();
    let kept = kept.trim_end_matches('-').replace('m', "s");
    (length > 0 && ends).then_some((2 + length + 1, kept))
}

/// A class of ASCII; in brackets unless it stands in brackets already.
fn set(kind: char, in_class: bool) -> String {
    let members = match kind.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\x20\t\r\n\x0b\x0c",
        _ => "0-9A-Fa-f",
    };
    match (kind.is_ascii_uppercase(), in_class) {
        (true, _) => format!("[^{members}]"),
        (false, true) => members.to_owned(),
        (false, false) => format!("[{members}]"),
    }
}

/// `[:alpha:]` and its like: how long it is, and which characters it means.
fn posix(text: &str) -> Option<(usize, String)> {
    let inside = text.strip_prefix("[:")?;
    let (name, _) = inside.split_once(":]")?;
    let (is_not, plain) = name.strip_prefix('^').map_or((false, name), |plain| (true, plain));
    let members = match plain {
        "alpha" => r"\p{Alphabetic}",
        "digit" => r"\p{Nd}",
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "upper" => r"\p{Uppercase}",
        "lower" => r"\p{Lowercase}",
        "space" => r"\p{White_Space}",
        "blank" => r"\p{Zs}\t",
        "cntrl" => r"\p{Cc}",
        "xdigit" => "0-9A-Fa-f",
        "word" => r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}",
        "punct" => r"\p{P}$+<=>^`|\~",
        "graph" => r"[^\p{White_Space}\p{Cc}\p{Cn}\p{Cs}]",
        "print" => r"[^\p{Cc}\p{Cn}\p{Cs}]",
        _ => return None,
    };
    let set = if is_not { format!("[^{members}]") } else { members.to_owned() };
    Some((name.len() + 4, set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ruby: &str, here: &str) {
        assert_eq!(translate(ruby), here);
    }

    #[test]
    fn options_change_their_name_and_become_groups() {
        check("(?m)a", "(?s:a)");
        check("(?mi:a)m(?-m)", "(?si:a)m(?-s:)");
        check(r"\(?m)(?:m)(?<m>m)", r"\(?m)(?:m)(?<m>m)");
        check("(a(?i)b|c)d(?u)e", "(a(?i:b|c))d(?:e)");
        check("(?ix-mu:a)", "(?ix-s:a)");
        check("(?x)a # b", "(?x:a # b\n)");
    }

    #[test]
    fn classes_know_what_ruby_knows() {
        check(r"[\w.\-]\d", r"[0-9A-Za-z_.\-][0-9]");
        check(r"[\w-.]", r"[0-9A-Za-z_\-.]");
        check(r"[]\]a]", r"[\]\]a]");
        check("[^][:alpha:]]", r"[^\]\p{Alphabetic}]");
        check("[[:^digit:]x]", r"[[^\p{Nd}]x]");
        check("[a ~--]", r"[a\x20\~-\-]");
    }

    #[test]
    fn escapes_that_mean_nothing_go() {
        check(r"\/\_\'\.\-\i", r"/_'\.\-i");
        check(r"\x4\u{41 42}\012\1", r"\x{4}\x{41}\x{42}\x{a}\1");
        check(r"a\", r"a\");
    }

    /// Signs that mean something, escapes, and a letter of two bytes.
    const ALMOST: &str = r"([\[\](){}^:\\#?-]|\\[a-zA-Z0-9]|é|\(\?[a-z]){0,16}";

    proptest::proptest! {
        #[test]
        fn translating_never_panics(pattern: String) {
            let _ = translate(&pattern);
        }

        #[test]
        fn translating_almost_a_pattern_never_panics(pattern in ALMOST) {
            let _ = translate(&pattern);
        }
    }
}
