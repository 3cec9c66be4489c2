//! What a hand-over needs of its site: the disk server, the edge and the other agent.
//!
//! What is asked of a disk server here may be asked twice: one that dies over it is started again and asked again.

use std::sync::Arc;

use async_trait::async_trait;
use longhaul_dataplane::nbd::Span;
use longhaul_model::ids::{RunId, VmId};
use longhaul_model::vm::Vm;
use longhaul_wire::v1;
use longhaul_wire::v1::handover_reply::Fact;

use crate::agent::Agent;
use crate::disks::refused;
use crate::facts::{Decision, Epoch, Refusal, Role};
use crate::handover::{Answer, Extent, Grant, HookError, PeerQuestions, SourceDisk, TargetDisk};

/// The source's parts in a hand-over.
pub(super) struct SourceHooks {
    pub(super) agent: Arc<Agent>,
    pub(super) spec: Vm,
    pub(super) epoch: Epoch,
    pub(super) target: String,
}

#[async_trait]
impl SourceDisk for SourceHooks {
    async fn last_round(&self) -> Result<Vec<Extent>, HookError> {
        // The guest stands still: from here on its packets go to where it will run, and wait there.
        self.agent.edge.route_away(self.spec.nic.address, &self.target).await?;
        let dirty = self.agent.disks.freeze(&self.spec.id, self.epoch.0).await?;
        Ok(dirty.iter().map(|span| Extent { offset: span.offset, length: span.length }).collect())
    }

    async fn thaw(&self) -> Result<(), HookError> {
        // After a NACK the disk was granted to the epoch that follows from it, and goes back to none before.
        let row = self.agent.facts.vm(&self.spec.id)?;
        let owned = match row.map(|row| row.role) {
            Some(Role::Owner(epoch)) => epoch,
            Some(Role::Relinquished(_) | Role::Incoming(_) | Role::Absent(_)) | None => self.epoch,
        };
        self.resume(self.epoch.max(owned)).await
    }

    async fn grant(&self, grant: Grant) -> Result<(), HookError> {
        self.resume(grant.epoch).await
    }
}

impl SourceHooks {
    /// The guest goes on here: what was dirtied counts as dirty again, its disk takes writes, its packets come here.
    async fn resume(&self, epoch: Epoch) -> Result<(), HookError> {
        let thawed = self.agent.disks.insist(|| async {
            let mut disk = self.agent.disks.existing(&self.spec.id).await?;
            disk.thaw(epoch.0).await.map_err(refused("letting the disk take writes"))?;
            let status = disk.status().await.map_err(refused("asking the disk server"))?;
            if status.origin.is_some() {
                disk.abort_rounds().await.map_err(refused("taking the dirty rounds back"))?;
            }
            Ok(())
        });
        thawed.await?;
        self.agent.route_to_guest(&self.spec).await?;
        Ok(())
    }
}

#[async_trait]
impl PeerQuestions for SourceHooks {
    async fn handover(
        &self,
        vm: &VmId,
        run: &RunId,
        (epoch, give_up): (Epoch, bool),
    ) -> Result<Answer, HookError> {
        let request =
            v1::HandoverRequest { vm: vm.to_string(), run: run.to_string(), epoch: epoch.0, give_up };
        let reply = self
            .agent
            .peers
            .ask(&self.target, |mut peer| async move { peer.handover(request).await })
            .await?;
        match reply.fact() {
            Fact::Open => Ok(Answer::Open),
            Fact::Run => Ok(Answer::Decided(Decision::Run { runs_at_unix_us: reply.runs_at_unix_us })),
            Fact::Nack => {
                Ok(Answer::Decided(Decision::Nack(Refusal::named(&reply.nack_class, reply.nack_reason))))
            }
            Fact::Unspecified => Err("the target's answer is none".into()),
        }
    }
}

/// The target's parts in a hand-over.
pub(super) struct TargetHooks {
    pub(super) agent: Arc<Agent>,
    pub(super) spec: Vm,
}

#[async_trait]
impl TargetDisk for TargetHooks {
    async fn mark_absent(&self, extents: &[Extent]) -> Result<(), HookError> {
        let spans = extents.iter().map(|extent| Span { offset: extent.offset, length: extent.length });
        let spans: Vec<_> = spans.collect();
        Ok(self.agent.mark_absent(&self.spec.id, &spans).await?)
    }

    async fn grant(&self, grant: Grant) -> Result<(), HookError> {
        let granted = self.agent.disks.insist(|| async {
            let mut disk = self.agent.disks.existing(&self.spec.id).await?;
            disk.grant(grant.epoch.0).await.map_err(refused("granting the disk"))?;
            disk.status().await.map_err(refused("asking the disk server"))
        });
        self.agent.note_fill(&self.spec.id, &granted.await?.fill);
        // Every answer of the guest finds its way from its first instruction on.
        self.agent.route_to_guest(&self.spec).await?;
        Ok(())
    }
}
