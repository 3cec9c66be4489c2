//! Going on with a graph that was undone in part: an operator says that it will go now.
//!
//! What was undone waits for its turn as it did the first time; what is inside a step goes on when the step's turn has come.

use longhaul_plan::ActionStep;

use super::{Effect, FrameEnd, FrameId, Mode, NodeId, Saga, State};
use crate::Work;

impl Saga {
    /// What is in effect stays, and everything else runs once more, under new keys where it was undone.
    pub(super) fn go_on_again(&mut self, id: FrameId) {
        let round = self.next_round(id);
        self.put_mode(id, Mode::Forward);
        let frame = self.frame_mut(id);
        (frame.wind, frame.incarnation) = (false, round);
        for node in self.frame(id).nodes.clone() {
            self.begin_again(node);
        }
        self.touch(id);
    }

    /// A number that no effect in a graph, however deep, has had. A written undo uses the number after an effect's own.
    pub(super) fn next_round(&self, id: FrameId) -> u32 {
        let (mut open, mut highest) = (vec![id], 0);
        while let Some(frame) = open.pop() {
            let frame = self.frame(frame);
            highest = highest.max(frame.incarnation);
            for node in frame.nodes.iter().map(|node| self.node(*node)) {
                highest = highest.max(node.incarnation);
                open.extend(&node.items);
            }
        }
        highest + 2
    }

    pub(super) fn begin_again(&mut self, id: NodeId) {
        let round = self.round;
        let node = self.node_mut(id);
        node.objection = None;
        match &node.state {
            State::Failed(_) | State::Skipped(_) => node.state = State::Waiting,
            State::Undone => {
                node.state = State::Waiting;
                node.incarnation = round.max(node.incarnation + 2);
                (node.attempt, node.outputs, node.handle) = (0, None, None);
            }
            State::Kept if node.items.is_empty() && node.outputs.is_none() => {
                (node.state, node.is_half_done) = (State::Waiting, true);
            }
            State::Kept => node.state = State::Done,
            State::Waiting
            | State::Claiming
            | State::Working(_)
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Done
            | State::Partial(..)
            | State::Undoing(_)
            | State::Stuck(_) => {}
        }
    }

    /// Begins an action whose effect was left half done: how much of it is there is asked first.
    pub(super) fn begin_half_done(&mut self, id: NodeId, action: &ActionStep) {
        let node = self.node_mut(id);
        node.is_half_done = false;
        let mut effect =
            Effect::forward(action.uses.clone(), node.params.clone(), node.incarnation, node.attempt);
        effect.orphaned = true;
        node.state = State::Working(Box::new(effect));
        self.probe(id);
    }

    /// Begins a step that was begun before, with what is inside it.
    pub(super) fn go_on_inside(&mut self, id: NodeId) {
        if self.node(id).workflow().is_some() {
            return self.lift_workflow(id, Work::Forward);
        }
        self.node_mut(id).state = State::Items(Work::Forward);
        self.run_items_again(id);
        for item in self.node(id).items.clone() {
            if self.frame(item).mode() == Mode::Ended(FrameEnd::Partial) {
                self.go_on_again(item);
            }
        }
        self.settle_items(id);
    }
}
