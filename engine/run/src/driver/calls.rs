//! The calls and timers under way, at most one of each per step.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll, Waker};

use futures_util::FutureExt;

use longhaul_model::ids::{RunId, StepPath};
use longhaul_plan::Budget;
use longhaul_saga::event::{Failed, Observed, Probed, Unknown};
use longhaul_saga::intent::{Compensate, Share, Start};
use longhaul_saga::{Answer, Event, Failure, Inquire, Observe, Probe, Wait, Work};
use longhaul_step::{Claims, Context, Key, Lookout, Registry, RunRecords};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;

use super::Driver;
use super::effect::Call;
use super::looping::News;
use super::records::JournalRecords;
use super::timers::Timers;
use crate::{Clock, convert};

/// The last part of the path under which a step's own probe has its key.
const PROBE: &str = "probe";

pub(super) struct Calls {
    run: RunId,
    registry: Registry,
    lookout: Arc<dyn Lookout>,
    clock: Arc<dyn Clock>,
    controller: String,
    generation: u64,
    records: Arc<dyn RunRecords>,
    seed: Option<u64>,
    outbox: mpsc::Sender<News>,
    /// Number of the last call.
    last: u64,
    calls: BTreeMap<StepPath, Running>,
    pub(super) timers: Timers,
    /// Whether the operator's wish to give the run up was passed on.
    pub(super) cancelled: bool,
}

struct Running {
    number: u64,
    place: Place,
    /// It waits for nothing but that its handle is durable.
    is_parked: Arc<AtomicBool>,
    cancel: Arc<Notify>,
    claims: watch::Sender<Claims>,
}

/// What a call does, from its first to its last word.
type Doing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a call goes on. It begins with us, because most starts are answered at once and waking another thread takes longer
/// than they do; as soon as it waits for anything but the journal, it becomes a task of its own.
enum Place {
    Here(Doing),
    Away(AbortHandle),
    /// It has said its last word.
    Over,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Place::Away(task) = &self.place {
            task.abort();
        }
    }
}

impl Running {
    /// Lets it go on as far as it can without waiting.
    fn go_on(&mut self) {
        let Place::Here(mut doing) = std::mem::replace(&mut self.place, Place::Over) else { return };
        self.is_parked.store(false, Ordering::Relaxed);
        // Whoever makes the handle durable lets it go on; what waits for anything else is polled again as a task.
        let mut nobody = task::Context::from_waker(Waker::noop());
        self.place = match doing.as_mut().poll(&mut nobody) {
            Poll::Ready(()) => Place::Over,
            Poll::Pending if self.is_parked.load(Ordering::Relaxed) => Place::Here(doing),
            Poll::Pending => Place::Away(tokio::spawn(doing).abort_handle()),
        };
    }
}

impl Calls {
    pub(super) fn new(driver: &Driver, run: RunId, outbox: mpsc::Sender<News>) -> Self {
        let owner = driver.journal.owner();
        let directory = driver.journal.directory().to_owned();
        Self {
            records: Arc::new(JournalRecords::new(directory, run.clone())),
            run,
            registry: driver.registry.clone(),
            lookout: Arc::clone(&driver.lookout),
            clock: Arc::clone(&driver.clock),
            controller: driver.journal.controller().name(),
            generation: owner.generation,
            seed: driver.seed,
            outbox,
            last: 0,
            calls: BTreeMap::new(),
            timers: Timers::default(),
            cancelled: false,
        }
    }

    pub(super) fn run(&self) -> &RunId {
        &self.run
    }

    /// Whether this call is the step's present one.
    pub(super) fn is_current(&self, step: &StepPath, call: u64) -> bool {
        self.calls.get(step).is_some_and(|running| running.number == call)
    }

    /// Forgets the call whose outcome this is.
    pub(super) fn settled(&mut self, event: &Event) {
        let Some(step) = event.settles() else { return };
        self.calls.remove(step);
        self.timers.forget(step);
    }

    /// The call's handle is durable: it goes on, unless it was replaced.
    pub(super) fn handle_is_durable(&mut self, step: &StepPath, call: u64) {
        if let Some(running) = self.calls.get_mut(step).filter(|running| running.number == call)
            && let Place::Here(_) = running.place
        {
            running.go_on();
        }
    }

    /// Gives up the step's call without hearing it out.
    pub(super) fn give_up(&mut self, step: &StepPath) {
        self.calls.remove(step);
    }

    pub(super) fn start(&mut self, start: Start, budgets: &[&Budget]) {
        let mut context = self.context(&start.step, start.incarnation, start.attempt);
        context.claims = convert::claims(&start.claims, budgets);
        let call = self.call(context, start.step.clone());
        let (step, work) = (start.step.clone(), start.work);
        let panicked = Event::Unknown(Unknown { step, work, failure: panicked() });
        self.begin(call, panicked, |call| super::effect::start(call, start));
    }

    pub(super) fn probe(&mut self, probe: Probe) {
        let context = self.context(&probe.step, probe.incarnation, probe.attempt);
        let call = self.call(context, probe.step.clone());
        let panicked = cannot_tell(probe.step.clone(), probe.work);
        self.begin(call, panicked, |call| super::effect::probe(call, probe));
    }

    /// The look has a key of its own, of which every number is another attempt: nothing that was found before answers it.
    pub(super) fn inquire(&mut self, inquire: Inquire) {
        let probe = PROBE.parse().expect("it is well-formed");
        let context = self.context(&inquire.step.child(&probe), inquire.incarnation, inquire.number);
        let call = self.call(context, inquire.step.clone());
        let panicked = cannot_tell(inquire.step.clone(), Work::Forward);
        self.begin(call, panicked, |call| super::effect::inquire(call, inquire));
    }

    pub(super) fn observe(&mut self, observe: Observe) {
        let lookout = Arc::clone(&self.lookout);
        let call = self.call(self.context(&observe.step, 0, 0), observe.step.clone());
        let Observe { step, work, site } = observe.clone();
        let seen = longhaul_step::Sight::Unknown(PANICKED.to_owned());
        let panicked = Event::Observed(Observed { step, work, site, seen });
        self.begin(call, panicked, |call| super::effect::observe(call, observe, lookout));
    }

    pub(super) fn compensate(&mut self, compensate: Compensate) {
        let context = self.context(&compensate.step, compensate.incarnation, compensate.attempt);
        let call = self.call(context, compensate.step.clone());
        let (step, work) = (compensate.step.clone(), Work::Undo);
        let panicked = Event::Failed(Failed { step, work, failure: panicked(), draw_permille: 1_000 });
        self.begin(call, panicked, |call| super::effect::compensate(call, compensate));
    }

    /// Tells a call what its step has now of what steps share.
    pub(super) fn share(&self, share: &Share, budgets: &[&Budget]) {
        if let Some(running) = self.calls.get(&share.step) {
            running.claims.send_replace(convert::claims(&share.claims, budgets));
        }
    }

    pub(super) fn cancel(&self, step: &StepPath) {
        if let Some(running) = self.calls.get(step) {
            running.cancel.notify_one();
        }
    }

    /// Waits, counted from the time of the event that asked for it.
    pub(super) fn wait(&mut self, wait: Wait, at_unix_ms: u64) {
        let Wait { step, timer, millis } = wait;
        self.timers.set(step, timer, at_unix_ms.saturating_add(millis));
    }

    fn context(&self, step: &StepPath, incarnation: u32, attempt: u32) -> Context {
        let key = Key { run: self.run.clone(), step: step.clone(), incarnation };
        let (controller, records) = (self.controller.clone(), Arc::clone(&self.records));
        Context { key, attempt, controller, generation: self.generation, records, claims: Claims::new() }
    }

    fn call(&mut self, context: Context, step: StepPath) -> Call {
        self.last += 1;
        Call {
            context,
            step,
            number: self.last,
            registry: self.registry.clone(),
            clock: Arc::clone(&self.clock),
            outbox: self.outbox.clone(),
            cancel: Arc::new(Notify::new()),
            is_parked: Arc::default(),
            claims: watch::Sender::new(Claims::new()),
            random: self
                .seed
                .map_or_else(fastrand::Rng::new, |seed| fastrand::Rng::with_seed(seed ^ self.last)),
        }
    }

    /// Begins a call in place of the step's present one, which is given up. One that panics says what stands for it.
    fn begin<F>(&mut self, call: Call, panicked: Event, go: impl FnOnce(Call) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (step, cancel, claims) = (call.step.clone(), Arc::clone(&call.cancel), call.claims.clone());
        let (number, is_parked, outbox) = (call.number, Arc::clone(&call.is_parked), call.outbox.clone());
        let last_word = News::Event { step: step.clone(), call: number, event: panicked, durable: None };
        let doing = AssertUnwindSafe(go(call)).catch_unwind();
        let doing: Doing = Box::pin(async move {
            if doing.await.is_err() {
                // A driver that has stopped will ask again when the run is resumed.
                let _ = outbox.send(last_word).await;
            }
        });
        let mut running = Running { number, place: Place::Here(doing), is_parked, cancel, claims };
        running.go_on();
        self.calls.insert(step, running);
    }
}

/// What is said for a call that panicked; the panic itself is in the log.
const PANICKED: &str = "its action panicked";

fn panicked() -> Failure {
    Failure::new("internal", PANICKED)
}

fn cannot_tell(step: StepPath, work: Work) -> Event {
    let answer = Answer::CannotTell(panicked());
    Event::Probed(Probed { step, work, answer, found: None, draw_permille: 1_000 })
}
