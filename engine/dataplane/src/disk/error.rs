//! Why a disk could not be opened or asked for something.

use std::io;
use std::path::{Path, PathBuf};

use super::control::{Refusal, RefusalKind};

/// What went wrong. Nothing here is ever told to the guest; requests end in an NBD error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or socket failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The configuration contradicts itself.
    #[error("use configuration: {0}")]
    Config(String),
    /// Neither copy of the map's header is whole.
    #[error("read map header: both copies are damaged")]
    Header,
    /// The map was written by a newer program.
    #[error("read map header: its version is {0}, newer than this program")]
    Version(u32),
    /// Map, image and configuration do not belong together.
    #[error("match map and image: {0}")]
    Mismatch(String),
    /// Another process serves this disk.
    #[error("lock map: another disk server has it")]
    Locked,
    /// The disk is not in a state in which this can be done.
    #[error("change the disk: {0}")]
    State(String),
    /// A lower or equal epoch than one already seen.
    #[error("change the epoch: {asked} is not above {seen}")]
    Epoch {
        /// The epoch in the request.
        asked: u64,
        /// The highest one seen.
        seen: u64,
    },
    /// An earlier sync failed, so nothing can be promised any more.
    #[error("sync the disk: an earlier sync failed")]
    Poisoned,
    /// The disk or its map failed.
    #[error("access the disk")]
    Disk(#[from] io::Error),
}

impl Error {
    /// Wraps an I/O error with what was tried.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// What the asker at the control socket gets to read.
    pub(crate) fn refusal(&self) -> Refusal {
        let kind = match self {
            Self::Config(_) | Self::Mismatch(_) => RefusalKind::Invalid,
            Self::State(_) => RefusalKind::State,
            Self::Epoch { .. } => RefusalKind::Epoch,
            Self::Io { .. }
            | Self::Header
            | Self::Version(_)
            | Self::Locked
            | Self::Poisoned
            | Self::Disk(_) => RefusalKind::Disk,
        };
        Refusal { kind, message: with_sources(self) }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
