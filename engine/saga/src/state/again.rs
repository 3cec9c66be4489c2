//! Going on with a graph that was undone in part: an operator says that it will go now.

use super::{FrameEnd, FrameId, Mode, NodeId, Saga, State};
use crate::Work;

impl Saga {
    /// What is in effect stays, and everything else runs once more, under new keys where it was undone.
    pub(super) fn go_on_again(&mut self, id: FrameId) {
        let frame = self.frame_mut(id);
        // A written undo has used the number after an effect's own.
        (frame.mode, frame.wind, frame.incarnation) = (Mode::Forward, false, frame.incarnation + 2);
        for node in self.frame(id).nodes.clone() {
            self.begin_again(node);
        }
        self.touch(id);
    }

    fn begin_again(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        match &node.state {
            State::Failed(_) | State::Undone if !node.items.is_empty() => self.go_on_inside(id),
            State::Failed(_) | State::Skipped(_) => node.state = State::Waiting,
            State::Undone => {
                node.state = State::Waiting;
                node.incarnation += 2;
                (node.attempt, node.outputs, node.handle) = (0, None, None);
            }
            State::Kept => node.state = State::Done,
            State::Waiting
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

    fn go_on_inside(&mut self, id: NodeId) {
        if self.node(id).workflow().is_some() {
            return self.lift_workflow(id, Work::Forward);
        }
        self.node_mut(id).state = State::Items(Work::Forward);
        self.run_items_again(id);
        for item in self.node(id).items.clone() {
            if self.frame(item).mode == Mode::Ended(FrameEnd::Partial) {
                self.go_on_again(item);
            }
        }
        self.settle_items(id);
    }
}
