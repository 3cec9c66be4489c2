//! A foreach step's items, as evaluated.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One item of a foreach step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemKey {
    /// Its part of the step paths: from the item, never from its position.
    pub key: String,
    /// What the item variable holds.
    pub value: Value,
}

/// The items a foreach step runs over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expand {
    /// The step.
    pub step: StepPath,
    /// The items, in order.
    pub items: Vec<ItemKey>,
}
