//! The steps of a workflow by their paths, as far as the file alone tells them: item keys are not known yet.

use longhaul_model::action::ActionName;
use longhaul_model::diagnostic::nearest;
use longhaul_model::workflow::{AsksSpec, BodySpec, StepSpec, Workflow};
use serde_json::Value;

/// What stands for any item in a path.
pub(super) const ANY_ITEM: &str = "*";

/// The steps of a workflow, those of its last blocks among them.
pub(super) struct Shape(Vec<Step>);

/// A step.
pub(super) struct Step {
    id: String,
    /// Its action; none if it repeats steps.
    pub(super) uses: Option<ActionName>,
    /// The action that undoes it, if the workflow names one.
    undo: Option<ActionName>,
    /// The schema of what it puts out, if it asks somebody outside.
    pub(super) answers: Option<Answers>,
    steps: Vec<Step>,
}

/// What may come of a question.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    /// The schema of what it puts out.
    pub(super) schema: Value,
    /// Whether somebody can say no.
    pub(super) may_be_no: bool,
}

impl Shape {
    pub(super) fn of(workflow: &Workflow) -> Self {
        let blocks = [&workflow.steps, &workflow.on_failure, &workflow.always];
        Self(blocks.into_iter().flat_map(|block| steps(block)).collect())
    }

    /// The step of a path, with item keys or `*` between the ids.
    pub(super) fn find(&self, path: &str) -> Option<&Step> {
        let mut parts = path.split('/');
        let mut step = self.0.iter().find(|step| Some(step.id.as_str()) == parts.clone().next())?;
        parts.next();
        while let Some(_key) = parts.next() {
            let id = parts.next()?;
            step = step.steps.iter().find(|step| step.id == id)?;
        }
        Some(step)
    }

    /// The path that is nearest to one that is none, with `*` for item keys.
    pub(super) fn near(&self, path: &str) -> Option<String> {
        let mut all = Vec::new();
        collect(&self.0, "", &mut all);
        let written: Vec<_> =
            path.split('/').enumerate().map(|(at, part)| if at % 2 == 1 { ANY_ITEM } else { part }).collect();
        nearest(&written.join("/"), all.iter().map(String::as_str)).map(str::to_owned)
    }

    /// Every action that is used, to do or to undo.
    pub(super) fn actions(&self) -> Vec<&ActionName> {
        let mut all = Vec::new();
        actions(&self.0, &mut all);
        all.sort();
        all.dedup();
        all
    }
}

fn steps(specs: &[StepSpec]) -> Vec<Step> {
    specs.iter().map(step).collect()
}

fn step(spec: &StepSpec) -> Step {
    let id = spec.id.value.as_str().to_owned();
    let none = Step { id: id.clone(), uses: None, undo: None, answers: None, steps: Vec::new() };
    match &spec.body {
        Some(BodySpec::Action(action)) => Step {
            uses: action.uses.as_ref().map(|uses| uses.value.clone()),
            undo: action
                .compensate
                .as_ref()
                .and_then(|undo| undo.uses.as_ref())
                .map(|uses| uses.value.clone()),
            ..none
        },
        Some(BodySpec::Foreach(foreach)) => Step { steps: steps(&foreach.steps), ..none },
        Some(BodySpec::Question(question)) => Step {
            answers: Some(Answers {
                schema: longhaul_plan::answers_schema(question),
                may_be_no: matches!(question.asks, AsksSpec::Approval { .. }),
            }),
            ..none
        },
        Some(BodySpec::Wait(_)) | None => none,
    }
}

fn collect(steps: &[Step], prefix: &str, all: &mut Vec<String>) {
    for step in steps {
        let path = format!("{prefix}{}", step.id);
        collect(&step.steps, &format!("{path}/{ANY_ITEM}/"), all);
        all.push(path);
    }
}

fn actions<'a>(steps: &'a [Step], all: &mut Vec<&'a ActionName>) {
    for step in steps {
        all.extend(&step.uses);
        all.extend(&step.undo);
        actions(&step.steps, all);
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
