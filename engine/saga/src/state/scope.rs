//! What the expressions of a node can see.

use longhaul_expr::Scope;
use serde_json::{Map, Value, json};

use super::{FrameEnd, FrameId, Item, Mode, NodeId, ROOT, Saga};

impl Saga {
    /// What a step's own expressions see: its item variables, and the steps it and the steps around it need. For a
    /// step of `on_failure` or `always` that is every step.
    pub(super) fn scope_of(&self, id: NodeId) -> Scope {
        let frame = self.node(id).frame;
        let home = self.home(frame);
        let mut scope =
            if self.frame(frame).block.is_last() { self.whole_scope(home) } else { self.bare_scope(home) };
        scope.sites = self.node(id).sights.clone();
        self.add_variables(&mut scope, frame);
        let mut around = Some(id);
        while let Some(node) = around {
            for need in &self.node(node).needs {
                self.add_step(&mut scope, *need);
            }
            around = self.item_around(self.node(node).frame).map(|item| item.owner);
        }
        scope
    }

    /// What a written undo sees: inputs, item variables and the outputs of the step it undoes.
    pub(super) fn undo_scope_of(&self, id: NodeId) -> Scope {
        let frame = self.node(id).frame;
        let mut scope = self.bare_scope(self.home(frame));
        scope.sites = self.node(id).sights.clone();
        self.add_variables(&mut scope, frame);
        self.add_step(&mut scope, id);
        scope
    }

    /// What a workflow's outputs see: every step of its own graph.
    pub(super) fn whole_scope(&self, home: Option<NodeId>) -> Scope {
        let mut scope = self.bare_scope(home);
        let steps = home.and_then(|home| self.node(home).items.first().copied()).unwrap_or(ROOT);
        for node in &self.frame(steps).nodes {
            self.add_step(&mut scope, *node);
        }
        scope
    }

    pub(super) fn bare_scope(&self, home: Option<NodeId>) -> Scope {
        let mut run = Map::new();
        run.insert("id".to_owned(), Value::from(self.run.as_str()));
        let now_unix_ms = Some(self.now_unix_ms);
        let inputs = home.map_or(&self.plan.inputs, |home| self.inputs_within(home));
        Scope { inputs: inputs.clone(), run, now_unix_ms, ..Scope::default() }
    }

    /// The step that runs the workflow to which a frame belongs; none if that is the run's own.
    pub(super) fn home(&self, frame: FrameId) -> Option<NodeId> {
        let owner = self.frame(frame).item.as_ref()?.owner;
        let node = self.node(owner);
        if node.workflow().is_some() { Some(owner) } else { self.home(node.frame) }
    }

    /// The item to which a frame belongs. A workflow that runs as a step sees nothing of what is around it.
    fn item_around(&self, frame: FrameId) -> Option<&Item> {
        self.frame(frame).item.as_ref().filter(|item| item.key.is_some())
    }

    fn add_variables(&self, scope: &mut Scope, frame: FrameId) {
        let mut around = Some(frame);
        while let Some(item) = around.and_then(|frame| self.item_around(frame)) {
            let owner = self.node(item.owner);
            if let Some(foreach) = owner.foreach() {
                scope.vars.entry(foreach.variable.clone()).or_insert_with(|| item.value.clone());
            }
            around = Some(owner.frame);
        }
    }

    /// A step as expressions see it. An inner step hides an outer one of its name.
    fn add_step(&self, scope: &mut Scope, id: NodeId) {
        let name = self.node(id).step.id.as_str();
        if !scope.steps.contains_key(name) {
            scope.steps.insert(name.to_owned(), self.step_value(id));
        }
    }

    fn step_value(&self, id: NodeId) -> Value {
        let node = self.node(id);
        let outputs = node.outputs.clone().unwrap_or_else(|| node.absent_outputs());
        let mut value = json!({ "status": self.status_of(id), "outputs": outputs });
        if node.foreach().is_some() {
            value["items"] = node.items.iter().map(|item| self.item_value(*item)).collect();
        }
        value
    }

    fn item_value(&self, id: FrameId) -> Value {
        let frame = self.frame(id);
        let key = frame.item.as_ref().and_then(|item| item.key.as_deref()).unwrap_or_default();
        let outputs: Map<String, Value> =
            frame.nodes.iter().filter_map(|node| self.named_outputs(*node)).collect();
        // What came through, and did a part of itself in part, is no success one level up either.
        let is_partial = frame.mode() == Mode::Ended(FrameEnd::Succeeded) && !self.agrees(id);
        let status = if is_partial { Mode::Ended(FrameEnd::Partial) } else { frame.mode() }.as_str();
        json!({ "key": key, "status": status, "outputs": outputs })
    }

    fn named_outputs(&self, id: NodeId) -> Option<(String, Value)> {
        let node = self.node(id);
        node.outputs.clone().map(|outputs| (node.step.id.as_str().to_owned(), outputs))
    }
}
