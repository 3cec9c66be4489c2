//! One effect under way: starting it, asking about it, trying it again.

use std::collections::BTreeMap;

use longhaul_model::action::ActionName;
use longhaul_plan::Backoff;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compensation::Undo;
use super::{NodeId, Saga, State, Stuck};
use crate::intent::{Cancel, Compensate, Start, TIMED_OUT};
use crate::{Command, Failure, Inquire, Intent, Probe, Wait, Work};

/// How long an action may take to say how a cancelled effect ended. Then it is probed.
const CANCEL_GRACE_MS: u64 = 30_000;
/// How often a probe that cannot tell is repeated before an operator is asked; with the waits below about four
/// minutes, longer than a link takes to be routed anew.
const PROBES_MAX: u32 = 12;
/// The wait before the second probe; doubled each time.
const PROBE_WAIT_MS: u64 = 1_000;
/// The longest wait between two probes.
const PROBE_WAIT_MS_MAX: u64 = 30_000;
/// An undo is tried at least so often, whatever the step's own policy: giving up costs a person's night.
const UNDO_TRIES_MIN: u32 = 3;

/// How far an effect is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Running,
    Cancelling,
    /// It certainly left nothing behind and is tried again later.
    Backoff,
    Probing,
    /// The probe could not tell and is repeated later.
    ProbeBackoff,
}

impl Stage {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Backoff => "waiting to try again",
            Self::Probing => "being probed",
            Self::ProbeBackoff => "waiting to probe again",
        }
    }
}

/// What brings an effect about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum How {
    /// An action's `start` with these parameters.
    Start { uses: ActionName, params: Value },
    /// The `compensate` of the step's own action.
    Own,
}

/// An effect under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) work: Work,
    pub(crate) stage: Stage,
    pub(super) how: How,
    pub(super) incarnation: u32,
    pub(super) attempt: u32,
    /// Attempts that count against the policy, this one included.
    pub(super) tries: u32,
    /// Probes since the outcome became unknown.
    pub(super) probes: u32,
    /// The timer that is waited for.
    pub(super) timer: Option<u64>,
    /// When that ends, in Unix milliseconds; for people, no decision depends on it.
    pub(super) due_unix_ms: Option<u64>,
    /// Why the outcome is unknown, or why the last attempt failed.
    pub(super) last: Option<Failure>,
    /// The outcome is unknown because a controller died, which is no fault of the effect.
    pub(super) orphaned: bool,
    /// The look of the step's own probe that is waited for.
    pub(super) inquiry: Option<u32>,
}

impl Effect {
    pub(super) fn forward(uses: ActionName, params: Value, incarnation: u32, attempt: u32) -> Self {
        Self::new(Work::Forward, How::Start { uses, params }, incarnation, attempt)
    }

    pub(super) fn new(work: Work, how: How, incarnation: u32, attempt: u32) -> Self {
        Self {
            work,
            stage: Stage::Running,
            how,
            incarnation,
            attempt,
            tries: 1,
            probes: 0,
            timer: None,
            due_unix_ms: None,
            last: None,
            orphaned: false,
            inquiry: None,
        }
    }

    /// Whether the effect may be there.
    pub(super) fn may_have_happened(&self) -> bool {
        match self.stage {
            Stage::Running | Stage::Cancelling | Stage::Probing | Stage::ProbeBackoff => true,
            Stage::Backoff => false,
        }
    }
}

impl Saga {
    /// Asks for the effect as it now stands to be started.
    pub(super) fn launch(&mut self, id: NodeId) {
        let Some(effect) = self.node_mut(id).effect_mut() else { return };
        effect.stage = Stage::Running;
        effect.probes = 0;
        effect.orphaned = false;
        let effect = effect.clone();
        let node = self.node_mut(id);
        node.handle = None;
        let step = node.path.clone();
        let claims = if effect.work == Work::Forward { self.claims_of(id) } else { BTreeMap::new() };
        let node = self.node(id);
        let heartbeat =
            node.action().filter(|_| effect.work == Work::Forward).and_then(|action| action.heartbeat);
        let intent = match effect.how {
            How::Start { uses, params } => Intent::Start(Start {
                step,
                work: effect.work,
                uses,
                incarnation: effect.incarnation,
                attempt: effect.attempt,
                params,
                claims,
                heartbeat,
            }),
            How::Own => self.own_compensation(id, effect.tries),
        };
        self.decide(intent);
        let timeout = self.node(id).action().map_or(0, |action| action.timeout.as_millis());
        self.wait(id, timeout);
    }

    fn own_compensation(&self, id: NodeId, count: u32) -> Intent {
        let node = self.node(id);
        let uses = node.action().map(|action| action.uses.clone()).expect("only an action step is undone so");
        Intent::Compensate(Compensate {
            step: node.path.clone(),
            uses,
            params: node.params.clone(),
            outputs: node.outputs.clone(),
            incarnation: node.incarnation,
            attempt: node.attempt,
            count,
        })
    }

    /// Asks for a timer on which the effect waits from now on.
    fn wait(&mut self, id: NodeId, millis: u64) {
        self.timers += 1;
        let timer = self.timers;
        let due_unix_ms = self.now_unix_ms.saturating_add(millis);
        let node = self.node_mut(id);
        let step = node.path.clone();
        if let Some(effect) = node.effect_mut() {
            (effect.timer, effect.due_unix_ms) = (Some(timer), Some(due_unix_ms));
        }
        self.outbox.push(Command::Wait(Wait { step, timer, millis }));
    }

    /// The effect is there.
    pub(crate) fn effect_done(&mut self, id: NodeId, outputs: Value) {
        let node = self.node_mut(id);
        match node.effect().map(|effect| effect.work) {
            Some(Work::Forward) => {
                node.outputs = Some(outputs);
                node.state = State::Done;
                self.hold_after(id);
            }
            Some(Work::Undo) => node.state = State::Undone,
            None => {}
        }
        let frame = self.node(id).frame;
        self.touch(frame);
    }

    /// The effect is certainly not there (an own compensation: has not ended well).
    pub(crate) fn effect_failed(&mut self, id: NodeId, failure: Failure, draw_permille: u32) {
        let node = self.node(id);
        let Some(effect) = node.effect() else { return };
        // An action that ends because it was asked to says "cancelled"; why it was asked says more.
        let failure = match &effect.last {
            Some(why) if effect.stage == Stage::Cancelling && failure.class == "cancelled" => why.clone(),
            Some(_) | None => failure,
        };
        if self.may_try_again(id, &failure) {
            return self.back_off(id, failure, draw_permille);
        }
        match effect.work {
            Work::Forward => self.node_mut(id).state = State::Failed(failure),
            Work::Undo => self.get_stuck(id, failure),
        }
        let frame = self.node(id).frame;
        self.touch(frame);
    }

    fn may_try_again(&self, id: NodeId, failure: &Failure) -> bool {
        let node = self.node(id);
        let (Some(effect), Some(action)) = (node.effect(), node.action()) else { return false };
        match effect.work {
            Work::Forward => {
                let listed = action.retry.errors.contains(&failure.class);
                !self.is_called_off(id) && listed && effect.tries < action.retry.max_attempts
            }
            Work::Undo => effect.tries < action.retry.max_attempts.max(UNDO_TRIES_MIN),
        }
    }

    pub(super) fn back_off(&mut self, id: NodeId, failure: Failure, draw_permille: u32) {
        let node = self.node_mut(id);
        let Some(backoff) = node.action().map(|action| action.retry.backoff.clone()) else { return };
        let Some(effect) = node.effect_mut() else { return };
        effect.stage = Stage::Backoff;
        effect.last = Some(failure);
        let millis = delay_ms(&backoff, effect.tries, draw_permille);
        self.wait(id, millis);
        // A graph that is to turn round may do so while its pivot has certainly left nothing behind.
        let frame = self.node(id).frame;
        self.touch(frame);
    }

    /// The next attempt, after its wait.
    fn try_again(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let Some(effect) = node.effect_mut() else { return };
        effect.tries += 1;
        self.next_attempt(id);
    }

    pub(super) fn next_attempt(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let Some(effect) = node.effect_mut() else { return };
        effect.attempt += 1;
        let (work, attempt) = (effect.work, effect.attempt);
        if work == Work::Forward {
            node.attempt = attempt;
        }
        self.launch(id);
    }

    /// Nobody knows whether the effect is there; `failure` says why, unless that is known already.
    pub(crate) fn effect_unknown(&mut self, id: NodeId, failure: Option<Failure>) {
        let Some(effect) = self.node_mut(id).effect_mut() else { return };
        effect.last = failure.or(effect.last.take());
        effect.probes = 0;
        self.probe(id);
    }

    pub(super) fn probe(&mut self, id: NodeId) {
        let Some(effect) = self.node_mut(id).effect_mut() else { return };
        effect.stage = Stage::Probing;
        (effect.timer, effect.due_unix_ms, effect.inquiry) = (None, None, None);
        let effect = effect.clone();
        let step = self.node(id).path.clone();
        match effect.how {
            How::Start { uses, params } => self.outbox.push(Command::Probe(Probe {
                step,
                work: effect.work,
                uses,
                params,
                incarnation: effect.incarnation,
                attempt: effect.attempt,
            })),
            // Compensating twice is safe by contract: doing it again is the probe.
            How::Own => self.launch(id),
        }
    }

    /// A probe said that nothing of the effect is there.
    pub(crate) fn found_absent(&mut self, id: NodeId, draw_permille: u32) {
        let node = self.node(id);
        let Some(effect) = node.effect() else { return };
        let lost = || Failure::new("internal", "nothing of the effect was found");
        let failure = effect.last.clone().unwrap_or_else(lost);
        let called_off = effect.work == Work::Forward && self.is_called_off(id);
        if effect.orphaned && !called_off {
            return self.next_attempt(id);
        }
        self.effect_failed(id, failure, draw_permille);
    }

    /// A probe said that part of the effect is there, or that it is still under way.
    pub(crate) fn found_partial(&mut self, id: NodeId) {
        let node = self.node(id);
        let (Some(effect), Some(action)) = (node.effect(), node.action()) else { return };
        let called_off = effect.work == Work::Forward && self.is_called_off(id);
        let tries_max = match effect.work {
            Work::Forward => action.retry.max_attempts,
            Work::Undo => action.retry.max_attempts.max(UNDO_TRIES_MIN),
        };
        // What is half way between two sites comes to its end, whoever gave the run up.
        let called_off = called_off && !action.pivot;
        let may_take_up = effect.orphaned || effect.tries < tries_max;
        if may_take_up && !called_off {
            return self.take_up(id);
        }
        // An action's own undo ends what is under way; where there is none, the effect has to be asked to stop.
        let needs_stop = !self.is_left(node.frame) && !matches!(self.undo_of(id), Undo::Own);
        if may_take_up && needs_stop {
            self.take_up(id);
            return self.ask_to_stop(id, "unwind");
        }
        let half = || Failure::new("transient", "it was left half done");
        let failure = effect.last.clone().unwrap_or_else(half);
        let (work, effect, frame) = (effect.work, Box::new(effect.clone()), node.frame);
        match work {
            Work::Forward => self.node_mut(id).state = State::Partial(failure, effect),
            Work::Undo => self.get_stuck(id, failure),
        }
        self.touch(frame);
    }

    /// Starts again under the same key and attempt: the action takes up what is there.
    fn take_up(&mut self, id: NodeId) {
        if let Some(effect) = self.node_mut(id).effect_mut() {
            effect.tries += u32::from(!effect.orphaned);
        }
        self.launch(id);
    }

    /// A probe could not tell. The step's own one is asked next, unless that was it.
    pub(crate) fn cannot_tell(&mut self, id: NodeId, failure: Failure) {
        let failure = match self.inquire(id) {
            Ok(true) => return,
            Ok(false) => failure,
            Err(why) => why,
        };
        let Some(effect) = self.node_mut(id).effect_mut() else { return };
        effect.probes += 1;
        let probes = effect.probes;
        if probes >= PROBES_MAX {
            let frame = self.node(id).frame;
            self.get_stuck(id, failure);
            return self.touch(frame);
        }
        effect.stage = Stage::ProbeBackoff;
        let millis = PROBE_WAIT_MS.saturating_mul(1 << (probes - 1)).min(PROBE_WAIT_MS_MAX);
        self.wait(id, millis);
    }

    /// Has the step's own probe look, if it has one whose turn it is; why that cannot be, if its parameters have no value.
    fn inquire(&mut self, id: NodeId) -> Result<bool, Failure> {
        let node = self.node(id);
        let (Some(effect), Some(action)) = (node.effect(), node.action()) else { return Ok(false) };
        let is_due = effect.work == Work::Forward && effect.inquiry.is_none();
        let Some(probe) = action.probe.clone().filter(|_| is_due) else { return Ok(false) };
        let (scope, step) = (self.scope_of(id), node.path.clone());
        let (incarnation, attempt) = (effect.incarnation, effect.attempt);
        let no_value = |error| Failure::new("precondition", format!("parameters of its probe: {error}"));
        let params = probe.with.evaluate(&scope).map_err(no_value)?;
        self.inquiries += 1;
        let number = self.inquiries;
        if let Some(effect) = self.node_mut(id).effect_mut() {
            effect.inquiry = Some(number);
        }
        let inquire = Inquire { step, incarnation, attempt, params, number, probe, scope };
        self.outbox.push(Command::Inquire(Box::new(inquire)));
        Ok(true)
    }

    pub(crate) fn timer_fired(&mut self, id: NodeId, timer: u64) {
        if self.node(id).timer() != Some(timer) {
            return;
        }
        let Some(effect) = self.node(id).effect() else {
            return match self.node(id).state {
                _ if self.node(id).held.is_some() => self.held_question_lapsed(id),
                State::Asking(_) => self.question_lapsed(id),
                _ => self.end_pause(id),
            };
        };
        match (effect.stage, &effect.how) {
            (Stage::Running, How::Start { .. }) => self.time_out(id),
            // Safe to call again by contract; the driver has given the first call up.
            (Stage::Running, How::Own) => {
                let failure = self.took_too_long(id);
                self.effect_failed(id, failure, 1_000);
            }
            (Stage::Cancelling, _) => self.effect_unknown(id, None),
            (Stage::Backoff, _) => self.try_again(id),
            (Stage::ProbeBackoff | Stage::Probing, _) => self.probe(id),
        }
    }

    fn took_too_long(&self, id: NodeId) -> Failure {
        let timeout = self.node(id).action().map_or_else(String::new, |action| action.timeout.to_string());
        Failure::new(TIMED_OUT, format!("not done within its timeout of {timeout}"))
    }

    fn time_out(&mut self, id: NodeId) {
        let failure = self.took_too_long(id);
        let reason = failure.message.clone();
        if let Some(effect) = self.node_mut(id).effect_mut() {
            effect.last = Some(failure);
        }
        self.ask_to_stop(id, &reason);
    }

    /// Asks the effect to stop and gives its action a while to say how it ended.
    pub(super) fn ask_to_stop(&mut self, id: NodeId, reason: &str) {
        let node = self.node_mut(id);
        let step = node.path.clone();
        let Some(effect) = node.effect_mut() else { return };
        effect.stage = Stage::Cancelling;
        let work = effect.work;
        self.decide(Intent::Cancel(Cancel { step, work, reason: reason.to_owned() }));
        self.wait(id, CANCEL_GRACE_MS);
    }

    /// Leaves the effect to an operator.
    pub(super) fn get_stuck(&mut self, id: NodeId, failure: Failure) {
        let node = self.node_mut(id);
        let effect = node.effect().cloned().map(Box::new);
        let work = effect.as_ref().map_or(Work::Undo, |effect| effect.work);
        node.state = State::Stuck(Stuck { failure, work, effect });
    }
}

/// The wait after `tries` attempts.
fn delay_ms(backoff: &Backoff, tries: u32, draw_permille: u32) -> u64 {
    let grown = u64::from(backoff.factor).saturating_pow(tries.saturating_sub(1));
    let full = backoff.initial.as_millis().saturating_mul(grown).min(backoff.max.as_millis());
    let draw = u64::from(draw_permille.min(1_000));
    if backoff.full_jitter { full.saturating_mul(draw) / 1_000 } else { full }
}
