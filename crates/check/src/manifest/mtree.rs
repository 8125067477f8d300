//! Mtree: what does a BSD `mtree` specification list?
//!
//! Nested and full-path forms, `/set` and `/unset`, continued lines, names as `vis(3)` writes them. Only
//! `sha256digest=` and `sha256=` vouch; a file without either is a mistake, since it would be a hole.
//! Owners, modes and other keywords are passed over.
//! Source: `mtree(5)`, `vis(3)`.

use directive::problem::{Problem, Problems};

use super::lines::{Added, Distinct, Line, Lines};
use super::list::{LIST_BYTES, hex, problem};

/// Bytes of one path: 16 times the longest that the kernel takes.
const PATH_BYTES: usize = 64 << 10;

/// What a line says wrong, and what to try.
type Wrong = (&'static str, &'static str);

/// Whether these bytes are such a specification.
pub(super) fn is(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').take(20);
    lines.any(|line| line.starts_with(b"#mtree") || line.starts_with(b"/set "))
}

/// Reads a whole specification.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Lines, Problems> {
    if bytes.len() > LIST_BYTES {
        return Err(Problem::whole(name, format!("the list has more than {LIST_BYTES} bytes")).into());
    }
    let mut reader = Reader::default();
    let mut at = 0;
    while at < bytes.len() {
        let from = at;
        let mut line = Vec::new();
        loop {
            let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |found| at + found);
            let piece = &bytes[at..end];
            at = (end + 1).min(bytes.len());
            match piece.strip_suffix(b"\\") {
                Some(continued) if at < bytes.len() => line.extend_from_slice(continued),
                _ => {
                    line.extend_from_slice(piece);
                    break;
                }
            }
        }
        reader
            .line(&line)
            .map_err(|(message, hint)| Problems(vec![problem(name, bytes, from, at, message).hint(hint)]))?;
    }
    if reader.lines.is_empty() {
        return Err(Problem::whole(name, "the list names no file").into());
    }
    Ok(reader.lines.lines())
}

#[derive(Default)]
struct Reader {
    lines: Distinct,
    folder: Vec<u8>,
    /// How long the folder was before each one that was entered.
    entered: Vec<usize>,
    /// The type that `/set` gives.
    kind: Option<Vec<u8>>,
    bytes: usize,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(first) = words.next() else { return Ok(()) };
        match first {
            word if word.starts_with(b"#") => return Ok(()),
            b"/set" => {
                let kind = words.filter_map(|word| word.strip_prefix(b"type=")).next_back();
                self.kind = kind.map(<[u8]>::to_vec).or(self.kind.take());
                return Ok(());
            }
            b"/unset" => {
                if words.any(|word| word == b"type" || word == b"all") {
                    self.kind = None;
                }
                return Ok(());
            }
            b".." => {
                let before = self.entered.pop();
                let climbs = ("\"..\" climbs out of the root", "the specification was cut or put together wrongly");
                self.folder.truncate(before.ok_or(climbs)?);
                return Ok(());
            }
            _ => {}
        }
        let name = unvis(first).ok_or(("the name is not escaped as vis(3) does", "make it with mtree or bsdtar"))?;
        let mut kind = self.kind.clone();
        let mut digest = None;
        for word in words {
            if let Some(value) = word.strip_prefix(b"type=") {
                kind = Some(value.to_vec());
            } else if let Some(value) = word.strip_prefix(b"sha256digest=").or(word.strip_prefix(b"sha256=")) {
                digest = Some(hex(value).ok_or(("no SHA-256", "64 hexadecimal digits stand after the \"=\""))?);
            }
        }
        let is_nested = !first.contains(&b'/');
        let path = if is_nested { [self.folder.as_slice(), b"/", &name].concat() } else { name };
        if path.len() > PATH_BYTES {
            return Err(("the path has more than 65536 bytes", "this is no list of files"));
        }
        match kind.as_deref().unwrap_or(b"file") {
            b"dir" if is_nested => {
                self.entered.push(self.folder.len());
                // The root itself is called ".".
                self.folder = evidence::normalise(&path).or_else(|error| match error {
                    evidence::PathError::Empty => Ok(Vec::new()),
                    _ => Err(("the path climbs or holds a zero byte", "no file name holds either")),
                })?;
                Ok(())
            }
            b"file" => self.file(&path, digest),
            _ => Ok(()),
        }
    }

    fn file(&mut self, path: &[u8], digest: Option<[u8; 32]>) -> Result<(), Wrong> {
        let path = evidence::normalise(path)
            .map_err(|_| ("the path climbs with \"..\" or names no file", "list paths from the evidence root"))?;
        let sha256 = digest.ok_or((
            "a file without a SHA-256",
            "make the list with `mtree -c -k type,sha256`; other digests do not vouch",
        ))?;
        // A short line in a long folder is a long path.
        self.bytes += path.len();
        if self.bytes > LIST_BYTES {
            return Err(("the paths have too many bytes altogether", "split the list"));
        }
        match self.lines.push(Line::new(&path, sha256)) {
            Added::New | Added::Again => Ok(()),
            Added::Contradicts => Err(("the path is listed before with another digest", "keep the line that is right")),
        }
    }
}

/// The name that `vis(3)` escaped in C or octal style.
fn unvis(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        if let Some((digits, after)) = rest.split_at_checked(3).filter(|(three, _)| three.iter().all(is_octal)) {
            let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            out.push(u8::try_from(value).ok()?);
            rest = after;
            continue;
        }
        let (letter, after) = rest.split_first()?;
        rest = after;
        out.push(match letter {
            b's' => b' ',
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            b'\\' | b'#' | b'*' | b'?' | b'[' => *letter,
            _ => return None,
        });
    }
    Some(out)
}

fn is_octal(digit: &u8) -> bool {
    (b'0'..=b'7').contains(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let text = text.replace("{A}", &"a".repeat(64)).replace("{B}", &"b".repeat(64));
        let shown = match parse("list", text.as_bytes()) {
            Ok(lines) => lines.iter().map(|line| directive::text::escape(line.path)).collect::<Vec<_>>().join(" "),
            Err(problems) => problems.0[0].message.clone(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_nested_specification_is_read() {
        let text = "#mtree\n/set type=file uid=0\n. type=dir\nbin type=dir\n  web sha256digest={A}\n  sh type=link \
                    link=dash\n..\n\nVERSION sha256={B}\n..\n";
        check(text, "/bin/web /VERSION");
    }

    #[test]
    fn a_specification_of_full_paths_is_read() {
        check("#mtree\n./bin type=dir\n./bin/a\\040b type=file \\\n sha256digest={A}\n", "/bin/a b");
    }

    #[test]
    fn what_bsdtar_writes_is_read() {
        let folder = "gname=root uname=root time=1795544266.193536661 mode=755 gid=0 uid=0 type=dir";
        let file = "gname=root mode=644 uid=0 type=file size=2 sha256digest={A}";
        check(&format!("#mtree\n. {folder}\n./a\\040b {folder}\n./a\\040b/c\\043d {file}\n"), "/a b/c#d");
    }

    #[test]
    fn a_file_without_a_digest_is_a_hole_and_refused() {
        check("#mtree\n./a type=file md5=x\n", "a file without a SHA-256");
    }

    #[test]
    fn a_specification_that_climbs_is_refused() {
        check("#mtree\n..\n", "\"..\" climbs out of the root");
        check("#mtree\n./../a type=file sha256={A}\n", "the path climbs with \"..\" or names no file");
        check("#mtree\n\\056\\056 type=dir\n", "the path climbs or holds a zero byte");
    }

    #[test]
    fn a_path_listed_twice_with_different_digests_is_refused() {
        check("#mtree\n./a sha256={A}\n./a sha256={B}\n", "the path is listed before with another digest");
    }

    proptest::proptest! {
        #[test]
        fn no_specification_makes_us_panic(bytes: Vec<u8>, text in "(/set |type=dir|\\.\\.|a|\\\\|0|\n| ){0,40}") {
            let _ = parse("list", &bytes).map_err(|problems| problems.to_string());
            let _ = parse("list", text.as_bytes()).map_err(|problems| problems.to_string());
        }
    }
}
