//! Controllers that die, and those that come after them.

use longhaul_saga::{Batch, Entry, Saga, Status};

use super::{Halt, Simulation, Thing};

/// From the death of a controller to the next one: long enough for effects under way to end meanwhile, and short enough for
/// others not to.
const AWAY_MS: u64 = 10_000;

/// How long an operator needs to repair what a run stopped for.
const REPAIR_MS: u64 = 600_000;

impl Simulation<'_> {
    /// The controller dies: what has no record is forgotten, and the world goes on.
    pub(super) fn crash(&mut self) {
        self.leave(AWAY_MS, false);
    }

    /// An operator takes a stopped run up again.
    pub(super) fn be_resumed(&mut self) {
        self.resumes -= 1;
        self.leave(REPAIR_MS, true);
    }

    fn leave(&mut self, away_ms: u64, by_operator: bool) {
        self.saga = None;
        self.calls.forget_all();
        self.generation += 1;
        let at = self.now_unix_ms.saturating_add(away_ms);
        self.queue.push(at, Thing::TakeOver { by_operator });
    }

    /// The next controller folds what was recorded and goes on. A run that has stopped for an operator waits for one.
    pub(super) fn take_over(&mut self, by_operator: bool) -> Result<(), Halt> {
        if self.records.is_empty() {
            return self.open();
        }
        let unfoldable = |error| Halt::Broken(format!("the records do not fold: {error}"));
        let fold = Saga::fold(&self.records).map_err(unfoldable)?;
        let (saga, mut batch) = if fold.saga.status() == Status::Running || by_operator {
            fold.resume(self.controller(), self.now_unix_ms)?
        } else {
            let entries = fold.unrecorded.into_iter().map(Entry::Intent).collect();
            (fold.saga, Batch { entries, ..Batch::new(self.now_unix_ms) })
        };
        self.saga = Some(saga);
        self.have_decided(&mut batch)?;
        self.commit(batch);
        self.read_inbox()
    }
}
