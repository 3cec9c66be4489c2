//! What all actions have in common that are one operation at one or more agents.
//!
//! ```text
//!   start       Start at every site, in order     -> handle: the operations by site, and the parameters
//!   poll        Get at every site                 -> running while one runs; done when all are
//!   probe       Probe at every site               -> done or absent when all say so, else partial
//!   compensate  Undo at every site, then Get until undone
//! ```
//!
//! All or none: when some sites have done their part and another certainly has not, the parts done are undone before
//! the action says "failed".

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use longhaul_model::action::Descriptor;
use longhaul_model::ids::SiteId;
use longhaul_step::{
    Action, Claims, Context, Error, ErrorClass, Estimate, Finding, Handle, Outcome, Poll, Probe, Progress,
    Started, bits_per_second,
};
use longhaul_wire::v1::operation::State;
use longhaul_wire::v1::probe_reply::Answer;
use longhaul_wire::v1::start_request::Operation as Request;
use longhaul_wire::v1::{self, Outputs, StartRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use crate::agents::{Agents, CallError};
use crate::failure;

/// How long an undoing may take: the longest is an agent that waits for a QEMU of its own to end.
const UNDO_DEADLINE: Duration = Duration::from_secs(120);

/// Between two tries to reach an agent while there is patience left.
const REDIAL_PAUSE: Duration = Duration::from_millis(200);

/// How long one question for news waits at the agent.
const NEWS_WAIT: Duration = Duration::from_secs(5);

/// One operation at one site.
pub(crate) struct Call {
    pub(crate) site: SiteId,
    pub(crate) request: Request,
}

/// What distinguishes one such action from another.
pub(crate) trait Remote: Send + Sync + 'static {
    /// See [`Action::descriptor`].
    fn descriptor(&self) -> &Descriptor;

    /// The operations that make up the effect, in the order in which they are started. `sites` is the inventory.
    fn calls(&self, sites: &[SiteId], params: &Value) -> Result<Vec<Call>, Error>;

    /// The action's outputs from those of the operations.
    fn outputs(&self, answers: Vec<(SiteId, Outputs)>) -> Result<Value, Error>;

    /// The link whose bytes the operations hold back to what their step has of it; none for those that do not hold back.
    fn link(&self, params: &Value) -> Option<[SiteId; 2]> {
        let _ = params;
        None
    }

    /// Whether the effect counts only when the agents, asked for facts after it, say that it is there.
    fn reads_back(&self) -> bool {
        false
    }

    /// See [`Action::check`].
    fn check(&self, params: &Value) -> Vec<Finding> {
        let _ = params;
        Vec::new()
    }

    /// See [`Action::estimate`].
    fn estimate(&self, params: &Value, facts: &Value) -> Estimate {
        let _ = (params, facts);
        Estimate::default()
    }
}

/// The action that a [`Remote`] describes.
pub(crate) struct RemoteAction<R> {
    agents: Arc<Agents>,
    remote: R,
}

/// What the journal keeps of a start. The parameters are in it because undoing a part takes the whole request.
#[derive(Serialize, Deserialize)]
struct Token {
    operations: BTreeMap<SiteId, String>,
    params: Value,
}

impl Token {
    fn into_handle(self) -> Handle {
        Handle(serde_json::to_string(&self).expect("a map of texts and a JSON value can be written"))
    }

    fn from_handle(handle: &Handle) -> Result<Self, Error> {
        let foreign = |e| Error::new(ErrorClass::Internal, format!("handle is not one of ours: {e}"));
        serde_json::from_str(&handle.0).map_err(foreign)
    }
}

/// How one site's part stands.
enum Part {
    Running(Progress),
    Done(Box<Outputs>),
    Failed(Error),
    Unknown(Error),
}

impl<R: Remote> RemoteAction<R> {
    pub(crate) fn new(agents: Arc<Agents>, remote: R) -> Self {
        Self { agents, remote }
    }

    fn calls(&self, params: &Value) -> Result<Vec<Call>, Error> {
        self.remote.calls(&self.agents.sites(), params)
    }

    /// What its operations may send with these claims; 0 for no bound.
    fn bits_per_second_max(&self, params: &Value, claims: &Claims) -> u64 {
        let link = self.remote.link(params);
        link.and_then(|[from, to]| bits_per_second(claims, [&from, &to])).unwrap_or_default()
    }

    /// Starts every call. On a refusal what was begun is undone.
    async fn begin(&self, context: &Context, params: &Value, calls: &[Call]) -> Started {
        let mut operations = BTreeMap::new();
        let bits_per_second_max = self.bits_per_second_max(params, &context.claims);
        for (index, call) in calls.iter().enumerate() {
            let request = StartRequest { bits_per_second_max, ..request(context, call) };
            match self.agents.start(&call.site, request).await {
                Ok(handle) => {
                    operations.insert(call.site.clone(), handle);
                }
                Err(CallError::Lost(error)) => return Started::Unknown(error),
                Err(CallError::Refused(error)) => {
                    return match self.undo_all(context, calls.iter().take(index)).await {
                        Ok(()) => Started::Failed(error),
                        Err(undoing) => Started::Unknown(undoing),
                    };
                }
            }
        }
        Started::Running(Token { operations, params: params.clone() }.into_handle())
    }

    /// All parts as they are now, or after at most `patience` if all are as they were.
    async fn parts(&self, token: &Token, patience: Duration) -> Vec<(SiteId, Part)> {
        let one = |(site, handle): (&SiteId, &String)| {
            let (site, handle) = (site.clone(), handle.clone());
            async move {
                let part = part(&self.agents, &site, &handle, patience).await;
                (site, part)
            }
        };
        join_all(token.operations.iter().map(one)).await
    }

    async fn ended(&self, context: &Context, token: &Token, parts: Vec<(SiteId, Part)>) -> Outcome {
        let mut done = Vec::new();
        let mut failed = None;
        for (site, part) in parts {
            match part {
                Part::Done(outputs) => done.push((site, *outputs)),
                Part::Failed(error) => failed = Some(error),
                Part::Unknown(error) => return Outcome::Unknown(error),
                Part::Running(_) => unreachable!("the caller waits until nothing runs"),
            }
        }
        match failed {
            None => self.finished(context, token, done).await,
            Some(error) => self.give_up(context, token, &done, error).await,
        }
    }

    async fn finished(&self, context: &Context, token: &Token, done: Vec<(SiteId, Outputs)>) -> Outcome {
        if self.remote.reads_back() {
            match self.probe(context, &token.params).await {
                Probe::Done(outputs) => return Outcome::Done(outputs),
                Probe::CannotTell(error) => return Outcome::Unknown(error),
                Probe::Absent | Probe::Partial => {
                    let message = "the change was made and reads back differently: somebody else writes too";
                    return Outcome::Unknown(Error::new(ErrorClass::Conflict, message));
                }
            }
        }
        match self.remote.outputs(done) {
            Ok(outputs) => Outcome::Done(outputs),
            Err(error) => Outcome::Unknown(error),
        }
    }

    /// Undoes what the sites in `done` did, so that `error` is the whole truth.
    async fn give_up(
        &self,
        context: &Context,
        token: &Token,
        done: &[(SiteId, Outputs)],
        error: Error,
    ) -> Outcome {
        let calls = match self.calls(&token.params) {
            Ok(calls) => calls,
            Err(error) => return Outcome::Unknown(error),
        };
        let was_done = |call: &&Call| done.iter().any(|(site, _)| *site == call.site);
        match self.undo_all(context, calls.iter().filter(was_done)).await {
            Ok(()) => Outcome::Failed(error),
            Err(undoing) => Outcome::Unknown(undoing),
        }
    }

    /// Undoes in reverse order; goes on after an error, so that as little as possible is left, and returns the first.
    async fn undo_all(
        &self,
        context: &Context,
        calls: impl DoubleEndedIterator<Item = &Call>,
    ) -> Result<(), Error> {
        let mut first = Ok(());
        for call in calls.rev() {
            let undone = self.undo(context, call).await;
            first = first.and(undone);
        }
        first
    }

    async fn undo(&self, context: &Context, call: &Call) -> Result<(), Error> {
        let handle = self.agents.undo(&call.site, request(context, call)).await?;
        wait_for_operation(&self.agents, &call.site, &handle, UNDO_DEADLINE).await.map(drop)
    }
}

/// Asks for the operation's state now and, if it runs, once more with patience. A lost connection is tried again
/// while there is patience: an agent that restarts is back in seconds, and its operations go on.
async fn part(agents: &Agents, site: &SiteId, handle: &str, patience: Duration) -> Part {
    let deadline = Instant::now() + patience;
    let mut seen_version = 0;
    let mut wait = Duration::ZERO;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match agents.get(site, handle, seen_version, wait).await {
            Ok(operation) => {
                let version = operation.version;
                let part = read(site, operation);
                let changed = seen_version != 0 && version > seen_version;
                if !matches!(part, Part::Running(_)) || changed || left.is_zero() {
                    return part;
                }
                (seen_version, wait) = (version, left.min(NEWS_WAIT));
            }
            Err(CallError::Refused(error)) => return Part::Unknown(error),
            Err(CallError::Lost(error)) if left.is_zero() => return Part::Unknown(error),
            Err(CallError::Lost(_)) => {
                wait = Duration::ZERO;
                tokio::time::sleep(REDIAL_PAUSE.min(left)).await;
            }
        }
    }
}

fn read(site: &SiteId, operation: v1::Operation) -> Part {
    match operation.state {
        Some(State::Running(progress)) => Part::Running(Progress {
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            bytes_per_second: progress.bytes_per_second,
            phase: progress.phase,
        }),
        Some(State::Done(outputs)) => Part::Done(Box::new(outputs)),
        Some(State::Failed(failure)) => Part::Failed(failure::from_wire(site, &failure)),
        Some(State::Unknown(failure)) => Part::Unknown(failure::from_wire(site, &failure)),
        None => {
            let message = format!("site {site}: an operation in a state of a newer version");
            Part::Unknown(Error::new(ErrorClass::Internal, message))
        }
    }
}

/// Waits until an operation has ended well, and returns what it put out.
///
/// # Errors
/// What it ended with; `unreachable` when it has not ended within `deadline`.
pub async fn wait_for_operation(
    agents: &Agents,
    site: &SiteId,
    handle: &str,
    deadline: Duration,
) -> Result<Outputs, Error> {
    let end = Instant::now() + deadline;
    loop {
        match part(agents, site, handle, NEWS_WAIT).await {
            Part::Done(outputs) => return Ok(*outputs),
            Part::Failed(error) => return Err(error),
            Part::Unknown(error) if error.class != ErrorClass::Unreachable || Instant::now() >= end => {
                return Err(error);
            }
            Part::Running(progress) if Instant::now() >= end => {
                let seconds = deadline.as_secs();
                let message = format!("site {site}: not over after {seconds} s ({})", progress.phase);
                return Err(Error::new(ErrorClass::Unreachable, message));
            }
            Part::Unknown(_) | Part::Running(_) => {}
        }
    }
}

fn request(context: &Context, call: &Call) -> StartRequest {
    StartRequest {
        key: Some(v1::Key {
            run: context.key.run.to_string(),
            step: context.key.step.to_string(),
            incarnation: context.key.incarnation,
        }),
        attempt: context.attempt,
        controller: context.controller.clone(),
        generation: context.generation,
        bits_per_second_max: 0,
        operation: Some(call.request.clone()),
    }
}

/// One progress of several: bytes add up, the words are those of the first that has any.
fn together(parts: &[(SiteId, Part)]) -> Option<Progress> {
    let running = parts.iter().filter_map(|(_, part)| match part {
        Part::Running(progress) => Some(progress),
        Part::Done(_) | Part::Failed(_) | Part::Unknown(_) => None,
    });
    running.cloned().reduce(|sum, next| Progress {
        bytes_done: sum.bytes_done.saturating_add(next.bytes_done),
        bytes_total: sum.bytes_total.saturating_add(next.bytes_total),
        bytes_per_second: sum.bytes_per_second.saturating_add(next.bytes_per_second),
        phase: if sum.phase.is_empty() { next.phase } else { sum.phase },
    })
}

#[async_trait::async_trait]
impl<R: Remote> Action for RemoteAction<R> {
    fn descriptor(&self) -> &Descriptor {
        self.remote.descriptor()
    }

    fn check(&self, params: &Value, _facts: &Value) -> Vec<Finding> {
        self.remote.check(params)
    }

    fn estimate(&self, params: &Value, facts: &Value) -> Estimate {
        self.remote.estimate(params, facts)
    }

    async fn start(&self, context: &Context, params: &Value) -> Started {
        match self.calls(params) {
            Ok(calls) => self.begin(context, params, &calls).await,
            Err(error) => Started::Failed(error),
        }
    }

    async fn poll(&self, context: &Context, handle: &Handle, patience: Duration) -> Poll {
        let token = match Token::from_handle(handle) {
            Ok(token) => token,
            Err(error) => return Poll::Ended(Outcome::Unknown(error)),
        };
        let parts = self.parts(&token, patience).await;
        match together(&parts) {
            Some(progress) => Poll::Running(progress),
            None => Poll::Ended(self.ended(context, &token, parts).await),
        }
    }

    async fn probe(&self, context: &Context, params: &Value) -> Probe {
        let calls = match self.calls(params) {
            Ok(calls) => calls,
            Err(error) => return Probe::CannotTell(error),
        };
        let mut done = Vec::new();
        let mut absent = 0;
        for call in &calls {
            let reply = match self.agents.probe(&call.site, request(context, call)).await {
                Ok(reply) => reply,
                Err(error) => return Probe::CannotTell(error.into()),
            };
            match reply.answer {
                Some(Answer::Done(outputs)) => done.push((call.site.clone(), outputs)),
                Some(Answer::Absent(_)) => absent += 1,
                Some(Answer::Partial(_)) => {}
                Some(Answer::CannotTell(failure)) => {
                    return Probe::CannotTell(failure::from_wire(&call.site, &failure));
                }
                None => return Probe::CannotTell(newer_answer(&call.site)),
            }
        }
        if absent == calls.len() {
            return Probe::Absent;
        }
        if done.len() < calls.len() {
            return Probe::Partial;
        }
        self.remote.outputs(done).map_or_else(Probe::CannotTell, Probe::Done)
    }

    async fn adjust(&self, context: &Context, handle: &Handle, claims: &Claims) -> Result<(), Error> {
        let token = Token::from_handle(handle)?;
        if self.remote.link(&token.params).is_none() {
            return Ok(());
        }
        let most = self.bits_per_second_max(&token.params, claims);
        let mut first = Ok(());
        for (site, handle) in &token.operations {
            let told = self.agents.adjust(site, handle, most, context.generation).await.map_err(Error::from);
            first = first.and(told);
        }
        first
    }

    async fn cancel(&self, context: &Context, handle: &Handle) -> Result<(), Error> {
        let token = Token::from_handle(handle)?;
        let mut first = Ok(());
        for (site, handle) in &token.operations {
            let asked = self.agents.cancel(site, handle, context.generation).await.map_err(Error::from);
            first = first.and(asked);
        }
        first
    }

    async fn compensate(
        &self,
        context: &Context,
        params: &Value,
        _outputs: Option<&Value>,
    ) -> Result<(), Error> {
        let calls = self.calls(params)?;
        self.undo_all(context, calls.iter()).await
    }
}

fn newer_answer(site: &SiteId) -> Error {
    Error::new(ErrorClass::Internal, format!("site {site}: an answer of a newer version"))
}

#[cfg(test)]
mod tests;
