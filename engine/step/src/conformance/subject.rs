//! What the kit needs to know of an action.

use std::sync::Arc;

use longhaul_model::ids::RunId;
use serde_json::Value;

use crate::Action;

/// Where a call breaks off. What each means in the world is the subject's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The effect fails before anything of it is there.
    Before,
    /// The effect breaks off half done.
    Half,
    /// The effect is there, and its answer is lost.
    After,
    /// Undoing breaks off.
    Undo,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 4] = [Self::Before, Self::Half, Self::After, Self::Undo];
}

/// An action under test, and the world it acts on.
#[async_trait::async_trait]
pub trait Subject: Send + Sync {
    /// The action as a freshly started process has it.
    fn action(&self) -> Arc<dyn Action>;

    /// Parameters with which it succeeds.
    fn params(&self) -> Value;

    /// Makes the world as it was before anything.
    async fn reset(&self);

    /// The run in whose name the kit asks until the next reset. A world that remembers what it was asked for, as agents do,
    /// is as it was before anything only to a run that it never heard of.
    fn run(&self) -> RunId {
        "run-conformance".parse().expect("the id is well-formed")
    }

    /// How many of the effect are in the world, whole or in part; found by looking, not by asking the action.
    async fn effects(&self) -> usize;

    /// Makes every call break there from now on; none makes them succeed again. False if the subject has no such
    /// fault; the kit then leaves out what needs it.
    async fn break_at(&self, fault: Option<Fault>) -> bool;
}
