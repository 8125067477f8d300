//! Store: how are records kept so that a crash loses none and nobody adds one twice?
//!
//! SQLite with a rollback journal and full synchronisation: a step's records are there together or
//! not at all. The rows hold the exact bytes that were hashed; columns for querying are computed
//! from them and cannot disagree.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use directive::record::{Record, hex};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::chain::{Break, Hash, Head, Row, Walk, genesis, link};
use crate::evidence;
use crate::sealed::{self, Unsealed};

/// The largest record, in bytes. Real ones take a few hundred; a larger one in a case that somebody
/// hands us is meant to exhaust memory.
const LONGEST_RECORD: i32 = 64 << 20;

const SCHEMA: &str = "
    CREATE TABLE record (
        seq      INTEGER PRIMARY KEY,
        id       TEXT NOT NULL UNIQUE,
        body     TEXT NOT NULL,
        hash     BLOB NOT NULL,
        type     TEXT GENERATED ALWAYS AS (json_extract(body, '$.type')) VIRTUAL,
        at       TEXT GENERATED ALWAYS AS (json_extract(body, '$.at')) VIRTUAL,
        instance TEXT GENERATED ALWAYS AS (json_extract(body, '$.instance')) VIRTUAL
    ) STRICT;
    PRAGMA application_id = 1347571540;
    PRAGMA user_version = 1;
";

/// An open case.
#[derive(Debug)]
pub struct Case {
    dir: PathBuf,
    db: Connection,
    /// Held as long as the case is open for writing.
    lock: Option<File>,
}

impl Drop for Case {
    /// Lets go of the lock itself, not only of its file: a program that another thread is just
    /// starting has a copy of the file until it runs, and would hold the lock for that long.
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // The file closes in any case, which frees the lock a moment later.
            let _ = lock.unlock();
        }
    }
}

/// Why a case could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no case in that folder.
    #[error("{dir:?} holds no case")]
    NoCase {
        /// The folder.
        dir: PathBuf,
    },
    /// There is a case already.
    #[error("{dir:?} holds a case already")]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// Somebody else is writing to it.
    #[error("the case in {dir:?} is in use by another run")]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A file of the case could not be read or written.
    #[error("cannot use {path:?}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The store refused.
    #[error("the store of the case in {dir:?} refused")]
    Store {
        /// The folder.
        dir: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A record in the store is not a record.
    #[error("record {seq} cannot be read")]
    Record {
        /// Its number.
        seq: i64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A record of that id is there already and says something else.
    #[error("record {id} is in the case already and says something else")]
    Contradiction {
        /// The id.
        id: String,
    },
    /// The case is not what was written.
    #[error("the case was changed after it was written: {0}")]
    Broken(Break),
    /// Something could not be put into quarantine, or taken out of it.
    #[error("the quarantine of the case in {dir:?} cannot be used")]
    Sealed {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: Unsealed,
    },
}

impl Case {
    /// Makes a new, empty case in a folder, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is a case already; [`Error::Io`] or [`Error::Store`] if the folder
    /// cannot be written.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        fs::create_dir_all(dir.join("evidence")).map_err(at(dir))?;
        let lock = lock(dir)?;
        if dir.join("case.db").exists() {
            return Err(Error::Exists { dir: dir.to_owned() });
        }
        // Built aside and renamed: a crash leaves no half-made case.
        let fresh = dir.join(".case.db.new");
        let _ = fs::remove_file(&fresh);
        let store = |source| Error::Store { dir: dir.to_owned(), source };
        {
            let db = Connection::open(&fresh).map_err(store)?;
            db.execute_batch(SCHEMA).map_err(store)?;
            db.close().map_err(|(_, source)| store(source))?;
        }
        write_head(dir, &Head { records: 0, hash: hex(&genesis()) })?;
        fs::rename(&fresh, dir.join("case.db")).map_err(at(&fresh))?;
        Self::connect(dir, OpenFlags::SQLITE_OPEN_READ_WRITE, Some(lock))
    }

    /// Opens a case for writing. One run at a time can.
    ///
    /// # Errors
    ///
    /// [`Error::NoCase`], [`Error::InUse`], or [`Error::Broken`] if it was changed since.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        if !dir.join("case.db").is_file() {
            return Err(Error::NoCase { dir: dir.to_owned() });
        }
        let lock = lock(dir)?;
        let case = Self::connect(dir, OpenFlags::SQLITE_OPEN_READ_WRITE, Some(lock))?;
        // A run killed between commit and head leaves a head that is behind: verify accepts that,
        // and the head is brought up here.
        let head = case.verify()?;
        write_head(dir, &head)?;
        Ok(case)
    }

    /// Opens a case for reading, also while another run writes to it.
    ///
    /// # Errors
    ///
    /// [`Error::NoCase`] or [`Error::Store`].
    pub fn open_read_only(dir: &Path) -> Result<Self, Error> {
        if !dir.join("case.db").is_file() {
            return Err(Error::NoCase { dir: dir.to_owned() });
        }
        Self::connect(dir, OpenFlags::SQLITE_OPEN_READ_ONLY, None)
    }

    fn connect(dir: &Path, mode: OpenFlags, lock: Option<File>) -> Result<Self, Error> {
        let store = |source| Error::Store { dir: dir.to_owned(), source };
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(dir.join("case.db"), flags).map_err(store)?;
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_RECORD).map_err(store)?;
        // A case may come from somebody else: its schema must not be able to call functions.
        db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA synchronous = FULL;")
            .map_err(store)?;
        db.busy_timeout(std::time::Duration::from_secs(10)).map_err(store)?;
        Ok(Self { dir: dir.to_owned(), db, lock })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends the records of one step, all or none. Records that are there already are left out;
    /// returns how many were added.
    ///
    /// # Errors
    ///
    /// [`Error::Contradiction`] if a record of the same id says something else: nothing is added.
    pub fn append(&mut self, records: &[Record]) -> Result<usize, Error> {
        let dir = self.dir.clone();
        let store = |source| Error::Store { dir: dir.clone(), source };
        let transaction = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(store)?;
        let last = transaction
            .query_row("SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Hash>(1)?))
            })
            .optional()
            .map_err(store)?;
        let (first, mut before) = last.unwrap_or((0, genesis()));
        let mut seq = first;
        for record in records {
            let body = serde_json::to_string(record).map_err(|source| Error::Record { seq: seq + 1, source })?;
            let known: Option<String> = transaction
                .query_row("SELECT body FROM record WHERE id = ?1", [&record.id], |row| row.get(0))
                .optional()
                .map_err(store)?;
            match known {
                Some(known) if known == body => continue,
                Some(_) => return Err(Error::Contradiction { id: record.id.clone() }),
                None => {}
            }
            seq += 1;
            before = link(&before, seq, body.as_bytes());
            transaction
                .execute(
                    "INSERT INTO record (seq, id, body, hash) VALUES (?1, ?2, ?3, ?4)",
                    params![seq, record.id, body, &before[..]],
                )
                .map_err(store)?;
        }
        transaction.commit().map_err(store)?;
        write_head(&self.dir, &Head { records: seq, hash: hex(&before) })?;
        Ok(usize::try_from(seq - first).unwrap_or_default())
    }

    /// All records in order.
    ///
    /// # Errors
    ///
    /// [`Error::Record`] if a row does not hold a record.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        self.each(|row| {
            let record = serde_json::from_str(&row.body).map_err(|source| Error::Record { seq: row.seq, source })?;
            records.push(record);
            Ok(())
        })?;
        Ok(records)
    }

    /// Follows the whole chain and returns its end.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`] names the first record that is not what was written.
    pub fn verify(&self) -> Result<Head, Error> {
        let mut walk = Walk::new(read_head(&self.dir)?);
        self.each(|row| walk.step(&row).map_err(Error::Broken))?;
        walk.end().map_err(Error::Broken)
    }

    /// The number of the record whose hash this is: a report quotes one.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the case cannot be read.
    pub fn find_hash(&self, hash: &str) -> Result<Option<i64>, Error> {
        let mut found = None;
        self.each(|row| {
            if hex(&row.hash).eq_ignore_ascii_case(hash) {
                found = Some(row.seq);
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn each(&self, mut with: impl FnMut(Row) -> Result<(), Error>) -> Result<(), Error> {
        let store = |source| Error::Store { dir: self.dir.clone(), source };
        let mut query = self.db.prepare("SELECT seq, id, body, hash FROM record ORDER BY seq").map_err(store)?;
        let mut rows = query.query([]).map_err(store)?;
        while let Some(row) = rows.next().map_err(store)? {
            let row = Row {
                seq: row.get(0).map_err(store)?,
                id: row.get(1).map_err(store)?,
                body: row.get(2).map_err(store)?,
                hash: row.get(3).map_err(store)?,
            };
            with(row)?;
        }
        Ok(())
    }

    /// Stores bytes beside the records and returns their SHA-256 in hex.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder cannot be written.
    pub fn put_evidence(&self, bytes: &[u8]) -> Result<String, Error> {
        let dir = self.dir.join("evidence");
        evidence::put(&dir, bytes).map_err(|source| Error::Io { path: dir, source })
    }

    /// Reads bytes back by their SHA-256; `None` if they are missing or were changed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if they cannot be read.
    pub fn evidence(&self, digest: &str) -> Result<Option<Vec<u8>>, Error> {
        let dir = self.dir.join("evidence");
        evidence::get(&dir, digest).map_err(|source| Error::Io { path: dir, source })
    }

    /// Stores bytes that must not lie around, encrypted under the case's own key, and returns the SHA-256 of what is
    /// stored, in hex.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`] if the key cannot be used, [`Error::Io`] if the folder cannot be written.
    pub fn seal(&self, bytes: &[u8]) -> Result<String, Error> {
        let failed = |source| Error::Sealed { dir: self.dir.clone(), source };
        self.put_evidence(&sealed::seal(&self.dir, bytes).map_err(failed)?)
    }

    /// Reads sealed bytes back by the SHA-256 of what is stored; `None` if they are missing or were changed.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`] if the key cannot be used or is another one.
    pub fn sealed(&self, digest: &str) -> Result<Option<Vec<u8>>, Error> {
        let failed = |source| Error::Sealed { dir: self.dir.clone(), source };
        let stored = self.evidence(digest)?;
        stored.map(|stored| sealed::unseal(&self.dir, &stored).map_err(failed)).transpose()
    }

    /// How many records there are: the number of the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the case cannot be read.
    pub fn count(&self) -> Result<u64, Error> {
        let store = |source| Error::Store { dir: self.dir.clone(), source };
        let last = self.db.query_row("SELECT COALESCE(MAX(seq), 0) FROM record", [], |row| row.get::<_, i64>(0));
        Ok(u64::try_from(last.map_err(store)?).unwrap_or_default())
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| Error::Io { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::Io { path, source }),
    }
}

fn read_head(dir: &Path) -> Result<Head, Error> {
    let path = dir.join("head");
    let missing = |why: &str| Error::Broken(Break { record: 0, id: None, why: why.to_owned() });
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| missing("the head file is not one")),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Err(missing("the head file is missing")),
        Err(source) => Err(Error::Io { path, source }),
    }
}

fn write_head(dir: &Path, head: &Head) -> Result<(), Error> {
    let path = dir.join("head");
    let temporary = dir.join(".head.new");
    let write = || {
        let mut file = File::create(&temporary)?;
        serde_json::to_writer(&mut file, head)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(|source| Error::Io { path: path.clone(), source })
}
