//! A step instance.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_model::ids::StepPath;
use longhaul_model::site::Sight;
use longhaul_plan::{ActionStep, Body, Child, Foreach, Step, StepStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::child::Within;
use super::claim::Grant;
use super::effect::Effect;
use super::frame::FrameId;
use super::pause::Paused;
use super::policy::Held;
use super::question::Open;
use super::tally::{Crowd, Part};
use crate::intent::Because;
use crate::{Failure, Observe, Work};

/// Place of a node in the saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct NodeId(pub(super) usize);

/// A step of the plan in one frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(super) path: StepPath,
    #[serde(skip, default = "super::kept::no_step")]
    pub(super) step: Arc<Step>,
    pub(super) frame: FrameId,
    /// What is counted of it.
    #[serde(skip)]
    pub(super) part: Part,
    /// Nodes of the same frame that must be done before.
    pub(super) needs: Vec<NodeId>,
    /// The frames of a foreach step's items; of a step that runs another workflow the one of its steps.
    pub(super) items: Vec<FrameId>,
    /// What is counted of the items.
    #[serde(skip)]
    pub(super) crowd: Crowd,
    /// What else there is of that workflow, once it has begun.
    pub(super) within: Option<Within>,
    pub(super) state: State,
    /// Evaluated parameters of the forward effect, once it was started.
    pub(super) params: Value,
    /// What the forward effect put out.
    pub(super) outputs: Option<Value>,
    /// What it has of what steps share, or waits for.
    pub(super) grants: Vec<Grant>,
    /// What the action gave to ask about the effect under way.
    pub(crate) handle: Option<String>,
    /// The forward effect's last attempt; 0 before the first.
    pub(super) attempt: u32,
    /// Third part of the forward effect's key.
    pub(super) incarnation: u32,
    /// It waits for its turn again, and a part of its effect is there.
    pub(super) is_half_done: bool,
    /// It goes on when policies, and people whom they want asked, say so.
    pub(super) held: Option<Box<Held>>,
    /// It goes on when this was looked at.
    pub(super) looking: Option<Observe>,
    /// What was seen of sites for the decision before which it stands.
    pub(super) sights: BTreeMap<String, Sight>,
    /// They have said that it may begin.
    pub(super) is_admitted: bool,
    /// It is done, and they have said no to it.
    pub(super) objection: Option<Failure>,
    /// It is undone before the run goes on with another plan, and runs again then.
    #[serde(skip)]
    pub(super) runs_again: bool,
}

/// How a step instance stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum State {
    Waiting,
    /// Its turn has come, and what it claims is not free yet.
    Claiming,
    /// The step's own effect is under way.
    Working(Box<Effect>),
    /// Time passes.
    Paused(Paused),
    /// Somebody outside is asked.
    Asking(Box<Open>),
    /// The items of a foreach step, or the steps of another workflow, are under way, forward or back.
    Items(Work),
    Done,
    /// It was passed over.
    Skipped(Because),
    /// It certainly left nothing behind.
    Failed(Failure),
    /// It failed and left a part of itself behind.
    Partial(Failure, Box<Effect>),
    Undoing(Box<Effect>),
    Undone,
    /// Done, and not undone in an unwind because it cannot or must not be.
    Kept,
    /// Only a person can say how it goes on.
    Stuck(Stuck),
}

/// What an operator has to decide or repair.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stuck {
    pub(super) failure: Failure,
    pub(super) work: Work,
    /// The effect that a resume asks about first; none if nothing was started.
    pub(super) effect: Option<Box<Effect>>,
}

impl State {
    pub(super) fn as_str(&self) -> &'static str {
        self.status().as_str()
    }

    fn status(&self) -> StepStatus {
        match self {
            Self::Waiting | Self::Claiming => StepStatus::Waiting,
            Self::Working(_) | Self::Paused(_) | Self::Asking(_) | Self::Items(Work::Forward) => {
                StepStatus::Running
            }
            Self::Done => StepStatus::Succeeded,
            Self::Skipped(_) => StepStatus::Skipped,
            Self::Failed(_) => StepStatus::Failed,
            Self::Partial(..) => StepStatus::Partial,
            Self::Undoing(_) | Self::Items(Work::Undo) => StepStatus::Undoing,
            Self::Undone => StepStatus::Undone,
            Self::Kept => StepStatus::Kept,
            Self::Stuck(_) => StepStatus::NeedsOperator,
        }
    }
}

impl Node {
    /// The effect under way.
    pub(crate) fn effect(&self) -> Option<&Effect> {
        match &self.state {
            State::Working(effect) | State::Undoing(effect) => Some(effect),
            State::Waiting
            | State::Claiming
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Done
            | State::Skipped(_)
            | State::Failed(_)
            | State::Partial(..)
            | State::Undone
            | State::Kept
            | State::Stuck(_) => None,
        }
    }

    pub(super) fn effect_mut(&mut self) -> Option<&mut Effect> {
        match &mut self.state {
            State::Working(effect) | State::Undoing(effect) => Some(effect),
            State::Waiting
            | State::Claiming
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Done
            | State::Skipped(_)
            | State::Failed(_)
            | State::Partial(..)
            | State::Undone
            | State::Kept
            | State::Stuck(_) => None,
        }
    }

    /// The timer that is waited for.
    pub(super) fn timer(&self) -> Option<u64> {
        if let Some(held) = &self.held {
            return held.open.as_ref().and_then(|open| open.timer);
        }
        match &self.state {
            State::Paused(paused) => Some(paused.timer),
            State::Asking(open) => open.timer,
            _ => self.effect().and_then(|effect| effect.timer),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        let is_under_way = matches!(
            self.state,
            State::Claiming
                | State::Working(_)
                | State::Undoing(_)
                | State::Items(_)
                | State::Paused(_)
                | State::Asking(_)
        );
        is_under_way || self.held.is_some() || self.looking.is_some()
    }

    /// Becomes what another node is, but for what the plan says and for what is inside it.
    pub(super) fn take_over(&mut self, other: Self) {
        let Self { path: _, step: _, frame: _, part: _, needs: _, items: _, crowd: _, within: _, .. } = other;
        let Self { state, params, outputs, grants, handle, attempt, incarnation, is_half_done, .. } = other;
        (self.state, self.params, self.outputs, self.grants) = (state, params, outputs, grants);
        (self.handle, self.attempt, self.incarnation) = (handle, attempt, incarnation);
        let Self { held, looking, sights, is_admitted, objection, runs_again, .. } = other;
        (self.is_half_done, self.held, self.looking, self.sights) = (is_half_done, held, looking, sights);
        (self.is_admitted, self.objection, self.runs_again) = (is_admitted, objection, runs_again);
    }

    /// Whether its `if` asks how steps ended.
    pub(super) fn asks(&self) -> bool {
        self.step.condition.as_ref().is_some_and(|condition| condition.asked().any)
    }

    /// Whether it runs whatever became of what it needs, before its frame turns round.
    pub(super) fn runs_always(&self) -> bool {
        self.step.condition.as_ref().is_some_and(|condition| condition.asked().always)
    }

    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.state, State::Stuck(_))
    }

    /// Whether it is undone at the end of its graph also when all went well.
    pub(super) fn is_scope(&self) -> bool {
        self.action().is_some_and(|action| action.scope)
    }

    /// What is read of a step that put nothing out: nothing, for every output that somebody reads with a default.
    pub(super) fn absent_outputs(&self) -> Value {
        let defaulted = match &self.step.body {
            Body::Action(action) => &action.defaulted,
            Body::Question(question) => &question.defaulted,
            Body::Workflow(child) => &child.defaulted,
            Body::Foreach(_) | Body::Wait(_) => return Value::Null,
        };
        if defaulted.is_empty() {
            return Value::Null;
        }
        defaulted.iter().map(|name| (name.clone(), Value::Null)).collect()
    }

    pub(super) fn action(&self) -> Option<&ActionStep> {
        match &self.step.body {
            Body::Action(action) => Some(action),
            Body::Foreach(_) | Body::Wait(_) | Body::Question(_) | Body::Workflow(_) => None,
        }
    }

    pub(super) fn workflow(&self) -> Option<&Child> {
        match &self.step.body {
            Body::Action(_) | Body::Foreach(_) | Body::Wait(_) | Body::Question(_) => None,
            Body::Workflow(child) => Some(child),
        }
    }

    pub(super) fn foreach(&self) -> Option<&Foreach> {
        match &self.step.body {
            Body::Action(_) | Body::Wait(_) | Body::Question(_) | Body::Workflow(_) => None,
            Body::Foreach(foreach) => Some(foreach),
        }
    }
}
