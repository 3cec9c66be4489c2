//! Why a fact could not be read or made durable.

use std::path::PathBuf;

use longhaul_model::ids::{RunId, VmId};
use longhaul_wire::failure::Class;

use super::epoch::Epoch;
use super::vms::Role;

/// Why a fact could not be read or made durable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be opened.
    #[error("open the facts at {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database was written by a newer agent.
    #[error("read facts of version {found}: this agent knows up to {known}")]
    Newer {
        /// The version in the file.
        found: u32,
        /// The newest this agent reads.
        known: u32,
    },
    /// Whether the fact is on disk is unknown. The agent has to stop.
    #[error("make a fact durable")]
    Commit(#[source] rusqlite::Error),
    /// An earlier commit failed and the agent should have stopped.
    #[error("use the facts after a failed commit")]
    Closed,
    /// A row holds what no version of this program writes. The agent has to stop.
    #[error("read a fact: {what} is `{found}`")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// What it is.
        found: String,
    },
    /// The database refuses a query.
    #[error("read or write facts")]
    Sqlite(#[from] rusqlite::Error),
    /// The VM's role at this site does not allow the step. Nothing was written.
    #[error("{step} {vm} at epoch {epoch}: at this site it is {role}")]
    Role {
        /// What was to be done, such as `relinquish`.
        step: &'static str,
        /// The VM.
        vm: VmId,
        /// The epoch asked for.
        epoch: Epoch,
        /// What it is at this site.
        role: Role,
    },
    /// The epoch was used before, or is lower than one that was. Nothing was written.
    #[error("use epoch {epoch} for {vm}: {highest} was used before")]
    Stale {
        /// The VM.
        vm: VmId,
        /// The epoch asked for.
        epoch: Epoch,
        /// The highest ever used here.
        highest: Epoch,
    },
    /// Another run moves the VM. Nothing was written.
    #[error("move {vm}: run {run} of {controller} moves it")]
    Moving {
        /// The VM.
        vm: VmId,
        /// The run that holds it.
        run: RunId,
        /// Its controller: host and pid.
        controller: String,
    },
    /// A copy of the VM's disk is kept here and was not taken over for this. Nothing was written.
    #[error(
        "{step} {vm}: a copy of its disk at site {source_site} is kept here, which only a storage.prefetch step takes over"
    )]
    Kept {
        /// What was to be done, such as `start`.
        step: &'static str,
        /// The VM.
        vm: VmId,
        /// The site that has the disk.
        source_site: String,
    },
    /// No such operation.
    #[error("find operation {0}")]
    NoOperation(String),
}

impl Error {
    /// What kind of failure it is to somebody who asked for a fact.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Moving { .. } | Self::Stale { .. } => Class::Conflict,
            Self::Role { .. } | Self::Kept { .. } => Class::Precondition,
            Self::Open { .. }
            | Self::Newer { .. }
            | Self::Commit(_)
            | Self::Closed
            | Self::Corrupt { .. }
            | Self::Sqlite(_)
            | Self::NoOperation(_) => Class::Internal,
        }
    }

    /// Whether the agent has to stop: what is on disk is not known, or not understood.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Newer { .. } | Self::Commit(_) | Self::Closed => true,
            Self::Corrupt { .. } | Self::Sqlite(_) => true,
            Self::Role { .. }
            | Self::Stale { .. }
            | Self::Moving { .. }
            | Self::Kept { .. }
            | Self::NoOperation(_) => false,
        }
    }
}
