//! A cancelled effect comes to an end, its outcome tells the truth, and what follows from it makes one effect.

use std::time::Duration;

use longhaul_model::action::Effects;

use super::drive::{context, follow, go_on};
use super::{Subject, Violation, expect};
use crate::{Handle, Outcome, Poll, Started};

const TAKEN: &str = "a cancel is taken, the first and the second";
const FAILED: &str = "a cancelled effect that `failed` left nothing behind";
const DONE: &str = "a cancelled effect that is `done` is there";
const OVER: &str = "a cancel of what is over changes nothing";
const GOES_ON: &str = "after a cancel, going on as the outcome says makes one effect";

/// When the effect is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Right after its start.
    AtOnce,
    /// After the first news of it.
    UnderWay,
    /// When it has ended.
    Over,
}

pub(super) async fn check(subject: &dyn Subject) -> Vec<Violation> {
    let mut violations = Vec::new();
    for moment in [Moment::AtOnce, Moment::UnderWay, Moment::Over] {
        subject.reset().await;
        violations.extend(cancelled(subject, moment).await);
    }
    violations
}

async fn cancelled(subject: &dyn Subject, moment: Moment) -> Vec<Violation> {
    // One that does not start where nothing is broken is found by another check.
    let Started::Running(handle) = subject.action().start(&context(subject, 1), &subject.params()).await
    else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    if moment == Moment::UnderWay {
        let _: Poll = subject.action().poll(&context(subject, 1), &handle, Duration::ZERO).await;
    }
    if moment != Moment::Over {
        violations.extend(cancel(subject, &handle, moment).await);
        violations.extend(cancel(subject, &handle, moment).await);
    }
    let outcome = match follow(subject, 1, &handle).await {
        Ok(outcome) => outcome,
        Err(violation) => {
            violations.push(violation);
            return violations;
        }
    };
    violations.extend(truth(subject, moment, &outcome).await);
    violations.extend(over(subject, &handle, &outcome).await);
    violations.extend(goes_on(subject, moment, &outcome).await);
    violations
}

async fn cancel(subject: &dyn Subject, handle: &Handle, moment: Moment) -> Option<Violation> {
    let taken = subject.action().cancel(&context(subject, 1), handle).await;
    expect(TAKEN, taken.is_ok(), || format!("cancelled {moment:?}, it said {taken:?}"))
}

async fn truth(subject: &dyn Subject, moment: Moment, outcome: &Outcome) -> Option<Violation> {
    let effects = subject.effects().await;
    let seen = || format!("cancelled {moment:?}, it said {outcome:?}, and {effects} effects are there");
    match outcome {
        Outcome::Failed(_) => expect(FAILED, effects == 0, seen),
        Outcome::Done(_) => expect(DONE, effects == wanted(subject), seen),
        Outcome::Unknown(_) => None,
    }
}

/// Cancels what has ended, and looks whether it is as it was.
async fn over(subject: &dyn Subject, handle: &Handle, outcome: &Outcome) -> Vec<Violation> {
    if matches!(outcome, Outcome::Unknown(_)) {
        return Vec::new();
    }
    let before = subject.effects().await;
    let mut violations = Vec::new();
    violations.extend(cancel(subject, handle, Moment::Over).await);
    let after = subject.effects().await;
    let now = follow(subject, 1, handle).await;
    let same = now.as_ref().is_ok_and(|now| std::mem::discriminant(now) == std::mem::discriminant(outcome));
    violations.extend(expect(OVER, same && before == after, || {
        format!("{outcome:?} and {before} effects before, {now:?} and {after} effects after")
    }));
    violations
}

async fn goes_on(subject: &dyn Subject, moment: Moment, outcome: &Outcome) -> Option<Violation> {
    let ended = go_on(subject, outcome).await;
    let effects = subject.effects().await;
    let went = effects == wanted(subject) && matches!(ended, Ok(Outcome::Done(_)));
    expect(GOES_ON, went, || {
        format!("cancelled {moment:?} it said {outcome:?}, then {ended:?}: {effects} effects are there")
    })
}

fn wanted(subject: &dyn Subject) -> usize {
    usize::from(subject.action().descriptor().effects != Effects::None)
}
