//! `storage.prefetch@1`, which brings a copy of the disk to the target.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use longhaul_lab::place::Side;
use longhaul_model::ids::RunId;
use longhaul_step::Action;
use longhaul_step::conformance::{Fault, Subject};
use serde_json::{Value, json};

use super::world::World;
use crate::moves::small::processes::{self, SOON, wait};

/// More than there is.
const RESERVE: &str = "1000TiB";

/// The copy of the guest's disk, at B.
pub(super) struct Prefetch<'a> {
    world: &'a World,
    /// The file of site B as the lab wrote it.
    site: String,
    broken: Mutex<Option<Broken>>,
}

/// What is broken, and has to be mended.
enum Broken {
    Space,
    Killed(JoinHandle<bool>),
    Answer,
    Undo,
}

impl<'a> Prefetch<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let site = std::fs::read_to_string(world.ground.lab.files().site(Side::B)).unwrap();
        Self { world, site, broken: Mutex::default() }
    }

    fn is_there(&self) -> bool {
        !self.world.ground.belongings(Side::B).is_empty()
    }

    fn without_space(&self) -> String {
        let lines = self.site.lines().map(|line| match line.split_once(':') {
            Some(("disk_reserve", _)) => format!("disk_reserve: {RESERVE}"),
            Some(_) | None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Kills B's agent as soon as the copy is begun. At the link's rate it then lacks the most of it.
    fn kill_midway(&self) -> JoinHandle<bool> {
        self.world.slow(true);
        let (image, agent) = (self.world.ground.image(Side::B), self.world.ground.lab.agent_pid(Side::B));
        let agent = agent.expect("the agent runs");
        thread::spawn(move || wait(SOON, || image.exists()) && processes::end(&[agent]))
    }

    fn broken(&self) -> MutexGuard<'_, Option<Broken>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mend(&self) {
        match self.broken().take() {
            Some(Broken::Space) => self.world.restart_b_with(&self.site),
            Some(Broken::Killed(killer)) => {
                assert!(killer.join().unwrap(), "the agent was not killed midway");
                self.world.slow(false);
                self.world.mend();
            }
            Some(Broken::Answer) => {
                self.world.mend();
                // The agent was asked and is at it; the kit looks from here on.
                self.world.wait(|| self.is_there());
            }
            Some(Broken::Undo) => self.world.mend(),
            None => {}
        }
    }
}

#[async_trait::async_trait]
impl Subject for Prefetch<'_> {
    fn action(&self) -> Arc<dyn Action> {
        self.world.action("storage.prefetch@1")
    }

    fn params(&self) -> Value {
        json!({ "vm": self.world.ground.lab.vm(), "from": "a", "to": "b", "until": { "present": 1 } })
    }

    async fn reset(&self) {
        self.world.clear("storage.prefetch@1", "subject", &self.params(), || self.is_there()).await;
        self.world.next_run();
    }

    fn run(&self) -> RunId {
        self.world.run()
    }

    async fn effects(&self) -> usize {
        usize::from(self.is_there())
    }

    /// B has too little space; B's agent dies while it copies; B cannot be asked after the start; B's agent is dead when the
    /// copy is to be taken away.
    async fn break_at(&self, fault: Option<Fault>) -> bool {
        let broken = match fault {
            None => {
                self.mend();
                return true;
            }
            Some(Fault::Before) => {
                self.world.restart_b_with(&self.without_space());
                Broken::Space
            }
            Some(Fault::Half) => Broken::Killed(self.kill_midway()),
            Some(Fault::After) => {
                self.world.shut_line(Side::B, 1);
                Broken::Answer
            }
            Some(Fault::Undo) => {
                self.world.kill_agent(Side::B);
                Broken::Undo
            }
        };
        *self.broken() = Some(broken);
        true
    }
}
