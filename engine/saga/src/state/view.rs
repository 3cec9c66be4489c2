//! The state as others read it.

use longhaul_model::action::ActionName;
use longhaul_model::ids::StepPath;
use serde::Serialize;
use serde_json::Value;

use super::{Block, Node, NodeId, Saga, State};
use crate::intent::{Compensate, Start};
use crate::{Command, Intent};

/// A step instance as others read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepView {
    /// The step.
    pub step: StepPath,
    /// Its action; none of a step that uses none.
    pub uses: Option<ActionName>,
    /// What it does in a word: `action`, `foreach`, `workflow`, `wait`, `approve` or `signal`.
    pub does: &'static str,
    /// The workflow that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// `waiting`, `running`, `succeeded`, `skipped`, `failed`, `partial`, `undoing`, `undone`, `kept` or `needs_operator`.
    pub state: &'static str,
    /// The last attempt; 0 before the first.
    pub attempt: u32,
    /// What it put out.
    pub outputs: Option<Value>,
    /// Why it failed, is tried again, needs an operator, was passed over, or waits although its turn has come.
    pub failure: Option<String>,
}

impl Saga {
    /// Every step instance there is so far, sorted by path.
    pub fn steps(&self) -> impl Iterator<Item = StepView> {
        let shown = |id: &&NodeId| {
            let node = self.node(**id);
            // A deadline is shown for as long as it is ahead.
            self.frame(node.frame).block != Block::Deadline || node.is_active()
        };
        self.index.values().filter(shown).map(|id| self.view(*id))
    }

    /// Where a file has the step of that path, as `FILE:LINE`; none if there is no such step yet.
    #[must_use]
    pub fn place_of(&self, step: &StepPath) -> Option<String> {
        let node = self.node(*self.index.get(step)?);
        let home = self.home(node.frame).and_then(|home| self.node(home).workflow());
        let file = home.map_or(&self.plan.workflow.file, |child| &child.workflow.file);
        Some(format!("{file}:{}", node.step.line))
    }

    fn view(&self, id: NodeId) -> StepView {
        let node = self.node(id);
        StepView {
            step: node.path.clone(),
            uses: node.action().map(|action| action.uses.clone()),
            does: node.step.body.word(),
            workflow: node.workflow().map(|child| child.workflow.name.clone()),
            state: if node.held.is_some() && matches!(node.state, State::Done) {
                "running"
            } else {
                self.status_of(id)
            },
            attempt: node.attempt,
            outputs: node.outputs.clone(),
            failure: self.said_of(node),
        }
    }

    /// What there is to say of a node besides how it stands.
    pub(super) fn said_of(&self, node: &Node) -> Option<String> {
        if let Some(objection) = &node.objection {
            return Some(objection.to_string());
        }
        match &node.state {
            State::Claiming => Some(self.queue_of(node).to_string()),
            State::Failed(failure) | State::Partial(failure, _) => Some(failure.to_string()),
            State::Stuck(stuck) => Some(stuck.failure.to_string()),
            State::Skipped(because) => Some(because.to_string()),
            State::Working(effect) | State::Undoing(effect) => effect.last.as_ref().map(ToString::to_string),
            State::Waiting
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Done
            | State::Undone
            | State::Kept => None,
        }
    }
}

impl Command {
    /// The step it concerns; none if it concerns the run.
    #[must_use]
    pub fn step(&self) -> Option<&StepPath> {
        match self {
            Self::Intent(intent) => intent.step(),
            Self::Probe(probe) => Some(&probe.step),
            Self::Inquire(inquire) => Some(&inquire.step),
            Self::Observe(observe) => Some(&observe.step),
            Self::Wait(wait) => Some(&wait.step),
            Self::Decide(decide) => decide.step.as_ref(),
        }
    }
}

impl Intent {
    /// The step it concerns; none if it concerns the run.
    #[must_use]
    pub fn step(&self) -> Option<&StepPath> {
        match self {
            Self::Start(Start { step, .. }) | Self::Compensate(Compensate { step, .. }) => Some(step),
            Self::Queue(queue) => Some(&queue.step),
            Self::Share(share) => Some(&share.step),
            Self::Cancel(cancel) => Some(&cancel.step),
            Self::Expand(expand) => Some(&expand.step),
            Self::Enter(enter) => Some(&enter.step),
            Self::Refuse(refuse) => Some(&refuse.step),
            Self::Skip(skip) => Some(&skip.step),
            Self::Pause(pause) => Some(&pause.step),
            Self::Ask(ask) => Some(&ask.step),
            Self::Answered(answered) => Some(&answered.step),
            Self::GiveUp(_) | Self::End(_) => None,
        }
    }
}
