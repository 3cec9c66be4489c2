//! From records to a state: the same function for resume, replay and every check.

use std::collections::VecDeque;
use std::fmt;

use crate::{Command, Entry, Event, Illegal, Intent, Record, Saga};

/// Records that do not make a run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FoldError {
    /// There is no record.
    #[error("the run has no records")]
    Empty,
    /// The first record does not create a run.
    #[error("the first record is not `run_created`")]
    NotCreated,
    /// An event does not fit.
    #[error("record {seq}, {event}, does not fit what came before it")]
    Illegal {
        /// The record.
        seq: u64,
        /// What it says, and where the workflow has the step that it is about.
        event: Box<Side>,
        /// Why.
        #[source]
        source: Illegal,
    },
    /// The recorded decision is not the one that this saga makes.
    #[error(
        "record {seq} holds another decision than this saga makes: recorded {recorded}, derived {}",
        derived.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
    )]
    Diverged {
        /// The record.
        seq: u64,
        /// What the journal says.
        recorded: Box<Side>,
        /// What follows from the records before it, if anything does.
        derived: Option<Box<Side>>,
    },
}

/// One side of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The kind of the record, and its payload as JSON.
    pub says: String,
    /// Where the workflow has the step that it is about, as `FILE:LINE`.
    pub at: Option<String>,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.says)?;
        self.at.as_ref().map_or(Ok(()), |at| write!(f, " ({at})"))
    }
}

impl Side {
    fn of(entry: &Entry, saga: &Saga) -> Self {
        let (kind, payload) = entry.split();
        // Every record that is about a step names it so.
        let step = payload["step"].as_str().and_then(|step| step.parse().ok());
        let at = step.and_then(|step| saga.place_of(&step));
        Self { says: format!("{kind} {payload}"), at }
    }
}

/// A folded run.
#[derive(Debug, Clone)]
pub struct Fold {
    /// The state after the last record.
    pub saga: Saga,
    /// Decisions that follow from the records but were not recorded any more: the controller died in between. A driver
    /// that goes on records these first.
    pub unrecorded: Vec<Intent>,
}

impl Saga {
    /// The state that these records of one run lead to.
    ///
    /// # Errors
    /// When they do not follow from each other.
    pub fn fold(records: &[Record]) -> Result<Fold, FoldError> {
        let (first, rest) = records.split_first().ok_or(FoldError::Empty)?;
        let Entry::Event(Event::RunCreated(created)) = &first.entry else {
            return Err(FoldError::NotCreated);
        };
        let illegal = |source| {
            let says = "run_created".to_owned();
            FoldError::Illegal { seq: first.seq, event: Box::new(Side { says, at: None }), source }
        };
        let started_by = created.started_by.as_ref().map(|starter| starter.name.clone());
        let (saga, commands) =
            Self::create(first.run.clone(), created.plan.clone(), started_by, first.at_unix_ms)
                .map_err(illegal)?;
        let mut fold = Fold { saga, unrecorded: intents(commands).collect() };
        fold.go_on(rest)?;
        Ok(fold)
    }
}

impl Fold {
    /// The state after these records, which come behind those that it was made of.
    ///
    /// # Errors
    /// When they do not follow.
    pub fn go_on(&mut self, records: &[Record]) -> Result<(), FoldError> {
        let mut unrecorded = VecDeque::from(std::mem::take(&mut self.unrecorded));
        for record in records {
            match &record.entry {
                Entry::Event(Event::Observation(_) | Event::Interrupted(_)) => {}
                Entry::Event(event) => {
                    if let Some(missing) = unrecorded.front() {
                        return Err(self.diverged(record, Some(missing)));
                    }
                    let commands = self.saga.apply(event, record.at_unix_ms);
                    let side = || Box::new(Side::of(&record.entry, &self.saga));
                    let illegal = |source| FoldError::Illegal { seq: record.seq, event: side(), source };
                    unrecorded.extend(intents(commands.map_err(illegal)?));
                }
                Entry::Intent(intent) => {
                    let derived = unrecorded.pop_front();
                    if derived.as_ref() != Some(intent) {
                        return Err(self.diverged(record, derived.as_ref()));
                    }
                }
            }
        }
        self.unrecorded = unrecorded.into();
        Ok(())
    }

    fn diverged(&self, record: &Record, derived: Option<&Intent>) -> FoldError {
        let side = |entry: &Entry| Box::new(Side::of(entry, &self.saga));
        let derived = derived.map(|intent| side(&Entry::Intent(intent.clone())));
        FoldError::Diverged { seq: record.seq, recorded: side(&record.entry), derived }
    }
}

fn intents(commands: Vec<Command>) -> impl Iterator<Item = Intent> {
    commands.into_iter().filter_map(|command| match command {
        Command::Intent(intent) => Some(intent),
        Command::Probe(_)
        | Command::Inquire(_)
        | Command::Observe(_)
        | Command::Wait(_)
        | Command::Decide(_) => None,
    })
}
