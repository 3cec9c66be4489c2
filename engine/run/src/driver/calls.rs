//! The calls and timers under way, at most one of each per step.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_model::ids::{RunId, StepPath};
use longhaul_plan::Budget;
use longhaul_saga::intent::{Compensate, Share, Start};
use longhaul_saga::{Event, Inquire, Observe, Probe, Wait};
use longhaul_step::{Claims, Context, Key, Lookout, Registry, RunRecords};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;

use super::Driver;
use super::effect::Call;
use super::looping::News;
use super::records::JournalRecords;
use crate::{Clock, convert};

/// The last part of the path under which a step's own probe has its key.
const PROBE: &str = "probe";

pub(super) struct Calls {
    run: RunId,
    registry: Registry,
    lookout: Arc<dyn Lookout>,
    clock: Arc<dyn Clock>,
    controller: String,
    records: Arc<dyn RunRecords>,
    seed: Option<u64>,
    outbox: mpsc::Sender<News>,
    /// Number of the last call.
    last: u64,
    calls: BTreeMap<StepPath, Running>,
    timers: BTreeMap<StepPath, AbortHandle>,
    /// Whether the operator's wish to give the run up was passed on.
    pub(super) cancelled: bool,
}

struct Running {
    number: u64,
    task: AbortHandle,
    cancel: Arc<Notify>,
    claims: watch::Sender<Claims>,
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.calls.values().for_each(|running| running.task.abort());
        self.timers.values().for_each(AbortHandle::abort);
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
            controller: format!("{}:{}", owner.host, owner.pid),
            seed: driver.seed,
            outbox,
            last: 0,
            calls: BTreeMap::new(),
            timers: BTreeMap::new(),
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
        if let Some(timer) = self.timers.remove(step) {
            timer.abort();
        }
    }

    /// Gives up the step's call without hearing it out.
    pub(super) fn give_up(&mut self, step: &StepPath) {
        if let Some(running) = self.calls.remove(step) {
            running.task.abort();
        }
    }

    pub(super) fn start(&mut self, start: Start, budgets: &[&Budget]) {
        let mut context = self.context(&start.step, start.incarnation, start.attempt);
        context.claims = convert::claims(&start.claims, budgets);
        let call = self.call(context, start.step.clone());
        self.spawn(call, |call| super::effect::start(call, start));
    }

    pub(super) fn probe(&mut self, probe: Probe) {
        let context = self.context(&probe.step, probe.incarnation, probe.attempt);
        let call = self.call(context, probe.step.clone());
        self.spawn(call, |call| super::effect::probe(call, probe));
    }

    /// The look has a key of its own, of which every number is another attempt: nothing that was found before answers it.
    pub(super) fn inquire(&mut self, inquire: Inquire) {
        let probe = PROBE.parse().expect("it is well-formed");
        let context = self.context(&inquire.step.child(&probe), inquire.incarnation, inquire.number);
        let call = self.call(context, inquire.step.clone());
        self.spawn(call, |call| super::effect::inquire(call, inquire));
    }

    pub(super) fn observe(&mut self, observe: Observe) {
        let lookout = Arc::clone(&self.lookout);
        let call = self.call(self.context(&observe.step, 0, 0), observe.step.clone());
        self.spawn(call, |call| super::effect::observe(call, observe, lookout));
    }

    pub(super) fn compensate(&mut self, compensate: Compensate) {
        let context = self.context(&compensate.step, compensate.incarnation, compensate.attempt);
        let call = self.call(context, compensate.step.clone());
        self.spawn(call, |call| super::effect::compensate(call, compensate));
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
        let (clock, outbox) = (Arc::clone(&self.clock), self.outbox.clone());
        let Wait { step, timer, millis } = wait;
        let until = at_unix_ms.saturating_add(millis);
        let news = News::Timer { step: step.clone(), timer };
        let task = tokio::spawn(async move {
            clock.sleep_until_unix_ms(until).await;
            // A driver that has stopped needs no timers.
            let _ = outbox.send(news).await;
        });
        if let Some(before) = self.timers.insert(step, task.abort_handle()) {
            before.abort();
        }
    }

    fn context(&self, step: &StepPath, incarnation: u32, attempt: u32) -> Context {
        let key = Key { run: self.run.clone(), step: step.clone(), incarnation };
        let (controller, records) = (self.controller.clone(), Arc::clone(&self.records));
        Context { key, attempt, controller, records, claims: Claims::new() }
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
            claims: watch::Sender::new(Claims::new()),
            random: self
                .seed
                .map_or_else(fastrand::Rng::new, |seed| fastrand::Rng::with_seed(seed ^ self.last)),
        }
    }

    /// Runs a call in place of the step's present one, which is given up.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&mut self, call: Call, go: impl FnOnce(Call) -> F) {
        let (step, cancel, claims) = (call.step.clone(), Arc::clone(&call.cancel), call.claims.clone());
        let task = tokio::spawn(go(call)).abort_handle();
        let running = Running { number: self.last, task, cancel, claims };
        if let Some(before) = self.calls.insert(step, running) {
            before.task.abort();
        }
    }
}
