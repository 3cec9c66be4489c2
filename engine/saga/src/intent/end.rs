//! The run stops here.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Status;

/// What a person has to do about one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// The step.
    pub step: StepPath,
    /// What is the case and why.
    pub problem: String,
    /// What to do, as commands and sentences.
    pub action: String,
}

/// How the run ended. One that needs an operator may be resumed after this record; the others are over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// How.
    pub status: Status,
    /// The workflow's outputs, if the run reached them.
    pub outputs: Map<String, Value>,
    /// Why outputs are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_error: Option<String>,
    /// What an operator has to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<Instruction>,
}
