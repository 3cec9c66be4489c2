//! A workflow as its file says it (`kind: Workflow`): typed, with places, not yet checked against anything outside it.
//!
//! Reading never gives up: what is broken is noted and left out, so that the checks that follow can find the mistakes
//! in everything else.

pub(crate) mod child;
mod files;
mod foreign;
pub(crate) mod plugin;
pub(crate) mod policy;
pub(crate) mod question;
mod resolved;
pub(crate) mod resource;
pub(crate) mod retry;
pub(crate) mod shared;
pub(crate) mod step;
pub(crate) mod trigger;

pub use child::{ChildSpec, path_meant};
pub use files::{Files, Found, NoFiles, Texts, beside};
pub use plugin::{PluginSpec, Wanted};
pub use policy::PolicySpec;
pub use question::{AsksSpec, OnExpire, QUORUM_MAX, QuestionSpec, is_role};
pub use resolved::{Part, Resolved, check_shared, pinned};
pub use resource::{ClaimAmount, ClaimSpec, ResourceSpec};
pub(crate) use retry::bounded;
pub use retry::{BackoffSpec, ERROR_CLASSES, Jitter, RetrySpec};
pub use shared::{HEARTBEAT_MIN, Shared, read_shared};
pub use step::{
    ActionSpec, BodySpec, CompensateSpec, ForeachSpec, ItemFailure, ProbeSpec, StepSpec, WaitSpec,
};
pub use trigger::{TriggerBody, TriggerSpec};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::document::{Content, Document, Entry, Node};
use crate::json_schema;
use crate::read::{Read as _, Reader};
use crate::source::{Span, Spanned};
use crate::units::Time;

/// A workflow file.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// What it was read from.
    pub document: Document,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line about it.
    pub summary: Option<String>,
    /// What a run is given, in file order.
    pub inputs: Vec<Input>,
    /// Where `inputs` stands, or the document's head.
    pub inputs_span: Span,
    /// Files with shared defaults, in file order.
    pub include: Vec<Spanned<String>>,
    /// The plugins, those of included files first, in file order.
    pub plugins: Vec<PluginSpec>,
    /// What steps share, in file order.
    pub resources: Vec<ResourceSpec>,
    /// What holds for steps that say nothing themselves.
    pub defaults: Defaults,
    /// The policies, those of included files first, in file order.
    pub policies: Vec<PolicySpec>,
    /// `deadline`: the expression of the time after which the run is given up.
    pub deadline: Option<Node>,
    /// What begins a run, in file order.
    pub triggers: Vec<TriggerSpec>,
    /// The steps, in file order.
    pub steps: Vec<StepSpec>,
    /// What a run puts out, in file order.
    pub outputs: Vec<Entry>,
    /// Steps that run when the run did not succeed, after what had to be undone was.
    pub on_failure: Vec<StepSpec>,
    /// Steps that run at the end whatever the outcome.
    pub always: Vec<StepSpec>,
}

/// Something a run is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: Spanned<String>,
    /// Its JSON Schema.
    pub schema: Node,
}

/// What holds for steps that say nothing themselves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Defaults {
    /// How long one attempt may take.
    pub timeout: Option<Time>,
    /// How long an action under way may give no sign of life.
    pub heartbeat: Option<Time>,
    /// What is tried again.
    pub retry: Option<RetrySpec>,
}

pub(crate) const KEYS: [&str; 17] = [
    "apiVersion",
    "kind",
    "name",
    "version",
    "summary",
    "include",
    "inputs",
    "plugins",
    "resources",
    "defaults",
    "policy",
    "deadline",
    "triggers",
    "steps",
    "outputs",
    "on_failure",
    "always",
];

impl Workflow {
    /// Reads a workflow and everything that is wrong with its form.
    #[must_use]
    pub fn read(document: &Document) -> (Self, Diagnostics) {
        let mut reader = Reader::new(&document.source);
        let root = &document.root;
        reader.head(document, "Workflow");
        reader.fields(root, "a workflow", &KEYS);
        report_badly_written(root, &mut reader);
        let described = ["summary", "inputs"].into_iter().filter_map(|key| root.get(key));
        described.for_each(|node| report_not_evaluated(node, &mut reader));
        let text = |reader: &mut Reader<'_>, key| reader.required::<String>(root, key).unwrap_or_default();
        let head = root.entries().first().map_or(root.span, |entry| entry.key.span);
        let inputs_key = root.entries().iter().find(|entry| entry.key.value == "inputs");
        let workflow = Self {
            document: document.clone(),
            name: text(&mut reader, "name"),
            version: text(&mut reader, "version"),
            summary: reader.optional(root, "summary"),
            inputs: read_inputs(root, &mut reader),
            inputs_span: inputs_key.map_or(head, |entry| entry.key.span),
            include: reader.optional(root, "include").unwrap_or_default(),
            plugins: plugin::read_all(root, &mut reader),
            resources: resource::read_all(root, &mut reader),
            defaults: shared::read_defaults(root, &mut reader),
            policies: policy::read_all(root, &mut reader),
            deadline: root.get("deadline").cloned(),
            triggers: read_triggers(root, &mut reader),
            steps: read_steps(root, &mut reader),
            outputs: entries(root, "outputs", &mut reader).into_iter().cloned().collect(),
            on_failure: read_last(root, "on_failure", &mut reader),
            always: read_last(root, "always", &mut reader),
        };
        (workflow, reader.found)
    }
}

/// Notes every text below a node that opens an expression and does not close it, or has one as other engines write it. What stands below `x-*` is nobody's business.
fn report_badly_written(node: &Node, reader: &mut Reader<'_>) {
    match &node.content {
        Content::Text(text) => {
            report_if_unclosed(node, text, reader);
            foreign::report(node, text, reader);
        }
        Content::List(items) => items.iter().for_each(|item| report_badly_written(item, reader)),
        Content::Map(entries) => {
            let read = entries.iter().filter(|entry| !entry.key.value.starts_with("x-"));
            read.for_each(|entry| report_badly_written(&entry.value, reader));
        }
        Content::Null | Content::Bool(_) | Content::Number(_) => {}
    }
}

/// Notes every expression below a node that is read before anything has a value.
fn report_not_evaluated(node: &Node, reader: &mut Reader<'_>) {
    match &node.content {
        Content::Text(text) => {
            let Some(open) = text.find("${{") else { return };
            let Some(length) = text[open..].find("}}") else { return };
            let at = node.span_within(reader.source, open, open + length + "}}".len());
            let message = "what describes a workflow and its inputs is not evaluated";
            let one = Diagnostic::new(Code::NotEvaluated, reader.source, at, message);
            reader.found.push(one.help("write a value"));
        }
        Content::List(items) => items.iter().for_each(|item| report_not_evaluated(item, reader)),
        Content::Map(entries) => {
            let read = entries.iter().filter(|entry| !entry.key.value.starts_with("x-"));
            read.for_each(|entry| report_not_evaluated(&entry.value, reader));
        }
        Content::Null | Content::Bool(_) | Content::Number(_) => {}
    }
}

fn report_if_unclosed(node: &Node, text: &str, reader: &mut Reader<'_>) {
    let Some(open) = text.rfind("${{").filter(|open| !text[*open..].contains("}}")) else { return };
    let at = node.span_within(reader.source, open, text.len());
    let line_rest = reader.source.text()[at.end..].lines().next().unwrap_or_default();
    let help = if line_rest.trim_start().starts_with('#') {
        "` #` begins a comment: put the whole text into quotes"
    } else {
        "close it with `}}`"
    };
    let one = Diagnostic::new(Code::UnclosedExpression, reader.source, at, "`${{` has no closing `}}`");
    reader.found.push(one.help(help));
}

/// Each trigger that can be read, whatever is wrong with the others.
fn read_triggers(root: &Node, reader: &mut Reader<'_>) -> Vec<TriggerSpec> {
    let Some(node) = root.get("triggers") else { return Vec::new() };
    let Content::List(items) = &node.content else {
        reader.wrong_type(node, "a list of triggers");
        return Vec::new();
    };
    items.iter().filter_map(|item| TriggerSpec::read(item, reader)).collect()
}

fn read_steps(root: &Node, reader: &mut Reader<'_>) -> Vec<StepSpec> {
    let Some(node) = root.get("steps") else {
        reader.missing(root, "steps");
        return Vec::new();
    };
    step::read_all(node, reader)
}

/// The steps of a block that may be missing.
fn read_last(root: &Node, key: &str, reader: &mut Reader<'_>) -> Vec<StepSpec> {
    root.get(key).map(|node| step::read_all(node, reader)).unwrap_or_default()
}

/// The entries of an optional map, notes (`x-*`) left out.
fn entries<'n>(root: &'n Node, key: &str, reader: &mut Reader<'_>) -> Vec<&'n Entry> {
    let Some(node) = root.get(key) else { return Vec::new() };
    if !matches!(node.content, Content::Map(_)) {
        reader.wrong_type(node, "a map");
    }
    node.entries().iter().filter(|entry| !entry.key.value.starts_with("x-")).collect()
}

fn read_inputs(root: &Node, reader: &mut Reader<'_>) -> Vec<Input> {
    let mut inputs = Vec::new();
    for entry in entries(root, "inputs", reader) {
        if entry.key.value.parse::<crate::ids::StepId>().is_err() {
            let message = format!("input `{}` is not well-formed", entry.key.value);
            reader.report(Code::Malformed, entry.key.span, message);
        }
        json_schema::check(&entry.value, reader);
        inputs.push(Input { name: entry.key.clone(), schema: entry.value.clone() });
    }
    inputs
}

#[cfg(test)]
mod tests;
