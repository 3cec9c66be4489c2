//! Undoing leaves nothing behind: once, twice, without a start, after a part, and after it broke off itself.

use longhaul_model::action::Effects;
use serde_json::Value;

use super::drive::{context, run};
use super::{Fault, Subject, Violation, expect};
use crate::Outcome;

const UNDONE: &str = "undoing takes the effect away";
const TWICE: &str = "undoing twice is safe";
const WITHOUT: &str = "undoing what never started is safe";
const PARTIAL: &str = "undoing takes away what is half done";
const AGAIN: &str = "an undo that broke off can be made again";

pub(super) async fn check(subject: &dyn Subject) -> Vec<Violation> {
    if subject.action().descriptor().effects == Effects::Irreversible {
        return Vec::new();
    }
    let mut violations = Vec::new();
    subject.reset().await;
    violations.extend(undo(subject, WITHOUT, None).await);
    let outputs = match run(subject, 1).await {
        Ok(Outcome::Done(outputs)) => Some(outputs),
        Ok(Outcome::Failed(_) | Outcome::Unknown(_)) => None,
        Err(violation) => return vec![violation],
    };
    violations.extend(undo(subject, UNDONE, outputs.as_ref()).await);
    violations.extend(undo(subject, TWICE, outputs.as_ref()).await);
    violations.extend(after_part(subject).await);
    violations.extend(broken_off(subject).await);
    violations
}

async fn after_part(subject: &dyn Subject) -> Option<Violation> {
    subject.reset().await;
    if !subject.break_at(Some(Fault::Half)).await {
        return None;
    }
    let ended = run(subject, 1).await;
    subject.break_at(None).await;
    match ended {
        Ok(_) => undo(subject, PARTIAL, None).await,
        Err(violation) => Some(violation),
    }
}

async fn broken_off(subject: &dyn Subject) -> Option<Violation> {
    subject.reset().await;
    let ended = run(subject, 1).await;
    let outputs = match &ended {
        Ok(Outcome::Done(outputs)) => Some(outputs),
        Ok(Outcome::Failed(_) | Outcome::Unknown(_)) | Err(_) => None,
    };
    if !subject.break_at(Some(Fault::Undo)).await {
        return None;
    }
    let said = subject.action().compensate(&context(subject, 1), &subject.params(), outputs).await;
    let left = subject.effects().await;
    subject.break_at(None).await;
    let lie = said.is_ok() && left > 0;
    let violation =
        expect(AGAIN, !lie, || format!("it said that it is undone, and {left} effects are there"));
    match violation {
        Some(violation) => Some(violation),
        None => undo(subject, AGAIN, outputs).await,
    }
}

async fn undo(subject: &dyn Subject, promise: &'static str, outputs: Option<&Value>) -> Option<Violation> {
    let said = subject.action().compensate(&context(subject, 1), &subject.params(), outputs).await;
    let left = subject.effects().await;
    expect(promise, said.is_ok() && left == 0, || format!("it said {said:?}, and {left} effects are there"))
}
