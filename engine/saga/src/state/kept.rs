//! A state as it is kept beside the records, so that a run of a million records is taken up as fast as a new one.
//!
//! What is kept is only ever a shortcut: whoever has none folds the records from the first. So it bears the number of its
//! form, and one of another form is not read. The plan is not kept, nor what is counted or follows from the plan; both are put
//! in their places again.

use std::sync::Arc;

use longhaul_plan::{Body, Graph, Plan, Step, WorkflowPin};
use serde::{Deserialize, Serialize};

use super::create::{may_carry, wait_for};
use super::tally::{Crowd, Part, Tally};
use super::{Block, FrameId, NodeId, Saga};

/// The number of the form. Raised with every change of what the state holds or means; a test compares an example.
pub const KEPT_FORM: u32 = 1;

/// A state as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    saga: Saga,
    /// The steps of graphs that are in no plan, in the order of their nodes.
    own: Vec<Step>,
}

impl Saga {
    /// The state as text; none while something that was asked for has not been handed out, and of a run with another plan than
    /// its first.
    #[must_use]
    pub fn keep(&self) -> Option<String> {
        if !self.outbox.is_empty() || self.round > 0 {
            return None;
        }
        let nodes = self.frames.iter().filter(|frame| is_own(frame.block)).flat_map(|frame| &frame.nodes);
        let own = nodes.map(|node| Step::clone(&self.node(*node).step)).collect();
        let kept = Kept { saga: self.clone(), own };
        Some(serde_json::to_string(&kept).expect("a state holds only what JSON has"))
    }

    /// The state that was kept of a run with this plan.
    ///
    /// # Errors
    /// When the text is not one of a state of this form.
    pub fn recall(text: &str, plan: Plan) -> serde_json::Result<Self> {
        let Kept { mut saga, own } = serde_json::from_str(text)?;
        saga.plan = Arc::new(plan);
        let mut own = own.into_iter();
        for frame in (0..saga.frames.len()).map(FrameId) {
            let steps: Vec<Arc<Step>> = match saga.graph_of(frame) {
                Some(graph) => graph.steps.into_iter().map(Arc::new).collect(),
                None => own.by_ref().take(saga.frame(frame).nodes.len()).map(Arc::new).collect(),
            };
            saga.put_steps(frame, steps)?;
        }
        for frame in saga.touched.clone() {
            saga.frame_mut(frame).is_touched = true;
        }
        Ok(saga)
    }

    /// The graph of the plan that a frame is an instance of; none if the plan has none such.
    fn graph_of(&self, id: FrameId) -> Option<Graph> {
        let frame = self.frame(id);
        if is_own(frame.block) {
            return None;
        }
        let Some(item) = &frame.item else {
            return match frame.block {
                Block::OnFailure => Some(self.plan.on_failure.clone()),
                Block::Always => Some(self.plan.always.clone()),
                Block::Steps | Block::Deadline | Block::Admission | Block::Undoing => {
                    Some(self.plan.graph.clone())
                }
            };
        };
        match (&self.node(item.owner).step.body, frame.block) {
            (Body::Foreach(foreach), _) => Some(foreach.graph.clone()),
            (Body::Workflow(child), Block::OnFailure) => Some(child.on_failure.clone()),
            (Body::Workflow(child), Block::Always) => Some(child.always.clone()),
            (Body::Workflow(child), _) => Some(child.graph.clone()),
            (Body::Action(_) | Body::Wait(_) | Body::Question(_), _) => None,
        }
    }

    /// Gives the nodes of a frame their steps, and counts them.
    fn put_steps(&mut self, id: FrameId, steps: Vec<Arc<Step>>) -> serde_json::Result<()> {
        let nodes = self.frame(id).nodes.clone();
        if nodes.len() != steps.len() || nodes.iter().any(|node| node.0 >= self.nodes.len()) {
            return Err(serde::de::Error::custom("a graph has another number of steps than the plan says"));
        }
        self.frame_mut(id).tally = Tally::default();
        for (node, step) in nodes.into_iter().zip(steps) {
            if may_carry(&step) {
                self.frame_mut(id).carriers.push(node);
            }
            let kept = &mut self.nodes[node.0];
            (kept.part, kept.step) = (Part::new(kept.needs.len()), step);
            let path = kept.path.clone();
            self.index.insert(path, node);
            self.count_in(node);
            self.count_items(node);
        }
        Ok(())
    }

    fn count_items(&mut self, node: NodeId) {
        let mut crowd = Crowd::default();
        for item in &self.node(node).items {
            crowd.add(*item, self.frame(*item).mode());
        }
        self.nodes[node.0].crowd = crowd;
    }
}

/// Whether the steps of such a graph are in no plan: they wait for a deadline, or ask people on behalf of policies.
fn is_own(block: Block) -> bool {
    match block {
        Block::Deadline | Block::Admission | Block::Undoing => true,
        Block::Steps | Block::OnFailure | Block::Always => false,
    }
}

/// Stands for a step until it is put in its place.
pub(super) fn no_step() -> Arc<Step> {
    let mut steps = wait_for(&longhaul_expr::Expression::parse("${{ true }}").expect("it is one")).steps;
    Arc::new(steps.remove(0))
}

/// Stands for the plan until it is put in its place.
pub(super) fn no_plan() -> Arc<Plan> {
    let none = String::new;
    let workflow = WorkflowPin { name: none(), version: none(), sha256: none(), file: none() };
    Arc::new(Plan {
        workflow,
        inputs: serde_json::Map::new(),
        deadline: None,
        resources: Vec::new(),
        plugins: Vec::new(),
        policies: Vec::new(),
        verdicts: Vec::new(),
        graph: Graph::default(),
        outputs: Vec::new(),
        on_failure: Graph::default(),
        always: Graph::default(),
    })
}

/// Maps whose keys are no texts, as lists of pairs.
pub(super) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::state) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(in crate::state) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
