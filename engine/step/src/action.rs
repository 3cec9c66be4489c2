//! The trait, and the values that cross it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use longhaul_model::action::{Descriptor, Finding};
use longhaul_model::ids::{RunId, StepPath};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Claims, Error};

/// Identifies one effect: `run/step-path/incarnation`. Agents and devices use it to recognise a repeated request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The run the effect belongs to.
    pub run: RunId,
    /// The step instance.
    pub step: StepPath,
    /// Raised by a compensation and by running a step anew, never by a retry.
    pub incarnation: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run, self.step, self.incarnation)
    }
}

/// What an action gave the driver to ask about a started effect; journaled before the first poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub String);

/// How far a started effect is. A recording: losing one never stops a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes done so far.
    pub bytes_done: u64,
    /// Bytes there are in all, as far as is known now.
    pub bytes_total: u64,
    /// Bytes a second over the last seconds.
    pub bytes_per_second: u64,
    /// What it is doing, in a few words, for the progress line.
    pub phase: String,
}

/// The answer to `start`.
#[derive(Debug, Clone, PartialEq)]
pub enum Started {
    /// It is under way, or was already: ask with this handle.
    Running(Handle),
    /// It certainly had no lasting effect.
    Failed(Error),
    /// It may or may not have begun.
    Unknown(Error),
}

/// How a started effect ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The effect is there; these are the outputs.
    Done(Value),
    /// It certainly had no lasting effect.
    Failed(Error),
    /// Nobody knows; the driver probes.
    Unknown(Error),
}

/// The answer to `poll`.
#[derive(Debug, Clone, PartialEq)]
pub enum Poll {
    /// Still going; the driver polls again.
    Running(Progress),
    /// Over.
    Ended(Outcome),
}

/// The answer to "has this step's effect happened?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// It has, whole; these are the outputs.
    Done(Value),
    /// Nothing of it is there: it may be started anew with a higher attempt.
    Absent,
    /// It is still under way, or part of it is there and `start` with the same key and attempt takes it up.
    Partial,
    /// The one who knows cannot be asked now.
    CannotTell(Error),
}

/// What a step is expected to need, in the same units as the report shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Time from start to done, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Bytes between the sites, headers included.
    pub wire_bytes: Option<u64>,
    /// How long the guest stands still, in milliseconds.
    pub pause_ms: Option<u64>,
}

/// The run's records as far as they are durable, for the few actions that read them (`report.write`).
pub trait RunRecords: Send + Sync {
    /// Every durable record of this run in order, in the form of `longhaul journal export`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn records(&self) -> Result<Vec<Value>, Error>;
}

/// What the driver hands to an action besides its parameters.
#[derive(Clone)]
pub struct Context {
    /// Which effect this is.
    pub key: Key,
    /// Counts from 1; raised only after an attempt that certainly left nothing behind.
    pub attempt: u32,
    /// Identifies the controller to agents: host and process.
    pub controller: String,
    /// The controller's generation: an agent refuses a lower one than it has heard of for the run.
    pub generation: u64,
    /// The run's own records.
    pub records: Arc<dyn RunRecords>,
    /// What the step claimed, and has when it begins.
    pub claims: Claims,
}

/// One thing a step can do.
///
/// Every call may be cut off at any await by the death of the process, and is then made again with the same arguments
/// by the next one.
///
/// A call begins on the task that drives the whole run, and becomes a task of its own when it waits for the first time: what
/// keeps a thread busy or blocks it belongs into one that it spawns. One that panics has an unknown outcome.
#[async_trait::async_trait]
pub trait Action: Send + Sync {
    /// What it is and what it takes; constant.
    fn descriptor(&self) -> &Descriptor;

    /// Looks for mistakes in the parameters that their schema cannot express. Pure: no I/O.
    /// `facts` are the outputs of steps that ended before, by step path.
    ///
    /// Called when a workflow is validated and planned, before anything starts; there are no facts then. A parameter that
    /// is not known yet holds what is written in the workflow, `${{ }}` and all: a finding about it is dropped, so look
    /// at each parameter by itself as far as possible.
    fn check(&self, params: &Value, facts: &Value) -> Vec<Finding> {
        let _ = (params, facts);
        Vec::new()
    }

    /// Says what it will need, from parameters and facts alone. Pure: no I/O.
    fn estimate(&self, params: &Value, facts: &Value) -> Estimate {
        let _ = (params, facts);
        Estimate::default()
    }

    /// Begins the effect, or takes up the one begun before under the same key and attempt.
    async fn start(&self, context: &Context, params: &Value) -> Started;

    /// Waits a while (at most `patience`) for news of the effect.
    async fn poll(&self, context: &Context, handle: &Handle, patience: Duration) -> Poll;

    /// Finds out whether the effect has happened, without changing anything.
    async fn probe(&self, context: &Context, params: &Value) -> Probe;

    /// Tells a started effect what it has of the claimed resources from now on: more or less than before. An action that
    /// cannot use that leaves it out.
    ///
    /// # Errors
    /// When the request could not be delivered.
    async fn adjust(&self, context: &Context, handle: &Handle, claims: &Claims) -> Result<(), Error> {
        let _ = (context, handle, claims);
        Ok(())
    }

    /// Asks a started effect to stop; its outcome still comes from `poll`.
    ///
    /// # Errors
    /// When the request could not be delivered.
    async fn cancel(&self, context: &Context, handle: &Handle) -> Result<(), Error>;

    /// Takes the effect away. Safe to call twice, and after an effect that only happened in part.
    /// `outputs` are those of the effect if it was done. `context.key` is the key of the effect that is undone.
    ///
    /// # Errors
    /// When the effect may still be there.
    async fn compensate(
        &self,
        context: &Context,
        params: &Value,
        outputs: Option<&Value>,
    ) -> Result<(), Error>;
}
