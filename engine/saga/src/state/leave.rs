//! Giving a run up without undoing anything.

use super::{FrameEnd, FrameId, Mode, Node, NodeId, ROOT, Saga, Stage, State};
use crate::intent::Instruction;
use crate::{Failure, Work};
use longhaul_model::action::Effects;

impl Saga {
    /// Everything stays as it is: what is under way is asked to stop, and nothing more begins.
    pub(crate) fn leave(&mut self) {
        self.left = true;
        self.paused = None;
        self.successor = None;
        self.turn_away();
        self.close_questions();
        for index in 0..self.frames.len() {
            let id = FrameId(index);
            if self.is_left(id) && self.frame(id).mode().is_active() {
                self.touch(id);
            }
        }
        self.touch(ROOT);
    }

    /// Whether a frame is left as it is. The last blocks run all the same: they tell what has become of the run.
    pub(super) fn is_left(&self, id: FrameId) -> bool {
        self.left && self.is_in_steps(id)
    }

    /// Ends a frame once nothing in it is under way.
    pub(super) fn leave_frame(&mut self, id: FrameId) {
        for node in self.frame(id).nodes.clone() {
            self.let_go(node);
        }
        if !self.has_work(id) {
            self.end_frame(id, FrameEnd::Left);
        }
    }

    /// Stops what a node has under way, but for a pivot that may be happening and an undo: those come to their end.
    fn let_go(&mut self, id: NodeId) {
        self.let_loose(id);
        let node = self.node(id);
        let pivot = node.action().is_some_and(|action| action.pivot);
        match &node.state {
            State::Paused(_) | State::Asking(_) => {
                self.node_mut(id).state = State::Failed(Failure::new("cancelled", "called off"));
            }
            State::Claiming => self.call_claim_off(id),
            State::Items(_) => {
                for item in node.items.clone() {
                    if self.frame(item).mode() == Mode::Queued {
                        self.put_mode(item, Mode::Ended(FrameEnd::NeverRan));
                    }
                }
                self.settle_inside(id);
            }
            State::Working(effect) if effect.work == Work::Forward => match effect.stage {
                Stage::Running if !pivot => self.ask_to_stop(id, "left"),
                // It certainly left nothing behind, a pivot as well.
                Stage::Backoff => {
                    let why = effect.last.clone().expect("an effect waits to be tried again after a failure");
                    self.node_mut(id).state = State::Failed(why);
                }
                Stage::Running | Stage::Cancelling | Stage::Probing | Stage::ProbeBackoff => {}
            },
            _ => {}
        }
    }

    /// Whether an effect of a node is there, or may be.
    pub(super) fn is_there(node: &Node) -> bool {
        match &node.state {
            State::Done => node.action().is_some_and(|action| action.effects != Effects::None),
            State::Partial(..) | State::Kept => true,
            State::Stuck(stuck) => stuck.effect.is_some() || stuck.work == Work::Undo,
            _ => false,
        }
    }

    /// What stays in effect, the last first.
    pub(super) fn remains(&self) -> Vec<Instruction> {
        let because = self.left_because.as_ref().map_or_else(String::new, |why| format!(", for {why}"));
        let told = |node: &Node| {
            let uses = node.action().map_or_else(String::new, |action| action.uses.to_string());
            let problem = match &node.state {
                State::Stuck(stuck) => {
                    format!("whether `{uses}` is in effect is not known: {}", stuck.failure)
                }
                State::Partial(..) => {
                    format!("a part of `{uses}` stays in effect: the run was left as it is{because}")
                }
                _ => format!("`{uses}` stays in effect: the run was left as it is{because}"),
            };
            let action = "keep it, or take it away by hand".to_owned();
            Instruction { step: node.path.clone(), problem, action }
        };
        let steps = self.nodes.iter().filter(|node| self.is_in_steps(node.frame));
        steps.rev().filter(|node| Self::is_there(node)).map(told).collect()
    }
}
