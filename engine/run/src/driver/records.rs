//! A run's own records, for the actions that read them.

use std::path::PathBuf;

use longhaul_model::ids::RunId;
use longhaul_step::{Error, ErrorClass, RunRecords};
use serde_json::Value;

use crate::Reader;

/// Reads the journal anew at every call: what an action reads is durable.
pub(super) struct JournalRecords {
    directory: PathBuf,
    run: RunId,
}

impl JournalRecords {
    pub(super) fn new(directory: PathBuf, run: RunId) -> Self {
        Self { directory, run }
    }
}

impl RunRecords for JournalRecords {
    fn records(&self) -> Result<Vec<Value>, Error> {
        let internal = |error: &dyn std::fmt::Display| {
            Error::new(ErrorClass::Internal, format!("reading the run's records: {error}"))
        };
        let stored = Reader::open(&self.directory).and_then(|reader| reader.stored(&self.run));
        let stored = stored.map_err(|error| internal(&error))?;
        let value = |stored: crate::journal::Stored| serde_json::to_value(stored.header);
        stored.into_iter().map(value).collect::<Result<_, _>>().map_err(|error| internal(&error))
    }
}
