//! Going on with another plan, or with some steps once more.
//!
//! ```text
//!   replanned --> rewinding: what runs again is undone, the last first; no step begins
//!                    |   '-- an undo does not succeed --> the run stops for an operator; a resume goes on rewinding
//!                    v
//!                 the new plan takes the place of the old one --> forward: what waits begins
//! ```
//!
//! **What was done is undone by the plan under which it was done**; only then do the new steps take their places, so nothing
//! is ever undone by a text that came later. What stays keeps its state under its path. What is under way goes on meanwhile.
//!
//! **Keys.** Whatever runs again, and whatever is new, has a number of its round that no effect of this run has had.

mod look;
mod rewind;
mod transplant;

use std::sync::Arc;

use longhaul_model::ids::StepPath;
use longhaul_plan::Plan;
pub use look::{Kept, NoReplan, Replan};

use super::child::Within;
use super::{Block, FrameEnd, FrameId, Mode, NodeId, Phase, Saga, Stage, State, Stuck};
use crate::{Failure, Illegal, Work};

impl Saga {
    /// What going on with this plan would mean, or with the plan it has if none is given.
    ///
    /// # Errors
    /// Everything that stands against it.
    pub fn look_at_replan(&self, plan: Option<&Plan>, again: &[StepPath]) -> Result<Replan, Vec<NoReplan>> {
        self.look_ahead(plan.unwrap_or(&self.plan), again).map(|look| look.replan)
    }

    pub(crate) fn replan(&mut self, plan: Option<&Plan>, again: &[StepPath]) -> Result<(), Illegal> {
        let plan = plan.map_or_else(|| Arc::clone(&self.plan), |plan| Arc::new(plan.clone()));
        let look =
            self.look_ahead(&plan, again).map_err(|mut why| Illegal::Replan(Box::new(why.remove(0))))?;
        if let Phase::Ended(_) = self.phase {
            self.phase = Phase::Main;
            self.stops += 1;
        }
        self.round = self.unused_round();
        self.forget_wishes();
        self.forget_replan();
        for node in look.again {
            self.node_mut(node).runs_again = true;
            self.call_off_idle(node);
        }
        for frame in &look.live {
            let round = self.round;
            let graph = self.frame_mut(*frame);
            (graph.wind, graph.incarnation) = (false, round);
            self.put_mode(*frame, Mode::Rewinding);
        }
        for frame in look.live {
            for node in self.frame(frame).nodes.clone() {
                self.calm(node);
            }
        }
        self.successor = Some(plan);
        self.resume()?;
        for node in (0..self.nodes.len()).map(NodeId) {
            if self.node(node).runs_again && matches!(self.node(node).state, State::Items(Work::Forward)) {
                self.call_off(node);
            }
        }
        Ok(())
    }

    /// A number of a round behind all that any effect has had. A written undo uses the number after an effect's own.
    fn unused_round(&self) -> u32 {
        let of_nodes = self.nodes.iter().map(|node| node.incarnation);
        let of_frames = self.frames.iter().map(|frame| frame.incarnation);
        of_nodes.chain(of_frames).max().unwrap_or_default().max(self.round) + 2
    }

    /// A plan that has not taken over yet does not count any more.
    fn forget_replan(&mut self) {
        for node in &mut self.nodes {
            node.runs_again = false;
        }
        for frame in self.rewound() {
            self.put_mode(frame, Mode::Forward);
        }
    }

    /// What an operator or a policy wanted of the run before does not count any more.
    fn forget_wishes(&mut self) {
        (self.cancelled, self.left, self.left_because) = (false, false, None);
        // Held, what is to run again could not be called off, and would go on.
        self.paused = None;
        // Who names what is to run again has said that it is undone.
        self.is_undo_agreed = true;
        self.consents.clear();
        for frame in (0..self.frames.len()).map(FrameId) {
            let is_beside = match self.frame(frame).block {
                Block::Deadline | Block::Admission | Block::Undoing => true,
                Block::Steps | Block::OnFailure | Block::Always => false,
            };
            if !is_beside || self.frame(frame).mode().is_ended() {
                continue;
            }
            self.put_mode(frame, Mode::Ended(FrameEnd::Succeeded));
            for node in self.frame(frame).nodes.clone() {
                self.node_mut(node).state = State::Failed(Failure::new("cancelled", "called off"));
            }
        }
    }

    /// Stops what a step that is to run again waits for. What it has under way is asked about first.
    fn call_off_idle(&mut self, id: NodeId) {
        if self.is_stopped_inside(id) {
            return self.turn_inside(id);
        }
        if let State::Stuck(Stuck { work: Work::Forward, effect: None, failure }) = &self.node(id).state {
            self.node_mut(id).state = State::Failed(failure.clone());
        }
        let is_started = self.node(id).effect().is_some_and(|effect| effect.stage != Stage::Backoff);
        if !is_started {
            self.call_off(id);
        }
    }

    /// Whether a step stopped or was left as it was, with something inside it that may be there.
    fn is_stopped_inside(&self, id: NodeId) -> bool {
        match self.node(id).state {
            State::Stuck(Stuck { work: Work::Forward, effect: None, .. }) => self.holds_something(id),
            State::Items(Work::Forward) | State::Failed(_) | State::Undone => self.has_stopped_items(id),
            _ => false,
        }
    }

    /// Turns round what a step has inside it.
    fn turn_inside(&mut self, id: NodeId) {
        self.node_mut(id).state = State::Items(Work::Undo);
        for item in self.node(id).items.clone() {
            match self.frame(item).mode() {
                Mode::Ended(FrameEnd::Left | FrameEnd::Stuck { .. }) => self.put_mode(item, Mode::Draining),
                Mode::Ended(FrameEnd::Succeeded) => self.put_mode(item, Mode::Unwinding),
                Mode::Queued => self.put_mode(item, Mode::Ended(FrameEnd::NeverRan)),
                Mode::Forward => self.frame_mut(item).wind = true,
                _ => continue,
            }
            self.touch(item);
            for node in self.frame(item).nodes.clone() {
                if self.is_stopped_inside(node) {
                    self.turn_inside(node);
                }
            }
        }
    }

    /// Brings a step that stays into a state in which another plan can take it over.
    fn calm(&mut self, id: NodeId) {
        if self.node(id).runs_again {
            return;
        }
        match &self.node(id).state {
            State::Claiming => self.call_claim_off(id),
            State::Waiting => self.let_loose(id),
            State::Stuck(Stuck { work: Work::Forward, .. })
            | State::Done
            | State::Kept
            | State::Failed(_)
            | State::Undone
                if self.node(id).items.iter().any(|item| self.frame(*item).mode() == Mode::Rewinding) =>
            {
                self.open_again(id);
            }
            // What is in it begins once more when its turn has come.
            State::Stuck(Stuck { work: Work::Forward, effect: None, .. }) => {
                self.node_mut(id).state = State::Waiting;
            }
            _ => {}
        }
    }

    /// A step whose inside is not over any more.
    fn open_again(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.state = State::Items(Work::Forward);
        node.held = None;
        if node.workflow().is_some() {
            node.outputs = None;
            node.within = node.within.take().map(Within::begun_again);
        }
    }
}
