//! Sealed: how does known malware lie in a case so that nobody runs it and no scanner deletes it?
//!
//! Encrypted with AES-256-GCM under a key of the case alone, `quarantine.key`, which only its owner can read. The form
//! says in its first lines what it is and the SHA-256 of what is inside; these lines are authenticated with it, so
//! that sealed bytes cannot be given out for others. They lie in `evidence/` like all bytes: whoever gets the case
//! without the key gets proof that they are unchanged, and not the malware. This keeps accidents away, and nobody who
//! has the key.
//! Source: NIST SP 800-38D; `aead` of aws-lc-rs.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use directive::record::hex;
use sha2::{Digest as _, Sha256};

/// The name of the key in the folder of the case.
pub const KEY_FILE: &str = "quarantine.key";

/// What sealed bytes begin with, and the form's version.
const MAGIC: &str = "portcullis sealed 1";

/// Bytes of the key.
const KEY: usize = 32;

/// Why something could not be sealed, or opened again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsealed {
    /// The key could not be read or made.
    #[error("the key {KEY_FILE} of the case cannot be used")]
    Key(#[source] io::Error),
    /// Others than its owner may use the key.
    #[error("the key {KEY_FILE} of the case may be read by others than its owner (mode {0:o})")]
    Open(u32),
    /// These are no sealed bytes.
    #[error("these are no sealed bytes of a form that is known")]
    Form,
    /// They were changed, or sealed under another key.
    #[error("the sealed bytes were changed, or sealed under another key")]
    Other,
}

/// Seals bytes under the key of the case in that folder. The key is made if there is none.
pub(crate) fn seal(dir: &Path, plain: &[u8]) -> Result<Vec<u8>, Unsealed> {
    let key = key(dir, true)?;
    let head = head(plain);
    let mut body = plain.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(head.as_bytes()), &mut body).map_err(|_| Unsealed::Other)?;
    Ok([head.as_bytes(), nonce.as_ref(), &body].concat())
}

/// Opens sealed bytes with the key of the case in that folder.
pub(crate) fn unseal(dir: &Path, sealed: &[u8]) -> Result<Vec<u8>, Unsealed> {
    let length = head(&[]).len();
    let (head, rest) = sealed.split_at_checked(length).ok_or(Unsealed::Form)?;
    if !head.starts_with(MAGIC.as_bytes()) {
        return Err(Unsealed::Form);
    }
    let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(Unsealed::Form)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealed::Form)?;
    let mut body = body.to_vec();
    let key = key(dir, false)?;
    let plain = key.open_in_place(nonce, Aad::from(head), &mut body).map_err(|_| Unsealed::Other)?;
    if self::head(plain).as_bytes() == head { Ok(plain.to_vec()) } else { Err(Unsealed::Other) }
}

/// The first lines: what this is, and the digest of what is inside.
fn head(plain: &[u8]) -> String {
    format!("{MAGIC}\n{}\n", hex(&Sha256::digest(plain)))
}

/// The key. Its mode is looked at each time: one that others can read seals nothing from them.
fn key(dir: &Path, is_made: bool) -> Result<RandomizedNonceKey, Unsealed> {
    let path = dir.join(KEY_FILE);
    if is_made && !path.exists() {
        make(dir, &path).map_err(Unsealed::Key)?;
    }
    let file = File::options().read(true).open(&path).map_err(Unsealed::Key)?;
    let mode = file.metadata().map_err(Unsealed::Key)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Unsealed::Open(mode));
    }
    let mut bytes = Vec::new();
    file.take(KEY as u64 + 1).read_to_end(&mut bytes).map_err(Unsealed::Key)?;
    let wrong = || Unsealed::Key(io::Error::new(io::ErrorKind::InvalidData, format!("it has not {KEY} bytes")));
    if bytes.len() != KEY {
        return Err(wrong());
    }
    RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| wrong())
}

/// Written aside first: a crash must leave no half key under which something would be sealed.
fn make(dir: &Path, path: &Path) -> io::Result<()> {
    let mut bytes = [0; KEY];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    let temporary = dir.join(format!(".{KEY_FILE}.new"));
    let _ = fs::remove_file(&temporary);
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_comes_back_and_nothing_of_it_can_be_read_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let plain = b"inert exercise material".repeat(9);
        let sealed = seal(dir.path(), &plain).unwrap();
        assert!(sealed.starts_with(b"portcullis sealed 1\n"));
        assert!(!sealed.windows(5).any(|window| window == b"inert"));
        assert_eq!(unseal(dir.path(), &sealed).unwrap(), plain);
        assert_eq!(fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        // The same bytes twice look different, so that nobody learns that they are the same.
        assert_ne!(seal(dir.path(), &plain).unwrap(), sealed);
        assert_eq!(unseal(dir.path(), &seal(dir.path(), b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn one_changed_byte_anywhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = seal(dir.path(), b"short").unwrap();
        for place in 0..sealed.len() {
            let mut other = sealed.clone();
            other[place] ^= 1;
            assert!(unseal(dir.path(), &other).is_err(), "byte {place}");
        }
        for length in 0..sealed.len() {
            assert!(unseal(dir.path(), &sealed[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_key_of_another_case_or_one_that_others_can_read_opens_nothing() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = seal(one.path(), b"short").unwrap();
        seal(other.path(), b"makes a key").unwrap();
        assert!(matches!(unseal(other.path(), &sealed), Err(Unsealed::Other)));
        let key = one.path().join(KEY_FILE);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(unseal(one.path(), &sealed), Err(Unsealed::Open(0o640))));
        assert!(matches!(seal(one.path(), b"x"), Err(Unsealed::Open(0o640))));
        fs::remove_file(&key).unwrap();
        assert!(matches!(unseal(one.path(), &sealed), Err(Unsealed::Key(_))));
    }
}
