//! `storage.prefetch@1`: copies a running VM's disk to the target until enough of it is there.
//!
//! Runs at the target's agent, which asks the source's agent to open the origin. Reversible: undoing it removes the
//! copy and the dirty map, and the VM never noticed. With `keep` the run lets go of the copy in the end; the next prefetch of
//! that VM between these sites takes it over, and undoing that one leaves it as it was.

use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::ids::{SiteId, VmId};
use longhaul_step::{Error, ErrorClass, Estimate, Finding};
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{Outputs, Prefetch};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::descriptor::{boolean, describe, fails_at_agents, means, object, read, site, vm};
use crate::outputs;
use crate::remote::{Call, Remote};
use crate::site_check::{between_two_sites, predict};

pub(crate) struct StoragePrefetch {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Params {
    vm: VmId,
    from: SiteId,
    to: SiteId,
    until: Until,
    #[serde(default)]
    keep: bool,
}

#[derive(Deserialize)]
struct Until {
    present: f64,
}

impl StoragePrefetch {
    pub(crate) fn new() -> Self {
        let present = json!({ "type": "number", "minimum": 0, "maximum": 1 });
        let present = means(present, "how much of the disk is there, 0 to 1");
        let until = object([("present", present)], []);
        let params = object(
            [
                ("vm", means(vm(), "the VM whose disk is copied; it runs on")),
                ("from", means(site(), "the site where it runs")),
                ("to", means(site(), "the site that gets the copy")),
                ("until", means(until, "when the step is done")),
            ],
            [("keep", means(boolean(), "whether the site keeps the copy for a later run (default: false)"))],
        );
        let summary = "Copies a running VM's disk to the target until enough of it is there";
        let outputs = outputs::prefetched_schema();
        let errors = fails_at_agents([
            (ErrorClass::Transient, "a disk server does not answer yet, or the copying broke off"),
            (ErrorClass::Permanent, "the target's disk is full or cannot be written"),
            (
                ErrorClass::Precondition,
                "the VM is not at `from`, its host there was started anew, or `to` has too little room for its disk",
            ),
            (ErrorClass::Conflict, "`to` has a VM of that name of its own, or another run moves it"),
            (ErrorClass::Unreachable, "an agent, or the link between the sites, does not answer"),
        ]);
        let effects = Effects::Reversible;
        let descriptor = describe("storage.prefetch@1", summary, effects, params, outputs, errors);
        Self { descriptor: Descriptor { foundation: true, ..descriptor } }
    }
}

/// Rounds up, so that never less is there than was asked for. The schema keeps the share between 0 and 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000 by schema and clamp")]
fn permille(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1000.0).ceil() as u32
}

impl Remote for StoragePrefetch {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn calls(&self, _sites: &[SiteId], params: &Value) -> Result<Vec<Call>, Error> {
        let Params { vm, from, to, until, keep } = read(params)?;
        let prefetch = Prefetch {
            vm: vm.to_string(),
            source: from.to_string(),
            present_permille: permille(until.present),
            keep,
        };
        Ok(vec![Call { site: to, request: Operation::Prefetch(prefetch) }])
    }

    fn outputs(&self, answers: Vec<(SiteId, Outputs)>) -> Result<Value, Error> {
        match outputs::only(answers)? {
            (_, Kind::Prefetched(out)) => Ok(outputs::prefetched(&out)),
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
        read::<Params>(params)
            .map(|params| predict::prefetch(facts, params.vm.as_str(), params.until.present))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A share becomes the next permille above it, and the ends stay the ends.
    #[test]
    fn a_share_is_rounded_up() {
        assert_eq!([0.0, 0.8501, 0.85, 1.0].map(permille), [0, 851, 850, 1000]);
    }
}
