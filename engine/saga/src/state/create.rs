//! Making a saga, its frames and its nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use longhaul_expr::{Expression, Template};
use longhaul_model::ids::{RunId, StepId, StepPath};
use longhaul_plan::{Body, Graph, Plan, Step, Wait};
use serde_json::Value;

use super::tally::{Crowd, Part};
use super::{Block, Frame, FrameId, Item, Mode, Node, NodeId, Phase, Saga, State};
use crate::{Command, Illegal};

impl Saga {
    /// The saga of a new run, created at `at_unix_ms` by a person if that is known, and what is to be done first.
    ///
    /// # Errors
    /// When a step of `on_failure` or `always` has the name of another one.
    pub fn create(
        run: RunId,
        plan: Plan,
        started_by: Option<String>,
        at_unix_ms: u64,
    ) -> Result<(Self, Vec<Command>), Illegal> {
        let mut ids = BTreeSet::new();
        let roots = plan.graph.steps.iter().chain(&plan.on_failure.steps).chain(&plan.always.steps);
        if let Some(step) = roots.into_iter().find(|step| !ids.insert(&step.id)) {
            return Err(Illegal::Twice(StepPath::root(&step.id)));
        }
        let mut saga = Self {
            run,
            plan: Arc::new(plan),
            frames: Vec::new(),
            nodes: Vec::new(),
            index: BTreeMap::new(),
            phase: Phase::Main,
            now_unix_ms: at_unix_ms,
            cancelled: false,
            left: false,
            left_because: None,
            is_undo_agreed: false,
            consents: BTreeMap::new(),
            paused: None,
            started_by,
            signals: BTreeMap::new(),
            stops: 0,
            round: 0,
            successor: None,
            timers: 0,
            inquiries: 0,
            pools: Vec::new(),
            claiming: Vec::new(),
            touched: VecDeque::new(),
            changed: Vec::new(),
            outbox: Vec::new(),
        };
        let plan = Arc::clone(&saga.plan);
        saga.add_frame(&plan.graph, None, 0);
        saga.watch_deadline();
        saga.settle();
        // A deadline may have passed already.
        if !saga.cancelled {
            saga.begin_steps();
            saga.settle();
        }
        let commands = saga.take_outbox();
        Ok((saga, commands))
    }

    /// Begins to wait for the workflow's deadline, if it has one.
    pub(super) fn watch_deadline(&mut self) {
        let Some(deadline) = self.plan.deadline.clone() else { return };
        let id = self.add_frame(&wait_for(&deadline), None, 0);
        self.begin_apart(id, Block::Deadline);
    }

    /// Begins a graph instance that never unwinds.
    pub(super) fn begin_apart(&mut self, id: FrameId, block: Block) {
        self.frame_mut(id).block = block;
        self.put_mode(id, Mode::Forward);
        self.touch(id);
    }

    /// Adds a graph instance, queued. A path that is there already is taken over by the new node.
    pub(super) fn add_frame(&mut self, graph: &Graph, item: Option<Item>, incarnation: u32) -> FrameId {
        let frame = FrameId(self.frames.len());
        let around = item.as_ref().filter(|item| item.key.is_some());
        let block = around.map_or(Block::Steps, |item| self.frame(self.node(item.owner).frame).block);
        self.frames.push(Frame::new(item, block, incarnation));
        let mut known = HashMap::with_capacity(graph.steps.len());
        for step in &graph.steps {
            let path = self.path_in(frame, &step.id);
            let mut needs: Vec<NodeId> = step.needs.iter().filter_map(|id| known.get(id).copied()).collect();
            needs.sort_unstable();
            needs.dedup();
            let node = self.add_node(frame, path, Arc::new(step.clone()), needs);
            known.insert(&step.id, node);
        }
        frame
    }

    pub(super) fn path_in(&self, frame: FrameId, step: &StepId) -> StepPath {
        let Some(item) = &self.frame(frame).item else { return StepPath::root(step) };
        let owner = &self.node(item.owner).path;
        match &item.key {
            Some(key) => owner.item(key, step),
            None => owner.child(step),
        }
    }

    pub(super) fn add_node(
        &mut self,
        frame: FrameId,
        path: StepPath,
        step: Arc<Step>,
        needs: Vec<NodeId>,
    ) -> NodeId {
        let id = NodeId(self.nodes.len());
        let incarnation = self.frame(frame).incarnation;
        self.index.insert(path.clone(), id);
        let home = self.frame_mut(frame);
        home.nodes.push(id);
        home.carriers.extend(may_carry(&step).then_some(id));
        self.nodes.push(Node {
            path,
            step,
            frame,
            part: Part::new(needs.len()),
            needs,
            items: Vec::new(),
            crowd: Crowd::default(),
            within: None,
            state: State::Waiting,
            params: Value::Null,
            outputs: None,
            grants: Vec::new(),
            handle: None,
            attempt: 0,
            incarnation,
            is_half_done: false,
            held: None,
            looking: None,
            sights: BTreeMap::new(),
            is_admitted: false,
            objection: None,
            runs_again: false,
        });
        self.count_in(id);
        id
    }
}

/// Whether a step may hold a pivot, itself or inside it.
pub(super) fn may_carry(step: &Step) -> bool {
    match &step.body {
        Body::Action(action) => action.pivot,
        Body::Foreach(_) | Body::Workflow(_) => true,
        Body::Wait(_) | Body::Question(_) => false,
    }
}

/// A graph of one wait, for a deadline.
pub(super) fn wait_for(deadline: &Expression) -> Graph {
    let until = Template::parse(Value::from(deadline.as_str())).expect("an expression is a template");
    let step = Step {
        id: Plan::DEADLINE.parse().expect("it is well-formed"),
        needs: Vec::new(),
        reasons: Vec::new(),
        condition: None,
        line: 0,
        body: Body::Wait(Wait::Until(until)),
    };
    Graph { steps: vec![step] }
}
