//! Once a pivot has happened, or may have, nothing of its graph is undone, and around it nothing that the way to it stands
//! on.

use longhaul_model::ids::{StepId, StepPath};

use super::steps::Steps;
use super::{Invariant, Shown};
use crate::layout::Node;

pub(super) fn of_undo(steps: &Steps<'_>, step: &StepPath) -> Vec<Shown> {
    let Some(place) = steps.layout.place(step.as_str()) else { return Vec::new() };
    let kept = |pivot: &&StepPath| match pivot.as_str().strip_prefix(place.prefix) {
        // The pivot's own graph, or a graph around it.
        Some(within) => match within.split_once('/') {
            None => true,
            Some((owner, _)) => {
                owner == place.node.id.as_str() || reaches(place.beside, owner, &place.node.id)
            }
        },
        None => false,
    };
    let behind = steps.passed.iter().find(kept);
    let text = |pivot| format!("{step} is undone, and the pivot {pivot} has happened or may have");
    behind.map(|pivot| (Invariant::NothingUndoneAfterPivot, step.clone(), text(pivot))).into_iter().collect()
}

/// Whether the step `from` needs `to`, directly or not.
fn reaches(beside: &[Node], from: &str, to: &StepId) -> bool {
    let Some(node) = beside.iter().find(|node| node.id.as_str() == from) else { return false };
    node.needs.iter().any(|need| need == to || reaches(beside, need.as_str(), to))
}
