//! Steps that run another workflow.

use longhaul_expr::{Root, Scope, Template};
use longhaul_model::diagnostic::{Code, Elsewhere};
use longhaul_model::workflow::{BodySpec, ChildSpec, StepSpec};
use serde_json::{Map, Value};

use crate::check::Checker;
use crate::family::Checked;
use crate::names::Names;
use crate::parameters::Takes;
use crate::plan::{Body, Child, ChildInput};
use crate::steps::{CheckedBody, Lasting};

/// How many steps the workflows that a file's steps run may have in all. Two files that use the next one twice are four
/// copies of it, so a few lines could ask for more than fits into a journal.
const STEPS_MAX: usize = 100_000;

impl Checker<'_> {
    pub(crate) fn child(&mut self, spec: &ChildSpec, names: &Names<'_>) -> Option<CheckedBody> {
        let uses = self.uses;
        let file = &spec.file;
        let child = uses.child(&file.value);
        let takes = child.map(|child| Takes::of_workflow(&file.value, &child.inputs_schema));
        let before = self.found.len();
        let with = self.parameters(spec.with.as_ref(), file.span, takes.as_ref(), names);
        let (child, with) = (child?, with?);
        if self.found.len() == before {
            self.with_known_inputs(spec, child, &with.template);
        }
        self.check_shared(spec, child);
        if !self.has_room_for(spec, child) {
            return None;
        }
        let body = Body::Workflow(Box::new(as_a_step(child, with.template)));
        let lasting = Lasting {
            pivot: child.pivot.as_ref().map(|_| file.span),
            action: child.parts.lasting.action.map(|_| file.span),
        };
        Some(CheckedBody { body, reads: with.reads, lasting })
    }

    /// The pivot of the workflow that a step runs.
    pub(crate) fn pivot_inside(&self, spec: &StepSpec) -> Option<Elsewhere> {
        let Some(BodySpec::Workflow(child)) = &spec.body else { return None };
        self.uses.child(&child.file.value)?.pivot.clone()
    }

    /// A resource that both workflows declare is one, and of one kind.
    fn check_shared(&mut self, spec: &ChildSpec, child: &Checked) {
        for inner in &child.parts.resources {
            let ours = self.resources.iter().map(|known| &known.resource);
            let Some(own) = ours.into_iter().find(|own| own.name == inner.name && own.kind != inner.kind)
            else {
                continue;
            };
            let (name, kind) = (&own.name, own.kind);
            let message =
                format!("resource `{name}` is {kind} here and {} in `{}`", inner.kind, spec.file.value);
            let one = self.mistake(Code::Amount, spec.file.span, message);
            self.found.push(one.help("a name that both have is one resource: rename one of them"));
        }
    }

    /// Where the inputs alone say what the workflow is given, it is looked at once more with that.
    fn with_known_inputs(&mut self, spec: &ChildSpec, child: &Checked, with: &Template) {
        let Some(given) = self.scope.as_ref().and_then(|scope| known(with, scope)) else { return };
        let Some(inputs) = filled(&child.inputs, given) else { return };
        let Some(at) = self.uses.place(&spec.file.value) else { return };
        let user = Elsewhere {
            source: self.workflow.document.source.clone(),
            span: spec.file.span,
            text: "with these inputs".to_owned(),
        };
        let found = self.uses.family().with_inputs(at, inputs);
        self.found.merge(found.and_elsewhere(&[user]));
    }

    fn has_room_for(&mut self, spec: &ChildSpec, child: &Checked) -> bool {
        let before = self.steps_of_children;
        self.steps_of_children = before.saturating_add(child.steps);
        if self.steps_of_children <= STEPS_MAX {
            return true;
        }
        if before <= STEPS_MAX {
            let message = format!("the workflows that run as steps have more than {STEPS_MAX} steps in all");
            let one = self.mistake(Code::OtherFile, spec.file.span, message);
            self.found.push(one.help("run it once with a list, and let it repeat its steps"));
        }
        false
    }
}

fn as_a_step(child: &Checked, with: Template) -> Child {
    let parts = &child.parts;
    Child {
        workflow: child.pin.clone(),
        with,
        inputs: child.inputs.clone(),
        deadline: parts.deadline.clone(),
        resources: parts.resources.clone(),
        policies: parts.policies.clone(),
        graph: parts.graph.clone(),
        outputs: parts.outputs.clone(),
        on_failure: parts.on_failure.clone(),
        always: parts.always.clone(),
        defaulted: Vec::new(),
    }
}

/// What is given, if the inputs of the one who gives say it all.
fn known(with: &Template, scope: &Scope) -> Option<Map<String, Value>> {
    let from_inputs = with.expressions().iter().all(|placed| {
        let expression = placed.expression;
        !expression.asked().time && expression.references().iter().all(|read| read.root == Root::Inputs)
    });
    match with.evaluate(scope).ok().filter(|_| from_inputs)? {
        Value::Object(given) => Some(given),
        _ => None,
    }
}

/// What is given, and for the rest the defaults; nothing if an input has neither.
fn filled(inputs: &[ChildInput], mut given: Map<String, Value>) -> Option<Map<String, Value>> {
    for input in inputs {
        if !given.contains_key(&input.name) {
            given.insert(input.name.clone(), input.schema.get("default")?.clone());
        }
    }
    Some(given)
}

#[cfg(test)]
mod tests;
