//! One call of an action, from its arguments to its news.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longhaul_model::action::ActionName;
use longhaul_model::ids::StepPath;
use longhaul_model::units::Time;
use longhaul_model::workflow::HEARTBEAT_MIN;
use longhaul_saga::event::{Done, Failed, HandleGiven, Observed, Probed, Undone, Unknown};
use longhaul_saga::intent::{Compensate, Start};
use longhaul_saga::{Answer, Event, Failure, Inquire, Observe, Work};
use longhaul_step::{
    Action, Claims, Context, Error, ErrorClass, Handle, Lookout, Outcome, Poll, Registry, Started,
};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::looping::News;
use crate::{Clock, convert};

/// How long one poll may wait for news: bounds how stale a progress line is, and lets no heartbeat pass without an answer.
const PATIENCE: Duration = Duration::from_millis(HEARTBEAT_MIN.as_millis() / 2);
/// An action that answers a poll at once is asked again after this; keeps it from being asked in a tight loop.
const POLL_PAUSE: Duration = Duration::from_millis(20);
/// How long a probe may take before it counts as one that cannot tell.
const PROBE_MS_MAX: u64 = 60_000;

/// What a call needs to know.
pub(super) struct Call {
    pub(super) context: Context,
    pub(super) step: StepPath,
    pub(super) number: u64,
    pub(super) registry: Registry,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) outbox: mpsc::Sender<News>,
    pub(super) cancel: Arc<Notify>,
    /// Whether it waits for nothing but that its handle is durable.
    pub(super) is_parked: Arc<AtomicBool>,
    /// What its step has of what steps share, when that has changed since it began.
    pub(super) claims: watch::Sender<Claims>,
    pub(super) random: fastrand::Rng,
}

impl Call {
    async fn say(&self, event: Event, durable: Option<oneshot::Sender<()>>) {
        let news = News::Event { step: self.step.clone(), call: self.number, event, durable };
        // A driver that has stopped will ask again when the run is resumed.
        let _ = self.outbox.send(news).await;
    }

    fn action(&self, name: &ActionName) -> Result<Arc<dyn Action>, Error> {
        let missing = || Error::new(ErrorClass::Permanent, format!("this binary has no action `{name}`"));
        self.registry.get(name).cloned().ok_or_else(missing)
    }

    fn draw_permille(&mut self) -> u32 {
        self.random.u32(0..=1_000)
    }

    fn failed(&mut self, work: Work, failure: Failure) -> Event {
        let draw_permille = self.draw_permille();
        Event::Failed(Failed { step: self.step.clone(), work, failure, draw_permille })
    }

    fn ended(&mut self, work: Work, outcome: Outcome) -> Event {
        match outcome {
            Outcome::Done(outputs) => Event::Done(Done { step: self.step.clone(), work, outputs }),
            Outcome::Failed(error) => self.failed(work, convert::failure(error)),
            Outcome::Unknown(error) => {
                Event::Unknown(Unknown { step: self.step.clone(), work, failure: convert::failure(error) })
            }
        }
    }
}

pub(super) async fn observe(call: Call, observe: Observe, lookout: Arc<dyn Lookout>) {
    let seen = lookout.site(&observe.site).await;
    let Observe { step, work, site } = observe;
    call.say(Event::Observed(Observed { step, work, site, seen }), None).await;
}

pub(super) async fn start(mut call: Call, start: Start) {
    let work = start.work;
    let action = match call.action(&start.uses) {
        Ok(action) => action,
        Err(error) => {
            let event = call.failed(work, convert::failure(error));
            return call.say(event, None).await;
        }
    };
    let event = match action.start(&call.context, &start.params).await {
        Started::Running(handle) => match follow(&call, &*action, &start, handle).await {
            Some(outcome) => call.ended(work, outcome),
            None => return,
        },
        Started::Failed(error) => call.ended(work, Outcome::Failed(error)),
        Started::Unknown(error) => call.ended(work, Outcome::Unknown(error)),
    };
    call.say(event, None).await;
}

/// Polls a started effect to its end, once its handle is durable; none if the driver has stopped.
async fn follow(call: &Call, action: &dyn Action, start: &Start, handle: Handle) -> Option<Outcome> {
    let (durable, is_durable) = oneshot::channel();
    let given = HandleGiven {
        step: call.step.clone(),
        work: start.work,
        attempt: start.attempt,
        handle: handle.0.clone(),
    };
    call.say(Event::HandleGiven(given), Some(durable)).await;
    call.is_parked.store(true, Ordering::Relaxed);
    is_durable.await.ok()?;
    let mut claims = call.claims.subscribe();
    // What came before somebody listened counts as well.
    if !claims.borrow().is_empty() {
        claims.mark_changed();
    }
    loop {
        let began = tokio::time::Instant::now();
        tokio::select! {
            () = silence(call, start.heartbeat) => {
                let every = start.heartbeat.map_or_else(String::new, |every| format!(" for {every}"));
                let error = Error::new(ErrorClass::Unreachable, format!("it gave no sign of life{every}"));
                return Some(Outcome::Unknown(error));
            }
            Ok(()) = claims.changed() => {
                let claims = claims.borrow_and_update().clone();
                adjust(call, action, &handle, &claims).await;
            }
            () = call.cancel.notified() => ask_to_stop(call, action, &handle).await,
            polled = action.poll(&call.context, &handle, PATIENCE) => match polled {
                Poll::Ended(outcome) => return Some(outcome),
                Poll::Running(progress) => {
                    let news = News::Progress { step: call.step.clone(), call: call.number, progress };
                    // Losing a progress never matters.
                    let _ = call.outbox.try_send(news);
                    if began.elapsed() < POLL_PAUSE {
                        tokio::time::sleep(POLL_PAUSE).await;
                    }
                }
            },
        }
    }
}

/// Ends when an action has given no sign of life for too long; each answer to a poll is one.
fn silence(call: &Call, heartbeat: Option<Time>) -> impl Future<Output = ()> {
    let until = heartbeat.map(|every| call.clock.now_unix_ms().saturating_add(every.as_millis()));
    async move {
        match until {
            Some(until) => call.clock.sleep_until_unix_ms(until).await,
            None => std::future::pending().await,
        }
    }
}

/// Tells the action what it has now. One that cannot be told goes on with what it was told before.
async fn adjust(call: &Call, action: &dyn Action, handle: &Handle, claims: &Claims) {
    if let Err(error) = action.adjust(&call.context, handle, claims).await {
        tracing::warn!(step = %call.step, %error, "could not tell an action its share");
    }
}

/// Passes the wish on. If it does not arrive, the effect's outcome still will, or its grace runs out.
async fn ask_to_stop(call: &Call, action: &dyn Action, handle: &Handle) {
    if let Err(error) = action.cancel(&call.context, handle).await {
        tracing::warn!(step = %call.step, %error, "could not deliver a cancel");
    }
}

pub(super) async fn probe(mut call: Call, probe: longhaul_saga::Probe) {
    let until = call.clock.now_unix_ms().saturating_add(PROBE_MS_MAX);
    let answer = match call.action(&probe.uses) {
        Err(error) => Answer::CannotTell(convert::failure(error)),
        Ok(action) => tokio::select! {
            answer = action.probe(&call.context, &probe.params) => convert::answer(answer),
            () = call.clock.sleep_until_unix_ms(until) => {
                Answer::CannotTell(Failure::new("unreachable", "the probe was not answered in time"))
            }
        },
    };
    let draw_permille = call.draw_permille();
    let event = Probed { step: probe.step, work: probe.work, answer, found: None, draw_permille };
    call.say(Event::Probed(event), None).await;
}

/// Carries the action out that looks; what it found makes the answer.
pub(super) async fn inquire(mut call: Call, inquire: Inquire) {
    let until = call.clock.now_unix_ms().saturating_add(PROBE_MS_MAX);
    let looked = tokio::select! {
        outcome = carry_out(&call, &inquire.probe.uses, &inquire.params) => outcome,
        () = call.clock.sleep_until_unix_ms(until) => {
            Err(Error::new(ErrorClass::Unreachable, "its probe found nothing in time"))
        }
    };
    let (answer, found) = match looked {
        Ok(found) => (inquire.conclude(&found), Some(found)),
        Err(error) => (Answer::CannotTell(convert::failure(error)), None),
    };
    let draw_permille = call.draw_permille();
    let event = Probed { step: inquire.step, work: Work::Forward, answer, found, draw_permille };
    call.say(Event::Probed(event), None).await;
}

/// What an action without effects puts out.
async fn carry_out(call: &Call, uses: &ActionName, params: &Value) -> Result<Value, Error> {
    let action = call.action(uses)?;
    let handle = match action.start(&call.context, params).await {
        Started::Running(handle) => handle,
        Started::Failed(error) | Started::Unknown(error) => return Err(error),
    };
    loop {
        if let Poll::Ended(outcome) = action.poll(&call.context, &handle, PATIENCE).await {
            return outputs(outcome);
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

fn outputs(outcome: Outcome) -> Result<Value, Error> {
    match outcome {
        Outcome::Done(outputs) => Ok(outputs),
        Outcome::Failed(error) | Outcome::Unknown(error) => Err(error),
    }
}

pub(super) async fn compensate(mut call: Call, compensate: Compensate) {
    let result = match call.action(&compensate.uses) {
        Ok(action) => action.compensate(&call.context, &compensate.params, compensate.outputs.as_ref()).await,
        Err(error) => Err(error),
    };
    let event = match result {
        Ok(()) => Event::Undone(Undone { step: compensate.step }),
        Err(error) => call.failed(Work::Undo, convert::failure(error)),
    };
    call.say(event, None).await;
}
