//! Reading a journal, also while another process writes it.

use std::collections::BTreeMap;
use std::path::Path;

use longhaul_model::ids::{RunId, StepPath};
use longhaul_plan::Plan;
use longhaul_saga::{Entry, Event, FoldError, Header, Record, Status, Unreadable};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Deserialize;
use serde_json::Value;

use super::blobs::{self, Blobs, Lost};
use super::chain::{self, Head};
use super::error::database;
use super::kept::folding;
use super::schema::Kind;
use super::{Broken, Bundle, Deleted, Error, Owner, Stored, owner, schema};

/// A reader's own connection.
#[derive(Debug)]
pub struct Reader {
    pub(super) db: Connection,
    pub(super) kind: Kind,
    blobs: Blobs,
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

/// How a run stands, by its last records alone: reading it takes no longer for a long run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How it ended last; one that was taken up again after that is running.
    pub status: Status,
    /// When its last record was written, in Unix milliseconds.
    pub last_at_unix_ms: u64,
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

/// What is read of an end: large outputs need not be.
#[derive(Deserialize)]
struct LastEnd {
    status: Status,
}

impl Reader {
    /// Opens the journal in a controller directory.
    ///
    /// # Errors
    /// When there is none, it is no database, or a newer Longhaul wrote it.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let (db, kind) = schema::open_reader(&directory.join("journal.db"))?;
        Ok(Self { db, kind, blobs: Blobs::of(directory) })
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

    /// Whether there is such a run.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn knows(&self, run: &RunId) -> Result<bool, Error> {
        Ok(self.head(run)?.is_some())
    }

    /// The first record of a run, which says what it is pinned to.
    ///
    /// # Errors
    /// When there is no such run, or this binary cannot read the record.
    pub fn first(&self, run: &RunId) -> Result<Record, Error> {
        let sql = "SELECT seq, version, saga, at_unix_ms, kind, payload, previous
                   FROM records WHERE run = ?1 AND seq = 1";
        let first = self.all("read the first record", sql, [run.as_str()], |row| stored(run, row))?.pop();
        self.read(first.ok_or_else(|| Error::NoSuchRun(run.clone()))?)
    }

    /// The plan that a run was given last: its first one, or the one with which it was taken up.
    ///
    /// # Errors
    /// When there is no such run, or this binary cannot read the record.
    pub fn plan(&self, run: &RunId) -> Result<Plan, Error> {
        let sql = "SELECT seq, version, saga, at_unix_ms, kind, payload, previous
                   FROM records WHERE run = ?1 AND kind = 'replanned' ORDER BY seq DESC";
        for stored in self.all("read the plan", sql, [run.as_str()], |row| stored(run, row))? {
            if let Entry::Event(Event::Replanned(replanned)) = self.read(stored)?.entry
                && let Some(plan) = replanned.plan
            {
                return Ok(*plan);
            }
        }
        match self.first(run)?.entry {
            Entry::Event(Event::RunCreated(created)) => Ok(created.plan),
            Entry::Event(_) | Entry::Intent(_) => Err(folding(run)(FoldError::NotCreated)),
        }
    }

    /// How a run stands.
    ///
    /// # Errors
    /// When there is no such run, or its last end is not one that this binary can read.
    pub fn standing(&self, run: &RunId) -> Result<Standing, Error> {
        // What comes behind an end, such as what an observer saw, changes nothing; only who takes the run up again does.
        let sql =
            "SELECT kind, payload FROM records WHERE run = ?1 AND kind IN ('end', 'run_resumed', 'replanned')
                   ORDER BY seq DESC LIMIT 1";
        let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let last = self.all("read how the run stands", sql, [run.as_str()], row)?.pop();
        let sql = "SELECT seq, at_unix_ms FROM records WHERE run = ?1 ORDER BY seq DESC LIMIT 1";
        let row = |row: &Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?));
        let newest = self.all("read how the run stands", sql, [run.as_str()], row)?.pop();
        let (seq, last_at_unix_ms) = newest.ok_or_else(|| Error::NoSuchRun(run.clone()))?;
        let status = match last {
            Some((kind, payload)) if kind == "end" => {
                let end: LastEnd = serde_json::from_str(&payload)
                    .map_err(|source| Unreadable::Malformed { run: run.clone(), seq, kind, source })?;
                end.status
            }
            Some(_) | None => Status::Running,
        };
        Ok(Standing { status, last_at_unix_ms })
    }

    /// The runs that were deleted, the first first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn deleted(&self) -> Result<Vec<Deleted>, Error> {
        if self.kind != Kind::Journal {
            return Ok(Vec::new());
        }
        let sql = "SELECT run, at_unix_ms, why, records, digest FROM deleted ORDER BY at_unix_ms, run";
        let row = |row: &Row<'_>| {
            let (run, at_unix_ms, why) = (id(row, 0)?, row.get(1)?, row.get(2)?);
            Ok(Deleted { run, at_unix_ms, why, records: row.get(3)?, digest: row.get(4)? })
        };
        self.all("list the deleted runs", sql, [], row)
    }

    /// Every durable record of a run as it is stored, in order, with the values that they name.
    ///
    /// # Errors
    /// When there is no such run, a value is lost, or the database cannot be read.
    pub fn bundle(&self, run: &RunId) -> Result<Bundle, Error> {
        self.with_values(self.texts(run, 1)?)
    }

    fn with_values(&self, records: Vec<Stored>) -> Result<Bundle, Error> {
        let mut bundle = Bundle { records, values: BTreeMap::new() };
        for Stored { header, text } in &mut bundle.records {
            for digest in blobs::digests(text) {
                let value = self.blobs.get(&digest).map_err(lost(header))?;
                bundle.values.insert(digest, value);
            }
            // Text that is no JSON was changed; the chain says so with the record's name.
            header.payload = serde_json::from_str(text).unwrap_or(Value::Null);
        }
        Ok(bundle)
    }

    /// Some durable records of a run as they are stored, from this one on and at most so many, with the values that they name.
    ///
    /// # Errors
    /// As [`bundle`](Self::bundle).
    pub fn part(&self, run: &RunId, from: u64, most: usize) -> Result<Bundle, Error> {
        let sql = "SELECT seq, version, saga, at_unix_ms, kind, payload, previous
                   FROM records WHERE run = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
        let records =
            self.all("read the records", sql, (run.as_str(), from, most), |row| stored(run, row))?;
        self.with_values(records)
    }

    /// Every durable record of a run in order, with every value in its place.
    ///
    /// # Errors
    /// As [`bundle`](Self::bundle).
    pub fn stored(&self, run: &RunId) -> Result<Vec<Stored>, Error> {
        self.bundle(run)?.whole()
    }

    /// The records from this one on, with payloads as text alone.
    pub(super) fn texts(&self, run: &RunId, from: u64) -> Result<Vec<Stored>, Error> {
        let sql = "SELECT seq, version, saga, at_unix_ms, kind, payload, previous
                   FROM records WHERE run = ?1 AND seq >= ?2 ORDER BY seq";
        let records = self.all("read the records", sql, (run.as_str(), from), |row| stored(run, row))?;
        if records.is_empty() && from <= 1 { Err(Error::NoSuchRun(run.clone())) } else { Ok(records) }
    }

    /// Every durable record of a run, in order, its chain followed.
    ///
    /// # Errors
    /// When there is no such run, a record was changed, or this binary cannot read one.
    pub fn records(&self, run: &RunId) -> Result<Vec<Record>, Error> {
        let stored = self.texts(run, 1)?;
        chain::follow(run, &stored)?;
        stored.into_iter().map(|stored| self.read(stored)).collect()
    }

    /// The durable records of a run behind this one, or all if none is named, in order.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub fn records_behind(&self, run: &RunId, last: Option<&Record>) -> Result<Vec<Record>, Error> {
        let Some(last) = last else { return self.records(run) };
        let stored = self.texts(run, last.seq)?;
        let Some((at, behind)) = stored.split_first() else { return Err(Error::NoSuchRun(run.clone())) };
        chain::follow_from(Head { seq: last.seq, digest: at.header.digest(&at.text) }, run, behind)?;
        behind.iter().map(|stored| self.read(stored.clone())).collect()
    }

    pub(super) fn read(&self, stored: Stored) -> Result<Record, Error> {
        let Stored { header, text } = stored;
        let text = blobs::put_back(text, |digest| self.blobs.get(digest).map_err(lost(&header)))?;
        Ok(Record::read_text(header, &text)?)
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
        let stored = self.texts(run, 1)?;
        let found = chain::follow(run, &stored)?;
        for Stored { header, text } in &stored {
            for digest in blobs::digests(text) {
                self.blobs.get(&digest).map_err(lost(header))?;
            }
        }
        let head = self.head(run)?.unwrap_or_else(Head::empty);
        if found.seq < head.seq {
            let why = "it was written and is missing".to_owned();
            return Err(Broken { run: run.clone(), seq: found.seq + 1, why }.into());
        }
        if found != head {
            let why = "its content does not fit the hash at the chain's end".to_owned();
            return Err(Broken { run: run.clone(), seq: found.seq, why }.into());
        }
        self.verify_kept(run)?;
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

    /// What was recorded behind this number, which then is that of the last.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn recordings_behind(&self, run: &RunId, number: &mut u64) -> Result<Vec<Recording>, Error> {
        let sql =
            "SELECT id, at_unix_ms, step, payload FROM recordings WHERE run = ?1 AND id > ?2 ORDER BY id";
        let row = |row: &Row<'_>| {
            let text: String = row.get(3)?;
            let payload = serde_json::from_str(&text).unwrap_or(Value::Null);
            Ok((row.get(0)?, Recording { at_unix_ms: row.get(1)?, step: row.get(2)?, payload }))
        };
        let all = self.all("read the recordings", sql, (run.as_str(), *number), row)?;
        *number = all.last().map_or(*number, |(id, _)| *id);
        Ok(all.into_iter().map(|(_, recording)| recording).collect())
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

fn lost(header: &Header) -> impl Fn(Lost) -> Error {
    let (run, seq) = (header.run.clone(), header.seq);
    move |source| Error::Lost { run: run.clone(), seq, source }
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
