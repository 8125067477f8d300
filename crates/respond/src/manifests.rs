//! Manifests: what does the file or folder that the operator names say was shipped?
//!
//! A list, a package of Debian, or a folder of packages; on the command line and in the scope the same. With
//! a key, nothing counts that has no signature by that key beside it.

use std::fs::File;
use std::io::{self, Cursor, Read as _};
use std::path::{Path, PathBuf};

use check::manifest::package;
use check::manifest::signature::{PublicKey, Refused};
use check::manifest::{Manifest, Operator};
use directive::problem::Problems;
use directive::progress::Progress;
use directive::record::hex;
use sha2::{Digest as _, Sha256};

/// Packages in one folder. The whole of a Debian release has 60,000 for one architecture.
const PACKAGES: usize = 100_000;

/// Bytes of a key or a signature.
const SMALL: u64 = 64 << 10;

/// What one name gave.
#[derive(Debug, Default)]
pub struct Read {
    /// What was shipped.
    pub manifests: Vec<Manifest<Operator>>,
    /// What a case keeps of it: the bytes of a list; of packages, one list of their digests.
    pub bytes: Vec<u8>,
    /// Whether a signature lies beside it that nobody asked to be verified.
    pub is_signed: bool,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It could not be read.
    #[error("cannot read the manifest {name}")]
    Read {
        /// As the operator named it.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder has no package in it, or too many.
    #[error("the folder {name} cannot be used: {why}")]
    Folder {
        /// As the operator named it.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Its signature could not be read.
    #[error("cannot read the signature {name}")]
    Signature {
        /// As the operator named it.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The key could not be read.
    #[error("cannot read the public key {name}")]
    Key {
        /// As the operator named it.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is not what the holder of the key signed.
    #[error("the manifest {name} cannot be used")]
    Refused {
        /// As the operator named it.
        name: String,
        /// What is wrong.
        source: Refused,
    },
    /// It is no list.
    #[error("the manifest cannot be used")]
    List {
        /// What is wrong with it.
        source: Problems,
    },
    /// It is no package.
    #[error("the package {name} cannot be used")]
    Package {
        /// As the operator named it.
        name: String,
        /// What is wrong with it.
        source: package::Error,
    },
}

/// Reads a public key.
///
/// # Errors
///
/// [`Error::Key`] or [`Error::Refused`] if it cannot be read, or is none.
pub fn key(path: &Path, name: &str) -> Result<PublicKey, Error> {
    let text = small(path).map_err(|source| Error::Key { name: name.to_owned(), source })?;
    PublicKey::parse(&text).map_err(|source| Error::Refused { name: name.to_owned(), source })
}

/// Reads what `path` is: a list, a package, or a folder of packages. `name` is what findings call it, and
/// `list` reads a file whole.
///
/// # Errors
///
/// [`Error`] if any of it cannot be used: what is given is used whole or not at all.
pub fn read(
    path: &Path,
    name: &str,
    key: Option<&PublicKey>,
    list: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    progress: &dyn Progress,
) -> Result<Read, Error> {
    let reader = Reader { key, list, progress };
    if path.is_dir() {
        return reader.folder(path, name);
    }
    if package::is_named(path.as_os_str().as_encoded_bytes()) {
        let (manifest, line) = reader.package(path, name)?;
        return Ok(Read { manifests: vec![manifest], bytes: line.into_bytes(), is_signed: reader.is_unasked(path) });
    }
    let bytes = list(path).map_err(|source| Error::Read { name: name.to_owned(), source })?;
    let manifest = match key {
        None => Manifest::from_operator(name, &bytes).map_err(|source| Error::List { source })?,
        Some(key) => {
            let signature = signature(path, name)?;
            Manifest::from_signed(name, &bytes, &signature, key)
                .map_err(|source| Error::Refused { name: name.to_owned(), source })?
        }
    };
    Ok(Read { manifests: vec![manifest], bytes, is_signed: reader.is_unasked(path) })
}

struct Reader<'a> {
    key: Option<&'a PublicKey>,
    list: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    progress: &'a dyn Progress,
}

impl Reader<'_> {
    fn is_unasked(&self, path: &Path) -> bool {
        self.key.is_none() && beside(path).exists()
    }

    fn folder(&self, path: &Path, name: &str) -> Result<Read, Error> {
        let failed = |source| Error::Read { name: name.to_owned(), source };
        let refused = |why: String| Error::Folder { name: name.to_owned(), why };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if package::is_named(file.as_os_str().as_encoded_bytes()) {
                files.push(file);
            }
            if files.len() > PACKAGES {
                return Err(refused(format!("it has more than {PACKAGES} packages")));
            }
        }
        if files.is_empty() {
            return Err(refused("no file in it ends in .deb or .rpm".into()));
        }
        files.sort();
        let mut read = Read::default();
        for file in files {
            let last = file.file_name().unwrap_or_default().to_string_lossy();
            let (manifest, line) = self.package(&file, &format!("{}/{last}", name.trim_end_matches('/')))?;
            read.manifests.push(manifest);
            read.bytes.extend(line.bytes());
        }
        Ok(read)
    }

    /// A package, and the line that a case keeps of it.
    fn package(&self, path: &Path, name: &str) -> Result<(Manifest<Operator>, String), Error> {
        let failed = |source| Error::Read { name: name.to_owned(), source };
        let (stream, sha256): (Box<dyn io::Read + Send>, String) = match self.key {
            Some(key) => {
                let bytes = (self.list)(path).map_err(failed)?;
                key.verify(&bytes, &signature(path, name)?)
                    .map_err(|source| Error::Refused { name: name.to_owned(), source })?;
                let sha256 = hex(&Sha256::digest(&bytes));
                (Box::new(Cursor::new(bytes)), sha256)
            }
            None => {
                let mut hash = Sha256::new();
                io::copy(&mut File::open(path).map_err(failed)?, &mut Hashing(&mut hash)).map_err(failed)?;
                (Box::new(File::open(path).map_err(failed)?), hex(&hash.finalize()))
            }
        };
        let manifest = package::read(name, stream, self.progress)
            .map_err(|source| Error::Package { name: name.to_owned(), source })?;
        Ok((manifest, format!("{sha256}  {}\n", directive::text::escape(name))))
    }
}

struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the signature of a manifest lies.
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

fn signature(path: &Path, name: &str) -> Result<String, Error> {
    small(&beside(path)).map_err(|source| Error::Signature { name: format!("{name}.minisig"), source })
}

fn small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SMALL).read_to_string(&mut text)?;
    Ok(text)
}
