//! The steps of a workflow by their paths, as far as its files alone tell them: item keys are not known yet.

use std::collections::BTreeSet;

use longhaul_model::action::ActionName;
use longhaul_model::diagnostic::nearest;
use longhaul_plan::{Asks, Body, Graph, Outline};
use serde_json::Value;

/// What stands for any item in a path.
pub(super) const ANY_ITEM: &str = "*";

/// The steps of a workflow, those of its last blocks among them.
pub(super) struct Shape {
    steps: Vec<Step>,
    /// Resources of which steps claim something.
    claimed: BTreeSet<String>,
}

/// A step.
pub(super) struct Step {
    id: String,
    /// Its action; none if it repeats steps.
    pub(super) uses: Option<ActionName>,
    /// The action that undoes it, if the workflow names one.
    undo: Option<ActionName>,
    /// What may come of its question, if it asks somebody outside.
    pub(super) answers: Option<Answers>,
    inside: Inside,
}

/// What is inside a step.
enum Inside {
    Nothing,
    /// Steps for each item.
    Items(Vec<Step>),
    /// The steps of another workflow.
    Workflow(Vec<Step>),
}

/// What may come of a question.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    /// The schema of what it puts out.
    pub(super) schema: Value,
    /// Whether somebody can say no.
    pub(super) may_be_no: bool,
}

impl Step {
    /// Whether other steps stand in it.
    pub(super) fn holds_steps(&self) -> bool {
        !matches!(self.inside, Inside::Nothing)
    }
}

impl Shape {
    pub(super) fn of(outline: &Outline) -> Self {
        let blocks = [&outline.graph, &outline.on_failure, &outline.always];
        let mut claimed = BTreeSet::new();
        blocks.into_iter().for_each(|graph| collect_claims(graph, &mut claimed));
        Self { steps: blocks.into_iter().flat_map(steps).collect(), claimed }
    }

    /// The step of a path, with item keys or `*` behind the ids of steps that repeat others.
    pub(super) fn find(&self, path: &str) -> Option<&Step> {
        let mut parts = path.split('/');
        let mut beside = &self.steps;
        let mut id = parts.next();
        loop {
            let step = beside.iter().find(|step| Some(step.id.as_str()) == id)?;
            id = parts.next();
            beside = match (&step.inside, id) {
                (_, None) => return Some(step),
                (Inside::Nothing, Some(_)) => return None,
                (Inside::Workflow(steps), Some(_)) => steps,
                (Inside::Items(steps), Some(_key)) => {
                    id = Some(parts.next()?);
                    steps
                }
            };
        }
    }

    /// The path that is nearest to one that is none, with `*` for item keys.
    pub(super) fn near(&self, path: &str) -> Option<String> {
        let mut all = Vec::new();
        collect(&self.steps, "", &mut all);
        let near = |written: &str| nearest(written, all.iter().map(String::as_str)).map(str::to_owned);
        near(&with_stars(&self.steps, path)).or_else(|| near(path))
    }

    /// The resources of which steps claim something.
    pub(super) fn links(&self) -> impl Iterator<Item = &str> {
        self.claimed.iter().map(String::as_str)
    }

    /// Every action that is used, to do or to undo.
    pub(super) fn actions(&self) -> Vec<&ActionName> {
        let mut all = Vec::new();
        actions(&self.steps, &mut all);
        all.sort();
        all.dedup();
        all
    }
}

impl Step {
    fn steps(&self) -> &[Self] {
        match &self.inside {
            Inside::Nothing => &[],
            Inside::Items(steps) | Inside::Workflow(steps) => steps,
        }
    }
}

fn steps(graph: &Graph) -> Vec<Step> {
    graph.steps.iter().map(step).collect()
}

fn step(step: &longhaul_plan::Step) -> Step {
    let id = step.id.to_string();
    let none = Step { id, uses: None, undo: None, answers: None, inside: Inside::Nothing };
    match &step.body {
        Body::Action(action) => Step {
            uses: Some(action.uses.clone()),
            undo: action.compensate.as_ref().map(|undo| undo.uses.clone()),
            ..none
        },
        Body::Foreach(foreach) => Step { inside: Inside::Items(steps(&foreach.graph)), ..none },
        Body::Workflow(child) => {
            let graphs = [&child.graph, &child.on_failure, &child.always];
            Step { inside: Inside::Workflow(graphs.into_iter().flat_map(steps).collect()), ..none }
        }
        Body::Question(question) => Step {
            answers: Some(Answers {
                schema: question.outputs_schema(),
                may_be_no: matches!(question.asks, Asks::Approval { .. }),
            }),
            ..none
        },
        Body::Wait(_) => none,
    }
}

fn collect_claims(graph: &Graph, into: &mut BTreeSet<String>) {
    for step in &graph.steps {
        match &step.body {
            Body::Action(action) => into.extend(action.claims.iter().map(|claim| claim.resource.clone())),
            Body::Foreach(foreach) => collect_claims(&foreach.graph, into),
            Body::Workflow(child) => collect_claims(&child.graph, into),
            Body::Wait(_) | Body::Question(_) => {}
        }
    }
}

fn collect(steps: &[Step], prefix: &str, all: &mut Vec<String>) {
    for step in steps {
        let path = format!("{prefix}{}", step.id);
        let below = match step.inside {
            Inside::Items(_) => format!("{path}/{ANY_ITEM}/"),
            Inside::Nothing | Inside::Workflow(_) => format!("{path}/"),
        };
        collect(step.steps(), &below, all);
        all.push(path);
    }
}

/// A path with `*` where an item's key stands, as far as its steps are known; behind that every second part counts as one.
fn with_stars(steps: &[Step], path: &str) -> String {
    let mut beside = steps;
    let mut parts = Vec::new();
    let mut is_key = false;
    for part in path.split('/') {
        parts.push(if is_key { ANY_ITEM } else { part });
        if is_key {
            is_key = false;
            continue;
        }
        let known = beside.iter().find(|step| step.id == part);
        is_key = known.is_none_or(|step| matches!(step.inside, Inside::Items(_)));
        beside = known.map_or(&[], Step::steps);
    }
    parts.join("/")
}

fn actions<'a>(steps: &'a [Step], all: &mut Vec<&'a ActionName>) {
    for step in steps {
        all.extend(&step.uses);
        all.extend(&step.undo);
        actions(step.steps(), all);
    }
}

/// Whether a path with `*` in it means this one, and which item its first `*` stands for.
pub(super) fn matches<'p>(pattern: &str, path: &'p str) -> Option<Option<&'p str>> {
    let mut item = None;
    let mut parts = path.split('/');
    for wanted in pattern.split('/') {
        let part = parts.next()?;
        if wanted == ANY_ITEM {
            item = item.or(Some(part));
        } else if wanted != part {
            return None;
        }
    }
    parts.next().is_none().then_some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `*` stands for one item, and for nothing else.
    #[test]
    fn a_star_is_one_item() {
        assert_eq!(matches("move/*/go", "move/vm-a/go"), Some(Some("vm-a")));
        assert_eq!(matches("tunnel", "tunnel"), Some(None));
        assert_eq!(matches("move/*", "move/vm-a/go"), None);
        assert_eq!(matches("move/*/go", "move/vm-a"), None);
        assert_eq!(matches("move/vm-b/go", "move/vm-a/go"), None);
    }
}
