//! Failure classes as they cross the wire, and how a gRPC status maps to one.
//!
//! The names are those of the action contract; both ends use this one table.

use std::str::FromStr;

use tonic::{Code, Status};

/// The class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Gone by itself: try again.
    Transient,
    /// The same request will fail again.
    Permanent,
    /// Something that had to hold does not.
    Precondition,
    /// Somebody else holds what is needed.
    Conflict,
    /// The caller may not do this.
    Auth,
    /// Nobody answered.
    Unreachable,
    /// Stopped on request.
    Cancelled,
    /// A fault in Longhaul.
    Internal,
}

/// A text that names no class.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no failure class")]
pub struct UnknownClass(String);

const NAMES: [(Class, &str); 8] = [
    (Class::Transient, "transient"),
    (Class::Permanent, "permanent"),
    (Class::Precondition, "precondition"),
    (Class::Conflict, "conflict"),
    (Class::Auth, "auth"),
    (Class::Unreachable, "unreachable"),
    (Class::Cancelled, "cancelled"),
    (Class::Internal, "internal"),
];

impl Class {
    /// The name in `Failure.class`.
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

    /// The class a refused or failed call belongs to.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        match status.code() {
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Self::Internal,
            Code::Cancelled => Self::Cancelled,
            Code::InvalidArgument | Code::NotFound | Code::OutOfRange | Code::Unimplemented => {
                Self::Permanent
            }
            Code::DeadlineExceeded | Code::Unavailable => Self::Unreachable,
            Code::AlreadyExists | Code::Aborted => Self::Conflict,
            Code::PermissionDenied | Code::Unauthenticated => Self::Auth,
            Code::ResourceExhausted => Self::Transient,
            Code::FailedPrecondition => Self::Precondition,
        }
    }

    /// The status an agent answers with; [`Class::of`] gives the class back.
    #[must_use]
    pub fn status(self, message: impl Into<String>) -> Status {
        let code = match self {
            Self::Transient => Code::ResourceExhausted,
            Self::Permanent => Code::InvalidArgument,
            Self::Precondition => Code::FailedPrecondition,
            Self::Conflict => Code::Aborted,
            Self::Auth => Code::PermissionDenied,
            Self::Unreachable => Code::Unavailable,
            Self::Cancelled => Code::Cancelled,
            Self::Internal => Code::Internal,
        };
        Status::new(code, message)
    }

    /// The message that stands in an operation's outcome.
    #[must_use]
    pub fn failure(self, message: impl Into<String>) -> crate::v1::Failure {
        crate::v1::Failure { class: self.as_str().to_owned(), message: message.into(), code: String::new() }
    }
}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(class, _)| *class).ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A class survives both ways over the wire: as a name and as a status.
    #[test]
    fn classes_survive_the_wire() {
        for (class, name) in NAMES {
            assert_eq!(class.as_str(), name);
            assert_eq!(name.parse::<Class>().unwrap(), class);
            assert_eq!(Class::of(&class.status("x")), class);
        }
        assert!("fatal".parse::<Class>().is_err());
    }
}
