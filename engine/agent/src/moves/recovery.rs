//! Hand-overs that the last process, or an operation that failed on the way, left open: each is brought to its end.

use std::sync::Arc;
use std::time::Duration;

use longhaul_model::ids::VmId;
use tokio::time::sleep;

use crate::agent::Agent;
use crate::error::Error;
use crate::facts::{Attempt, Epoch, Role, Side, VmFacts};
use crate::handover::{Sent, recover_source, recover_target};
use crate::vms::from_facts;

/// Between two tries to bring to its end what the last process left.
const RECOVER_AGAIN: Duration = Duration::from_secs(1);

impl Agent {
    /// The latest attempt of every VM, as the last process left it. To be asked before anybody can begin another one.
    pub(crate) async fn left_over(&self) -> Result<Vec<(VmFacts, Attempt)>, Error> {
        let mut left = Vec::new();
        for row in self.facts.apart(crate::facts::Facts::vms).await.map_err(from_facts)? {
            if let Some(attempt) = self.latest(&row.vm).await? {
                left.push((row, attempt));
            }
        }
        Ok(left)
    }

    /// Brings every hand-over that the last process left to its end, as far as that needs no peer; asks on in the background
    /// where it does.
    pub(crate) async fn recover(self: &Arc<Self>, left: Vec<(VmFacts, Attempt)>) {
        for (row, attempt) in left {
            match (attempt.side, row.role) {
                // One VM that cannot be brought to its end yet does not keep the others from theirs.
                (Side::Target, _) => {
                    if let Err(error) = self.recover_target_once(&row.vm, attempt.epoch).await {
                        tracing::error!(vm = %row.vm, %error, "a hand-over of the last process is not ended yet");
                        self.recover_target(row.vm, attempt.epoch);
                    }
                }
                (Side::Source, Role::Owner(_) | Role::Relinquished(_)) => self.recover_source(row.vm),
                (Side::Source, Role::Incoming(_) | Role::Absent(_)) => {}
            }
        }
    }

    /// In the background, until it succeeds.
    pub(super) fn recover_target(self: &Arc<Self>, vm: VmId, epoch: Epoch) {
        let agent = Arc::clone(self);
        tokio::spawn(async move {
            while let Err(error) = agent.recover_target_once(&vm, epoch).await {
                tracing::error!(%vm, %error, "a hand-over is not ended yet at the target");
                sleep(RECOVER_AGAIN).await;
            }
        });
    }

    async fn recover_target_once(self: &Arc<Self>, vm: &VmId, epoch: Epoch) -> Result<(), Error> {
        let alone = self.hand_over_alone(vm).await;
        if !self.is_latest(vm, epoch).await? {
            return Ok(());
        }
        let spec = self.specs.get(vm.as_str())?;
        let side = self.target_side(&spec)?;
        let recovered = recover_target(&side).await;
        drop(alone);
        match recovered {
            Ok(Some(received)) => self.received((&spec, epoch), Ok(received)).await,
            Ok(None) => Ok(()),
            Err(error) => Err(self.undecided(&error)),
        }
    }

    async fn is_latest(&self, vm: &VmId, epoch: Epoch) -> Result<bool, Error> {
        Ok(self.latest(vm).await?.is_some_and(|attempt| attempt.epoch == epoch))
    }

    /// In the background: after RELINQUISH it may take as long as the link is down. The operation of the move, taken up
    /// at the same time, waits for the same decision.
    pub(super) fn recover_source(self: &Arc<Self>, vm: VmId) {
        let agent = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                match agent.recover_source_once(&vm).await {
                    Ok(sent) => {
                        tracing::info!(%vm, ?sent, "a hand-over was taken up");
                        return;
                    }
                    // A guest may stand still as long as it is not ended.
                    Err(error) => tracing::error!(%vm, %error, "a hand-over is not ended yet"),
                }
                sleep(RECOVER_AGAIN).await;
            }
        });
    }

    async fn recover_source_once(self: &Arc<Self>, vm: &VmId) -> Result<Option<Sent>, Error> {
        let _alone = self.hand_over_alone(vm).await;
        // The operation of the move may have come first and made another attempt.
        let Some(attempt) = self.latest(vm).await?.filter(|attempt| attempt.side == Side::Source) else {
            return Ok(None);
        };
        let side = self.source_of(vm, &attempt).await?;
        match recover_source(&side).await {
            // The guest died: there is nothing that could go on.
            Err(error @ crate::handover::Error::Crashed { .. }) => {
                tracing::error!(%vm, error = error.chain(), "a hand-over ended");
                Ok(None)
            }
            recovered => recovered.map_err(|error| self.undecided(&error)),
        }
    }
}
