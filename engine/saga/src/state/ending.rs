//! How a run comes to its end.

use std::sync::Arc;

use serde_json::Map;

use super::{FrameEnd, FrameId, Mode, Node, Phase, ROOT, Saga, State, Stuck};
use crate::intent::{End, Instruction};
use crate::{Intent, Status, Work};

impl Saga {
    /// The root graph or the `always` graph has ended.
    pub(super) fn graph_ended(&mut self, id: FrameId, end: FrameEnd) {
        match (self.phase, self.frame(id).always) {
            (Phase::Main, false) => {
                let status = self.verdict(end);
                self.phase = Phase::Always(status);
                let plan = Arc::clone(&self.plan);
                // After an operator's resume it runs again, which is a new effect under the same path.
                let id = self.add_frame(&plan.always, None, self.stops);
                let always = self.frame_mut(id);
                always.always = true;
                always.mode = Mode::Forward;
                self.touch(id);
            }
            (Phase::Always(status), true) => self.end_run(status),
            (Phase::Main, true) | (Phase::Always(_) | Phase::Ended(_), _) => {}
        }
    }

    fn verdict(&self, root: FrameEnd) -> Status {
        let all_items = |end: FrameEnd| {
            let mut items = self.frames.iter().filter(|frame| frame.item.is_some());
            items.all(|item| item.mode == Mode::Ended(end))
        };
        match root {
            FrameEnd::Stuck { .. } => Status::NeedsOperator,
            FrameEnd::Unwound | FrameEnd::NeverRan => Status::Failed,
            FrameEnd::Succeeded if all_items(FrameEnd::Succeeded) => Status::Succeeded,
            FrameEnd::Succeeded | FrameEnd::Partial => Status::Partial,
        }
    }

    fn end_run(&mut self, status: Status) {
        self.phase = Phase::Ended(status);
        let (outputs, outputs_error) = self.outputs();
        let instructions = self.instructions();
        self.decide(Intent::End(End { status, outputs, outputs_error, instructions }));
    }

    /// The workflow's outputs, if its steps have come through; and why one is missing.
    fn outputs(&self) -> (Map<String, serde_json::Value>, Option<String>) {
        let mut outputs = Map::new();
        if self.frame(ROOT).mode != Mode::Ended(FrameEnd::Succeeded) {
            return (outputs, None);
        }
        let scope = self.whole_scope();
        for (name, template) in &self.plan.outputs {
            match template.evaluate(&scope) {
                Ok(value) => outputs.insert(name.clone(), value),
                Err(error) => return (outputs, Some(format!("output `{name}`: {error}"))),
            };
        }
        (outputs, None)
    }

    fn instructions(&self) -> Vec<Instruction> {
        let stuck = |node: &Node| match &node.state {
            State::Stuck(stuck) if self.is_cause(node) => Some(self.instruction(node, stuck)),
            State::Stuck(_)
            | State::Waiting
            | State::Working(_)
            | State::Items(_)
            | State::Done
            | State::Failed(_)
            | State::Partial(..)
            | State::Undoing(_)
            | State::Undone
            | State::Kept => None,
        };
        self.nodes.iter().filter(|node| !self.frame(node.frame).always).filter_map(stuck).collect()
    }

    /// A foreach step that waits for its items' operator has nothing to say of its own.
    fn is_cause(&self, node: &Node) -> bool {
        let stuck = |item: &FrameId| matches!(self.frame(*item).mode, Mode::Ended(FrameEnd::Stuck { .. }));
        !node.items.iter().any(stuck)
    }

    fn instruction(&self, node: &Node, stuck: &Stuck) -> Instruction {
        let Stuck { failure, work, effect } = stuck;
        let uses = node.action().map_or_else(|| "foreach".to_owned(), |action| action.uses.to_string());
        let resume = format!("`longhaul resume {}`", self.run);
        let (problem, action) = match (work, effect) {
            (Work::Forward, Some(_)) => (
                format!("whether `{uses}` has taken effect is not known: {failure}"),
                format!(
                    "restore the way to whoever knows, then {resume}: it asks again and goes on from the answer"
                ),
            ),
            (Work::Forward, None) => (
                format!("`{uses}` left nothing behind, but from here the run can only go forward: {failure}"),
                format!(
                    "remove the cause, then {resume}: it tries this step again and repeats no finished one"
                ),
            ),
            (Work::Undo, Some(_)) => (
                format!("undoing `{uses}` did not succeed: {failure}"),
                format!(
                    "remove the cause, or take the effect away by hand, then {resume}: it undoes this step again"
                ),
            ),
            (Work::Undo, None) => (
                format!("`{uses}` is still in effect: {failure}"),
                format!(
                    "make true what its undo requires, then {resume}: it undoes this step and those before it"
                ),
            ),
        };
        Instruction { step: node.path.clone(), problem, action }
    }
}
