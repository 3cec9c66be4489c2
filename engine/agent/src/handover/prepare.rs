//! The target makes itself ready.

use longhaul_model::ids::RunId;
use serde_json::json;

use super::error::Error;
use super::outgoing::{ASK_DEADLINE, capabilities};
use crate::facts::{Decision, Facts, Refusal};
use crate::faults::{FaultPoint, Faults};
use crate::vm::{Launch, Machine};

/// What a target makes itself ready with.
#[derive(Debug, Clone)]
pub struct Preparing {
    /// The run.
    pub run: RunId,
    /// The site that the VM comes from.
    pub source: String,
    /// What QEMU is started from; its epoch is the attempt's. The disk server must let that epoch attach (and not yet write).
    pub launch: Launch,
    /// The site's facts.
    pub facts: Facts,
    /// Where tests hold it.
    pub faults: Faults,
}

/// Makes the attempt durable and starts a QEMU that waits for the state under its epoch. A QEMU left by an earlier attempt is
/// ended: this site owns nothing while it prepares, so nothing runs in it. May be repeated while no state has come.
///
/// # Errors
/// [`facts::Error::Stale`](crate::facts::Error::Stale) and [`facts::Error::Role`](crate::facts::Error::Role) change nothing.
/// After every other error the epoch is refused (NACK) and no QEMU is left.
pub async fn prepare_incoming(preparing: &Preparing) -> Result<Machine, Error> {
    let (vm, epoch) = (preparing.launch.vm.id.clone(), preparing.launch.epoch);
    let (run, source) = (preparing.run.clone(), preparing.source.clone());
    preparing.facts.apart(move |facts| facts.begin_incoming(&vm, &run, epoch, &source)).await?;
    preparing.faults.reach(FaultPoint::TargetBegun).await;
    match begin(&preparing.launch).await {
        Ok(machine) => {
            preparing.faults.reach(FaultPoint::TargetPrepared).await;
            Ok(machine)
        }
        Err(error) => {
            refuse(preparing, error.refusal()).await?;
            Err(error)
        }
    }
}

async fn begin(launch: &Launch) -> Result<Machine, Error> {
    if let Some(earlier) = Machine::adopt(&launch.paths, &launch.vm.id)? {
        earlier.kill().await?;
    }
    let machine = Machine::start_incoming(launch).await?;
    let qmp = machine.qmp();
    qmp.execute("migrate-set-capabilities", capabilities(false), ASK_DEADLINE).await?;
    let uri = format!("unix:{}", launch.paths.incoming().display());
    qmp.execute("migrate-incoming", json!({ "uri": uri }), ASK_DEADLINE).await?;
    Ok(machine)
}

async fn refuse(preparing: &Preparing, refusal: Refusal) -> Result<(), Error> {
    let launch = &preparing.launch;
    let (vm, epoch, run) = (launch.vm.id.clone(), launch.epoch, preparing.run.clone());
    let nack = Decision::Nack(refusal);
    preparing.facts.apart(move |facts| facts.decide(&vm, &run, epoch, &nack)).await?;
    if let Some(machine) = Machine::adopt(&launch.paths, &launch.vm.id)? {
        machine.kill().await?;
    }
    Ok(())
}
