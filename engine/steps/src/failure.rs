//! What an agent's refusal, or its silence, means to a run.
//!
//! A lost connection is never a failure: the agent may have carried the request out before the line went dead.

use std::error::Error as _;

use longhaul_model::ids::SiteId;
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::failure::Class;
use longhaul_wire::v1::Failure;
use tonic::Status;

use crate::agents::CallError;

/// What a gRPC status says about the call it answers.
///
/// A status with a cause was made on this side of the wire; one without came from the agent. `internal` from an agent
/// leaves open what it had done by then.
pub(crate) fn from_status(site: &SiteId, status: &Status) -> CallError {
    let class = if status.source().is_some() { Class::Unreachable } else { Class::of(status) };
    let error = Error::new(of_wire(class), format!("site {site}: {}", describe(status)));
    match class {
        Class::Unreachable | Class::Internal | Class::Cancelled => CallError::Lost(error),
        Class::Transient | Class::Permanent | Class::Precondition | Class::Conflict | Class::Auth => {
            CallError::Refused(error)
        }
    }
}

/// The status and what caused it: of a broken connection only the cause says why.
fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// An operation's failure as a run's journal has it. A class that this version does not know is taken for permanent:
/// to try again as it is would be a guess.
pub(crate) fn from_wire(site: &SiteId, failure: &Failure) -> Error {
    let class = failure.class.parse().map_or(ErrorClass::Permanent, of_wire);
    let error = Error::new(class, format!("site {site}: {}", failure.message));
    if failure.code.is_empty() { error } else { error.with_code(&failure.code) }
}

/// A class as a run's journal has it.
pub(crate) fn of_wire(class: Class) -> ErrorClass {
    match class {
        Class::Transient => ErrorClass::Transient,
        Class::Permanent => ErrorClass::Permanent,
        Class::Precondition => ErrorClass::Precondition,
        Class::Conflict => ErrorClass::Conflict,
        Class::Auth => ErrorClass::Auth,
        Class::Unreachable => ErrorClass::Unreachable,
        Class::Cancelled => ErrorClass::Cancelled,
        Class::Internal => ErrorClass::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn site() -> SiteId {
        "a".parse().unwrap()
    }

    /// A broken connection is never a refusal, whatever code it comes with; an agent's own answer is, except when it
    /// no longer knows what it did.
    #[test]
    fn only_an_answer_is_a_refusal() {
        for class in [Class::Transient, Class::Permanent, Class::Precondition, Class::Conflict, Class::Auth] {
            let CallError::Refused(error) = from_status(&site(), &class.status("no")) else {
                panic!("{class:?}")
            };
            assert_eq!((error.class.as_str(), error.message.as_str()), (class.as_str(), "site a: no"));
            let mut broken = class.status("transport error");
            broken.set_source(Arc::new(std::io::Error::other("connection reset")));
            let CallError::Lost(error) = from_status(&site(), &broken) else { panic!("{class:?}") };
            assert_eq!(error.message, "site a: transport error: connection reset");
        }
        for class in [Class::Unreachable, Class::Internal, Class::Cancelled] {
            assert!(matches!(from_status(&site(), &class.status("gone")), CallError::Lost(_)), "{class:?}");
        }
    }

    /// An agent's failure keeps its class, its text and its raw code.
    #[test]
    fn a_failure_keeps_class_and_code() {
        let failure = Failure { class: "conflict".into(), message: "vm-a moves".into(), code: "LH7".into() };
        let error = from_wire(&site(), &failure);
        assert_eq!(error.class, ErrorClass::Conflict);
        assert_eq!(error.message, "site a: vm-a moves");
        assert_eq!(error.code.as_deref(), Some("LH7"));
    }
}
