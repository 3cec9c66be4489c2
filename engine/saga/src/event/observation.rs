//! Somebody outside the run saw something.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A fact from outside: a client's gaps, an action's estimate. Accepted at any time; no decision depends on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Who saw it: `client`, `observer`, `wan`, `verdict`, `estimate`.
    pub source: String,
    /// What was seen, in the source's own form.
    pub payload: Value,
}
