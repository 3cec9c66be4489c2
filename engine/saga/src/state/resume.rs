//! Taking a run up again.

use super::{Effect, FrameEnd, FrameId, Mode, NodeId, Phase, ROOT, Saga, Stage, State, Stuck};
use crate::breaks::{Break, is_on};
use crate::{Failure, Illegal, Status, Work};

impl Saga {
    /// Asks about every effect whose outcome is open, starts every wait anew, and lifts what waited for an operator.
    pub(crate) fn resume(&mut self) -> Result<(), Illegal> {
        if self.phase == Phase::Ended(Status::NeedsOperator) {
            self.phase = Phase::Main;
            self.stops += 1;
        }
        for index in 0..self.frames.len() {
            self.reopen(FrameId(index));
        }
        for index in 0..self.nodes.len() {
            let id = NodeId(index);
            if !self.frame(self.node(id).frame).mode().is_ended() {
                self.take_up_again(id);
            }
        }
        self.ask_about_undo_again();
        Ok(())
    }

    fn reopen(&mut self, id: FrameId) {
        let mode = self.frame(id).mode();
        // While `always` runs, the verdict on the steps stands: what is stuck is lifted once the run has stopped.
        if let (Phase::Main, Mode::Ended(FrameEnd::Stuck { unwinding })) = (self.phase, mode)
            && self.is_in_steps(id)
        {
            let mode = match unwinding {
                true if id == ROOT && self.is_rewinding() => Mode::Rewinding,
                true => Mode::Draining,
                false => Mode::Forward,
            };
            self.put_mode(id, mode);
            self.overrule(id);
        }
        self.touch(id);
    }

    fn take_up_again(&mut self, id: NodeId) {
        if let State::Stuck(stuck) = self.node(id).state.clone() {
            self.lift(id, stuck);
            // What is inside it may have stopped before its graph turned round.
            if self.node(id).runs_again || self.frame(self.node(id).frame).mode().is_winding() {
                self.call_off(id);
            }
        }
        self.pause_again(id);
        self.hold_again(id);
        self.look_again(id);
        self.watch_question(id);
        let Some(effect) = self.node_mut(id).effect_mut() else { return };
        match (effect.stage, effect.last.clone()) {
            (Stage::Backoff, Some(last)) => self.back_off(id, last, 1_000),
            (
                Stage::Running | Stage::Cancelling | Stage::Probing | Stage::ProbeBackoff | Stage::Backoff,
                _,
            ) => {
                effect.orphaned = true;
                effect.probes = 0;
                if is_on(Break::StartAnewUnasked) {
                    return self.next_attempt(id);
                }
                self.probe(id);
            }
        }
    }

    /// What waited for an operator gets its full number of tries again.
    fn lift(&mut self, id: NodeId, stuck: Stuck) {
        if self.node(id).foreach().is_some() {
            return self.lift_items(id, stuck.work);
        }
        if self.node(id).workflow().is_some() {
            return self.lift_workflow(id, stuck.work);
        }
        let node = self.node_mut(id);
        node.state = match (stuck.effect, stuck.work) {
            (Some(mut effect), work) => {
                effect.tries = 1;
                effect.stage = Stage::Probing;
                match work {
                    Work::Forward => State::Working(effect),
                    Work::Undo => State::Undoing(effect),
                }
            }
            (None, Work::Forward) => State::Waiting,
            (None, Work::Undo) if node.outputs.is_some() => State::Done,
            (None, Work::Undo) => Self::half_done(node, stuck.failure),
        };
    }

    /// A foreach step without an item that could not be evaluated before is evaluated again.
    fn lift_items(&mut self, id: NodeId, work: Work) {
        let expanded = !self.node(id).items.is_empty();
        self.node_mut(id).state = if expanded { State::Items(work) } else { State::Waiting };
        if expanded && work == Work::Forward && self.items_have_ended(id) {
            self.run_items_again(id);
        }
        self.settle_items(id);
    }

    fn items_have_ended(&self, id: NodeId) -> bool {
        self.node(id).items.iter().all(|item| self.frame(*item).mode().is_ended())
    }

    fn half_done(node: &super::Node, failure: Failure) -> State {
        let Some(action) = node.action() else { return State::Done };
        let effect =
            Effect::forward(action.uses.clone(), node.params.clone(), node.incarnation, node.attempt);
        State::Partial(failure, Box::new(effect))
    }
}
