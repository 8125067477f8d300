//! Disguise: in which spellings and forms is a blocked path asked for, to see whether it is refused?
//!
//! Each is harmless: it asks for the path and nothing more, without a body that means anything and without a query.
//! The list is that of the ways in which real workarounds were passed by, and of what readers of paths disagree about.
//! It is not what the rule is made from ([`crate::rule`] knows no list), so that the one can prove the other.
//! Source: facts on bypassed workarounds; RFC 3986; RFC 9112 section 3.2 (forms of targets).

/// A target in one spelling, and what it is called in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disguise {
    /// What it is called.
    pub(crate) name: &'static str,
    /// The target as it is sent.
    pub(crate) target: Vec<u8>,
    /// How it is sent.
    pub(crate) form: Form,
}

/// How a target is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// By this method over HTTP/1.1.
    Method(&'static str),
    /// Over HTTP/1.0.
    Old,
    /// With a body in chunks.
    Chunked,
    /// As a promise of a body that waits for leave.
    Expect,
    /// With a header that names it, in place of the target: the lines of the header.
    Header(String),
    /// As HTTP/2.
    Two,
}

/// What is asked for where the header names the path: a page that no product has, so that its answer is always one.
pub(crate) const NOBODY: &str = "/portcullis-asks-for-nothing";

/// All spellings and forms for one path.
pub(crate) fn of(path: &str, host: &str, headers: &[String]) -> Vec<Disguise> {
    let mut all: Vec<Disguise> = spellings(path, host)
        .into_iter()
        .map(|(name, target)| Disguise { name, target, form: Form::Method("GET") })
        .collect();
    for (name, method) in METHODS {
        all.push(Disguise { name, target: path.into(), form: Form::Method(method) });
    }
    for (name, form) in
        [("HTTP/1.0", Form::Old), ("chunked body", Form::Chunked), ("Expect: 100-continue", Form::Expect)]
    {
        all.push(Disguise { name, target: path.into(), form });
    }
    for header in headers {
        let under = header.replace('-', "_");
        let lines = [
            ("header override", format!("{header}: {path}\r\n")),
            ("header override, encoded", format!("{header}: /{}\r\n", every(&path[1..], 0))),
            ("header override, underscores", format!("{under}: {path}\r\n")),
            ("header override, empty one first", format!("{header}:\r\n{header}: {path}\r\n")),
            ("header override, harmless one first", format!("{header}: /\r\n{header}: {path}\r\n")),
        ];
        all.extend(lines.into_iter().map(|(name, lines)| Disguise {
            name,
            target: NOBODY.into(),
            form: Form::Header(lines),
        }));
    }
    let two = spellings(path, host).into_iter().filter(|(_, target)| target.starts_with(b"/"));
    all.extend(two.map(|(name, target)| Disguise { name, target, form: Form::Two }));
    all
}

/// Methods by which it is asked beside GET, each harmless on a path that is refused.
const METHODS: [(&str, &str); 7] = [
    ("method HEAD", "HEAD"),
    ("method POST", "POST"),
    ("method PUT", "PUT"),
    ("method OPTIONS", "OPTIONS"),
    ("method PROPFIND", "PROPFIND"),
    ("method that nobody knows", "PORTCULLIS"),
    ("method in small letters", "get"),
];

/// The spellings of a path as targets.
pub(crate) fn spellings(path: &str, host: &str) -> Vec<(&'static str, Vec<u8>)> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let join = |separator: &str| format!("{separator}{}", segments.join(separator));
    let (first, rest) = segments.split_first().map_or(("", String::new()), |(first, rest)| (*first, rest.join("/")));
    let (head, last) = path.rsplit_once('/').unwrap_or(("", path));
    let letter = |depth: usize| format!("{head}/{}{}", one(&last[..1], depth), &last[1..]);
    let coded = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let nested = format!("%25%{:02x}%{:02x}", last.as_bytes()[0] / 16 + b'0', hex_digit(last.as_bytes()[0] % 16));
    let wide: String = last.chars().filter_map(|c| char::from_u32(u32::from(c) + 0xfee0)).collect();
    let overlong: Vec<u8> = last.bytes().flat_map(|byte| [0xc0 | (byte >> 6), 0x80 | (byte & 0x3f)]).collect();
    let text: Vec<(&'static str, String)> = vec![
        ("as it is", path.to_owned()),
        ("repeated slash", join("//")),
        ("three slashes", join("///")),
        ("slash at its end", format!("{path}/")),
        ("below it", format!("{path}/x/y.cgi")),
        ("an ending", format!("{path}.cgi")),
        ("a query", format!("{path}?x=1")),
        ("a fragment", format!("{path}#x")),
        ("dot segment", join("/./")),
        ("dot segment, encoded", join("/%2e/")),
        ("up and down before it", format!("/x/..{path}")),
        ("up and down within it", format!("/{first}/x/../{rest}")),
        ("up and down behind it", format!("{path}/../{last}")),
        ("up and down, encoded", format!("/x/%2e%2e{path}")),
        ("up and down, half encoded", format!("/x/.%2E{path}")),
        ("up and down, encoded twice", format!("/x/%252e%252e{path}")),
        ("up and down with a parameter", format!("/x/..;v=1{path}")),
        ("up and down with backslashes", format!("/x\\..{}", path.replace('/', "\\"))),
        ("one letter encoded", letter(0)),
        ("one letter encoded twice", letter(1)),
        ("one letter encoded three times", letter(2)),
        ("one letter in escapes of escapes", format!("{head}/{nested}{}", &last[1..])),
        ("one letter in half an escape", format!("{head}/%{}{}", one(&last[..1], 0), &last[1..])),
        ("every letter encoded", format!("/{}", segments.iter().map(|s| every(s, 0)).collect::<Vec<_>>().join("/"))),
        (
            "every letter encoded twice",
            format!("/{}", segments.iter().map(|s| every(s, 1)).collect::<Vec<_>>().join("/")),
        ),
        ("slash encoded", format!("/{}", segments.join("%2f"))),
        ("slash encoded in capitals", format!("/{}", segments.join("%2F"))),
        ("slash encoded twice", format!("/{}", segments.join("%252f"))),
        ("slash, overlong", format!("/{}", segments.join("%c0%af"))),
        ("slash, overlong in three bytes", format!("/{}", segments.join("%e0%80%af"))),
        ("slash, full-width", format!("/{}", segments.join("%ef%bc%8f"))),
        ("slash of division", format!("/{}", segments.join("%e2%88%95"))),
        ("slash as %u002f", format!("/{}", segments.join("%u002f"))),
        ("backslash", format!("/{}", segments.join("\\"))),
        ("backslash encoded", format!("/{}", segments.join("%5c"))),
        ("letters, overlong", format!("{head}/{}", coded(&overlong))),
        ("letters, full-width", format!("{head}/{}", coded(wide.as_bytes()))),
        ("capitals", path.to_ascii_uppercase()),
        ("mixed case", mixed(path)),
        ("path parameter behind it", format!("{path};v=1")),
        ("path parameter within it", format!("/{};v=1", segments.join(";v=1/"))),
        ("path parameter, empty", format!("/{}", segments.join(";/"))),
        ("path parameter, encoded", format!("/{}", segments.join("%3bv=1/"))),
        ("path parameter before it", format!("/;v=1{path}")),
        ("encoded space behind it", format!("{path}%20")),
        ("encoded zero behind it", format!("{path}%00")),
        ("encoded zero within it", format!("{head}/{}%00{}", &last[..1], &last[1..])),
        ("encoded tab within it", format!("{head}/{}%09{}", &last[..1], &last[1..])),
        ("absolute form", format!("http://{host}{path}")),
        ("absolute form with TLS", format!("https://{host}{path}")),
        ("absolute form in capitals, with a port", format!("HTTP://{}:443{path}", host.to_ascii_uppercase())),
        ("absolute form, repeated slash", format!("http://{host}{}", join("//"))),
        ("absolute form, encoded", format!("http://{host}{}", letter(0))),
        ("host without a scheme", format!("//{host}{path}")),
        ("no slash before it", path[1..].to_owned()),
        ("several at once", format!("/x//%2e%2e;a=b\\{}//{}", one(first, 0), mixed(&rest).replace('/', ";/"))),
    ];
    text.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

/// The first character in an escape, itself encoded `depth` times.
fn one(text: &str, depth: usize) -> String {
    let mut rest = text.chars();
    let first = rest.next().unwrap_or_default();
    format!("{}{}", every(&first.to_string(), depth), rest.as_str())
}

fn every(text: &str, depth: usize) -> String {
    text.bytes().map(|byte| format!("%{}{byte:02x}", "25".repeat(depth))).collect()
}

fn mixed(text: &str) -> String {
    let turn = |(n, c): (usize, char)| if n % 2 == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().enumerate().map(turn).collect()
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn five_paths_need_no_more_than_two_thousand_requests_and_each_is_another() {
        let headers = ["X-Original-URL", "X-Rewrite-URL"].map(str::to_owned);
        let all = of("/dana-cached/fb/smb", "vpn.agency.example", &headers);
        assert!(all.len() >= 20 && 5 * all.len() <= 2000, "{}", all.len());
        let kinds: BTreeSet<_> = all.iter().map(|one| format!("{:?} {:?}", one.target, one.form)).collect();
        assert_eq!(kinds.len(), all.len());
    }

    #[test]
    fn disguises_read_as_they_are_called() {
        let all = spellings("/dana/meeting", "h");
        let of = |name: &str| {
            let found = all.iter().find(|(known, _)| *known == name).unwrap();
            String::from_utf8(found.1.clone()).unwrap()
        };
        assert_eq!(of("up and down within it"), "/dana/x/../meeting");
        assert_eq!(of("one letter encoded twice"), "/dana/%256deeting");
        assert_eq!(of("one letter in escapes of escapes"), "/dana/%25%36%64eeting");
        assert_eq!(of("letters, full-width"), "/dana/%ef%bd%8d%ef%bd%85%ef%bd%85%ef%bd%94%ef%bd%89%ef%bd%8e%ef%bd%87");
        assert_eq!(of("several at once"), "/x//%2e%2e;a=b\\%64ana//MeEtInG");
    }
}
