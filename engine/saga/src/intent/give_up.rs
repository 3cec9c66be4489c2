//! A run that gives itself up.

use serde::{Deserialize, Serialize};

/// Nothing further is started; what has not passed its pivot is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveUp {
    /// Why.
    pub reason: String,
}
