//! Log: which pages were committed to a write-ahead log and not yet written back?
//!
//! As SQLite recovers after a crash: frame after frame as long as salts and checksums hold, and of those what lies
//! before the last commit. Whatever SQLite passes over is passed over here, so that an intruder who writes a frame
//! cannot make the two read different rows; what SQLite refuses is refused.
//! Source: "Database File Format" of sqlite.org, 4.1 to 4.5; `walIndexRecover` and `walDecodeFrame` of SQLite 3.46.

use std::collections::HashMap;

use super::{Broken, be32};

const HEADER: usize = 32;
const FRAME: usize = 24;

/// The only version of the format that there has been.
const VERSION: u32 = 3_007_000;

/// Two sums over words, the one over the other.
type Sums = (u32, u32);

/// The newest committed state of each page.
pub(super) fn committed(log: &[u8], page_bytes: usize) -> Result<HashMap<u32, &[u8]>, Broken> {
    let mut newer = HashMap::new();
    // The last bit says in which order the words of the sums are read.
    let magic = be32(log, 0).filter(|magic| magic & !1 == 0x377f_0682);
    let (Some(magic), Some(size)) = (magic, be32(log, 8)) else { return Ok(newer) };
    let is_size = size.is_power_of_two() && (512..=65536).contains(&size);
    if log.len() <= HEADER || !is_size {
        return Ok(newer);
    }
    let is_big = magic & 1 == 1;
    let mut sums = sum(&log[..24], (0, 0), is_big);
    if Some(sums.0) != be32(log, 24) || Some(sums.1) != be32(log, 28) {
        return Ok(newer);
    }
    if be32(log, 4) != Some(VERSION) {
        return Err("its write-ahead log has a version that is not known");
    }
    if size as usize != page_bytes {
        return Err("its write-ahead log has pages of another size");
    }
    let mut waiting = Vec::new();
    for frame in log[HEADER..].chunks_exact(FRAME + page_bytes) {
        let (Some(number), Some(pages)) = (be32(frame, 0), be32(frame, 4)) else { break };
        // Frames of an older use of the log have other salts; what was cut or changed has other sums.
        if frame[8..16] != log[16..24] || number == 0 {
            break;
        }
        sums = sum(&frame[FRAME..], sum(&frame[..8], sums, is_big), is_big);
        if Some(sums.0) != be32(frame, 16) || Some(sums.1) != be32(frame, 20) {
            break;
        }
        waiting.push((number, &frame[FRAME..]));
        // Only a commit says how many pages there are.
        if pages != 0 {
            newer.extend(waiting.drain(..));
        }
    }
    Ok(newer)
}

/// Goes on with the sums over further words. The bytes come in eights.
fn sum(bytes: &[u8], sums: Sums, is_big: bool) -> Sums {
    let word = |bytes: &[u8]| {
        let bytes = bytes.try_into().unwrap_or_default();
        if is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    bytes.chunks_exact(8).fold(sums, |(one, two), words| {
        let one = one.wrapping_add(word(&words[..4])).wrapping_add(two);
        (one, two.wrapping_add(word(&words[4..])).wrapping_add(one))
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "lays files beside SQLite itself")]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Range;
    use std::path::{Path, PathBuf};

    use rusqlite::Connection;

    use super::super::{Broken, Database};

    /// A file, and the log beside it.
    type Files = (Vec<u8>, Vec<u8>);

    /// A database as rpm has it, in WAL mode, whose changes stay in the log.
    fn database(path: &Path, page_bytes: u32) -> Connection {
        let db = Connection::open(path).unwrap();
        let start = format!(
            "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
            CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);
            CREATE TABLE 'Name' (key TEXT, hnum INTEGER)"
        );
        db.execute_batch(&start).unwrap();
        db
    }

    fn add(db: &Connection, numbers: Range<i64>) {
        for n in numbers {
            let blob = vec![u8::try_from(n % 256).unwrap(); 40 + 37 * usize::try_from(n % 90).unwrap()];
            db.execute("INSERT INTO Packages VALUES (?1, ?2)", (n + 1, blob)).unwrap();
        }
    }

    /// Where SQLite has the log of a database.
    fn log_of(path: &Path) -> PathBuf {
        format!("{}-wal", path.display()).into()
    }

    /// The file and its log as they lie there while the database is open.
    fn files(path: &Path) -> Files {
        (std::fs::read(path).unwrap(), std::fs::read(log_of(path)).unwrap_or_default())
    }

    /// What SQLite itself reads of a file and a log.
    fn peer(bytes: &[u8], log: &[u8]) -> Option<Vec<Vec<u8>>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sqlite");
        std::fs::write(&path, bytes).unwrap();
        std::fs::write(log_of(&path), log).unwrap();
        let db = Connection::open(&path).ok()?;
        let mut rows = db.prepare("SELECT blob FROM Packages ORDER BY hnum").ok()?;
        rows.query_map([], |row| row.get(0)).ok()?.collect::<Result<_, _>>().ok()
    }

    /// What we read of them.
    fn ours(bytes: &[u8], log: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
        let mut blobs = Vec::new();
        Database::open(bytes, log)?.each("Packages", &mut |blob| blobs.push(blob.to_vec()))?;
        Ok(blobs)
    }

    /// Reads as SQLite does, and says how many rows there are.
    #[track_caller]
    fn check((bytes, log): &Files) -> usize {
        let ours = ours(bytes, log).unwrap();
        assert_eq!(Some(&ours), peer(bytes, log).as_ref());
        ours.len()
    }

    /// A database of which 20 rows are written back and 180 committed to the log, and the same with 100 more that
    /// are not committed.
    fn torn() -> (Files, Files) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rpmdb.sqlite");
        let db = database(&path, 1024);
        add(&db, 0..20);
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        add(&db, 20..200);
        db.execute("UPDATE Packages SET blob = zeroblob(5000) WHERE hnum = 3", ()).unwrap();
        let whole = files(&path);
        // Pages go to the log as soon as there is no room for them.
        db.execute_batch("PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN").unwrap();
        add(&db, 200..300);
        (whole, files(&path))
    }

    #[test]
    fn what_was_committed_to_the_log_counts_and_what_was_not_does_not() {
        let (whole, torn) = torn();
        assert!(torn.1.len() > whole.1.len(), "the transaction left no frames");
        assert_eq!((check(&whole), check(&torn)), (200, 200));
        assert_eq!(check(&(whole.0, Vec::new())), 20);
    }

    #[test]
    fn a_log_that_was_cut_anywhere_is_read_as_far_as_its_last_commit() {
        let ((bytes, log), _) = torn();
        let cut = (0..log.len()).step_by(log.len() / 60);
        let seen: BTreeSet<usize> = cut.map(|length| check(&(bytes.clone(), log[..length].to_vec()))).collect();
        assert!(seen.len() > 10 && seen.first() == Some(&20), "{seen:?}");
    }

    #[test]
    fn a_log_with_other_salts_or_sums_is_passed_over_from_there() {
        let ((bytes, log), _) = torn();
        // In the header: magic, salt, sum. In the tenth frame: page, salt, sum, content.
        let frame = 32 + 9 * (24 + 1024);
        for at in [0, 17, 25, frame + 3, frame + 8, frame + 17, frame + 500] {
            let mut log = log.clone();
            log[at] ^= 0x10;
            assert!(check(&(bytes.clone(), log)) < 200, "byte {at}");
        }
    }

    #[test]
    fn a_log_of_another_database_gives_what_sqlite_makes_of_it_or_is_refused() {
        let ((mine, _), _) = torn();
        let dir = tempfile::tempdir().unwrap();
        let theirs = |name: &str, page_bytes: u32| {
            let path = dir.path().join(name);
            let db = database(&path, page_bytes);
            add(&db, 500..520);
            files(&path).1
        };
        check(&(mine.clone(), theirs("same.sqlite", 1024)));
        let refused = Database::open(&mine, &theirs("large.sqlite", 4096)).err();
        assert_eq!(refused, Some("its write-ahead log has pages of another size"));
    }

    #[test]
    fn no_changed_bit_of_a_log_makes_us_read_other_rows_than_sqlite() {
        let (_, (bytes, log)) = torn();
        // All of the header, and places that lie in heads and bodies of frames alike.
        for at in (0..32).chain((32..log.len()).step_by(log.len() / 50)) {
            let mut log = log.clone();
            log[at] ^= 1 << (at % 8);
            match ours(&bytes, &log) {
                Ok(ours) => assert_eq!(Some(ours), peer(&bytes, &log), "byte {at}"),
                Err(why) => assert!(why.starts_with("its write-ahead log"), "byte {at}: {why}"),
            }
        }
    }
}
