//! The steps of a plan on a line of time: each begins when the last of what it needs has ended, items as many at once as
//! they may be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use jiff::Timestamp;
use longhaul_expr::{Expression, Root, Scope, Template};
use longhaul_model::ids::StepId;
use longhaul_model::units::Time;
use serde_json::{Map, Value, json};

use super::booking::Bookings;
use super::unknown::Unknown;
use super::{Circumstances, DeadlineOutlook, DeadlineVerdict, Expectation, Expected, Forecast, RestsOn};
use crate::items::item_key;
use crate::plan::{ActionStep, Body, Child, ChildInput, Foreach, Graph, Plan, Question, Step, Wait};
use crate::status::StepStatus;

/// A moment, and the step whose end it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) ms: u64,
    /// Its place among the expectations; none at the start of the run.
    pub(super) end_of: Option<usize>,
}

pub(super) struct Schedule<'a> {
    circumstances: &'a Circumstances<'a>,
    scope: Scope,
    /// What can be read of the steps that have ended.
    known: BTreeMap<String, Value>,
    steps: Vec<Expectation>,
    /// For each of them what it waited for last.
    after: Vec<Option<usize>>,
    unknown: Unknown,
    bookings: Bookings,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(plan: &Plan, circumstances: &'a Circumstances<'a>) -> Self {
        // The run has no id yet; no time depends on it.
        let run = Map::from_iter([("id".to_owned(), Value::from("run"))]);
        let scope = Scope {
            run,
            inputs: plan.inputs.clone(),
            now_unix_ms: Some(circumstances.begins_unix_ms),
            ..Scope::default()
        };
        let bookings = Bookings::of(&plan.resources, &scope);
        Self {
            circumstances,
            scope,
            known: BTreeMap::new(),
            steps: Vec::new(),
            after: Vec::new(),
            unknown: Unknown::default(),
            bookings,
        }
    }

    pub(super) fn forecast(mut self, plan: &Plan) -> Forecast {
        let done = self.graph(&plan.graph, Moment::default(), "");
        let end = self.graph(&plan.always, done, "");
        let is_complete = self.steps.iter().all(|step| step.rests_on != RestsOn::Nothing);
        let deadline = plan.deadline.as_ref();
        let deadline = deadline.and_then(|deadline| self.deadline(deadline, (end.ms, is_complete)));
        let critical_path = self.critical_path(end);
        let mut forecast = Forecast {
            total_ms: end.ms,
            is_complete,
            deadline,
            critical_path,
            unknown: self.unknown.sentences(),
            steps: self.steps,
            ..Forecast::default()
        };
        forecast.wire_bytes = forecast.steps.iter().filter_map(|step| step.wire_bytes).sum();
        forecast.longest_pause_ms = forecast.steps.iter().filter_map(|step| step.pause_ms).max();
        forecast
    }

    /// When the last step of a graph ends that begins now.
    fn graph(&mut self, graph: &Graph, now: Moment, above: &str) -> Moment {
        let mut ends: BTreeMap<&StepId, Moment> = BTreeMap::new();
        let mut last = now;
        for step in &graph.steps {
            let start = step.needs.iter().filter_map(|need| ends.get(need).copied()).max().unwrap_or(now);
            let end = self.step(step, start, &format!("{above}{}", step.id));
            ends.insert(&step.id, end);
            last = last.max(end);
        }
        last
    }

    fn step(&mut self, step: &Step, start: Moment, path: &str) -> Moment {
        if let Some(condition) = &step.condition {
            match self.value(condition) {
                Some(Value::Bool(false)) => {
                    self.known.insert(step.id.to_string(), json!({ "status": StepStatus::Skipped.as_str() }));
                    self.expect(path, start, start.ms, RestsOn::PassedOver, Expected::default());
                    return start;
                }
                Some(_) => {}
                None => self.unknown.other(format!("whether {path} runs: {condition}; taken to run")),
            }
        }
        let (end, outputs) = match &step.body {
            Body::Action(action) => self.action(action, &step.id, start, path),
            Body::Foreach(foreach) => (self.foreach(foreach, start, path), None),
            Body::Workflow(child) => (self.workflow(child, start, path), None),
            Body::Wait(wait) => (self.wait(wait, start, path), None),
            Body::Question(question) => (self.question(question, start, path), None),
        };
        let mut seen = json!({ "status": StepStatus::Succeeded.as_str() });
        if let Some(outputs) = outputs {
            seen["outputs"] = outputs;
        }
        self.known.insert(step.id.to_string(), seen);
        end
    }

    fn action(
        &mut self,
        action: &ActionStep,
        id: &StepId,
        start: Moment,
        path: &str,
    ) -> (Moment, Option<Value>) {
        let circumstances = self.circumstances;
        if let Some(fact) = circumstances.facts.get(id).filter(|_| path == id.as_str()) {
            let end = self.expect(path, start, start.ms + fact.took_ms, RestsOn::Looked, Expected::default());
            return (end, Some(fact.outputs.clone()));
        }
        let expected = match self.template(&action.with) {
            Some(params) => {
                let expected = (circumstances.estimate)(&action.uses, &params);
                if expected.duration_ms.is_none() {
                    self.unknown.no_estimate(&action.uses);
                }
                expected
            }
            None => {
                self.unknown.no_parameters(&action.uses);
                Expected::default()
            }
        };
        let rests_on = if expected.duration_ms.is_some() { RestsOn::Estimate } else { RestsOn::Nothing };
        let duration_ms = expected.duration_ms.unwrap_or(0);
        let amounts = action.claims.iter().flat_map(|claim| claim.share.templates()).flatten();
        let read: Vec<_> = amounts.flat_map(Template::expressions).map(|placed| placed.expression).collect();
        self.see(read.into_iter());
        let booking = self.bookings.wanted(action, &self.scope);
        let start = self.bookings.first_free(&booking, start, duration_ms);
        let end_ms = start.ms.saturating_add(duration_ms);
        let end = self.expect(path, start, end_ms, rests_on, expected);
        self.bookings.take(&booking, start.ms, end_ms, self.steps.len() - 1);
        (end, None)
    }

    fn wait(&mut self, wait: &Wait, start: Moment, path: &str) -> Moment {
        let (Wait::For(template) | Wait::Until(template)) = wait;
        let text = self.template(template);
        let text = text.as_ref().and_then(Value::as_str);
        let end_ms = match wait {
            Wait::For(_) => {
                text.and_then(|text| text.parse::<Time>().ok()).map(|time| start.ms + time.as_millis())
            }
            Wait::Until(_) => text
                .and_then(unix_ms)
                .map(|until| until.saturating_sub(self.circumstances.begins_unix_ms).max(start.ms)),
        };
        if end_ms.is_none() {
            let written = template.source().as_str().unwrap_or_default();
            self.unknown.other(format!("how long {path} waits: {written}; counted as no time"));
        }
        let rests_on = if end_ms.is_some() { RestsOn::Written } else { RestsOn::Nothing };
        self.expect(path, start, end_ms.unwrap_or(start.ms), rests_on, Expected::default())
    }

    /// How long somebody outside takes is not foreseen.
    fn question(&mut self, question: &Question, start: Moment, path: &str) -> Moment {
        self.unknown.other(format!("how long {path} waits: {question}; counted as no time"));
        self.expect(path, start, start.ms, RestsOn::Nothing, Expected::default())
    }

    /// Its steps see its inputs and each other, and nothing of what is around.
    fn workflow(&mut self, child: &Child, start: Moment, path: &str) -> Moment {
        let given = self.template(&child.with);
        if given.is_none() {
            self.unknown.other(format!("the inputs of {path}; taken as they are by default"));
        }
        let given = given.unwrap_or_default();
        let value = |input: &ChildInput| {
            let value = given.get(&input.name).or_else(|| input.schema.get("default"))?;
            Some((input.name.clone(), value.clone()))
        };
        let inputs = child.inputs.iter().filter_map(value).collect();
        let own = self.open(path, start);
        let inputs = std::mem::replace(&mut self.scope.inputs, inputs);
        let (vars, known) = (std::mem::take(&mut self.scope.vars), std::mem::take(&mut self.known));
        let above = format!("{path}/");
        let done = self.graph(&child.graph, start, &above);
        let end = self.graph(&child.always, done, &above);
        (self.scope.inputs, self.scope.vars, self.known) = (inputs, vars, known);
        self.close(own, end)
    }

    /// Items begin in their order, each as soon as there is room for one more.
    fn foreach(&mut self, foreach: &Foreach, start: Moment, path: &str) -> Moment {
        let Some(Value::Array(items)) = self.value(&foreach.over) else {
            self.unknown.other(format!("the items of {path}: {}; taken to be one", foreach.over));
            let own = self.open(path, start);
            let end = self.graph(&foreach.graph, start, &format!("{path}/<{}>/", foreach.variable));
            return self.close(own, end);
        };
        let own = self.open(path, start);
        let at_once = (foreach.max_parallel as usize).clamp(1, items.len().max(1));
        let mut free: BinaryHeap<Reverse<Moment>> = (0..at_once).map(|_| Reverse(start)).collect();
        let mut last = start;
        for item in items {
            let key = item_key(&item).unwrap_or("?");
            let above = format!("{path}/{key}/");
            self.scope.vars.insert(foreach.variable.clone(), item);
            let Reverse(now) = free.pop().unwrap_or(Reverse(last));
            let end = self.graph(&foreach.graph, now, &above);
            free.push(Reverse(end));
            last = last.max(end);
        }
        self.scope.vars.remove(&foreach.variable);
        self.close(own, last)
    }

    /// The line of a step whose steps follow.
    fn open(&mut self, path: &str, start: Moment) -> usize {
        self.expect(path, start, start.ms, RestsOn::Items, Expected::default());
        self.steps.len() - 1
    }

    fn close(&mut self, own: usize, end: Moment) -> Moment {
        self.steps[own].end_ms = end.ms;
        end
    }

    fn expect(
        &mut self,
        path: &str,
        start: Moment,
        end_ms: u64,
        rests_on: RestsOn,
        expected: Expected,
    ) -> Moment {
        let at = self.steps.len();
        self.steps.push(Expectation {
            path: path.to_owned(),
            start_ms: start.ms,
            end_ms,
            rests_on,
            is_critical: false,
            wire_bytes: expected.wire_bytes,
            pause_ms: expected.pause_ms,
        });
        self.after.push(start.end_of);
        Moment { ms: end_ms, end_of: Some(at) }
    }

    /// Back from the end to the start, always by what was waited for last.
    fn critical_path(&mut self, end: Moment) -> Vec<String> {
        let mut path = Vec::new();
        let mut at = end.end_of;
        while let Some(step) = at {
            if self.steps[step].rests_on != RestsOn::PassedOver {
                self.steps[step].is_critical = true;
                path.push(self.steps[step].path.clone());
            }
            at = self.after[step];
        }
        path.reverse();
        path
    }

    fn deadline(
        &mut self,
        deadline: &Expression,
        (end_ms, is_complete): (u64, bool),
    ) -> Option<DeadlineOutlook> {
        let value = self.value(deadline);
        let at = value.as_ref().and_then(Value::as_str).and_then(unix_ms);
        let Some(at_unix_ms) = at else {
            self.unknown.other(format!("when the deadline is: {deadline}"));
            return None;
        };
        let begins_unix_ms = self.circumstances.begins_unix_ms;
        let after_ms = at_unix_ms.saturating_sub(begins_unix_ms);
        let verdict = match () {
            () if at_unix_ms <= begins_unix_ms => DeadlineVerdict::Passed,
            () if end_ms > after_ms => DeadlineVerdict::DoesNotFit,
            () if is_complete => DeadlineVerdict::Fits,
            () => DeadlineVerdict::NotKnown,
        };
        Some(DeadlineOutlook { at_unix_ms, after_ms, verdict })
    }

    /// An expression's value, if all that it reads is known.
    fn value(&mut self, expression: &Expression) -> Option<Value> {
        self.see([expression].into_iter());
        expression.evaluate(&self.scope).ok()
    }

    /// A template's value, if all that it reads is known.
    fn template(&mut self, template: &Template) -> Option<Value> {
        let placed = template.expressions();
        self.see(placed.iter().map(|placed| placed.expression));
        template.evaluate(&self.scope).ok()
    }

    /// Puts what expressions read of steps into the scope, and nothing else: a scope with thousands of steps would be
    /// looked through for each of thousands of expressions.
    fn see<'e>(&mut self, expressions: impl Iterator<Item = &'e Expression>) {
        let of_steps = expressions.flat_map(Expression::references).filter(|read| read.root == Root::Steps);
        let entry = |id: &String| Some((id.clone(), self.known.get(id)?.clone()));
        let steps: Map<String, Value> = of_steps.filter_map(|read| entry(read.path.first()?)).collect();
        self.scope.steps = steps;
    }
}

/// A time as Unix milliseconds; one before 1970 is over as well.
fn unix_ms(text: &str) -> Option<u64> {
    let at: Timestamp = text.parse().ok()?;
    Some(u64::try_from(at.as_millisecond()).unwrap_or(0))
}
