//! The way from a document to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use longhaul_expr::{Expression, Scope, Template};
use longhaul_model::action::Catalogue;
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::ids::StepId;
use longhaul_model::source::Span;
use longhaul_model::workflow::Workflow;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::inputs::{self, Declared};
use crate::names::Names;
use crate::plan::{Body, Graph, OnExpire, Plan, WorkflowPin};
use crate::schema::Validators;

/// Checks a workflow without values for its inputs, as far as that is possible.
///
/// # Errors
/// Every mistake in it, sorted by place.
pub fn validate(document: &Document, catalogue: &Catalogue) -> Result<(), Diagnostics> {
    outline(document, catalogue).map(drop)
}

/// The steps of a workflow without values for its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// The steps.
    pub graph: Graph,
    /// Steps that run when the run did not succeed.
    pub on_failure: Graph,
    /// Steps that run at the end, whatever the outcome.
    pub always: Graph,
}

/// Checks a workflow as [`validate`] does, and says which steps it has and why they wait for each other.
///
/// # Errors
/// Every mistake in it, sorted by place.
pub fn outline(document: &Document, catalogue: &Catalogue) -> Result<Outline, Diagnostics> {
    let (workflow, found) = Workflow::read(document);
    let mut checker = Checker::new(&workflow, catalogue, found);
    let declared = checker.declared_inputs();
    let Parts { graph, on_failure, always, .. } = checker.parts(&declared);
    checker.found.or(Some(Outline { graph, on_failure, always }))
}

/// Checks a workflow with these inputs and makes a plan of it. Defaults are filled in.
///
/// # Errors
/// Every mistake in the workflow and in the inputs, sorted by place.
pub fn check(
    document: &Document,
    given: &Map<String, Value>,
    catalogue: &Catalogue,
) -> Result<Plan, Diagnostics> {
    let (workflow, found) = Workflow::read(document);
    let mut checker = Checker::new(&workflow, catalogue, found);
    let declared = checker.declared_inputs();
    let bound = inputs::bind(&declared, given, &mut checker);
    checker.scope = bound.clone().map(|inputs| Scope { inputs, ..Scope::default() });
    let Parts { deadline, graph, outputs, on_failure, always } = checker.parts(&declared);
    let inputs = bound.unwrap_or_default();
    let plan = Plan { workflow: pin(&workflow), inputs, deadline, graph, outputs, on_failure, always };
    checker.found.or(Some(plan))
}

/// What the parts of a check share.
pub(crate) struct Checker<'a> {
    pub(crate) workflow: &'a Workflow,
    pub(crate) catalogue: &'a Catalogue,
    /// The inputs, if they are known and right.
    pub(crate) scope: Option<Scope>,
    pub(crate) found: Diagnostics,
    /// The outputs of each step that something reads with a default.
    pub(crate) defaulted: BTreeMap<StepId, BTreeSet<String>>,
    /// Of actions by their names, and of formats.
    pub(crate) validators: Validators,
}

/// What a plan is made of besides its inputs.
struct Parts {
    deadline: Option<Expression>,
    graph: Graph,
    outputs: Vec<(String, Template)>,
    on_failure: Graph,
    always: Graph,
}

impl<'a> Checker<'a> {
    fn new(workflow: &'a Workflow, catalogue: &'a Catalogue, found: Diagnostics) -> Self {
        let (defaulted, validators) = (BTreeMap::new(), Validators::default());
        Self { workflow, catalogue, scope: None, found, defaulted, validators }
    }

    /// A mistake in the document, not yet noted.
    pub(crate) fn mistake(&self, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, &self.workflow.document.source, span, message)
    }

    /// Notes a mistake in the document.
    pub(crate) fn report(&mut self, code: Code, span: Span, message: impl Into<String>) {
        let one = self.mistake(code, span, message);
        self.found.push(one);
    }

    fn declared_inputs(&mut self) -> Vec<Declared<'a>> {
        let workflow = self.workflow;
        workflow.inputs.iter().map(|input| inputs::declare(input, self)).collect()
    }

    fn parts(&mut self, declared: &[Declared<'a>]) -> Parts {
        let workflow = self.workflow;
        let root = Names::root(declared, &workflow.steps, self.catalogue);
        let deadline = self.deadline(declared);
        let mut graph = self.graph(&workflow.steps, &root).graph;
        let outputs = self.outputs(&root.when_well(passed_over(&graph)));
        let end = root.at_the_end();
        let mut on_failure = self.last(&workflow.on_failure, "on_failure", &end);
        let end = end.with_steps(&workflow.on_failure, self.catalogue).at_the_end();
        let mut always = self.last(&workflow.always, "always", &end);
        for graph in [&mut graph, &mut on_failure, &mut always] {
            note_defaulted(graph, &self.defaulted);
        }
        Parts { deadline, graph, outputs, on_failure, always }
    }

    /// Worked out when the run begins, so it sees the inputs alone.
    fn deadline(&mut self, declared: &[Declared<'a>]) -> Option<Expression> {
        let workflow = self.workflow;
        let node = workflow.deadline.as_ref()?;
        let names = Names::root(declared, &[], self.catalogue);
        for spec in workflow.steps.iter().chain(&workflow.on_failure).chain(&workflow.always) {
            if spec.id.value.as_str() == Plan::DEADLINE {
                let message = format!("`{}` is the id of the workflow's own deadline", Plan::DEADLINE);
                self.report(Code::ReservedName, spec.id.span, message);
            }
        }
        let expression = self.expression(node, &names)?.expression;
        let template = Template::parse(Value::from(expression.as_str())).ok()?;
        self.value_of_format(node, &template, "date-time", &names);
        Some(expression)
    }

    fn outputs(&mut self, names: &Names<'_>) -> Vec<(String, Template)> {
        let workflow = self.workflow;
        let mut outputs = Vec::new();
        for entry in &workflow.outputs {
            if let Some(checked) = self.template(&entry.value, names) {
                outputs.push((entry.key.value.clone(), checked.template));
            }
        }
        outputs
    }
}

/// The steps that may be passed over in a run that goes well: by their own `if`, or because something failed and was
/// answered.
fn passed_over(graph: &Graph) -> BTreeSet<StepId> {
    let conditions = graph.steps.iter().filter_map(|step| step.condition.as_ref());
    let answered: BTreeSet<&str> =
        conditions.flat_map(|condition| &condition.asked().failed).map(String::as_str).collect();
    let mut unmet = BTreeSet::new();
    for step in &graph.steps {
        let lapses = matches!(&step.body, Body::Question(it) if it.on_expire == OnExpire::Skip);
        if lapses || answered.contains(step.id.as_str()) || step.needs.iter().any(|need| unmet.contains(need))
        {
            unmet.insert(step.id.clone());
        }
    }
    let conditional = graph.steps.iter().filter(|step| step.condition.is_some());
    unmet.into_iter().chain(conditional.map(|step| step.id.clone())).collect()
}

fn note_defaulted(graph: &mut Graph, defaulted: &BTreeMap<StepId, BTreeSet<String>>) {
    for step in &mut graph.steps {
        match &mut step.body {
            Body::Action(action) => {
                let names = defaulted.get(&step.id).into_iter().flatten();
                action.defaulted = names.cloned().collect();
            }
            Body::Foreach(foreach) => note_defaulted(&mut foreach.graph, defaulted),
            Body::Question(question) => {
                let names = defaulted.get(&step.id).into_iter().flatten();
                question.defaulted = names.cloned().collect();
            }
            Body::Wait(_) => {}
        }
    }
}

fn pin(workflow: &Workflow) -> WorkflowPin {
    WorkflowPin {
        name: workflow.name.clone(),
        version: workflow.version.clone(),
        sha256: sha256(&workflow.document.root.to_json()),
        file: workflow.document.source.name().to_owned(),
    }
}

/// The digest of a resolved document: aliases expanded, comments and layout gone, order kept because it is meant.
fn sha256(resolved: &Value) -> String {
    let digest = Sha256::digest(resolved.to_string().as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing into a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests;
