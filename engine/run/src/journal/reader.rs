//! Reading a journal, also while another process writes it.

use std::path::Path;

use longhaul_model::ids::{RunId, StepPath};
use longhaul_saga::{Header, Record};
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value;

use super::chain::{self, Head};
use super::error::database;
use super::{Broken, Error, Owner, Stored, owner, schema};

/// A reader's own connection.
#[derive(Debug)]
pub struct Reader {
    db: Connection,
}

/// A run in few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// How many records it has.
    pub records: u64,
    /// When it began, in Unix milliseconds.
    pub began_at_unix_ms: u64,
}

/// What a verification looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Runs whose chain was followed to its head.
    pub runs: u64,
    /// Records in them.
    pub records: u64,
}

/// Something worth showing that no decision depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// When, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// The step.
    pub step: String,
    /// What, such as a progress.
    pub payload: Value,
}

impl Reader {
    /// Opens the journal in a controller directory.
    ///
    /// # Errors
    /// When there is none, it is no database, or a newer Longhaul wrote it.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Ok(Self { db: schema::open_reader(&directory.join("journal.db"))? })
    }

    /// Who works in the directory, or worked there last.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn owner(&self) -> Result<Option<Owner>, Error> {
        owner::read(&self.db)
    }

    /// Every run, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn runs(&self) -> Result<Vec<RunSummary>, Error> {
        let sql = "SELECT run, COUNT(*), MIN(at_unix_ms) FROM records GROUP BY run ORDER BY 3, 1";
        let row = |row: &Row<'_>| {
            let run = id(row, 0)?;
            Ok(RunSummary { run, records: row.get(1)?, began_at_unix_ms: row.get(2)? })
        };
        self.all("list the runs", sql, [], row)
    }

    /// Every durable record of a run as it is stored, in order.
    ///
    /// # Errors
    /// When there is no such run or the database cannot be read.
    pub fn stored(&self, run: &RunId) -> Result<Vec<Stored>, Error> {
        let mut records = self.texts(run)?;
        for Stored { header, text } in &mut records {
            // Text that is no JSON was changed; the chain says so with the record's name.
            header.payload = serde_json::from_str(text).unwrap_or(Value::Null);
        }
        Ok(records)
    }

    /// The same with payloads as text alone.
    fn texts(&self, run: &RunId) -> Result<Vec<Stored>, Error> {
        let sql = "SELECT seq, version, saga, at_unix_ms, kind, payload, previous
                   FROM records WHERE run = ?1 ORDER BY seq";
        let records = self.all("read the records", sql, [run.as_str()], |row| stored(run, row))?;
        if records.is_empty() { Err(Error::NoSuchRun(run.clone())) } else { Ok(records) }
    }

    /// Every durable record of a run, in order, its chain followed.
    ///
    /// # Errors
    /// When there is no such run, a record was changed, or this binary cannot read one.
    pub fn records(&self, run: &RunId) -> Result<Vec<Record>, Error> {
        let stored = self.texts(run)?;
        chain::follow(run, &stored)?;
        let read = |Stored { header, text }| Record::read_text(header, &text).map_err(Error::from);
        stored.into_iter().map(read).collect()
    }

    /// Follows every chain to its head and lets SQLite check its own structures.
    ///
    /// # Errors
    /// [`Error::Broken`] names the first record that cannot be trusted.
    pub fn verify(&self) -> Result<Verified, Error> {
        let mut verified = Verified { runs: 0, records: 0 };
        for summary in self.runs()? {
            verified.records += self.verify_run(&summary.run)?;
            verified.runs += 1;
        }
        self.verify_structure()?;
        Ok(verified)
    }

    fn verify_run(&self, run: &RunId) -> Result<u64, Error> {
        let found = chain::follow(run, &self.texts(run)?)?;
        let head = self.head(run)?.unwrap_or_else(Head::empty);
        if found.seq < head.seq {
            let why = "it was written and is missing".to_owned();
            return Err(Broken { run: run.clone(), seq: found.seq + 1, why }.into());
        }
        if found != head {
            let why = "its content does not fit the hash at the chain's end".to_owned();
            return Err(Broken { run: run.clone(), seq: found.seq, why }.into());
        }
        Ok(found.seq)
    }

    fn verify_structure(&self) -> Result<(), Error> {
        let said: String = self
            .db
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .map_err(database("check the journal's structure"))?;
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        match said.as_str() {
            "ok" => Ok(()),
            _ => Err(database("check the journal's structure")(rusqlite::Error::SqliteFailure(
                corrupt,
                Some(said),
            ))),
        }
    }

    pub(super) fn head(&self, run: &RunId) -> Result<Option<Head>, Error> {
        head(&self.db, run)
    }

    /// What was recorded of a run besides its records, in order. May have gaps.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn recordings(&self, run: &RunId) -> Result<Vec<Recording>, Error> {
        let sql = "SELECT at_unix_ms, step, payload FROM recordings WHERE run = ?1 ORDER BY id";
        let row = |row: &Row<'_>| {
            let text: String = row.get(2)?;
            let payload = serde_json::from_str(&text).unwrap_or(Value::Null);
            Ok(Recording { at_unix_ms: row.get(0)?, step: row.get(1)?, payload })
        };
        self.all("read the recordings", sql, [run.as_str()], row)
    }

    /// How each step stood last, by its recordings.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_recording(&self, run: &RunId, step: &StepPath) -> Result<Option<Recording>, Error> {
        Ok(self.recordings(run)?.into_iter().rev().find(|recording| recording.step == step.as_str()))
    }

    fn all<T, P: rusqlite::Params>(
        &self,
        doing: &'static str,
        sql: &str,
        params: P,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.db.prepare_cached(sql).map_err(database(doing))?;
        let rows = statement.query_map(params, row).map_err(database(doing))?;
        rows.collect::<rusqlite::Result<_>>().map_err(database(doing))
    }
}

pub(super) fn head(db: &Connection, run: &RunId) -> Result<Option<Head>, Error> {
    let row = |row: &Row<'_>| Ok(Head { seq: row.get(0)?, digest: row.get(1)? });
    db.query_row("SELECT seq, digest FROM heads WHERE run = ?1", [run.as_str()], row)
        .optional()
        .map_err(database("read the chain's end"))
}

/// The header has no payload yet: only who writes records elsewhere needs it as a value.
fn stored(run: &RunId, row: &Row<'_>) -> rusqlite::Result<Stored> {
    let header = Header {
        run: run.clone(),
        seq: row.get(0)?,
        version: row.get(1)?,
        saga: row.get(2)?,
        at_unix_ms: row.get(3)?,
        kind: row.get(4)?,
        payload: Value::Null,
        previous: row.get(6)?,
    };
    Ok(Stored { header, text: row.get(5)? })
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    let text: String = row.get(column)?;
    let malformed = |error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    };
    RunId::try_from(text).map_err(malformed)
}
