//! Expectations held against a run. Each that fails says what was expected, what happened, and where it is written.

use std::collections::BTreeSet;

use longhaul_model::ids::StepPath;
use longhaul_model::source::{Span, Spanned};
use longhaul_model::test::{EffectsSpec, Order, PlanSpec, Remains};
use longhaul_saga::{Entry, Event, Intent};
use serde_json::Value;

use super::Case;
use super::shape::{ANY_ITEM, matches};
use super::story::Story;
use crate::world::Effect;
use crate::{Fault, Layout, Ran, invariant};

/// An expectation that did not come true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The line of the expectation in the test file, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
    /// What was expected and what happened: lower-case fragments.
    pub text: String,
    /// The step it is about, if it is about one.
    pub step: Option<StepPath>,
    /// The record at which it shows, if it shows at one.
    pub record: Option<u64>,
}

impl Case {
    /// What is wrong about the plan: refused against the expectation, for other reasons, or not at all.
    #[must_use]
    pub fn judge_plan(&self) -> Vec<Failing> {
        let found: BTreeSet<String> = match self.planning.planned() {
            Ok(_) => BTreeSet::new(),
            Err(found) => found.iter().map(|one| one.code.to_string()).collect(),
        };
        let listed = |codes: &BTreeSet<String>| match codes.len() {
            0 => "a plan without a mistake".to_owned(),
            _ => format!("a plan that is refused: {}", codes.iter().cloned().collect::<Vec<_>>().join(", ")),
        };
        let (span, wanted) = match &self.expect.refused {
            Some(refused) => (refused.span, refused.value.iter().cloned().collect()),
            None => (self.name.span, BTreeSet::new()),
        };
        if wanted == found && (self.expect.refused.is_none() || !found.is_empty()) {
            return self.judge_verdicts();
        }
        let mistakes = self.refused().map_or_else(String::new, |found| format!(":\n{found}"));
        vec![self.failing(span, format!("expected {}, found {}{mistakes}", listed(&wanted), listed(&found)))]
    }

    /// What comes of the plan. One that is denied has no run, so that has to be expected.
    fn judge_verdicts(&self) -> Vec<Failing> {
        let verdicts = self.verdicts();
        let mut came = PlanSpec::of(verdicts);
        let mut said: Vec<String> = verdicts.iter().map(ToString::to_string).collect();
        let asks_for_time = self.expect.plan.as_ref().is_some_and(|it| it.value == PlanSpec::Infeasible);
        if let Some(why) = self.gives_up().filter(|_| asks_for_time) {
            came = PlanSpec::Infeasible;
            said.push(why);
        }
        let told = if said.is_empty() { String::new() } else { format!(": {}", said.join("; ")) };
        let (wanted, span) = match &self.expect.plan {
            Some(plan) => (Some(plan.value), plan.span),
            None => ((came == PlanSpec::Denied).then_some(PlanSpec::Allowed), self.name.span),
        };
        let mut found = Vec::new();
        if let Some(wanted) = wanted.filter(|wanted| *wanted != came) {
            let text = format!("expected a plan that is {}, it is {}{told}", in_word(wanted), in_word(came));
            found.push(self.failing(span, text));
        }
        let Some(because) = &self.expect.because else { return found };
        said.extend(self.said_in_the_run());
        if !said.iter().any(|said| said.contains(&because.value)) {
            let told = if said.is_empty() { "nothing".to_owned() } else { said.join("; ") };
            let text = format!("expected to be told `{}`, told is {told}", because.value);
            found.push(self.failing(because.span, text));
        }
        found
    }

    /// What policies say about the steps of a run in which nothing goes wrong but what the case makes up.
    fn said_in_the_run(&self) -> Vec<String> {
        let decided = |record: longhaul_saga::Record| match record.entry {
            Entry::Event(Event::Decided(decided)) => decided.verdicts,
            _ => Vec::new(),
        };
        let verdicts = self.run(Fault::None, 0).into_iter().flat_map(|ran| ran.records).flat_map(decided);
        verdicts.map(|verdict| verdict.to_string()).collect()
    }

    /// Why the run gives itself up although nothing goes wrong in it: its deadline passes.
    fn gives_up(&self) -> Option<String> {
        let ran = self.run(Fault::None, 0)?;
        ran.records.into_iter().find_map(|record| match record.entry {
            Entry::Intent(Intent::GiveUp(given_up)) => Some(given_up.reason),
            _ => None,
        })
    }

    /// A sweep that strikes nowhere, or at a listed step that never began, proves nothing.
    #[must_use]
    pub fn judge_points(&self, points: &[Fault]) -> Vec<Failing> {
        let listed = self.sweep.error.iter().flat_map(|sweep| sweep.at.iter().flatten());
        let struck = |at: &&Spanned<String>| {
            points.iter().any(|fault| fault.strikes(|step| matches(&at.value, step).is_some()))
        };
        let missed = listed.filter(|at| !struck(at));
        let mut found: Vec<_> = missed
            .map(|at| self.failing(at.span, format!("expected a fault at {}, which never began", at.value)))
            .collect();
        let is_denied = PlanSpec::of(self.verdicts()) == PlanSpec::Denied;
        if self.sweeps() && points.is_empty() && found.is_empty() && self.refused().is_none() && !is_denied {
            found.push(self.failing(self.name.span, "expected a sweep, it strikes nowhere".to_owned()));
        }
        found
    }

    /// Every expectation and invariant that does not hold in a run of the case. Of a sweep's run without a fault nothing is
    /// expected: the faults' places are read from it.
    #[must_use]
    pub fn judge(&self, ran: &Ran) -> Vec<Failing> {
        let Ok(planned) = self.planning.planned() else { return Vec::new() };
        let mut found = Vec::new();
        if !self.sweeps() || ran.fault != Fault::None {
            let story = Story::of(&ran.records);
            found.extend(self.judge_end(ran));
            found.extend(self.expect.orders.iter().flat_map(|order| self.judge_order(order, &story)));
            found.extend(self.judge_at_once(&story));
            found.extend(self.judge_outputs(ran));
            found.extend(self.judge_failed(ran));
            found.extend(self.judge_effects(ran, &planned.layout));
        }
        found.extend(invariant::judge(&planned.layout, ran, &self.invariants).into_iter().map(|violation| {
            let failing = self.failing(self.name.span, violation.to_string());
            Failing { step: violation.step, record: violation.record, ..failing }
        }));
        found
    }

    pub(super) fn failing(&self, span: Span, text: String) -> Failing {
        let place = self.source.place(span.start);
        Failing { line: place.line, column: place.column, text, step: None, record: None }
    }

    fn judge_end(&self, ran: &Ran) -> Vec<Failing> {
        let mut found = Vec::new();
        if let Some(status) = &self.expect.status
            && !status.value.iter().any(|word| word == ran.status().as_str())
        {
            let (wanted, ended) = (status.value.join(" or "), ran.status());
            found.push(self.failing(status.span, format!("expected status {wanted}, the run is {ended}")));
        }
        if let Some(within) = &self.expect.within
            && ran.took_ms() > within.value.as_millis()
        {
            let took = super::duration(ran.took_ms());
            let text = format!("expected an end within {}, the run took {took}", within.value);
            found.push(self.failing(within.span, text));
        }
        found
    }

    fn judge_order(&self, order: &Order, story: &Story) -> Vec<Failing> {
        let (first, then) = (&order.first.value, &order.then.value);
        let span = order.first.span.max(order.then.span);
        let with_star =
            |item: Option<&str>| item.map_or_else(|| then.clone(), |item| then.replace(ANY_ITEM, item));
        let pairs: Vec<_> = story
            .paths()
            .filter_map(|path| matches(first, path).map(|item| (path.to_owned(), with_star(item))))
            .collect();
        if pairs.is_empty() {
            let text = format!("expected {first} to end before {then} begins, {first} never began");
            return vec![self.failing(span, text)];
        }
        let judge = |(first, then): &(String, String)| {
            let why = wrong_order(first, then, story)?;
            let failing =
                self.failing(span, format!("expected {first} to end before {then} begins, {}", why.0));
            Some(Failing { record: why.1, ..failing })
        };
        pairs.iter().filter_map(judge).collect()
    }

    fn judge_at_once(&self, story: &Story) -> Vec<Failing> {
        let judge = |(action, bound): &(Spanned<String>, Spanned<u32>)| {
            let (_, (most, record)) = story.most.iter().find(|(name, _)| name.to_string() == action.value)?;
            let (name, bound) = (&action.value, bound.value);
            let text = format!("expected at most {bound} of {name} at once, there were {most}");
            let failing = self.failing(action.span, text);
            (*most > bound).then_some(Failing { record: Some(*record), ..failing })
        };
        self.expect.at_once.iter().filter_map(judge).collect()
    }

    fn judge_outputs(&self, ran: &Ran) -> Vec<Failing> {
        let Some(node) = &self.expect.outputs else { return Vec::new() };
        let end = ran.records.iter().rev().find_map(|record| match &record.entry {
            Entry::Intent(Intent::End(end)) => Some(&end.outputs),
            Entry::Intent(_) | Entry::Event(_) => None,
        });
        let judge = |entry: &longhaul_model::document::Entry| {
            let (name, wanted) = (&entry.key.value, entry.value.to_json());
            let got = end.and_then(|outputs| outputs.get(name));
            let shown = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let text = format!("expected output {name} to be {wanted}, it is {shown}");
            (got != Some(&wanted)).then(|| self.failing(entry.value.span, text))
        };
        node.entries().iter().filter_map(judge).collect()
    }

    fn judge_failed(&self, ran: &Ran) -> Vec<Failing> {
        let Some(failed) = &self.expect.failed else { return Vec::new() };
        let wanted: BTreeSet<&str> = failed.value.iter().map(|path| path.value.as_str()).collect();
        let found: BTreeSet<&str> = ran.failed().map(StepPath::as_str).collect();
        if wanted == found {
            return Vec::new();
        }
        let list = |paths: &BTreeSet<&str>| match paths.len() {
            0 => "none".to_owned(),
            _ => paths.iter().copied().collect::<Vec<_>>().join(", "),
        };
        let text = format!("expected as failed steps {}, there are {}", list(&wanted), list(&found));
        vec![self.failing(failed.span, text)]
    }

    fn judge_effects(&self, ran: &Ran, layout: &Layout) -> Vec<Failing> {
        let effects = ran.world.effects().iter().filter(|(step, _)| layout.has_effect(step));
        let wrong = |span, wanted: &str, is_right: &dyn Fn(&StepPath, &Effect) -> bool| -> Vec<Failing> {
            let wrong = effects.clone().filter(|(step, effect)| !is_right(step, effect));
            let failing = |(step, effect): (&StepPath, &Effect)| {
                let text = format!("expected {step} to {wanted}, {}", in_words(Some(effect)));
                Failing { step: Some(step.clone()), ..self.failing(span, text) }
            };
            wrong.map(failing).collect()
        };
        // A scope is taken away when its graph ends; in a run that a person has to go on with that may be still to come.
        let came_once = |step: &StepPath, effect: &Effect| {
            let goes = layout.is_scope(step) && (ran.status().is_final() || !effect.there);
            effect.times_done() == 1 && effect.undone == u32::from(goes) && effect.there != goes
        };
        match &self.expect.effects {
            None => Vec::new(),
            Some(EffectsSpec::ExactlyOnce(span)) => wrong(*span, "come about exactly once", &came_once),
            Some(EffectsSpec::NoneLeft(span)) => wrong(*span, "be taken away", &|_, effect| !effect.there),
            Some(EffectsSpec::Each(each)) => {
                let judge = |(path, remains): &(_, _)| self.judge_effect(path, remains, ran);
                each.iter().flat_map(judge).collect()
            }
        }
    }

    fn judge_effect(&self, path: &Spanned<String>, remains: &Spanned<Remains>, ran: &Ran) -> Vec<Failing> {
        let effects = ran.world.effects();
        let mut found: Vec<(String, Option<&Effect>)> = effects
            .iter()
            .filter(|(step, _)| matches(&path.value, step.as_str()).is_some())
            .map(|(step, effect)| (step.to_string(), Some(effect)))
            .collect();
        if found.is_empty() {
            found.push((path.value.clone(), None));
        }
        let wrong = found.into_iter().filter(|(_, effect)| remains_of(*effect) != remains.value);
        let wanted = match remains.value {
            Remains::There => "be there",
            Remains::Undone => "come about and be taken away",
            Remains::Never => "never come about",
        };
        let text = |(step, effect): (String, Option<&Effect>)| {
            format!("expected {step} to {wanted}, {}", in_words(effect))
        };
        wrong.map(|one| self.failing(remains.span, text(one))).collect()
    }
}

fn in_word(plan: PlanSpec) -> &'static str {
    match plan {
        PlanSpec::Allowed => "allowed",
        PlanSpec::Approval => "for people to approve",
        PlanSpec::Denied => "denied",
        PlanSpec::Infeasible => "infeasible",
    }
}

fn remains_of(effect: Option<&Effect>) -> Remains {
    match effect {
        Some(effect) if effect.there => Remains::There,
        Some(effect) if effect.undone > 0 => Remains::Undone,
        Some(_) | None => Remains::Never,
    }
}

fn in_words(effect: Option<&Effect>) -> String {
    let Some(effect) = effect else { return "it never came about".to_owned() };
    let times = |number| match number {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        _ => format!("{number} times"),
    };
    let (done, undone) = (times(effect.times_done()), times(effect.undone));
    let there = if effect.there { "is there" } else { "is not there" };
    format!("it {there}: done {done}, undone {undone}")
}

/// What is wrong, and the record at which it shows.
fn wrong_order(first: &str, then: &str, story: &Story) -> Option<(String, Option<u64>)> {
    let Some(second) = story.step(then) else { return Some((format!("{then} never began"), None)) };
    match story.step(first)?.ended {
        Some(ended) if ended < second.began => None,
        Some(_) => Some((format!("{then} began first"), Some(second.began))),
        None => Some((format!("{first} never ended"), Some(second.began))),
    }
}
