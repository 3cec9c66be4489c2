//! `wan.tunnel@1`: opens lanes between two sites and measures the link.
//!
//! Reversible: what it leaves is lanes. They are shared by all runs between the two sites, and it is the agent that
//! closes them when the last one that asked for them has let go.

use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::ids::SiteId;
use longhaul_step::{Error, Finding};
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{OpenTunnel, Outputs};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::descriptor::{describe, object, read, site};
use crate::outputs;
use crate::remote::{Call, Remote};
use crate::site_check::between_two_sites;

/// More lanes than this cost memory at both ends and gain nothing: eight fill every link we measured.
const LANES_MAX: u32 = 64;

pub(crate) struct WanTunnel {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Params {
    from: SiteId,
    to: SiteId,
    #[serde(default)]
    lanes: u32,
}

impl WanTunnel {
    pub(crate) fn new() -> Self {
        let lanes = json!({ "type": "integer", "minimum": 1, "maximum": LANES_MAX });
        let params = object([("from", site()), ("to", site())], [("lanes", lanes)]);
        let summary = "Opens the tunnel between two sites and measures the link";
        let outputs = outputs::tunnel_opened_schema();
        Self { descriptor: describe("wan.tunnel@1", summary, Effects::Reversible, params, outputs) }
    }
}

impl Remote for WanTunnel {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn calls(&self, _sites: &[SiteId], params: &Value) -> Result<Vec<Call>, Error> {
        let Params { from, to, lanes } = read(params)?;
        let open = OpenTunnel { peer: to.to_string(), lanes, pacing_bits_per_second: 0 };
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
