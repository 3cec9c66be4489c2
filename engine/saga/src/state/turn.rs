//! When a waiting node begins, and when it is passed over.
//!
//! A need is met by a step that is done, or that was passed over because its own `if` is not true. A step whose need failed
//! is passed over, and so is what needs it, unless its `if` asks how steps ended.
//!
//! **Answered failures.** `if: ${{ failed("x") }}` answers the failure of `x`: the run goes on with that step instead of
//! undoing what was done. A failure that left something behind is never answered. A step that says `always()` answers
//! nothing: it runs before its frame unwinds.

use longhaul_model::ids::StepPath;
use longhaul_plan::StepStatus;
use serde_json::Value;

use super::{FrameId, NodeId, Saga, State};
use crate::breaks::{Break, is_on};
use crate::intent::{Because, Skip};
use crate::{Failure, Intent, Work};

/// What is to become of a waiting node now.
enum Turn {
    Wait,
    Begin,
    Skip(Because),
    /// Its `if` has no value.
    Refuse(Failure),
    /// Its `if` depends on whether a site is up.
    Look(String),
}

/// How a need stands.
enum Standing {
    Open,
    Met,
    /// It ended, and does not meet the need.
    Unmet,
}

impl Saga {
    /// Begins or passes over every waiting node of a frame whose turn has come. The nodes stand in topological order, so
    /// what one of them unlocks comes behind it.
    pub(super) fn take_turns(&mut self, frame: FrameId) {
        let mut last = None;
        while let Some(node) = self.next_ready(frame, last) {
            last = Some(node);
            if self.awaits_its_turn(node) {
                let turn = self.turn(node);
                self.take_turn(node, turn);
            }
        }
    }

    /// The same in a frame that turns round: only those steps begin that run whatever became of what they need.
    pub(super) fn take_last_turns(&mut self, frame: FrameId) {
        for node in self.frame(frame).nodes.clone() {
            if self.awaits_its_turn(node) && self.node(node).runs_always() {
                let turn = self.last_turn(node);
                self.take_turn(node, turn);
            }
        }
    }

    fn awaits_its_turn(&self, id: NodeId) -> bool {
        let node = self.node(id);
        matches!(node.state, State::Waiting) && node.held.is_none() && node.looking.is_none()
    }

    fn take_turn(&mut self, id: NodeId, turn: Turn) {
        match turn {
            Turn::Wait => return,
            Turn::Look(site) => return self.look(id, Work::Forward, site),
            Turn::Begin => self.begin(id),
            Turn::Skip(because) => {
                let step = self.node(id).path.clone();
                self.decide(Intent::Skip(Skip { step, because: because.clone() }));
                self.node_mut(id).state = State::Skipped(because);
            }
            Turn::Refuse(failure) => self.refuse(id, failure),
        }
        self.look_away(id);
    }

    fn turn(&self, id: NodeId) -> Turn {
        let mut unmet = None;
        for need in &self.node(id).needs {
            match self.standing(*need, id) {
                Standing::Open => return Turn::Wait,
                Standing::Met => {}
                Standing::Unmet => unmet = unmet.or(Some(*need)),
            }
        }
        match unmet {
            Some(need) if !self.node(id).asks() => Turn::Skip(Because::Need(self.node(need).path.clone())),
            Some(_) | None => self.by_condition(id),
        }
    }

    fn last_turn(&self, id: NodeId) -> Turn {
        let comes_first = |need: &NodeId| {
            let need = self.node(*need);
            need.is_active() || (matches!(need.state, State::Waiting) && need.runs_always())
        };
        if self.node(id).needs.iter().any(comes_first) { Turn::Wait } else { self.by_condition(id) }
    }

    /// How `need` stands for the node that needs it.
    fn standing(&self, need: NodeId, needing: NodeId) -> Standing {
        match &self.node(need).state {
            State::Done if self.node(need).held.is_some() || self.node(need).objection.is_some() => {
                Standing::Open
            }
            State::Done | State::Skipped(Because::Condition(_) | Because::Late) => Standing::Met,
            State::Skipped(Because::Need(_) | Because::Lapsed) => Standing::Unmet,
            // Who answers the failure has to see it first; the others see it when it is answered.
            State::Failed(_)
                if self.is_answered(need)
                    || self.answers(needing, need)
                    || self.answers_behind(needing, need)
                    || self.in_last_block(need) =>
            {
                Standing::Unmet
            }
            State::Working(_) if is_on(Break::BeginBeforeNeeds) => Standing::Met,
            State::Waiting
            | State::Claiming
            | State::Working(_)
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Failed(_)
            | State::Partial(..)
            | State::Undoing(_)
            | State::Undone
            | State::Kept
            | State::Stuck(_) => Standing::Open,
        }
    }

    fn in_last_block(&self, id: NodeId) -> bool {
        self.frame(self.node(id).frame).block.is_last()
    }

    fn by_condition(&self, id: NodeId) -> Turn {
        let Some(condition) = &self.node(id).step.condition else { return Turn::Begin };
        let refused = |why: String| Turn::Refuse(Failure::new("precondition", format!("if: {why}")));
        let scope = self.scope_of(id);
        if let Some(site) = condition.unseen(&scope) {
            return Turn::Look(site);
        }
        match condition.evaluate(&scope) {
            Ok(Value::Bool(true)) => Turn::Begin,
            Ok(Value::Bool(false)) => Turn::Skip(Because::Condition(condition.to_string())),
            Ok(other) => refused(format!("`{condition}` is {other}, neither true nor false")),
            Err(error) => refused(error.to_string()),
        }
    }

    /// Whether the `if` of a node asks for the failure of another one beside it.
    fn answers(&self, answering: NodeId, failed: NodeId) -> bool {
        !self.stays_in_part(failed) && self.asks_for_failure(answering, failed)
    }

    /// Whether a workflow has failed, and something of it is left: that is no failure that can be answered.
    fn stays_in_part(&self, id: NodeId) -> bool {
        let node = self.node(id);
        matches!(node.state, State::Failed(_)) && node.workflow().is_some() && self.leaves_something(id)
    }

    fn asks_for_failure(&self, asking: NodeId, failed: NodeId) -> bool {
        let id = &self.node(failed).step.id;
        let condition = self.node(asking).step.condition.as_ref();
        condition.is_some_and(|condition| condition.asked().failed.iter().any(|asked| asked == id.as_str()))
    }

    /// How a node stands, in the word that expressions see: what cannot be answered is not called failed.
    pub(super) fn status_of(&self, id: NodeId) -> &'static str {
        if self.stays_in_part(id) { StepStatus::Partial.as_str() } else { self.node(id).state.as_str() }
    }

    /// The steps that never began although their `if` asks for a failure, because what failed left a part of itself; and what that is.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (&StepPath, &StepPath)> {
        let waiting = self.index.values().filter(|id| matches!(self.node(**id).state, State::Waiting));
        waiting.filter_map(|id| {
            let mut beside = self.frame(self.node(*id).frame).nodes.iter().copied();
            let failed =
                beside.find(|other| self.stays_in_part(*other) && self.asks_for_failure(*id, *other))?;
            Some((&self.node(*id).path, &self.node(failed).path))
        })
    }

    /// Whether a step that answers a failure stands behind this one, which therefore has to see it, too.
    fn answers_behind(&self, before: NodeId, failed: NodeId) -> bool {
        self.answering(failed).any(|answering| self.reaches(answering, before))
    }

    /// Whether a step has begun that answers this one's failure.
    pub(super) fn is_answered(&self, id: NodeId) -> bool {
        let begun = |state: &State| !matches!(state, State::Waiting | State::Skipped(_));
        self.answering(id).any(|node| begun(&self.node(node).state))
    }

    /// Whether nobody answers this node's failure, and nobody will.
    pub(super) fn is_unanswered(&self, id: NodeId) -> bool {
        match self.node(id).state {
            State::Failed(_) => {
                self.answering(id).all(|node| matches!(self.node(node).state, State::Skipped(_)))
            }
            State::Partial(..) => true,
            State::Waiting
            | State::Claiming
            | State::Working(_)
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Done
            | State::Skipped(_)
            | State::Undoing(_)
            | State::Undone
            | State::Kept
            | State::Stuck(_) => false,
        }
    }

    fn answering(&self, failed: NodeId) -> impl Iterator<Item = NodeId> {
        let siblings = &self.frame(self.node(failed).frame).nodes;
        siblings.iter().copied().filter(move |node| self.answers(*node, failed))
    }
}
