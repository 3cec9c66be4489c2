//! Why an action did not succeed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure it was; a workflow's `retry.errors` names these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorClass {
    /// May succeed if tried again as it is.
    Transient,
    /// Will fail again as it is.
    Permanent,
    /// Something that had to hold does not; somebody must change it first.
    Precondition,
    /// Somebody else holds what was asked for.
    Conflict,
    /// Not allowed, or not who it claimed to be.
    Auth,
    /// The other side did not answer.
    Unreachable,
    /// Given up because it was asked to.
    Cancelled,
    /// A bug on our side.
    Internal,
}

impl ErrorClass {
    /// The class as a workflow file spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Precondition => "precondition",
            Self::Conflict => "conflict",
            Self::Auth => "auth",
            Self::Unreachable => "unreachable",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as it is journaled and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Its class, which decides about retries.
    pub class: ErrorClass,
    /// What happened, where, and what to do: a lower-case fragment that fits after "failed: ".
    pub message: String,
    /// The device's or the peer's own code, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Error {
    /// A failure of this class.
    #[must_use]
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), code: None }
    }

    /// The same with the other side's own code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}
