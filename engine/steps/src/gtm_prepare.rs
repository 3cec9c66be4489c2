//! `gtm.prepare@1`: lowers the time for which resolvers may keep a VM's address, at every site that serves the zone.
//!
//! Reversible: undoing it puts the former time back.

use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::ids::{SiteId, VmId};
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{Outputs, PrepareName};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::descriptor::{describe, fails_at_agents, means, object, read, vm};
use crate::outputs;
use crate::remote::{Call, Remote};

/// Seconds an answer may be kept during a move. Short enough that clients follow at once, long enough that a resolver
/// does not take it for "do not cache" and asks for every packet.
const TTL_SECONDS_DEFAULT: u32 = 5;

/// An hour: more would not be a preparation.
const TTL_SECONDS_MAX: u32 = 3600;

/// How changing a VM's name fails.
pub(crate) const NAME_ERRORS: [(ErrorClass, &str); 4] = [
    (ErrorClass::Transient, "the name was changed and could not be read back"),
    (ErrorClass::Permanent, "the answer does not fit the zone"),
    (ErrorClass::Precondition, "a site has no name for the VM, or the VM no address at the site"),
    (ErrorClass::Conflict, "the name reads back differently: somebody else writes it, too"),
];

pub(crate) struct GtmPrepare {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Params {
    vm: VmId,
    #[serde(default = "ttl_default")]
    ttl: u32,
}

fn ttl_default() -> u32 {
    TTL_SECONDS_DEFAULT
}

impl GtmPrepare {
    pub(crate) fn new() -> Self {
        let ttl = json!({
            "type": "integer", "minimum": 1, "maximum": TTL_SECONDS_MAX, "default": TTL_SECONDS_DEFAULT,
            "description": "for how many seconds resolvers may keep the address",
        });
        let params = object([("vm", means(vm(), "the VM whose name it is"))], [("ttl", ttl)]);
        let summary = "Lowers the time for which resolvers may keep a VM's address";
        let outputs = outputs::name_prepared_schema();
        let errors = fails_at_agents(NAME_ERRORS);
        let effects = Effects::Reversible;
        Self { descriptor: describe("gtm.prepare@1", summary, effects, params, outputs, errors) }
    }
}

impl Remote for GtmPrepare {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn calls(&self, sites: &[SiteId], params: &Value) -> Result<Vec<Call>, Error> {
        let Params { vm, ttl } = read(params)?;
        let request = PrepareName { vm: vm.to_string(), ttl_seconds: ttl };
        let call =
            |site: &SiteId| Call { site: site.clone(), request: Operation::PrepareName(request.clone()) };
        Ok(sites.iter().map(call).collect())
    }

    fn outputs(&self, answers: Vec<(SiteId, Outputs)>) -> Result<Value, Error> {
        let mut name = String::new();
        let mut ttl_seconds = 0;
        let mut sites = Vec::new();
        for (site, outputs) in answers {
            let Some(Kind::NamePrepared(out)) = outputs.outputs else {
                return Err(outputs::mismatch(&site));
            };
            sites.push(outputs::name_prepared(&out, &site));
            (name, ttl_seconds) = (out.name, out.ttl_seconds);
        }
        Ok(json!({ "name": name, "ttl_seconds": ttl_seconds, "sites": sites }))
    }
}
