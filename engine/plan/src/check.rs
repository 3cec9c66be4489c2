//! The way from a document to a plan.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use longhaul_expr::{Expression, Scope, Template};
use longhaul_model::action::Catalogue;
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::ids::StepId;
use longhaul_model::source::{Source, Span};
use longhaul_model::workflow::{Resolved, Workflow};
use serde_json::{Map, Value};

use crate::claims::CheckedResource;
use crate::family::{Family, Given, Uses};
use crate::inputs::{self, Declared};
use crate::names::Names;
use crate::pivots;
use crate::plan::{Body, Graph, OnExpire, Plan};
use crate::policies::Policy;
use crate::resources::Resource;
use crate::schema::Validators;
use crate::steps::{CheckedGraph, Lasting};
use crate::triggers::Trigger;

/// Checks a workflow without values for its inputs, as far as that is possible.
///
/// # Errors
/// Every mistake in it, sorted by place.
pub fn validate<'w>(
    workflow: impl Into<Cow<'w, Resolved>>,
    catalogue: &Catalogue,
) -> Result<(), Diagnostics> {
    outline(workflow, catalogue).map(drop)
}

/// The steps of a workflow without values for its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// The policies.
    pub policies: Vec<Policy>,
    /// The steps.
    pub graph: Graph,
    /// Steps that run when the run did not succeed.
    pub on_failure: Graph,
    /// Steps that run at the end, whatever the outcome.
    pub always: Graph,
    /// What begins a run.
    pub triggers: Vec<Trigger>,
}

/// Checks a workflow as [`validate`] does, and says which steps it has and why they wait for each other.
///
/// # Errors
/// Every mistake in it and in the files that it names, sorted by place.
pub fn outline<'w>(
    workflow: impl Into<Cow<'w, Resolved>>,
    catalogue: &Catalogue,
) -> Result<Outline, Diagnostics> {
    let resolved = workflow.into();
    let (family, mut found) = Family::check(&resolved, catalogue);
    let looked = family.root(Given::Nothing);
    found.append(looked.found);
    let Parts { policies, graph, on_failure, always, triggers, .. } = looked.parts;
    found.or(Some(Outline { policies, graph, on_failure, always, triggers }))
}

/// Checks a workflow with these inputs and makes a plan of it. Defaults are filled in.
///
/// # Errors
/// Every mistake in the workflow, in the files that it names and in the inputs, sorted by place.
pub fn check<'w>(
    workflow: impl Into<Cow<'w, Resolved>>,
    given: &Map<String, Value>,
    catalogue: &Catalogue,
) -> Result<Plan, Diagnostics> {
    let resolved = workflow.into();
    let (family, mut found) = Family::check(&resolved, catalogue);
    let looked = family.root(Given::ByAPerson(given));
    found.append(looked.found);
    let Parts { deadline, policies, resources, graph, outputs, on_failure, always, .. } = looked.parts;
    let inputs = looked.bound.unwrap_or_default();
    let (workflow, plugins, verdicts) = (looked.pin, resolved.plugins(), Vec::new());
    found.or(Some(Plan {
        workflow,
        inputs,
        deadline,
        plugins,
        policies,
        verdicts,
        resources,
        graph,
        outputs,
        on_failure,
        always,
    }))
}

/// What the parts of a check share.
pub(crate) struct Checker<'a> {
    pub(crate) workflow: &'a Workflow,
    pub(crate) catalogue: &'a Catalogue,
    /// Everything that a step can use.
    pub(crate) uses: Uses<'a>,
    /// The inputs, if they are known and right.
    pub(crate) scope: Option<Scope>,
    pub(crate) found: Diagnostics,
    /// What its steps share.
    pub(crate) resources: Vec<CheckedResource>,
    /// The outputs of each step that something reads with a default.
    pub(crate) defaulted: BTreeMap<StepId, BTreeSet<String>>,
    /// Of actions by their names, and of formats.
    pub(crate) validators: Validators,
    /// How many steps the workflows that its steps run have in all.
    pub(crate) steps_of_children: usize,
}

/// What a plan is made of besides its inputs.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) deadline: Option<Expression>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) graph: Graph,
    pub(crate) outputs: Vec<(String, Template)>,
    /// The schema of what it puts out, as far as that is known.
    pub(crate) outputs_schema: Value,
    pub(crate) on_failure: Graph,
    pub(crate) always: Graph,
    /// What among the steps is never undone.
    pub(crate) lasting: Lasting,
    pub(crate) triggers: Vec<Trigger>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(workflow: &'a Workflow, uses: Uses<'a>) -> Self {
        Self {
            workflow,
            catalogue: uses.catalogue(),
            uses,
            scope: None,
            found: Diagnostics::new(),
            resources: Vec::new(),
            defaulted: BTreeMap::new(),
            validators: Validators::default(),
            steps_of_children: 0,
        }
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

    pub(crate) fn declared_inputs(&mut self) -> Vec<Declared<'a>> {
        let workflow = self.workflow;
        workflow.inputs.iter().map(|input| inputs::declare(input, self)).collect()
    }

    pub(crate) fn parts(&mut self, declared: &[Declared<'a>], scripts: &[Option<Source>]) -> Parts {
        let workflow = self.workflow;
        let root = Names::root(declared, &workflow.steps, self.uses);
        let deadline = self.deadline(declared);
        self.resources = self.declared_resources(declared);
        let triggers = self.triggers(declared);
        let policies = self.policies(declared, scripts);
        let CheckedGraph { mut graph, lasting, .. } = self.graph(&workflow.steps, &root);
        pivots::mark(&mut graph);
        let names = root.when_well(passed_over(&graph));
        let (outputs, mut read) = self.outputs(&names);
        let outputs_schema = names.schema_of(&outputs);
        let end = root.at_the_end();
        let on_failure = self.last(&workflow.on_failure, "on_failure", &end);
        let end = end.with_steps(&workflow.on_failure, self.uses).at_the_end();
        let always = self.last(&workflow.always, "always", &end);
        read.extend(on_failure.reads_around.iter().chain(&always.reads_around).map(|read| read.step.clone()));
        self.report_idle_questions(&workflow.steps, &graph, &read);
        let (mut on_failure, mut always) = (on_failure.graph, always.graph);
        for graph in [&mut graph, &mut on_failure, &mut always] {
            note_defaulted(graph, &self.defaulted);
        }
        let resources = self.resources.iter().map(|known| known.resource.clone()).collect();
        Parts {
            deadline,
            policies,
            resources,
            graph,
            outputs,
            outputs_schema,
            on_failure,
            always,
            lasting,
            triggers,
        }
    }

    /// Worked out when the run begins, so it sees the inputs alone.
    fn deadline(&mut self, declared: &[Declared<'a>]) -> Option<Expression> {
        let workflow = self.workflow;
        let node = workflow.deadline.as_ref()?;
        let names = Names::root(declared, &[], self.uses);
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

    /// What the workflow puts out, and the steps that it reads for that.
    fn outputs(&mut self, names: &Names<'_>) -> (Vec<(String, Template)>, BTreeSet<StepId>) {
        let workflow = self.workflow;
        let (mut outputs, mut read) = (Vec::new(), BTreeSet::new());
        for entry in &workflow.outputs {
            if let Some(checked) = self.template(&entry.value, names) {
                outputs.push((entry.key.value.clone(), checked.template));
                read.extend(checked.reads.into_iter().map(|read| read.step));
            }
        }
        (outputs, read)
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
        let names = defaulted.get(&step.id).into_iter().flatten();
        match &mut step.body {
            Body::Action(action) => action.defaulted = names.cloned().collect(),
            // Its own steps were looked at with its own names.
            Body::Workflow(child) => child.defaulted = names.cloned().collect(),
            Body::Foreach(foreach) => note_defaulted(&mut foreach.graph, defaulted),
            Body::Question(question) => {
                let names = defaulted.get(&step.id).into_iter().flatten();
                question.defaulted = names.cloned().collect();
            }
            Body::Wait(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
