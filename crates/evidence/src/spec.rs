//! Spec: what kind of evidence does the operator's word mean?
//!
//! `/` is the running machine, `ssh://` another one; a folder is a folder; a file is told by its first
//! bytes, not by its name, since names are what people get wrong at three in the morning. The name
//! decides only where the bytes do not: an old tar, a raw image without a partition table.
//! Source: contract, "`SOURCE` is ...".

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use directive::progress::{Progress, Unwatched};
use image::ReadAt;
use image::volume::Keys;

use crate::archive::{Archive, Inner, Packing, Reopen};
use crate::disk::Disk;
use crate::error::Error;
use crate::file::Bytes;
use crate::folder::Folder;
use crate::limits::Limits;
use crate::source::Source;

/// A SOURCE of the command line or the scope file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceSpec {
    /// The running machine.
    Live,
    /// A folder, an archive or a disk image.
    Path(PathBuf),
    /// Something inside an archive: `bundle.zip!/disk.qcow2`. One level.
    Inside(PathBuf, String),
    /// A host over SSH, as the operator wrote it: `ssh://user@host:port/folder`.
    Remote(String),
}

/// Why a SOURCE is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Nothing was given.
    #[error("the evidence has no name")]
    Empty,
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] Error),
}

/// What the operator gives beside the evidence itself. Relative paths are taken from `base`.
pub struct Options<'a> {
    /// The folder of the scope file, or the working folder.
    pub base: &'a Path,
    /// Files with keys for encrypted volumes: their whole content is the key.
    pub keys: &'a [PathBuf],
    /// Further files of a disk image: a backing file, extents. An image names them itself, and no file
    /// is opened that is not also named here.
    pub backing: &'a [PathBuf],
    /// Bounds on what it may cost.
    pub limits: Limits,
    /// Who watches an archive being read, and may ask to stop.
    pub progress: &'a dyn Progress,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { base: Path::new(""), keys: &[], backing: &[], limits: Limits::default(), progress: &Unwatched }
    }
}

/// Bytes that tell what a file is.
const BEGINNING: usize = 512;

/// Bytes of a key file. LUKS itself takes at most 8 MiB.
const KEY_BYTES: u64 = 8 << 20;

impl FromStr for SourceSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Ok(match text {
            "" => return Err(SpecError::Empty),
            text if text.starts_with("ssh://") => Self::Remote(text.to_owned()),
            text if text.bytes().all(|byte| byte == b'/') => Self::Live,
            text => match text.split_once("!/") {
                Some((outer, inner)) if !outer.is_empty() => Self::Inside(PathBuf::from(outer), inner.to_owned()),
                _ => Self::Path(PathBuf::from(text)),
            },
        })
    }
}

impl SourceSpec {
    /// Whether the evidence is there and may be read, without reading it. Of a host nothing is asked.
    ///
    /// # Errors
    ///
    /// [`Error`] if it is not there or may not be read.
    pub fn is_there(&self, base: &Path) -> Result<(), Error> {
        match self {
            Self::Live => Folder::live().map(drop),
            Self::Inside(path, _) => Bytes::open(&base.join(path)).map(drop),
            Self::Path(path) => match Folder::open(&base.join(path)) {
                Err(Error::NotAFolder { .. }) => Bytes::open(&base.join(path)).map(drop),
                other => other.map(drop),
            },
            Self::Remote(_) => Ok(()),
        }
    }

    /// Opens the evidence. A packed archive is read once on the way, which takes its time.
    ///
    /// # Errors
    ///
    /// [`Error`] if it is not there or cannot be read. A host over SSH is refused here: this crate opens
    /// no connection.
    pub fn open(&self, options: &Options<'_>) -> Result<Box<dyn Source>, Error> {
        Ok(match self {
            Self::Live => Box::new(Folder::live()?),
            Self::Path(path) => return open_path(&options.base.join(path), options),
            Self::Inside(path, inner) => return open_inside(&options.base.join(path), inner, options),
            Self::Remote(text) => {
                let why = "a host over SSH is opened elsewhere".to_owned();
                return Err(Error::Refused { path: text.into(), why });
            }
        })
    }
}

fn open_path(path: &Path, options: &Options<'_>) -> Result<Box<dyn Source>, Error> {
    match Folder::open(path) {
        Err(Error::NotAFolder { .. }) => {}
        other => return Ok(Box::new(other?.with_limits(options.limits))),
    }
    open_bytes(path, Bytes::open(path)?, options)
}

fn open_bytes(path: &Path, bytes: Arc<dyn ReadAt>, options: &Options<'_>) -> Result<Box<dyn Source>, Error> {
    let (limits, progress) = (options.limits, options.progress);
    let mut beginning = [0; BEGINNING];
    let count = usize::try_from(bytes.len()).unwrap_or(BEGINNING).min(BEGINNING);
    // What cannot be read here is reported when the form that it is taken for is opened.
    let _ = bytes.read_at(0, &mut beginning[..count]);
    Ok(match form(path, &beginning[..count]) {
        Form::Zip => Box::new(Archive::zip(path, bytes, limits, progress)?),
        Form::Tar(packing) => Box::new(Archive::tar(path, bytes, packing, limits, progress)?),
        Form::Disk => {
            let keys = options.keys.iter().map(|key| read_key(&options.base.join(key))).collect::<Result<_, _>>()?;
            let mut others: Vec<(String, Arc<dyn ReadAt>)> = Vec::new();
            for other in options.backing {
                others.push((other.to_string_lossy().into_owned(), Bytes::open(&options.base.join(other))?));
            }
            Box::new(Disk::open(path, bytes, &others, &Keys(keys), limits)?)
        }
    })
}

fn read_key(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = Bytes::open(path)?;
    if bytes.len() > KEY_BYTES {
        let why = format!("a key file of more than {KEY_BYTES} bytes");
        return Err(Error::Refused { path: path.to_owned(), why });
    }
    let mut key = vec![0; usize::try_from(bytes.len()).unwrap_or(0)];
    bytes.read_at(0, &mut key).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    Ok(key)
}

/// Opens what lies inside an archive.
fn open_inside(outer: &Path, inner: &str, options: &Options<'_>) -> Result<Box<dyn Source>, Error> {
    let name = PathBuf::from(format!("{}!/{inner}", outer.display()));
    let refused = |why: &str| Error::Refused { path: name.clone(), why: why.to_owned() };
    let io = |source| Error::Open { path: name.clone(), source };
    let bytes: Arc<dyn ReadAt> = Bytes::open(outer)?;
    let mut beginning = [0; BEGINNING];
    let count = usize::try_from(bytes.len()).unwrap_or(BEGINNING).min(BEGINNING);
    bytes.read_at(0, &mut beginning[..count]).map_err(io)?;
    let archive = match form(outer, &beginning[..count]) {
        Form::Zip => Archive::zip(outer, bytes, options.limits, options.progress)?,
        Form::Tar(packing) => Archive::tar(outer, bytes, packing, options.limits, options.progress)?,
        Form::Disk => return Err(refused("only a file inside a tar or a zip can be named with `!/`")),
    };
    let found = archive.inner(&[b"/", inner.as_bytes()].concat());
    let found = found.ok_or_else(|| refused("the archive does not hold it as a regular file"))?;
    let count = found.beginning(&mut beginning).map_err(io)?;
    match (form(Path::new(inner), &beginning[..count]), found) {
        (Form::Tar(packing), Inner::Stream(reopen)) => {
            Ok(Box::new(Archive::stream(&name, reopen, packing, options.limits, options.progress)?))
        }
        (_, found) => match found.at_offsets().map_err(io)? {
            Some(bytes) => open_bytes(&name, bytes, options),
            None => {
                Err(refused("it is packed and too large to be unpacked into memory: unpack it, and name it by itself"))
            }
        },
    }
}

enum Form {
    Tar(Packing),
    Zip,
    Disk,
}

/// What a file is, by its first bytes; a plain file of no known beginning by its name.
fn form(path: &Path, beginning: &[u8]) -> Form {
    let packing = Packing::of(beginning);
    if packing != Packing::Plain {
        return Form::Tar(packing);
    }
    // Source: POSIX ustar, "magic" at 257; PKWARE APPNOTE 4.3.7 and 4.3.16 (an empty archive).
    if beginning.get(257..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Form::Tar(Packing::Plain);
    }
    if beginning.starts_with(b"PK\x03\x04") || beginning.starts_with(b"PK\x05\x06") {
        return Form::Zip;
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if name.ends_with(".tar") {
        Form::Tar(Packing::Plain)
    } else if name.ends_with(".zip") {
        Form::Zip
    } else {
        Form::Disk
    }
}

/// Opens a SOURCE as the operator wrote it, with nothing beside it.
///
/// # Errors
///
/// [`SpecError`] if it has no name or cannot be opened.
pub fn open(text: &str) -> Result<Box<dyn Source>, SpecError> {
    Ok(text.parse::<SourceSpec>()?.open(&Options::default())?)
}

/// Reads a tar stream that a host makes, such as one over SSH. `again` makes it, once, and once more for everything
/// whose content somebody wants; what the host says then is matched by path.
///
/// # Errors
///
/// [`Error`] if nothing in it can be read, or somebody asked to stop.
pub fn passing_tar(
    name: &str,
    again: Reopen,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Box<dyn Source>, Error> {
    Ok(Box::new(Archive::passing(name, again, limits, progress)?))
}

/// Reads a tar stream that comes by once, packed with gzip, xz, zstd or not at all, such as one inside a
/// package. Only SHA-256 is known of its files.
///
/// # Errors
///
/// [`Error`] if nothing in it can be read, or somebody asked to stop.
pub fn packed_tar(
    name: &str,
    stream: Box<dyn std::io::Read + Send>,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Box<dyn Source>, Error> {
    Ok(Box::new(Archive::packed(name, stream, limits, progress)?))
}

/// Reads a small tar that was read into memory, packed with gzip, xz, zstd or not at all.
///
/// # Errors
///
/// [`Error`] if nothing in it can be read, or somebody asked to stop.
pub fn tar_in_memory(
    name: &str,
    bytes: Vec<u8>,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Box<dyn Source>, Error> {
    Ok(Box::new(Archive::in_memory(name, bytes, limits, progress)?))
}

/// The files of a file system that somebody else opened, such as that of a host over SSH.
pub fn of_filesystem(
    name: &str,
    filesystem: Arc<dyn image::filesystem::FileSystem>,
    limits: Limits,
) -> Box<dyn Source> {
    Box::new(Disk::of_filesystem(name, filesystem, limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<SourceSpec>() {
            Ok(spec) => format!("{spec:?}"),
            Err(error) => error.to_string(),
        };
        assert!(shown.starts_with(expected), "{shown}");
    }

    #[test]
    fn the_root_is_the_running_machine_and_the_rest_is_a_path_or_a_host() {
        check("/", "Live");
        check("//", "Live");
        check("images/vpn1", "Path(\"images/vpn1\")");
        check("vpn1.tar.gz", "Path(\"vpn1.tar.gz\")");
        check("bundle.zip!/disk.qcow2", "Inside(\"bundle.zip\", \"disk.qcow2\")");
        check("ssh://root@vpn1", "Remote(\"ssh://root@vpn1\")");
        check("", "the evidence has no name");
    }
}
