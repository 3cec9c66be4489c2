//! `wan.tunnel@1`: waits until every lane between two sites carries, and measures the link.
//!
//! Leaves nothing: the agents keep the lanes up whether or not a run lives, and how many there are is theirs to say
//! (`docs/decisions/0001-lanes-are-kept-up.md`).

use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::ids::SiteId;
use longhaul_step::{Error, ErrorClass, Finding};
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{OpenTunnel, Outputs};
use serde::Deserialize;
use serde_json::Value;

use crate::descriptor::{describe, fails_at_agents, means, object, read, site};
use crate::outputs;
use crate::remote::{Call, Remote};
use crate::site_check::between_two_sites;

pub(crate) struct WanTunnel {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Params {
    from: SiteId,
    to: SiteId,
}

impl WanTunnel {
    pub(crate) fn new() -> Self {
        let params = object(
            [
                ("from", means(site(), "the site from which the bytes will come")),
                ("to", means(site(), "the site to which they will go")),
            ],
            [],
        );
        let summary = "Waits until the tunnel between two sites is up, and measures the link";
        let outputs = outputs::tunnel_opened_schema();
        let errors = fails_at_agents([
            (ErrorClass::Precondition, "a site is not among the other's peers in its site file"),
            (ErrorClass::Unreachable, "an agent does not answer, or the tunnel does not come up"),
        ]);
        Self { descriptor: describe("wan.tunnel@1", summary, Effects::None, params, outputs, errors) }
    }
}

impl Remote for WanTunnel {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn calls(&self, _sites: &[SiteId], params: &Value) -> Result<Vec<Call>, Error> {
        let Params { from, to } = read(params)?;
        let open = OpenTunnel { peer: to.to_string(), lanes: 0, pacing_bits_per_second: 0 };
        Ok(vec![Call { site: from, request: Operation::OpenTunnel(open) }])
    }

    fn outputs(&self, answers: Vec<(SiteId, Outputs)>) -> Result<Value, Error> {
        match outputs::only(answers)? {
            (_, Kind::TunnelOpened(out)) => Ok(outputs::tunnel_opened(&out)),
            (site, _) => Err(outputs::mismatch(&site)),
        }
    }

    fn check(&self, params: &Value) -> Vec<Finding> {
        between_two_sites(params)
    }
}
