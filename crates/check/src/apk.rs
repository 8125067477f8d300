//! Apk: what does the database of Alpine's package manager say was installed?
//!
//! A text of fields, a letter each: package, folder, file, digest, owner and mode. Its digests are SHA-1,
//! which agree with what was installed and prove nothing; like every database of the instance it
//! vouches for nothing. Below `/etc` a difference is that of a configuration file, as apk has it.
//! Source: Alpine wiki "Apk spec", "Installed Database"; `apk-protected_paths(5)`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use evidence::Source;

use crate::database::{Database, gap, read};
use crate::manifest::lines::Line;
use crate::manifest::{Digest, Owner};

/// Where the database is; apk 3 has it below `/usr`.
const FILES: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];

/// Bytes of one path: four times what the kernel takes.
const PATH_BYTES: usize = 16 << 10;

fn file(source: &dyn Source) -> Option<&'static str> {
    FILES.into_iter().find(|path| source.canonical_file(path.as_bytes()).is_some())
}

/// Whether the evidence has a database of apk.
pub(crate) fn is_there(source: &dyn Source) -> bool {
    file(source).is_some()
}

/// Reads what the installed packages claim.
pub(crate) fn claims(source: &dyn Source, out: &mut Database) {
    let Some(path) = file(source) else {
        let why = "there is no database of apk; give a list made elsewhere with `--manifest`".into();
        return out.gaps.push(gap("manifest-missing", Some(FILES[0].as_bytes()), None, why));
    };
    let bytes = read(source, path.as_bytes(), &mut out.gaps).unwrap_or_default();
    let mut reader = Reader::default();
    for (n, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if !reader.line(line, path, out) {
            reader.broken.get_or_insert(n + 1);
        }
    }
    reader.finish(path, out);
    if let Some(line) = reader.broken {
        let why = format!("line {line} is none of a package database: files may be missing from it");
        out.gaps.push(gap("manifest-damaged", Some(path.as_bytes()), None, why));
    }
    if reader.strange > 0 {
        let why = format!("{} files have no digest of a kind that is computed; they are not checked", reader.strange);
        out.gaps.push(gap("manifest-missing", Some(path.as_bytes()), None, why));
    }
}

#[derive(Default)]
struct Reader {
    by: Option<u32>,
    folder: Vec<u8>,
    file: Option<File>,
    /// The first line that cannot be read.
    broken: Option<usize>,
    /// Files whose digest is missing or of another kind.
    strange: u64,
    is_full: bool,
}

/// A file whose fields are still coming.
struct File {
    path: Vec<u8>,
    owner: Owner,
    digest: Option<Digest>,
}

impl Reader {
    /// Takes one line; false if it cannot be read.
    fn line(&mut self, line: &[u8], place: &str, out: &mut Database) -> bool {
        let Some((letter, value)) = line.split_at_checked(2) else {
            // An empty line ends a package.
            self.finish(place, out);
            (self.by, self.folder) = (None, Vec::new());
            return line.is_empty();
        };
        match letter {
            b"P:" => {
                self.finish(place, out);
                let name = directive::text::escape(value);
                // One gap tells of all that does not fit.
                self.by = (!self.is_full).then(|| out.package(&name));
            }
            b"F:" => {
                self.finish(place, out);
                self.folder = value.to_vec();
            }
            b"R:" => {
                self.finish(place, out);
                if self.folder.len() + value.len() > PATH_BYTES {
                    return false;
                }
                let Ok(path) = evidence::normalise(&[&self.folder, &b"/"[..], value].concat()) else { return false };
                // Root owns it and nobody else may write, where nothing else is said.
                let owner = Owner { mode: Some(0o644), uid: Some(0), gid: Some(0), exact: true };
                self.file = Some(File { path, owner, digest: None });
            }
            b"a:" => match (owner(value), &mut self.file) {
                (Some(owner), Some(file)) => file.owner = owner,
                _ => return false,
            },
            b"Z:" => match &mut self.file {
                Some(file) => file.digest = digest(value),
                None => return false,
            },
            _ => return letter[1] == b':',
        }
        true
    }

    /// Hands over the file whose fields came last.
    fn finish(&mut self, place: &str, out: &mut Database) {
        let (Some(file), Some(by)) = (self.file.take(), self.by) else { return };
        let Some(digest) = file.digest else {
            self.strange += 1;
            return;
        };
        let is_configuration = file.path.starts_with(b"/etc/") && !file.path.starts_with(b"/etc/apk/");
        if out.fits(1, "apk", place.as_bytes()) {
            let line =
                Line { conffile: is_configuration, owner: Some(file.owner), ..Line::new(&file.path, (digest, by)) };
            out.claims.push(line);
        } else {
            self.by = None;
            self.is_full = true;
        }
    }
}

/// `uid:gid:mode`, and possibly the digest of attributes behind it.
fn owner(value: &[u8]) -> Option<Owner> {
    let mut parts = std::str::from_utf8(value).ok()?.split(':');
    let (uid, gid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let mode = u32::from_str_radix(parts.next()?, 8).ok()? & 0o7777;
    Some(Owner { mode: Some(mode), uid: Some(uid), gid: Some(gid), exact: true })
}

/// `Q1` and a SHA-1 in base64.
fn digest(value: &[u8]) -> Option<Digest> {
    let bytes = BASE64_STANDARD.decode(value.strip_prefix(b"Q1")?).ok()?;
    bytes.try_into().ok().map(Digest::Sha1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> (Database, Reader) {
        let (mut out, mut reader) = (Database::default(), Reader::default());
        for (n, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if !reader.line(line, FILES[0], &mut out) {
                reader.broken.get_or_insert(n + 1);
            }
        }
        reader.finish(FILES[0], &mut out);
        (out, reader)
    }

    #[test]
    fn a_path_that_climbs_is_none() {
        let (out, reader) = parsed(b"P:a\nF:usr/../..\nR:x\nZ:Q1qvTGHdzF6KLavt4PO0gs2a6pQ00=\n");
        assert_eq!((out.claims.len(), reader.broken), (0, Some(3)));
    }

    #[test]
    fn a_file_without_a_digest_is_counted() {
        let (out, reader) = parsed(b"P:a\nF:usr\nR:x\nR:y\nZ:Q2abc\nR:z\nZ:Q1qvTGHdzF6KLavt4PO0gs2a6pQ00=\n\n");
        assert_eq!((out.claims.len(), reader.strange, reader.broken), (1, 2, None));
        assert_eq!(out.claims.path(0), b"/usr/z");
    }

    proptest::proptest! {
        #[test]
        fn no_database_makes_us_panic(bytes: Vec<u8>, text in "([PFRaZM]:|[a-z0-7:/.]|Q1|=|\n){0,60}") {
            parsed(&bytes);
            parsed(text.as_bytes());
        }
    }
}
