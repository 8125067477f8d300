//! Deb: which files does a package of Debian ship, by the `.deb` itself?
//!
//! The database on an instance lists MD5 sums that whoever changed a file can change with it. The package
//! comes from outside: its archive is unpacked in passing, every file hashed, nothing written or run.
//! Its own scripts and checksums are listed too, where dpkg keeps them: intruders change those.
//! The frame (`ar`) is read here and not by a crate: `deb(5)` allows only the simplest form of it, and a
//! general reader takes the length of a name from the file.
//! Source: `deb(5)`, `deb-conffiles(5)`, `ar(5)`; dpkg 1.21 `lib/dpkg/infodb-format.c`.

use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use directive::progress::Progress;
use evidence::{Entry, Kind, Meta, Obstacle, Source, Visitor, Wants};

use super::lines::{Line, Lines};
use super::package::{Package, System};
use super::{Manifest, Operator, Owner};

/// How much of one package is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the packed control archive. It holds scripts and checksums; the largest known, of kernel
    /// sources, has 2 MB.
    pub control_bytes: u64,
    /// Bytes that the files unpack to. The largest packages known, with debugging symbols, have 6 GB; a
    /// bomb of some kilobytes unpacks to exabytes.
    pub data_bytes: u64,
    /// Files of one package. Kernel sources have 80,000.
    pub files: usize,
    /// Bytes of a control file that is read whole: `control`, `conffiles`. Real ones have some kilobytes.
    pub text_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { control_bytes: 32 << 20, data_bytes: 16 << 30, files: 1 << 19, text_bytes: 1 << 20 }
    }
}

/// Why a package is not used. It comes from the operator, so that nothing of it is passed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("the package cannot be read")]
    Read(#[from] io::Error),
    /// It has not the form of a package.
    #[error("this is no package of Debian: {0}")]
    Form(&'static str),
    /// One of the archives in it cannot be opened.
    #[error("its archive cannot be opened")]
    Archive(#[from] evidence::Error),
    /// One of the archives in it is damaged, or has more in it than is read.
    #[error("its archive cannot be read whole: {0}")]
    Damaged(String),
}

/// Reads a package. The caller answers for its origin.
///
/// # Errors
///
/// [`Error`] if it is none, is damaged, or is larger than `limits` allow.
pub fn read(
    name: &str,
    stream: Box<dyn Read + Send>,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Manifest<Operator>, Error> {
    let mut stream = begin(stream, limits)?;
    let control = wanted(&mut stream, limits, b"control.tar")?.bytes(&mut stream, limits.control_bytes)?;
    let (package, mut lines) = control_files(name, control, limits, progress)?;
    let data = wanted(&mut stream, limits, b"data.tar")?;
    let conffiles: HashSet<Vec<u8>> = lines.conffiles.drain(..).collect();
    let source = evidence::packed_tar(name, Box::new(stream.take(data.size)), bounds(limits), progress)?;
    let listed = Listed::walk(source.as_ref(), progress)?;
    for file in listed.files.iter() {
        let conffile = conffiles.contains(file.path);
        lines.lines.push(Line { conffile, ..file });
    }
    Ok(Manifest::of_package(name, package, lines.lines, listed.links))
}

/// What stands before the archives of a package.
fn begin(stream: Box<dyn Read + Send>, limits: &Limits) -> Result<BufReader<Box<dyn Read + Send>>, Error> {
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    let mut magic = [0; 8];
    stream.read_exact(&mut magic).map_err(short)?;
    if magic != *b"!<arch>\n" {
        return Err(Error::Form("it does not begin as an archive of `ar`"));
    }
    let version = member(&mut stream, limits)?;
    if version.name != b"debian-binary" || !version.bytes(&mut stream, 64)?.starts_with(b"2.") {
        return Err(Error::Form("it does not say that it has format 2"));
    }
    Ok(stream)
}

/// The files of a package as evidence, for whoever needs their bytes. All of them are held in memory.
///
/// # Errors
///
/// [`Error`] if it is no package, is damaged, or is larger than `limits` allow.
pub fn files(
    name: &str,
    stream: Box<dyn Read + Send>,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Box<dyn Source>, Error> {
    let mut stream = begin(stream, limits)?;
    wanted(&mut stream, limits, b"control.tar")?.bytes(&mut stream, limits.control_bytes)?;
    let data = wanted(&mut stream, limits, b"data.tar")?.bytes(&mut stream, HELD)?;
    Ok(evidence::tar_in_memory(name, data, bounds(limits), progress)?)
}

/// Bytes of packed files that are held in memory: of a package from which a file is restored. Appliances' have some
/// hundred megabytes.
const HELD: u64 = 1 << 30;

fn bounds(limits: &Limits) -> evidence::Limits {
    evidence::Limits {
        archive_bytes: limits.data_bytes,
        archive_entries: limits.files,
        path_bytes: 4096,
        ..Default::default()
    }
}

/// One member of the frame.
struct Member {
    name: Vec<u8>,
    size: u64,
}

/// The header of the member that comes next.
fn member(stream: &mut impl Read, limits: &Limits) -> Result<Member, Error> {
    let mut header = [0; 60];
    stream.read_exact(&mut header).map_err(short)?;
    if header[58..] != *b"`\n" {
        return Err(Error::Form("a header of its frame is damaged"));
    }
    let digits = std::str::from_utf8(&header[48..58]).unwrap_or_default().trim_end();
    let size = digits.parse().ok().filter(|size| *size <= limits.data_bytes);
    let size = size.ok_or(Error::Form("a header of its frame has no size, or one beyond the limit"))?;
    let name = header[..16].trim_ascii_end();
    Ok(Member { name: name.strip_suffix(b"/").unwrap_or(name).to_vec(), size })
}

/// The member of that kind, which has to come next. Members that begin with `_` may be passed over.
fn wanted(stream: &mut (impl Read + Send), limits: &Limits, kind: &[u8]) -> Result<Member, Error> {
    loop {
        let next = member(stream, limits)?;
        if next.name.starts_with(b"_") {
            io::copy(&mut stream.take(next.size + next.size % 2), &mut io::sink())?;
            continue;
        }
        return match next.name.strip_prefix(kind) {
            Some(b"" | b".gz" | b".xz" | b".zst") => Ok(next),
            Some(_) => Err(Error::Form("it is packed in a way that is not read; gzip, xz and zstd are")),
            None => Err(Error::Form("its control archive and its files do not follow each other")),
        };
    }
}

impl Member {
    /// All of it, and what fills it up to an even length.
    fn bytes(&self, stream: &mut impl Read, limit: u64) -> Result<Vec<u8>, Error> {
        if self.size > limit {
            return Err(Error::Damaged(format!("a member has {} bytes, more than {limit}", self.size)));
        }
        let mut bytes = Vec::new();
        stream.take(self.size + self.size % 2).read_to_end(&mut bytes)?;
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if bytes.len() < size {
            return Err(Error::Form("it ends too early"));
        }
        bytes.truncate(size);
        Ok(bytes)
    }
}

fn short(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Form("it ends too early"),
        _ => Error::Read(error),
    }
}

/// What the control archive gives.
struct Control {
    lines: Lines,
    conffiles: Vec<Vec<u8>>,
}

fn control_files(
    name: &str,
    bytes: Vec<u8>,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<(Package, Control), Error> {
    let limits_of_text = evidence::Limits { archive_bytes: 8 * limits.control_bytes, ..bounds(limits) };
    let source = evidence::tar_in_memory(name, bytes, limits_of_text, progress)?;
    let text =
        |path: &[u8]| source.read_small(path, limits.text_bytes).map_err(|error| Error::Damaged(format!("{error}")));
    let control = text(b"/control")?.ok_or(Error::Form("it has no file `control`"))?;
    let (package, is_same) = package(&control).ok_or(Error::Form("its file `control` names no package"))?;
    let conffiles = text(b"/conffiles")?.unwrap_or_default();
    let conffiles = conffiles.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let conffiles = conffiles.filter_map(|line| evidence::normalise(line).ok()).collect();
    // dpkg keeps everything but `control` as it is.
    let files = Listed::walk(source.as_ref(), progress)?.files;
    // Several architectures of it can be installed at once: then dpkg names its files by architecture.
    let prefix = match is_same {
        true => format!("/var/lib/dpkg/info/{}:{}.", package.name, package.architecture),
        false => format!("/var/lib/dpkg/info/{}.", package.name),
    };
    let mut lines = Lines::default();
    for file in files.iter().filter(|file| file.path != b"/control") {
        lines.push(Line { path: &[prefix.as_bytes(), &file.path[1..]].concat(), ..file });
    }
    Ok((package, Control { lines, conffiles }))
}

/// Which package it is, and whether it has `Multi-Arch: same`. Source: `deb-control(5)`, Debian Policy 5.6.
fn package(control: &[u8]) -> Option<(Package, bool)> {
    let fresh = String::new;
    let mut package = Package { system: System::Dpkg, name: fresh(), version: fresh(), architecture: fresh() };
    let mut is_same = false;
    for line in control.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = std::str::from_utf8(line[colon + 1..].trim_ascii()).ok();
        let value = value.filter(|value| value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
        match line[..colon].to_ascii_lowercase().as_slice() {
            b"package" => package.name = value?.to_owned(),
            b"version" => package.version = value?.to_owned(),
            b"architecture" => package.architecture = value?.to_owned(),
            b"multi-arch" => is_same = value == Some("same"),
            _ => {}
        }
    }
    let is_whole = [&package.name, &package.version, &package.architecture].iter().all(|field| !field.is_empty());
    is_whole.then_some((package, is_same))
}

/// Files and links of an archive, with the first thing that could not be read.
#[derive(Default)]
struct Listed {
    files: Lines,
    links: Vec<(Vec<u8>, Vec<u8>)>,
    obstacle: Option<String>,
}

impl Listed {
    fn walk(source: &dyn Source, progress: &dyn Progress) -> Result<Self, Error> {
        let walk = Walk { progress, listed: Mutex::default() };
        source.walk(NonZeroUsize::MIN, &walk)?;
        let listed = walk.listed.into_inner().unwrap_or_else(PoisonError::into_inner);
        match listed.obstacle {
            Some(why) => Err(Error::Damaged(why)),
            None => Ok(listed),
        }
    }
}

struct Walk<'a> {
    progress: &'a dyn Progress,
    listed: Mutex<Listed>,
}

impl Visitor for Walk<'_> {
    fn wants(&self, _: &Meta) -> Wants {
        Wants::SHA256
    }

    fn entry(&self, entry: Entry) {
        let Meta { path, kind, mode, uid, gid, target, .. } = entry.meta;
        let path = path.as_bytes();
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        match (kind, entry.digests) {
            (Kind::File, Some(digests)) => {
                let owner = Owner { mode: Some(mode), uid: Some(uid), gid: Some(gid), exact: false };
                listed.files.push(Line { owner: Some(owner), ..Line::new(path, digests.sha256) });
            }
            (Kind::Link, _) => listed.links.push((path.to_vec(), target.unwrap_or_default().as_bytes().to_vec())),
            _ => {}
        }
    }

    fn obstacle(&self, obstacle: Obstacle) {
        // Packages ship no devices; a hole of any kind would make an intruder's file look like ours.
        let why = format!("{}: {}", obstacle.path.escaped(), obstacle.message);
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).obstacle.get_or_insert(why);
    }

    fn stop(&self) -> bool {
        self.progress.stop_requested()
    }
}

#[cfg(test)]
mod tests {
    use directive::progress::Unwatched;

    use super::*;

    fn framed(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = b"!<arch>\n".to_vec();
        for (name, bytes) in members {
            out.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(&b"\n"[..bytes.len() % 2]);
        }
        out
    }

    fn refused(bytes: Vec<u8>) -> String {
        let limits = Limits { control_bytes: 1000, ..Limits::default() };
        match read("x.deb", Box::new(io::Cursor::new(bytes)), &limits, &Unwatched) {
            Ok(manifest) => format!("{} files", manifest.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_no_package_is_refused_with_a_reason() {
        let said = |members: &[(&str, &[u8])]| refused(framed(members));
        assert!(refused(b"PK\x03\x04nothing".to_vec()).contains("does not begin as an archive"));
        assert!(said(&[]).contains("ends too early"));
        assert!(said(&[("debian-binary", b"1.0\n")]).contains("format 2"));
        let head: (&str, &[u8]) = ("debian-binary", b"2.0\n");
        assert!(said(&[head, ("data.tar.xz", b"")]).contains("do not follow"));
        assert!(said(&[head, ("_note", b"odd"), ("control.tar.bz2", b"x")]).contains("not read"));
        assert!(said(&[head, ("control.tar", &[0; 2000])]).contains("more than 1000"));
    }

    #[test]
    fn a_package_whose_name_climbs_is_none() {
        assert_eq!(package(b"Package: ../../etc\nVersion: 1\nArchitecture: all\n"), None);
        assert_eq!(package(b"Package: a b\nVersion: 1\nArchitecture: all\n"), None);
        let text = b"Package: a\nVersion: 1:2-3\nArchitecture: amd64\nMulti-Arch: same\n";
        let (found, is_same) = package(text).unwrap();
        assert!(is_same && found.version == "1:2-3");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_us_panic(bytes: Vec<u8>, control: Vec<u8>, data: Vec<u8>) {
            refused(bytes);
            let _ = package(&control);
            refused(framed(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)]));
        }
    }
}
