//! The calls under way, at most one of each step, and what they hear of the world.

use std::collections::BTreeMap;

use longhaul_model::ids::StepPath;
use longhaul_saga::event::{Done, Failed, HandleGiven, Probed, Undone, Unknown};
use longhaul_saga::intent::{Compensate, Start};
use longhaul_saga::{Answer, Event, Failure, Inquire, Probe, Work};

use super::{Halt, News, Simulation, Thing};
use crate::world::{Begun, OperationId};
use crate::{Asked, Ending};

/// How long a probe takes: a round trip over a long link.
const PROBE_MS: u64 = 100;

/// A call of the present controller.
#[derive(Debug, Clone)]
struct Call {
    number: u64,
    /// The operation it is about.
    id: OperationId,
    /// Whether it is the action's own `compensate`, whose end is told otherwise.
    own_undo: bool,
    /// Whether it only asks.
    probes: bool,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    by_step: BTreeMap<StepPath, Call>,
    last: u64,
}

impl Calls {
    /// Puts a call in place of the step's present one.
    fn place(&mut self, id: OperationId, own_undo: bool, probes: bool) -> u64 {
        self.last += 1;
        self.by_step.insert(id.step.clone(), Call { number: self.last, id, own_undo, probes });
        self.last
    }

    pub(super) fn forget(&mut self, step: &StepPath) {
        self.by_step.remove(step);
    }

    pub(super) fn forget_all(&mut self) {
        self.by_step.clear();
    }

    fn current(&self, step: &StepPath, number: u64) -> Option<&Call> {
        self.by_step.get(step).filter(|call| call.number == number)
    }

    /// The call that waits for this operation.
    fn waiting_for(&self, id: &OperationId) -> Option<&Call> {
        self.by_step.get(&id.step).filter(|call| call.id == *id && !call.probes)
    }
}

impl Simulation<'_> {
    pub(super) fn start(&mut self, start: &Start) {
        let Start { step, work, uses, incarnation, attempt, params, claims, heartbeat: _ } = start;
        let id =
            OperationId { step: step.clone(), work: *work, incarnation: *incarnation, attempt: *attempt };
        let call = self.calls.place(id.clone(), false, false);
        let news = News::Handle { attempt: *attempt };
        self.queue.push(self.now_unix_ms, Thing::News { step: step.clone(), call, news });
        if *work == Work::Forward {
            self.share(step, claims);
        }
        let time = self.world.times(step, *work) + 1;
        let at_unix_ms = self.now_unix_ms;
        let asked = Asked { step, work: *work, uses, own_undo: false, params, time, at_unix_ms };
        self.ask(id, call, &asked);
    }

    pub(super) fn compensate(&mut self, undo: &Compensate) {
        let Compensate { step, uses, params, outputs: _, incarnation, attempt, count: _ } = undo;
        let (work, step) = (Work::Undo, step.clone());
        let id = OperationId { step, work, incarnation: *incarnation, attempt: *attempt };
        let call = self.calls.place(id.clone(), true, false);
        // An action's own undo knows the key, as agents do.
        self.world.stop_doing(&undo.step, self.now_unix_ms);
        let time = self.world.times(&undo.step, work) + 1;
        let at_unix_ms = self.now_unix_ms;
        let asked = Asked { step: &undo.step, work, uses, own_undo: true, params, time, at_unix_ms };
        self.ask(id, call, &asked);
    }

    fn ask(&mut self, id: OperationId, call: u64, asked: &Asked<'_>) {
        match self.world.meets(&id) {
            Begun::UnderWay => {}
            Begun::Over => {
                let thing = Thing::News { step: id.step, call, news: News::Ended };
                self.queue.push(self.now_unix_ms, thing);
            }
            Begun::Anew(plan) => {
                let behaviour = self.setup.fault.strike(asked, self.setup.model.behaviour(asked));
                self.world.begin(&id, &behaviour, self.now_unix_ms);
                let at = self.planned_end(&id, behaviour.takes_ms, behaviour.moves);
                self.queue.push(at, Thing::End { id, plan });
            }
        }
    }

    pub(super) fn ask_to_stop(&mut self, step: &StepPath) {
        let Some(call) = self.calls.by_step.get(step).filter(|call| !call.probes) else { return };
        let id = call.id.clone();
        if let Some(plan) = self.world.stop(&id) {
            self.queue.push(self.now_unix_ms, Thing::End { id, plan });
        }
    }

    pub(super) fn probe(&mut self, probe: &Probe) {
        let Probe { step, work, uses: _, params: _, incarnation, attempt } = probe;
        let id =
            OperationId { step: step.clone(), work: *work, incarnation: *incarnation, attempt: *attempt };
        let call = self.calls.place(id, false, true);
        let thing = Thing::News { step: step.clone(), call, news: News::Answer };
        self.queue.push(self.now_unix_ms.saturating_add(PROBE_MS), thing);
    }

    /// The planned end of an operation has come.
    pub(super) fn end(&mut self, id: &OperationId, plan: u64) -> Result<(), Halt> {
        if !self.world.end(id, plan, self.now_unix_ms) {
            return Ok(());
        }
        let came_about = matches!(self.world.ended(id), Some(Ending::Done(_)));
        if came_about && !self.struck && self.setup.fault.repeats(&id.step, id.work) {
            self.struck = true;
            self.world.hide(id);
            self.crash();
            return Ok(());
        }
        match self.calls.waiting_for(id).cloned() {
            Some(call) => self.tell(&call),
            None => Ok(()),
        }
    }

    pub(super) fn hear(&mut self, step: &StepPath, number: u64, news: News) -> Result<(), Halt> {
        let Some(call) = self.calls.current(step, number).cloned() else { return Ok(()) };
        match news {
            News::Ended => self.tell(&call),
            News::Handle { attempt } => {
                let handle = format!("{step}/{}/{attempt}", call.id.incarnation);
                let (step, work) = (step.clone(), call.id.work);
                self.apply(Event::HandleGiven(HandleGiven { step, work, attempt, handle }))
            }
            News::Answer => {
                let (answer, draw_permille) = (self.world.probe(&call.id), self.draw_permille());
                let (step, work) = (step.clone(), call.id.work);
                self.apply(Event::Probed(Probed { step, work, answer, found: None, draw_permille }))
            }
        }
    }

    /// What a step's own probe finds is the answer to what nobody else could tell.
    pub(super) fn find_out(&mut self, inquire: &Inquire, generation: u64) -> Result<(), Halt> {
        let awaited = self.saga.as_ref().is_some_and(|saga| saga.inquires(inquire));
        if generation != self.generation || !awaited {
            return Ok(());
        }
        let Inquire { step, incarnation, attempt, .. } = inquire;
        let (incarnation, attempt, work) = (*incarnation, *attempt, Work::Forward);
        let id = OperationId { step: step.clone(), work, incarnation, attempt };
        let found = self.world.found(&id).cloned();
        let nothing = || Answer::CannotTell(Failure::new("unreachable", "nothing says what its probe finds"));
        let answer = found.as_ref().map_or_else(nothing, |found| inquire.conclude(found));
        let (step, draw_permille) = (step.clone(), self.draw_permille());
        self.apply(Event::Probed(Probed { step, work, answer, found, draw_permille }))
    }

    /// Tells the saga how the operation that a call waits for has ended.
    fn tell(&mut self, call: &Call) -> Result<(), Halt> {
        let Some(ending) = self.world.ended(&call.id).cloned() else { return Ok(()) };
        let (step, work) = (call.id.step.clone(), call.id.work);
        let event = match (ending, call.own_undo) {
            (Ending::Done(_), true) => Event::Undone(Undone { step }),
            (Ending::Done(outputs), false) => Event::Done(Done { step, work, outputs }),
            // An own undo has two ends, not three: it may be called again.
            (Ending::Failed(failure), _) | (Ending::Unknown { failure, .. }, true) => {
                self.failed(step, work, failure)
            }
            (Ending::Unknown { failure, .. }, false) => Event::Unknown(Unknown { step, work, failure }),
        };
        self.apply(event)
    }

    fn failed(&mut self, step: StepPath, work: Work, failure: Failure) -> Event {
        let draw_permille = self.draw_permille();
        Event::Failed(Failed { step, work, failure, draw_permille })
    }

    fn draw_permille(&mut self) -> u32 {
        self.rng.u32(0..=1_000)
    }
}
