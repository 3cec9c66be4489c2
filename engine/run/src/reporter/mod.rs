//! What people and scripts see of a run: folds over its records, the same for a live run and for a replay.
//!
//! A reporter prints from records alone, with times relative to the run's start, so a replay of the same records
//! prints the same bytes. Progress comes on top where there is a terminal; it leaves nothing behind. A reporter that
//! cannot write stays silent: it must never stop a run.

mod json;
mod lines;
mod terminal;

pub use json::JsonLines;
pub use lines::Lines;
use longhaul_model::ids::StepPath;
use longhaul_saga::Record;
use longhaul_step::Progress;

pub use terminal::Terminal;

use crate::journal::Recording;

/// Somebody who shows a run.
pub trait Reporter: Send {
    /// A record that was shown before: it is only remembered.
    fn past(&mut self, record: &Record);

    /// A record that became durable.
    fn record(&mut self, record: &Record);

    /// How far a step is. May be lost, and leaves nothing behind.
    fn progress(&mut self, step: &StepPath, progress: &Progress) {
        let _ = (step, progress);
    }
}

/// Everybody who shows a run.
#[derive(Default)]
pub struct Reporters(Vec<Box<dyn Reporter>>);

impl Reporters {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    #[must_use]
    pub fn with(mut self, reporter: impl Reporter + 'static) -> Self {
        self.0.push(Box::new(reporter));
        self
    }

    /// Shows a record of a run that somebody else drives.
    pub fn record(&mut self, record: &Record) {
        self.0.iter_mut().for_each(|reporter| reporter.record(record));
    }

    /// Shows how far a step of a run is that somebody else drives.
    pub fn recorded(&mut self, recording: &Recording) {
        let (Ok(step), Ok(progress)) =
            (recording.step.parse::<StepPath>(), serde_json::from_value(recording.payload.clone()))
        else {
            return;
        };
        self.progress(&step, &progress);
    }

    pub(crate) fn past(&mut self, record: &Record) {
        self.0.iter_mut().for_each(|reporter| reporter.past(record));
    }

    pub(crate) fn progress(&mut self, step: &StepPath, progress: &Progress) {
        self.0.iter_mut().for_each(|reporter| reporter.progress(step, progress));
    }
}

/// Shows a run again from its records.
pub fn replay(records: &[Record], reporters: &mut Reporters) {
    records.iter().for_each(|record| reporters.record(record));
}
