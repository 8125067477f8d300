//! Rule: by which expressions is a blocked path recognised, however it is spelt?
//!
//! Proxies and products read one target in two ways, and whoever attacks lives in between. The normalisation of a
//! proxy is one reading among many: nginx knows no path parameters, HAProxy decodes once, neither knows overlong
//! UTF-8. So nothing is normalised here. The expressions look at the target as it was sent and accept, at every place,
//! everything that *some* product takes for the character that stands there:
//!
//! - **spelt**: a path that is the blocked one, where each character may be itself, in either case, percent-encoded any
//!   number of times, overlong or full-width; each slash may be several, a backslash or another slash of Unicode, with
//!   `/./` and `;parameters` between; a scheme and a host may stand before;
//! - **climbs** and **last**: a path with a `..` segment, in any of these spellings, that also holds the last segment
//!   of the blocked one. Where `..` leads to is a matter of opinion; no browser sends it;
//! - **garbled**: what cannot be read in one way only, wherever it stands: encoded control characters, escapes that are
//!   none, escapes whose digits are escapes, parameters that hold an encoded slash, bytes outside ASCII. No product
//!   needs them in a path.
//!
//! An escape after *n* decodings is `%`, n times `25`, two digits, as long as no digit is an escape itself; those that
//! are stand in *garbled*. That is why the two together miss nothing that any number of decodings uncovers; the tests
//! hold it against a reader that is as lenient as we could make one. What follows the last segment decides whether it
//! is still that segment: `/meeting.cgi` is, `/meeting-rooms` is not (see [`Trailing`]).
//!
//! Dialects of the same: plain, as RE2 and Coraza read it, and with subroutines, which keeps a rule below the 4,095
//! bytes that nginx gives a parameter. No backslash stands before a quote, so that no engine takes one away.
//! Source: RFC 3986 sections 2.1, 3.3 and 5.2.4; RFC 3629 section 3 (overlong forms); facts on bypassed workarounds.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use directive::workaround::{Blocked, Trailing};

/// How an engine reads expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Nothing but what every engine knows: RE2, Coraza, Rust.
    Plain,
    /// With subroutines, as PCRE has them, by number: nginx, where a name would be a variable; Suricata.
    Pcre,
    /// The same by name: HAProxy tells PCRE to count no groups.
    Named,
}

/// The expressions of a rule, for the target as it was sent. All are to be matched without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expressions {
    /// One for each blocked path: it is spelt here.
    pub spelt: Vec<String>,
    /// A `..` segment is in the path. Refused where one of [`Self::last`] matches too.
    pub climbs: String,
    /// One for each last segment of a blocked path: it is in the path.
    pub last: Vec<String>,
    /// The path cannot be read in one way only.
    pub garbled: String,
    /// One for each blocked path, for a path that the engine has normalised by itself: a second look.
    pub normal: Vec<String>,
}

/// The same in fewer steps, for an engine that gives up a long match and calls it none. Beside [`Expressions`], whose
/// `spelt` goes back over every byte of a host. Only for [`Dialect::Pcre`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swift {
    /// One for each blocked path: it is spelt here, with no host before it or one that holds no escape.
    pub spelt: Vec<String>,
    /// A host that holds an escape, or two slashes and an escape in the segment behind them.
    pub host: String,
    /// A parameter that holds an encoded slash, as in `garbled`.
    pub parameter: String,
}

impl Swift {
    /// Compiles blocked paths.
    pub fn new(blocked: &[Blocked]) -> Self {
        let builder = || Builder::new(Dialect::Pcre);
        Self {
            spelt: blocked.iter().map(|blocked| builder().swift(blocked)).collect(),
            host: builder().host(),
            parameter: builder().slash_in_parameter(),
        }
    }
}

impl Expressions {
    /// Compiles blocked paths.
    pub fn new(blocked: &[Blocked], dialect: Dialect) -> Self {
        let builder = || Builder::new(dialect);
        let last: BTreeSet<String> = blocked.iter().map(|blocked| builder().last(blocked)).collect();
        Self {
            spelt: blocked.iter().map(|blocked| builder().spelt(blocked)).collect(),
            climbs: builder().climbs(),
            last: last.into_iter().collect(),
            garbled: builder().garbled(),
            normal: blocked.iter().map(normal).collect(),
        }
    }
}

/// A percent sign, encoded any number of times.
const PERCENT: &str = "%(?:25)*";

/// RFC 3986 section 3.1, with its colon.
const SCHEME: &str = "(?:[a-z][a-z0-9+.-]*:)?";

/// Puts one expression together. In one dialect its pieces are written out, in the other each stands once at its head
/// and is called.
struct Builder {
    dialect: Dialect,
    pieces: RefCell<Vec<String>>,
}

impl Builder {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, pieces: RefCell::new(Vec::new()) }
    }

    /// A piece, or a call of it.
    fn call(&self, text: String) -> String {
        if self.dialect == Dialect::Plain {
            return text;
        }
        let mut pieces = self.pieces.borrow_mut();
        let known = pieces.iter().position(|piece| *piece == text);
        let number = known.unwrap_or_else(|| {
            pieces.push(text);
            pieces.len() - 1
        });
        match self.dialect {
            Dialect::Named => format!("(?&p{})", number + 1),
            _ => format!("(?{})", number + 1),
        }
    }

    /// The expression with its pieces before it.
    fn finish(&self, text: &str) -> String {
        let piece = |(n, piece): (usize, &String)| match self.dialect {
            Dialect::Named => format!("(?<p{}>{piece})", n + 1),
            _ => format!("({piece})"),
        };
        let pieces: String = self.pieces.borrow().iter().enumerate().map(piece).collect();
        if pieces.is_empty() { text.to_owned() } else { format!("(?(DEFINE){pieces}){text}") }
    }

    fn percent(&self) -> String {
        self.call(PERCENT.to_owned())
    }

    fn slash(&self) -> String {
        let percent = self.percent();
        let coded = self.coded_slash();
        self.call(format!("(?:[/\\x5c]|{coded}|{})", division(&percent)))
    }

    fn coded_slash(&self) -> String {
        escaped(&self.percent(), &[forms(b'/'), forms(b'\\')].concat())
    }

    fn dot(&self) -> String {
        let coded = escaped(&self.percent(), &forms(b'.'));
        self.call(format!("(?:[.]|{coded})"))
    }

    /// `;v=1`, or nothing. That it holds no encoded slash is the business of `garbled`: the first slash ends it.
    fn parameter(&self) -> String {
        let coded = escaped(&self.percent(), &forms(b';'));
        self.call(format!("(?:(?:\\x3b|{coded})[^?/\\x5c]*?)?"))
    }

    /// Any number of `/`, `./` and `;v=1/`. Each ends at its first slash and is not read again: without that, a long
    /// row of them could be read in two ways each, which takes an engine that goes back for ever.
    fn pieces(&self) -> String {
        let (slash, dot, parameter) = (self.slash(), self.dot(), self.parameter());
        match self.dialect {
            Dialect::Plain => format!("(?:{dot}?{parameter}{slash})*"),
            Dialect::Pcre | Dialect::Named => self.call(format!("(?>{dot}?{parameter}{slash})*+")),
        }
    }

    fn end(&self, trailing: Trailing) -> String {
        let percent = self.percent();
        match trailing {
            Trailing::Word => self.call(format!("(?:$|[^a-z0-9_%-]|{percent}{NO_WORD})")),
            Trailing::Any => String::new(),
        }
    }

    /// The path and its end, behind any number of slashes and the like.
    fn path(&self, blocked: &Blocked) -> String {
        let (slash, parameter, pieces) = (self.slash(), self.parameter(), self.pieces());
        let segments: Vec<String> = blocked.path.split('/').skip(1).map(|segment| self.segment(segment)).collect();
        let path = segments.join(&format!("{parameter}{slash}{pieces}"));
        format!("{pieces}{path}{}", self.end(blocked.trailing))
    }

    fn spelt(&self, blocked: &Blocked) -> String {
        let slash = self.slash();
        // A scheme, then a host: `http://host`, `//host`. Twice, since HAProxy shows a path of HTTP/2 with the host
        // that was asked before it, and the path itself may begin with one.
        let host = self.call(format!("(?:{slash}{slash}[^?/\\x5c]*)?"));
        let origin = format!("{SCHEME}{host}{host}");
        let path = self.path(blocked);
        self.finish(&format!("^{origin}{path}"))
    }

    fn swift(&self, blocked: &Blocked) -> String {
        let (slash, path) = (self.slash(), self.path(blocked));
        self.finish(&format!("^{SCHEME}(?:|{slash}{slash}[^?/\\x5c%]*+){path}"))
    }

    fn host(&self) -> String {
        let slash = self.slash();
        self.finish(&format!("^{SCHEME}{slash}{slash}[^?/\\x5c%]*+%"))
    }

    fn climbs(&self) -> String {
        let (slash, dot, parameter) = (self.slash(), self.dot(), self.parameter());
        self.finish(&format!("^(?:[^?]*{slash})?{dot}{dot}{parameter}(?:{slash}|$|[?#])"))
    }

    fn last(&self, blocked: &Blocked) -> String {
        let slash = self.slash();
        let last = blocked.path.rsplit('/').next().unwrap_or_default();
        let text = format!("^(?:[^?]*{slash})?{}{}", self.segment(last), self.end(blocked.trailing));
        self.finish(&text)
    }

    /// Looks at each segment once, and at each byte of it.
    fn slash_in_parameter(&self) -> String {
        let percent = self.percent();
        let semicolon = self.call(escaped(&percent, &forms(b';')));
        let slash = self.call(format!("(?:{}|{})", self.coded_slash(), division(&percent)));
        self.finish(&format!(
            "^(?>[^?/\\x5c]*+[/\\x5c]++)*?(?>[^?/\\x5c\\x3b%]++|(?!{semicolon})%)*+(?:\\x3b|{semicolon})\
             (?>[^?/\\x5c%]++|(?!{slash})%)*+{slash}"
        ))
    }

    fn segment(&self, text: &str) -> String {
        text.bytes().map(|byte| self.character(byte.to_ascii_lowercase())).collect()
    }

    /// One character of a path in all its forms.
    fn character(&self, byte: u8) -> String {
        let mut bytes = forms(byte);
        if byte.is_ascii_alphabetic() {
            bytes.extend(forms(byte.to_ascii_uppercase()));
        }
        let itself = if byte == b'.' { "[.]".to_owned() } else { char::from(byte).to_string() };
        let coded = escaped(&self.percent(), &bytes);
        self.call(format!("(?:{itself}|{coded})"))
    }

    /// What cannot be read in one way only, anywhere in the path.
    fn garbled(&self) -> String {
        let (percent, coded_slash) = (self.percent(), self.coded_slash());
        // A digit of an escape that is an escape itself: `%25%36%34` is `%64` after one decoding and `d` after two.
        let digit = self.call(format!("{percent}(?:3[0-9]|[46][1-6])"));
        let semicolon = escaped(&percent, &forms(b';'));
        let mut out = String::from("^(?:[^?]*(?:");
        let _ = write!(out, "{percent}(?:[01][0-9a-f]|7f)");
        out.push_str("|%(?:[^0-9a-f]|[0-9a-f][^0-9a-f]|[0-9a-f]?$)");
        let _ = write!(out, "|%(?:25)+(?:{digit}(?:[0-9a-f]|{digit})|[0-9a-f]{digit})");
        out.push_str("|[^!-~])");
        // A parameter with an encoded slash ends there for one reader and goes on for another.
        let _ = write!(
            out,
            "|(?:[^?]*[/\\x5c])?[^?/\\x5c\\x3b]*(?:\\x3b|{semicolon})[^?/\\x5c]*(?:{coded_slash}|{}))",
            division(&percent)
        );
        self.finish(&out)
    }
}

/// Two hexadecimal digits that are no letter, digit, `-` or `_`.
const NO_WORD: &str = "(?:[0189a-f][0-9a-f]|2[0-9a-cef]|3[a-f]|[46]0|5[b-e]|7[b-f])";

/// The byte sequences by which products know an ASCII character: itself, overlong in two and three bytes, full-width.
fn forms(byte: u8) -> Vec<Vec<u8>> {
    let (high, low) = (byte >> 6, 0x80 | (byte & 0x3f));
    let wide = char::from_u32(0xff00 + u32::from(byte) - 0x20).map(String::from).unwrap_or_default();
    vec![vec![byte], vec![0xc0 | high, low], vec![0xe0, 0x80 | high, low], wide.into_bytes()]
}

/// The division slash and the fraction slash, which some products fold into the ASCII one.
fn division(percent: &str) -> String {
    format!("{percent}e2{percent}(?:88{percent}95|81{percent}84)")
}

/// Byte sequences as escapes, brought together by their first bytes: `%` then `44|64`, or `c1%(?:84|a4)`.
fn escaped(percent: &str, sequences: &[Vec<u8>]) -> String {
    let firsts: BTreeSet<u8> = sequences.iter().filter_map(|sequence| sequence.first().copied()).collect();
    let alternatives = firsts.into_iter().map(|first| {
        let same = sequences.iter().filter(|one| one.first() == Some(&first));
        let rests: Vec<Vec<u8>> = same.map(|one| one[1..].to_vec()).filter(|rest| !rest.is_empty()).collect();
        let rest = if rests.is_empty() { String::new() } else { escaped(percent, &rests) };
        format!("{first:02x}{rest}")
    });
    let alternatives: Vec<String> = alternatives.collect();
    match alternatives.as_slice() {
        [one] => format!("{percent}{one}"),
        several => format!("{percent}(?:{})", several.join("|")),
    }
}

/// The blocked path in a path that is normal already.
fn normal(blocked: &Blocked) -> String {
    let path = blocked.path.replace('.', "[.]").replace('/', "/+");
    match blocked.trailing {
        Trailing::Word => format!("^{path}(?:$|[^a-z0-9_-])"),
        Trailing::Any => format!("^{path}"),
    }
}

#[cfg(test)]
mod tests;
