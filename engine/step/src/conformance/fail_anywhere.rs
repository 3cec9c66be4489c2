//! Broken off anywhere, the outcome tells the truth, and what follows from it leaves one effect or none.

use longhaul_model::action::Effects;

use super::drive::{self, run};
use super::{Fault, Subject, Violation, expect};
use crate::Outcome;

const FAILED: &str = "`failed` means that certainly nothing is left behind";
const DONE: &str = "`done` means that the effect is there";
const RECOVERS: &str = "after a fault, going on as the probe says makes one effect";

pub(super) async fn check(subject: &dyn Subject) -> Vec<Violation> {
    let mut violations = Vec::new();
    for fault in [Fault::Before, Fault::Half, Fault::After] {
        subject.reset().await;
        if subject.break_at(Some(fault)).await {
            violations.extend(broken_at(subject, fault).await);
        }
        subject.break_at(None).await;
    }
    violations
}

async fn broken_at(subject: &dyn Subject, fault: Fault) -> Vec<Violation> {
    let outcome = match run(subject, 1).await {
        Ok(outcome) => outcome,
        Err(violation) => return vec![violation],
    };
    let effects = subject.effects().await;
    let leaves = subject.action().descriptor().effects != Effects::None;
    let seen = || format!("broken at {fault:?} it said {outcome:?}, and {effects} effects are there");
    let mut violations = Vec::new();
    match &outcome {
        Outcome::Failed(_) => violations.extend(expect(FAILED, effects == 0, seen)),
        Outcome::Done(_) => violations.extend(expect(DONE, effects == usize::from(leaves), seen)),
        Outcome::Unknown(_) => {}
    }
    subject.break_at(None).await;
    violations.extend(go_on(subject, fault, &outcome, usize::from(leaves)).await);
    violations
}

async fn go_on(subject: &dyn Subject, fault: Fault, outcome: &Outcome, wanted: usize) -> Option<Violation> {
    let ended = drive::go_on(subject, outcome).await;
    let effects = subject.effects().await;
    let went = effects == wanted && !matches!(ended, Ok(Outcome::Unknown(_)));
    expect(RECOVERS, went, || format!("broken at {fault:?}, then {ended:?}: {effects} effects are there"))
}
