//! The faults of a sweep: one for every place of the undisturbed run where something can go wrong.

use std::collections::BTreeSet;

use longhaul_model::ids::StepPath;
use longhaul_model::source::Spanned;
use longhaul_model::test::{ErrorSweep, UNKNOWN};
use longhaul_saga::{Entry, Intent, Work};

use super::Case;
use super::shape::matches;
use crate::{Fault, Ran, Side};

impl Case {
    /// Whether it runs more than once.
    #[must_use]
    pub fn sweeps(&self) -> bool {
        self.sweep.error.is_some() || self.sweep.crash.is_some() || self.sweep.twice.is_some()
    }

    /// The faults of its sweep, from its run without one.
    #[must_use]
    pub fn points(&self, undisturbed: &Ran) -> Vec<Fault> {
        let mut points = Vec::new();
        if let Some(sweep) = &self.sweep.error {
            points.extend(errors(sweep, undisturbed));
        }
        if self.sweep.crash.is_some() {
            points.extend(crashes(undisturbed));
        }
        if self.sweep.twice.is_some() {
            points.extend(effects(undisturbed).into_iter().map(|(step, work)| Fault::Twice { step, work }));
        }
        points
    }
}

fn errors(sweep: &ErrorSweep, undisturbed: &Ran) -> Vec<Fault> {
    let mut points = Vec::new();
    for (step, _) in effects(undisturbed).into_iter().filter(|(_, work)| *work == Work::Forward) {
        let is_meant = |at: &Spanned<String>| matches(&at.value, step.as_str()).is_some();
        if sweep.at.as_ref().is_some_and(|listed| !listed.iter().any(is_meant)) {
            continue;
        }
        for class in &sweep.classes {
            if class.value == UNKNOWN {
                points.extend([true, false].map(|done| Fault::Unknown { step: step.clone(), done }));
            } else {
                let (step, class, times) = (step.clone(), class.value.clone(), sweep.times.unwrap_or(1));
                points.push(Fault::Error { step, class, times });
            }
        }
    }
    points
}

/// Both sides of every write but the first: before that there is no run.
fn crashes(undisturbed: &Ran) -> Vec<Fault> {
    let writes = undisturbed.records.len() as u64;
    let sides = [Side::Before, Side::After];
    let all = (1..=writes).flat_map(|write| sides.map(|side| Fault::Crash { write, side }));
    all.filter(|fault| *fault != Fault::Crash { write: 1, side: Side::Before }).collect()
}

/// Every effect that was begun, in the order of its first beginning.
fn effects(undisturbed: &Ran) -> Vec<(StepPath, Work)> {
    let mut seen = BTreeSet::new();
    let begun = undisturbed.records.iter().filter_map(|record| match &record.entry {
        Entry::Intent(Intent::Start(start)) => Some((start.step.clone(), start.work)),
        Entry::Intent(Intent::Compensate(undo)) => Some((undo.step.clone(), Work::Undo)),
        Entry::Intent(_) | Entry::Event(_) => None,
    });
    begun.filter(|effect| seen.insert(effect.clone())).collect()
}
