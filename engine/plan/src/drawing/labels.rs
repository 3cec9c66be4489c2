//! The words in the pictures, and the numbers of their nodes.

use longhaul_model::ids::StepId;

use crate::check::Outline;
use crate::plan::{ActionStep, Body, Child, Foreach, Graph, Question, Reason, Step, Wait};

/// The blocks behind the steps that have steps: an id, a title, and the steps.
pub(super) fn blocks(outline: &Outline) -> impl Iterator<Item = (&'static str, &'static str, &Graph)> {
    let blocks = [
        ("on_failure", "on_failure, if the run does not succeed", &outline.on_failure),
        ("always", "always, at the end", &outline.always),
    ];
    blocks.into_iter().filter(|(_, _, graph)| !graph.is_empty())
}

/// The policies, a line for each: `policy window.rhai at plan`.
pub(super) fn policies(outline: &Outline) -> Vec<String> {
    outline.policies.iter().map(|it| format!("policy {} {}", it.file, it.occasions())).collect()
}

/// What a step does, and under which condition, a line for each.
pub(super) fn action(step: &Step, action: &ActionStep) -> Vec<String> {
    lines(step, format!("{}", action.uses))
}

/// What a step waits for.
pub(super) fn wait(step: &Step, wait: &Wait) -> Vec<String> {
    let (how, template) = match wait {
        Wait::For(template) => ("for", template),
        Wait::Until(template) => ("until", template),
    };
    lines(step, format!("waits {how} {}", template.source().as_str().unwrap_or_default()))
}

/// What a step asks.
pub(super) fn question(step: &Step, question: &Question) -> Vec<String> {
    let mut all = lines(step, question.asks.to_string());
    all.splice(2..2, question.end());
    all
}

/// A step's lines as one: `tunnel: wan.tunnel@1, if ...`.
pub(super) fn in_one_line(lines: &[String]) -> String {
    let (name, rest) = lines.split_first().map_or(("", lines), |(name, rest)| (name.as_str(), rest));
    format!("{name}: {}", rest.join(", "))
}

fn lines(step: &Step, does: String) -> Vec<String> {
    let condition = step.condition.iter().map(|condition| format!("if {condition}"));
    [step.id.to_string(), does].into_iter().chain(condition).collect()
}

/// What a foreach step does.
pub(super) fn foreach(step: &Step, foreach: &Foreach) -> String {
    let several = if foreach.max_parallel == 1 {
        "one after the other".to_owned()
    } else {
        format!("{} at once", foreach.max_parallel)
    };
    let condition = step.condition.iter().map(|condition| format!(", if {condition}")).collect::<String>();
    format!("{}: for each {} of {}, {several}{condition}", step.id, foreach.variable, foreach.over)
}

/// What a step that runs another workflow does.
pub(super) fn child(step: &Step, child: &Child) -> String {
    let pin = &child.workflow;
    let condition = step.condition.iter().map(|condition| format!(", if {condition}")).collect::<String>();
    format!("{}: workflow {} {} ({}){condition}", step.id, pin.name, pin.version, pin.file)
}

/// The blocks behind the steps of a workflow that runs as a step: an id, a title, and the steps.
pub(super) fn blocks_of(child: &Child) -> impl Iterator<Item = (&'static str, &'static str, &Graph)> {
    let blocks = [
        ("on_failure", "on_failure, if it does not succeed", &child.on_failure),
        ("always", "always, at its end", &child.always),
    ];
    blocks.into_iter().filter(|(_, _, graph)| !graph.is_empty())
}

/// Why a step waits for another, a line for each reason. The other step's name is left out: the edge shows it.
pub(super) fn edge(step: &Step, needed: &StepId) -> Vec<String> {
    let own = format!("steps.{needed}.");
    let label = |reason: &Reason| match reason {
        Reason::Written { line, .. } => format!("needs, line {line}"),
        Reason::Reads { field, line, .. } => {
            format!("{}, line {line}", field.strip_prefix(&own).unwrap_or(field))
        }
    };
    step.reasons.iter().filter(|reason| reason.needs() == needed).map(label).collect()
}

/// A step with the number under which a picture knows it; every number is used once in a picture.
pub(super) struct Numbered<'a> {
    pub(super) number: usize,
    pub(super) step: &'a Step,
    /// The nested steps.
    pub(super) nested: Vec<Numbered<'a>>,
    /// Blocks behind the nested steps: an id, a title, and the steps.
    pub(super) blocks: Vec<(&'static str, &'static str, Vec<Numbered<'a>>)>,
}

/// The steps of a graph with numbers from `next` on.
pub(super) fn numbered<'a>(graph: &'a Graph, next: &mut usize) -> Vec<Numbered<'a>> {
    let number = |step: &'a Step, next: &mut usize| {
        let number = *next;
        *next += 1;
        let (nested, blocks) = match &step.body {
            Body::Action(_) | Body::Wait(_) | Body::Question(_) => (Vec::new(), Vec::new()),
            Body::Foreach(foreach) => (numbered(&foreach.graph, next), Vec::new()),
            Body::Workflow(child) => {
                let nested = numbered(&child.graph, next);
                let blocks = blocks_of(child).map(|(id, title, graph)| (id, title, numbered(graph, next)));
                (nested, blocks.collect())
            }
        };
        Numbered { number, step, nested, blocks }
    };
    graph.steps.iter().map(|step| number(step, next)).collect()
}
