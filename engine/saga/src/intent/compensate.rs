//! Call an action's own `compensate`.

use longhaul_model::action::ActionName;
use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Take an effect away. Incarnation and attempt are those of the effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compensate {
    /// The step.
    pub step: StepPath,
    /// The action.
    pub uses: ActionName,
    /// The parameters the effect was started with.
    pub params: Value,
    /// What the effect put out; none if it only happened in part.
    pub outputs: Option<Value>,
    /// Third part of the effect's key.
    pub incarnation: u32,
    /// The effect's last attempt.
    pub attempt: u32,
    /// How often this undo was begun, this time included.
    pub count: u32,
}
