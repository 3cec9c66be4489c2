//! Why an operation failed, in the classes that cross the wire.

pub(crate) use longhaul_wire::failure::Class;
use longhaul_wire::v1;

/// A failure of something the agent was asked to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub(crate) class: Class,
    message: String,
    /// Whether something may have been left behind.
    pub(crate) unknown: bool,
}

impl Error {
    /// A failure of this class that certainly left nothing behind. The message says what, where, why and what to do.
    pub(crate) fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), unknown: false }
    }

    /// A failure after which nobody knows what was left behind.
    pub(crate) fn unknown(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), unknown: true }
    }

    /// The same failure, after something has happened that may be left behind.
    pub(crate) fn after_effects(self) -> Self {
        Self { unknown: true, ..self }
    }

    /// Something of this machine that had to work did not: the failure's whole chain becomes the message.
    pub(crate) fn internal(doing: &str, cause: &dyn std::error::Error) -> Self {
        Self::new(Class::Internal, format!("{doing}: {}", chain(cause)))
    }

    /// The failure as it stands in an operation.
    pub(crate) fn failure(&self) -> v1::Failure {
        self.class.failure(&self.message)
    }

    /// The failure as the answer to a call.
    pub(crate) fn status(&self) -> tonic::Status {
        self.class.status(&self.message)
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
