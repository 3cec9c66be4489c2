//! `vm.move@1`: hands a running VM over to the target.
//!
//! Runs at the source's agent. Irreversible: from the hand-over on only another move brings the VM back, and that is a
//! run of its own, never a part of an unwind. `compensate` takes away an attempt that did not get so far, and is
//! refused by the agent after it.

use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::ids::{SiteId, VmId};
use longhaul_model::units::Time;
use longhaul_step::{Error, ErrorClass, Estimate, Finding};
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{MoveVm, Outputs};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::descriptor::{describe, fails_at_agents, means, object, read, site, vm};
use crate::outputs;
use crate::remote::{Call, Remote};
use crate::site_check::{between_two_sites, predict};

pub(crate) struct VmMove {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Params {
    vm: VmId,
    from: SiteId,
    to: SiteId,
    max_pause: Time,
}

impl VmMove {
    pub(crate) fn new() -> Self {
        let pause = json!({ "type": "string", "format": "duration" });
        let params = object(
            [
                ("vm", means(vm(), "the VM, which runs on while its memory is copied")),
                ("from", means(site(), "the site where it runs")),
                ("to", means(site(), "the site that it goes to; its disk is being copied there")),
                ("max_pause", means(pause, "the longest pause of the guest that is accepted")),
            ],
            [],
        );
        let summary = "Hands a running VM over to the target";
        let outputs = outputs::vm_moved_schema();
        let errors = fails_at_agents([
            (ErrorClass::Transient, "the copying broke off before the hand-over; the VM runs on at `from`"),
            (ErrorClass::Permanent, "QEMU at the target refuses the VM, or the guest died"),
            (
                ErrorClass::Precondition,
                "the VM does not run at `from`, or it writes faster than the link carries within `max_pause`",
            ),
        ]);
        let effects = Effects::Irreversible;
        Self { descriptor: describe("vm.move@1", summary, effects, params, outputs, errors) }
    }
}

impl Remote for VmMove {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn calls(&self, _sites: &[SiteId], params: &Value) -> Result<Vec<Call>, Error> {
        let Params { vm, from, to, max_pause } = read(params)?;
        let request =
            MoveVm { vm: vm.to_string(), target: to.to_string(), max_pause_ms: max_pause.as_millis() };
        Ok(vec![Call { site: from, request: Operation::MoveVm(request) }])
    }

    fn outputs(&self, answers: Vec<(SiteId, Outputs)>) -> Result<Value, Error> {
        match outputs::only(answers)? {
            (_, Kind::VmMoved(out)) => Ok(outputs::vm_moved(&out)),
            (site, _) => Err(outputs::mismatch(&site)),
        }
    }

    fn check(&self, params: &Value) -> Vec<Finding> {
        // The other parameters need not be known yet.
        let pause =
            params.get("max_pause").and_then(Value::as_str).and_then(|text| text.parse::<Time>().ok());
        let too_short = pause.filter(|pause| pause.as_millis() == 0).map(|_| Finding {
            pointer: "/max_pause".to_owned(),
            message: "a VM cannot move without any pause: write 300ms or more".to_owned(),
        });
        between_two_sites(params).into_iter().chain(too_short).collect()
    }

    fn estimate(&self, params: &Value, facts: &Value) -> Estimate {
        read::<Params>(params).map(|params| predict::hand_over(facts, params.vm.as_str())).unwrap_or_default()
    }
}
