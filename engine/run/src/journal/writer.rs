//! The handle of the one controller that writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use longhaul_model::ids::RunId;
use longhaul_saga::event::{Controller, Observation};
use longhaul_saga::{Entry, Event, Record};
use longhaul_step::Progress;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::blobs::Blobs;
use super::chain;
use super::committer::{Change, Committer, Job};
use super::kept::Keeping;
use super::{Bundle, Error, Freed, Owner, Reader, owner, schema};

/// Jobs that may wait for the committer; then appenders wait too, and recordings are dropped.
const JOBS_WAITING_MAX: usize = 1_024;

/// A handle to the journal; clones share it. When the last one is dropped, the journal is closed and its directory
/// free for another controller.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    owner: Owner,
    /// None only while it is being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It ends with the channel; its own panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Journal {
    /// Takes a controller directory over, and makes it if there is none.
    ///
    /// # Errors
    /// [`Error::Held`] with the other one's identity when a controller works there; else when the directory or the
    /// database cannot be used, or a newer Longhaul wrote it.
    pub fn open(directory: &Path, now_unix_ms: u64) -> Result<Self, Error> {
        Self::open_as(directory, now_unix_ms, 1)
    }

    /// The same as a controller of this generation or a higher one: that of a run taken over from elsewhere is behind it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_as(directory: &Path, now_unix_ms: u64, generation: u64) -> Result<Self, Error> {
        let io = |source| Error::Io { path: directory.to_owned(), source };
        std::fs::create_dir_all(directory).map_err(io)?;
        let lock = owner::lock(directory)?;
        let db = schema::open_writer(&directory.join("journal.db"))?;
        let owner = owner::take_over(&db, now_unix_ms, generation)?;
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING_MAX);
        let committer = Committer::new(db, Blobs::of(directory), owner.generation, lock);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(|| committer.work(waiting));
        let thread = Some(thread.map_err(io)?);
        Ok(Self {
            shared: Arc::new(Shared { directory: directory.to_owned(), owner, jobs: Some(jobs), thread }),
        })
    }

    /// Who we are in this directory.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.shared.owner
    }

    /// Who we are, as records say it.
    #[must_use]
    pub fn controller(&self) -> Controller {
        let Owner { pid, host, generation, started_at_unix_ms: _ } = self.owner().clone();
        Controller { host, pid, generation }
    }

    /// A connection for reading.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn reader(&self) -> Result<Reader, Error> {
        Reader::open(&self.shared.directory)
    }

    /// The controller directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// Appends entries to a run, together, and returns their records once they are durable.
    ///
    /// # Errors
    /// [`Error::Stopped`]: nobody knows whether they are durable, and the process must stop.
    pub async fn append(
        &self,
        run: &RunId,
        at_unix_ms: u64,
        entries: Vec<Entry>,
    ) -> Result<Vec<Record>, Error> {
        let run = run.clone();
        self.ask(|done| Job::Commit(Change::Append { run, at_unix_ms, entries, done })).await
    }

    /// Adds what somebody outside saw to a run, also after its end.
    ///
    /// # Errors
    /// When there is no such run, or as [`append`](Self::append).
    pub async fn observe(
        &self,
        run: &RunId,
        at_unix_ms: u64,
        source: &str,
        payload: Value,
    ) -> Result<Vec<Record>, Error> {
        if self.reader()?.head(run)?.is_none() {
            return Err(Error::NoSuchRun(run.clone()));
        }
        let observation = Observation { source: source.to_owned(), payload };
        self.append(run, at_unix_ms, vec![Entry::Event(Event::Observation(observation))]).await
    }

    /// Takes over one run from elsewhere, as it is.
    ///
    /// # Errors
    /// When its chain is broken, a value is missing, or the run is here already; nothing is written then.
    pub async fn import(&self, bundle: Bundle) -> Result<(), Error> {
        let Some(run) = bundle.run().cloned() else { return Ok(()) };
        chain::follow(&run, &bundle.records)?;
        bundle.whole()?;
        if self.reader()?.head(&run)?.is_some() {
            return Err(Error::RunExists(run));
        }
        self.ask(|done| Job::Commit(Change::Import { bundle, done })).await
    }

    /// Takes a run out that is over. What stays of it is when, why, how many records it had and the hash of the last one.
    ///
    /// # Errors
    /// [`Error::NotOver`] of a run that goes on or can be resumed, [`Error::NoSuchRun`]; nothing is deleted then.
    pub async fn delete(&self, run: &RunId, at_unix_ms: u64, why: &str) -> Result<(), Error> {
        let status = self.reader()?.standing(run)?.status;
        if !status.is_final() {
            return Err(Error::NotOver { run: run.clone(), status });
        }
        let (run, why) = (run.clone(), why.to_owned());
        self.ask(|done| Job::Commit(Change::Delete { run, at_unix_ms, why, done })).await
    }

    /// Gives back the space that deleted runs took.
    ///
    /// # Errors
    /// [`Error::Stopped`], as after a failed commit.
    pub async fn compact(&self) -> Result<Freed, Error> {
        self.ask(|done| Job::Compact { done }).await
    }

    /// Keeps a state of a run as a shortcut for who takes it up later, if that is no trouble: it has seen the records up to
    /// `seq` and the messages up to `message`.
    pub(crate) fn keep(&self, run: &RunId, seq: u64, message: u64, state: String) {
        let keeping = Keeping { run: run.clone(), seq, message, state };
        if let Some(jobs) = &self.shared.jobs {
            // Without it, taking the run up takes longer and nothing else.
            let _ = jobs.try_send(Job::Commit(Change::Keep(keeping)));
        }
    }

    /// Keeps a step's progress if it is no trouble: under load it is dropped.
    pub fn recording(&self, run: &RunId, at_unix_ms: u64, step: &str, progress: &Progress) {
        let Ok(payload) = serde_json::to_string(progress) else { return };
        let (run, step) = (run.clone(), step.to_owned());
        let job = Job::Commit(Change::Recording { run, at_unix_ms, step, payload });
        if let Some(jobs) = &self.shared.jobs {
            // Losing a recording never matters.
            let _ = jobs.try_send(job);
        }
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Job) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        let gone = || Error::Stopped { why: "its thread has ended".to_owned() };
        let jobs = self.shared.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job(done)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}
