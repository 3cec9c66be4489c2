//! The waits of a run, at most one per step. One task waits for all of them: a wait costs no task and no wake-up of its own.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_model::ids::StepPath;

/// Waits, by when they end.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(u64, u64, StepPath)>,
    of_step: BTreeMap<StepPath, (u64, u64)>,
}

impl Timers {
    /// Lets a step wait until this time, in Unix milliseconds, in place of what it waits for now.
    pub(super) fn set(&mut self, step: StepPath, timer: u64, until_unix_ms: u64) {
        self.forget(&step);
        self.due.insert((until_unix_ms, timer, step.clone()));
        self.of_step.insert(step, (until_unix_ms, timer));
    }

    /// Nobody waits for this any more.
    pub(super) fn forget(&mut self, step: &StepPath) {
        if let Some((until, timer)) = self.of_step.remove(step) {
            self.due.remove(&(until, timer, step.clone()));
        }
    }

    /// When the next one ends.
    pub(super) fn next_unix_ms(&self) -> Option<u64> {
        self.due.first().map(|(until, _, _)| *until)
    }

    /// The next one that has ended by this time.
    pub(super) fn take(&mut self, now_unix_ms: u64) -> Option<(StepPath, u64)> {
        let (until, timer, step) = self.due.pop_first()?;
        if until > now_unix_ms {
            self.due.insert((until, timer, step));
            return None;
        }
        self.of_step.remove(&step);
        Some((step, timer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits end in their order, a new one of a step replaces the one before, and a forgotten one never ends.
    #[test]
    fn waits_end_in_their_order() {
        let step = |id: &str| StepPath::root(&id.parse().unwrap());
        let mut timers = Timers::default();
        timers.set(step("a"), 1, 50);
        timers.set(step("b"), 2, 30);
        timers.set(step("c"), 3, 40);
        timers.set(step("a"), 4, 20);
        timers.forget(&step("c"));
        assert_eq!(timers.next_unix_ms(), Some(20));
        assert_eq!(timers.take(19), None);
        assert_eq!(timers.take(60), Some((step("a"), 4)));
        assert_eq!(timers.take(60), Some((step("b"), 2)));
        assert_eq!((timers.take(60), timers.next_unix_ms()), (None, None));
    }
}
