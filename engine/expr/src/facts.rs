//! What functions read besides their arguments: how steps ended, and what time it is in the run.
//!
//! Rhai gives a native function no way to the names that the expression around it sees. What they answer from is held beside
//! the evaluation, per thread, for as long as it lasts; a value still depends on the text and the scope alone.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Scope;

#[derive(Debug, Default)]
struct Facts {
    statuses: BTreeMap<String, String>,
    now_unix_ms: Option<u64>,
}

thread_local! {
    /// Of the evaluation under way.
    static FACTS: RefCell<Facts> = RefCell::default();
}

/// Evaluates something whose functions answer from this scope.
pub(crate) fn with<T>(scope: &Scope, evaluate: impl FnOnce() -> T) -> T {
    let status =
        |(id, step): (&String, &serde_json::Value)| Some((id.clone(), step["status"].as_str()?.to_owned()));
    let statuses = scope.steps.iter().filter_map(status).collect();
    let around = FACTS.replace(Facts { statuses, now_unix_ms: scope.now_unix_ms });
    let value = evaluate();
    FACTS.set(around);
    value
}

/// How a step of the scope ended.
pub(crate) fn status_of(id: &str) -> Option<String> {
    FACTS.with_borrow(|facts| facts.statuses.get(id).cloned())
}

/// What time it is, in Unix milliseconds; none outside a run.
pub(crate) fn now_unix_ms() -> Option<u64> {
    FACTS.with_borrow(|facts| facts.now_unix_ms)
}
