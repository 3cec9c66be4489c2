//! What holds in every run, whatever happens: judged over the whole event stream and the world at its end.
//!
//! One file per invariant that takes more than a look.

mod budgets;
mod needs;
mod pivot;
mod steps;
mod undo;

use std::fmt;

use budgets::Budgets;
use longhaul_model::ids::StepPath;
pub use longhaul_model::test::Invariant;
use longhaul_saga::{Entry, Intent, Status, Work};
use steps::Steps;

use crate::{Halt, Layout, Ran};

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// What was the case instead: a lower-case fragment.
    pub text: String,
    /// The record at which it shows; none if it shows at the end.
    pub record: Option<u64>,
    /// The step it is about.
    pub step: Option<StepPath>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant `{}`: {}", self.invariant, self.text)?;
        self.record.map_or(Ok(()), |record| write!(f, ", at record {record}"))
    }
}

/// Every one of these invariants that does not hold in a run.
#[must_use]
pub fn judge(layout: &Layout, ran: &Ran, wanted: &[Invariant]) -> Vec<Violation> {
    let mut found = over_records(layout, ran);
    found.extend(at_the_end(layout, ran));
    found.retain(|violation| wanted.contains(&violation.invariant));
    found
}

/// What shows while the run goes on.
fn over_records(layout: &Layout, ran: &Ran) -> Vec<Violation> {
    let mut steps = Steps::new(layout);
    let mut budgets = Budgets::new(layout);
    let mut found = Vec::new();
    for record in &ran.records {
        let at = |(invariant, step, text)| Violation {
            invariant,
            text,
            record: Some(record.seq),
            step: Some(step),
        };
        found.extend(budgets.take(&record.entry).into_iter().map(at));
        if let Entry::Intent(intent) = &record.entry {
            let shown = match intent {
                Intent::Start(start) if start.work == Work::Forward => needs::of_start(&steps, &start.step),
                Intent::Start(start) => undo::of_undo(&steps, &start.step),
                Intent::Compensate(undo) => undo::of_undo(&steps, &undo.step),
                Intent::Expand(expand) => needs::of_start(&steps, &expand.step),
                Intent::Enter(enter) => needs::of_start(&steps, &enter.step),
                Intent::Pause(pause) if !layout.is_deadline(&pause.step) => {
                    needs::of_start(&steps, &pause.step)
                }
                Intent::Ask(ask) => needs::of_start(&steps, &ask.step),
                Intent::Queue(_)
                | Intent::Share(_)
                | Intent::Cancel(_)
                | Intent::Answered(_)
                | Intent::Refuse(_)
                | Intent::Skip(_)
                | Intent::Pause(_)
                | Intent::GiveUp(_)
                | Intent::End(_) => Vec::new(),
            };
            found.extend(shown.into_iter().map(at));
        }
        steps.take(&record.entry);
    }
    found
}

/// What is seen of one step: the invariant, the step, and what is wrong.
type Shown = (Invariant, StepPath, String);

fn at_the_end(layout: &Layout, ran: &Ran) -> Vec<Violation> {
    let end = |invariant, step: Option<&StepPath>, text| Violation {
        invariant,
        text,
        record: None,
        step: step.cloned(),
    };
    let mut found = Vec::new();
    if let Some(text) = does_not_end(&ran.halt) {
        found.push(end(Invariant::Ends, None, text));
    }
    for (at, step) in ran.world.overlaps() {
        let ms = at.saturating_sub(ran.records.first().map_or(0, |record| record.at_unix_ms));
        let text = format!("{step} began again after {ms} ms, while an attempt of it was under way");
        found.push(end(Invariant::OneAttemptAtATime, Some(step), text));
    }
    for (step, effect) in ran.world.effects().iter().filter(|(step, _)| layout.has_effect(step)) {
        if let Some((_, times)) = effect.done.iter().find(|(_, times)| **times > 1) {
            let text = format!("{step} came about {times} times under one key");
            found.push(end(Invariant::DoneOnce, Some(step), text));
        }
        if ran.status() == Status::Failed && effect.there {
            let text = format!("the run failed, and {step} is still in effect");
            found.push(end(Invariant::AllUndoneWhenFailed, Some(step), text));
        }
    }
    found
}

fn does_not_end(halt: &Halt) -> Option<String> {
    match halt {
        Halt::At(_) => None,
        Halt::Idle => Some("the run is under way, and nothing will ever happen in it".to_owned()),
        Halt::Endless => Some("the run goes on and on".to_owned()),
        Halt::Broken(why) => Some(format!("the run broke: {why}")),
    }
}
