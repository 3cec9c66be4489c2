//! Once a pivot has happened, or may have, nothing of its graph is undone, and around it nothing that the way to it stands
//! on.

use longhaul_model::ids::{StepId, StepPath};

use super::steps::Steps;
use super::{Invariant, Shown};
use crate::layout::{Kind, Node};

pub(super) fn of_undo(steps: &Steps<'_>, step: &StepPath) -> Vec<Shown> {
    let Some(place) = steps.layout.place(step.as_str()) else { return Vec::new() };
    let kept = |pivot: &&StepPath| match pivot.as_str().strip_prefix(place.prefix) {
        // The pivot's own graph, or a graph around it.
        Some(within) => is_kept(place.beside, within, &place.node.id),
        None => false,
    };
    let behind = steps.passed.iter().find(kept);
    let text = |pivot| format!("{step} is undone, and the pivot {pivot} has happened or may have");
    behind.map(|pivot| (Invariant::NothingUndoneAfterPivot, step.clone(), text(pivot))).into_iter().collect()
}

/// Whether a pivot of this path, seen from a graph, keeps one of the graph's steps. That of a workflow which a step runs is
/// one of the graph itself.
fn is_kept(beside: &[Node], pivot: &str, step: &StepId) -> bool {
    let Some((owner, inside)) = pivot.split_once('/') else { return true };
    let node = beside.iter().find(|node| node.id.as_str() == owner);
    match node.map(|node| &node.kind) {
        Some(Kind::Workflow { steps, .. }) if is_of(steps, inside) => true,
        _ => owner == step.as_str() || reaches(beside, owner, step),
    }
}

/// Whether a pivot of this path is one of a graph's own.
fn is_of(steps: &[Node], pivot: &str) -> bool {
    let Some((owner, inside)) = pivot.split_once('/') else { return true };
    let node = steps.iter().find(|node| node.id.as_str() == owner);
    matches!(node.map(|node| &node.kind), Some(Kind::Workflow { steps, .. }) if is_of(steps, inside))
}

/// Whether the step `from` needs `to`, directly or not.
fn reaches(beside: &[Node], from: &str, to: &StepId) -> bool {
    let Some(node) = beside.iter().find(|node| node.id.as_str() == from) else { return false };
    node.needs.iter().any(|need| need == to || reaches(beside, need.as_str(), to))
}
