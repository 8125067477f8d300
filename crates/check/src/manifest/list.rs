//! List: what does a line of a manifest file say?
//!
//! Formats: `sha256sum` (text and binary marker, names with `\` escapes) and the appliance's
//! `<path> <sha256> b`. A list is written by a person or a tool elsewhere, so a mistake in it is a
//! mistake to point at, with file, line and caret; none is passed over.
//! Source: coreutils manual, "md5sum invocation"; facts on the appliance's manifest.

use directive::problem::{Problem, Problems};

use super::lines::{Added, Distinct, Line, Lines};

/// Bytes of one list. The longest known, of a whole appliance image, has 4 MB; one of every file of
/// a build server 100 MB. What is larger is no list.
pub(super) const LIST_BYTES: usize = 512 << 20;

/// Bytes of one line: 16 times the longest path the kernel takes.
const LINE_BYTES: usize = 64 << 10;

/// Mistakes that are shown at once; a wrong file would show as many as it has lines.
const SHOWN: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Sha256sum,
    Appliance,
}

/// Reads a whole list.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Lines, Problems> {
    if bytes.len() > LIST_BYTES {
        let hint = "split the list, or leave out what is not shipped";
        return Err(Problem::whole(name, format!("the list has more than {LIST_BYTES} bytes")).hint(hint).into());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = Reader { name, bytes, format: None, crlf: false, problems: Vec::new() };
    let lines = reader.read();
    if !reader.problems.is_empty() {
        return Err(Problems(reader.problems));
    }
    if lines.is_empty() {
        let hint = "make one with: cd ROOT && find . -type f -exec sha256sum {} + > LIST";
        return Err(Problem::whole(name, "the list names no file").hint(hint).into());
    }
    Ok(lines)
}

/// The version that a comment at the head of a list names.
pub(super) fn version(bytes: &[u8]) -> Option<String> {
    let head = bytes.split(|byte| *byte == b'\n').take(20).take_while(|line| line.first() == Some(&b'#'));
    let said = head.filter_map(|line| line.strip_prefix(b"# version:")).next()?;
    let version = std::str::from_utf8(said.trim_ascii()).ok()?;
    (!version.is_empty()).then(|| version.to_owned())
}

/// A path and its digest.
type Listed = (Vec<u8>, [u8; 32]);

struct Reader<'a> {
    name: &'a str,
    bytes: &'a [u8],
    format: Option<Format>,
    crlf: bool,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn read(&mut self) -> Lines {
        let mut lines = Distinct::default();
        let mut start = 0;
        while start < self.bytes.len() && self.problems.len() < SHOWN {
            let end =
                self.bytes[start..].iter().position(|byte| *byte == b'\n').map_or(self.bytes.len(), |at| start + at);
            let from = start;
            start = end + 1;
            if from == 0 {
                self.crlf = self.bytes[..end].ends_with(b"\r");
            }
            let end = if self.crlf && self.bytes[from..end].ends_with(b"\r") { end - 1 } else { end };
            let line = match self.line(&self.bytes[from..end]) {
                Ok(Some(line)) => line,
                Ok(None) => continue,
                Err((message, hint)) => {
                    self.problem(from, end, message, hint);
                    continue;
                }
            };
            let (path, sha256) = line;
            if lines.push(Line::new(&path, sha256)) == Added::Contradicts {
                self.problem(
                    from,
                    end,
                    "the path is listed before with another digest",
                    "keep the line that the vendor published",
                );
            }
        }
        lines.lines()
    }

    fn problem(&mut self, from: usize, end: usize, message: &str, hint: &str) {
        self.problems.push(problem(self.name, self.bytes, from, end, message).hint(hint));
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Listed>, (&'static str, &'static str)> {
        if line.len() > LINE_BYTES {
            return Err(("the line has more than 65536 bytes", "this is no list of files"));
        }
        if line.iter().all(u8::is_ascii_whitespace) || line.starts_with(b"#") {
            return Ok(None);
        }
        let format = match self.format {
            Some(format) => format,
            None => detect(line).ok_or((
                "neither a line of sha256sum nor of an appliance's manifest",
                "expected \"<64 hex digits>  <path>\" or \"<path> <64 hex digits> b\"; MD5 and SHA-1 do not vouch",
            ))?,
        };
        self.format = Some(format);
        let (path, sha256) = match format {
            Format::Sha256sum => {
                sha256sum(line).ok_or(("not a line of sha256sum", "expected \"<64 hex digits>  <path>\""))?
            }
            Format::Appliance => appliance(line)
                .ok_or(("not a line of an appliance's manifest", "expected \"<path> <64 hex digits> b\""))?,
        };
        match evidence::normalise(&path) {
            Ok(path) => Ok(Some((path, sha256))),
            Err(evidence::PathError::Climbs) => {
                Err(("the path climbs with \"..\"", "list paths absolute, or relative to the evidence root"))
            }
            Err(evidence::PathError::Zero) => Err(("the path holds a zero byte", "no file name holds one")),
            Err(_) => Err(("the path names no file", "list paths absolute, or relative to the evidence root")),
        }
    }
}

/// A mistake in the line from `from` to `end`.
pub(super) fn problem(name: &str, bytes: &[u8], from: usize, end: usize, message: &str) -> Problem {
    // What is shown is text for a terminal: the bad line escaped, all before it only counted.
    let before: String = bytes[..from].iter().filter(|byte| **byte == b'\n').map(|_| '\n').collect();
    let shown = &bytes[from..end.min(from + 200)];
    let text = before.clone() + &directive::text::escape(shown);
    Problem::at(name, &text, before.len()..text.len(), message)
}

fn detect(line: &[u8]) -> Option<Format> {
    if sha256sum(line).is_some() {
        return Some(Format::Sha256sum);
    }
    appliance(line).map(|_| Format::Appliance)
}

/// `<digest> [ *]<path>`; a leading backslash says that the name is escaped.
fn sha256sum(line: &[u8]) -> Option<(Vec<u8>, [u8; 32])> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (digest, rest) = line.split_at_checked(64)?;
    let path = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    let path = if escaped { unescape(path)? } else { path.to_vec() };
    (!path.is_empty()).then_some(())?;
    Some((path, hex(digest)?))
}

/// `<path> <digest> <flag>`, read from the end: the path may hold spaces.
fn appliance(line: &[u8]) -> Option<(Vec<u8>, [u8; 32])> {
    let mut parts = line.rsplitn(3, |byte| *byte == b' ');
    let (flag, digest, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_flag = flag.len() == 1 && flag[0].is_ascii_alphabetic();
    (is_flag && !path.is_empty()).then_some(())?;
    Some((path.to_vec(), hex(digest)?))
}

fn unescape(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            other => *other,
        });
    }
    Some(out)
}

/// `2 * N` hexadecimal digits as `N` bytes.
pub(crate) fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| (digit as char).to_digit(16);
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(value(pair[0])? * 16 + value(pair[1])?).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// `{A}` and `{B}` stand for digests. Paths, or what the first mistake is shown as.
    #[track_caller]
    fn check(list: &str, expected: &str) {
        let list = list.replace("{A}", A).replace("{B}", B);
        let shown = match parse("list", list.as_bytes()) {
            Ok(lines) => lines.iter().map(|line| directive::text::escape(line.path)).collect::<Vec<_>>().join(" "),
            Err(problems) => {
                let first = &problems.0[0];
                format!("{:?} {}", first.position().map(|(line, _)| line), first.message)
            }
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_output_of_sha256sum_is_read_with_both_markers() {
        check("{A}  ./bin/web\n{B} */bin/login\n", "/bin/web /bin/login");
        check("{A}  bin/a b", "/bin/a b");
    }

    #[test]
    fn an_escaped_name_is_the_name_that_was_escaped() {
        check("\\{A}  a\\nb\\\\c\n", "/a\\nb\\c");
        check("\\{A}  a\\x\n", "Some(1) neither a line of sha256sum nor of an appliance's manifest");
    }

    #[test]
    fn lines_that_end_as_on_windows_are_read() {
        check("{A}  a\r\n{B}  b\r\n", "/a /b");
    }

    #[test]
    fn the_manifest_of_an_appliance_is_read() {
        check("/home/bin/web {A} b\n/home/with space {B} b\n", "/home/bin/web /home/with space");
    }

    #[test]
    fn a_path_that_climbs_is_refused_with_its_line() {
        check("{A}  a\n{B}  ../etc/shadow\n", "Some(2) the path climbs with \"..\"");
    }

    #[test]
    fn a_path_listed_twice_with_different_digests_is_refused() {
        check("{A}  a\n{A}  ./a\n", "/a");
        check("{A}  a\n{B}  ./a\n", "Some(2) the path is listed before with another digest");
    }

    #[test]
    fn a_huge_line_is_refused_and_not_shown_whole() {
        let list = format!("{A}  {}\n", "x".repeat(100_000));
        let shown = parse("list", list.as_bytes()).unwrap_err().to_string();
        assert!(shown.contains("more than 65536 bytes") && shown.len() < 2000, "{shown}");
    }

    #[test]
    fn a_mistake_is_shown_with_file_line_and_caret_and_without_escape_codes() {
        let list = format!("{A}  a\n{B} \x1b[2Jb\n");
        let shown = parse("vendor.sha256", list.as_bytes()).unwrap_err().to_string();
        assert!(shown.contains("vendor.sha256:2:1") && shown.contains("^^^"), "{shown}");
        assert!(!shown.contains('\x1b'), "{shown}");
    }

    #[test]
    fn an_empty_list_and_a_list_of_md5_are_refused() {
        check("\n# nothing\n", "None the list names no file");
        check(
            "d41d8cd98f00b204e9800998ecf8427e  a\n",
            "Some(1) neither a line of sha256sum nor of an appliance's manifest",
        );
    }

    proptest::proptest! {
        #[test]
        fn no_list_makes_us_panic(bytes: Vec<u8>) {
            let _ = parse("list", &bytes).map_err(|problems| problems.to_string());
        }

        #[test]
        fn nearly_right_lines_do_not_make_us_panic(
            marker in "[ *\\\\]{0,3}", path: Vec<u8>, tail in "( [0-9a-f]{64})?( b)?\r?\n?",
        ) {
            let mut list = format!("{A}{marker}").into_bytes();
            list.extend(path);
            list.extend(tail.as_bytes());
            list.extend_from_slice(&list.clone());
            let _ = parse("list", &list).map_err(|problems| problems.to_string());
        }

        #[test]
        fn what_sha256sum_writes_for_any_name_is_read_back(name in "[^\0/]{1,20}") {
            proptest::prop_assume!(name != "." && name != "..");
            let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
            let mark = if escaped == name { "" } else { "\\" };
            let lines = parse("list", format!("{mark}{A}  {escaped}\n").as_bytes()).unwrap();
            let path = format!("/{name}");
            proptest::prop_assert_eq!(lines.path(0), path.as_bytes());
        }
    }
}
