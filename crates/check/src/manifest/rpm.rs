//! Rpm: which files does a package of rpm ship, by its own header?
//!
//! The header lists a digest of every file, so that the files themselves need not be unpacked. Only SHA-256
//! vouches; packages of before 2009 have MD5 and are refused. The signature over the header is not verified
//! here: `rpm --checksig` does that where the package was fetched.
//! Source: rpm 4.18 `docs/manual/format_lead.md`, `format_header.md`.

use std::io::{self, Read};

use super::lines::{Line, Lines};
use super::package::{Package, System};
use super::{Manifest, Operator, Owner};
use crate::rpm::header::{self, Digest};
use crate::rpm::{Kind, kind_of, may_change};

/// Bytes of one header. rpm itself takes no more.
const HEADER_BYTES: u64 = 256 << 20;

/// Why a package is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("the package cannot be read")]
    Read(#[from] io::Error),
    /// It has not the form of a package.
    #[error("this is no package of rpm: {0}")]
    Form(&'static str),
    /// Its digests do not vouch.
    #[error("its files have digests that do not vouch: only SHA-256 does, which rpm has had since 2009")]
    Weak,
}

/// Reads a package. The caller answers for its origin.
///
/// # Errors
///
/// [`Error`] if it is none, or has no SHA-256 of its files.
pub fn read(name: &str, mut stream: impl Read) -> Result<Manifest<Operator>, Error> {
    let mut lead = [0; 96];
    stream.read_exact(&mut lead).map_err(short)?;
    if lead[..4] != [0xed, 0xab, 0xee, 0xdb] {
        return Err(Error::Form("it does not begin as one"));
    }
    // The signature comes first, filled up to eight bytes.
    let signature = section(&mut stream)?;
    io::copy(&mut stream.by_ref().take((8 - signature.len() as u64 % 8) % 8), &mut io::sink())?;
    let header = header::parse(&section(&mut stream)?).ok_or(Error::Form("its header is damaged"))?;
    let (mut lines, mut links) = (Lines::default(), Vec::new());
    for file in header.files.iter().filter(|file| !file.is_ghost()) {
        let path = evidence::normalise(&file.path).map_err(|_| Error::Form("a path in it leads nowhere"))?;
        match (kind_of(file), file.digest) {
            (Kind::File, Some(Digest::Sha256(sha256))) => {
                // Names have no numbers but on the instance; only root is the same everywhere.
                let id = |name: &[u8]| (name == b"root").then_some(0);
                let owner =
                    Owner { mode: Some(file.mode & 0o7777), uid: id(&file.user), gid: id(&file.group), exact: true };
                lines.push(Line { conffile: may_change(file), owner: Some(owner), ..Line::new(&path, sha256) });
            }
            (Kind::File, _) => return Err(Error::Weak),
            (Kind::Link, _) => links.push((path, file.target.clone())),
            (Kind::Other, _) => {}
        }
    }
    let header::Package { name: package, version, architecture, .. } = header;
    let package = Package { system: System::Rpm, name: package, version, architecture };
    Ok(Manifest::of_package(name, package, lines, links))
}

/// A header with its magic bytes before it: from its counts on.
fn section(stream: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).map_err(short)?;
    if head[..4] != [0x8e, 0xad, 0xe8, 0x01] {
        return Err(Error::Form("a header of it is damaged"));
    }
    let word = |at: usize| u64::from(u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let length = 16 * word(8) + word(12);
    if length > HEADER_BYTES {
        return Err(Error::Form("a header of it is larger than any"));
    }
    let mut bytes = head[8..].to_vec();
    stream.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length + 8 {
        return Err(Error::Form("it ends too early"));
    }
    Ok(bytes)
}

fn short(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Form("it ends too early"),
        _ => Error::Read(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_package_is_refused_with_a_reason() {
        let said = |bytes: &[u8]| read("x.rpm", bytes).unwrap_err().to_string();
        assert!(said(b"short").contains("ends too early"));
        assert!(said(&[7; 96]).contains("does not begin as one"));
        let lead = [&[0xed, 0xab, 0xee, 0xdb][..], &[0; 92]].concat();
        let huge = [&lead[..], &[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0], &[0xff; 8]].concat();
        assert!(said(&huge).contains("larger than any"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_us_panic(bytes: Vec<u8>, counts: [u8; 4]) {
            let lead = [&[0xed, 0xab, 0xee, 0xdb][..], &[0; 92]].concat();
            let magic = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
            let counts = [0, 0, 0, counts[0] % 4, 0, 0, 0, counts[1]];
            let _ = read("x.rpm", &[&lead[..], &magic, &counts, &bytes].concat()[..]);
            let _ = read("x.rpm", &[&lead[..], &magic, &[0; 8], &magic, &counts, &bytes].concat()[..]);
        }
    }
}
