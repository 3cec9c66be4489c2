//! Why a QEMU could not be started, found or stopped.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_model::ids::VmId;

use crate::error::Class;
use crate::qmp;

/// Why a QEMU could not be started, found or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A QEMU of this VM lives here already.
    #[error("start {vm}: process {pid} runs it")]
    AlreadyRuns {
        /// The VM.
        vm: VmId,
        /// The process.
        pid: u32,
    },
    /// QEMU ended without a complaint before it could be used, as one that is killed does; it left nothing behind.
    #[error("start {vm}: QEMU ended without a word, as if it was killed")]
    Ended {
        /// The VM.
        vm: VmId,
    },
    /// QEMU cannot be started like this and says why; it left nothing behind.
    #[error("start {vm}: {said}")]
    Refused {
        /// The VM.
        vm: VmId,
        /// The end of QEMU's log.
        said: String,
    },
    /// QEMU was not ready in time and was ended.
    #[error("start {vm} within {deadline:?}")]
    Late {
        /// The VM.
        vm: VmId,
        /// The bound.
        deadline: Duration,
    },
    /// QEMU did not end, not even when killed.
    #[error("end process {pid} of {vm} within {deadline:?}")]
    Survived {
        /// The VM.
        vm: VmId,
        /// The process.
        pid: u32,
        /// The bound.
        deadline: Duration,
    },
    /// A unix socket's path has to fit into 107 bytes; the state folder's name is too long.
    #[error("use {} as a socket: its path is longer than 107 bytes", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// A file or a process cannot be read or written.
    #[error("use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU did not do as it was asked.
    #[error("ask QEMU")]
    Qmp(#[from] qmp::Error),
}

impl Error {
    /// What kind of failure it is: whether QEMU may start when it is tried again as it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::AlreadyRuns { .. } => Class::Conflict,
            Self::Refused { .. } => Class::Permanent,
            Self::PathTooLong { .. } => Class::Precondition,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Class::Precondition,
                _ => Class::Transient,
            },
            Self::Ended { .. } | Self::Late { .. } | Self::Survived { .. } => Class::Transient,
            Self::Qmp(error) => error.class(),
        }
    }
}
