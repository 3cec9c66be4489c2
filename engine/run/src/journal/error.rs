//! What can go wrong with a journal.

use std::io;
use std::path::PathBuf;

use longhaul_model::ids::RunId;
use longhaul_saga::{FoldError, Status, Unreadable};

use super::{Broken, Lost, Owner};

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another controller works in this directory.
    #[error("another controller works in this directory: {0}")]
    Held(Owner),
    /// A file could not be used.
    #[error("use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database refused.
    #[error("{doing}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The database is not a journal.
    #[error("{} is a database, but not a journal of Longhaul's", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The records do not follow from each other.
    #[error("fold the records of run `{run}`")]
    Fold {
        /// The run.
        run: RunId,
        /// Why.
        #[source]
        source: Box<FoldError>,
    },
    /// A state that is kept is not the one that its records make.
    #[error("the state that is kept of run `{run}` at record {seq} is not the one that its records make")]
    WrongState {
        /// The run.
        run: RunId,
        /// The record.
        seq: u64,
    },
    /// The run is not over.
    #[error("run `{run}` is not over: it is {status}")]
    NotOver {
        /// The run.
        run: RunId,
        /// How it stands.
        status: Status,
    },
    /// A newer Longhaul wrote it.
    #[error("the journal has format {found}; this binary reads and writes format {known}")]
    Newer {
        /// The journal's format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A record cannot be read by this binary.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A record is not what was written.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// A value that a record names by its digest cannot be had.
    #[error("record {seq} of run `{run}` cannot be read whole")]
    Lost {
        /// The run.
        run: RunId,
        /// The record.
        seq: u64,
        /// What is wrong with it.
        #[source]
        source: Lost,
    },
    /// A value in an export is not the one that its line names.
    #[error("line {line} holds another value than it names")]
    WrongValue {
        /// The line, counted from 1.
        line: usize,
    },
    /// A value that a record names by its digest is not in the export.
    #[error("record {seq} names the value {digest}, which is not in the export")]
    NotThere {
        /// The record.
        seq: u64,
        /// The value.
        digest: String,
    },
    /// A commit failed: nobody knows what is on disk, and the process must stop.
    #[error("the journal has stopped: {why}; stop this process, then resume the run")]
    Stopped {
        /// The first failure.
        why: String,
    },
    /// There is no such run.
    #[error("there is no run `{0}` in this journal")]
    NoSuchRun(RunId),
    /// The run is there already.
    #[error("run `{0}` is in this journal already")]
    RunExists(RunId),
    /// A file is no export of a journal.
    #[error("the file is no export of a journal: its first line does not say so")]
    NoExport,
    /// A newer Longhaul wrote an export.
    #[error("the export has format {found}; this binary reads format {known}")]
    NewerExport {
        /// The file's format.
        found: u64,
        /// Ours.
        known: u32,
    },
    /// An export could not be written.
    #[error("write the export")]
    Write(#[source] io::Error),
    /// What is left after redaction is not the same run any more.
    #[error("redact the run: its decisions do not follow from what would be left")]
    Redaction(#[source] FoldError),
    /// An exported line is not a record.
    #[error("line {line} is not in the form of an export")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether the process has to stop: what is durable is not known any more.
    #[must_use]
    pub fn must_stop(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }
}

/// Names what was tried when the database refused.
pub(crate) fn database(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Database { doing, source }
}
