//! What stands on something is undone first, and behind a pivot nothing is; a scope is closed whatever stands on it.

use longhaul_model::ids::StepPath;

use super::steps::Steps;
use super::{Invariant, Shown, pivot};

pub(super) fn of_undo(steps: &Steps<'_>, step: &StepPath) -> Vec<Shown> {
    let place = steps.layout.place(step.as_str());
    if place.is_some_and(|place| place.node.is_scope()) {
        return Vec::new();
    }
    let mut shown = if steps.is_replanned { Vec::new() } else { pivot::of_undo(steps, step) };
    shown.extend(standing_on(steps, step).map(|other| {
        (
            Invariant::UndoneInReverse,
            step.clone(),
            format!("{step} is undone under {other}, which stands on it"),
        )
    }));
    shown
}

/// What stands on a step, or on a step that it is inside.
fn standing_on(steps: &Steps<'_>, step: &StepPath) -> Option<String> {
    let path = step.as_str();
    let around = path.match_indices('/').map(|(end, _)| &path[..end]);
    // The path of an item is no step's.
    let places = around.chain([path]).filter_map(|path| steps.layout.place(path));
    places.into_iter().find_map(|place| {
        place.dependents().find_map(|other| steps.stands_there(&place.sibling(&other.id), other))
    })
}
