//! Evidence: where do the bytes behind a record lie, and are they still the same?
//!
//! Content-addressed: `evidence/ab/abcdef...` holds the bytes whose SHA-256 is its name. Written
//! once, to a temporary name first, so that a crash leaves no half file under a digest.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use directive::record::hex;
use sha2::{Digest as _, Sha256};

/// Stores bytes and returns their digest in hex. Storing the same bytes again changes nothing.
pub(crate) fn put(dir: &Path, bytes: &[u8]) -> io::Result<String> {
    let digest = hex(&Sha256::digest(bytes));
    let path = path(dir, &digest);
    if path.exists() {
        return Ok(digest);
    }
    let folder = path.parent().unwrap_or(dir);
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".{digest}.{}", std::process::id()));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    Ok(digest)
}

/// Reads bytes back; `None` if they are not there or not what their name says.
pub(crate) fn get(dir: &Path, digest: &str) -> io::Result<Option<Vec<u8>>> {
    if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    match fs::read(path(dir, digest)) {
        Ok(bytes) => Ok((hex(&Sha256::digest(&bytes)) == digest).then_some(bytes)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

fn path(dir: &Path, digest: &str) -> PathBuf {
    dir.join(&digest[..2]).join(digest)
}
