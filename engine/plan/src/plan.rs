//! The plan itself. It is written into a run's first record, so its form is part of the journal's version.

use std::fmt;

use longhaul_expr::{Expression, Template};
use longhaul_model::action::{ActionName, Effects};
use longhaul_model::ids::StepId;
use longhaul_model::plugin::PluginPin;
use longhaul_model::policy::Verdict;
use longhaul_model::units::Time;
use serde::{Deserialize, Serialize};

use crate::policies::Policy;
use crate::resources::{Claim, Resource};

/// Which workflow a run is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowPin {
    /// The workflow's name.
    pub name: String,
    /// The workflow's version.
    pub version: String,
    /// SHA-256 of the resolved document, in hex.
    pub sha256: String,
    /// The file it was read from, as the operator named it; for messages only.
    pub file: String,
}

/// A checked workflow with its inputs bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What it was made from.
    pub workflow: WorkflowPin,
    /// Every input, defaults filled in, checked against its schema.
    pub inputs: serde_json::Map<String, serde_json::Value>,
    /// The time after which the run is given up: what has not passed its pivot by then is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Expression>,
    /// What its steps share, in file order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// The plugins that it uses, and those of the workflows that its steps run, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginPin>,
    /// The policies that hold for everything in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
    /// What they said about it before the run; nothing before they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The steps.
    pub graph: Graph,
    /// What the run puts out when it has succeeded, in file order.
    pub outputs: Vec<(String, Template)>,
    /// Steps that run when the run did not succeed, after what had to be undone was.
    #[serde(default, skip_serializing_if = "Graph::is_empty")]
    pub on_failure: Graph,
    /// Steps that run at the end, whatever the outcome.
    pub always: Graph,
}

/// Steps and the edges between them, in topological order; file order among steps that are free of each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// The steps. A step's `needs` name only steps that stand before it.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The id of the wait that a deadline is, beside the ids of the steps.
    pub const DEADLINE: &str = "deadline";
    /// The id of the question that a policy asks about the plan; of a second one, with `_2` behind it.
    pub const PLAN_APPROVAL: &str = "plan_approval";
    /// The same of the question whether what was done may be undone.
    pub const UNDO_APPROVAL: &str = "undo_approval";
}

impl Graph {
    /// Whether it has no steps.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The step of that id.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }
}

/// A node of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its id within the graph.
    pub id: StepId,
    /// The steps of the same graph that come before: written ones and those that it reads.
    pub needs: Vec<StepId>,
    /// Why it waits for each of them, at least one reason for each. None at all in a plan out of a journal that is older
    /// than this field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// Says whether it runs; without one it runs when what it needs succeeded or was passed over.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expression>,
    /// The line of the file at which it stands, counted from 1; for messages only.
    pub line: u32,
    /// What it does.
    pub body: Body,
}

/// Why a step waits for another one; for people, the order follows from `needs` alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Reason {
    /// The file says so.
    Written {
        /// The other step.
        needs: StepId,
        /// The line that names it, counted from 1.
        line: u32,
    },
    /// It, or a step inside it, reads what the other one puts out.
    Reads {
        /// The other step.
        needs: StepId,
        /// What is read, as the author would write it: `steps.tunnel.outputs.rtt_us`.
        field: String,
        /// The line of the expression, counted from 1.
        line: u32,
    },
}

impl Reason {
    /// The step that is waited for.
    #[must_use]
    pub fn needs(&self) -> &StepId {
        match self {
            Self::Written { needs, .. } | Self::Reads { needs, .. } => needs,
        }
    }
}

/// In a few words: `written in line 12`, `reads steps.tunnel.outputs.rtt_us in line 14`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written { line, .. } => write!(f, "written in line {line}"),
            Self::Reads { field, line, .. } => write!(f, "reads {field} in line {line}"),
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// Uses an action.
    Action(Box<ActionStep>),
    /// Runs a graph once for each item of a list.
    Foreach(Foreach),
    /// Runs another workflow.
    Workflow(Box<Child>),
    /// Lets time pass.
    Wait(Wait),
    /// Asks somebody outside.
    Question(Box<Question>),
}

impl Body {
    /// The action that it uses.
    #[must_use]
    pub fn uses(&self) -> Option<&ActionName> {
        match self {
            Self::Action(action) => Some(&action.uses),
            Self::Foreach(_) | Self::Workflow(_) | Self::Wait(_) | Self::Question(_) => None,
        }
    }

    /// What it leaves behind by itself.
    #[must_use]
    pub fn effects(&self) -> Effects {
        match self {
            Self::Action(action) => action.effects,
            Self::Foreach(_) | Self::Workflow(_) | Self::Wait(_) | Self::Question(_) => Effects::None,
        }
    }

    /// What it does in a word: `action`, `foreach`, `workflow`, `wait`, `approve` or `signal`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Action(_) => "action",
            Self::Foreach(_) => "foreach",
            Self::Workflow(_) => "workflow",
            Self::Wait(_) => "wait",
            Self::Question(question) => match question.asks {
                Asks::Approval { .. } => "approve",
                Asks::Signal { .. } => "signal",
            },
        }
    }
}

/// What somebody is asked, and what happens when nobody answers. The answer may come while no controller runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Who has to answer what.
    pub asks: Asks,
    /// How long the answer may take, from the moment the step's turn comes; as long as it takes if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// What becomes of the step then.
    pub on_expire: OnExpire,
    /// The outputs that are read with a default, for the case that there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defaulted: Vec<String>,
}

/// Who has to answer what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asks {
    /// People: yes or no.
    Approval {
        /// Each of them has one of these roles.
        roles: Vec<String>,
        /// How many have to say yes, at least 1. One no is enough for a no.
        quorum: u32,
        /// Whether the person who started the run does not count.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forbid_self: bool,
        /// What they are told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Template>,
    },
    /// Whoever may: that something has happened.
    Signal {
        /// The signal's name.
        name: StepId,
        /// JSON Schema of what comes with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<serde_json::Value>,
    },
}

/// What becomes of a step whose question nobody answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExpire {
    /// It fails.
    Fail,
    /// It is passed over, and so is what needs it.
    Skip,
    /// The run goes on as if the signal had come.
    Continue,
}

/// A workflow that runs as a step. Its graphs see its own inputs and steps, and nothing of the workflow around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// What it was made from. The lines of its steps are those of its file.
    pub workflow: WorkflowPin,
    /// What its inputs are given, expressions not yet evaluated: they see what the step sees.
    pub with: Template,
    /// Its inputs, in file order.
    pub inputs: Vec<ChildInput>,
    /// The time after which it is given up: what has not passed its pivot by then is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Expression>,
    /// What its steps share. One that a workflow around declares as well is that one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Its own policies, which hold for everything in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
    /// Its steps.
    pub graph: Graph,
    /// What it puts out when it has succeeded, in file order.
    pub outputs: Vec<(String, Template)>,
    /// Its steps that run when it did not succeed, after what had to be undone was.
    #[serde(default, skip_serializing_if = "Graph::is_empty")]
    pub on_failure: Graph,
    /// Its steps that run at its end, whatever the outcome.
    #[serde(default, skip_serializing_if = "Graph::is_empty")]
    pub always: Graph,
    /// The outputs that are read with a default, for the case that there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defaulted: Vec<String>,
}

/// An input of a workflow that runs as a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildInput {
    /// Its name.
    pub name: String,
    /// Its JSON Schema, its default among it.
    pub schema: serde_json::Value,
}

/// How long time passes. It goes on passing while no controller runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// So long, from the moment the step's turn comes; evaluates to a duration.
    For(Template),
    /// Until then; evaluates to a time.
    Until(Template),
}

/// A step that uses an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionStep {
    /// The action.
    pub uses: ActionName,
    /// Its parameters, expressions not yet evaluated.
    pub with: Template,
    /// What it leaves behind, as its action declares.
    pub effects: Effects,
    /// How long one attempt may take.
    pub timeout: Time,
    /// How long it may give no sign of life before its outcome counts as unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Time>,
    /// What is tried again, and when.
    pub retry: Retry,
    /// Whether a run only goes forward once this step has started: its file says so, or nothing can undo it and no other pivot
    /// stands before it.
    pub pivot: bool,
    /// Whether it is undone at the end of its graph also when all went well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scope: bool,
    /// What undoes it, if not the action's own `compensate`.
    pub compensate: Option<Compensation>,
    /// How to find out whether its effect is there, if its action cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<WrittenProbe>,
    /// What it takes of the resources while it is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// The outputs that are read with a default, for the case that there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defaulted: Vec<String>,
}

/// An undo that the workflow's author wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compensation {
    /// The action that undoes.
    pub uses: ActionName,
    /// Its parameters; may read inputs, item variables and the outputs of the step it undoes.
    pub with: Template,
    /// What must hold for it to be run.
    pub requires: Vec<Expression>,
}

/// A look at the world that the workflow's author wrote: an action without effects, and what its outputs mean. The expressions
/// see them as `found`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrittenProbe {
    /// The action that looks.
    pub uses: ActionName,
    /// Its parameters; may read what the step itself may read.
    pub with: Template,
    /// True if the effect is there.
    pub done: Expression,
    /// True if nothing of it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Expression>,
    /// True if a part of it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Expression>,
    /// What the step puts out if its effect is there.
    pub outputs: Template,
}

/// What is tried again, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How many attempts there are in all, at least 1.
    pub max_attempts: u32,
    /// How long to wait between two.
    pub backoff: Backoff,
    /// The error classes that are tried again, by name.
    pub errors: Vec<String>,
}

/// Waiting times between attempts: `initial * factor^n`, at most `max`, and with jitter a random part of that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// Before the second attempt.
    pub initial: Time,
    /// What each further wait is multiplied by.
    pub factor: u32,
    /// The longest wait.
    pub max: Time,
    /// Whether the wait is drawn between nothing and its full length (`full`), or is its full length (`none`).
    pub full_jitter: bool,
}

/// A graph run once for each item of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Foreach {
    /// Evaluates to the list. An item is its own key if it is text, else it must have a `key`.
    pub over: Expression,
    /// The name under which the nested steps see their item.
    pub variable: String,
    /// How many items may run at once, at least 1.
    pub max_parallel: u32,
    /// What one item's failure means for the others.
    pub on_item_failure: OnItemFailure,
    /// The nested steps.
    pub graph: Graph,
}

/// What one item's failure means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnItemFailure {
    /// No further item starts, the step fails.
    Fail,
    /// The others go on.
    Continue,
}
