//! Which effects are to come, as far as their parameters are known now. Estimates are made from this.

use longhaul_expr::Scope;
use longhaul_model::action::{ActionName, Effects};
use longhaul_model::ids::{StepId, StepPath};
use longhaul_plan::{Body, Child, Graph};
use serde_json::Value;

use super::child::inputs_of;
use super::{FrameId, Mode, NodeId, Saga, State};

/// An effect that is to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// The step.
    pub step: StepPath,
    /// The action.
    pub uses: ActionName,
    /// Its parameters.
    pub params: Value,
}

impl Saga {
    /// How many step instances there are so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the step of that path only looks, and is not one of an item: what it finds may be known before others begin.
    #[must_use]
    pub fn looks_only(&self, step: &StepPath) -> bool {
        let Some(id) = self.index.get(step) else { return false };
        let node = self.node(*id);
        let looks = node.action().is_some_and(|action| action.effects == Effects::None);
        looks && !self.is_in_item(node.frame)
    }

    fn is_in_item(&self, frame: FrameId) -> bool {
        self.frame(frame)
            .item
            .as_ref()
            .is_some_and(|item| item.key.is_some() || self.is_in_item(self.node(item.owner).frame))
    }

    /// The steps that have not started and whose parameters can be evaluated already, in plan order.
    #[must_use]
    pub fn foresee(&self) -> Vec<Foreseen> {
        let mut seen = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let frame = self.frame(node.frame);
            let open = matches!(frame.mode(), Mode::Queued | Mode::Forward) && !frame.block.is_apart();
            if open && matches!(node.state, State::Waiting) {
                self.foresee_node(NodeId(index), &mut seen);
            }
        }
        seen
    }

    fn foresee_node(&self, id: NodeId, seen: &mut Vec<Foreseen>) {
        let node = self.node(id);
        let scope = self.scope_of(id);
        match &node.step.body {
            Body::Action(action) => seen.extend(action.with.evaluate(&scope).ok().map(|params| Foreseen {
                step: node.path.clone(),
                uses: action.uses.clone(),
                params,
            })),
            Body::Wait(_) | Body::Question(_) => {}
            Body::Workflow(child) => foresee_workflow(child, &node.path, &scope, seen),
            Body::Foreach(foreach) => {
                for item in self.items_of(id, foreach).unwrap_or_default() {
                    let mut scope = scope.clone();
                    scope.vars.insert(foreach.variable.clone(), item.value);
                    let path = |step: &StepId| node.path.item(&item.key, step);
                    foresee_graph(&foreach.graph, &path, &scope, seen);
                }
            }
        }
    }
}

/// The action steps of a graph that does not exist yet. A foreach inside it is not looked into.
fn foresee_graph(graph: &Graph, path: &dyn Fn(&StepId) -> StepPath, scope: &Scope, seen: &mut Vec<Foreseen>) {
    for step in &graph.steps {
        match &step.body {
            Body::Action(action) => seen.extend(action.with.evaluate(scope).ok().map(|params| Foreseen {
                step: path(&step.id),
                uses: action.uses.clone(),
                params,
            })),
            Body::Workflow(child) => foresee_workflow(child, &path(&step.id), scope, seen),
            Body::Foreach(_) | Body::Wait(_) | Body::Question(_) => {}
        }
    }
}

/// The action steps of another workflow; those that see more than its inputs are not known yet.
fn foresee_workflow(child: &Child, own: &StepPath, scope: &Scope, seen: &mut Vec<Foreseen>) {
    let Ok(inputs) = inputs_of(child, scope) else { return };
    let scope = Scope { inputs, run: scope.run.clone(), now_unix_ms: scope.now_unix_ms, ..Scope::default() };
    foresee_graph(&child.graph, &|step: &StepId| own.child(step), &scope, seen);
}
