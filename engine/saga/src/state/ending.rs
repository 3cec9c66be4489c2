//! How a run comes to its end.

use std::sync::Arc;

use longhaul_expr::{Root, Template};
use longhaul_plan::Body;
use serde_json::Map;

use super::{Block, FrameEnd, FrameId, Mode, Node, NodeId, Phase, ROOT, Saga, State, Stuck};
use crate::intent::{End, GiveUp, Instruction};
use crate::{Failure, Intent, Status, Work};

impl Saga {
    /// The root graph or the `always` graph has ended.
    pub(super) fn graph_ended(&mut self, id: FrameId, end: FrameEnd) {
        match (self.phase, self.frame(id).block) {
            (Phase::Main, Block::Deadline) => self.pass_deadline(id),
            (Phase::Main, Block::Admission | Block::Undoing) => self.people_answered(id),
            (Phase::Main, Block::Steps) => match self.verdict(end) {
                status @ Status::Succeeded => self.begin_block(Block::Always, status),
                status => self.begin_block(Block::OnFailure, status),
            },
            (Phase::Last(status), Block::OnFailure) => self.begin_block(Block::Always, status),
            (Phase::Last(status), Block::Always) => self.end_run(status),
            (Phase::Main | Phase::Last(_) | Phase::Ended(_), _) => {}
        }
    }

    /// The time has come, unless it could not be worked out.
    fn pass_deadline(&mut self, id: FrameId) {
        let node = self.node(self.frame(id).nodes[0]);
        let reason = match &node.state {
            State::Failed(failure) => failure.message.clone(),
            _ => "its deadline has passed".to_owned(),
        };
        self.decide(Intent::GiveUp(GiveUp { reason }));
        self.cancel();
    }

    fn begin_block(&mut self, block: Block, status: Status) {
        self.phase = Phase::Last(status);
        let plan = Arc::clone(&self.plan);
        let graph = if block == Block::OnFailure { &plan.on_failure } else { &plan.always };
        // After an operator's resume it runs again, which is a new effect under the same path; a written undo has used the
        // number after an effect's own.
        let id = self.add_frame(graph, None, self.round + 2 * self.stops);
        self.begin_apart(id, block);
    }

    fn verdict(&self, root: FrameEnd) -> Status {
        match root {
            FrameEnd::Stuck { .. } => Status::NeedsOperator,
            FrameEnd::Unwound | FrameEnd::NeverRan | FrameEnd::Failed => Status::Failed,
            FrameEnd::Succeeded if self.agrees(ROOT) => Status::Succeeded,
            FrameEnd::Left if self.remains().is_empty() => Status::Failed,
            FrameEnd::Succeeded | FrameEnd::Partial | FrameEnd::Left => Status::Partial,
        }
    }

    /// Whether nothing was done in part below a graph that came through. What stands in one that was undone says nothing of it.
    pub(super) fn agrees(&self, id: FrameId) -> bool {
        let succeeded = |item: &&FrameId| self.frame(**item).mode() == Mode::Ended(FrameEnd::Succeeded);
        self.frame(id).nodes.iter().map(|node| self.node(*node)).all(|node| {
            self.items_agree(node) && node.items.iter().filter(succeeded).all(|item| self.agrees(*item))
        })
    }

    /// Whether the items of a step all succeeded, or all left nothing behind and that was answered.
    fn items_agree(&self, node: &Node) -> bool {
        let all = |ends: &[FrameEnd]| {
            node.items
                .iter()
                .all(|item| matches!(self.frame(*item).mode(), Mode::Ended(end) if ends.contains(&end)))
        };
        // What is inside another workflow speaks for itself.
        if node.workflow().is_some() {
            return true;
        }
        let failed = matches!(node.state, State::Failed(_));
        all(&[FrameEnd::Succeeded]) || (failed && all(&[FrameEnd::Unwound, FrameEnd::NeverRan]))
    }

    fn end_run(&mut self, status: Status) {
        let open = self.open_at_the_end();
        let (outputs, outputs_error) = self.outputs();
        // What nobody goes on with, and may be there, is no success; neither is less than what was promised.
        let falls_short = !open.is_empty() || outputs_error.is_some();
        let status = if status == Status::Succeeded && falls_short { Status::Partial } else { status };
        self.phase = Phase::Ended(status);
        let mut instructions = if self.left { self.remains() } else { self.instructions() };
        instructions.extend(open);
        if status == Status::Partial && !self.left {
            instructions.extend(self.stood_on());
        }
        self.decide(Intent::End(End { status, outputs, outputs_error, instructions }));
    }

    /// The workflow's outputs, if its steps have come through; and why some are missing. Of a run that went forward in part those
    /// that read nothing else than what did.
    fn outputs(&self) -> (Map<String, serde_json::Value>, Option<String>) {
        let mut outputs = Map::new();
        let mode = self.frame(ROOT).mode();
        let is_whole = mode == Mode::Ended(FrameEnd::Succeeded);
        if !is_whole && mode != Mode::Ended(FrameEnd::Partial) {
            return (outputs, None);
        }
        let (scope, mut missing) = (self.whole_scope(None), Vec::new());
        for (name, template) in &self.plan.outputs {
            match template.evaluate(&scope) {
                _ if !is_whole && self.reads_what_is_undone(template) => {}
                Ok(value) => drop(outputs.insert(name.clone(), value)),
                Err(error) if is_whole => missing.push(format!("output `{name}`: {error}")),
                Err(_) => {}
            }
        }
        (outputs, (!missing.is_empty()).then(|| missing.join("; ")))
    }

    fn reads_what_is_undone(&self, template: &Template) -> bool {
        let undone = self.frame(ROOT).nodes.iter().map(|id| self.node(*id));
        let undone: Vec<&str> = undone
            .filter(|node| matches!(node.state, State::Undone))
            .map(|node| node.step.id.as_str())
            .collect();
        let steps = template.references().into_iter().filter(|read| read.root == Root::Steps);
        steps.filter_map(|read| read.path.into_iter().next()).any(|id| undone.contains(&id.as_str()))
    }

    /// What a graph or its items did that goes no further, and that stays because something else went forward on it.
    fn stood_on(&self) -> Vec<Instruction> {
        let stays = |id: &NodeId| {
            let node = self.node(*id);
            let is_group = node.foreach().is_some() || node.workflow().is_some();
            let is_kept = is_group && matches!(node.state, State::Kept) && !self.holds_pivot(*id);
            (is_kept && self.is_in_steps(node.frame)).then(|| Instruction {
                step: node.path.clone(),
                problem: "all that its steps did stays: what went forward stands on it".to_owned(),
                action: "look which of it nobody needs, and take that away by hand".to_owned(),
            })
        };
        self.index.values().filter_map(stays).collect()
    }

    fn instructions(&self) -> Vec<Instruction> {
        let stuck = |node: &Node| match &node.state {
            State::Stuck(stuck) if self.is_cause(node) => Some(self.instruction(node, stuck)),
            State::Done if self.is_stopped(node.frame) => {
                node.objection.as_ref().map(|why| self.objected(node, why))
            }
            State::Stuck(_)
            | State::Waiting
            | State::Claiming
            | State::Working(_)
            | State::Paused(_)
            | State::Asking(_)
            | State::Items(_)
            | State::Done
            | State::Skipped(_)
            | State::Failed(_)
            | State::Partial(..)
            | State::Undoing(_)
            | State::Undone
            | State::Kept => None,
        };
        self.nodes.iter().filter(|node| self.is_in_steps(node.frame)).filter_map(stuck).collect()
    }

    /// What a person has to look at below `on_failure` and `always`: no resume goes on with it.
    fn open_at_the_end(&self) -> Vec<Instruction> {
        // A path leads to the last round of a block alone.
        let open = |id: &NodeId| {
            let node = self.node(*id);
            let State::Stuck(stuck) = &node.state else { return None };
            let is_meant = !self.is_in_steps(node.frame) && self.is_cause(node);
            let action = "look at it, and take it away by hand if it should not stay".to_owned();
            is_meant.then(|| Instruction { action, ..self.instruction(node, stuck) })
        };
        self.index.values().filter_map(open).collect()
    }

    fn is_stopped(&self, id: FrameId) -> bool {
        matches!(self.frame(id).mode(), Mode::Ended(FrameEnd::Stuck { .. }))
    }

    fn objected(&self, node: &Node, why: &Failure) -> Instruction {
        let what =
            node.step.body.uses().map_or_else(|| node.step.body.word().to_owned(), ToString::to_string);
        Instruction {
            step: node.path.clone(),
            problem: format!("`{what}` is done, and from here the run can only go forward: {why}"),
            action: format!(
                "look at what it did, then `longhaul resume {}`: the run goes on with it",
                self.run
            ),
        }
    }

    /// A step that waits for the operator of what is inside it has nothing to say of its own.
    fn is_cause(&self, node: &Node) -> bool {
        let stuck = |item: &FrameId| matches!(self.frame(*item).mode(), Mode::Ended(FrameEnd::Stuck { .. }));
        !node.items.iter().any(stuck)
    }

    fn instruction(&self, node: &Node, stuck: &Stuck) -> Instruction {
        let Stuck { failure, work, effect } = stuck;
        let uses = match &node.step.body {
            Body::Action(action) => action.uses.to_string(),
            Body::Workflow(child) => format!("workflow {}", child.workflow.name),
            body @ (Body::Foreach(_) | Body::Wait(_) | Body::Question(_)) => body.word().to_owned(),
        };
        let resume = format!("`longhaul resume {}`", self.run);
        let (problem, action) = match (work, effect) {
            (Work::Forward, Some(_)) => (
                format!("whether `{uses}` has taken effect is not known: {failure}"),
                format!(
                    "restore the way to whoever knows, then {resume}: it asks again and goes on from the answer"
                ),
            ),
            (Work::Forward, None) => self.stopped_forward(node, &uses, failure),
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
    /// What to say of a step that did not succeed where only forward is allowed, and of which no effect is open.
    fn stopped_forward(&self, node: &Node, uses: &str, failure: &Failure) -> (String, String) {
        let ended = |end| move |item: &FrameId| self.frame(*item).mode() == Mode::Ended(end);
        let again = |what| format!("remove the cause, then `longhaul resume {}`: it {what}", self.run);
        if node.workflow().is_some() && node.items.iter().any(ended(FrameEnd::Succeeded)) {
            return (
                format!("all that the steps of `{uses}` did is done and stays, but it has no end: {failure}"),
                "a resume meets the same, for the workflow's text is pinned: mend the output in the file, and run what is \
                 still to be done as a run of its own"
                    .to_owned(),
            );
        }
        if node.items.iter().any(|item| self.is_past(*item) || ended(FrameEnd::Partial)(item)) {
            return (
                format!("a part of `{uses}` stays, and from here the run can only go forward: {failure}"),
                again("goes on with the rest of this step and repeats no finished one"),
            );
        }
        (
            format!("`{uses}` left nothing behind, but from here the run can only go forward: {failure}"),
            again("tries this step again and repeats no finished one"),
        )
    }
}
