//! For those who let people write whole scripts in the same language: the functions of expressions on an engine of their own,
//! and the way of values in and out.
//!
//! Scripts see Rhai's own types here, so whoever uses this is pinned to the version of Rhai that expressions have.

use rhai::{Dynamic, Engine};
use serde_json::Value;

use crate::{Scope, engine, facts, functions, quantities, value};

/// Gives an engine what expressions have: Rhai's pure packages, functions of lists and texts, moments, durations, sizes and
/// rates, and `now()`; besides them `hour`, `minute` and `weekday` of a moment, in UTC. What it carries out ends within the
/// operations that [`at`] gives it. A map that a closure sees from around it is a copy there.
pub fn register(to: &mut Engine) {
    engine::register_packages(to);
    engine::count_operations(to);
    // The view is a map, and the counters and lists that a script fills are not.
    engine::read_what_closures_share(to, Dynamic::is_map);
    functions::register(to);
    quantities::register(to);
    quantities::register_clock(to);
}

/// Carries something out for which `now()` is this time, in so many operations at most. They are counted over all calls of
/// closures, which Rhai's own bound is not.
pub fn at<T>(now_unix_ms: u64, operations: u64, carry_out: impl FnOnce() -> T) -> T {
    let scope = Scope { now_unix_ms: Some(now_unix_ms), ..Scope::default() };
    facts::with(&scope, || engine::bounded(operations, carry_out))
}

/// A JSON value as scripts see it.
pub fn into_script(value: &Value) -> Dynamic {
    value::to_dynamic(value)
}

/// A script's value as JSON.
///
/// # Errors
/// The kind of the value, such as `a function`.
pub fn out_of_script(value: Dynamic) -> Result<Value, &'static str> {
    value::from_dynamic(value)
}
