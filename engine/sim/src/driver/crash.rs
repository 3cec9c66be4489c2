//! Controllers that die, and those that come after them.

use longhaul_model::ids::StepPath;
use longhaul_saga::{Batch, Entry, Saga, Status};

use super::{Halt, Simulation, Thing, Why};

/// From the death of a controller to the next one: long enough for effects under way to end meanwhile, and short enough for
/// others not to.
const AWAY_MS: u64 = 10_000;

/// How long an operator needs to repair what a run stopped for.
const REPAIR_MS: u64 = 600_000;

impl Simulation<'_> {
    /// The controller dies: what has no record is forgotten, and the world goes on.
    pub(super) fn crash(&mut self) {
        self.leave(AWAY_MS, Why::Crash);
    }

    /// An operator takes a stopped run up again; false if that has happened often enough.
    pub(super) fn be_resumed(&mut self) -> bool {
        if self.resumes == 0 {
            return false;
        }
        self.resumes -= 1;
        self.leave(REPAIR_MS, Why::Resumed);
        true
    }

    /// An operator has steps of a run that has come to a stop done again; false if nobody wants that, or it cannot be.
    pub(super) fn be_done_again(&mut self) -> bool {
        let Some(saga) = &self.saga else { return false };
        let steps: Vec<StepPath> = saga.steps().map(|view| view.step).collect();
        self.stops += 1;
        let Some(again) = self.setup.model.again(&steps, self.stops) else { return false };
        if saga.look_at_replan(None, &again).is_err() {
            return false;
        }
        self.leave(REPAIR_MS, Why::Again(again));
        true
    }

    fn leave(&mut self, away_ms: u64, why: Why) {
        self.saga = None;
        self.calls.forget_all();
        self.generation += 1;
        let at = self.now_unix_ms.saturating_add(away_ms);
        self.queue.push(at, Thing::TakeOver(why));
    }

    /// The next controller folds what was recorded and goes on. A run that has stopped for an operator waits for one.
    pub(super) fn take_over(&mut self, why: Why) -> Result<(), Halt> {
        if self.records.is_empty() {
            return self.open();
        }
        let unfoldable = |error| Halt::Broken(format!("the records do not fold: {error}"));
        let fold = Saga::fold(&self.records).map_err(unfoldable)?;
        let (controller, now) = (self.controller(), self.now_unix_ms);
        let (saga, mut batch) = match why {
            Why::Again(again) => fold.replan(controller, None, again, now)?,
            Why::Crash if fold.saga.status() != Status::Running => {
                let entries = fold.unrecorded.into_iter().map(Entry::Intent).collect();
                (fold.saga, Batch { entries, ..Batch::new(now) })
            }
            Why::Crash | Why::Resumed => fold.resume(controller, now)?,
        };
        self.saga = Some(saga);
        self.have_decided(&mut batch)?;
        self.commit(batch);
        self.read_inbox()
    }
}
