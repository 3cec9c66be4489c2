//! What is there outside the run: effects under way, effects that came about, and how often.
//!
//! The world is what agents are: an operation is known by its key and attempt, goes on whether or not a controller lives,
//! and asked for again it is the same operation.

use std::collections::BTreeMap;

use longhaul_model::ids::StepPath;
use longhaul_saga::{Answer, Failure, Work};
use serde_json::Value;

use crate::{Behaviour, Ending, Really};

/// Names an operation: the key and the attempt of an effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationId {
    pub(crate) step: StepPath,
    pub(crate) work: Work,
    pub(crate) incarnation: u32,
    pub(crate) attempt: u32,
}

/// A request that was made once, or more often with the same key and attempt.
#[derive(Debug, Clone)]
struct Operation {
    ending: Ending,
    over: bool,
    /// Which planned end is its real one; raised when it is begun again or asked to stop.
    plan: u64,
    /// Done, and the next controller shall find it half done, so that it asks once more.
    hidden: bool,
    /// Its effect came about before: it changes nothing any more.
    again: bool,
    /// It was asked to stop.
    stopping: bool,
    /// What the step's own probe finds when it is over.
    found: Option<Value>,
}

/// What became of one step's effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Whether it is there, in whole or in part.
    pub there: bool,
    /// How often it came about, in whole; by the incarnation of its key.
    pub done: BTreeMap<u32, u32>,
    /// How often it was taken away.
    pub undone: u32,
}

impl Effect {
    /// How often it came about in all.
    #[must_use]
    pub fn times_done(&self) -> u32 {
        self.done.values().sum()
    }
}

/// What happened to an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It came about.
    Done,
    /// A part of it came about.
    Partly,
    /// It was taken away.
    Undone,
    /// What there was of it went with the attempt that failed.
    Gone,
}

/// A change of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When, in Unix milliseconds of the virtual clock.
    pub at_unix_ms: u64,
    /// The step whose effect it is.
    pub step: StepPath,
    /// What happened to it.
    pub what: Changed,
}

/// What is there.
#[derive(Debug, Clone, Default)]
pub struct World {
    operations: BTreeMap<OperationId, Operation>,
    under_way: BTreeMap<StepPath, Vec<OperationId>>,
    times: BTreeMap<(StepPath, Work), u32>,
    pub(crate) effects: BTreeMap<StepPath, Effect>,
    changes: Vec<Change>,
    pub(crate) overlaps: Vec<(u64, StepPath)>,
    plans: u64,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It begins; its end is to be planned under this number.
    Anew(u64),
    /// It is under way already.
    UnderWay,
    /// It was over before.
    Over,
}

impl World {
    /// Every effect by its step.
    #[must_use]
    pub fn effects(&self) -> &BTreeMap<StepPath, Effect> {
        &self.effects
    }

    /// Everything that happened, in order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// When a step's effect began while another one of the same step was under way, and which.
    #[must_use]
    pub fn overlaps(&self) -> &[(u64, StepPath)] {
        &self.overlaps
    }

    /// How often an effect of this step has begun for this work.
    pub(crate) fn times(&self, step: &StepPath, work: Work) -> u32 {
        self.times.get(&(step.clone(), work)).copied().unwrap_or(0)
    }

    /// What a request with this key and attempt would meet.
    pub(crate) fn meets(&self, id: &OperationId) -> Begun {
        match self.operations.get(id) {
            None => Begun::Anew(self.plans + 1),
            Some(operation) if !operation.over => Begun::UnderWay,
            Some(operation) if operation.hidden || !operation.is_settled(id.work) => {
                Begun::Anew(self.plans + 1)
            }
            Some(_) => Begun::Over,
        }
    }

    /// Begins an operation that [`World::meets`] says begins anew.
    pub(crate) fn begin(&mut self, id: &OperationId, behaviour: &Behaviour, at_unix_ms: u64) {
        self.plans += 1;
        let under_way = self.under_way.entry(id.step.clone()).or_default();
        if !under_way.is_empty() {
            self.overlaps.push((at_unix_ms, id.step.clone()));
        }
        under_way.push(id.clone());
        // An effect that came about and is asked for again stays what it is.
        let again =
            self.operations.get(id).filter(|before| before.hidden).map(|before| before.ending.clone());
        if again.is_none() {
            *self.times.entry((id.step.clone(), id.work)).or_default() += 1;
        }
        let operation = Operation {
            again: again.is_some(),
            ending: again.unwrap_or_else(|| behaviour.ending.clone()),
            over: false,
            plan: self.plans,
            hidden: false,
            stopping: false,
            found: behaviour.found.clone(),
        };
        self.operations.insert(id.clone(), operation);
    }

    /// A planned end has come. False if the operation has ended otherwise in the meantime.
    pub(crate) fn end(&mut self, id: &OperationId, plan: u64, at_unix_ms: u64) -> bool {
        let Some(operation) = self.operations.get_mut(id) else { return false };
        if operation.over || operation.plan != plan {
            return false;
        }
        operation.over = true;
        let what = if operation.again { None } else { operation.leaves(id.work) };
        if let Some(under_way) = self.under_way.get_mut(&id.step) {
            under_way.retain(|other| other != id);
        }
        let there = self.effects.get(&id.step).is_some_and(|effect| effect.there);
        if let Some(what) = what.filter(|what| there || *what != Changed::Gone) {
            self.change(id, what, at_unix_ms);
        }
        true
    }

    fn change(&mut self, id: &OperationId, what: Changed, at_unix_ms: u64) {
        let effect = self.effects.entry(id.step.clone()).or_default();
        match what {
            Changed::Done => {
                effect.there = true;
                *effect.done.entry(id.incarnation).or_default() += 1;
            }
            Changed::Partly => effect.there = true,
            Changed::Gone => effect.there = false,
            Changed::Undone => {
                effect.there = false;
                effect.undone += 1;
            }
        }
        self.changes.push(Change { at_unix_ms, step: id.step.clone(), what });
    }

    /// Somebody asks an operation to stop: it ends at once, and leaves nothing behind unless that was there before. The
    /// number of its new end; none if there is nothing to stop.
    pub(crate) fn stop(&mut self, id: &OperationId) -> Option<u64> {
        let operation = self.operations.get_mut(id).filter(|operation| !operation.over)?;
        self.plans += 1;
        (operation.plan, operation.stopping) = (self.plans, true);
        if !operation.again {
            operation.ending = Ending::Failed(Failure::new("cancelled", "stopped as asked"));
        }
        Some(self.plans)
    }

    /// The end of an operation comes at another time than was planned. The number of its new end; none if it is over, or was
    /// asked to stop.
    pub(crate) fn put_off(&mut self, id: &OperationId) -> Option<u64> {
        let operation = self.operations.get_mut(id).filter(|it| !it.over && !it.stopping)?;
        self.plans += 1;
        operation.plan = self.plans;
        Some(self.plans)
    }

    /// Ends at once whatever brings this step's effect about: what is taken away meanwhile would come back.
    pub(crate) fn stop_doing(&mut self, step: &StepPath, at_unix_ms: u64) {
        let doing = self.under_way.get(step).into_iter().flatten().filter(|id| id.work == Work::Forward);
        for id in doing.cloned().collect::<Vec<_>>() {
            if let Some(plan) = self.stop(&id) {
                self.end(&id, plan, at_unix_ms);
            }
        }
    }

    /// How an operation ended; none if it has not.
    pub(crate) fn ended(&self, id: &OperationId) -> Option<&Ending> {
        self.operations.get(id).filter(|operation| operation.over).map(|operation| &operation.ending)
    }

    /// Lets the next look at an operation find it half done.
    pub(crate) fn hide(&mut self, id: &OperationId) {
        if let Some(operation) = self.operations.get_mut(id) {
            operation.hidden = true;
        }
    }

    /// What the step's own probe finds of an operation.
    pub(crate) fn found(&self, id: &OperationId) -> Option<&Value> {
        self.operations.get(id).filter(|operation| operation.over)?.found.as_ref()
    }

    /// Whether the effect of an operation is there.
    pub(crate) fn probe(&self, id: &OperationId) -> Answer {
        let Some(operation) = self.operations.get(id) else { return Answer::Absent };
        if !operation.over || operation.hidden {
            return Answer::Partial;
        }
        match &operation.ending {
            Ending::Unknown { failure, .. } if operation.found.is_some() => {
                Answer::CannotTell(failure.clone())
            }
            Ending::Done(outputs) | Ending::Unknown { really: Really::Done(outputs), .. } => {
                Answer::Done(outputs.clone())
            }
            Ending::Failed(_) | Ending::Unknown { really: Really::Absent, .. } => Answer::Absent,
            Ending::Unknown { really: Really::Partial, .. } => Answer::Partial,
            Ending::Unknown { really: Really::CannotTell, failure } => Answer::CannotTell(failure.clone()),
        }
    }
}

impl Operation {
    /// Whether the same request, made again, would only get the same answer.
    fn is_settled(&self, work: Work) -> bool {
        match &self.ending {
            Ending::Done(_) | Ending::Unknown { really: Really::Done(_), .. } => true,
            // An action's own undo has no attempts: the same request is the next try.
            Ending::Failed(_) => work == Work::Forward,
            Ending::Unknown { .. } => false,
        }
    }

    /// What its end changes.
    fn leaves(&self, work: Work) -> Option<Changed> {
        let whole = match work {
            Work::Forward => Changed::Done,
            Work::Undo => Changed::Undone,
        };
        match &self.ending {
            Ending::Done(_) | Ending::Unknown { really: Really::Done(_) | Really::CannotTell, .. } => {
                Some(whole)
            }
            Ending::Unknown { really: Really::Partial, .. } if work == Work::Forward => Some(Changed::Partly),
            Ending::Failed(_) | Ending::Unknown { really: Really::Absent, .. } if work == Work::Forward => {
                Some(Changed::Gone)
            }
            Ending::Failed(_) | Ending::Unknown { .. } => None,
        }
    }
}
