//! Tests: does a reader as lenient as any ever see a blocked path that the expressions do not?

use std::sync::LazyLock;

use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};

use super::*;

fn blocked(paths: &[&str]) -> Vec<Blocked> {
    let one = |path: &&str| Blocked { path: (*path).into(), trailing: Trailing::Word, why: String::new() };
    paths.iter().map(one).collect()
}

const PATHS: [&str; 5] =
    ["/dana/meeting", "/dana/fb/smb", "/dana-cached/fb/smb", "/dana-ws/namedusers", "/dana-ws/metric"];

/// Compiled once: it is the tests' slowest part.
static RULE: LazyLock<Rule> = LazyLock::new(|| Rule::new(&PATHS));

struct Rule {
    spelt: Vec<Regex>,
    climbs: Regex,
    last: Vec<Regex>,
    garbled: Regex,
}

impl Rule {
    fn new(paths: &[&str]) -> Self {
        let compile = |text: &String| {
            let mut builder = RegexBuilder::new(text);
            builder.case_insensitive(true).unicode(false).size_limit(64 << 20).build().unwrap()
        };
        let of = Expressions::new(&blocked(paths), Dialect::Plain);
        Self {
            spelt: of.spelt.iter().map(compile).collect(),
            climbs: compile(&of.climbs),
            last: of.last.iter().map(compile).collect(),
            garbled: compile(&of.garbled),
        }
    }

    fn refuses(&self, target: &[u8]) -> bool {
        self.garbled.is_match(target)
            || self.spelt.iter().any(|one| one.is_match(target))
            || (self.climbs.is_match(target) && self.last.iter().any(|one| one.is_match(target)))
    }
}

/// Reads a target as leniently as any product does, after this many decodings: takes away a scheme and a host.
fn lenient(target: &[u8], decodings: usize) -> Vec<u8> {
    let mut path: Vec<u8> = target.split(|byte| *byte == b'?').next().unwrap_or_default().to_vec();
    if let Some(at) = path.windows(2).position(|pair| pair == b"//").filter(|at| *at == 0 || path[at - 1] == b':') {
        let host = path[at + 2..].iter().position(|byte| *byte == b'/').unwrap_or(path.len() - at - 2);
        if path[at + 2..at + 2 + host].eq_ignore_ascii_case(b"host") || at > 0 {
            path.drain(..at + 2 + host);
        }
    }
    for _ in 0..decodings {
        path = decode(&path);
    }
    let text = fold(&path).to_ascii_lowercase().replace(['\\', '\u{2215}', '\u{2044}'], "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            plain => segments.push(plain),
        }
    }
    format!("/{}", segments.join("/")).into_bytes()
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap());
                at += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Overlong forms and full-width characters become ASCII.
fn fold(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let next = |n: usize| bytes.get(at + n).copied().unwrap_or_default();
        let (character, length) = match (bytes[at], next(1), next(2)) {
            (0xc0..=0xc1, low @ 0x80..=0xbf, _) => ((bytes[at] & 1) << 6 | (low & 0x3f), 2),
            (0xe0, high @ 0x80..=0x81, low @ 0x80..=0xbf) => ((high & 1) << 6 | (low & 0x3f), 3),
            (0xef, high @ 0xbc..=0xbd, low @ 0x80..=0xbf) => {
                (((high & 1) << 6 | (low & 0x3f)).wrapping_add(0x20) & 0x7f, 3)
            }
            (0xe2, 0x88, 0x95) | (0xe2, 0x81, 0x84) => (b'/', 3),
            (byte, _, _) => (byte, 1),
        };
        out.push(char::from(character));
        at += length;
    }
    out
}

fn is_feature(path: &[u8]) -> bool {
    PATHS.iter().any(|blocked| {
        let rest = path.strip_prefix(blocked.as_bytes());
        rest.is_some_and(|rest| rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"-_".contains(byte)))
    })
}

/// One character of a path, spelt in one of many ways.
fn spell(byte: u8) -> BoxedStrategy<Vec<u8>> {
    let escape = |bytes: Vec<u8>, depth: usize, upper: bool| -> Vec<u8> {
        let one = |byte: &u8| {
            let digits = if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
            format!("%{}{digits}", "25".repeat(depth))
        };
        bytes.iter().map(one).collect::<String>().into_bytes()
    };
    let depth = (0..3_usize, any::<bool>());
    let swapped = if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { byte };
    let nested =
        format!("%25%{:02x}%{:02x}", b'0' + (byte >> 4), char::from_digit(u32::from(byte & 15), 16).unwrap() as u8);
    prop_oneof![
        6 => Just(vec![byte]),
        2 => Just(vec![swapped]),
        2 => depth.prop_map(move |(depth, upper)| escape(vec![byte], depth, upper)),
        1 => depth_of().prop_map(move |depth| escape(forms(byte)[1].clone(), depth, false)),
        1 => depth_of().prop_map(move |depth| escape(forms(swapped)[2].clone(), depth, true)),
        1 => depth_of().prop_map(move |depth| escape(forms(byte)[3].clone(), depth, false)),
        1 => Just(nested.into_bytes()),
    ]
    .boxed()
}

fn depth_of() -> std::ops::Range<usize> {
    0..3
}

/// What stands between two segments.
fn separator() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "/",
        "//",
        "/./",
        "\\",
        "/x/../",
        "/.;a/",
        ";v=1/",
        "%2f",
        "%252F",
        "%5c",
        "/%2e/",
        "/y/%2e%2e/",
        "%c0%af",
        "/z/..;q=1/",
        "/%252e%2fw/.%2e/",
        "%e2%88%95",
        "%ef%bc%8f",
        "/;/",
        "%25%32%66",
        "/a/b/../..//",
    ]);
    prop::collection::vec(pieces, 1..3).prop_map(|pieces| pieces.concat().into_bytes())
}

fn spelling() -> impl Strategy<Value = Vec<u8>> {
    let path = prop::sample::select(PATHS.to_vec());
    path.prop_flat_map(|path| {
        let mut parts: Vec<BoxedStrategy<Vec<u8>>> = vec![
            prop::sample::select(vec!["", "http://host", "HTTPS://h:443", "//host"]).prop_map(|t| t.into()).boxed(),
        ];
        for byte in path.bytes() {
            parts.push(if byte == b'/' { separator().boxed() } else { spell(byte) });
        }
        let ends = vec!["", "/", "/x", ".cgi", ";v=1", "?a=b", "#x", "%20", "%2fx", "/..%2fmeeting", "%00", "~"];
        parts.push(prop::sample::select(ends).prop_map(|text| text.into()).boxed());
        parts.prop_map(|parts| parts.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_spelling_of_a_blocked_path_gets_past_a_lenient_reader(target in spelling()) {
        let seen = (0..5).map(|decodings| lenient(&target, decodings)).find(|path| is_feature(path));
        if let Some(seen) = seen {
            prop_assert!(RULE.refuses(&target), "{} is {}", target.escape_ascii(), seen.escape_ascii());
        }
    }

    #[test]
    fn whatever_a_lenient_reader_takes_for_a_blocked_path_is_refused(
        target in "[/\\\\.;%2563fFeEcCdDaAnN0-9_-]{0,12}(/|%2f)(d|%64)ana(/|%5C|//|/[.]/|;a/)(m|%4d)eeting[/.;%?x]{0,2}"
    ) {
        if (0..5).any(|decodings| is_feature(&lenient(target.as_bytes(), decodings))) {
            prop_assert!(RULE.refuses(target.as_bytes()), "{}", target);
        }
    }
}

#[test]
fn neighbours_that_look_alike_are_not_refused() {
    for path in [
        "/",
        "/dana-na/auth/url_default/welcome.cgi",
        "/dana/meetings",
        "/dana/meeting-rooms.html",
        "/dana/meeting_1",
        "/dana/fb/nfs/browse.cgi?path=/dana/fb/smb",
        "/dana/home/index.cgi?next=%2Fdana%2Fmeeting",
        "/dana-ws/metrics",
        "/dana-ws/namedusers2",
        "/xdana/meeting",
        "/help/dana/meeting.html",
        "/dana/fb/smbx",
        "/dana-cached/fb/smb2/x",
        "/dana/fb/nfs/100%25.pdf",
        "/dana/fb/nfs/100%25%20sure.pdf",
        "/dana/fb/nfs/r%C3%A9sum%C3%A9.pdf",
        "/a/../b",
        "/dana/fb/nfs/%EF%BC%91.txt",
        "/dana/%6deetings",
        "/dana-na/meeting",
        "/danameeting",
        "/dana/x/meeting",
        "/dana/home;id=1/index.cgi",
        "/a//b",
        "/dana/meetin",
        "/dana/fb/smb_/x",
        "http://host/dana/meetings",
    ] {
        assert!(!RULE.refuses(path.as_bytes()), "{path}");
    }
}

const LONG: &str = "/abcdefghi/jklmnopqr/stuvwxyz/0123456789/-_.a/abcd/efg/h1234567x";

#[test]
fn a_rule_fits_into_a_parameter_of_nginx() {
    let of = Expressions::new(&blocked(&["/dana-cached/fb/smb", LONG]), Dialect::Pcre);
    for text in of.spelt.iter().chain(&of.last).chain([&of.climbs, &of.garbled]) {
        assert!(text.len() < 4000, "{} bytes", text.len());
        // Quotes, or a backslash before one: an engine would read another expression than we wrote.
        assert!(!text.contains(['"', '\'', ';', ' ', '{']), "{text}");
    }
}
