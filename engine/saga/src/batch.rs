//! What goes into a journal together, and what is carried out once it is there: the same for every driver.

use longhaul_model::ids::{RunId, StepPath};
use longhaul_plan::Plan;

use crate::event::{Controller, Mirroring, Replanned, RunCreated, RunResumed, Starter};
use crate::{Command, Entry, Event, Fold, Illegal, Saga};

/// Entries to be recorded together, in order, and what may be carried out after that.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The time that all its records bear, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// Events, each followed by the intents that follow from it.
    pub entries: Vec<Entry>,
    /// Everything that is asked for, intents included.
    pub commands: Vec<Command>,
}

impl Batch {
    /// An empty one of this time.
    #[must_use]
    pub fn new(at_unix_ms: u64) -> Self {
        Self { at_unix_ms, entries: Vec::new(), commands: Vec::new() }
    }

    /// Adds an event and what the saga answered to it.
    pub fn add(&mut self, event: Event, commands: Vec<Command>) {
        self.entries.push(Entry::Event(event));
        for command in &commands {
            if let Command::Intent(intent) = command {
                self.entries.push(Entry::Intent(intent.clone()));
            }
        }
        self.commands.extend(commands);
    }
}

impl Saga {
    /// The saga of a new run, and what is recorded first.
    ///
    /// # Errors
    /// As [`Saga::create`].
    pub fn open(
        run: RunId,
        plan: Plan,
        controller: Controller,
        started_by: Option<Starter>,
        mirror: Option<Mirroring>,
        at_unix_ms: u64,
    ) -> Result<(Self, Batch), Illegal> {
        let name = started_by.as_ref().map(|starter| starter.name.clone());
        let created = RunCreated { controller, started_by, mirror, plan: plan.clone() };
        let (saga, commands) = Self::create(run, plan, name, at_unix_ms)?;
        let mut batch = Batch::new(at_unix_ms);
        batch.add(Event::RunCreated(Box::new(created)), commands);
        Ok((saga, batch))
    }
}

impl Fold {
    /// Takes the run up again: what was decided and not recorded any more comes first. A run that is over is not taken
    /// up; then the batch holds at most that.
    ///
    /// # Errors
    /// Never for a fold of a run that is not over.
    pub fn resume(self, controller: Controller, at_unix_ms: u64) -> Result<(Saga, Batch), Illegal> {
        let is_over = self.saga.status().is_final();
        let resumed = (!is_over).then_some(Event::RunResumed(RunResumed { controller }));
        self.take_up(resumed, at_unix_ms)
    }

    /// Takes the run up again with another plan, or with the one it has, to run these steps once more. It may be over.
    ///
    /// # Errors
    /// When something stands against it: [`Saga::look_at_replan`] says what.
    pub fn replan(
        self,
        controller: Controller,
        plan: Option<Plan>,
        again: Vec<StepPath>,
        at_unix_ms: u64,
    ) -> Result<(Saga, Batch), Illegal> {
        let replanned = Replanned { controller, plan: plan.map(Box::new), again };
        self.take_up(Some(Event::Replanned(Box::new(replanned))), at_unix_ms)
    }

    fn take_up(self, event: Option<Event>, at_unix_ms: u64) -> Result<(Saga, Batch), Illegal> {
        let Self { mut saga, unrecorded } = self;
        let entries = unrecorded.into_iter().map(Entry::Intent).collect();
        let mut batch = Batch { entries, ..Batch::new(at_unix_ms) };
        if let Some(event) = event {
            let commands = saga.apply(&event, at_unix_ms)?;
            batch.add(event, commands);
        }
        Ok((saga, batch))
    }
}
