//! What stands on something is undone first, and behind a pivot nothing is; a scope is closed whatever stands on it.

use longhaul_model::ids::StepPath;

use super::steps::Steps;
use super::{Invariant, Shown, pivot};

pub(super) fn of_undo(steps: &Steps<'_>, step: &StepPath) -> Vec<Shown> {
    let place = steps.layout.place(step.as_str());
    if place.is_some_and(|place| place.node.is_scope()) {
        return Vec::new();
    }
    let mut shown = pivot::of_undo(steps, step);
    let Some(place) = place else { return shown };
    let standing = place.dependents().find_map(|other| steps.stands_there(&place.sibling(&other.id), other));
    shown.extend(standing.map(|other| {
        (
            Invariant::UndoneInReverse,
            step.clone(),
            format!("{step} is undone under {other}, which stands on it"),
        )
    }));
    shown
}
