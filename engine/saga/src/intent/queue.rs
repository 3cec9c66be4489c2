//! A step waits for what it claims.

use std::fmt;

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

/// A step whose turn has come and that has to wait for its claims. Said once for each time that it comes to wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The step.
    pub step: StepPath,
    /// What it claims. Where all of it is free, steps that came before wait for it.
    pub claims: Vec<Wish>,
}

/// What a step wants of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The resource's name.
    pub resource: String,
    /// The least it begins with, as files write it: `40Mbit/s`.
    pub least: String,
    /// What is free, as files write it.
    pub free: String,
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}, of which {} is free", self.least, self.resource, self.free)
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.claims.iter().map(ToString::to_string).collect();
        write!(f, "waits for {}", all.join(" and for "))
    }
}
