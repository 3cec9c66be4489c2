//! A plan as text for `longhaul plan`. Derived from the plan alone, so that a plan read back from a journal prints the
//! same.

use std::fmt::Write;

use longhaul_expr::{Expression, Root, Shape, Template};
use longhaul_model::action::Effects;
use longhaul_model::ids::StepId;
use serde_json::Value;

use crate::plan::{ActionStep, Asks, Body, Child, Foreach, Graph, OnItemFailure, Plan, Step, Wait};

/// The plan as text: steps in order, edges with their reasons, the undo order, and what cannot be typed.
#[must_use]
pub fn render_text(plan: &Plan) -> String {
    let mut text = Text::default();
    let pin = &plan.workflow;
    text.line(
        0,
        &format!(
            "workflow {} {}  (sha256 {})",
            pin.name,
            pin.version,
            pin.sha256.get(..12).unwrap_or(&pin.sha256)
        ),
    );
    text.section("inputs");
    for (name, value) in &plan.inputs {
        text.line(1, &format!("{name}: {value}"));
    }
    if let Some(deadline) = &plan.deadline {
        text.section("deadline");
        text.line(1, &format!("{deadline}: what has not passed its pivot by then is undone"));
    }
    text.section("steps");
    text.graph(&plan.graph, 1);
    if !plan.on_failure.is_empty() {
        text.section("on_failure, if the run does not succeed");
        text.graph(&plan.on_failure, 1);
    }
    text.section("always, at the end");
    text.graph(&plan.always, 1);
    text.section("undo, if a step fails before the pivot");
    let mut undo = Vec::new();
    collect_undo(&plan.graph, "", &mut undo);
    text.lines_or(&undo, "nothing");
    text.section("types only known when the run is there");
    let mut untyped = Vec::new();
    collect_untyped(&plan.graph, "", &mut untyped);
    collect_untyped(&plan.on_failure, "", &mut untyped);
    collect_untyped(&plan.always, "", &mut untyped);
    text.lines_or(&untyped, "none");
    text.section("estimates");
    text.line(1, "time, bytes on the wire, pause: known after site.check");
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, depth: usize, line: &str) {
        writeln!(self.0, "{}{line}", "  ".repeat(depth)).expect("writing into a string cannot fail");
    }

    fn section(&mut self, title: &str) {
        self.line(0, &format!("\n{title}:"));
    }

    fn lines_or(&mut self, lines: &[String], none: &str) {
        if lines.is_empty() {
            self.line(1, none);
        }
        for line in lines {
            self.line(1, line);
        }
    }

    fn graph(&mut self, graph: &Graph, depth: usize) {
        for step in &graph.steps {
            match &step.body {
                Body::Action(action) => self.action(step, action, depth),
                Body::Foreach(foreach) => self.foreach(step, foreach, depth),
                Body::Workflow(child) => self.child(step, child, depth),
                Body::Wait(wait) => self.wait(step, wait, depth),
                Body::Question(question) => {
                    self.line(depth, &format!("{}: {question}", step.id));
                    self.needs(step, depth + 1);
                }
            }
        }
    }

    fn action(&mut self, step: &Step, action: &ActionStep, depth: usize) {
        let pivot = match (action.pivot, action.scope) {
            (true, _) => ", pivot: only forward from here",
            (false, true) => ", undone at the end in any case",
            (false, false) => "",
        };
        self.line(depth, &format!("{}: {} ({}{pivot})", step.id, action.uses, effects(action.effects)));
        self.needs(step, depth + 1);
        let attempts = match action.retry.max_attempts {
            1 => "one attempt".to_owned(),
            several => format!("up to {several} attempts on {}", action.retry.errors.join(", ")),
        };
        let heartbeat = action.heartbeat.map_or_else(String::new, |every| format!("heartbeat {every}, "));
        self.line(depth + 1, &format!("timeout {}, {heartbeat}{attempts}", action.timeout));
    }

    fn foreach(&mut self, step: &Step, foreach: &Foreach, depth: usize) {
        let failure = match foreach.on_item_failure {
            OnItemFailure::Fail => "an item's failure stops the others",
            OnItemFailure::Continue => "the others go on if an item fails",
        };
        self.line(depth, &format!("{}: for each {} of {}", step.id, foreach.variable, foreach.over));
        self.needs(step, depth + 1);
        self.line(depth + 1, &format!("at most {} at once, {failure}", foreach.max_parallel));
        self.graph(&foreach.graph, depth + 1);
    }

    fn child(&mut self, step: &Step, child: &Child, depth: usize) {
        let pin = &child.workflow;
        let digest = pin.sha256.get(..12).unwrap_or(&pin.sha256);
        let line =
            format!("{}: workflow {} {} ({}, sha256 {digest})", step.id, pin.name, pin.version, pin.file);
        self.line(depth, &line);
        self.needs(step, depth + 1);
        if let Value::Object(with) = child.with.source() {
            with.iter()
                .for_each(|(name, value)| self.line(depth + 1, &format!("with {name}: {}", plain(value))));
        }
        if let Some(deadline) = &child.deadline {
            let line = format!("deadline {deadline}: what has not passed its pivot by then is undone");
            self.line(depth + 1, &line);
        }
        self.graph(&child.graph, depth + 1);
        let blocks = [
            ("on_failure, if it does not succeed:", &child.on_failure),
            ("always, at its end:", &child.always),
        ];
        for (title, graph) in blocks.into_iter().filter(|(_, graph)| !graph.is_empty()) {
            self.line(depth + 1, title);
            self.graph(graph, depth + 2);
        }
    }

    fn wait(&mut self, step: &Step, wait: &Wait, depth: usize) {
        let (how, template) = match wait {
            Wait::For(template) => ("for", template),
            Wait::Until(template) => ("until", template),
        };
        let text = template.source().as_str().unwrap_or_default();
        self.line(depth, &format!("{}: waits {how} {text}", step.id));
        self.needs(step, depth + 1);
    }

    fn needs(&mut self, step: &Step, depth: usize) {
        if let Some(condition) = &step.condition {
            self.line(depth, &format!("only if {condition}"));
        }
        if step.needs.is_empty() {
            return self.line(depth, "starts at once");
        }
        for needed in &step.needs {
            self.line(depth, &format!("after {needed} ({})", reasons(step, needed)));
        }
    }
}

/// A value as its author wrote it: text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Why a step waits for another; from what it reads if the plan is older than its reasons.
fn reasons(step: &Step, needed: &StepId) -> String {
    let known: Vec<String> =
        step.reasons.iter().filter(|reason| reason.needs() == needed).map(ToString::to_string).collect();
    if !known.is_empty() {
        return known.join("; ");
    }
    let data = reads_of(step, needed);
    if data.is_empty() { "written".to_owned() } else { format!("reads {}", data.join(", ")) }
}

fn effects(effects: Effects) -> &'static str {
    match effects {
        Effects::None => "looks only",
        Effects::Reversible => "can be undone",
        Effects::Irreversible => "cannot be undone",
    }
}

/// Every expression of a step, nested steps included; compensations left out, for they make no edges.
fn expressions(step: &Step) -> Vec<&Expression> {
    let mut all: Vec<&Expression> = step.condition.iter().collect();
    match &step.body {
        Body::Action(action) => all.extend(of_template(&action.with)),
        Body::Foreach(foreach) => {
            all.push(&foreach.over);
            all.extend(foreach.graph.steps.iter().flat_map(expressions));
        }
        // Its own steps see nothing of those around it.
        Body::Workflow(child) => all.extend(of_template(&child.with)),
        Body::Wait(Wait::For(template) | Wait::Until(template)) => all.extend(of_template(template)),
        Body::Question(question) => {
            if let Asks::Approval { message: Some(message), .. } = &question.asks {
                all.extend(of_template(message));
            }
        }
    }
    all
}

fn of_template(template: &Template) -> Vec<&Expression> {
    template.expressions().into_iter().map(|placed| placed.expression).collect()
}

/// What a step reads of another one, as the author would write it.
fn reads_of(reader: &Step, step: &StepId) -> Vec<String> {
    let mut reads = Vec::new();
    for reference in expressions(reader).into_iter().flat_map(Expression::references) {
        let read = format!("steps.{}", reference.path.join("."));
        let of_step =
            reference.root == Root::Steps && reference.path.first().is_some_and(|id| id == step.as_str());
        if of_step && !reads.contains(&read) {
            reads.push(read);
        }
    }
    reads
}

/// What would be undone, last step first. What comes after a pivot is not: from there a run only goes forward.
fn collect_undo(graph: &Graph, above: &str, lines: &mut Vec<String>) {
    let forward = after_pivot(graph);
    for step in graph.steps.iter().rev().filter(|step| !forward.contains(&&step.id)) {
        let path = format!("{above}{}", step.id);
        match &step.body {
            Body::Action(action) => lines.extend(undo_line(&path, action)),
            Body::Foreach(foreach) => {
                collect_undo(&foreach.graph, &format!("{path}/<{}>/", foreach.variable), lines);
            }
            Body::Workflow(child) => collect_undo(&child.graph, &format!("{path}/"), lines),
            Body::Wait(_) | Body::Question(_) => {}
        }
    }
}

/// The steps that start only after a pivot.
fn after_pivot(graph: &Graph) -> Vec<&StepId> {
    let mut after: Vec<&StepId> = Vec::new();
    for step in &graph.steps {
        let behind =
            |id: &StepId| after.contains(&id) || graph.step(id).is_some_and(|step| has_pivot(&step.body));
        if step.needs.iter().any(behind) {
            after.push(&step.id);
        }
    }
    after
}

fn has_pivot(body: &Body) -> bool {
    match body {
        Body::Action(action) => action.pivot,
        Body::Foreach(foreach) => foreach.graph.steps.iter().any(|step| has_pivot(&step.body)),
        Body::Workflow(child) => child.graph.steps.iter().any(|step| has_pivot(&step.body)),
        Body::Wait(_) | Body::Question(_) => false,
    }
}

fn undo_line(path: &str, action: &ActionStep) -> Option<String> {
    let by = match &action.compensate {
        Some(compensation) => format!("by {}", compensation.uses),
        None => "by the action itself".to_owned(),
    };
    match (action.pivot, action.effects) {
        (true, _) => Some(format!("{path}: the pivot; once it has started, nothing here is undone")),
        (false, Effects::None) => None,
        (false, Effects::Reversible) => Some(format!("{path}: {by}")),
        (false, Effects::Irreversible) => match &action.compensate {
            Some(_) => Some(format!("{path}: {by}")),
            None => Some(format!("{path}: cannot be undone")),
        },
    }
}

fn collect_untyped(graph: &Graph, above: &str, lines: &mut Vec<String>) {
    for step in &graph.steps {
        let path = format!("{above}{}", step.id);
        match &step.body {
            Body::Action(action) => lines.extend(untyped(&action.with, &path)),
            Body::Foreach(foreach) => {
                if foreach.over.shape() == Shape::Any {
                    lines.push(format!("{path}: {}", foreach.over));
                }
                collect_untyped(&foreach.graph, &format!("{path}/<{}>/", foreach.variable), lines);
            }
            Body::Workflow(child) => {
                lines.extend(untyped(&child.with, &path));
                let inside = format!("{path}/");
                for graph in [&child.graph, &child.on_failure, &child.always] {
                    collect_untyped(graph, &inside, lines);
                }
            }
            Body::Wait(_) | Body::Question(_) => {}
        }
    }
}

/// What of a step's `with` cannot be typed.
fn untyped(with: &Template, path: &str) -> Vec<String> {
    let placed = with.expressions().into_iter().filter(|placed| placed.whole);
    let untyped = placed.filter(|placed| placed.expression.shape() == Shape::Any);
    untyped.map(|placed| format!("{path}: {}", placed.expression)).collect()
}
