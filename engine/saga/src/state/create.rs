//! Making a saga, its frames and its nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_model::ids::{RunId, StepPath};
use longhaul_plan::{Graph, Plan};
use serde_json::Value;

use super::{Frame, FrameId, Item, Mode, Node, NodeId, Phase, ROOT, Saga, State};
use crate::{Command, Illegal};

impl Saga {
    /// The saga of a new run and what is to be done first.
    ///
    /// # Errors
    /// When a step of `always` has the name of a step.
    pub fn create(run: RunId, plan: Plan) -> Result<(Self, Vec<Command>), Illegal> {
        if let Some(step) = plan.always.steps.iter().find(|step| plan.graph.step(&step.id).is_some()) {
            return Err(Illegal::Twice(StepPath::root(&step.id)));
        }
        let mut saga = Self {
            run,
            plan: Arc::new(plan),
            frames: Vec::new(),
            nodes: Vec::new(),
            index: BTreeMap::new(),
            phase: Phase::Main,
            cancelled: false,
            stops: 0,
            timers: 0,
            touched: Vec::new(),
            outbox: Vec::new(),
        };
        let plan = Arc::clone(&saga.plan);
        saga.add_frame(&plan.graph, None, 0);
        saga.frame_mut(ROOT).mode = Mode::Forward;
        saga.touch(ROOT);
        saga.settle();
        let commands = std::mem::take(&mut saga.outbox);
        Ok((saga, commands))
    }

    /// Adds a graph instance, queued. A path that is there already is taken over by the new node.
    pub(super) fn add_frame(&mut self, graph: &Graph, item: Option<Item>, incarnation: u32) -> FrameId {
        let frame = FrameId(self.frames.len());
        let mode = Mode::Queued;
        self.frames.push(Frame { item, nodes: Vec::new(), mode, wind: false, always: false, incarnation });
        for step in &graph.steps {
            let path = match &self.frame(frame).item {
                Some(item) => self.node(item.owner).path.item(&item.key, &step.id),
                None => StepPath::root(&step.id),
            };
            let known = self.frame(frame).nodes.iter();
            let needs =
                known.copied().filter(|node| step.needs.contains(&self.node(*node).step.id)).collect();
            self.add_node(frame, path, Arc::new(step.clone()), needs);
        }
        frame
    }

    fn add_node(
        &mut self,
        frame: FrameId,
        path: StepPath,
        step: Arc<longhaul_plan::Step>,
        needs: Vec<NodeId>,
    ) {
        let id = NodeId(self.nodes.len());
        let incarnation = self.frame(frame).incarnation;
        self.index.insert(path.clone(), id);
        self.frame_mut(frame).nodes.push(id);
        self.nodes.push(Node {
            path,
            step,
            frame,
            needs,
            items: Vec::new(),
            state: State::Waiting,
            params: Value::Null,
            outputs: None,
            handle: None,
            attempt: 0,
            incarnation,
        });
    }
}
