//! No step starts before what it needs has succeeded, unless it asks how that ended.

use longhaul_model::ids::StepPath;
use longhaul_plan::Plan;

use super::steps::Steps;
use super::{Invariant, Shown};

pub(super) fn of_start(steps: &Steps<'_>, step: &StepPath) -> Vec<Shown> {
    if [Plan::PLAN_APPROVAL, Plan::UNDO_APPROVAL].iter().any(|id| step.as_str().starts_with(id)) {
        // What policies want people asked about the run waits for nothing.
        return Vec::new();
    }
    let Some(place) = steps.layout.place(step.as_str()) else {
        return vec![(Invariant::NeedsFirst, step.clone(), format!("{step} is no step of the plan"))];
    };
    if place.node.asks {
        return Vec::new();
    }
    let unmet = place.node.needs.iter().filter_map(|need| {
        let node = place.beside.iter().find(|node| node.id == *need)?;
        let path = place.sibling(need);
        (!steps.is_met(&path, node)).then_some(path)
    });
    unmet.map(|need| (Invariant::NeedsFirst, step.clone(), format!("{step} starts before {need}"))).collect()
}
