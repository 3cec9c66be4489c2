//! Drives one run after another: commands to calls, answers to events, events to records.
//!
//! One task owns the saga; every call and every timer is a task of its own that sends news to it. News of a call that
//! has been replaced is dropped, so a late answer can never be taken for one of a later attempt.

mod calls;
mod effect;
mod estimate;
mod looping;
mod mail;
mod records;
mod timers;

use std::sync::Arc;

use longhaul_model::ids::{RunId, StepPath};
use longhaul_plan::Plan;
use longhaul_saga::event::{Mirroring, Starter};
use longhaul_saga::{Entry, Event, Illegal, Record, Saga, Status};
use longhaul_step::policy::{Host, NoHost};
use longhaul_step::{Lookout, NoLookout, Registry};

use crate::journal::TakenUp;
use crate::mirror::{Mirror, NoMirror};
use crate::statement::{NoNotary, Notary};
use crate::{Clock, Control, Journal, Reporters, SystemClock, journal};
use looping::Loop;

/// What can stop a driver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal failed.
    #[error("keep the journal")]
    Journal(#[from] journal::Error),
    /// The saga refused an event: a bug on our side.
    #[error("go on with run `{run}`")]
    Illegal {
        /// The run.
        run: RunId,
        /// Why.
        #[source]
        source: Illegal,
    },
    /// A run of that id is in the journal.
    #[error("start run `{0}`: it is in the journal already")]
    Exists(RunId),
    /// The run has ended.
    #[error("resume run `{run}`: it has ended, {status}")]
    Over {
        /// The run.
        run: RunId,
        /// How it ended.
        status: Status,
    },
}

impl Error {
    /// Whether the process has to stop: what is durable is not known any more.
    #[must_use]
    pub fn must_stop(&self) -> bool {
        matches!(self, Self::Journal(error) if error.must_stop())
    }
}

/// How the driver left a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It came to this end. [`Status::NeedsOperator`] can be resumed.
    At(Status),
    /// The driver was asked to stop; the run can be resumed.
    Interrupted,
}

/// Drives runs.
#[derive(Clone)]
pub struct Driver {
    journal: Journal,
    registry: Registry,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    notary: Arc<dyn Notary>,
    policies: Arc<dyn Host>,
    lookout: Arc<dyn Lookout>,
    mirror: Arc<dyn Mirror>,
    mirroring: Option<Mirroring>,
    keep_every: usize,
}

/// A state is kept after so many records at the earliest: reading them takes some 50 ms.
const KEEP_EVERY: usize = 10_000;

impl Driver {
    /// A driver on the machine's clock.
    #[must_use]
    pub fn new(journal: Journal, registry: Registry) -> Self {
        let (clock, notary, policies) = (Arc::new(SystemClock), Arc::new(NoNotary), Arc::new(NoHost));
        let (lookout, keep_every) = (Arc::new(NoLookout), KEEP_EVERY);
        let (mirror, mirroring, seed) = (Arc::new(NoMirror), None, None);
        Self { journal, registry, clock, seed, notary, policies, lookout, mirror, mirroring, keep_every }
    }

    /// The same on another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same with somebody who knows the signatures of people.
    #[must_use]
    pub fn with_notary(mut self, notary: Arc<dyn Notary>) -> Self {
        self.notary = notary;
        self
    }

    /// The same with somebody who carries out the scripts of policies; without, every policy denies.
    #[must_use]
    pub fn with_policies(mut self, policies: Arc<dyn Host>) -> Self {
        self.policies = policies;
        self
    }

    /// The same with somebody who looks at sites; without, no expression can ask whether one is up.
    #[must_use]
    pub fn with_lookout(mut self, lookout: Arc<dyn Lookout>) -> Self {
        self.lookout = lookout;
        self
    }

    /// The same with a way to the sites that keep records.
    #[must_use]
    pub fn with_mirror(mut self, mirror: Arc<dyn Mirror>) -> Self {
        self.mirror = mirror;
        self
    }

    /// The same that has the records of runs that it creates kept elsewhere, too.
    #[must_use]
    pub fn with_mirroring(mut self, mirroring: Option<Mirroring>) -> Self {
        self.mirroring = mirroring;
        self
    }

    /// The same that keeps a run's state beside its records after so many of them, 10,000 if nothing is said: a run is taken
    /// up from there. The state of a large run is kept more rarely.
    #[must_use]
    pub fn with_states_kept_every(mut self, records: usize) -> Self {
        self.keep_every = records;
        self
    }

    /// The same with random draws that can be repeated.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Creates a run, started by a person if that is known, and drives it.
    ///
    /// # Errors
    /// When the id is taken or the journal fails; nothing was started without its record.
    pub async fn run(
        &self,
        run: RunId,
        plan: Plan,
        started_by: Option<Starter>,
        reporters: &mut Reporters,
        control: &Control,
    ) -> Result<Ended, Error> {
        if self.journal.reader()?.knows(&run)? {
            return Err(Error::Exists(run));
        }
        let illegal = |source| Error::Illegal { run: run.clone(), source };
        let (controller, now) = (self.journal.controller(), self.clock.now_unix_ms());
        let mirroring = self.mirroring.clone();
        let opened = Saga::open(run.clone(), plan, controller, started_by, mirroring.clone(), now);
        let (saga, first) = opened.map_err(illegal)?;
        Loop::new(self, saga, 0, mirroring, reporters)?.drive(first, control).await
    }

    /// Takes a run up again: folds its records, asks about every effect whose outcome is open, and goes on. A finished
    /// step does not run again.
    ///
    /// # Errors
    /// When there is no such run, it has ended, its records do not fold, or the journal fails.
    pub async fn resume(
        &self,
        run: &RunId,
        reporters: &mut Reporters,
        control: &Control,
    ) -> Result<Ended, Error> {
        let TakenUp { fold, records, message } = self.journal.reader()?.take_up(run)?;
        records.iter().for_each(|record| reporters.past(record));
        let illegal = |source| Error::Illegal { run: run.clone(), source };
        let (saga, first) =
            fold.resume(self.journal.controller(), self.clock.now_unix_ms()).map_err(illegal)?;
        if saga.status().is_final() {
            return self.end_again(run, first.entries, saga.status(), reporters).await;
        }
        Loop::new(self, saga, message, mirroring(&records), reporters)?.drive(first, control).await
    }

    /// Takes a run up again with another plan, or with the one it has to run these steps once more; it may have ended. What is to
    /// run again is undone first.
    ///
    /// # Errors
    /// When there is no such run, something stands against it, its records do not fold, or the journal fails.
    pub async fn replan(
        &self,
        run: &RunId,
        plan: Option<Plan>,
        again: Vec<StepPath>,
        reporters: &mut Reporters,
        control: &Control,
    ) -> Result<Ended, Error> {
        let TakenUp { fold, records, message } = self.journal.reader()?.take_up(run)?;
        records.iter().for_each(|record| reporters.past(record));
        let illegal = |source| Error::Illegal { run: run.clone(), source };
        let (saga, first) =
            fold.replan(self.journal.controller(), plan, again, self.clock.now_unix_ms()).map_err(illegal)?;
        Loop::new(self, saga, message, mirroring(&records), reporters)?.drive(first, control).await
    }

    /// A run that had decided on its end, but died before that was recorded, only needs the record.
    async fn end_again(
        &self,
        run: &RunId,
        entries: Vec<Entry>,
        status: Status,
        reporters: &mut Reporters,
    ) -> Result<Ended, Error> {
        if entries.is_empty() {
            return Err(Error::Over { run: run.clone(), status });
        }
        let records = self.journal.append(run, self.clock.now_unix_ms(), entries).await?;
        records.iter().for_each(|record| reporters.record(record));
        Ok(Ended::At(status))
    }
}

/// Where a run's records are kept elsewhere: its first record says so.
fn mirroring(records: &[Record]) -> Option<Mirroring> {
    match &records.first()?.entry {
        Entry::Event(Event::RunCreated(created)) => created.mirror.clone(),
        Entry::Event(_) | Entry::Intent(_) => None,
    }
}
