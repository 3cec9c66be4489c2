//! The action.

use std::sync::Arc;
use std::time::Duration;

use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::ids::{SiteId, VmId};
use longhaul_step::{Action, Context, Error, ErrorClass, Finding, Handle, Outcome, Poll, Probe, Started};
use longhaul_wire::v1::ObserveRequest;
use serde::Deserialize;
use serde_json::Value;

use crate::agents::Agents;
use crate::descriptor::{describe, fails_at_agents, list, means, object, read, site, vm};
use crate::local::{self, Tasks};
use crate::site_check::problems::Seen;
use crate::site_check::{facts, problems};

pub(crate) struct SiteCheck {
    descriptor: Descriptor,
    agents: Arc<Agents>,
    tasks: Tasks,
}

#[derive(Deserialize)]
struct Params {
    from: SiteId,
    to: SiteId,
    vms: Vec<VmId>,
}

impl SiteCheck {
    pub(crate) fn new(agents: Arc<Agents>) -> Self {
        let params = object(
            [
                ("from", means(site(), "the site that the VMs leave")),
                ("to", means(site(), "the site that they go to")),
                ("vms", means(list(&vm()), "the VMs that are to move")),
            ],
            [],
        );
        let summary = "Asks both sites whether the VMs can move, and says everything that is in the way";
        let errors = fails_at_agents([
            (ErrorClass::Precondition, "something is in the way of the move; the message lists all of it"),
            (ErrorClass::Conflict, "another run moves one of the VMs"),
            (ErrorClass::Unreachable, "an agent, or the link between the sites, does not answer"),
        ]);
        let descriptor = describe("site.check@1", summary, Effects::None, params, facts::schema(), errors);
        Self { descriptor, agents, tasks: Tasks::default() }
    }
}

/// A move needs two sites: the mistake that no schema can express.
pub(crate) fn between_two_sites(params: &Value) -> Vec<Finding> {
    let (from, to) = (params.get("from"), params.get("to"));
    if from.is_none() || from != to {
        return Vec::new();
    }
    let message = "`from` and `to` are the same site: a VM is there already".to_owned();
    vec![Finding { pointer: "/to".to_owned(), message }]
}

async fn look(agents: Arc<Agents>, params: Params) -> Result<Value, Error> {
    let vms: Vec<String> = params.vms.iter().map(ToString::to_string).collect();
    // The link is measured once, in the direction in which the bytes will go.
    let source = ObserveRequest { vms: vms.clone(), peer: params.to.to_string() };
    let target = ObserveRequest { vms, peer: String::new() };
    let (source, target) =
        tokio::join!(agents.observe(&params.from, source), agents.observe(&params.to, target));
    let source = Seen { site: params.from, reply: source.map_err(Error::from) };
    let target = Seen { site: params.to, reply: target.map_err(Error::from) };
    problems::refuse(&params.vms, &source, &target)?;
    Ok(facts::outputs(&params.vms, &source.reply?, &target.reply?))
}

#[async_trait::async_trait]
impl Action for SiteCheck {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn check(&self, params: &Value, _facts: &Value) -> Vec<Finding> {
        between_two_sites(params)
    }

    async fn start(&self, context: &Context, params: &Value) -> Started {
        let wrong = between_two_sites(params).into_iter().next();
        match (read::<Params>(params), wrong) {
            (Ok(_), None) => Started::Running(local::handle(context, params)),
            (Ok(_), Some(wrong)) => Started::Failed(Error::new(ErrorClass::Precondition, wrong.message)),
            (Err(error), _) => Started::Failed(error),
        }
    }

    async fn poll(&self, _context: &Context, handle: &Handle, patience: Duration) -> Poll {
        match local::params(handle).and_then(|params| read(&params)) {
            Ok(params) => {
                let look = look(Arc::clone(&self.agents), params);
                self.tasks.poll(handle, patience, "asking both sites", look).await
            }
            Err(error) => Poll::Ended(Outcome::Failed(error)),
        }
    }

    /// Looking leaves nothing that could be found.
    async fn probe(&self, _context: &Context, _params: &Value) -> Probe {
        Probe::Absent
    }

    async fn cancel(&self, _context: &Context, handle: &Handle) -> Result<(), Error> {
        self.tasks.cancel(handle);
        Ok(())
    }

    async fn compensate(
        &self,
        _context: &Context,
        _params: &Value,
        _outputs: Option<&Value>,
    ) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A move within one site is a mistake at `to`; between two it is none.
    #[test]
    fn a_move_needs_two_sites() {
        assert!(between_two_sites(&json!({ "from": "a", "to": "b" })).is_empty());
        assert_eq!(between_two_sites(&json!({ "from": "a", "to": "a" }))[0].pointer, "/to");
    }
}
