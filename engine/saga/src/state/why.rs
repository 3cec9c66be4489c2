//! Why a step does not run now, and when it is expected to begin.

use std::collections::BTreeMap;

use longhaul_model::ids::StepPath;
use serde::Serialize;

use super::{FrameId, Mode, Node, NodeId, Saga, Stage, State};
use crate::Failure;
use crate::intent::Asked;

/// One thing for which a step waits, or what else there is to say of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Why {
    /// It is over, for this reason if there is one.
    Over {
        /// How: the word for its state.
        state: &'static str,
        /// Why, if it did not succeed.
        reason: Option<String>,
    },
    /// Its effect is under way.
    UnderWay {
        /// Which attempt.
        attempt: u32,
        /// When it takes too long, in Unix milliseconds.
        until_unix_ms: Option<u64>,
    },
    /// Something inside it is under way.
    Inside {
        /// The steps.
        steps: Vec<StepPath>,
    },
    /// An operator holds the run.
    Held {
        /// Who and why.
        reason: String,
    },
    /// The run is over.
    RunOver {
        /// How it stands.
        status: &'static str,
    },
    /// Another step comes first.
    Need {
        /// The step.
        step: StepPath,
        /// How that stands.
        state: &'static str,
    },
    /// It is inside a step that has not begun, or of an item that is not known yet.
    NotThereYet {
        /// The step around it.
        around: StepPath,
    },
    /// Other items of its foreach step come first.
    Turn {
        /// So many run.
        running: usize,
        /// So many may run at once.
        max_parallel: u32,
    },
    /// What it claims is not free.
    Claim {
        /// The resource.
        resource: String,
        /// What it needs of it.
        needs: String,
        /// What is free.
        free: String,
        /// Who has something of it.
        held_by: Vec<StepPath>,
    },
    /// Policies are being asked.
    Policies,
    /// Somebody has to answer.
    Answer {
        /// Who and what.
        asks: Asked,
        /// Who said yes so far.
        approved_by: Vec<String>,
        /// When it lapses, in Unix milliseconds.
        until_unix_ms: Option<u64>,
    },
    /// It depends on whether a site is up, and that is being looked at.
    Site {
        /// The site.
        site: String,
    },
    /// It failed and is tried again.
    Retry {
        /// The last attempt.
        attempt: u32,
        /// Why it failed.
        failure: Failure,
        /// When, in Unix milliseconds.
        at_unix_ms: Option<u64>,
    },
    /// Nobody knows how it ended; that is being asked, or will be again.
    Probe {
        /// Why nobody knows.
        failure: Option<Failure>,
        /// When it is asked again, in Unix milliseconds; none while the answer is on its way.
        at_unix_ms: Option<u64>,
    },
    /// Time passes.
    Wait {
        /// Until then, in Unix milliseconds.
        until_unix_ms: u64,
    },
    /// Only a person can say how it goes on.
    Operator {
        /// What happened.
        failure: Failure,
    },
    /// Its graph turns round: it does not begin any more.
    CalledOff,
    /// What is to run again is undone first.
    Rewinding,
    /// Nothing stands in its way.
    Nothing,
}

/// When a step is expected to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Begins {
    /// Not before then, in Unix milliseconds.
    pub not_before_unix_ms: u64,
    /// What has no time: steps without an estimate, and answers of people.
    pub unknown: Vec<String>,
}

/// What is known of how long steps take.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// By path, in milliseconds.
    pub durations_ms: BTreeMap<String, u64>,
    /// When the last attempt of each step began, in Unix milliseconds.
    pub began_unix_ms: BTreeMap<String, u64>,
}

impl Saga {
    /// Everything that the step waits for; none if the run has no such step.
    #[must_use]
    pub fn why(&self, step: &StepPath) -> Option<Vec<Why>> {
        let Some(id) = self.index.get(step).copied() else { return self.why_not_there(step) };
        let mut why = Vec::new();
        let status = self.status();
        if status.is_final() && !self.is_over_by_itself(id) {
            why.push(Why::RunOver { status: status.as_str() });
        }
        why.extend(self.why_node(id));
        if let (Some(reason), State::Waiting | State::Claiming) = (&self.paused, &self.node(id).state) {
            why.push(Why::Held { reason: reason.clone() });
        }
        if why.is_empty() {
            why.push(Why::Nothing);
        }
        Some(why)
    }

    fn is_over_by_itself(&self, id: NodeId) -> bool {
        matches!(self.why_node(id).first(), Some(Why::Over { .. }))
    }

    /// A path below a step that is there.
    fn why_not_there(&self, step: &StepPath) -> Option<Vec<Why>> {
        let mut around = step.as_str();
        while let Some((outer, _)) = around.rsplit_once('/') {
            around = outer;
            let Some((path, id)) = self.index.iter().find(|(path, _)| path.as_str() == around) else {
                continue;
            };
            let node = self.node(*id);
            if node.items.is_empty() && (node.foreach().is_some() || node.workflow().is_some()) {
                return Some(vec![Why::NotThereYet { around: path.clone() }]);
            }
            return None;
        }
        None
    }

    fn why_node(&self, id: NodeId) -> Vec<Why> {
        let node = self.node(id);
        if let Some(open) = self.question_of(id) {
            let (asks, approved_by) = (open.asks.clone(), open.approved_by.clone());
            return vec![Why::Answer { asks, approved_by, until_unix_ms: open.until_unix_ms }];
        }
        if node.held.is_some() {
            return vec![Why::Policies];
        }
        if let Some(observe) = &node.looking {
            return vec![Why::Site { site: observe.site.clone() }];
        }
        match &node.state {
            State::Waiting => self.why_waiting(id),
            State::Claiming => self.why_claiming(node),
            State::Working(effect) | State::Undoing(effect) => vec![why_under_way(effect)],
            State::Paused(paused) => vec![Why::Wait { until_unix_ms: paused.until_unix_ms() }],
            State::Items(_) => vec![Why::Inside { steps: self.under_way_inside(id) }],
            State::Stuck(stuck) => vec![Why::Operator { failure: stuck.failure.clone() }],
            State::Asking(_)
            | State::Done
            | State::Skipped(_)
            | State::Failed(_)
            | State::Partial(..)
            | State::Undone
            | State::Kept => {
                vec![Why::Over { state: self.status_of(id), reason: self.said_of(node) }]
            }
        }
    }

    fn why_waiting(&self, id: NodeId) -> Vec<Why> {
        let node = self.node(id);
        let mut why = Vec::new();
        match self.frame(node.frame).mode() {
            Mode::Queued => why.extend(self.why_queued(node.frame)),
            Mode::Draining | Mode::Unwinding | Mode::Ended(_) => why.push(Why::CalledOff),
            Mode::Rewinding => why.push(Why::Rewinding),
            Mode::Forward => {}
        }
        let open = node.needs.iter().map(|need| self.node(*need)).filter(|need| {
            !matches!(need.state, State::Done | State::Skipped(_))
                || need.held.is_some()
                || need.objection.is_some()
        });
        why.extend(open.map(|need| Why::Need { step: need.path.clone(), state: need.state.as_str() }));
        why
    }

    fn why_queued(&self, frame: FrameId) -> Option<Why> {
        let owner = self.node(self.frame(frame).item.as_ref()?.owner);
        let max_parallel = owner.foreach()?.max_parallel;
        let running = owner.items.iter().filter(|item| self.frame(**item).mode().is_active()).count();
        Some(Why::Turn { running, max_parallel })
    }

    fn why_claiming(&self, node: &Node) -> Vec<Why> {
        let wishes = self.queue_of(node).claims.into_iter().zip(self.holders_of(node));
        let claim = |(wish, held_by): (crate::intent::Wish, Vec<StepPath>)| Why::Claim {
            resource: wish.resource,
            needs: wish.least,
            free: wish.free,
            held_by,
        };
        wishes.map(claim).collect()
    }

    /// What is under way somewhere inside a step.
    fn under_way_inside(&self, id: NodeId) -> Vec<StepPath> {
        let mut found = Vec::new();
        let mut open = self.node(id).items.clone();
        while let Some(frame) = open.pop() {
            for node in self.frame(frame).nodes.iter().map(|node| self.node(*node)) {
                open.extend(&node.items);
                if node.is_active() && node.items.is_empty() {
                    found.push(node.path.clone());
                }
            }
        }
        found.sort();
        found
    }

    /// When a step is expected to begin; none if it has begun, or is not there yet.
    #[must_use]
    pub fn begins(&self, step: &StepPath, times: &Times, now_unix_ms: u64) -> Option<Begins> {
        let id = self.index.get(step).copied()?;
        let is_ahead = matches!(self.node(id).state, State::Waiting | State::Claiming);
        if !is_ahead || self.status().is_final() {
            return None;
        }
        let mut walk = Walk { saga: self, times, now_unix_ms, ends: BTreeMap::new(), unknown: Vec::new() };
        let not_before_unix_ms = walk.begin(id);
        walk.unknown.sort();
        walk.unknown.dedup();
        Some(Begins { not_before_unix_ms, unknown: walk.unknown })
    }
}

fn why_under_way(effect: &super::Effect) -> Why {
    let (attempt, failure) = (effect.attempt, effect.last.clone());
    match (effect.stage, failure) {
        (Stage::Backoff, Some(failure)) => Why::Retry { attempt, failure, at_unix_ms: effect.due_unix_ms },
        (Stage::Probing, failure) => Why::Probe { failure, at_unix_ms: None },
        (Stage::ProbeBackoff, failure) => Why::Probe { failure, at_unix_ms: effect.due_unix_ms },
        (Stage::Running | Stage::Cancelling | Stage::Backoff, _) => {
            Why::UnderWay { attempt, until_unix_ms: effect.due_unix_ms }
        }
    }
}

/// From what is under way to the step that is asked about.
struct Walk<'a> {
    saga: &'a Saga,
    times: &'a Times,
    now_unix_ms: u64,
    ends: BTreeMap<NodeId, u64>,
    unknown: Vec<String>,
}

impl Walk<'_> {
    /// When a node begins, at the earliest. Needs stand before who needs them, so this comes to an end.
    fn begin(&mut self, id: NodeId) -> u64 {
        let node = self.saga.node(id);
        let mut at = self.now_unix_ms;
        for need in node.needs.clone() {
            at = at.max(self.end(need));
        }
        if matches!(node.state, State::Claiming) {
            self.unknown.push(format!("{}: when its claims are free", node.path));
        }
        let frame = self.saga.frame(node.frame);
        match &frame.item {
            Some(item) if frame.mode() == Mode::Queued => {
                self.unknown.push(format!("{}: when the items before it have ended", node.path));
                at.max(self.begin(item.owner))
            }
            _ => at,
        }
    }

    fn end(&mut self, id: NodeId) -> u64 {
        if let Some(end) = self.ends.get(&id) {
            return *end;
        }
        let end = self.end_of(id);
        self.ends.insert(id, end);
        end
    }

    fn end_of(&mut self, id: NodeId) -> u64 {
        let node = self.saga.node(id);
        match &node.state {
            State::Done | State::Skipped(_) | State::Failed(_) if node.held.is_none() => self.now_unix_ms,
            State::Waiting | State::Claiming => {
                let begin = self.begin(id);
                self.after(node, begin)
            }
            State::Paused(paused) => paused.until_unix_ms(),
            State::Working(_) => {
                let began = self.times.began_unix_ms.get(node.path.as_str()).copied();
                self.after(node, began.unwrap_or(self.now_unix_ms)).max(self.now_unix_ms)
            }
            State::Items(_) => {
                let inside: Vec<NodeId> =
                    node.items.iter().flat_map(|frame| &self.saga.frame(*frame).nodes).copied().collect();
                inside.into_iter().map(|node| self.end(node)).max().unwrap_or(self.now_unix_ms)
            }
            _ => {
                self.unknown.push(format!("{}: {}", node.path, node.state.as_str()));
                self.now_unix_ms
            }
        }
    }

    fn after(&mut self, node: &Node, begin: u64) -> u64 {
        match self.times.durations_ms.get(node.path.as_str()) {
            Some(millis) => begin.saturating_add(*millis),
            None => {
                self.unknown.push(format!("{}: how long it takes", node.path));
                begin
            }
        }
    }
}
