//! What an expression can see.

use std::collections::BTreeMap;

use longhaul_model::site::Sight;
use serde_json::{Map, Value};

/// The values behind the names in an expression. Steps that were not run have no entry; reading one is an error.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// `inputs`: the run's inputs by name.
    pub inputs: Map<String, Value>,
    /// `run`: facts of the run, such as `run.id`.
    pub run: Map<String, Value>,
    /// `steps`: by step id, each a map with at least `outputs` (and `status`; `items` of a foreach step).
    pub steps: Map<String, Value>,
    /// `now()`: the time of the event being applied, in Unix milliseconds; none outside a run.
    pub now_unix_ms: Option<u64>,
    /// `site_up()`: what was seen of each site that was looked at.
    pub sites: BTreeMap<String, Sight>,
    /// Item variables of the foreach steps around, by name.
    pub vars: Map<String, Value>,
}
