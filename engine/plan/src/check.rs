//! The way from a document to a plan.

use std::fmt::Write;

use longhaul_expr::{Scope, Template};
use longhaul_model::action::Catalogue;
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::source::Span;
use longhaul_model::workflow::Workflow;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::inputs::{self, Declared};
use crate::names::Names;
use crate::plan::{Graph, Plan, WorkflowPin};

/// Checks a workflow without values for its inputs, as far as that is possible.
///
/// # Errors
/// Every mistake in it, sorted by place.
pub fn validate(document: &Document, catalogue: &Catalogue) -> Result<(), Diagnostics> {
    let (workflow, found) = Workflow::read(document);
    let mut checker = Checker { workflow: &workflow, catalogue, scope: None, found };
    let declared = checker.declared_inputs();
    checker.parts(&declared);
    checker.found.or(Some(()))
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
    let mut checker = Checker { workflow: &workflow, catalogue, scope: None, found };
    let declared = checker.declared_inputs();
    let bound = inputs::bind(&declared, given, &mut checker);
    checker.scope = bound.clone().map(|inputs| Scope { inputs, ..Scope::default() });
    let (graph, outputs, always) = checker.parts(&declared);
    let plan = Plan { workflow: pin(&workflow), inputs: bound.unwrap_or_default(), graph, outputs, always };
    checker.found.or(Some(plan))
}

/// What the parts of a check share.
pub(crate) struct Checker<'a> {
    pub(crate) workflow: &'a Workflow,
    pub(crate) catalogue: &'a Catalogue,
    /// The inputs, if they are known and right.
    pub(crate) scope: Option<Scope>,
    pub(crate) found: Diagnostics,
}

type Parts = (Graph, Vec<(String, Template)>, Graph);

impl<'a> Checker<'a> {
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
        let graph = self.graph(&workflow.steps, &root).graph;
        let outputs = self.outputs(&root);
        let always = self.always(&root);
        (graph, outputs, always)
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
