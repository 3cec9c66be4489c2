//! The state of a run and the rules by which it changes.
//!
//! ```text
//!  frame: a graph instance (the root, an item of a foreach, a workflow that runs as a step, `on_failure`, `always`)
//!
//!   queued -> forward ------------------------------> ended: succeeded
//!                |  a step failed, nothing is past       |
//!                v  its pivot here                       | the step around it is undone
//!             draining -> unwinding <--------------------+
//!                            |  ended: unwound | partial | stuck
//!
//!  node: a step instance
//!   waiting -> working -> done -> undoing -> undone       working: running -> cancelling -> probing
//!      |          +-> failed        +-> stuck                        backoff, waiting to probe again
//!      +-> skipped
//! ```
//!
//! **Pivots.** From the moment a pivot is started until it is proven that it left nothing behind, its frame only goes
//! forward: nothing in it is undone, and in the frames around it nothing that the way to it stands on. A pivot that
//! certainly left nothing behind has not happened, and the frame may unwind. The pivot of a workflow that runs as a step is
//! one of the frame around it as well, as if its steps stood there. A step that fails for good where only
//! forward is allowed stops for an operator; a resume tries it again.
//!
//! **Last blocks.** `on_failure` and `always` never unwind, nor do the items of their foreach steps: what becomes of the run
//! is decided by then. A workflow that one of their steps runs is a graph of its own, and does. Nobody goes on with what
//! needs an operator there; after a resume that ends again they run anew.

mod advance;
mod again;
mod child;
mod claim;
mod compensation;
mod consent;
mod create;
mod effect;
mod ending;
mod foreach;
mod foresee;
mod frame;
mod kept;
mod leave;
mod look;
mod node;
mod pause;
mod policy;
mod question;
mod replan;
mod resume;
mod scope;
mod tally;
mod turn;
mod unwind;
mod view;
mod why;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use claim::Pool;
use consent::Consent;
pub(crate) use effect::Stage;
use effect::{Effect, How};
pub use foresee::Foreseen;
use frame::{Block, Frame, FrameEnd, FrameId, Item, Mode};
pub use kept::KEPT_FORM;
use longhaul_model::ids::{RunId, StepId, StepPath};
use longhaul_model::policy::Hook;
use longhaul_plan::Plan;
use node::{Node, NodeId, State, Stuck};
pub use question::{NoVote, OpenQuestion};
pub use replan::{Kept, NoReplan, Replan};
use serde::{Deserialize, Serialize};
pub use view::StepView;
pub use why::{Begins, Times, Why};

use crate::intent::Start;
use crate::{Command, Decide, Event, Illegal, Inquire, Intent, Status, Work};

/// The state machine of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saga {
    run: RunId,
    #[serde(skip, default = "kept::no_plan")]
    plan: Arc<Plan>,
    frames: Vec<Frame>,
    nodes: Vec<Node>,
    #[serde(skip)]
    index: BTreeMap<StepPath, NodeId>,
    phase: Phase,
    /// The time of the last event.
    now_unix_ms: u64,
    /// Given up by an operator.
    cancelled: bool,
    /// Given up, and everything stays as it is.
    left: bool,
    /// Why no further step begins, while that is so.
    pub(crate) paused: Option<String>,
    /// The person who started the run, if that is known.
    started_by: Option<String>,
    /// Why everything stays as it is, if not because an operator wants it so.
    left_because: Option<String>,
    /// A person wants what was done undone.
    is_undo_agreed: bool,
    /// Whether something may be undone, by the step that runs the workflow; the run's own has none.
    #[serde(with = "kept::pairs")]
    consents: BTreeMap<Option<NodeId>, Consent>,
    /// What came with each signal last.
    signals: BTreeMap<StepId, serde_json::Value>,
    /// How often the run has come to an end that an operator had to lift; the incarnation of `always` depends on it.
    stops: u32,
    /// Number of the newest round that began with another plan; 0 as long as none has. The state of a run that has one is not
    /// kept beside its records: what is kept names its steps by the first plan.
    #[serde(skip)]
    round: u32,
    /// The plan that takes the place of this one as soon as what is to run again is undone.
    #[serde(skip)]
    successor: Option<Arc<Plan>>,
    /// Number of the last timer asked for.
    timers: u64,
    /// Number of the last look of a step's own probe.
    inquiries: u32,
    /// What steps share, as far as one of them has asked for it.
    pools: Vec<Pool>,
    /// Steps that wait for their claims, in the order in which they came.
    claiming: Vec<claim::Claimant>,
    /// Frames that must be looked at again.
    touched: VecDeque<FrameId>,
    /// Nodes that have to be counted again.
    #[serde(skip)]
    changed: Vec<NodeId>,
    /// Commands of the event being applied.
    #[serde(skip)]
    outbox: Vec<Command>,
}

/// The graph of the plan's steps.
const ROOT: FrameId = FrameId(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Main,
    /// The steps have come to this end; `on_failure` or `always` runs.
    Last(Status),
    Ended(Status),
}

impl Saga {
    /// Carries an event into the state and says what is to be done next, in order. `at_unix_ms` is the time that its record
    /// bears: for the saga no other time passes.
    ///
    /// # Errors
    /// When the event does not fit; the state is unchanged then.
    pub fn apply(&mut self, event: &Event, at_unix_ms: u64) -> Result<Vec<Command>, Illegal> {
        let before = self.now_unix_ms;
        // A controller's clock may be set back.
        self.now_unix_ms = before.max(at_unix_ms);
        event.apply(self).inspect_err(|_| self.now_unix_ms = before)?;
        self.settle();
        Ok(self.take_outbox())
    }

    /// How the run stands.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Main | Phase::Last(_) => Status::Running,
            Phase::Ended(status) => status,
        }
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Why no further step begins, if an operator holds the run.
    #[must_use]
    pub fn paused(&self) -> Option<&str> {
        self.paused.as_deref()
    }

    /// What the run does.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether the step still waits for this timer.
    #[must_use]
    pub fn awaits(&self, step: &StepPath, timer: u64) -> bool {
        let node = self.index.get(step).map(|id| self.node(*id));
        node.is_some_and(|node| node.timer() == Some(timer))
    }

    /// Whether a call of this step can still say something: its effect is under way, or is being asked about. An undo that
    /// took too long is given up without a word of its call.
    #[must_use]
    pub fn hears(&self, step: &StepPath) -> bool {
        let effect = self.index.get(step).and_then(|id| self.node(*id).effect());
        effect.is_some_and(|effect| match effect.stage {
            Stage::Running | Stage::Cancelling | Stage::Probing => true,
            Stage::Backoff | Stage::ProbeBackoff => false,
        })
    }

    /// Whether a start that was decided still stands: nothing has called it off, and nothing has taken its place.
    #[must_use]
    pub fn wants(&self, start: &Start) -> bool {
        let effect = self.index.get(&start.step).and_then(|id| self.node(*id).effect());
        effect.is_some_and(|effect| {
            let key = (effect.work, effect.incarnation, effect.attempt);
            key == (start.work, start.incarnation, start.attempt) && effect.stage == Stage::Running
        })
    }

    /// Whether from the start of this step on its graph only goes forward.
    #[must_use]
    pub fn is_pivot(&self, step: &StepPath) -> bool {
        let action = self.index.get(step).and_then(|id| self.node(*id).action());
        action.is_some_and(|action| action.pivot)
    }

    /// Whether the step still waits for what this look of its probe finds.
    #[must_use]
    pub fn inquires(&self, inquire: &Inquire) -> bool {
        let effect = self.index.get(&inquire.step).and_then(|id| self.node(*id).effect());
        effect.is_some_and(|effect| effect.inquiry == Some(inquire.number))
    }

    /// Looks at every touched frame until nothing moves any more. It ends: every look either ends a frame, starts a
    /// node or touches nothing.
    fn settle(&mut self) {
        if self.paused.is_some() {
            return;
        }
        loop {
            while let Some(frame) = self.touched.pop_front() {
                self.frame_mut(frame).is_touched = false;
                self.advance(frame);
            }
            if !self.pack() {
                break;
            }
        }
        self.tell_who_waits();
    }

    /// What is asked for, without questions that nobody waits for any more.
    fn take_outbox(&mut self) -> Vec<Command> {
        let mut outbox = std::mem::take(&mut self.outbox);
        outbox.retain(|command| match command {
            Command::Decide(decide) => self.is_awaited(decide),
            Command::Observe(observe) => self.looks(&observe.step, observe.work, &observe.site),
            Command::Intent(_) | Command::Probe(_) | Command::Inquire(_) | Command::Wait(_) => true,
        });
        outbox
    }

    /// Whether somebody still waits for what policies say.
    pub(crate) fn is_awaited(&self, decide: &Decide) -> bool {
        let id = decide.step.as_ref().and_then(|step| self.index.get(step)).copied();
        match (decide.hook, id) {
            (Hook::OnFailure, home) => self.consents.get(&home) == Some(&Consent::Asked),
            (Hook::Plan | Hook::BeforeStep | Hook::AfterStep, Some(id)) => {
                self.node(id).held.as_ref().is_some_and(|held| held.asks_policies())
            }
            (Hook::Plan | Hook::BeforeStep | Hook::AfterStep, None) => false,
        }
    }

    fn touch(&mut self, frame: FrameId) {
        if !std::mem::replace(&mut self.frame_mut(frame).is_touched, true) {
            self.touched.push_back(frame);
        }
    }

    fn decide(&mut self, intent: Intent) {
        self.outbox.push(Command::Intent(intent));
    }

    /// The node of that path.
    pub(crate) fn find(&self, event: &'static str, step: &StepPath) -> Result<NodeId, Illegal> {
        self.index.get(step).copied().ok_or_else(|| Illegal::NoSuchStep { event, step: step.clone() })
    }

    /// The node of that path, if its effect for `work` is in one of these stages.
    pub(crate) fn in_stage(
        &self,
        event: &'static str,
        step: &StepPath,
        work: Work,
        stages: &[Stage],
    ) -> Result<NodeId, Illegal> {
        let id = self.find(event, step)?;
        let node = self.node(id);
        let fits = node.effect().is_some_and(|effect| effect.work == work && stages.contains(&effect.stage));
        if fits {
            return Ok(id);
        }
        let wanted = stages.first().map_or("nothing", |stage| stage.as_str());
        let state = node.effect().map_or(node.state.as_str(), |effect| effect.stage.as_str());
        Err(Illegal::Step { event, step: step.clone(), state, wanted })
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    fn frame(&self, id: FrameId) -> &Frame {
        &self.frames[id.0]
    }

    fn frame_mut(&mut self, id: FrameId) -> &mut Frame {
        &mut self.frames[id.0]
    }
}
