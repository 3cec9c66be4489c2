//! Actions that run in the controller itself, as a task of this process.
//!
//! Such a task dies with the process, and that is all right: it leaves nothing that another beginning could not make
//! again. So the handle holds the parameters, and a process that meets a handle it does not know begins anew.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use longhaul_step::{Context, Error, ErrorClass, Handle, Outcome, Poll, Progress};
use serde_json::{Value, json};
use tokio::sync::watch;

/// How many tasks are remembered. A run has one of each kind at a time; the older ones were asked about long ago.
const REMEMBERED_MAX: usize = 64;

type Result = std::result::Result<Value, Error>;

/// The tasks of one action.
#[derive(Default)]
pub(crate) struct Tasks {
    known: Mutex<VecDeque<Task>>,
}

struct Task {
    handle: Handle,
    result: watch::Receiver<Option<Result>>,
    abort: tokio::task::AbortHandle,
}

/// The handle of an attempt with these parameters.
pub(crate) fn handle(context: &Context, params: &Value) -> Handle {
    let all = json!({ "key": context.key.to_string(), "attempt": context.attempt, "params": params });
    Handle(all.to_string())
}

/// The parameters in a handle.
pub(crate) fn params(handle: &Handle) -> Result {
    let foreign = || Error::new(ErrorClass::Internal, "handle is not one of ours");
    let mut all: Value = serde_json::from_str(&handle.0).map_err(|_| foreign())?;
    all.get_mut("params").map(Value::take).ok_or_else(foreign)
}

impl Tasks {
    /// Waits a while for the work of this handle, which is begun if this process has not begun it yet.
    pub(crate) async fn poll(
        &self,
        handle: &Handle,
        patience: Duration,
        phase: &str,
        work: impl Future<Output = Result> + Send + 'static,
    ) -> Poll {
        let mut result = self.begun(handle, work);
        match tokio::time::timeout(patience, result.wait_for(Option::is_some)).await {
            Err(_) => Poll::Running(Progress { phase: phase.to_owned(), ..Progress::default() }),
            Ok(Err(_)) => Poll::Ended(Outcome::Failed(Error::new(ErrorClass::Cancelled, "cancelled"))),
            Ok(Ok(result)) => match result.clone() {
                Some(Ok(outputs)) => Poll::Ended(Outcome::Done(outputs)),
                Some(Err(error)) => Poll::Ended(Outcome::Failed(error)),
                None => unreachable!("waited for a result"),
            },
        }
    }

    /// Ends the task at its next await; one that is over stays as it ended.
    pub(crate) fn cancel(&self, handle: &Handle) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|task| task.handle == *handle).for_each(|task| task.abort.abort());
    }

    fn begun(
        &self,
        handle: &Handle,
        work: impl Future<Output = Result> + Send + 'static,
    ) -> watch::Receiver<Option<Result>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = known.iter().find(|task| task.handle == *handle) {
            return task.result.clone();
        }
        let (sender, result) = watch::channel(None);
        let task = tokio::spawn(async move {
            let result = work.await;
            sender.send_replace(Some(result));
        });
        if known.len() == REMEMBERED_MAX {
            known.pop_front();
        }
        known.push_back(Task { handle: handle.clone(), result: result.clone(), abort: task.abort_handle() });
        result
    }
}
