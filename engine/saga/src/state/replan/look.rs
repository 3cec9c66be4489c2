//! What going on with another plan means for each step, and what stands against it.

use std::collections::BTreeSet;

use longhaul_model::action::Effects;
use longhaul_model::ids::{StepId, StepPath};
use longhaul_model::policy::Verdict;
use longhaul_plan::{Body, Graph, Plan, Resource, Step};
use serde::Serialize;

use super::super::compensation::Undo;
use super::super::{FrameEnd, FrameId, Mode, Node, NodeId, Phase, ROOT, Saga, State};
use crate::Work;

/// What becomes of the steps of a run that goes on with another plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replan {
    /// Done or under way, and as they are.
    pub kept: Vec<Kept>,
    /// They run again.
    pub again: Vec<StepPath>,
    /// What is undone before that, in this order.
    pub undone: Vec<StepPath>,
    /// Steps that the run did not have before.
    pub new: Vec<StepPath>,
    /// Steps that are in the new plan no more, and of which nothing is there.
    pub gone: Vec<StepPath>,
    /// New steps that do not run: the item or the workflow to which they belong is over.
    pub late: Vec<StepPath>,
}

/// A step that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The step.
    pub step: StepPath,
    /// How it stands.
    pub state: &'static str,
    /// Whether its text is another one now, which changes nothing of what it did.
    pub is_edited: bool,
}

/// Why a run cannot go on with another plan. Places are `FILE:LINE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReplan {
    /// The last steps of the run, or of a workflow in it, are running.
    #[error("{what} has come to its end and runs its last steps; let them come to theirs first")]
    LastSteps {
        /// The run, or the step that runs the workflow.
        what: String,
    },
    /// People have to approve the new plan, and are only asked when a run begins.
    #[error(
        "policy `{policy}` wants the new plan approved, and people are asked about a plan only when its run begins"
    )]
    Approval {
        /// The policy.
        policy: String,
    },
    /// A policy forbids the new plan.
    #[error("{why}")]
    Denied {
        /// Which one, and why.
        why: String,
    },
    /// There is no such step.
    #[error("there is no step `{0}` among the run's steps")]
    NoSuchStep(StepPath),
    /// What nothing can undo would run again.
    #[error(
        "`{step}` ({at}) cannot run again: what it did, or something that stands on it, cannot be undone"
    )]
    Pivot {
        /// The step.
        step: StepPath,
        /// Where it stands.
        at: String,
    },
    /// Something is there of a step that the new plan does not have.
    #[error("`{step}` ({at}) is {state}, and has no place in the new workflow")]
    NoPlace {
        /// The step.
        step: StepPath,
        /// Where the plan so far has it.
        at: String,
        /// How it stands.
        state: &'static str,
    },
    /// Something is there of a step that the new plan has as another one.
    #[error("`{step}` ({at}) is {state} with {was}, and would be {now} in {to}")]
    Other {
        /// The step.
        step: StepPath,
        /// Where the plan so far has it.
        at: String,
        /// How it stands.
        state: &'static str,
        /// What it does so far.
        was: String,
        /// What it would do.
        now: String,
        /// Where the new plan has it.
        to: String,
    },
    /// A step that has begun would need one that has not come to its end.
    #[error("`{step}` is {state}, and would need `{need}` ({at}), which has not come to its end")]
    Before {
        /// The step.
        step: StepPath,
        /// How it stands.
        state: &'static str,
        /// What it would need.
        need: StepId,
        /// Where the new plan has the step.
        at: String,
    },
    /// A step inside one that begins once more as a whole.
    #[error("`{step}` is {state} and begins once more by itself, with what is in it")]
    Inside {
        /// The step around it.
        step: StepPath,
        /// How that stands.
        state: &'static str,
    },
    /// What a step has claimed would become something else.
    #[error("`{step}` has a part of the resource `{resource}`, which would be another one")]
    Resource {
        /// The step.
        step: StepPath,
        /// The resource.
        resource: String,
    },
}

impl NoReplan {
    /// What can be done about it: a lower-case fragment.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::LastSteps { .. } => "resume the run as it is; when it has ended, go on from there",
            Self::Approval { .. } => "end this run, and begin one of its own with the new workflow",
            Self::Denied { .. } => "do what the policy asks for",
            Self::NoSuchStep(_) => "`longhaul status RUN` names every step",
            Self::Pivot { .. } => "name a step behind it with --from",
            Self::Inside { .. } => "leave the --from out",
            Self::NoPlace { .. } | Self::Other { .. } => {
                "leave it as it was in the file, or name it with --from: then it is undone first"
            }
            Self::Before { .. } => {
                "name it with --from, so that it runs again behind that one, or leave the need out"
            }
            Self::Resource { .. } => "leave the resource as it was, or wait until the step has ended",
        }
    }
}

/// The same with the places of what is to be changed.
#[derive(Default)]
pub(super) struct Look {
    pub(super) replan: Replan,
    /// The nodes that run again, whole.
    pub(super) again: Vec<NodeId>,
    /// The graphs in which something is still to be done.
    pub(super) live: Vec<FrameId>,
    against: Vec<NoReplan>,
}

/// The part of the new plan that is to take the place of a graph.
#[derive(Clone, Copy)]
struct Heir<'p> {
    graph: &'p Graph,
    /// The step around it has not begun, or begins once more: nothing goes on in it before that.
    sleeps: bool,
    file: &'p str,
    /// The shared resources of the workflow so far, and of the new one.
    resources: (&'p [Resource], &'p [Resource]),
}

/// What is found of a graph while one looks at it.
struct Found<'p> {
    heir: Heir<'p>,
    /// The ids of the steps that run again, whole or inside.
    shaken: BTreeSet<StepId>,
    is_over: bool,
}

impl Saga {
    pub(super) fn look_ahead(&self, plan: &Plan, again: &[StepPath]) -> Result<Look, Vec<NoReplan>> {
        let mut look = Look::default();
        if matches!(self.phase, Phase::Last(_)) {
            return Err(vec![NoReplan::LastSteps { what: format!("run `{}`", self.run) }]);
        }
        look.against.extend(judged(plan).filter(|_| *plan != *self.plan));
        let mut asked = BTreeSet::new();
        for step in again {
            match self.index.get(step).filter(|id| self.is_in_steps(self.node(**id).frame)) {
                Some(id) => drop(asked.insert(*id)),
                None => look.against.push(NoReplan::NoSuchStep(step.clone())),
            }
        }
        let resources = (self.plan.resources.as_slice(), plan.resources.as_slice());
        let heir = Heir { graph: &plan.graph, sleeps: false, file: &plan.workflow.file, resources };
        self.look_at_ends(ROOT, &mut look);
        self.look_at_frame(ROOT, heir, &asked, &mut look);
        look.replan.undone.reverse();
        if look.against.is_empty() { Ok(look) } else { Err(look.against) }
    }

    /// Workflows in a graph that have come to their end and run their last steps.
    fn look_at_ends(&self, id: FrameId, look: &mut Look) {
        for node in self.frame(id).nodes.iter().map(|node| self.node(*node)) {
            if self.runs_last_steps(node) {
                look.against.push(NoReplan::LastSteps { what: format!("`{}`", node.path) });
            }
            node.items.iter().for_each(|item| self.look_at_ends(*item, look));
        }
    }

    /// Looks at one graph; true if something in it runs again.
    fn look_at_frame(&self, id: FrameId, heir: Heir<'_>, asked: &BTreeSet<NodeId>, look: &mut Look) -> bool {
        let mode = self.frame(id).mode();
        let never = matches!(mode, Mode::Ended(FrameEnd::Unwound | FrameEnd::NeverRan | FrameEnd::Failed));
        if never && id != ROOT {
            return false;
        }
        let is_asked = self.holds_asked(id, asked);
        let has_come_through = matches!(mode, Mode::Ended(FrameEnd::Succeeded | FrameEnd::Partial));
        let is_over = id != ROOT && has_come_through && !is_asked;
        if !is_over && !heir.sleeps && (mode != Mode::Queued || id == ROOT) {
            look.live.push(id);
        }
        let mut found = Found { heir, shaken: BTreeSet::new(), is_over };
        for node in self.frame(id).nodes.clone() {
            if self.runs_again(node, &found, asked) {
                found.shaken.insert(self.node(node).step.id.clone());
                self.look_at_again(node, heir, look);
            } else if self.look_at_kept(node, &found, asked, look) {
                found.shaken.insert(self.node(node).step.id.clone());
            }
        }
        self.look_at_new(id, &found, look);
        is_asked
    }

    /// Whether a step inside a graph, however deep, is asked to run again.
    fn holds_asked(&self, id: FrameId, asked: &BTreeSet<NodeId>) -> bool {
        let is_inside = |node: &NodeId| {
            let mut frame = self.node(*node).frame;
            loop {
                if frame == id {
                    return true;
                }
                let Some(item) = &self.frame(frame).item else { return false };
                frame = self.node(item.owner).frame;
            }
        };
        asked.iter().any(is_inside)
    }

    /// Whether a node runs again whole: somebody wants it, it is being undone, or it stands on one that does.
    fn runs_again(&self, id: NodeId, found: &Found<'_>, asked: &BTreeSet<NodeId>) -> bool {
        let node = self.node(id);
        let is_undone = match &node.state {
            State::Undoing(_) | State::Items(Work::Undo) | State::Partial(..) => true,
            State::Stuck(stuck) => stuck.work == Work::Undo,
            _ => false,
        };
        let stood = node.needs.iter().any(|need| found.shaken.contains(&self.node(*need).step.id));
        let step = found.heir.graph.step(&node.step.id);
        let will_stand = step.is_some_and(|step| step.needs.iter().any(|need| found.shaken.contains(need)));
        is_undone || asked.contains(&id) || stood || will_stand
    }

    fn look_at_again(&self, id: NodeId, heir: Heir<'_>, look: &mut Look) {
        let node = self.node(id);
        look.again.push(id);
        if self.stays_for_good(id) {
            let (step, at) = (node.path.clone(), self.placed(node));
            look.against.push(NoReplan::Pivot { step, at });
        }
        let is_undone = self.is_undone_first(id);
        if is_undone {
            look.replan.undone.push(node.path.clone());
        }
        match heir.graph.step(&node.step.id) {
            Some(_) => look.replan.again.push(node.path.clone()),
            None if is_undone => {}
            None => look.replan.gone.push(node.path.clone()),
        }
    }

    /// Looks at a node that does not run again as a whole; true if something inside it does.
    fn look_at_kept(&self, id: NodeId, found: &Found<'_>, asked: &BTreeSet<NodeId>, look: &mut Look) -> bool {
        let node = self.node(id);
        let heir = found.heir;
        let Some(step) = heir.graph.step(&node.step.id) else {
            match leaves_nothing(node) || !(self.has_begun(id) || self.holds_something(id)) {
                true => look.replan.gone.push(node.path.clone()),
                false => look.against.push(NoReplan::NoPlace {
                    step: node.path.clone(),
                    at: self.placed(node),
                    state: node.state.as_str(),
                }),
            }
            return false;
        };
        let (was, now) = (does(&node.step.body), does(&step.body));
        if was != now && (self.has_begun(id) || self.holds_something(id)) {
            let (to, at) = (format!("{}:{}", heir.file, step.line), self.placed(node));
            let state = node.state.as_str();
            look.against.push(NoReplan::Other { step: node.path.clone(), at, state, was, now, to });
            return false;
        }
        if !self.has_begun(id) {
            self.look_at_waiting(id, asked, look);
            self.look_inside(id, &step.body, Heir { sleeps: true, ..heir }, asked, look);
            return false;
        }
        self.look_at_claims(node, heir, look);
        if !found.is_over && !heir.sleeps {
            self.look_at_needs(node, step, heir, look);
        }
        let is_edited = node.step.body != step.body;
        look.replan.kept.push(Kept { step: node.path.clone(), state: node.state.as_str(), is_edited });
        self.look_inside(id, &step.body, heir, asked, look)
    }

    /// A step that begins once more by itself does so with all that is in it: nothing in it can be named.
    fn look_at_waiting(&self, id: NodeId, asked: &BTreeSet<NodeId>, look: &mut Look) {
        let inside = self.node(id).items.iter().any(|item| self.holds_asked(*item, asked));
        if inside {
            let node = self.node(id);
            let (step, state) = (node.path.clone(), node.state.as_str());
            look.against.push(NoReplan::Inside { step, state });
        }
    }

    /// Whether something of a node is there, or under way, or was decided by people.
    pub(super) fn has_begun(&self, id: NodeId) -> bool {
        let is_open = self.is_left_open(id) || (self.node(id).is_stuck() && self.holds_something(id));
        has_begun(self.node(id)) || is_open
    }

    /// Whether a step ended because the run was left as it was, with something inside it under way or done.
    pub(super) fn is_left_open(&self, id: NodeId) -> bool {
        matches!(self.node(id).state, State::Failed(_) | State::Undone) && self.has_stopped_items(id)
    }

    pub(super) fn has_stopped_items(&self, id: NodeId) -> bool {
        let has_stopped = |item: &FrameId| {
            matches!(self.frame(*item).mode(), Mode::Ended(FrameEnd::Left | FrameEnd::Stuck { .. }))
        };
        self.node(id).items.iter().any(has_stopped)
    }

    /// Whether something inside a step may be there although the step itself is not done.
    pub(super) fn holds_something(&self, id: NodeId) -> bool {
        self.node(id).items.iter().any(|item| {
            let mode = self.frame(*item).mode();
            !matches!(mode, Mode::Ended(FrameEnd::Unwound | FrameEnd::NeverRan | FrameEnd::Failed))
        })
    }

    fn look_inside(
        &self,
        id: NodeId,
        body: &Body,
        heir: Heir<'_>,
        asked: &BTreeSet<NodeId>,
        look: &mut Look,
    ) -> bool {
        let node = self.node(id);
        let heir = match (body, node.workflow()) {
            (Body::Foreach(foreach), _) => Heir { graph: &foreach.graph, ..heir },
            (Body::Workflow(child), Some(now)) => {
                let resources = (now.resources.as_slice(), child.resources.as_slice());
                Heir { graph: &child.graph, file: &child.workflow.file, resources, ..heir }
            }
            _ => return false,
        };
        let mut is_shaken = false;
        for item in &node.items {
            is_shaken |= self.look_at_frame(*item, heir, asked, look);
        }
        is_shaken
    }

    /// A step that has begun must not come to stand on one that has not ended.
    fn look_at_needs(&self, node: &Node, step: &Step, heir: Heir<'_>, look: &mut Look) {
        let beside = &self.frame(node.frame).nodes;
        let has_ended = |need: &StepId| {
            let need = beside.iter().map(|id| self.node(*id)).find(|other| other.step.id == *need);
            need.is_some_and(|need| match &need.state {
                State::Done | State::Kept | State::Skipped(_) | State::Failed(_) => true,
                State::Undone => need.is_scope(),
                // It went on before that one had ended, and was allowed to.
                _ => node.needs.iter().any(|id| self.node(*id).path == need.path),
            })
        };
        if let Some(need) = step.needs.iter().find(|need| !has_ended(need)) {
            let at = format!("{}:{}", heir.file, step.line);
            let (path, state) = (node.path.clone(), node.state.as_str());
            look.against.push(NoReplan::Before { step: path, state, need: need.clone(), at });
        }
    }

    fn look_at_claims(&self, node: &Node, heir: Heir<'_>, look: &mut Look) {
        let (before, now) = heir.resources;
        let of = |all: &'_ [Resource], name: &str| all.iter().find(|one| one.name == name).cloned();
        for budget in self.budgets(&node.path) {
            if of(before, &budget.name) != of(now, &budget.name) {
                let (step, resource) = (node.path.clone(), budget.name.clone());
                look.against.push(NoReplan::Resource { step, resource });
            }
        }
    }

    fn look_at_new(&self, id: FrameId, found: &Found<'_>, look: &mut Look) {
        let known: BTreeSet<&StepId> =
            self.frame(id).nodes.iter().map(|node| &self.node(*node).step.id).collect();
        let new = found.heir.graph.steps.iter().filter(|step| !known.contains(&step.id));
        let paths: Vec<StepPath> = new.map(|step| self.path_in(id, &step.id)).collect();
        if found.is_over { look.replan.late.extend(paths) } else { look.replan.new.extend(paths) }
    }

    /// Whether a workflow has come to its end and its last blocks are under way.
    fn runs_last_steps(&self, node: &Node) -> bool {
        let within = node.within.as_ref();
        within.is_some_and(|within| {
            within.blocks().iter().any(|(_, frame)| self.frame(*frame).mode().is_active())
        })
    }

    /// Whether something of a node is there, or may be, that nothing can undo.
    fn stays_for_good(&self, id: NodeId) -> bool {
        let is_final = self.has_begun(id) && matches!(self.undo_of(id), Undo::Impossible);
        let inside = self.node(id).items.iter().flat_map(|item| &self.frame(*item).nodes);
        is_final || self.holds_pivot(id) || inside.into_iter().any(|node| self.stays_for_good(*node))
    }

    /// Whether a node that runs again has something that is undone before.
    fn is_undone_first(&self, id: NodeId) -> bool {
        self.has_begun(id) && !leaves_nothing(self.node(id))
    }

    fn placed(&self, node: &Node) -> String {
        self.place_of(&node.path).unwrap_or_default()
    }
}

/// What policies have against a plan.
fn judged(plan: &Plan) -> impl Iterator<Item = NoReplan> {
    let denied = Verdict::denials(&plan.verdicts).map(|why| NoReplan::Denied { why });
    let asking = plan.verdicts.iter().filter(|verdict| verdict.approval().is_some());
    let asking = asking.map(|verdict| NoReplan::Approval { policy: verdict.policy.clone() });
    denied.into_iter().chain(asking)
}

/// What a step does, as far as another text may not say otherwise about what was done.
fn does(body: &Body) -> String {
    body.uses().map_or_else(|| format!("`{}`", body.word()), |uses| format!("`{uses}`"))
}

/// Whether something of a node is there, or under way, or was decided by people.
fn has_begun(node: &Node) -> bool {
    match &node.state {
        State::Waiting | State::Claiming | State::Skipped(_) | State::Failed(_) | State::Undone => false,
        State::Stuck(stuck) => stuck.effect.is_some() || stuck.work == Work::Undo,
        State::Working(_)
        | State::Paused(_)
        | State::Asking(_)
        | State::Items(_)
        | State::Done
        | State::Partial(..)
        | State::Undoing(_)
        | State::Kept => true,
    }
}

/// Whether a node that has ended can be forgotten.
fn leaves_nothing(node: &Node) -> bool {
    let is_plain = match &node.step.body {
        Body::Action(action) => action.effects == Effects::None && action.compensate.is_none(),
        Body::Wait(_) | Body::Question(_) => true,
        Body::Foreach(_) | Body::Workflow(_) => node.items.is_empty(),
    };
    is_plain && matches!(node.state, State::Done)
}
