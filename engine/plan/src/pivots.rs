//! Steps that are pivots although their file does not say so.

use std::collections::BTreeSet;

use longhaul_model::action::Effects;
use longhaul_model::ids::StepId;

use crate::plan::{Body, Graph};

/// What nobody can undo is a pivot: to undo what it stands on would take that away under it. Where a run goes forward already
/// nothing is marked.
pub(crate) fn mark(graph: &mut Graph) {
    mark_below(graph, false);
}

/// Whether one of its steps is a pivot. `behind` says whether the graph stands behind one.
fn mark_below(graph: &mut Graph, behind: bool) -> bool {
    let (mut passed, mut any): (BTreeSet<StepId>, bool) = (BTreeSet::new(), false);
    // Each step comes after those that it needs.
    for step in &mut graph.steps {
        let behind = behind || step.needs.iter().any(|id| passed.contains(id));
        let is_pivot = match &mut step.body {
            Body::Action(action) => {
                action.pivot |= !behind && action.effects == Effects::Irreversible;
                action.pivot
            }
            Body::Foreach(foreach) => mark_below(&mut foreach.graph, behind),
            // What it runs was marked when it was checked by itself.
            other @ (Body::Workflow(_) | Body::Wait(_) | Body::Question(_)) => holds_pivot(other),
        };
        any |= is_pivot;
        if behind || is_pivot {
            passed.insert(step.id.clone());
        }
    }
    any
}

/// Whether a step is a pivot, or one inside it is.
pub(crate) fn holds_pivot(body: &Body) -> bool {
    match body {
        Body::Action(action) => action.pivot,
        Body::Foreach(foreach) => foreach.graph.steps.iter().any(|step| holds_pivot(&step.body)),
        Body::Workflow(child) => child.graph.steps.iter().any(|step| holds_pivot(&step.body)),
        Body::Wait(_) | Body::Question(_) => false,
    }
}
