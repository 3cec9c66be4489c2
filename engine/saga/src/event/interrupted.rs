//! The controller was asked to stop.

use serde::{Deserialize, Serialize};

/// The controller stopped on request. Nothing is given up: the run can be resumed. No decision depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupted {}
