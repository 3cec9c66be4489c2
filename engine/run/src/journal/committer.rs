//! The one thread that commits.
//!
//! It takes whatever batches wait, writes them in one transaction, and answers all of them after its `fsync`.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, Instant};

use longhaul_model::ids::RunId;
use longhaul_saga::{Entry, Record};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::blobs::Blobs;
use super::chain::{self, Head};
use super::kept::{self, Keeping};
use super::removal::{self, Freed};
use super::{Bundle, Error, Stored, owner, reader};

/// The most jobs in one commit: bounds how long the first of them waits.
const JOBS_MAX: usize = 256;

/// How long the thread looks for more before it sleeps: what a short step takes, and no more of a core than that per commit.
const AWAKE: Duration = Duration::from_micros(50);

/// What the thread is asked to do.
pub(super) enum Job {
    /// Change something, in one commit with what others want changed.
    Commit(Change),
    /// Give back space that nothing needs.
    Compact { done: Answer<Freed> },
}

/// What is to be changed.
pub(super) enum Change {
    /// Append these entries to a run, together or not at all.
    Append { run: RunId, at_unix_ms: u64, entries: Vec<Entry>, done: Answer<Vec<Record>> },
    /// Take over a run from elsewhere as it is.
    Import { bundle: Bundle, done: Answer<()> },
    /// Take a run out that is over.
    Delete { run: RunId, at_unix_ms: u64, why: String, done: Answer<()> },
    /// Keep this state as a shortcut.
    Keep(Keeping),
    /// Keep this if it is no trouble.
    Recording { run: RunId, at_unix_ms: u64, step: String, payload: String },
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What waits for the commit.
enum Promise {
    Records(Vec<Record>, Answer<Vec<Record>>),
    Nothing(Answer<()>),
}

pub(super) struct Committer {
    /// None after a failed commit.
    db: Option<Connection>,
    stopped: String,
    generation: u64,
    heads: BTreeMap<RunId, Head>,
    blobs: Blobs,
    /// Held as long as the connection is open.
    _lock: File,
}

impl Committer {
    pub(super) fn new(db: Connection, blobs: Blobs, generation: u64, lock: File) -> Self {
        let (stopped, heads) = (String::new(), BTreeMap::new());
        Self { db: Some(db), stopped, generation, heads, blobs, _lock: lock }
    }

    /// Works until every handle is gone.
    pub(super) fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = next(&mut jobs) {
            let (mut batch, mut compact) = (Vec::new(), None);
            let mut job = Some(first);
            while let Some(next) = job {
                match next {
                    Job::Compact { done } => compact = Some(done),
                    Job::Commit(next) => batch.push(next),
                }
                let is_full = batch.len() == JOBS_MAX || compact.is_some();
                job = if is_full { None } else { jobs.try_recv().ok() };
            }
            if !batch.is_empty() {
                self.commit(batch);
            }
            if let Some(done) = compact {
                self.compact(done);
            }
        }
    }

    fn commit(&mut self, changes: Vec<Change>) {
        let Some(mut db) = self.db.take() else { return self.refuse(changes) };
        let mut promises = Vec::new();
        match self.write(&mut db, changes, &mut promises) {
            Ok(()) => {
                self.db = Some(db);
                promises.into_iter().for_each(keep);
            }
            Err(error) => {
                drop(db);
                self.stop(&error);
                promises.into_iter().for_each(|promise| break_promise(promise, &self.stopped));
            }
        }
    }

    fn stop(&mut self, error: &Error) {
        self.stopped = chain_of(error);
        tracing::error!(error = %self.stopped, "the journal has stopped");
    }

    /// What cannot stand in a transaction. A failure stops the journal as that of a commit does.
    fn compact(&mut self, done: Answer<Freed>) {
        let stopped = |why: &str| Err(Error::Stopped { why: why.to_owned() });
        let answer = match self.db.take() {
            None => stopped(&self.stopped),
            Some(db) => match removal::compact(&db, &self.blobs) {
                Ok(freed) => {
                    self.db = Some(db);
                    Ok(freed)
                }
                Err(error) => {
                    drop(db);
                    self.stop(&error);
                    stopped(&self.stopped)
                }
            },
        };
        // An asker that has gone away in the meantime needs no answer.
        let _ = done.send(answer);
    }

    fn write(
        &mut self,
        db: &mut Connection,
        changes: Vec<Change>,
        promises: &mut Vec<Promise>,
    ) -> Result<(), Error> {
        // The answers are in `promises` before anything can fail, so that nobody is left waiting.
        let mut work = Vec::new();
        for change in changes {
            match change {
                Change::Append { run, at_unix_ms, entries, done } => {
                    work.push(Work::Append { run, at_unix_ms, entries, promise: promises.len() });
                    promises.push(Promise::Records(Vec::new(), done));
                }
                Change::Import { bundle, done } => {
                    work.push(Work::Import(bundle));
                    promises.push(Promise::Nothing(done));
                }
                Change::Delete { run, at_unix_ms, why, done } => {
                    work.push(Work::Delete { run, at_unix_ms, why });
                    promises.push(Promise::Nothing(done));
                }
                Change::Keep(keeping) => work.push(Work::Keep(keeping)),
                Change::Recording { run, at_unix_ms, step, payload } => {
                    work.push(Work::Recording { run, at_unix_ms, step, payload });
                }
            }
        }
        let doing = super::error::database;
        // It begins as a writer: another one who wrote between our reading and our writing would fail the commit.
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = transaction.map_err(doing("begin a commit"))?;
        self.check_fence(&transaction)?;
        for job in work {
            self.carry_out(&transaction, job, promises)?;
        }
        transaction.commit().map_err(doing("commit"))
    }

    fn carry_out(&mut self, tx: &Transaction<'_>, job: Work, promises: &mut [Promise]) -> Result<(), Error> {
        match job {
            Work::Append { run, at_unix_ms, entries, promise } => {
                let records = self.append(tx, &run, at_unix_ms, entries)?;
                if let Promise::Records(slot, _) = &mut promises[promise] {
                    *slot = records;
                }
                Ok(())
            }
            Work::Import(bundle) => self.import(tx, &bundle),
            Work::Delete { run, at_unix_ms, why } => {
                self.heads.remove(&run);
                removal::delete(tx, &run, at_unix_ms, &why)
            }
            Work::Keep(keeping) => {
                kept::keep(tx, self.heads.get(&keeping.run), &keeping);
                Ok(())
            }
            Work::Recording { run, at_unix_ms, step, payload } => {
                record(tx, &run, at_unix_ms, &step, &payload);
                Ok(())
            }
        }
    }

    /// Another controller with a higher generation has taken the directory over.
    fn check_fence(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        match owner::read(tx)? {
            Some(owner) if owner.generation != self.generation => Err(Error::Held(owner)),
            Some(_) | None => Ok(()),
        }
    }

    fn append(
        &mut self,
        tx: &Transaction<'_>,
        run: &RunId,
        at_unix_ms: u64,
        entries: Vec<Entry>,
    ) -> Result<Vec<Record>, Error> {
        let mut head = match self.heads.get(run) {
            Some(head) => head.clone(),
            None => reader::head(tx, run)?.unwrap_or_else(Head::empty),
        };
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            let stored =
                head.append(run, at_unix_ms, &entry, &self.blobs).map_err(|source| self.no_value(source))?;
            insert(tx, &stored)?;
            records.push(Record { run: run.clone(), seq: stored.header.seq, at_unix_ms, entry });
        }
        self.move_head(tx, run, head)?;
        Ok(records)
    }

    fn import(&mut self, tx: &Transaction<'_>, bundle: &Bundle) -> Result<(), Error> {
        let Some(run) = bundle.run() else { return Ok(()) };
        let head = chain::follow(run, &bundle.records)?;
        for value in bundle.values.values() {
            self.blobs.put(value).map_err(|source| self.no_value(source))?;
        }
        for record in &bundle.records {
            insert(tx, record)?;
        }
        self.move_head(tx, run, head)
    }

    fn no_value(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.blobs.folder().to_owned(), source }
    }

    fn move_head(&mut self, tx: &Transaction<'_>, run: &RunId, head: Head) -> Result<(), Error> {
        let sql = "INSERT INTO heads (run, seq, digest) VALUES (?1, ?2, ?3)
                   ON CONFLICT (run) DO UPDATE SET seq = ?2, digest = ?3";
        let mut statement = tx.prepare_cached(sql).map_err(super::error::database("move the chain's end"))?;
        statement
            .execute((run.as_str(), head.seq, &head.digest))
            .map_err(super::error::database("move the chain's end"))?;
        self.heads.insert(run.clone(), head);
        Ok(())
    }

    fn refuse(&self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Append { done, .. } => {
                    break_promise(Promise::Records(Vec::new(), done), &self.stopped);
                }
                Change::Import { done, .. } | Change::Delete { done, .. } => {
                    break_promise(Promise::Nothing(done), &self.stopped);
                }
                Change::Keep(_) | Change::Recording { .. } => {}
            }
        }
    }
}

/// The next job. One that comes soon, as it does when a short step follows another, finds this thread awake: waking it takes
/// longer than the step.
fn next(jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
    let until = Instant::now() + AWAKE;
    while Instant::now() < until {
        match jobs.try_recv() {
            Ok(job) => return Some(job),
            Err(TryRecvError::Empty) => std::thread::yield_now(),
            Err(TryRecvError::Disconnected) => return None,
        }
    }
    jobs.blocking_recv()
}

/// A job without its answer.
enum Work {
    Append { run: RunId, at_unix_ms: u64, entries: Vec<Entry>, promise: usize },
    Import(Bundle),
    Delete { run: RunId, at_unix_ms: u64, why: String },
    Keep(Keeping),
    Recording { run: RunId, at_unix_ms: u64, step: String, payload: String },
}

fn insert(tx: &Transaction<'_>, record: &Stored) -> Result<(), Error> {
    let Stored { header, text } = record;
    let sql = "INSERT INTO records (run, seq, version, saga, at_unix_ms, kind, payload, previous)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut statement = tx.prepare_cached(sql).map_err(super::error::database("write a record"))?;
    let row = (
        header.run.as_str(),
        header.seq,
        header.version,
        header.saga,
        header.at_unix_ms,
        &header.kind,
        text,
        &header.previous,
    );
    statement.execute(row).map_err(super::error::database("write a record"))?;
    Ok(())
}

/// A recording that cannot be kept is dropped: it must never stop a run.
fn record(tx: &Transaction<'_>, run: &RunId, at_unix_ms: u64, step: &str, payload: &str) {
    let sql = "INSERT INTO recordings (run, at_unix_ms, step, payload) VALUES (?1, ?2, ?3, ?4)";
    let row = (run.as_str(), at_unix_ms, step, payload);
    let result = tx.prepare_cached(sql).and_then(|mut statement| statement.execute(row));
    if let Err(error) = result {
        tracing::warn!(%error, "dropped a recording");
    }
}

fn keep(promise: Promise) {
    // An asker that has gone away in the meantime needs no answer.
    match promise {
        Promise::Records(records, done) => {
            let _ = done.send(Ok(records));
        }
        Promise::Nothing(done) => {
            let _ = done.send(Ok(()));
        }
    }
}

fn break_promise(promise: Promise, why: &str) {
    let stopped = Error::Stopped { why: why.to_owned() };
    match promise {
        Promise::Records(_, done) => {
            let _ = done.send(Err(stopped));
        }
        Promise::Nothing(done) => {
            let _ = done.send(Err(stopped));
        }
    }
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
