//! The kit that tests an action against its contract, native or plugin.
//!
//! ```text
//!   Subject: how to make the action, its parameters, how to look at the world, how to break it
//!      |
//!      v
//!   check(&subject) -> Ok, or every promise that was broken
//! ```
//!
//! Between any two calls the kit makes the action anew, as a restarted process would, so an action that keeps what it
//! knows in its own memory fails here. It judges by the world alone, never by what the action says of itself.

mod cancelling;
mod compensation;
mod drive;
mod fail_anywhere;
mod probing;
mod schemas;
mod start_twice;
mod subject;

use std::fmt;

pub use subject::{Fault, Subject};

use crate::Registry;
use longhaul_model::action::ActionName;

/// A promise that an action broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.seen)
    }
}

/// Every promise that an action broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{action}` breaks its contract: {}", .violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Violations {
    /// The action.
    pub action: ActionName,
    /// What it broke.
    pub violations: Vec<Violation>,
}

/// Holds an action to its contract.
///
/// # Errors
/// Every promise that was broken, not the first alone.
pub async fn check(subject: &dyn Subject) -> Result<(), Violations> {
    let mut violations = schemas::check(subject);
    violations.extend(start_twice::check(subject).await);
    violations.extend(fail_anywhere::check(subject).await);
    violations.extend(cancelling::check(subject).await);
    violations.extend(probing::check(subject).await);
    violations.extend(compensation::check(subject).await);
    let action = subject.action().descriptor().name.clone();
    if violations.is_empty() { Ok(()) } else { Err(Violations { action, violations }) }
}

/// The registered actions that no entry of the kit covers. A binary's test asserts that there is none.
#[must_use]
pub fn uncovered(registry: &Registry, covered: &[&str]) -> Vec<ActionName> {
    let names = registry.catalogue().iter().map(|descriptor| descriptor.name.clone()).collect::<Vec<_>>();
    names.into_iter().filter(|name| !covered.contains(&name.to_string().as_str())).collect()
}

/// A violation unless the promise was kept.
fn expect(promise: &'static str, kept: bool, seen: impl FnOnce() -> String) -> Option<Violation> {
    (!kept).then(|| Violation { promise, seen: seen() })
}
