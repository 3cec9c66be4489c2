//! `storage.settle@1`: waits until the whole disk is at the target and proven, then lets go of the source.
//!
//! Irreversible, although the source's file is kept (renamed, for a person to look at): once the source is released
//! it serves no reads and counts no changes, and the guest has written at the target since. There is nothing an undo
//! could make true again; going back is another move.

use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::ids::{SiteId, VmId};
use longhaul_step::{Error, ErrorClass, Estimate, Finding};
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{Outputs, SettleDisk};
use serde::Deserialize;
use serde_json::Value;

use crate::descriptor::{describe, fails_at_agents, means, object, read, site, vm};
use crate::outputs;
use crate::remote::{Call, Remote};
use crate::site_check::{between_two_sites, predict};

pub(crate) struct StorageSettle {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Params {
    vm: VmId,
    from: SiteId,
    to: SiteId,
}

impl StorageSettle {
    pub(crate) fn new() -> Self {
        let params = object(
            [
                ("vm", means(vm(), "the VM, which has moved")),
                ("from", means(site(), "the site that it left")),
                ("to", means(site(), "the site where it runs")),
            ],
            [],
        );
        let summary = "Waits until the whole disk is at the target and proven, then releases the source";
        let outputs = outputs::disk_settled_schema();
        let errors = fails_at_agents([
            (
                ErrorClass::Transient,
                "the target's disk is full, or the source's cannot be read; resume after repair",
            ),
            (ErrorClass::Permanent, "the copy differs from the source, whose disk is kept"),
            (ErrorClass::Precondition, "the VM does not run at `to`"),
            (ErrorClass::Conflict, "`from` did not hand the VM over in this epoch; its disk stays"),
            (ErrorClass::Unreachable, "an agent, or the link between the sites, does not answer"),
        ]);
        let effects = Effects::Irreversible;
        Self { descriptor: describe("storage.settle@1", summary, effects, params, outputs, errors) }
    }
}

impl Remote for StorageSettle {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn calls(&self, _sites: &[SiteId], params: &Value) -> Result<Vec<Call>, Error> {
        let Params { vm, from, to } = read(params)?;
        let settle = SettleDisk { vm: vm.to_string(), source: from.to_string() };
        Ok(vec![Call { site: to, request: Operation::SettleDisk(settle) }])
    }

    fn outputs(&self, answers: Vec<(SiteId, Outputs)>) -> Result<Value, Error> {
        match outputs::only(answers)? {
            (_, Kind::DiskSettled(out)) => Ok(outputs::disk_settled(&out)),
            (site, _) => Err(outputs::mismatch(&site)),
        }
    }

    fn link(&self, params: &Value) -> Option<[SiteId; 2]> {
        read(params).ok().map(|Params { from, to, .. }| [from, to])
    }

    fn check(&self, params: &Value) -> Vec<Finding> {
        between_two_sites(params)
    }

    fn estimate(&self, params: &Value, facts: &Value) -> Estimate {
        read::<Params>(params).map(|params| predict::settle(facts, params.vm.as_str())).unwrap_or_default()
    }
}
