//! What a policy sees. Its form is a promise to everyone who has written a policy: fields are added, and none is taken away
//! or changed without another [`VIEW_VERSION`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Hook;

/// The version of the form.
pub const VIEW_VERSION: u32 = 1;

/// What a policy sees: always what stands first here, and of `plan`, `step` and `failure` the one that its hook is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The version of this form: 1.
    pub version: u32,
    /// When it is asked: `plan`, `before-step`, `after-step` or `on-failure`.
    pub hook: Hook,
    /// The journal's time in UTC, such as `2026-08-30T18:00:00Z`; `now()` is the same.
    pub now: String,
    /// The workflow to which the policy belongs.
    pub workflow: WorkflowView,
    /// The inputs of that workflow, by name, defaults filled in.
    pub inputs: Map<String, Value>,
    /// The run. At `plan` there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunView>,
    /// At `plan`: what is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanView>,
    /// At `before-step` and `after-step`: the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepView>,
    /// At `on-failure`: what failed, and what would be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// A workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of what its file says, in hex.
    pub sha256: String,
}

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// The person who started it; empty if nobody knows.
    pub started_by: String,
}

/// What is planned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanView {
    /// Every step, those inside others behind them, in the order of the plan.
    pub steps: Vec<PlannedStep>,
    /// When the run would be given up, as time; empty if it has no deadline.
    pub deadline: String,
}

/// A step of a plan. What is inside a `foreach` is there once, with `*` for the item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// Where it is: `preflight`, `move/*/prefetch`.
    pub path: String,
    /// Its action, such as `vm.move@1`; empty if it uses none.
    pub uses: String,
    /// What it does in a word: `action`, `foreach`, `workflow`, `wait`, `approve` or `signal`.
    pub does: String,
    /// What it leaves behind: `none`, `reversible` or `irreversible`.
    pub effects: String,
    /// Whether a run only goes forward once it has started.
    pub pivot: bool,
    /// The ids of the steps beside it that come before it.
    pub needs: Vec<String>,
}

/// A step of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepView {
    /// Where it is, with the key of its item: `move/vm-a/prefetch`.
    pub path: String,
    /// Its id: the last part of the path.
    pub id: String,
    /// Its action, such as `vm.move@1`; empty if it uses none.
    pub uses: String,
    /// What it does in a word: `action`, `foreach`, `workflow`, `wait`, `approve` or `signal`.
    pub does: String,
    /// What it leaves behind: `none`, `reversible` or `irreversible`.
    pub effects: String,
    /// Whether a run only goes forward once it has started.
    pub pivot: bool,
    /// The parameters of its action, or the inputs of its workflow, as evaluated; a map without entries of another step.
    pub params: Value,
    /// The items around it, by their variables.
    pub items: Map<String, Value>,
    /// What it put out; a map without entries at `before-step`.
    pub outputs: Value,
}

/// What failed, and what would be undone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureView {
    /// What failed so far; nothing if the run is given up because its deadline has passed.
    pub steps: Vec<Failed>,
    /// The paths of the steps whose effects are there, the last first: what is not kept by a pivot is undone.
    pub done: Vec<String>,
}

/// A step that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Its path.
    pub path: String,
    /// Its action; empty if it uses none.
    pub uses: String,
    /// The class of the error, as `retry` names it.
    pub class: String,
    /// What happened.
    pub message: String,
}
