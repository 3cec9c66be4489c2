//! What only looks: `site.check@1` and `wan.tunnel@1`. They may fail, and have to leave nothing.

use std::sync::Arc;

use longhaul_lab::place::Side;
use longhaul_model::ids::RunId;
use longhaul_step::Action;
use longhaul_step::conformance::{Fault, Subject};
use serde_json::{Value, json};

use super::world::World;

/// The lanes that the agents keep up by themselves.
const LANES: usize = 2;

/// `site.check@1`. It would leave something of the VM at the target.
pub(super) struct SiteCheck<'a>(pub(super) &'a World);

#[async_trait::async_trait]
impl Subject for SiteCheck<'_> {
    fn action(&self) -> Arc<dyn Action> {
        self.0.action("site.check@1")
    }

    fn params(&self) -> Value {
        json!({ "from": "a", "to": "b", "vms": [self.0.ground.lab.vm()] })
    }

    async fn reset(&self) {
        self.0.next_run();
    }

    fn run(&self) -> RunId {
        self.0.run()
    }

    async fn effects(&self) -> usize {
        self.0.ground.belongings(Side::B).len()
    }

    /// The source's agent is dead, or the target's cannot be reached. There is no effect whose answer could be lost, and none
    /// to undo.
    async fn break_at(&self, fault: Option<Fault>) -> bool {
        match fault {
            Some(Fault::Before) => self.0.kill_agent(Side::A),
            Some(Fault::Half) => self.0.shut_line(Side::B, 0),
            Some(Fault::After | Fault::Undo) => return false,
            None => self.0.mend(),
        }
        true
    }
}

/// `wan.tunnel@1`. It would leave connections beside those of the agents' own lanes.
pub(super) struct WanTunnel<'a>(pub(super) &'a World);

#[async_trait::async_trait]
impl Subject for WanTunnel<'_> {
    fn action(&self) -> Arc<dyn Action> {
        self.0.action("wan.tunnel@1")
    }

    fn params(&self) -> Value {
        json!({ "from": "a", "to": "b" })
    }

    async fn reset(&self) {
        self.0.wait(|| self.0.connections() == LANES);
        assert_eq!(self.0.connections(), LANES);
        self.0.next_run();
    }

    fn run(&self) -> RunId {
        self.0.run()
    }

    async fn effects(&self) -> usize {
        self.0.connections().saturating_sub(LANES)
    }

    /// The peer is dead, so that no lane comes up after the start; or the agent that is asked is. There is no effect whose answer
    /// could be lost, and none to undo.
    async fn break_at(&self, fault: Option<Fault>) -> bool {
        match fault {
            Some(Fault::Before) => self.0.kill_agent(Side::B),
            Some(Fault::Half) => self.0.kill_agent(Side::A),
            Some(Fault::After | Fault::Undo) => return false,
            None => self.0.mend(),
        }
        true
    }
}
