//! Another plan takes the place of the one before: every graph is made anew, and what stays moves into it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longhaul_model::ids::StepId;
use longhaul_plan::{Body, Graph, Plan};
use serde_json::Value;

use super::super::child::Within;
use super::super::claim::Pool;
use super::super::{Block, Frame, FrameEnd, FrameId, Item, Mode, Node, NodeId, ROOT, Saga, State};
use crate::Work;
use crate::intent::Because;

/// The graphs and nodes so far.
struct Uprooted {
    frames: Vec<Frame>,
    nodes: Vec<Option<Node>>,
    /// Where they went.
    moved: BTreeMap<NodeId, NodeId>,
}

impl Saga {
    /// Nothing of what runs again is there any more: the run goes on.
    pub(super) fn go_on_with_plan(&mut self) {
        let Some(plan) = self.successor.take() else { return };
        self.is_undo_agreed = false;
        for frame in self.rewound() {
            self.begin_anew(frame);
        }
        self.transplant(&plan);
        self.watch_deadline();
        for frame in self.rewound() {
            self.put_mode(frame, Mode::Forward);
            self.touch(frame);
        }
        for node in (0..self.nodes.len()).map(NodeId) {
            self.go_on_in(node);
        }
    }

    pub(super) fn rewound(&self) -> Vec<FrameId> {
        let frames = (0..self.frames.len()).map(FrameId);
        frames.filter(|frame| self.frame(*frame).mode() == Mode::Rewinding).collect()
    }

    /// A step whose inside goes on waits for its deadline once more, and for its items.
    fn go_on_in(&mut self, id: NodeId) {
        if !matches!(self.node(id).state, State::Items(Work::Forward)) {
            return;
        }
        let step = Arc::clone(&self.node(id).step);
        if let (Body::Workflow(child), Some(steps)) = (&step.body, self.node(id).items.first().copied())
            && !self.frame(steps).mode().is_ended()
        {
            self.watch_deadline_of(id, child, steps);
        }
        self.settle_inside(id);
    }

    /// Everything in a graph that is not in effect waits for its turn, but for what somebody has gone on from.
    fn begin_anew(&mut self, frame: FrameId) {
        let nodes = self.frame(frame).nodes.clone();
        let begun = nodes.iter().filter(|id| !self.node(**id).runs_again && self.has_begun(**id));
        let stood_on: BTreeSet<NodeId> = begun.flat_map(|id| self.node(*id).needs.iter().copied()).collect();
        for id in nodes {
            if self.node(id).runs_again {
                self.make_new(id);
            } else if !stood_on.contains(&id)
                || !matches!(self.node(id).state, State::Failed(_) | State::Skipped(_))
            {
                self.begin_again(id);
            }
        }
    }

    /// As if it had never run, under a number that no effect of it has had.
    fn make_new(&mut self, id: NodeId) {
        if matches!(self.node(id).state, State::Done) && !self.node(id).grants.is_empty() {
            // It leaves nothing that could be undone, and what it claimed for good stays claimed.
            let before = self.keep_aside(self.node(id).clone());
            self.pools.iter_mut().for_each(|pool| pool.move_user(id, before));
        }
        self.release(id);
        let round = self.round;
        let node = self.node_mut(id);
        node.state = State::Waiting;
        (node.incarnation, node.attempt, node.params) = (round, 0, Value::Null);
        (node.outputs, node.handle, node.within) = (None, None, None);
        (node.held, node.looking, node.objection) = (None, None, None);
        (node.is_half_done, node.is_admitted, node.runs_again) = (false, false, false);
        node.items.clear();
        node.crowd = super::super::tally::Crowd::default();
    }

    fn transplant(&mut self, plan: &Arc<Plan>) {
        let nodes = std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        let mut old = Uprooted { frames: std::mem::take(&mut self.frames), nodes, moved: BTreeMap::new() };
        self.index.clear();
        self.touched.clear();
        self.changed.clear();
        self.plan = Arc::clone(plan);
        self.replant(&mut old, ROOT, &plan.graph, None);
        self.keep_claims(&mut old);
        for pool in &mut self.pools {
            pool.move_users(&old.moved);
        }
    }

    /// The last blocks of earlier ends have no place any more. What their steps claimed for good stays claimed.
    fn keep_claims(&mut self, old: &mut Uprooted) {
        let users: BTreeSet<NodeId> = self.pools.iter().flat_map(Pool::users).collect();
        for from in users {
            if let Some(before) = old.nodes[from.0].take() {
                let to = self.keep_aside(before);
                old.moved.insert(from, to);
            }
        }
    }

    /// Puts what a step was where nobody goes on with it.
    fn keep_aside(&mut self, before: Node) -> NodeId {
        let ended = FrameId(self.frames.len());
        self.frames.push(Frame::new(None, Block::Always, 0));
        self.put_mode(ended, Mode::Ended(FrameEnd::Succeeded));
        let (path, step) = (before.path.clone(), Arc::clone(&before.step));
        let later = self.index.get(&path).copied();
        let id = self.add_node(ended, path.clone(), step, Vec::new());
        self.node_mut(id).take_over(before);
        if let Some(later) = later {
            self.index.insert(path, later);
        }
        id
    }

    /// Makes a graph anew and moves into it what it had.
    fn replant(&mut self, old: &mut Uprooted, from: FrameId, graph: &Graph, item: Option<Item>) -> FrameId {
        let before = &old.frames[from.0];
        let (mode, block, round) = (before.mode(), before.block, before.incarnation.max(self.round));
        let known: BTreeMap<StepId, NodeId> = before
            .nodes
            .iter()
            .filter_map(|id| Some((old.nodes[id.0].as_ref()?.step.id.clone(), *id)))
            .collect();
        let frame = self.add_frame(graph, item, round);
        self.frame_mut(frame).block = block;
        self.frame_mut(frame).replace_mode(mode);
        for id in self.frame(frame).nodes.clone() {
            match known.get(&self.node(id).step.id) {
                Some(from) => self.move_node(old, *from, id),
                None if mode == Mode::Ended(FrameEnd::Succeeded) => {
                    self.node_mut(id).state = State::Skipped(Because::Late);
                }
                None => {}
            }
        }
        frame
    }

    fn move_node(&mut self, old: &mut Uprooted, from: NodeId, to: NodeId) {
        let Some(before) = old.nodes[from.0].take() else { return };
        let is_edited = before.step.body != self.node(to).step.body;
        if is_edited && matches!(before.state, State::Waiting) && before.items.is_empty() {
            // Nothing of it is there: it begins as the new text has it.
            return;
        }
        old.moved.insert(from, to);
        let (items, within) = (before.items.clone(), before.within.clone());
        self.node_mut(to).take_over(before);
        let step = Arc::clone(&self.node(to).step);
        let graph = match &step.body {
            Body::Foreach(foreach) => &foreach.graph,
            Body::Workflow(child) => &child.graph,
            Body::Action(_) | Body::Wait(_) | Body::Question(_) => return,
        };
        for item in items {
            let frame = self.move_inside(old, item, graph, to);
            let mode = self.frame(frame).mode();
            let node = self.node_mut(to);
            node.items.push(frame);
            if node.foreach().is_some() {
                node.crowd.add(frame, mode);
            }
        }
        self.node_mut(to).within = within.map(|within| self.move_within(old, &within, &step.body, to));
    }

    fn move_inside(&mut self, old: &mut Uprooted, from: FrameId, graph: &Graph, owner: NodeId) -> FrameId {
        let item = old.frames[from.0].item.as_ref();
        let (key, value) = item.map_or((None, Value::Null), |item| (item.key.clone(), item.value.clone()));
        self.replant(old, from, graph, Some(Item { owner, key, value }))
    }

    /// The last blocks of a workflow that have run stay known, so that they do not run twice.
    fn move_within(&mut self, old: &mut Uprooted, within: &Within, body: &Body, owner: NodeId) -> Within {
        let Body::Workflow(child) = body else { return within.clone() };
        let mut blocks = Vec::new();
        for (block, frame) in within.blocks() {
            let graph = if *block == Block::Always { &child.always } else { &child.on_failure };
            blocks.push((*block, self.move_inside(old, *frame, graph, owner)));
        }
        within.moved(blocks)
    }
}
