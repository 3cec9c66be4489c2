//! The source's side of a prefetch: its disk as the origin of a copy elsewhere, and the dirty map that counts for that copy.
//!
//! A map serves one copy: what is handed out in a round is handed out once, and of two copies each would hear of a part. It runs
//! on when a run lets go of a copy that is kept, and ends with the run otherwise.

use longhaul_dataplane::disk::{Round, Status};
use longhaul_model::ids::VmId;
use longhaul_wire::v1;

use crate::agent::Agent;
use crate::disks::refused;
use crate::error::{Class, Error};
use crate::prefetch::{run_id, vm_id};
use crate::vms::from_facts;

impl Agent {
    /// Source: starts the dirty map and lets the target read.
    pub(crate) async fn open_origin(
        &self,
        target: &str,
        request: v1::OpenOriginRequest,
    ) -> Result<v1::OpenOriginReply, Error> {
        let (vm, run) = (vm_id(&request.vm)?, run_id(&request.run)?);
        // The map that gives the last round of a hand-over stays the same over it.
        let _alone = self.hand_over_alone(&vm).await;
        let row = self.facts.vm(&vm).map_err(from_facts)?;
        if !row.as_ref().is_some_and(crate::facts::VmFacts::is_owner) {
            let message = format!("site {} does not own vm {vm}: start the move where it runs", self.site.id);
            return Err(Error::new(Class::Precondition, message));
        }
        let controller = request.controller;
        let id = vm.clone();
        let taken = self.facts.apart(move |facts| facts.moving_take(&id, &run, &controller)).await;
        taken.map_err(from_facts)?;
        self.end_for_others(&vm, target).await?;
        // Before the map begins: one that runs is always somebody's.
        let (id, to) = (vm.clone(), target.to_owned());
        self.facts.apart(move |facts| facts.copied_to_open(&id, &to)).await.map_err(from_facts)?;
        tracing::info!(%vm, target, "the disk is opened for another site");
        let mut disk = self.disks.existing(&vm).await?;
        let opened = disk.open_origin().await.map_err(refused("starting the dirty map"))?;
        Ok(v1::OpenOriginReply {
            epoch: opened.epoch,
            disk_bytes: opened.disk_bytes,
            allocated_bytes: opened.allocated_bytes,
            origin: opened.origin,
        })
    }

    /// Source: hands out what was dirtied since the last round, to the run that holds the VM and to no earlier one.
    pub(crate) async fn dirty_round(
        &self,
        request: &v1::DirtyRoundRequest,
    ) -> Result<v1::DirtyRoundReply, Error> {
        let (vm, run) = (vm_id(&request.vm)?, run_id(&request.run)?);
        if self.facts.moving(&vm).map_err(from_facts)?.is_none_or(|moving| moving.run != run) {
            return Err(Error::new(Class::Conflict, format!("run {run} does not move vm {vm} any more")));
        }
        let round = self.disks.insist(|| async {
            let mut disk = self.disks.existing(&vm).await?;
            disk.dirty_round(request.applied).await.map_err(refused("ending a dirty round"))
        });
        let round = round.await?;
        Ok(to_wire(&round))
    }

    /// Source: ends the dirty map of a prefetch that is given up, or of a copy that the caller throws away. A VM that was handed
    /// over keeps its frozen disk, and what another run or another site has begun goes on.
    pub(crate) async fn close_origin(
        &self,
        target: &str,
        request: &v1::CloseOriginRequest,
    ) -> Result<(), Error> {
        let (vm, run) = (vm_id(&request.vm)?, run_id(&request.run)?);
        let (id, by, caller) = (vm.clone(), run.clone(), format!("site {target}"));
        let held = match self.facts.apart(move |facts| facts.moving_pass(&id, &by, &caller)).await {
            Err(crate::facts::Error::Moving { .. }) => return Ok(()),
            held => held.map_err(from_facts)?,
        };
        let owner = self.facts.vm(&vm).map_err(from_facts)?.is_some_and(|row| row.is_owner());
        let of_caller = match self.facts.copied_to(&vm).map_err(from_facts)? {
            Some(copied) => copied.target == target,
            None => held.is_runs,
        };
        if owner && of_caller {
            self.end_rounds(&vm).await?;
        }
        self.facts.apart(move |facts| facts.moving_release(&vm, &run)).await.map_err(from_facts)
    }

    /// Source: nobody counts on this dirty map any more. The map ends before it is forgotten for whom it ran.
    pub(crate) async fn end_rounds(&self, vm: &VmId) -> Result<(), Error> {
        let mut disk = self.disks.existing(vm).await?;
        disk.close_origin().await.map_err(refused("ending the dirty map"))?;
        let vm = vm.clone();
        self.facts.apart(move |facts| facts.copied_to_forget(&vm)).await.map_err(from_facts)
    }

    /// Source: a run lets go of the VM. The dirty map runs on if it is that of the caller's copy; any other one that the run has
    /// begun ends.
    ///
    /// # Errors
    /// `conflict` if another run holds the VM.
    pub(crate) async fn keep_origin(
        &self,
        target: &str,
        request: &v1::KeepOriginRequest,
    ) -> Result<v1::KeepOriginReply, Error> {
        let (vm, run) = (vm_id(&request.vm)?, run_id(&request.run)?);
        let owner = self.facts.vm(&vm).map_err(from_facts)?.is_some_and(|row| row.is_owner());
        let counts = owner && self.disk_status(&vm).await?.origin == Some(request.origin);
        if !counts {
            let request = v1::CloseOriginRequest { vm: request.vm.clone(), run: request.run.clone() };
            self.close_origin(target, &request).await?;
            return Ok(v1::KeepOriginReply { counts });
        }
        let to = target.to_owned();
        let kept = self.facts.apart(move |facts| facts.copied_to_keep(&vm, &run, &to)).await;
        kept.map_err(from_facts)?;
        tracing::info!(vm = request.vm, target, "writes are counted on for a copy that is kept");
        Ok(v1::KeepOriginReply { counts })
    }

    /// Source: ends the dirty map that runs for the copy of another site than this one, which will have its own. Of two copies
    /// that share one neither would hear of all writes.
    pub(crate) async fn end_for_others(&self, vm: &VmId, target: &str) -> Result<(), Error> {
        let kept = self.facts.copied_to(vm).map_err(from_facts)?;
        let Some(other) = kept.map(|kept| kept.target).filter(|other| other != target) else { return Ok(()) };
        tracing::warn!(%vm, copy_at = other, target, "the copy at another site becomes worthless");
        self.end_rounds(vm).await
    }

    /// For which copy this site counts writes.
    pub(crate) async fn copied_to(&self, vm: &VmId) -> Result<Option<v1::CopiedTo>, Error> {
        let Some(kept) = self.facts.copied_to(vm).map_err(from_facts)? else { return Ok(None) };
        let disk = match self.disks.ask(vm).await {
            Ok(mut disk) => disk.status().await.ok(),
            Err(_) => None,
        };
        let number = |of: fn(&Status) -> Option<u64>| disk.as_ref().and_then(of).unwrap_or_default();
        Ok(Some(v1::CopiedTo {
            site: kept.target,
            origin: number(|status| status.origin),
            dirty_bytes: number(|status| status.dirty_bytes),
        }))
    }
}

fn to_wire(round: &Round) -> v1::DirtyRoundReply {
    let dirty = round.extents.iter().map(|span| v1::Extent { offset: span.offset, length: span.length });
    v1::DirtyRoundReply { dirty: dirty.collect(), round: round.round }
}

#[cfg(test)]
mod tests {
    use longhaul_dataplane::disk::ROUND_EXTENTS_MAX;
    use longhaul_dataplane::nbd::Span;
    use prost::Message as _;

    use super::*;

    /// Proves that the longest round of the biggest disk fits into one message.
    #[test]
    fn the_longest_round_fits_into_a_message() {
        let last = u64::MAX - (1 << 32);
        let extents = (0..ROUND_EXTENTS_MAX as u64).map(|at| Span::new(last - (at << 20), 1 << 30)).collect();
        let reply = to_wire(&Round { round: u64::MAX, extents, rest_bytes: 0 });
        assert!(reply.encoded_len() < 4 << 20, "{}", reply.encoded_len());
    }
}
