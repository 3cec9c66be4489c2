//! `start` twice with one key and attempt: one handle, one effect.

use longhaul_model::action::Effects;

use super::drive::{context, follow, run};
use super::{Subject, Violation, expect, schemas};
use crate::{Outcome, Started};

const HANDLE: &str = "starting twice under one key and attempt gives one handle";
const EFFECT: &str = "starting twice under one key and attempt makes one effect";
const SUCCEEDS: &str = "it succeeds where nothing is broken";

pub(super) async fn check(subject: &dyn Subject) -> Vec<Violation> {
    subject.reset().await;
    let mut violations = Vec::new();
    let params = subject.params();
    let first = subject.action().start(&context(subject, 1), &params).await;
    let second = subject.action().start(&context(subject, 1), &params).await;
    violations.extend(expect(HANDLE, first == second, || format!("{first:?}, then {second:?}")));
    if let Started::Running(handle) = &first {
        violations.extend(ended(subject, follow(subject, 1, handle).await));
    }
    // A third time, after its end: the outcome is the same and nothing is added.
    violations.extend(ended(subject, run(subject, 1).await));
    let count = subject.effects().await;
    let wanted = usize::from(subject.action().descriptor().effects != Effects::None);
    violations.extend(expect(EFFECT, count == wanted, || format!("{count} effects, {wanted} expected")));
    violations
}

fn ended(subject: &dyn Subject, outcome: Result<Outcome, Violation>) -> Option<Violation> {
    match outcome {
        Ok(Outcome::Done(outputs)) => schemas::outputs(subject, &outputs),
        Ok(other) => expect(SUCCEEDS, false, || format!("{other:?}")),
        Err(violation) => Some(violation),
    }
}
