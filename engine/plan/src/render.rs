//! A plan as text for `longhaul plan`. Derived from the plan alone, so that a plan read back from a journal prints the
//! same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use longhaul_expr::{Expression, Root, Scope, Shape, Template};
use longhaul_model::action::Effects;
use longhaul_model::ids::StepId;
use serde_json::Value;

use crate::chart;
use crate::forecast::{DeadlineOutlook, DeadlineVerdict, Forecast};
use crate::pivots::holds_pivot;
use crate::plan::{ActionStep, Asks, Body, Child, Foreach, Graph, OnItemFailure, Plan, Step, Wait};
use crate::resources::Claim;

/// Most lines about what cannot be known.
const UNKNOWN_MAX: usize = 60;

/// Most steps of a critical path that are named; an even number.
const CRITICAL_MAX: usize = 24;

/// The plan as text: steps in order, edges with their reasons, pivots, waits, the order of undo, what is expected of a run,
/// and what cannot be known before it.
#[must_use]
pub fn render_text(plan: &Plan, forecast: Option<&Forecast>) -> String {
    let mut text = Text::default();
    text.head(plan);
    text.plugins(plan);
    text.policies(plan);
    text.section("steps");
    text.graph(&plan.graph, 1);
    if !plan.on_failure.is_empty() {
        text.section("on_failure, if the run does not succeed");
        text.graph(&plan.on_failure, 1);
    }
    if !plan.always.is_empty() {
        text.section("always, at the end");
        text.graph(&plan.always, 1);
    }
    let mut marks = Marks::default();
    marks.collect(&plan.graph, "");
    text.section("pivots, from which a run only goes forward");
    text.lines_or(&marks.pivots, "none");
    if !marks.waits.is_empty() {
        text.section("waits, which go on while no controller runs");
        text.lines_or(&marks.waits, "none");
    }
    if !plan.resources.is_empty() {
        text.section("resources, and what steps take of them");
        text.lines_or(&budgets(plan), "none");
    }
    text.section("undo, if a step fails before the pivot, in this order");
    let mut undo = Vec::new();
    collect_undo(&plan.graph, "", &mut undo);
    text.lines_or(&undo, "nothing");
    if let Some(forecast) = forecast {
        text.section("time, as far as it is known");
        text.forecast(forecast);
    }
    text.section("what cannot be known before the run");
    let mut unknown = forecast.map(|forecast| forecast.unknown.clone()).unwrap_or_default();
    for graph in [&plan.graph, &plan.on_failure, &plan.always] {
        collect_untyped(graph, "", &mut unknown);
    }
    let left_out = unknown.len().saturating_sub(UNKNOWN_MAX);
    unknown.truncate(UNKNOWN_MAX);
    unknown.extend((left_out > 0).then(|| format!("and {left_out} more of the kind")));
    text.lines_or(&unknown, "nothing");
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, plan: &Plan) {
        let pin = &plan.workflow;
        let digest = pin.sha256.get(..12).unwrap_or(&pin.sha256);
        self.line(0, &format!("workflow {} {}  (sha256 {digest})", pin.name, pin.version));
        self.section("inputs");
        for (name, value) in &plan.inputs {
            self.line(1, &format!("{name}: {value}"));
        }
        if let Some(deadline) = &plan.deadline {
            self.section("deadline");
            self.line(1, &format!("{deadline}: what has not passed its pivot by then is undone"));
        }
    }

    fn plugins(&mut self, plan: &Plan) {
        if plan.plugins.is_empty() {
            return;
        }
        self.section("plugins, as they are locked");
        for plugin in &plan.plugins {
            self.line(1, &plugin.to_string());
        }
    }

    fn policies(&mut self, plan: &Plan) {
        if plan.policies.is_empty() {
            return;
        }
        self.section("policies");
        for policy in &plan.policies {
            let digest = policy.sha256.get(..12).unwrap_or(&policy.sha256);
            self.line(1, &format!("{} {}  (sha256 {digest})", policy.file, policy.occasions()));
            for verdict in plan.verdicts.iter().filter(|verdict| verdict.policy == policy.file) {
                self.line(2, &verdict.decision.to_string());
            }
        }
    }

    fn forecast(&mut self, forecast: &Forecast) {
        let least = if forecast.is_complete { "" } else { "at least " };
        let mut sums = format!("{least}{} in all", chart::span(forecast.total_ms));
        if forecast.wire_bytes > 0 {
            sums += &format!(", {} MB between the sites", tenths(forecast.wire_bytes, 1_000_000));
        }
        if let Some(pause) = forecast.longest_pause_ms {
            sums += &format!(", a guest stands still for {} at most", chart::span(pause));
        }
        self.line(1, &sums);
        if let Some(deadline) = forecast.deadline {
            self.line(1, &outlook(deadline));
        }
        self.0.push_str(&chart::render(forecast));
        if !forecast.critical_path.is_empty() && forecast.total_ms > 0 {
            self.wrapped(&format!("critical path: {}", critical(&forecast.critical_path)));
        }
    }

    /// Words in lines that fit.
    fn wrapped(&mut self, words: &str) {
        let mut line = String::new();
        for word in words.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > chart::WIDTH - 4 {
                self.line(1, &line);
                line = "  ".to_owned();
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(1, &line);
    }

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
        for claim in &action.claims {
            self.line(depth + 1, &format!("takes {claim}"));
        }
        if let Some(probe) = &action.probe {
            self.line(
                depth + 1,
                &format!("if nobody knows how it ended, {} looks: done if {}", probe.uses, probe.done),
            );
        }
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
        self.line(depth, &format!("{}: waits {}", step.id, waiting(wait)));
        self.needs(step, depth + 1);
    }

    fn needs(&mut self, step: &Step, depth: usize) {
        if let Some(condition) = &step.condition {
            self.line(depth, &format!("only if {condition}"));
        }
        if step.needs.is_empty() {
            return self.line(depth, "starts at once");
        }
        let mut known: BTreeMap<&StepId, Vec<String>> = BTreeMap::new();
        for reason in &step.reasons {
            known.entry(reason.needs()).or_default().push(reason.to_string());
        }
        for needed in &step.needs {
            let reasons = known.get(needed).map(|reasons| reasons.join("; "));
            let reasons = reasons.unwrap_or_else(|| shown_by_reads(step, needed));
            self.line(depth, &format!("after {needed} ({reasons})"));
        }
    }
}

/// A value as its author wrote it: text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Why a step waits for another, from what it reads: for a plan that is older than its reasons.
fn shown_by_reads(step: &Step, needed: &StepId) -> String {
    let data = reads_of(step, needed);
    if data.is_empty() { "written".to_owned() } else { format!("reads {}", data.join(", ")) }
}

/// The critical path in one line; of a very long one its beginning and its end.
fn critical(path: &[String]) -> String {
    if path.len() <= CRITICAL_MAX {
        return path.join(" -> ");
    }
    let (first, last) = (&path[..CRITICAL_MAX / 2], &path[path.len() - CRITICAL_MAX / 2..]);
    let left_out = path.len() - CRITICAL_MAX;
    format!("{} -> ({left_out} more) -> {}", first.join(" -> "), last.join(" -> "))
}

/// A number of units with one decimal.
fn tenths(amount: u64, unit: u64) -> String {
    let tenths = amount / (unit / 10);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Each resource, then each step that takes something of it.
fn budgets(plan: &Plan) -> Vec<String> {
    let scope = Scope { inputs: plan.inputs.clone(), ..Scope::default() };
    let mut claims = Vec::new();
    for graph in [&plan.graph, &plan.on_failure, &plan.always] {
        collect_claims(graph, "", &mut claims);
    }
    let mut lines = Vec::new();
    for resource in &plan.resources {
        let Ok(budget) = resource.bind(&scope) else { continue };
        lines.push(budget.to_string());
        let of = claims.iter().filter(|(_, claim)| claim.resource == resource.name);
        lines.extend(of.map(|(path, claim)| format!("  {path}: {}", claim.share)));
    }
    lines
}

fn collect_claims<'p>(graph: &'p Graph, above: &str, all: &mut Vec<(String, &'p Claim)>) {
    for step in &graph.steps {
        let path = format!("{above}{}", step.id);
        match &step.body {
            Body::Action(action) => all.extend(action.claims.iter().map(|claim| (path.clone(), claim))),
            Body::Foreach(foreach) => {
                collect_claims(&foreach.graph, &format!("{path}/<{}>/", foreach.variable), all);
            }
            Body::Workflow(child) => {
                for graph in [&child.graph, &child.on_failure, &child.always] {
                    collect_claims(graph, &format!("{path}/"), all);
                }
            }
            Body::Wait(_) | Body::Question(_) => {}
        }
    }
}

/// Pivots and waits, by their paths.
#[derive(Default)]
struct Marks {
    pivots: Vec<String>,
    waits: Vec<String>,
}

impl Marks {
    fn collect(&mut self, graph: &Graph, above: &str) {
        for step in &graph.steps {
            let path = format!("{above}{}", step.id);
            match &step.body {
                Body::Action(action) if action.pivot => self.pivots.push(format!("{path}: {}", action.uses)),
                Body::Action(_) => {}
                Body::Foreach(foreach) => {
                    self.collect(&foreach.graph, &format!("{path}/<{}>/", foreach.variable));
                }
                Body::Workflow(child) => self.collect(&child.graph, &format!("{path}/")),
                Body::Wait(wait) => self.waits.push(format!("{path}: {}", waiting(wait))),
                Body::Question(question) => self.waits.push(format!("{path}: {question}")),
            }
        }
    }
}

/// `for 10m`, `until ...`.
fn waiting(wait: &Wait) -> String {
    let (how, template) = match wait {
        Wait::For(template) => ("for", template),
        Wait::Until(template) => ("until", template),
    };
    format!("{how} {}", template.source().as_str().unwrap_or_default())
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

/// When the deadline is, and what that means.
fn outlook(deadline: DeadlineOutlook) -> String {
    let DeadlineOutlook { at_unix_ms, after_ms, verdict } = deadline;
    let at = i64::try_from(at_unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let at = at.map_or_else(|| format!("{at_unix_ms} ms"), |at| at.to_string());
    let after = || format!("{} after the start", chart::span(after_ms));
    match verdict {
        DeadlineVerdict::Passed => format!("the deadline is {at}: IT HAS PASSED"),
        DeadlineVerdict::Fits => format!("the deadline is {at}, {}: fits", after()),
        DeadlineVerdict::DoesNotFit => format!("the deadline is {at}, {}: DOES NOT FIT", after()),
        DeadlineVerdict::NotKnown => {
            format!("the deadline is {at}, {}: whether that is enough is not known", after())
        }
    }
}

/// What would be undone, last step first. What comes after a pivot is not: from there a run only goes forward.
fn collect_undo(graph: &Graph, above: &str, lines: &mut Vec<String>) {
    let forward = after_pivot(graph);
    for step in graph.steps.iter().rev().filter(|step| !forward.contains(&step.id)) {
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
fn after_pivot(graph: &Graph) -> BTreeSet<&StepId> {
    let pivots: BTreeSet<&StepId> =
        graph.steps.iter().filter(|step| holds_pivot(&step.body)).map(|step| &step.id).collect();
    let mut after = BTreeSet::new();
    for step in &graph.steps {
        if step.needs.iter().any(|id| after.contains(id) || pivots.contains(id)) {
            after.insert(&step.id);
        }
    }
    after
}

fn undo_line(path: &str, action: &ActionStep) -> Option<String> {
    let by = match &action.compensate {
        Some(compensation) if !compensation.requires.is_empty() => {
            let requires: Vec<&str> = compensation.requires.iter().map(Expression::as_str).collect();
            format!("by {}, only if {}", compensation.uses, requires.join(" and "))
        }
        Some(compensation) => format!("by {}", compensation.uses),
        None => "by the action itself".to_owned(),
    };
    match (action.pivot, action.effects) {
        (true, _) => Some(format!("{path}: the pivot; once it has started, nothing here is undone")),
        (false, Effects::None) => None,
        (false, Effects::Reversible) => Some(format!("{path}: {by}")),
        (false, Effects::Irreversible) => match &action.compensate {
            Some(_) => Some(format!("{path}: {by}")),
            // It runs however others ended.
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
                    lines.push(untyped_line(&path, &foreach.over));
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
    untyped.map(|placed| untyped_line(path, placed.expression)).collect()
}

fn untyped_line(path: &str, expression: &Expression) -> String {
    format!("the type of a value of {path}: {expression}")
}
