//! Workflows that run as steps.
//!
//! ```text
//!  enter --> its steps ----succeeded---------------------------> always --> done
//!              |   '--has no value for an output--> undone --.      ^
//!              '--failed, called off, too late----> undone --+-> on_failure --> always --> failed
//!              '--needs an operator--> stuck
//! ```
//!
//! Its steps are a frame of their own. They see its inputs and each other, and nothing of the workflow around. Its
//! `on_failure` and `always` run once, when it comes to its end, and are never undone; when the workflow around it undoes it
//! later, they do not run again.

use std::sync::Arc;

use longhaul_expr::Scope;
use longhaul_plan::{Body, Child, ValueSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::create::wait_for;
use super::{Block, FrameEnd, FrameId, Item, Mode, NodeId, Saga, State, Stuck};
use crate::intent::Enter;
use crate::{Failure, Intent, Work};

/// What there is of a workflow that has begun, besides its steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Within {
    inputs: Map<String, Value>,
    /// The wait for its deadline.
    deadline: Option<FrameId>,
    /// The last blocks that have begun.
    blocks: Vec<(Block, FrameId)>,
    /// Why it is given up, if none of its steps can say that.
    failure: Option<Failure>,
}

impl Within {
    fn new(inputs: Map<String, Value>) -> Self {
        Self { inputs, deadline: None, blocks: Vec::new(), failure: None }
    }

    /// The same workflow before it has come to an end.
    pub(super) fn begun_again(self) -> Self {
        Self::new(self.inputs)
    }

    /// The last blocks that have begun.
    pub(super) fn blocks(&self) -> &[(Block, FrameId)] {
        &self.blocks
    }

    /// The same with the blocks in other places, and without a wait for a deadline.
    pub(super) fn moved(&self, blocks: Vec<(Block, FrameId)>) -> Self {
        Self { deadline: None, blocks, ..self.clone() }
    }
}

impl Saga {
    pub(super) fn begin_workflow(&mut self, id: NodeId, child: &Child) {
        match inputs_of(child, &self.scope_of(id)) {
            Ok(inputs) => {
                let step = self.node(id).path.clone();
                self.decide(Intent::Enter(Enter { step, inputs: inputs.clone() }));
                self.run_workflow(id, child, inputs, self.node(id).incarnation);
            }
            Err(why) => self.refuse(id, Failure::new("precondition", format!("inputs: {why}"))),
        }
    }

    fn run_workflow(&mut self, id: NodeId, child: &Child, inputs: Map<String, Value>, incarnation: u32) {
        let steps = self.add_frame(&child.graph, Some(Item::of_workflow(id)), incarnation);
        self.put_mode(steps, Mode::Forward);
        let node = self.node_mut(id);
        (node.items, node.within) = (vec![steps], Some(Within::new(inputs)));
        node.state = State::Items(Work::Forward);
        self.watch_deadline_of(id, child, steps);
        self.touch(steps);
    }

    pub(super) fn watch_deadline_of(&mut self, id: NodeId, child: &Child, steps: FrameId) {
        let Some(deadline) = &child.deadline else { return };
        let incarnation = self.frame(steps).incarnation;
        let wait = self.add_frame(&wait_for(deadline), Some(Item::of_workflow(id)), incarnation);
        if let Some(within) = &mut self.node_mut(id).within {
            within.deadline = Some(wait);
        }
        self.begin_apart(wait, Block::Deadline);
    }

    /// The inputs of the workflow that a step runs.
    pub(super) fn inputs_within(&self, id: NodeId) -> &Map<String, Value> {
        self.node(id).within.as_ref().map_or(&self.plan.inputs, |within| &within.inputs)
    }

    /// Looks at what is inside a step after something of that has changed.
    pub(super) fn settle_inside(&mut self, id: NodeId) {
        if self.node(id).workflow().is_none() {
            return self.settle_items(id);
        }
        let (State::Items(work), Some(steps)) = (&self.node(id).state, self.node(id).items.first()) else {
            return;
        };
        match (*work, self.frame(*steps).mode()) {
            (Work::Undo, Mode::Ended(end)) => self.workflow_undone(id, end),
            (Work::Forward, Mode::Ended(end)) => self.workflow_ended(id, *steps, end),
            (Work::Forward, Mode::Forward) => self.heed_deadline(id, *steps),
            (_, Mode::Queued | Mode::Forward | Mode::Draining | Mode::Unwinding | Mode::Rewinding) => {}
        }
    }

    fn workflow_undone(&mut self, id: NodeId, end: FrameEnd) {
        let state = if matches!(end, FrameEnd::Stuck { .. }) { stuck(Work::Undo) } else { State::Undone };
        self.come_to(id, state);
    }

    /// Its steps have come to an end. What is still to be done before it has one itself?
    fn workflow_ended(&mut self, id: NodeId, steps: FrameId, end: FrameEnd) {
        if matches!(end, FrameEnd::Stuck { .. }) {
            return self.come_to(id, stuck(Work::Forward));
        }
        self.forget_deadline(id);
        if end == FrameEnd::Succeeded
            && let Err(failure) = self.put_out(id)
        {
            return self.fail_late(id, steps, failure);
        }
        if self.begin_next_block(id, end) {
            return;
        }
        let state = if end == FrameEnd::Succeeded { State::Done } else { State::Failed(self.why_failed(id)) };
        self.come_to(id, state);
    }

    fn come_to(&mut self, id: NodeId, state: State) {
        let is_done = matches!(state, State::Done);
        self.node_mut(id).state = state;
        if is_done {
            self.hold_after(id);
        }
        let frame = self.node(id).frame;
        self.touch(frame);
    }

    /// Gives the step its workflow's outputs, unless it has them.
    fn put_out(&mut self, id: NodeId) -> Result<(), Failure> {
        if self.node(id).outputs.is_some() {
            return Ok(());
        }
        let scope = self.whole_scope(Some(id));
        let mut outputs = Map::new();
        for (name, template) in self.node(id).workflow().into_iter().flat_map(|child| &child.outputs) {
            let value = template.evaluate(&scope);
            let value =
                value.map_err(|error| Failure::new("precondition", format!("output `{name}`: {error}")))?;
            outputs.insert(name.clone(), value);
        }
        self.node_mut(id).outputs = Some(Value::Object(outputs));
        Ok(())
    }

    /// Its steps are done, and it has failed: they are undone, or wait for an operator where that is not allowed.
    fn fail_late(&mut self, id: NodeId, steps: FrameId, failure: Failure) {
        if self.is_past(steps) {
            return self.come_to(id, State::Stuck(Stuck { failure, work: Work::Forward, effect: None }));
        }
        if let Some(within) = &mut self.node_mut(id).within {
            within.failure = Some(failure);
        }
        self.put_mode(steps, Mode::Draining);
        self.touch(steps);
    }

    /// Begins the block whose turn it is; false if there is none any more, and none is under way.
    fn begin_next_block(&mut self, id: NodeId, end: FrameEnd) -> bool {
        let node = self.node(id);
        let (Some(child), Some(within)) = (node.workflow(), &node.within) else { return false };
        if within.blocks.iter().any(|(_, frame)| !self.frame(*frame).mode().is_ended()) {
            return true;
        }
        let failed = end != FrameEnd::Succeeded;
        let blocks = [(Block::OnFailure, &child.on_failure, failed), (Block::Always, &child.always, true)];
        let begun = |block| within.blocks.iter().any(|(known, _)| *known == block);
        let next =
            blocks.into_iter().find(|(block, graph, runs)| *runs && !graph.is_empty() && !begun(*block));
        let Some((block, graph, _)) = next.map(|(block, graph, runs)| (block, graph.clone(), runs)) else {
            return false;
        };
        let incarnation = node.items.first().map_or(0, |steps| self.frame(*steps).incarnation);
        let frame = self.add_frame(&graph, Some(Item::of_workflow(id)), incarnation);
        if let Some(within) = &mut self.node_mut(id).within {
            within.blocks.push((block, frame));
        }
        self.begin_apart(frame, block);
        true
    }

    /// What failed in it, or why it was given up.
    fn why_failed(&self, id: NodeId) -> Failure {
        let node = self.node(id);
        if let Some(failure) = node.within.as_ref().and_then(|within| within.failure.clone()) {
            return failure;
        }
        let nodes = node.items.iter().flat_map(|steps| &self.frame(*steps).nodes);
        let failures: Vec<_> = nodes.filter_map(|node| self.failure_of(*node)).collect();
        let cause = failures.iter().find(|failure| failure.class != "cancelled").or(failures.first());
        cause.cloned().unwrap_or_else(|| Failure::new("cancelled", "called off"))
    }

    fn failure_of(&self, id: NodeId) -> Option<Failure> {
        let node = self.node(id);
        match &node.state {
            State::Failed(failure) | State::Partial(failure, _) => {
                Some(Failure { message: format!("{}: {}", node.step.id, failure.message), ..failure.clone() })
            }
            _ => None,
        }
    }

    /// Turns the workflow round whose time has come; what is past its pivot goes on.
    fn heed_deadline(&mut self, id: NodeId, steps: FrameId) {
        let Some(wait) = self.node(id).within.as_ref().and_then(|within| within.deadline) else { return };
        if self.frame(steps).wind || !self.frame(wait).mode().is_ended() {
            return;
        }
        let reason = match &self.node(self.frame(wait).nodes[0]).state {
            State::Failed(failure) => failure.message.clone(),
            _ => "its deadline has passed".to_owned(),
        };
        if let Some(within) = &mut self.node_mut(id).within {
            within.failure = Some(Failure::new("cancelled", reason));
        }
        self.frame_mut(steps).wind = true;
        self.touch(steps);
    }

    /// Nobody waits for the deadline of a workflow whose steps have ended.
    fn forget_deadline(&mut self, id: NodeId) {
        let Some(wait) = self.node(id).within.as_ref().and_then(|within| within.deadline) else { return };
        if self.frame(wait).mode().is_ended() {
            return;
        }
        self.put_mode(wait, Mode::Ended(FrameEnd::Succeeded));
        for node in self.frame(wait).nodes.clone() {
            self.node_mut(node).state = State::Failed(Failure::new("cancelled", "called off"));
        }
    }

    /// An operator lifts a workflow that was stuck: its steps go on where they stopped, and what was undone of them runs anew.
    pub(super) fn lift_workflow(&mut self, id: NodeId, work: Work) {
        let step = Arc::clone(&self.node(id).step);
        let (Body::Workflow(child), Some(steps)) = (&step.body, self.node(id).items.first().copied()) else {
            self.node_mut(id).state = State::Waiting;
            return;
        };
        self.node_mut(id).state = State::Items(work);
        match (work, self.frame(steps).mode()) {
            (Work::Forward, Mode::Ended(FrameEnd::Unwound | FrameEnd::NeverRan)) => {
                let incarnation = self.next_round(steps);
                let inputs = self.inputs_within(id).clone();
                self.node_mut(id).outputs = None;
                self.run_workflow(id, child, inputs, incarnation);
            }
            (Work::Forward, Mode::Ended(FrameEnd::Partial)) => {
                let node = self.node_mut(id);
                node.outputs = None;
                node.within = node.within.take().map(Within::begun_again);
                self.watch_deadline_of(id, child, steps);
                self.go_on_again(steps);
            }
            (_, _) => self.settle_inside(id),
        }
    }
}

fn stuck(work: Work) -> State {
    let failure = Failure::new("precondition", "a step in it needs an operator");
    State::Stuck(Stuck { failure, work, effect: None })
}

/// The inputs of a workflow, defaults filled in and held against their schemas.
pub(super) fn inputs_of(child: &Child, scope: &Scope) -> Result<Map<String, Value>, String> {
    let given = child.with.evaluate(scope).map_err(|error| error.to_string())?;
    let mut inputs = Map::new();
    for input in &child.inputs {
        let value = given.get(&input.name).or_else(|| input.schema.get("default"));
        let value = value.ok_or_else(|| format!("`{}` is not given", input.name))?;
        // What is wrong with the schema itself was told when the plan was made.
        let misfits = ValueSchema::new(&input.schema).map(|schema| schema.misfits(value)).unwrap_or_default();
        if let Some(misfit) = misfits.first() {
            let at = value.pointer(&misfit.pointer).unwrap_or(value);
            return Err(format!("its schema does not allow `{}` to be {at}", input.name));
        }
        inputs.insert(input.name.clone(), value.clone());
    }
    Ok(inputs)
}
