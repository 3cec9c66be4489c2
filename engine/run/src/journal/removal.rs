//! Taking whole runs out of a journal, and giving back the space that they took.
//!
//! Records are append-only: a run goes whole or not at all, only when it is over, and what stays of it is a row that says when
//! it went, why, how many records it had and what the hash of its last one was.

use std::collections::BTreeSet;

use longhaul_model::ids::RunId;
use rusqlite::{Connection, Transaction};
use serde::Serialize;

use super::blobs::{self, Blobs};
use super::error::database;
use super::{Error, reader};

/// What was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// Bytes of the database's file.
    pub database_bytes: u64,
    /// Bytes of large values that no record names any more.
    pub value_bytes: u64,
}

/// A run that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// The run.
    pub run: RunId,
    /// When, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// Who wanted it and why.
    pub why: String,
    /// How many records it had.
    pub records: u64,
    /// SHA-256 of the last one, in hex: an export of the run is told by it.
    pub digest: String,
}

/// Deletes a run. The caller has seen that it is over.
pub(super) fn delete(tx: &Transaction<'_>, run: &RunId, at_unix_ms: u64, why: &str) -> Result<(), Error> {
    let head = reader::head(tx, run)?.ok_or_else(|| Error::NoSuchRun(run.clone()))?;
    let doing = || database("delete a run");
    tx.execute(
        "INSERT INTO deleted (run, at_unix_ms, why, records, digest, is_open) VALUES (?1, ?2, ?3, ?4, ?5, 1)",
        (run.as_str(), at_unix_ms, why, head.seq, &head.digest),
    )
    .map_err(doing())?;
    for sql in [
        "DELETE FROM records WHERE run = ?1",
        "DELETE FROM heads WHERE run = ?1",
        "DELETE FROM recordings WHERE run = ?1",
        "DELETE FROM states WHERE run = ?1",
        "UPDATE deleted SET is_open = 0 WHERE run = ?1",
    ] {
        tx.execute(sql, [run.as_str()]).map_err(doing())?;
    }
    Ok(())
}

/// Gives space back: the database is written anew without holes, and values that no record names are removed.
///
/// The values come last: one that a record names is there at every moment.
pub(super) fn compact(db: &Connection, blobs: &Blobs) -> Result<Freed, Error> {
    let before = size(db)?;
    // States that are kept are shortcuts, and a run that is over needs none.
    db.execute_batch("DELETE FROM states; VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
        .map_err(database("compact the journal"))?;
    let named = named(db)?;
    let io = |source| Error::Io { path: blobs.folder().to_owned(), source };
    let value_bytes = blobs.keep_only(&named).map_err(io)?;
    Ok(Freed { database_bytes: before.saturating_sub(size(db)?), value_bytes })
}

fn size(db: &Connection) -> Result<u64, Error> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
    db.query_row(sql, [], |row| row.get(0)).map_err(database("measure the journal"))
}

/// Every value that a record names.
fn named(db: &Connection) -> Result<BTreeSet<String>, Error> {
    let doing = || database("read the records");
    let mut statement = db.prepare("SELECT payload FROM records").map_err(doing())?;
    let mut rows = statement.query([]).map_err(doing())?;
    let mut named = BTreeSet::new();
    while let Some(row) = rows.next().map_err(doing())? {
        let text: String = row.get(0).map_err(doing())?;
        named.extend(blobs::digests(&text));
    }
    Ok(named)
}
