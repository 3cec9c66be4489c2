//! Why a command has no answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Class;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the socket, or it cannot be reached: the command was not sent.
    #[error("connect to QMP at {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection ended before the answer: the command may have been carried out.
    #[error("get an answer to `{command}`: the QMP connection was lost")]
    Lost {
        /// The command.
        command: String,
    },
    /// No answer in time: the command may have been carried out.
    #[error("get an answer to `{command}` within {deadline:?}")]
    Deadline {
        /// The command.
        command: String,
        /// The bound.
        deadline: Duration,
    },
    /// QEMU refused the command; nothing was done.
    #[error("carry out `{command}`: {description} ({class})")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's error class, such as `GenericError`.
        class: String,
        /// QEMU's words.
        description: String,
    },
    /// The other end does not speak QMP.
    #[error("understand the QMP greeting at {}", path.display())]
    Greeting {
        /// The socket.
        path: PathBuf,
    },
    /// An answer lacks what the command promises.
    #[error("find `{field}` in the answer to `{command}`")]
    Answer {
        /// The command.
        command: String,
        /// What is missing.
        field: &'static str,
    },
}

impl Error {
    /// What kind of failure it is: only what this QEMU cannot do at all is refused again.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { command, class, .. }
                if command.starts_with("migrate-set-") || class == "CommandNotFound" =>
            {
                Class::Permanent
            }
            Self::Refused { .. } | Self::Connect { .. } | Self::Lost { .. } | Self::Deadline { .. } => {
                Class::Transient
            }
            Self::Greeting { .. } | Self::Answer { .. } => Class::Permanent,
        }
    }

    /// Whether the command certainly had no effect.
    #[must_use]
    pub fn had_no_effect(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Refused { .. } | Self::Greeting { .. } => true,
            Self::Lost { .. } | Self::Deadline { .. } | Self::Answer { .. } => false,
        }
    }
}
