//! `gtm.prepare@1` and `gtm.redirect@1`, which change what both sites' DNS servers answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longhaul_lab::addresses;
use longhaul_lab::client::Answer;
use longhaul_lab::place::Side;
use longhaul_model::ids::RunId;
use longhaul_step::Action;
use longhaul_step::conformance::{Fault, Subject};
use serde_json::{Value, json};

use super::world::World;

/// Shorter than the lab's own.
const LOWERED_SECONDS: u32 = 5;

/// An action that changes the guest's answer at both sites.
pub(super) struct Names<'a> {
    world: &'a World,
    action: &'static str,
    params: Value,
    /// Whether an answer is a changed one.
    changed: fn(&Answer) -> bool,
    /// What was broken last.
    broken: Mutex<Option<Fault>>,
}

impl<'a> Names<'a> {
    pub(super) fn prepare(world: &'a World) -> Self {
        let params = json!({ "vm": world.ground.lab.vm(), "ttl": LOWERED_SECONDS });
        let changed: fn(&Answer) -> bool =
            |answer| answer.ttl != Duration::from_secs(addresses::TTL_SECONDS.into());
        Self { world, action: "gtm.prepare@1", params, changed, broken: Default::default() }
    }

    pub(super) fn redirect(world: &'a World) -> Self {
        let params = json!({ "vm": world.ground.lab.vm(), "to": "b" });
        let changed: fn(&Answer) -> bool = |answer| answer.address != addresses::GUEST;
        Self { world, action: "gtm.redirect@1", params, changed, broken: Default::default() }
    }

    fn changed(&self) -> usize {
        self.world.answers().iter().flatten().filter(|answer| (self.changed)(answer)).count()
    }

    /// B answers for the guest once it has heard of it, which it does when a move is prepared.
    async fn introduce(&self) {
        if self.world.answers().iter().all(Option::is_some) {
            return;
        }
        let params = json!({ "vm": self.world.ground.lab.vm() });
        self.world.bring_about("gtm.prepare@1", "introduce", &params).await;
        self.world.clear("gtm.prepare@1", "introduce", &params, || self.changed() > 0).await;
    }
}

#[async_trait::async_trait]
impl Subject for Names<'_> {
    fn action(&self) -> Arc<dyn Action> {
        self.world.action(self.action)
    }

    fn params(&self) -> Value {
        self.params.clone()
    }

    async fn reset(&self) {
        self.world.clear(self.action, "subject", &self.params, || self.changed() > 0).await;
        self.world.next_run();
        self.introduce().await;
    }

    fn run(&self) -> RunId {
        self.world.run()
    }

    async fn effects(&self) -> usize {
        usize::from(self.changed() > 0)
    }

    /// A is asked before B. So nothing is there when A is dead, half when B is, and all when both were asked and neither
    /// can be asked again. An undoing that does not reach B breaks off too.
    async fn break_at(&self, fault: Option<Fault>) -> bool {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(Fault::Before) => self.world.kill_agent(Side::A),
            Some(Fault::Half | Fault::Undo) => self.world.kill_agent(Side::B),
            Some(Fault::After) => Side::BOTH.into_iter().for_each(|side| self.world.shut_line(side, 1)),
            None => self.world.mend(),
        }
        if std::mem::replace(&mut *broken, fault) == Some(Fault::After) {
            // The agents were asked and are at it; the kit looks from here on.
            self.world.wait(|| self.changed() == Side::BOTH.len());
        }
        true
    }
}
