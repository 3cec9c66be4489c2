//! Steps of a document to steps of a plan.

use std::collections::BTreeSet;

use longhaul_expr::{Expression, Scope, Template};
use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::diagnostic::Code;
use longhaul_model::ids::StepId;
use longhaul_model::source::{Span, Spanned};
use longhaul_model::units::Time;
use longhaul_model::workflow::{
    ActionSpec, BodySpec, CompensateSpec, ForeachSpec, ItemFailure, Jitter, RetrySpec, StepSpec, WaitSpec,
};
use serde_json::Value;

use crate::check::Checker;
use crate::graph::Vertex;
use crate::items::{self, item_keys};
use crate::names::{Names, suggestion};
use crate::parameters::{CheckedExpression, StepRead, Takes};
use crate::plan::{
    ActionStep, Backoff, Body, Compensation, Foreach, Graph, OnItemFailure, Retry, Step, Wait,
};
use crate::schema::{self, ANY};

/// How long an attempt may take if neither the step nor the workflow's defaults say so.
const TIMEOUT: Time = Time::from_millis(10 * 60 * 1000);

/// Waits between attempts if the workflow asks for retries and does not say how long.
const BACKOFF: Backoff = Backoff {
    initial: Time::from_millis(2_000),
    factor: 2,
    max: Time::from_millis(60_000),
    full_jitter: true,
};

/// A checked graph and the steps around it that it reads.
pub(crate) struct CheckedGraph {
    pub(crate) graph: Graph,
    pub(crate) reads_around: Vec<StepRead>,
    pub(crate) lasting: Lasting,
}

/// A checked body, the steps that it reads, and what in it is never undone.
pub(crate) struct CheckedBody {
    pub(crate) body: Body,
    pub(crate) reads: Vec<StepRead>,
    pub(crate) lasting: Lasting,
}

/// Where something stands that is never undone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lasting {
    /// A pivot that its file calls so.
    pub(crate) pivot: Option<Span>,
    /// A step whose action nothing can undo.
    pub(crate) action: Option<Span>,
}

impl Lasting {
    /// One such place, and what stands there.
    pub(crate) fn place(self) -> Option<(Span, &'static str)> {
        let pivot = self.pivot.map(|span| (span, "the pivot"));
        pivot.or_else(|| self.action.map(|span| (span, "nothing can undo this")))
    }
}

/// The steps of one graph, and their ids.
struct Beside<'s> {
    specs: &'s [StepSpec],
    ids: BTreeSet<&'s StepId>,
}

impl<'a> Checker<'a> {
    /// Checks the steps of one graph. `names` already sees them.
    pub(crate) fn graph(&mut self, specs: &[StepSpec], names: &Names<'_>) -> CheckedGraph {
        let beside = Beside { specs, ids: specs.iter().map(|spec| &spec.id.value).collect() };
        let mut vertices = Vec::new();
        let mut reads_around = Vec::new();
        for spec in specs {
            self.check_id(spec);
            let needs = self.needs(spec, &beside);
            let (condition, names) = self.condition(spec, names);
            let Some(checked) = self.body(spec, &names) else { continue };
            let (condition, asks) = condition.map(|it| (it.expression, it.reads)).unzip();
            let reads = asks.into_iter().flatten().chain(checked.reads);
            let (own, around): (Vec<StepRead>, Vec<StepRead>) =
                reads.partition(|read| beside.ids.contains(&read.step));
            reads_around.extend(around);
            self.check_lasting_runs(spec, condition.as_ref(), checked.lasting);
            let step = Step {
                id: spec.id.value.clone(),
                reasons: self.reasons(spec, &own),
                needs: merged(needs, own),
                line: self.line(spec.id.span),
                condition,
                body: checked.body,
            };
            vertices.push(Vertex {
                step,
                span: spec.id.span,
                lasting: checked.lasting,
                pivot_inside: self.pivot_inside(spec),
                foundation: self.scoped_foundation(spec),
            });
        }
        let lasting = Lasting {
            pivot: vertices.iter().find_map(|vertex| vertex.lasting.pivot),
            action: vertices.iter().find_map(|vertex| vertex.lasting.action),
        };
        CheckedGraph { graph: self.order(vertices), reads_around, lasting }
    }

    /// Where a step says that at the end it takes away what a hand-over may stand on.
    fn scoped_foundation(&self, spec: &StepSpec) -> Option<Span> {
        let Some(BodySpec::Action(action)) = &spec.body else { return None };
        let name = action.uses.as_ref()?.value.parse().ok()?;
        let is_foundation = self.catalogue.get(&name).is_some_and(|action| action.foundation);
        action.scope.filter(|_| is_foundation)
    }

    /// A step's `if`, and what can be read under it.
    fn condition<'n>(
        &mut self,
        spec: &'n StepSpec,
        names: &Names<'n>,
    ) -> (Option<CheckedExpression>, Names<'n>) {
        let names = names.of_step(&spec.id.value);
        let Some(node) = &spec.condition else { return (None, names) };
        let asked = node.as_text().and_then(|text| Expression::parse(text).ok());
        let names = asked.map_or_else(|| names.clone(), |expression| names.under(expression.asked()));
        let condition = self.expression(node, &names.looking());
        if let Some(condition) = &condition
            && let Some(why) = schema::conflict(
                &names.type_of(&condition.expression),
                &serde_json::json!({"type": "boolean"}),
            )
        {
            self.report(Code::TypeMismatch, node.span, format!("`if` is true or false: {why}"));
        }
        (condition, names)
    }

    /// Refuses what is never undone where it could start while what stands before it is undone.
    fn check_lasting_runs(&mut self, spec: &StepSpec, condition: Option<&Expression>, lasting: Lasting) {
        let always = condition.is_some_and(|condition| condition.asked().always);
        if let (true, Some((span, what)), Some(node)) = (always, lasting.place(), &spec.condition) {
            let which = if lasting.pivot.is_some() { "a pivot" } else { "what nothing can undo" };
            let message =
                format!("{which} cannot run `always()`: it would start while the steps before it are undone");
            let one = self.mistake(Code::Pivots, node.span, message).and_at(span, what);
            self.found.push(one.help("ask for what it needs, such as `succeeded(\"copy\")`"));
        }
    }

    /// A block of steps that run when all is decided: they see all others.
    pub(crate) fn last<'n>(&mut self, specs: &'n [StepSpec], block: &str, around: &Names<'n>) -> CheckedGraph
    where
        Self: 'n,
    {
        for spec in specs {
            self.check_shadow(spec, around);
        }
        self.check_never_undone(specs, block);
        let names = around.clone().with_steps(specs, self.uses);
        let checked = self.graph(specs, &names);
        if let Some((span, _)) = checked.lasting.place() {
            let which = if checked.lasting.pivot.is_some() { "a pivot" } else { "what nothing can undo" };
            let message = format!("{which} below `{block}`: what becomes of the run is decided before that");
            let one = self.mistake(Code::Pivots, span, message);
            self.found.push(one.help("move it among the `steps`, or into a run of its own"));
        }
        checked
    }

    /// Refuses what an unwind alone would do: below `on_failure` and `always` there is none.
    fn check_never_undone(&mut self, specs: &[StepSpec], block: &str) {
        for spec in specs {
            match &spec.body {
                Some(BodySpec::Foreach(foreach)) => self.check_never_undone(&foreach.steps, block),
                Some(BodySpec::Action(action)) if action.scope.is_none() => {
                    if let Some(compensate) = &action.compensate {
                        let message = format!("nothing below `{block}` is undone, so this would never run");
                        let one = self.mistake(Code::NeverUndone, compensate.span, message);
                        self.found.push(one.help("leave it out, or make the step a `scope`"));
                    }
                }
                Some(
                    BodySpec::Action(_) | BodySpec::Wait(_) | BodySpec::Question(_) | BodySpec::Workflow(_),
                )
                | None => {}
            }
        }
    }

    pub(crate) fn line(&self, span: Span) -> u32 {
        u32::try_from(self.workflow.document.source.line(span.start)).unwrap_or(u32::MAX)
    }

    /// Refuses ids that an expression could not read.
    fn check_id(&mut self, spec: &StepSpec) {
        if Expression::parse(&format!("${{{{ steps.{} }}}}", spec.id.value)).is_err() {
            let message = format!("`{}` is a word of the expression language", spec.id.value);
            self.report(Code::ReservedName, spec.id.span, message);
        }
    }

    /// Refuses an id that hides a step around.
    fn check_shadow(&mut self, spec: &StepSpec, around: &Names<'_>) {
        if around.has_step(&spec.id.value) {
            let message = format!("`{}` is already the id of a step around", spec.id.value);
            self.report(Code::ReservedName, spec.id.span, message);
        }
    }

    fn needs(&mut self, spec: &StepSpec, beside: &Beside<'_>) -> Vec<StepId> {
        for needed in &spec.needs {
            if needed.value == spec.id.value {
                self.report(Code::Cycle, needed.span, format!("step `{}` needs itself", spec.id.value));
            } else if !beside.ids.contains(&needed.value) {
                let message =
                    format!("`{}` needs `{}`, which is no step beside it", spec.id.value, needed.value);
                let others = beside
                    .specs
                    .iter()
                    .map(|step| step.id.value.as_str())
                    .filter(|id| *id != spec.id.value.as_str());
                let mut one = self.mistake(Code::UnknownStep, needed.span, message);
                one.help = suggestion(needed.value.as_str(), others, "beside it are");
                self.found.push(one);
            }
        }
        let known = |id: &&Spanned<StepId>| id.value != spec.id.value && beside.ids.contains(&id.value);
        spec.needs.iter().filter(known).map(|needed| needed.value.clone()).collect()
    }

    fn body(&mut self, spec: &StepSpec, names: &Names<'_>) -> Option<CheckedBody> {
        let id = &spec.id.value;
        match spec.body.as_ref()? {
            BodySpec::Action(action) => self.action(id, action, names),
            BodySpec::Workflow(child) => self.child(child, names),
            BodySpec::Foreach(foreach) => self.foreach(id, foreach, names),
            BodySpec::Wait(wait) => self.wait(wait, names),
            BodySpec::Question(question) => self.question(question, names),
        }
    }

    fn action<'n>(&mut self, id: &'n StepId, spec: &'n ActionSpec, names: &Names<'n>) -> Option<CheckedBody> {
        let descriptor = spec.uses.as_ref().and_then(|uses| self.descriptor(uses));
        let uses_span = spec.uses.as_ref().map_or_else(Span::default, |uses| uses.span);
        let takes = descriptor.map(Takes::of_action);
        let with = self.parameters(spec.with.as_ref(), uses_span, takes.as_ref(), names);
        let compensate =
            spec.compensate.as_ref().and_then(|spec| self.compensation(spec, &names.compensating(id)));
        self.check_undo(spec, descriptor, (with.as_ref().map(|with| &with.template), compensate.as_ref()));
        if let (Some(descriptor), Some(asserted)) = (descriptor, &spec.effects) {
            self.check_effects(descriptor, asserted);
        }
        self.check_scope(spec, descriptor);
        self.check_heartbeat(id, spec);
        let (claims, mut other_reads) = self.claims(&spec.claims, names);
        let probe = spec.probe.as_ref().map(|probe| self.probe(probe, descriptor, names, &mut other_reads));
        let (descriptor, with) = (descriptor?, with?);
        let defaults = &self.workflow.defaults;
        let step = ActionStep {
            uses: descriptor.name.clone(),
            with: with.template,
            effects: descriptor.effects,
            timeout: spec.timeout.or(defaults.timeout).unwrap_or(TIMEOUT),
            heartbeat: spec.heartbeat.or(defaults.heartbeat),
            retry: retry(spec.retry.as_ref().or(defaults.retry.as_ref())),
            pivot: spec.pivot.is_some(),
            scope: spec.scope.is_some(),
            compensate,
            probe: probe.flatten(),
            claims,
            defaulted: Vec::new(),
        };
        let reads = with.reads.into_iter().chain(other_reads).collect();
        let lasting = Lasting {
            pivot: spec.pivot,
            action: (descriptor.effects == Effects::Irreversible).then_some(uses_span),
        };
        Some(CheckedBody { body: Body::Action(Box::new(step)), reads, lasting })
    }

    fn wait(&mut self, spec: &WaitSpec, names: &Names<'_>) -> Option<CheckedBody> {
        let (node, format, make): (_, _, fn(Template) -> Wait) = match spec {
            WaitSpec::For(node) => (node, "duration", Wait::For),
            WaitSpec::Until(node) => (node, "date-time", Wait::Until),
            WaitSpec::Broken => return None,
        };
        let checked = self.template(node, names)?;
        self.value_of_format(node, &checked.template, format, names);
        let body = Body::Wait(make(checked.template));
        Some(CheckedBody { body, reads: checked.reads, lasting: Lasting::default() })
    }

    /// What is taken away at the end cannot be what a run only goes forward from.
    fn check_scope(&mut self, spec: &ActionSpec, action: Option<&Descriptor>) {
        let Some(scope) = spec.scope else { return };
        let why = |action: &Descriptor| match action.effects {
            Effects::None => {
                Some(format!("`{}` leaves nothing that could be taken away at the end", action.name))
            }
            Effects::Irreversible => Some(format!(
                "nothing takes away at the end what `{}` does: it cannot be undone",
                action.name
            )),
            Effects::Reversible => None,
        };
        if let (Some(message), None) = (action.and_then(why), &spec.compensate) {
            let one = self.mistake(Code::Effects, scope, message);
            self.found.push(one.help("leave `scope` out"));
        }
        if let Some(pivot) = spec.pivot {
            let one = self.mistake(Code::StepBody, scope, "a pivot cannot be a scope");
            self.found.push(one.and_at(pivot, "it is a pivot").help("leave one of them out"));
        }
    }

    /// A silence that is longer than an attempt may take is never noticed.
    fn check_heartbeat(&mut self, id: &StepId, spec: &ActionSpec) {
        let timeout = spec.timeout.or(self.workflow.defaults.timeout).unwrap_or(TIMEOUT);
        let (Some(heartbeat), Some(uses)) = (spec.heartbeat.filter(|own| *own > timeout), &spec.uses) else {
            return;
        };
        let message =
            format!("a heartbeat of {heartbeat} is never missed: an attempt of `{id}` ends after {timeout}");
        let one = self.mistake(Code::StepBody, uses.span, message);
        self.found.push(one.help("write a heartbeat that is shorter than the `timeout`, or leave it out"));
    }

    fn check_effects(&mut self, action: &Descriptor, asserted: &Spanned<Effects>) {
        if action.effects != asserted.value {
            let name = |effects| match effects {
                Effects::None => "none",
                Effects::Reversible => "reversible",
                Effects::Irreversible => "irreversible",
            };
            let (declared, asserts) = (name(action.effects), name(asserted.value));
            let message = format!("`{}` declares effects `{declared}`, not `{asserts}`", action.name);
            let one = self.mistake(Code::Effects, asserted.span, message);
            self.found.push(one.help(format!("write `effects: {declared}`, or leave it out")));
        }
    }

    fn compensation(&mut self, spec: &CompensateSpec, names: &Names<'_>) -> Option<Compensation> {
        let descriptor = spec.uses.as_ref().and_then(|uses| self.descriptor(uses));
        let uses_span = spec.uses.as_ref().map_or(spec.span, |uses| uses.span);
        let takes = descriptor.map(Takes::of_action);
        let with = self.parameters(spec.with.as_ref(), uses_span, takes.as_ref(), names);
        let requires: Vec<Option<CheckedExpression>> =
            spec.requires.iter().map(|node| self.expression(node, &names.looking())).collect();
        let requires: Option<Vec<_>> =
            requires.into_iter().map(|checked| Some(checked?.expression)).collect();
        Some(Compensation { uses: descriptor?.name.clone(), with: with?.template, requires: requires? })
    }

    /// Refuses an undo of what is never undone, and one that takes nothing back.
    fn check_undo(
        &mut self,
        spec: &ActionSpec,
        action: Option<&Descriptor>,
        (with, undo): (Option<&Template>, Option<&Compensation>),
    ) {
        let (Some(written), Some(action)) = (&spec.compensate, action) else { return };
        if action.effects == Effects::Irreversible || spec.pivot.is_some() {
            self.report_never_undone(written.span, action, spec.pivot);
        } else if let Some(undo) = undo {
            let repeats = undo.uses == action.name && with == Some(&undo.with);
            self.check_takes_back(written, undo, repeats);
        }
    }

    fn report_never_undone(&mut self, compensate: Span, action: &Descriptor, pivot: Option<Span>) {
        let (message, help) = if action.effects == Effects::Irreversible {
            let message = format!("nothing can undo what `{}` does, so this would never run", action.name);
            (message, "leave it out; what was handed over goes back by a run of its own")
        } else {
            let message = "a pivot is never undone, so this would never run".to_owned();
            (message, "leave it out, or leave `pivot` out")
        };
        let mut one = self.mistake(Code::NeverUndone, compensate, message);
        if let Some(pivot) = pivot {
            one = one.and_at(pivot, "the pivot");
        }
        self.found.push(one.help(help));
    }

    /// `repeats`: it does what the step itself does, with the same values.
    fn check_takes_back(&mut self, written: &CompensateSpec, undo: &Compensation, repeats: bool) {
        let effects = self.catalogue.get(&undo.uses).map(|action| action.effects);
        let (why, help) = match effects {
            Some(Effects::None) => ("only looks", "name an action that takes back what the step did"),
            Some(Effects::Irreversible) => (
                "does what nothing takes back in its turn",
                "name an action that takes back what the step did",
            ),
            Some(Effects::Reversible) if repeats => {
                ("does here once more what the step has done", "give it the values that were there before")
            }
            Some(Effects::Reversible) | None => return,
        };
        let at = written.uses.as_ref().map_or(written.span, |uses| uses.span);
        let one = self.mistake(Code::NoUndo, at, format!("`{}` {why}: it is no undo", undo.uses));
        self.found.push(one.help(help));
    }

    fn foreach<'n>(
        &mut self,
        id: &'n StepId,
        spec: &'n ForeachSpec,
        names: &Names<'n>,
    ) -> Option<CheckedBody> {
        let over = spec.over.as_ref().and_then(|node| self.expression(node, names));
        let item = self.item_type(spec, over.as_ref(), names);
        self.check_variable(spec, names);
        for nested in &spec.steps {
            self.check_shadow(nested, names);
        }
        let variable = spec.variable.as_ref().map(|variable| (variable.value.clone(), item));
        let inside = names.inside(id, variable).with_steps(&spec.steps, self.uses);
        let nested = self.graph(&spec.steps, &inside);
        let over = over?;
        let foreach = Foreach {
            over: over.expression,
            variable: spec.variable.clone()?.value,
            max_parallel: spec.max_parallel.unwrap_or(1),
            on_item_failure: match spec.on_item_failure {
                Some(ItemFailure::Continue) => OnItemFailure::Continue,
                Some(ItemFailure::Fail) | None => OnItemFailure::Fail,
            },
            graph: nested.graph,
        };
        let reads = over.reads.into_iter().chain(nested.reads_around).collect();
        Some(CheckedBody { body: Body::Foreach(foreach), reads, lasting: nested.lasting })
    }

    /// The schema of the items, after the list itself was checked as far as it is known.
    fn item_type(
        &mut self,
        spec: &ForeachSpec,
        over: Option<&CheckedExpression>,
        names: &Names<'_>,
    ) -> Value {
        let (Some(node), Some(over)) = (&spec.over, over) else { return ANY.clone() };
        let list = names.type_of(&over.expression);
        if let Some(why) = schema::conflict(&list, &serde_json::json!({"type": "array"})) {
            self.report(Code::TypeMismatch, node.span, format!("`foreach` takes a list: {why}"));
        }
        let item = list.get("items").unwrap_or(&ANY).clone();
        let nothing = Scope::default();
        let scope = self.scope.as_ref().or_else(|| over.expression.is_constant().then_some(&nothing));
        let value = scope.and_then(|scope| known_list(&over.expression, scope));
        let why = value.and_then(|items| item_keys(&items).err()).or_else(|| items::never(&item));
        if let Some(why) = why {
            let one = self.mistake(
                Code::InvalidInput,
                node.span,
                format!("`foreach` needs a key of each item: {why}"),
            );
            let help = "an item is text, or a map with a text `key` that no other item has; `.unique()` takes each once";
            self.found.push(one.labelled("the list").help(help));
        }
        item
    }

    fn check_variable(&mut self, spec: &ForeachSpec, names: &Names<'_>) {
        let Some(variable) = &spec.variable else { return };
        let name = variable.value.as_str();
        if let Err(error) = name.parse::<StepId>() {
            let message = error.to_string().replacen("step", "item variable", 1);
            return self.report(Code::Malformed, variable.span, message);
        }
        let reserved = ["inputs", "steps", "run"].contains(&name)
            || Expression::parse(&format!("${{{{ {name} }}}}")).is_err();
        if reserved || names.has_variable(name) {
            self.report(Code::ReservedName, variable.span, format!("`{name}` already means something here"));
        }
    }
}

/// The list, if the inputs alone make it.
fn known_list(over: &Expression, scope: &Scope) -> Option<Vec<Value>> {
    let Ok(Value::Array(items)) = over.evaluate(scope) else { return None };
    Some(items)
}

/// Written needs, then those that come from reading, each once.
fn merged(needs: Vec<StepId>, reads: Vec<StepRead>) -> Vec<StepId> {
    let mut seen = BTreeSet::new();
    let all = needs.into_iter().chain(reads.into_iter().map(|read| read.step));
    all.filter(|id| seen.insert(id.clone())).collect()
}

/// What is written, and for the rest the defaults. Without a word about it nothing is tried again.
fn retry(spec: Option<&RetrySpec>) -> Retry {
    let Some(spec) = spec else {
        return Retry { max_attempts: 1, backoff: BACKOFF, errors: vec!["transient".to_owned()] };
    };
    Retry {
        max_attempts: spec.max_attempts.unwrap_or(1),
        backoff: Backoff {
            initial: spec.backoff.initial.unwrap_or(BACKOFF.initial),
            factor: spec.backoff.factor.unwrap_or(BACKOFF.factor),
            max: spec.backoff.max.unwrap_or(BACKOFF.max),
            full_jitter: match spec.backoff.jitter {
                Some(Jitter::None) => false,
                Some(Jitter::Full) | None => true,
            },
        },
        errors: spec.errors.clone().unwrap_or_else(|| vec!["transient".to_owned()]),
    }
}
