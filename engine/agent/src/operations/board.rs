//! The board: every operation this process knows, its state, and who waits for it.

use std::collections::HashMap;
use std::future::Future;
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
/// Pause before a site that did not answer is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Longest a Get may wait for news.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What an operation's own code holds: where to say how far it is, and whether it was asked to stop.
#[derive(Clone)]
pub(crate) struct Task {
    state: watch::Sender<v1::Operation>,
    cancelled: watch::Receiver<bool>,
    bits_per_second_max: watch::Receiver<u64>,
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

    /// What the operation may send over the link at the moment; 0 for no bound.
    pub(crate) fn bits_per_second_max(&self) -> u64 {
        *self.bits_per_second_max.borrow()
    }

    /// An error once the operation was asked to stop.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if *self.cancelled.borrow() { Err(cancelled()) } else { Ok(()) }
    }

    /// Tries again while a site does not answer, until the operation is asked to stop: a link that is cut costs an
    /// operation time and nothing else.
    pub(crate) async fn outlast<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            match attempt().await {
                Err(error) if error.class == Class::Unreachable => self.check()?,
                answered => return answered,
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
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
    bits_per_second_max: watch::Sender<u64>,
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
            let task = board.insert(&handle, request.bits_per_second_max);
            open.push(Open { handle, request, task });
        }
        Ok((board, open))
    }

    fn insert(&self, handle: &Handle, bits_per_second_max: u64) -> Task {
        let running = Some(State::Running(v1::Progress::default()));
        let (state, _) =
            watch::channel(v1::Operation { handle: handle.to_string(), version: 1, state: running });
        let (cancel, cancelled) = watch::channel(false);
        let (bound, bits_per_second_max) = watch::channel(bits_per_second_max);
        let live = Live { state: state.clone(), cancel, bits_per_second_max: bound };
        self.lock().insert(handle.clone(), live);
        Task { state, cancelled, bits_per_second_max }
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
        if direction == Direction::Do && self.begin_again(&handle, &new)? {
            let task = self.insert(&handle, request.bits_per_second_max);
            return Ok(Begun::New(handle, task));
        }
        match self
            .facts
            .operations_begin(&new)
            .map_err(|error| Error::internal("writing an operation", &error))?
        {
            facts::Begun::Before(row) if goes_on(&handle, &row) => {
                let reopened = self.facts.operations_reopen(handle.id(), RUNNING);
                if !reopened.map_err(|error| Error::internal("writing an operation", &error))? {
                    return Ok(Begun::Known(handle));
                }
                let task = self.insert(&handle, request.bits_per_second_max);
                Ok(Begun::New(handle, task))
            }
            facts::Begun::Before(_) => Ok(Begun::Known(handle)),
            facts::Begun::New(_) => {
                let task = self.insert(&handle, request.bits_per_second_max);
                Ok(Begun::New(handle, task))
            }
        }
    }

    /// Whether this was taken away and is wanted after all: it is new then, and so is its undoing.
    fn begin_again(&self, handle: &Handle, new: &NewOperation) -> Result<bool, Error> {
        let again = self.facts.operations_begin_again(new, handle.undoing().id(), DONE);
        again.map_err(|error| Error::internal("writing an operation", &error))
    }

    /// Makes an operation's end durable, then visible.
    ///
    /// # Errors
    /// When it could not be made durable; the operation then stays open and is taken up by the next process.
    pub(crate) fn end(&self, handle: &Handle, result: Result<v1::Outputs, Error>) -> Result<(), Error> {
        let Some(live) = self.lock().get(handle).map(|live| live.state.clone()) else { return Ok(()) };
        let (word, state) = match result {
            Ok(outputs) => (DONE, State::Done(outputs)),
            Err(error) if error.unknown => (UNKNOWN, State::Unknown(error.failure())),
            Err(error) => ("failed", State::Failed(error.failure())),
        };
        let version = live.borrow().version + 1;
        let ended = v1::Operation { handle: handle.to_string(), version, state: Some(state) };
        self.facts
            .operations_update(handle.id(), word, Some(&ended.encode_to_vec()))
            .map_err(|error| Error::internal("writing an operation's end", &error))?;
        // Whoever asks in between is told that it runs; there is no moment at which it is neither.
        live.send_replace(ended);
        self.lock().remove(handle);
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

    /// Tells an operation what it may send over the link, durably: a process that takes it up keeps to it as well. One that has
    /// ended, or never was, sends nothing.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub(crate) fn adjust(&self, handle: &Handle, bits_per_second_max: u64) -> Result<(), Error> {
        let Some(row) = self.facts.operations_get(handle.id()).map_err(unreadable)? else { return Ok(()) };
        let request = v1::StartRequest::decode(row.request.as_slice()).map_err(unreadable)?;
        if request.bits_per_second_max != bits_per_second_max {
            let request = v1::StartRequest { bits_per_second_max, ..request };
            let rewritten = self.facts.operations_rewrite(handle.id(), &request.encode_to_vec());
            rewritten.map_err(|error| Error::internal("writing an operation's bound", &error))?;
        }
        if let Some(live) = self.lock().get(handle) {
            live.bits_per_second_max.send_replace(bits_per_second_max);
        }
        Ok(())
    }

    /// Asks an operation to stop. One that has ended, or never was, has nothing to stop.
    pub(crate) fn cancel(&self, handle: &Handle) {
        if let Some(live) = self.lock().get(handle) {
            live.cancel.send_replace(true);
        }
    }

    /// Stops whatever brings this effect about, and waits until it has ended: what is taken away meanwhile would come back.
    pub(crate) async fn stop(&self, key: &v1::Key) {
        for (handle, mut state) in self.under_way(key) {
            self.cancel(&handle);
            // Its end is told; that of the agent is no concern of what ends with it.
            let _ = state.wait_for(|operation| !matches!(operation.state, Some(State::Running(_)))).await;
        }
    }

    fn under_way(&self, key: &v1::Key) -> Vec<(Handle, watch::Receiver<v1::Operation>)> {
        let key = key_text(key);
        let is_doing = |handle: &Handle| handle.id().key == key && handle.direction() == Direction::Do;
        let live = self.lock();
        let doing = live.iter().filter(|(handle, _)| is_doing(handle));
        doing.map(|(handle, live)| (handle.clone(), live.state.subscribe())).collect()
    }

    /// The outputs of this effect's latest attempt that was done and not taken away.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) fn done(&self, key: &v1::Key) -> Result<Option<v1::Outputs>, Error> {
        for row in self.efforts(key)?.standing.into_iter().rev().filter(|row| row.finished) {
            let operation = v1::Operation::decode(row.result.as_slice());
            if let Some(State::Done(outputs)) = operation.map_err(unreadable)?.state {
                return Ok(Some(outputs));
            }
        }
        Ok(None)
    }

    /// Whether this effect was taken away again, and not brought about anew by a later attempt.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) fn undone(&self, key: &v1::Key) -> Result<bool, Error> {
        let efforts = self.efforts(key)?;
        Ok(efforts.undone_to > 0 && efforts.standing.is_empty())
    }

    /// Whether an attempt of this effect is under way, or ended so that part of it may be there.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) fn partial(&self, key: &v1::Key) -> Result<bool, Error> {
        let last = self.efforts(key)?.standing.pop();
        Ok(last.is_some_and(|row| !row.finished || row.state == UNKNOWN))
    }

    fn efforts(&self, key: &v1::Key) -> Result<Efforts, Error> {
        let rows = self.facts.operations_of_key(&key_text(key)).map_err(unreadable)?;
        let (undos, does): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| Handle::given(row.id.clone()).direction() == Direction::Undo);
        let done = undos.iter().filter(|row| row.finished && row.state == DONE);
        let undone_to = done.map(|row| row.id.attempt).max().unwrap_or(0);
        let standing = does.into_iter().filter(|row| row.id.attempt > undone_to).collect();
        Ok(Efforts { standing, undone_to })
    }
}

/// What was done to bring an effect about.
struct Efforts {
    /// The attempts that no undoing took away, in order.
    standing: Vec<OperationRow>,
    /// The highest attempt that was; they count from 1. An undoing takes the attempts before its own away too.
    undone_to: u32,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What is to be taken away is stopped first, and nobody goes on before it has ended.
    #[tokio::test]
    async fn an_effect_that_is_under_way_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let (board, _) = Board::open(Facts::open(&folder.path().join("agent.db")).unwrap()).unwrap();
        let board = Arc::new(board);
        let key = v1::Key { run: "run-1".into(), step: "prefetch".into(), incarnation: 0 };
        let request = v1::StartRequest { key: Some(key.clone()), attempt: 1, ..Default::default() };
        let Begun::New(handle, task) = board.begin(&request, Direction::Do).unwrap() else { panic!("known") };
        let here = Arc::clone(&board);
        let stopping = tokio::spawn(async move { here.stop(&key).await });
        let asked = task.cancelled().await;
        assert!(!stopping.is_finished(), "it did not wait");
        board.end(&handle, Err(asked)).unwrap();
        tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap();
    }

    /// A bound that is changed holds for the operation at once, and for the process that takes it up after this one.
    #[tokio::test]
    async fn a_bound_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let facts = Facts::open(&folder.path().join("agent.db")).unwrap();
        let (board, _) = Board::open(facts.clone()).unwrap();
        let key = v1::Key { run: "run-1".into(), step: "prefetch".into(), incarnation: 0 };
        let request =
            v1::StartRequest { key: Some(key), attempt: 1, bits_per_second_max: 7, ..Default::default() };
        let Begun::New(handle, task) = board.begin(&request, Direction::Do).unwrap() else { panic!("known") };
        assert_eq!(task.bits_per_second_max(), 7);
        board.adjust(&handle, 9).unwrap();
        assert_eq!(task.bits_per_second_max(), 9);
        let (_, open) = Board::open(facts).unwrap();
        assert_eq!(open[0].task.bits_per_second_max(), 9);
        board.end(&handle, Ok(v1::Outputs::default())).unwrap();
        board.adjust(&handle, 5).unwrap();
    }

    /// An effect that is brought about again after it was taken away is there again, and is taken away once more.
    #[tokio::test]
    async fn an_effect_can_be_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let (board, _) = Board::open(Facts::open(&folder.path().join("agent.db")).unwrap()).unwrap();
        let key = v1::Key { run: "run-1".into(), step: "prepare".into(), incarnation: 0 };
        let state = || (board.undone(&key).unwrap(), board.done(&key).unwrap().is_some());
        let operate = |attempt, direction, result| {
            let request = v1::StartRequest { key: Some(key.clone()), attempt, ..Default::default() };
            let Begun::New(handle, _task) = board.begin(&request, direction).unwrap() else {
                panic!("known")
            };
            assert!(matches!(board.begin(&request, direction).unwrap(), Begun::Known(_)), "it runs");
            board.end(&handle, result).unwrap();
            handle
        };
        let failed = || Err(Error::new(Class::Unreachable, "the link is cut"));
        assert_eq!(state(), (false, false));
        operate(1, Direction::Do, Ok(v1::Outputs::default()));
        assert_eq!(state(), (false, true));
        operate(1, Direction::Undo, Ok(v1::Outputs::default()));
        assert_eq!(state(), (true, false));
        operate(2, Direction::Do, failed());
        assert_eq!(state(), (false, false));
        let handle = operate(3, Direction::Do, Ok(v1::Outputs::default()));
        assert_eq!(state(), (false, true));
        operate(3, Direction::Undo, Ok(v1::Outputs::default()));
        assert_eq!(state(), (true, false));
        let ended = board.get(&handle, 0, Duration::ZERO).await.unwrap().unwrap();
        assert!(matches!(ended.state, Some(State::Done(_))), "{ended:?}");
        // Under the attempt that was taken away, and where the undoing came first.
        operate(4, Direction::Undo, Ok(v1::Outputs::default()));
        assert_eq!(state(), (true, false));
        for attempt in [4, 4] {
            operate(attempt, Direction::Do, Ok(v1::Outputs::default()));
            assert_eq!(state(), (false, true), "{attempt}");
            operate(attempt, Direction::Undo, Ok(v1::Outputs::default()));
            assert_eq!(state(), (true, false), "{attempt}");
        }
    }
}
