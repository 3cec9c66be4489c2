//! What a frame does next.

use std::sync::Arc;

use longhaul_plan::{ActionStep, Body};

use super::{Effect, Frame, FrameEnd, FrameId, Mode, NodeId, Saga, State, Stuck};
use crate::intent::Refuse;
use crate::{Failure, Intent, Work};

impl Saga {
    pub(super) fn advance(&mut self, id: FrameId) {
        match self.frame(id).mode() {
            Mode::Queued | Mode::Ended(_) => {}
            _ if self.is_left(id) => self.leave_frame(id),
            Mode::Forward => self.go_forward(id),
            Mode::Draining => self.drain(id),
            Mode::Unwinding => self.unwind(id),
            Mode::Rewinding => self.rewind_run(),
        }
    }

    fn go_forward(&mut self, id: FrameId) {
        if self.must_unwind(id) {
            return self.start_draining(id);
        }
        if !self.is_objected(id) {
            self.take_turns(id);
        }
        // A step whose expressions could not be evaluated has failed by now.
        if self.must_unwind(id) {
            return self.start_draining(id);
        }
        if !self.has_work(id) {
            self.end_forward(id);
        }
    }

    /// Nothing is under way and nothing more can start.
    fn end_forward(&mut self, id: FrameId) {
        let all_over = self.frame(id).nodes.iter().all(|node| self.is_over(*node));
        let block = self.frame(id).block;
        if (all_over || block.is_last()) && self.close_scopes(id) {
            return;
        }
        if block.is_last() {
            return self.end_frame(id, self.last_end(id, all_over));
        }
        if all_over || block.is_apart() {
            return self.end_frame(id, FrameEnd::Succeeded);
        }
        for node in self.frame(id).nodes.clone() {
            if !self.is_over(node) {
                self.stop_for_operator(node);
            }
        }
        self.end_frame(id, FrameEnd::Stuck { unwinding: false });
    }

    /// How a graph of a last block has ended: nobody goes on with it, whatever became of it.
    fn last_end(&self, id: FrameId, all_over: bool) -> FrameEnd {
        if self.frame(id).nodes.iter().any(|node| self.node(*node).is_stuck()) {
            return FrameEnd::Stuck { unwinding: false };
        }
        if all_over { FrameEnd::Succeeded } else { FrameEnd::Failed }
    }

    /// Undoes what stays only for as long as its graph runs, the last one first; false if nothing of that kind is left.
    fn close_scopes(&mut self, id: FrameId) -> bool {
        let open =
            |node: &NodeId| self.node(*node).is_scope() && matches!(self.node(*node).state, State::Done);
        let Some(last) = self.frame(id).nodes.iter().copied().rfind(open) else { return false };
        self.close_scope(last);
        self.touch(id);
        true
    }

    /// Whether the run needs nothing more of a node.
    fn is_over(&self, id: NodeId) -> bool {
        match self.node(id).state {
            State::Done => self.node(id).held.is_none() && self.node(id).objection.is_none(),
            State::Skipped(_) => true,
            State::Undone | State::Kept => self.node(id).is_scope(),
            State::Failed(_) => self.is_answered(id),
            State::Waiting
            | State::Claiming
            | State::Working(_)
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Partial(..)
            | State::Undoing(_)
            | State::Stuck(_) => false,
        }
    }

    /// A node that failed where only forward is allowed waits for an operator.
    fn stop_for_operator(&mut self, id: NodeId) {
        let (failure, effect) = match &self.node(id).state {
            State::Failed(failure) => (failure.clone(), None),
            State::Partial(failure, effect) => (failure.clone(), Some(effect.clone())),
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
            | State::Stuck(_) => return,
        };
        self.node_mut(id).state = State::Stuck(Stuck { failure, work: Work::Forward, effect });
    }

    /// Whether this frame has to turn round, and may.
    fn must_unwind(&mut self, id: FrameId) -> bool {
        let (failed, is_objected) = (self.failed_in(id), self.is_objected(id));
        let frame = self.frame(id);
        if frame.block.is_apart() || self.is_forward_only(frame) {
            return false;
        }
        let asked = frame.wind || (self.cancelled && frame.item.is_none());
        let failed_for_good = |node: &NodeId| self.is_unanswered(*node) && !self.stands_on_pivot(*node);
        let objected =
            |id: &NodeId| self.node(*id).objection.is_some() && !self.carries_or_stands_on_pivot(*id);
        asked || failed.iter().any(failed_for_good) || (is_objected && frame.nodes.iter().any(objected))
    }

    /// Whether a pivot of this very frame, or of a workflow that one of its steps runs, has happened, or may have.
    pub(super) fn is_forward_only(&self, frame: &Frame) -> bool {
        let inside = |id: NodeId| {
            let node = self.node(id);
            node.workflow().is_some() && node.items.iter().any(|it| self.is_forward_only(self.frame(*it)))
        };
        frame.carriers.iter().any(|node| self.is_passed_pivot(*node) || inside(*node))
    }

    fn is_passed_pivot(&self, id: NodeId) -> bool {
        let node = self.node(id);
        if !node.action().is_some_and(|action| action.pivot) {
            return false;
        }
        match &node.state {
            State::Working(effect) => effect.may_have_happened(),
            State::Done | State::Partial(..) | State::Kept => true,
            State::Stuck(stuck) => stuck.effect.is_some(),
            State::Waiting
            | State::Claiming
            | State::Paused(_)
            | State::Asking(_)
            | State::Skipped(_)
            | State::Failed(_)
            | State::Undoing(_)
            | State::Undone
            | State::Items(_) => false,
        }
    }

    /// Whether a pivot in this node, or in an item of it, has happened, or may have.
    pub(super) fn holds_pivot(&self, id: NodeId) -> bool {
        self.is_passed_pivot(id) || self.node(id).items.iter().any(|item| self.is_past(*item))
    }

    /// Whether a pivot in this frame or below it has happened, or may have.
    pub(super) fn is_past(&self, id: FrameId) -> bool {
        self.frame(id).carriers.iter().any(|node| self.holds_pivot(*node))
    }

    /// Whether something this node needs, directly or not, holds a pivot that has happened.
    fn stands_on_pivot(&self, id: NodeId) -> bool {
        self.all_needs(id).into_iter().any(|need| self.holds_pivot(need))
    }

    fn carries_or_stands_on_pivot(&self, id: NodeId) -> bool {
        self.holds_pivot(id) || self.stands_on_pivot(id)
    }

    fn start_draining(&mut self, id: FrameId) {
        self.set_mode(id, Mode::Draining);
        for node in self.frame(id).nodes.clone() {
            self.call_off(node);
        }
        self.touch(id);
    }

    fn drain(&mut self, id: FrameId) {
        if self.has_work(id) {
            return;
        }
        self.take_last_turns(id);
        if self.has_work(id) {
            return;
        }
        let nodes = &self.frame(id).nodes;
        if nodes.iter().any(|node| self.node(*node).is_stuck()) {
            return self.end_frame(id, FrameEnd::Stuck { unwinding: true });
        }
        if !self.may_undo(id) {
            return;
        }
        self.set_mode(id, Mode::Unwinding);
        self.unwind(id);
    }

    /// Begins a node.
    pub(super) fn begin(&mut self, id: NodeId) {
        if self.is_held_before(id) {
            return;
        }
        let step = Arc::clone(&self.node(id).step);
        match &step.body {
            Body::Foreach(_) | Body::Workflow(_) if !self.node(id).items.is_empty() => self.go_on_inside(id),
            Body::Action(action) if !action.claims.is_empty() => self.claim(id, action),
            Body::Action(action) => self.begin_effect(id, action),
            Body::Foreach(_) => self.begin_items(id),
            Body::Workflow(child) => self.begin_workflow(id, child),
            Body::Wait(wait) => self.begin_pause(id, wait),
            Body::Question(question) => self.begin_question(id, question),
        }
    }

    /// Begins what a step does that has all that it claims.
    pub(super) fn begin_effect(&mut self, id: NodeId, action: &ActionStep) {
        if self.node(id).is_half_done {
            self.begin_half_done(id, action);
        } else {
            self.begin_action(id, action);
        }
    }

    fn begin_action(&mut self, id: NodeId, action: &ActionStep) {
        let (uses, with) = (action.uses.clone(), &action.with);
        match with.evaluate(&self.scope_of(id)) {
            Ok(params) => {
                let node = self.node_mut(id);
                node.params = params.clone();
                node.attempt += 1;
                let effect = Effect::forward(uses, params, node.incarnation, node.attempt);
                node.state = State::Working(Box::new(effect));
                self.launch(id);
            }
            Err(error) => self.refuse(id, Failure::new("precondition", format!("parameters: {error}"))),
        }
    }

    /// Ends a node that was never started.
    pub(super) fn refuse(&mut self, id: NodeId, failure: Failure) {
        let step = self.node(id).path.clone();
        self.decide(Intent::Refuse(Refuse { step, work: Work::Forward, failure: failure.clone() }));
        self.node_mut(id).state = State::Failed(failure);
    }

    pub(super) fn set_mode(&mut self, id: FrameId, mode: Mode) {
        self.put_mode(id, mode);
        if let Some(item) = &self.frame(id).item {
            let owner = item.owner;
            self.settle_inside(owner);
        }
    }

    pub(super) fn end_frame(&mut self, id: FrameId, end: FrameEnd) {
        self.set_mode(id, Mode::Ended(end));
        if self.frame(id).item.is_none() {
            self.graph_ended(id, end);
        }
    }
}
