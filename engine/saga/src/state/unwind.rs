//! Undoing a frame: one node at a time, in reverse topological order, exactly the done ones.

use std::collections::BTreeSet;

use super::compensation::Undo;
use super::{FrameEnd, FrameId, Mode, NodeId, ROOT, Saga, Stage, State};
use crate::{Failure, Work};

/// What the look at one node meant for the unwinding of its frame.
pub(super) enum Step {
    /// Nothing is left to undo here.
    Past,
    /// It is being undone.
    Wait,
    /// Only a person can say how it goes on.
    Stuck,
}

impl Saga {
    /// An operator gave the run up.
    pub(crate) fn cancel(&mut self) {
        self.cancelled = true;
        self.paused = None;
        self.turn_away();
        self.touch(ROOT);
    }

    pub(super) fn unwind(&mut self, id: FrameId) {
        let mut last = None;
        while let Some(node) = self.last_standing(id, last) {
            last = Some(node);
            match self.undo(node) {
                Step::Past => {}
                Step::Wait => return,
                Step::Stuck => return self.end_frame(id, FrameEnd::Stuck { unwinding: true }),
            }
        }
        let left = self.frame(id).nodes.iter().any(|node| self.leaves_something(*node));
        self.end_frame(id, if left { FrameEnd::Partial } else { FrameEnd::Unwound });
    }

    /// Whether a node's forward effect is not wanted any more.
    pub(super) fn is_called_off(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let turns = node.runs_again || self.frame(node.frame).mode().is_winding();
        self.is_left(node.frame) || (turns && !node.runs_always())
    }

    /// Whether an unwound frame still has an effect of this node.
    pub(super) fn leaves_something(&self, id: NodeId) -> bool {
        let partial = |item: &FrameId| self.frame(*item).mode() == Mode::Ended(FrameEnd::Partial);
        matches!(self.node(id).state, State::Kept)
            || self.node(id).is_half_done
            || self.holds_pivot(id)
            || self.node(id).items.iter().any(partial)
    }

    pub(super) fn undo(&mut self, id: NodeId) -> Step {
        if self.node(id).looking.is_some() {
            return Step::Wait;
        }
        match self.node(id).state {
            State::Waiting | State::Skipped(_) | State::Failed(_) | State::Undone | State::Kept => Step::Past,
            State::Claiming
            | State::Working(_)
            | State::Undoing(_)
            | State::Items(_)
            | State::Paused(_)
            | State::Asking(_) => Step::Wait,
            State::Stuck(_) => Step::Stuck,
            State::Done | State::Partial(..) => self.begin_undo(id),
        }
    }

    fn begin_undo(&mut self, id: NodeId) -> Step {
        if self.node(id).foreach().is_some() || self.node(id).workflow().is_some() {
            if self.is_stood_on_by_pivot(id) {
                self.node_mut(id).state = State::Kept;
                return Step::Past;
            }
            return self.undo_items(id);
        }
        let undo = self.undo_of(id);
        let stays = self.carries_pivot(id) && !self.node(id).is_scope();
        if stays || matches!(undo, Undo::Impossible) {
            self.node_mut(id).state = State::Kept;
            return Step::Past;
        }
        match undo {
            Undo::Nothing | Undo::Impossible => return Step::Past,
            Undo::Own => self.undo_own(id),
            Undo::Written(written) => self.undo_written(id, &written),
        }
        if self.node(id).is_stuck() { Step::Stuck } else { Step::Wait }
    }

    /// Takes away what stays only for as long as its graph runs.
    pub(super) fn close_scope(&mut self, id: NodeId) {
        if matches!(self.begin_undo(id), Step::Past) && matches!(self.node(id).state, State::Done) {
            self.node_mut(id).state = State::Undone;
        }
    }

    fn undo_items(&mut self, id: NodeId) -> Step {
        let items = self.undoable_items(id);
        if items.is_empty() {
            return Step::Past;
        }
        self.node_mut(id).state = State::Items(Work::Undo);
        for item in items {
            self.put_mode(item, Mode::Unwinding);
            self.touch(item);
        }
        Step::Wait
    }

    /// Whether a node holds a pivot that has happened, or is stood on by one that does: then it stays.
    fn carries_pivot(&self, id: NodeId) -> bool {
        self.holds_pivot(id) || self.is_stood_on_by_pivot(id)
    }

    fn is_stood_on_by_pivot(&self, id: NodeId) -> bool {
        let siblings = &self.frame(self.node(id).frame).carriers;
        siblings.iter().any(|other| self.holds_pivot(*other) && self.reaches(*other, id))
    }

    /// Whether `from` needs `to`, directly or not.
    pub(super) fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        self.all_needs(from).contains(&to)
    }

    /// What a node needs, directly or not. Each is looked at once, for in a graph in rows there are more ways than anybody can walk.
    pub(super) fn all_needs(&self, id: NodeId) -> BTreeSet<NodeId> {
        let (mut open, mut all) = (vec![id], BTreeSet::new());
        while let Some(node) = open.pop() {
            open.extend(self.node(node).needs.iter().filter(|need| all.insert(**need)));
        }
        all
    }

    /// Stops what a node has under way because its frame turns round.
    pub(super) fn call_off(&mut self, id: NodeId) {
        if self.node(id).runs_always() {
            return;
        }
        self.let_loose(id);
        if matches!(self.node(id).state, State::Items(Work::Forward)) {
            self.wind_items(id);
            return self.settle_inside(id);
        }
        if matches!(self.node(id).state, State::Paused(_) | State::Asking(_)) {
            self.node_mut(id).state = State::Failed(Failure::new("cancelled", "called off"));
        }
        if matches!(self.node(id).state, State::Claiming) {
            self.call_claim_off(id);
        }
        // An undo under way is that of a scope, and comes to its end.
        let forward = self.node(id).effect().filter(|effect| effect.work == Work::Forward);
        let Some(effect) = forward else { return };
        match effect.stage {
            Stage::Running => self.ask_to_stop(id, "unwind"),
            Stage::Backoff => {
                let why = effect.last.clone().expect("an effect waits to be tried again after a failure");
                self.node_mut(id).state = State::Failed(why);
            }
            Stage::Cancelling | Stage::Probing | Stage::ProbeBackoff => {}
        }
    }
}
