//! The tables, and opening a database that has them.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::Error;
use super::error::database;

/// The form of the tables. A journal of a higher one is refused.
const FORMAT: i64 = 1;
/// What tells a journal from other databases: `LHJ1` in ASCII, in SQLite's `application_id`.
const APPLICATION: i64 = 0x4C48_4A31;
/// How long a reader waits for a checkpoint, and the writer for a reader that holds one up.
const BUSY: Duration = Duration::from_secs(10);

/// What every journal has.
const TABLES: &str = "
CREATE TABLE owner (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    pid INTEGER NOT NULL, host TEXT NOT NULL, started_at_unix_ms INTEGER NOT NULL, generation INTEGER NOT NULL
);
CREATE TABLE records (
    run TEXT NOT NULL, seq INTEGER NOT NULL, version INTEGER NOT NULL, saga INTEGER NOT NULL,
    at_unix_ms INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL, previous TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE TABLE heads (
    run TEXT PRIMARY KEY, seq INTEGER NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, at_unix_ms INTEGER NOT NULL, step TEXT NOT NULL, payload TEXT NOT NULL
);
CREATE TRIGGER records_stay BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
";

/// What the first journals did not have, which bear no application id. Their records stay as they are.
const ADDED: &str = "
CREATE INDEX recordings_of_run ON recordings (run, id);
CREATE TABLE states (
    run TEXT PRIMARY KEY, seq INTEGER NOT NULL, form INTEGER NOT NULL, saga INTEGER NOT NULL, digest TEXT NOT NULL,
    message INTEGER NOT NULL, state TEXT NOT NULL, hash TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE deleted (
    run TEXT NOT NULL, at_unix_ms INTEGER NOT NULL, why TEXT NOT NULL, records INTEGER NOT NULL, digest TEXT NOT NULL,
    is_open INTEGER NOT NULL, PRIMARY KEY (run, at_unix_ms)
) WITHOUT ROWID;
DROP TRIGGER IF EXISTS records_remain;
CREATE TRIGGER records_remain BEFORE DELETE ON records
WHEN NOT EXISTS (SELECT 1 FROM deleted WHERE run = OLD.run AND is_open = 1)
BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
";

/// What a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has nothing yet.
    Empty,
    /// A journal from before journals bore an application id.
    Unmarked,
    /// A journal.
    Journal,
}

/// The write-ahead log grows to this before SQLite begins it anew: 1,000 pages of 4 KiB with their headers, and the commit that
/// comes to them.
const LOG_BYTES: usize = 1_010 * (4_096 + 24);

/// Opens for writing; makes the tables if there are none. The caller holds the directory's lock.
pub(super) fn open_writer(path: &Path) -> Result<Connection, Error> {
    let db = connect(path)?;
    let missing = match kind_of(&db, path)? {
        Kind::Empty => Some(format!("{TABLES} {ADDED}")),
        Kind::Unmarked => Some(ADDED.to_owned()),
        Kind::Journal => None,
    };
    if let Some(missing) = missing {
        let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};");
        let sql = format!("BEGIN IMMEDIATE; {missing} {marks} COMMIT;");
        db.execute_batch(&sql).map_err(database("make the journal's tables"))?;
    }
    // The last connection takes the log with it, unless another process reads.
    drop(db);
    lay_out_log(path)?;
    connect(path)
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let db = Connection::open(path).map_err(database("open the journal"))?;
    db.busy_timeout(BUSY).map_err(database("open the journal"))?;
    // Before anything is written: a database of somebody else stays as it is.
    kind_of(&db, path)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(database("open the journal"))?;
    db.pragma_update(None, "synchronous", "FULL").map_err(database("open the journal"))?;
    Ok(db)
}

/// Writes the log's bytes before they are used, if there is no log: a commit that makes the file longer takes twice the time
/// (measured on ext4: 230 us against 110 us). For SQLite a log of zeroes is an empty one.
fn lay_out_log(path: &Path) -> Result<(), Error> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let write = || {
        let mut file = File::create_new(&log)?;
        file.write_all(&vec![0; LOG_BYTES])?;
        file.sync_all()
    };
    match write() {
        // A reader, or what a controller that died has left there.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        done => done.map_err(|source| Error::Io { path: log.clone(), source }),
    }
}

/// Opens for reading.
pub(super) fn open_reader(path: &Path) -> Result<(Connection, Kind), Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(database("open the journal"))?;
    db.busy_timeout(BUSY).map_err(database("open the journal"))?;
    let kind = kind_of(&db, path)?;
    Ok((db, kind))
}

/// What a database is; one of somebody else, or of a newer Longhaul, is refused.
fn kind_of(db: &Connection, path: &Path) -> Result<Kind, Error> {
    let number = |sql: &str| {
        let found = db.query_row(sql, [], |row| row.get::<_, i64>(0));
        found.map_err(database("read the journal's format"))
    };
    let tables =
        "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('owner', 'records', 'heads', 'recordings')";
    let (all, ours) = (number("SELECT COUNT(*) FROM sqlite_schema")?, number(tables)?);
    let kind = match (number("PRAGMA application_id")?, all) {
        (APPLICATION, _) => Kind::Journal,
        (_, 0) => return Ok(Kind::Empty),
        (0, _) if ours == 4 => Kind::Unmarked,
        (_, _) => return Err(Error::Foreign { path: path.to_owned() }),
    };
    let found = number("PRAGMA user_version")?;
    if found > FORMAT { Err(Error::Newer { found, known: FORMAT }) } else { Ok(kind) }
}
