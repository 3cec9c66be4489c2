//! A workflow and those that its steps run, each checked once and before those that use it.

use std::collections::BTreeMap;

use longhaul_expr::Scope;
use longhaul_model::action::Catalogue;
use longhaul_model::diagnostic::{Diagnostics, Elsewhere};
use longhaul_model::workflow::Resolved;
use serde_json::{Map, Value, json};

use crate::check::{Checker, Parts};
use crate::digest::pin;
use crate::inputs::{self, Declared};
use crate::plan::{Body, ChildInput, Graph, WorkflowPin};

/// How many of the steps that use a file are named beside a mistake in it.
const USERS_SHOWN_MAX: usize = 3;

/// Every workflow of a check.
pub(crate) struct Family<'a> {
    resolved: &'a Resolved,
    catalogue: &'a Catalogue,
    /// Those that others use, in the order of [`Resolved::parts`].
    checked: Vec<Checked>,
}

/// A workflow as the steps that run it see it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) pin: WorkflowPin,
    pub(crate) inputs: Vec<ChildInput>,
    /// The schema of all its inputs together.
    pub(crate) inputs_schema: Value,
    pub(crate) parts: Parts,
    /// Where it has its pivot.
    pub(crate) pivot: Option<Elsewhere>,
    /// How many steps it has, with those of the workflows that it runs.
    pub(crate) steps: usize,
    /// Whether something is wrong with it or with what it uses, whatever its inputs are.
    pub(crate) is_broken: bool,
}

/// What a workflow's steps can use.
#[derive(Clone, Copy)]
pub(crate) struct Uses<'a> {
    family: &'a Family<'a>,
    children: &'a BTreeMap<String, usize>,
}

/// Which inputs a workflow is looked at with.
pub(crate) enum Given<'g> {
    Nothing,
    /// They may be wrong, and that is reported.
    ByAPerson(&'g Map<String, Value>),
    /// They are right and whole.
    ByAStep(Map<String, Value>),
}

/// What is seen of one workflow.
pub(crate) struct Looked {
    pub(crate) pin: WorkflowPin,
    pub(crate) parts: Parts,
    pub(crate) bound: Option<Map<String, Value>>,
    pub(crate) found: Diagnostics,
    inputs: Vec<ChildInput>,
}

impl<'a> Family<'a> {
    /// Checks every workflow but the one that was asked for, with no values for their inputs; and everything that is wrong
    /// with them, and with the form of all.
    pub(crate) fn check(resolved: &'a Resolved, catalogue: &'a Catalogue) -> (Self, Diagnostics) {
        let mut family = Self { resolved, catalogue, checked: Vec::new() };
        let mut all = Diagnostics::new();
        for (at, part) in resolved.parts.iter().enumerate() {
            let users = &part.users[..part.users.len().min(USERS_SHOWN_MAX)];
            let mut found = part.found.clone();
            if at + 1 < resolved.parts.len() {
                let looked = family.look(at, Given::Nothing);
                found.append(looked.found.clone());
                let checked = family.checked_of(at, looked, &found);
                family.checked.push(checked);
            }
            all.append(found.and_elsewhere(users));
        }
        (family, all)
    }

    /// The workflow that was asked for, with these inputs. What is wrong with its form was told by [`Family::check`].
    pub(crate) fn root(&self, given: Given<'_>) -> Looked {
        self.look(self.resolved.parts.len() - 1, given)
    }

    /// What is wrong with a workflow when a step runs it with these inputs, and is not wrong anyway.
    pub(crate) fn with_inputs(&self, at: usize, inputs: Map<String, Value>) -> Diagnostics {
        if self.checked[at].is_broken {
            Diagnostics::new()
        } else {
            self.look(at, Given::ByAStep(inputs)).found
        }
    }

    fn look(&self, at: usize, given: Given<'_>) -> Looked {
        let part = &self.resolved.parts[at];
        let uses = Uses { family: self, children: &part.children };
        let mut checker = Checker::new(&part.workflow, uses);
        let declared = checker.declared_inputs();
        let bound = match given {
            Given::Nothing => None,
            Given::ByAPerson(given) => inputs::bind(&declared, given, &mut checker),
            Given::ByAStep(inputs) => Some(inputs),
        };
        checker.scope = bound.clone().map(|inputs| Scope { inputs, ..Scope::default() });
        let parts = checker.parts(&declared, &part.scripts);
        let inputs = declared.iter().map(child_input).collect();
        Looked { pin: pin(part, &self.checked), parts, bound, found: checker.found, inputs }
    }

    fn checked_of(&self, at: usize, looked: Looked, found: &Diagnostics) -> Checked {
        let part = &self.resolved.parts[at];
        let Looked { pin, parts, inputs, .. } = looked;
        let source = &part.workflow.document.source;
        let pivot = parts.lasting.pivot.map(|span| Elsewhere {
            source: source.clone(),
            span,
            text: "the pivot in it".to_owned(),
        });
        let children = part.children.values().map(|child| &self.checked[*child]);
        Checked {
            inputs_schema: schema_of(&inputs),
            steps: count(&parts.graph) + count(&parts.on_failure) + count(&parts.always),
            is_broken: !found.is_empty() || children.into_iter().any(|child| child.is_broken),
            pin,
            inputs,
            parts,
            pivot,
        }
    }
}

impl<'a> Uses<'a> {
    pub(crate) fn catalogue(self) -> &'a Catalogue {
        self.family.catalogue
    }

    pub(crate) fn family(self) -> &'a Family<'a> {
        self.family
    }

    /// Where the workflow of that file stands in its family; none if it could not be had.
    pub(crate) fn place(self, file: &str) -> Option<usize> {
        self.children.get(file).copied()
    }

    /// The workflow of that file; none if it could not be had.
    pub(crate) fn child(self, file: &str) -> Option<&'a Checked> {
        self.family.checked.get(self.place(file)?)
    }
}

fn child_input(declared: &Declared<'_>) -> ChildInput {
    ChildInput { name: declared.input.name.value.clone(), schema: declared.schema.clone() }
}

/// What a step's `with` has to be: the inputs that have no default, and no others than there are.
fn schema_of(inputs: &[ChildInput]) -> Value {
    let required: Vec<&str> = inputs
        .iter()
        .filter(|input| input.schema.get("default").is_none())
        .map(|input| input.name.as_str())
        .collect();
    let properties: Map<String, Value> =
        inputs.iter().map(|input| (input.name.clone(), input.schema.clone())).collect();
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}

/// The same of a workflow that is being checked.
pub(crate) fn schema_of_declared(declared: &[Declared<'_>]) -> Value {
    schema_of(&declared.iter().map(child_input).collect::<Vec<_>>())
}

/// How many steps a graph has, with those inside them.
fn count(graph: &Graph) -> usize {
    let inside = |body: &Body| match body {
        Body::Action(_) | Body::Wait(_) | Body::Question(_) => 0,
        Body::Foreach(foreach) => count(&foreach.graph),
        Body::Workflow(child) => count(&child.graph) + count(&child.on_failure) + count(&child.always),
    };
    graph.steps.iter().map(|step| 1 + inside(&step.body)).sum()
}
