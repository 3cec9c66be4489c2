//! Calling an action as a driver does, with a bound on everything.

use std::sync::Arc;
use std::time::Duration;

use longhaul_model::ids::StepPath;
use serde_json::Value;

use super::{Subject, Violation};
use crate::{Context, Error, Handle, Key, Outcome, Poll, RunRecords, Started};

/// How long one effect may take in a test.
const EFFECT_MAX: Duration = Duration::from_secs(60);
/// How long one poll waits.
const PATIENCE: Duration = Duration::from_millis(50);

/// A run without records.
struct NoRecords;

impl RunRecords for NoRecords {
    fn records(&self) -> Result<Vec<Value>, Error> {
        Ok(Vec::new())
    }
}

/// The context of an attempt of the effect that the kit looks at.
pub(super) fn context(attempt: u32) -> Context {
    let run = "run-conformance".parse().expect("the id is well-formed");
    let step = StepPath::root(&"subject".parse().expect("the id is well-formed"));
    let key = Key { run, step, incarnation: 0 };
    Context { key, attempt, controller: "conformance".to_owned(), records: Arc::new(NoRecords) }
}

/// Starts the effect and follows it to its end.
pub(super) async fn run(subject: &dyn Subject, attempt: u32) -> Result<Outcome, Violation> {
    let started = subject.action().start(&context(attempt), &subject.params()).await;
    match started {
        Started::Running(handle) => follow(subject, attempt, &handle).await,
        Started::Failed(error) => Ok(Outcome::Failed(error)),
        Started::Unknown(error) => Ok(Outcome::Unknown(error)),
    }
}

pub(super) async fn follow(
    subject: &dyn Subject,
    attempt: u32,
    handle: &Handle,
) -> Result<Outcome, Violation> {
    let polling = async {
        loop {
            if let Poll::Ended(outcome) = subject.action().poll(&context(attempt), handle, PATIENCE).await {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(EFFECT_MAX, polling).await.map_err(|_| Violation {
        promise: "an effect comes to an end",
        seen: format!("it was still under way after {EFFECT_MAX:?}"),
    })
}
