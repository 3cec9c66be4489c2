//! What the expressions of a node can see.

use longhaul_expr::Scope;
use serde_json::{Map, Value, json};

use super::{FrameId, NodeId, ROOT, Saga};

impl Saga {
    /// What a step's own expressions see: its item variables, and the steps it and the steps around it need. For a
    /// step of `on_failure` or `always` that is every step.
    pub(super) fn scope_of(&self, id: NodeId) -> Scope {
        let frame = self.node(id).frame;
        let mut scope =
            if self.frame(frame).block.is_last() { self.whole_scope() } else { self.bare_scope() };
        self.add_variables(&mut scope, frame);
        let mut around = Some(id);
        while let Some(node) = around {
            for need in &self.node(node).needs {
                self.add_step(&mut scope, *need);
            }
            around = self.frame(self.node(node).frame).item.as_ref().map(|item| item.owner);
        }
        scope
    }

    /// What a written undo sees: inputs, item variables and the outputs of the step it undoes.
    pub(super) fn undo_scope_of(&self, id: NodeId) -> Scope {
        let mut scope = self.bare_scope();
        self.add_variables(&mut scope, self.node(id).frame);
        self.add_step(&mut scope, id);
        scope
    }

    /// What the workflow's outputs see: every step of the root graph.
    pub(super) fn whole_scope(&self) -> Scope {
        let mut scope = self.bare_scope();
        for node in &self.frame(ROOT).nodes {
            self.add_step(&mut scope, *node);
        }
        scope
    }

    pub(super) fn bare_scope(&self) -> Scope {
        let mut run = Map::new();
        run.insert("id".to_owned(), Value::from(self.run.as_str()));
        let now_unix_ms = Some(self.now_unix_ms);
        Scope { inputs: self.plan.inputs.clone(), run, now_unix_ms, ..Scope::default() }
    }

    pub(super) fn add_variables(&self, scope: &mut Scope, frame: FrameId) {
        let mut around = Some(frame);
        while let Some(item) = around.and_then(|frame| self.frame(frame).item.as_ref()) {
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
        let mut value = json!({ "status": node.state.as_str(), "outputs": outputs });
        if node.foreach().is_some() {
            value["items"] = node.items.iter().map(|item| self.item_value(*item)).collect();
        }
        value
    }

    fn item_value(&self, id: FrameId) -> Value {
        let frame = self.frame(id);
        let key = frame.item.as_ref().map_or("", |item| item.key.as_str());
        let outputs: Map<String, Value> =
            frame.nodes.iter().filter_map(|node| self.named_outputs(*node)).collect();
        json!({ "key": key, "status": frame.mode.as_str(), "outputs": outputs })
    }

    fn named_outputs(&self, id: NodeId) -> Option<(String, Value)> {
        let node = self.node(id);
        node.outputs.clone().map(|outputs| (node.step.id.as_str().to_owned(), outputs))
    }
}
