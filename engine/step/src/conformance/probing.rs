//! A probe tells what is in the world and changes nothing.

use longhaul_model::action::Effects;

use super::drive::{context, run};
use super::{Fault, Subject, Violation, expect};
use crate::Probe;

const ABSENT: &str = "before its start a probe says absent";
const DONE: &str = "after its end a probe says done";
const FAULT: &str = "after a fault a probe never says absent of what is there, nor done of what is not";
const LOOKS: &str = "a probe changes nothing";

pub(super) async fn check(subject: &dyn Subject) -> Vec<Violation> {
    if subject.action().descriptor().effects == Effects::None {
        // What leaves nothing in the world can be looked for nowhere: every answer is true.
        return Vec::new();
    }
    let mut violations = Vec::new();
    subject.reset().await;
    let before = probe(subject, &mut violations).await;
    violations.extend(expect(ABSENT, before == Probe::Absent, || format!("{before:?}")));
    violations.extend(run(subject, 1).await.err());
    let after = probe(subject, &mut violations).await;
    violations.extend(expect(DONE, matches!(after, Probe::Done(_)), || format!("{after:?}")));
    for fault in [Fault::Before, Fault::Half, Fault::After] {
        subject.reset().await;
        if subject.break_at(Some(fault)).await {
            violations.extend(run(subject, 1).await.err());
            subject.break_at(None).await;
            let said = probe(subject, &mut violations).await;
            let there = subject.effects().await > 0;
            let lie = matches!((&said, there), (Probe::Absent, true) | (Probe::Done(_), false));
            violations.extend(expect(FAULT, !lie, || format!("at {fault:?} it said {said:?}")));
        }
    }
    violations
}

/// Asks, and looks whether asking changed anything.
async fn probe(subject: &dyn Subject, violations: &mut Vec<Violation>) -> Probe {
    let before = subject.effects().await;
    let said = subject.action().probe(&context(subject, 1), &subject.params()).await;
    let after = subject.effects().await;
    violations.extend(expect(LOOKS, before == after, || format!("{before} effects before, {after} after")));
    said
}
