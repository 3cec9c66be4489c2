//! `vm.move@1` and `storage.settle@1`, which are never undone: each time the guest moves on from where it is.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use longhaul_lab::observer::{Observer, Options};
use longhaul_lab::place::{Place, Side};
use longhaul_model::ids::RunId;
use longhaul_step::Action;
use longhaul_step::conformance::{Fault, Subject};
use serde_json::{Value, json};

use super::world::World;
use crate::moves::small::processes::{self, QEMU, SOON, wait};

/// How soon a target hears over the lab's link, whose agents live, that no guest comes.
const HEARD_MAX: Duration = Duration::from_secs(5);

/// Where the guest moves from, and what was broken on its way.
struct Way<'a> {
    world: &'a World,
    observer: Observer,
    from: Mutex<Side>,
    broken: Mutex<Option<Broken>>,
}

enum Broken {
    Agent,
    Midway(JoinHandle<bool>),
    Answer,
}

impl<'a> Way<'a> {
    fn new(world: &'a World) -> Self {
        let observer = Observer::start(Options::of_lab(&world.ground.lab));
        Self { world, observer, from: Mutex::new(Side::A), broken: Mutex::default() }
    }

    fn from(&self) -> Side {
        *self.from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn to(&self) -> Side {
        self.from().other()
    }

    fn params(&self, more: Value) -> Value {
        let (vm, from, to) = (self.world.ground.lab.vm(), self.from().as_str(), self.to().as_str());
        let mut params = json!({ "vm": vm, "from": from, "to": to });
        if let (Value::Object(all), Value::Object(more)) = (&mut params, more) {
            all.extend(more);
        }
        params
    }

    /// Brings the last move to its end, whatever became of it, and copies the disk for the next one.
    async fn prepare(&self) {
        assert!(wait(SOON, || self.observer.runs_at().is_some()), "the guest runs nowhere");
        if self.observer.runs_at() == Some(self.to()) {
            self.world.bring_about("storage.settle@1", "settle", &self.params(json!({}))).await;
            *self.from.lock().unwrap_or_else(PoisonError::into_inner) = self.to();
        } else {
            let there = || !self.world.ground.belongings(self.to()).is_empty();
            self.world.clear("storage.prefetch@1", "prefetch", &self.prefetch(), there).await;
        }
        self.world.next_run();
        self.world.bring_about("storage.prefetch@1", "prefetch", &self.prefetch()).await;
    }

    fn prefetch(&self) -> Value {
        self.params(json!({ "until": { "present": 1 } }))
    }

    fn moving(&self) -> Value {
        self.params(json!({ "max_pause": "300ms" }))
    }

    fn broken(&self) -> MutexGuard<'_, Option<Broken>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn break_agent(&self, side: Side) -> bool {
        self.world.kill_agent(side);
        *self.broken() = Some(Broken::Agent);
        true
    }

    fn break_answer(&self, asked: Side) -> bool {
        self.world.shut_line(asked, 1);
        *self.broken() = Some(Broken::Answer);
        true
    }

    /// Kills the source's agent as soon as the target has a QEMU for the guest, to which the memory then takes a while.
    fn break_midway(&self) -> bool {
        self.world.slow(true);
        let target = self.world.ground.lab.netns(Place::Site(self.to()));
        let agent = self.world.ground.lab.agent_pid(self.from()).expect("the agent runs");
        let killer =
            move || wait(SOON, || !processes::inside(&target, QEMU).is_empty()) && processes::end(&[agent]);
        *self.broken() = Some(Broken::Midway(thread::spawn(killer)));
        true
    }

    /// Mends what is broken. What an agent was asked for goes on, and the kit looks when it is there.
    fn mend(&self, is_there: impl FnMut() -> bool) -> bool {
        match self.broken().take() {
            Some(Broken::Midway(killer)) => {
                assert!(killer.join().unwrap(), "the agent was not killed midway");
                self.world.slow(false);
                self.world.mend();
                self.world.wait(is_there);
            }
            Some(Broken::Answer) => {
                self.world.mend();
                self.world.wait(is_there);
            }
            Some(Broken::Agent) => self.world.mend(),
            None => {}
        }
        true
    }
}

/// `vm.move@1`: the guest, or a QEMU for it, is at the target.
pub(super) struct Move<'a>(Way<'a>);

impl<'a> Move<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        Self(Way::new(world))
    }
}

#[async_trait::async_trait]
impl Subject for Move<'_> {
    fn action(&self) -> Arc<dyn Action> {
        self.0.world.action("vm.move@1")
    }

    fn params(&self) -> Value {
        self.0.moving()
    }

    async fn reset(&self) {
        self.0.prepare().await;
    }

    fn run(&self) -> RunId {
        self.0.world.run()
    }

    /// A QEMU that waits for a guest ends when the target hears that none comes; one that goes on waiting is left behind.
    async fn effects(&self) -> usize {
        let waiting = || self.0.world.ground.processes(self.0.to(), QEMU);
        wait(HEARD_MAX, || waiting() == 0 || self.0.observer.runs_at() == Some(self.0.to()));
        waiting()
    }

    /// The target's agent is dead; the source's agent dies while it copies memory; it cannot be asked after the start. Nothing
    /// is ever undone.
    async fn break_at(&self, fault: Option<Fault>) -> bool {
        match fault {
            Some(Fault::Before) => self.0.break_agent(self.0.to()),
            Some(Fault::Half) => self.0.break_midway(),
            Some(Fault::After) => self.0.break_answer(self.0.from()),
            Some(Fault::Undo) => false,
            None => self.0.mend(|| self.0.observer.runs_at() == Some(self.0.to())),
        }
    }
}

/// `storage.settle@1`: the source's disk was put aside in the name of the run.
pub(super) struct Settle<'a>(Way<'a>);

impl<'a> Settle<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        Self(Way::new(world))
    }

    fn released(&self) -> PathBuf {
        let Way { world, .. } = &self.0;
        let disks = world.ground.lab.files().agent(self.0.from()).join("disks");
        disks.join(format!("{}.raw.released-{}", world.ground.lab.vm(), world.run()))
    }
}

#[async_trait::async_trait]
impl Subject for Settle<'_> {
    fn action(&self) -> Arc<dyn Action> {
        self.0.world.action("storage.settle@1")
    }

    fn params(&self) -> Value {
        self.0.params(json!({}))
    }

    async fn reset(&self) {
        self.0.prepare().await;
        self.0.world.bring_about("vm.move@1", "move", &self.0.moving()).await;
    }

    fn run(&self) -> RunId {
        self.0.world.run()
    }

    async fn effects(&self) -> usize {
        usize::from(self.released().exists())
    }

    /// The asked agent is dead, or cannot be asked after the start. What breaks off half done, as with a source that is away, is
    /// waited for and is no end.
    async fn break_at(&self, fault: Option<Fault>) -> bool {
        match fault {
            Some(Fault::Before) => self.0.break_agent(self.0.to()),
            Some(Fault::After) => self.0.break_answer(self.0.to()),
            Some(Fault::Half | Fault::Undo) => false,
            None => self.0.mend(|| self.released().exists()),
        }
    }
}
