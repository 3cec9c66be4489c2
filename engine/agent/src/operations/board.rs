//! The board: every operation this process knows, its state, and who waits for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longhaul_wire::v1;
use longhaul_wire::v1::operation::State;
use prost::Message as _;
use tokio::sync::watch;

use super::handle::{Direction, Handle, key_text};
use crate::error::{Class, Error};
use crate::facts::{self, Facts, NewOperation, OperationRow};

/// The states of a row, as the code here needs them.
const RUNNING: &str = "running";
const DONE: &str = "done";
const UNKNOWN: &str = "unknown";
/// Longest a Get may wait for news.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What an operation's own code holds: where to say how far it is, and whether it was asked to stop.
#[derive(Clone)]
pub(crate) struct Task {
    state: watch::Sender<v1::Operation>,
    cancelled: watch::Receiver<bool>,
}

impl Task {
    /// Says how far the operation is.
    pub(crate) fn progress(&self, progress: v1::Progress) {
        self.state.send_modify(|operation| {
            operation.version += 1;
            operation.state = Some(State::Running(progress));
        });
    }

    /// Says what the operation is doing, without figures.
    pub(crate) fn phase(&self, phase: &str) {
        self.progress(v1::Progress { phase: phase.to_owned(), ..Default::default() });
    }

    /// An error once the operation was asked to stop.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if *self.cancelled.borrow() { Err(cancelled()) } else { Ok(()) }
    }

    /// Waits until the operation is asked to stop.
    pub(crate) async fn cancelled(&self) -> Error {
        let mut asked = self.cancelled.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
        cancelled()
    }
}

fn cancelled() -> Error {
    Error::new(Class::Cancelled, "stopped because it was asked to")
}

struct Live {
    state: watch::Sender<v1::Operation>,
    cancel: watch::Sender<bool>,
}

/// Every operation of this agent. Those under way are in memory, those that ended are read from their rows.
pub(crate) struct Board {
    facts: Facts,
    live: Mutex<HashMap<Handle, Live>>,
}

/// What became of a request to begin an operation.
pub(crate) enum Begun {
    /// It is new: run it with this task.
    New(Handle, Task),
    /// It was begun before.
    Known(Handle),
}

/// An operation that the last process left open.
pub(crate) struct Open {
    pub(crate) handle: Handle,
    pub(crate) request: v1::StartRequest,
    pub(crate) task: Task,
}

impl Board {
    /// The board as the last process left it, and the operations that it left open.
    pub(crate) fn open(facts: Facts) -> Result<(Self, Vec<Open>), Error> {
        let rows = facts.operations_unfinished().map_err(unreadable)?;
        let board = Self { facts, live: Mutex::default() };
        let mut open = Vec::new();
        for row in rows {
            let request = v1::StartRequest::decode(row.request.as_slice()).map_err(unreadable)?;
            let handle = Handle::given(row.id);
            let task = board.insert(&handle);
            open.push(Open { handle, request, task });
        }
        Ok((board, open))
    }

    fn insert(&self, handle: &Handle) -> Task {
        let running = Some(State::Running(v1::Progress::default()));
        let (state, _) =
            watch::channel(v1::Operation { handle: handle.to_string(), version: 1, state: running });
        let (cancel, cancelled) = watch::channel(false);
        self.lock().insert(handle.clone(), Live { state: state.clone(), cancel });
        Task { state, cancelled }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a request durable as an operation, or finds the operation it is already.
    ///
    /// # Errors
    /// When the request has no key, or the row could not be made durable.
    pub(crate) fn begin(&self, request: &v1::StartRequest, direction: Direction) -> Result<Begun, Error> {
        let handle = Handle::of(request, direction).ok_or_else(|| {
            Error::new(
                Class::Permanent,
                "the request has no key and attempt: a controller sends run, step and attempt",
            )
        })?;
        let id = handle.id().clone();
        let new = NewOperation { id, request: request.encode_to_vec(), state: RUNNING.to_owned() };
        match self
            .facts
            .operations_begin(&new)
            .map_err(|error| Error::internal("writing an operation", &error))?
        {
            facts::Begun::Before(row) if goes_on(&handle, &row) => {
                let reopened = self.facts.operations_reopen(handle.id(), RUNNING);
                reopened.map_err(|error| Error::internal("writing an operation", &error))?;
                let task = self.insert(&handle);
                Ok(Begun::New(handle, task))
            }
            facts::Begun::Before(_) => Ok(Begun::Known(handle)),
            facts::Begun::New(_) => {
                let task = self.insert(&handle);
                Ok(Begun::New(handle, task))
            }
        }
    }

    /// Makes an operation's end durable, then visible.
    ///
    /// # Errors
    /// When it could not be made durable; the operation then stays open and is taken up by the next process.
    pub(crate) fn end(&self, handle: &Handle, result: Result<v1::Outputs, Error>) -> Result<(), Error> {
        let Some(live) = self.lock().remove(handle) else { return Ok(()) };
        let (word, state) = match result {
            Ok(outputs) => (DONE, State::Done(outputs)),
            Err(error) if error.unknown => (UNKNOWN, State::Unknown(error.failure())),
            Err(error) => ("failed", State::Failed(error.failure())),
        };
        let version = live.state.borrow().version + 1;
        let ended = v1::Operation { handle: handle.to_string(), version, state: Some(state) };
        self.facts
            .operations_update(handle.id(), word, Some(&ended.encode_to_vec()))
            .map_err(|error| Error::internal("writing an operation's end", &error))?;
        live.state.send_replace(ended);
        Ok(())
    }

    /// The operation as it is, after at most `wait` for a change past `seen_version`; `None` when there is none.
    pub(crate) async fn get(
        &self,
        handle: &Handle,
        seen_version: u64,
        wait: Duration,
    ) -> Result<Option<v1::Operation>, Error> {
        let watched = self.lock().get(handle).map(|live| live.state.subscribe());
        let Some(mut state) = watched else {
            let row = self.facts.operations_get(handle.id()).map_err(unreadable)?;
            return row
                .map(|row| v1::Operation::decode(row.result.as_slice()).map_err(unreadable))
                .transpose();
        };
        let news = state.wait_for(|operation| operation.version > seen_version);
        let _ = tokio::time::timeout(wait.min(WAIT_MAX), news).await;
        Ok(Some(state.borrow().clone()))
    }

    /// Asks an operation to stop. One that has ended, or never was, has nothing to stop.
    pub(crate) fn cancel(&self, handle: &Handle) {
        if let Some(live) = self.lock().get(handle) {
            live.cancel.send_replace(true);
        }
    }

    /// The outputs of this effect's latest attempt that was done.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) fn done(&self, key: &v1::Key) -> Result<Option<v1::Outputs>, Error> {
        let rows = self.facts.operations_of_key(&key_text(key)).map_err(unreadable)?;
        for row in rows.into_iter().rev().filter(|row| row.finished) {
            let (direction, operation) =
                (Handle::given(row.id).direction(), v1::Operation::decode(row.result.as_slice()));
            match (direction, operation.map_err(unreadable)?.state) {
                (Direction::Do, Some(State::Done(outputs))) => return Ok(Some(outputs)),
                (Direction::Do | Direction::Undo, _) => {}
            }
        }
        Ok(None)
    }

    /// Whether this effect was taken away again.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) fn undone(&self, key: &v1::Key) -> Result<bool, Error> {
        let rows = self.facts.operations_of_key(&key_text(key)).map_err(unreadable)?;
        Ok(rows.into_iter().any(|row| {
            row.finished && row.state == DONE && Handle::given(row.id).direction() == Direction::Undo
        }))
    }

    /// Whether an attempt of this effect is under way, or ended so that part of it may be there.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) fn partial(&self, key: &v1::Key) -> Result<bool, Error> {
        let rows = self.facts.operations_of_key(&key_text(key)).map_err(unreadable)?;
        let mut efforts =
            rows.into_iter().filter(|row| Handle::given(row.id.clone()).direction() == Direction::Do);
        Ok(efforts.next_back().is_some_and(|row| !row.finished || row.state == UNKNOWN))
    }
}

/// Whether an operation that has ended is taken up again when it is asked for again: an undoing that failed, and an effect of
/// which part may be there.
fn goes_on(handle: &Handle, row: &OperationRow) -> bool {
    let undoing = handle.direction() == Direction::Undo && row.state != DONE;
    row.finished && (undoing || row.state == UNKNOWN)
}

fn unreadable(error: impl std::error::Error) -> Error {
    Error::internal("reading a stored operation", &error)
}
