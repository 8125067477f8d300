//! Store: which organisations may hand in reports, and which did they hand in?
//!
//! One SQLite file. A report is written once: triggers of the store itself refuse to change or delete one. Tokens are
//! not kept: a keyed hash of each is (HMAC-SHA-256), and its key lies in a file beside, so that whoever reads the store
//! alone can neither use nor try tokens. A token has 256 bits of randomness, so that a slow hash would add nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use attest::{PublicKey, Receipt, SecretKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use directive::text::escape;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::protocol::{Report, Signed};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS organisation (
        name    TEXT PRIMARY KEY,
        token   BLOB NOT NULL UNIQUE,
        since   TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS officer (
        organisation TEXT NOT NULL REFERENCES organisation (name),
        key          TEXT NOT NULL,
        PRIMARY KEY (organisation, key)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS report (
        organisation TEXT NOT NULL REFERENCES organisation (name),
        directive    TEXT NOT NULL,
        version      INTEGER NOT NULL,
        sha256       TEXT NOT NULL,
        received     TEXT NOT NULL,
        late         INTEGER NOT NULL,
        attestation  TEXT NOT NULL,
        attested     TEXT NOT NULL,
        receipt      TEXT NOT NULL,
        signature    TEXT NOT NULL,
        packed       BLOB NOT NULL,
        PRIMARY KEY (organisation, directive, version),
        UNIQUE (organisation, directive, sha256)
    ) STRICT;
    CREATE TRIGGER IF NOT EXISTS report_stays BEFORE UPDATE ON report
        BEGIN SELECT RAISE(ABORT, 'a report that was taken is not changed'); END;
    CREATE TRIGGER IF NOT EXISTS report_is_kept BEFORE DELETE ON report
        BEGIN SELECT RAISE(ABORT, 'a report that was taken is not deleted'); END;
    PRAGMA application_id = 1347571521;
    PRAGMA user_version = 1;
";

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of it cannot be read or written.
    #[error("cannot use {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("the store of reports refused")]
    Store(#[from] rusqlite::Error),
    /// A key of it cannot be used.
    #[error("the key in {path:?} cannot be used")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: attest::KeyError,
    },
    /// The name of an organisation holds what nobody can see.
    #[error("{0:?} is no name of an organisation: it must be visible, and not empty")]
    Name(String),
    /// The system has no randomness.
    #[error("the system gave no randomness for a token")]
    Random,
}

/// What became of adding an organisation.
#[derive(Debug, PartialEq, Eq)]
pub struct Added {
    /// The token, where a new one was made. It is not kept: show it once.
    pub token: Option<String>,
    /// The fingerprints of all its officers' keys.
    pub officers: Vec<String>,
}

/// What is kept of a report beside its bytes.
pub(crate) struct Kept<'a> {
    pub(crate) attestation: &'a Signed,
    /// The report, packed with gzip.
    pub(crate) packed: &'a [u8],
}

/// What became of a report at the store.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is kept, under a receipt of now.
    New(Signed),
    /// It was kept before: the receipt is the one of then.
    Known(Signed),
    /// It does not name the latest one as the one that it replaces.
    NotNext { latest: Option<String> },
}

/// The organisations and their reports.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    token_key: hmac::Key,
    folder: PathBuf,
}

impl Store {
    /// Opens the store in a folder, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`Error`], by what cannot be used.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let at = |path: PathBuf| move |source| Error::Io { path, source };
        fs::create_dir_all(folder).map_err(at(folder.to_owned()))?;
        let key_file = folder.join("token.key");
        let bytes = secret(&key_file, || {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
            Ok(bytes.to_vec())
        })?;
        let file = folder.join("reports.db");
        // Made by ourselves first, so that nobody else can read it for as long as it takes.
        let made = OpenOptions::new().create(true).append(true).mode(0o600).open(&file);
        made.map_err(at(file.clone()))?;
        let db = Connection::open(&file)?;
        db.busy_timeout(std::time::Duration::from_secs(10))?;
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db, token_key: hmac::Key::new(HMAC_SHA256, &bytes), folder: folder.to_owned() })
    }

    /// The key of receipts, which is made once.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Key`].
    pub fn receipt_key(&self) -> Result<SecretKey, Error> {
        let path = self.folder.join("receipt.key");
        let key = |source| Error::Key { path: path.clone(), source };
        let bytes =
            secret(&path, || Ok(SecretKey::generate().and_then(|made| made.to_text()).map_err(key)?.into_bytes()))?;
        SecretKey::parse(&String::from_utf8_lossy(&bytes), None).map_err(key)
    }

    /// Adds an organisation, or officers to one that is there. `renew` makes a new token in place of the old one.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] if the name cannot be shown as it is; [`Error::Store`].
    pub fn add(&mut self, name: &str, officers: &[PublicKey], renew: Renew, now: Timestamp) -> Result<Added, Error> {
        if name.trim().is_empty() || escape(name) != name || name.trim() != name {
            return Err(Error::Name(name.to_owned()));
        }
        let transaction = self.db.transaction()?;
        let is_known: bool = transaction
            .query_row("SELECT 1 FROM organisation WHERE name = ?1", [name], |_| Ok(true))
            .optional()?
            .unwrap_or_default();
        let token = match (is_known, renew) {
            (true, Renew::No) => None,
            _ => Some(new_token()?),
        };
        if let Some(token) = &token {
            let hash = hmac::sign(&self.token_key, token.as_bytes());
            transaction.execute(
                "INSERT INTO organisation (name, token, since) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET token = excluded.token",
                params![name, hash.as_ref(), now.to_string()],
            )?;
        }
        for key in officers {
            transaction.execute(
                "INSERT OR IGNORE INTO officer (organisation, key) VALUES (?1, ?2)",
                params![name, key.to_string()],
            )?;
        }
        transaction.commit()?;
        let officers = self.officers(name)?.iter().map(PublicKey::fingerprint).collect();
        Ok(Added { token, officers })
    }

    /// The organisation that has a token.
    pub(crate) fn organisation(&self, token: &str) -> Result<Option<String>, Error> {
        let hash = hmac::sign(&self.token_key, token.as_bytes());
        let mut query = self.db.prepare_cached("SELECT name FROM organisation WHERE token = ?1")?;
        Ok(query.query_row([hash.as_ref()], |row| row.get(0)).optional()?)
    }

    /// The keys of an organisation's officers.
    pub(crate) fn officers(&self, organisation: &str) -> Result<Vec<PublicKey>, Error> {
        let mut query = self.db.prepare_cached("SELECT key FROM officer WHERE organisation = ?1 ORDER BY key")?;
        let lines = query.query_map([organisation], |row| row.get::<_, String>(0))?;
        let keys = lines.map(|line| line.map(|line| PublicKey::parse(&line).ok()));
        Ok(keys.filter_map(Result::transpose).collect::<Result<_, _>>()?)
    }

    /// Keeps a report, once and for all. `receipt` makes the receipt of a version: it is given the version, and when
    /// the last one was taken.
    pub(crate) fn take(
        &mut self,
        attested: &attest::Attestation,
        kept: &Kept<'_>,
        receipt: impl FnOnce(u32, Option<Timestamp>) -> Result<(Receipt, Signed), attest::KeyError>,
    ) -> Result<Outcome, Error> {
        let path = self.folder.join("receipt.key");
        let transaction = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let (organisation, directive) = (&attested.organisation, &attested.pack.id);
        let known = transaction
            .query_row(
                "SELECT receipt, signature FROM report WHERE organisation = ?1 AND directive = ?2 AND sha256 = ?3",
                [organisation, directive, &attested.report_sha256],
                signed,
            )
            .optional()?;
        if let Some(known) = known {
            return Ok(Outcome::Known(known));
        }
        let latest: Option<(u32, String, String)> = transaction
            .query_row(
                "SELECT version, sha256, received FROM report WHERE organisation = ?1 AND directive = ?2
                 ORDER BY version DESC LIMIT 1",
                [organisation, directive],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let (version, latest, last) = match latest {
            Some((version, sha256, received)) => (version + 1, Some(sha256), received.parse().ok()),
            None => (1, None, None),
        };
        if attested.replaces != latest {
            return Ok(Outcome::NotNext { latest });
        }
        let (receipt, answer) = receipt(version, last).map_err(|source| Error::Key { path, source })?;
        transaction.execute(
            "INSERT INTO report (organisation, directive, version, sha256, received, late, attestation, attested,
                                 receipt, signature, packed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                organisation,
                directive,
                version,
                attested.report_sha256,
                receipt.received.to_string(),
                receipt.late(),
                kept.attestation.statement,
                kept.attestation.signature,
                answer.statement,
                answer.signature,
                kept.packed,
            ],
        )?;
        transaction.commit()?;
        Ok(Outcome::New(answer))
    }

    /// What an organisation handed in.
    pub(crate) fn reports(&self, organisation: &str) -> Result<Vec<Report>, Error> {
        let mut query = self.db.prepare_cached(
            "SELECT receipt, signature, directive, version, sha256, received, late FROM report
             WHERE organisation = ?1 ORDER BY directive, version",
        )?;
        let rows = query.query_map([organisation], |row| {
            let received: String = row.get(5)?;
            Ok(Report {
                receipt: signed(row)?,
                directive: row.get(2)?,
                version: row.get(3)?,
                sha256: row.get(4)?,
                received: received.parse().unwrap_or(Timestamp::MIN),
                late: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Whether an organisation that is there gets a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renew {
    /// The old one holds.
    No,
    /// The old one ends.
    Yes,
}

fn signed(row: &Row<'_>) -> rusqlite::Result<Signed> {
    Ok(Signed { statement: row.get(0)?, signature: row.get(1)? })
}

/// A token: what it is for, and 256 bits.
fn new_token() -> Result<String, Error> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(format!("portcullis_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// A secret in a file that its owner alone can read; made if it is not there.
fn secret(path: &Path, make: impl FnOnce() -> Result<Vec<u8>, Error>) -> Result<Vec<u8>, Error> {
    let at = |source| Error::Io { path: path.to_owned(), source };
    match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(64 << 10).read_to_end(&mut bytes).map_err(at)?;
            Ok(bytes)
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let bytes = make()?;
            // Whole or not at all: half a key is worse than none.
            let fresh = path.with_extension("key.new");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(at)?;
            file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(at)?;
            fs::rename(&fresh, path).map_err(at)?;
            Ok(bytes)
        }
        Err(err) => Err(at(err)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_its_organisation_until_it_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let first = store.add("Example Agency", &[], Renew::No, now).unwrap().token.unwrap();
        assert_eq!(store.organisation(&first).unwrap().as_deref(), Some("Example Agency"));
        assert_eq!(store.add("Example Agency", &[], Renew::No, now).unwrap().token, None);
        let second = store.add("Example Agency", &[], Renew::Yes, now).unwrap().token.unwrap();
        assert_eq!(store.organisation(&first).unwrap(), None);
        assert_eq!(Store::open(dir.path()).unwrap().organisation(&second).unwrap().as_deref(), Some("Example Agency"));
        let bytes = fs::read(dir.path().join("reports.db")).unwrap();
        let wal = fs::read(dir.path().join("reports.db-wal")).unwrap_or_default();
        let is_in = |bytes: &[u8]| bytes.windows(second.len()).any(|part| part == second.as_bytes());
        assert!(!is_in(&bytes) && !is_in(&wal), "the token itself is kept");
    }

    #[test]
    fn a_name_that_nobody_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        for name in ["", " ", "a\nb", "x\u{202e}", " padded"] {
            assert!(matches!(store.add(name, &[], Renew::No, Timestamp::UNIX_EPOCH), Err(Error::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_report_that_was_taken_is_neither_changed_nor_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.add("Example Agency", &[], Renew::No, Timestamp::UNIX_EPOCH).unwrap();
        store
            .db
            .execute_batch(
                "INSERT INTO report VALUES ('Example Agency', 'ed-21-03', 1, 'a', '', 0, '', '', '', '', x'00')",
            )
            .unwrap();
        for change in ["UPDATE report SET late = 1", "DELETE FROM report"] {
            assert!(store.db.execute(change, []).unwrap_err().to_string().contains("a report that was taken"));
        }
    }
}
