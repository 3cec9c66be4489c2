//! What functions read besides their arguments: how steps ended, what time it is in the run, and which sites are up.
//!
//! Rhai gives a native function no way to the names that the expression around it sees. What they answer from is held beside
//! the evaluation, per thread, for as long as it lasts; a value still depends on the text and the scope alone.

use std::cell::RefCell;
use std::collections::BTreeMap;

use longhaul_model::site::Sight;

use crate::Scope;

#[derive(Debug, Default)]
struct Facts {
    statuses: BTreeMap<String, String>,
    now_unix_ms: Option<u64>,
    sites: BTreeMap<String, Sight>,
    /// The first site that was asked for and not looked at.
    unseen: Option<String>,
}

thread_local! {
    /// Of the evaluation under way.
    static FACTS: RefCell<Facts> = RefCell::default();
}

/// Evaluates something whose functions answer from this scope.
pub(crate) fn with<T>(scope: &Scope, evaluate: impl FnOnce() -> T) -> T {
    with_unseen(scope, evaluate).0
}

/// The same, and the site that would have to be looked at first.
pub(crate) fn with_unseen<T>(scope: &Scope, evaluate: impl FnOnce() -> T) -> (T, Option<String>) {
    let status =
        |(id, step): (&String, &serde_json::Value)| Some((id.clone(), step["status"].as_str()?.to_owned()));
    let statuses = scope.steps.iter().filter_map(status).collect();
    let (now_unix_ms, sites) = (scope.now_unix_ms, scope.sites.clone());
    let around = FACTS.replace(Facts { statuses, now_unix_ms, sites, unseen: None });
    let value = evaluate();
    (value, FACTS.replace(around).unseen)
}

/// What was seen of a site; that it was asked for is noted if nothing was.
pub(crate) fn sight_of(site: &str) -> Option<Sight> {
    FACTS.with_borrow_mut(|facts| {
        let seen = facts.sites.get(site).cloned();
        if seen.is_none() && facts.unseen.is_none() {
            facts.unseen = Some(site.to_owned());
        }
        seen
    })
}

/// How a step of the scope ended.
pub(crate) fn status_of(id: &str) -> Option<String> {
    FACTS.with_borrow(|facts| facts.statuses.get(id).cloned())
}

/// What time it is, in Unix milliseconds; none outside a run.
pub(crate) fn now_unix_ms() -> Option<u64> {
    FACTS.with_borrow(|facts| facts.now_unix_ms)
}
