//! Calling an action as a driver does, with a bound on everything.

use std::sync::Arc;
use std::time::Duration;

use longhaul_model::ids::StepPath;
use serde_json::Value;

use super::{Subject, Violation};
use crate::{Context, Error, Handle, Key, Outcome, Poll, Probe, RunRecords, Started};

/// How long one effect may take in a test.
const EFFECT_MAX: Duration = Duration::from_secs(60);
/// How long the first poll waits, and the last. Each waits twice as long as the one before: what begins anew with every
/// process has to come to its end within one of them.
const PATIENCE_MIN: Duration = Duration::from_millis(50);
const PATIENCE_MAX: Duration = Duration::from_secs(10);

/// A run without records.
struct NoRecords;

impl RunRecords for NoRecords {
    fn records(&self) -> Result<Vec<Value>, Error> {
        Ok(Vec::new())
    }
}

/// The context of an attempt of the effect that the kit looks at.
pub(super) fn context(subject: &dyn Subject, attempt: u32) -> Context {
    let step = StepPath::root(&"subject".parse().expect("the id is well-formed"));
    let key = Key { run: subject.run(), step, incarnation: 0 };
    Context {
        key,
        attempt,
        controller: "conformance".to_owned(),
        generation: 1,
        records: Arc::new(NoRecords),
        claims: crate::Claims::new(),
    }
}

/// Starts the effect and follows it to its end.
pub(super) async fn run(subject: &dyn Subject, attempt: u32) -> Result<Outcome, Violation> {
    let started = subject.action().start(&context(subject, attempt), &subject.params()).await;
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
    let context = context(subject, attempt);
    let polling = async {
        let mut patience = PATIENCE_MIN;
        loop {
            if let Poll::Ended(outcome) = subject.action().poll(&context, handle, patience).await {
                return outcome;
            }
            patience = PATIENCE_MAX.min(patience * 2);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(EFFECT_MAX, polling).await.map_err(|_| Violation {
        promise: "an effect comes to an end",
        seen: format!("it was still under way after {EFFECT_MAX:?}"),
    })
}

/// What a driver does next; how it ended then.
pub(super) async fn go_on(subject: &dyn Subject, outcome: &Outcome) -> Result<Outcome, Violation> {
    let attempt = match outcome {
        Outcome::Done(_) => return Ok(outcome.clone()),
        Outcome::Failed(_) => 2,
        Outcome::Unknown(_) => match subject.action().probe(&context(subject, 1), &subject.params()).await {
            Probe::Done(outputs) => return Ok(Outcome::Done(outputs)),
            Probe::Absent => 2,
            Probe::Partial => 1,
            Probe::CannotTell(error) => return Ok(Outcome::Unknown(error)),
        },
    };
    run(subject, attempt).await
}
