//! What a frame does next.

use super::{Effect, Frame, FrameEnd, FrameId, Mode, NodeId, Saga, State, Stuck};
use crate::intent::Refuse;
use crate::{Failure, Intent, Work};

impl Saga {
    pub(super) fn advance(&mut self, id: FrameId) {
        match self.frame(id).mode {
            Mode::Queued | Mode::Ended(_) => {}
            Mode::Forward => self.go_forward(id),
            Mode::Draining => self.drain(id),
            Mode::Unwinding => self.unwind(id),
        }
    }

    fn go_forward(&mut self, id: FrameId) {
        if self.must_unwind(id) {
            return self.start_draining(id);
        }
        for node in self.frame(id).nodes.clone() {
            if matches!(self.node(node).state, State::Waiting) && self.is_ready(node) {
                self.begin(node);
            }
        }
        // A step whose expressions could not be evaluated has failed by now.
        if self.must_unwind(id) {
            return self.start_draining(id);
        }
        let nodes = &self.frame(id).nodes;
        if !nodes.iter().any(|node| self.node(*node).is_active()) {
            self.end_forward(id);
        }
    }

    fn is_ready(&self, node: NodeId) -> bool {
        self.node(node).needs.iter().all(|need| self.node(*need).is_done())
    }

    /// Nothing is under way and nothing more can start.
    fn end_forward(&mut self, id: FrameId) {
        let all_done = self.frame(id).nodes.iter().all(|node| self.node(*node).is_done());
        if all_done || self.frame(id).always {
            return self.end_frame(id, FrameEnd::Succeeded);
        }
        for node in self.frame(id).nodes.clone() {
            self.stop_for_operator(node);
        }
        self.end_frame(id, FrameEnd::Stuck { unwinding: false });
    }

    /// A node that failed where only forward is allowed waits for an operator.
    fn stop_for_operator(&mut self, id: NodeId) {
        let (failure, effect) = match &self.node(id).state {
            State::Failed(failure) => (failure.clone(), None),
            State::Partial(failure, effect) => (failure.clone(), Some(effect.clone())),
            State::Waiting
            | State::Working(_)
            | State::Items(_)
            | State::Done
            | State::Undoing(_)
            | State::Undone
            | State::Kept
            | State::Stuck(_) => return,
        };
        self.node_mut(id).state = State::Stuck(Stuck { failure, work: Work::Forward, effect });
    }

    /// Whether this frame has to turn round, and may.
    fn must_unwind(&self, id: FrameId) -> bool {
        let frame = self.frame(id);
        if frame.always || self.is_forward_only(frame) {
            return false;
        }
        let asked = frame.wind || (self.cancelled && frame.item.is_none());
        let failed = |node: &&NodeId| self.node(**node).has_failed() && !self.stands_on_pivot(**node);
        asked || frame.nodes.iter().any(|node| failed(&node))
    }

    /// Whether a pivot of this very frame has happened, or may have.
    pub(super) fn is_forward_only(&self, frame: &Frame) -> bool {
        frame.nodes.iter().any(|node| self.is_passed_pivot(*node))
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
            State::Waiting | State::Failed(_) | State::Undoing(_) | State::Undone | State::Items(_) => false,
        }
    }

    /// Whether a pivot in this node, or in an item of it, has happened, or may have.
    pub(super) fn holds_pivot(&self, id: NodeId) -> bool {
        self.is_passed_pivot(id) || self.node(id).items.iter().any(|item| self.is_past(*item))
    }

    /// Whether a pivot in this frame or below it has happened, or may have.
    pub(super) fn is_past(&self, id: FrameId) -> bool {
        self.frame(id).nodes.iter().any(|node| self.holds_pivot(*node))
    }

    /// Whether something this node needs, directly or not, holds a pivot that has happened.
    fn stands_on_pivot(&self, id: NodeId) -> bool {
        self.node(id).needs.iter().any(|need| self.holds_pivot(*need) || self.stands_on_pivot(*need))
    }

    fn start_draining(&mut self, id: FrameId) {
        self.set_mode(id, Mode::Draining);
        for node in self.frame(id).nodes.clone() {
            self.call_off(node);
        }
        self.touch(id);
    }

    fn drain(&mut self, id: FrameId) {
        let nodes = &self.frame(id).nodes;
        if nodes.iter().any(|node| self.node(*node).is_active()) {
            return;
        }
        if nodes.iter().any(|node| self.node(*node).is_stuck()) {
            return self.end_frame(id, FrameEnd::Stuck { unwinding: true });
        }
        self.set_mode(id, Mode::Unwinding);
        self.unwind(id);
    }

    /// Begins a node whose needs are met.
    fn begin(&mut self, id: NodeId) {
        if self.node(id).foreach().is_some() {
            return self.begin_items(id);
        }
        let Some(action) = self.node(id).action() else { return };
        let (uses, with) = (action.uses.clone(), action.with.clone());
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
        self.frame_mut(id).mode = mode;
        if let Some(item) = &self.frame(id).item {
            let owner = item.owner;
            self.settle_items(owner);
        }
    }

    pub(super) fn end_frame(&mut self, id: FrameId, end: FrameEnd) {
        self.set_mode(id, Mode::Ended(end));
        if self.frame(id).item.is_none() {
            self.graph_ended(id, end);
        }
    }
}
