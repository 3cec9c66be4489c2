//! Settling: the target gets the rest of the disk, proves it, and the source's copy is released.

use std::time::Duration;

use longhaul_dataplane::disk::{FillCondition, ProofState, Status};
use longhaul_model::ids::VmId;
use longhaul_wire::v1;
use tokio::time::sleep;

use crate::agent::Agent;
use crate::disks::refused;
use crate::error::{Class, Error};
use crate::facts::Role;
use crate::faults::FaultPoint;
use crate::operations::{Asked, Task};
use crate::prefetch::{run_id, vm_id};
use crate::vms::from_facts;

/// How often fill and proof are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Agent {
    /// Target: waits for the whole disk, compares it with the frozen source, lets the source go.
    pub(crate) async fn settle_disk(
        &self,
        wanted: &v1::SettleDisk,
        asked: &Asked<'_>,
    ) -> Result<v1::DiskSettled, Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(asked.run)?);
        let Some(Role::Owner(epoch)) = self.facts.vm(&vm).map_err(from_facts)?.map(|row| row.role) else {
            let message =
                format!("vm {vm} does not run at site {}: there is nothing to settle", self.site.id);
            return Err(Error::new(Class::Precondition, message));
        };
        self.tunnels.begin(&wanted.source, asked.run);
        let status = match self.complete(&vm, asked.task).await {
            // Nothing more comes of this run, and whoever mends the disk has to stop the VM.
            Err(error) if error.class == Class::Permanent => {
                self.facts.moving_release(&vm, &run).map_err(from_facts)?;
                return Err(error);
            }
            other => other?,
        };
        self.let_go_on(&vm).await;
        self.options.faults.reach(FaultPoint::SettleComplete).await;
        let mut settled = self.settled(&status, &wanted.source, asked.run);
        let request = v1::ReleaseSourceRequest {
            vm: wanted.vm.clone(),
            run: asked.run.to_owned(),
            epoch: epoch.0,
            root: settled.root.clone(),
        };
        asked.task.phase("releasing the source");
        self.peers
            .insist(asked.task, (&wanted.source, request), |mut peer, request| async move {
                peer.release_source(request).await
            })
            .await?;
        settled.memory_lost = self.has_crashed(&vm);
        self.facts.moving_release(&vm, &run).map_err(from_facts)?;
        Ok(settled)
    }

    /// Makes the disk need no source. A disk server that is started anew in between has forgotten its proof, and begins
    /// again; one that is complete remembers.
    async fn complete(&self, vm: &VmId, task: &Task) -> Result<Status, Error> {
        loop {
            let status = self.disk_status(vm).await?;
            if status.complete {
                return Ok(status);
            }
            if status.proof.state == ProofState::Good {
                self.options.faults.reach(FaultPoint::SettleProven).await;
                let mut disk = self.disks.existing(vm).await?;
                let finished = disk.finish().await.map_err(refused("detaching the source"));
                let is_forgotten = self.disk_status(vm).await?.proof.state != ProofState::Good;
                match finished {
                    Err(error) if !is_forgotten => return Err(error),
                    Ok(()) | Err(_) => continue,
                }
            }
            if status.fill.absent_bytes > 0 {
                self.options.faults.reach(FaultPoint::SettleFilling).await;
            }
            self.wait_for_all(vm, task).await?;
            self.wait_for_proof(vm, task).await?;
        }
    }

    fn settled(&self, status: &Status, source: &str, run: &str) -> v1::DiskSettled {
        let carried = self.tunnels.carried(source, run);
        v1::DiskSettled {
            proof_ok: status.proof.state == ProofState::Good,
            root: status.proof.root.clone().unwrap_or_default(),
            extents: status.proof.leaves,
            superseded: status.proof.superseded,
            demand_reads: status.fill.demand_reads,
            demand_bytes: status.fill.demand_bytes,
            wire: Some(v1::RecordKinds { kinds: carried.kinds }),
            lanes: carried.lanes,
            memory_lost: false,
        }
    }

    /// Source: the target needs this copy no more. The file is kept under another name; nothing uses it.
    pub(crate) async fn release_source(
        &self,
        target: &str,
        request: &v1::ReleaseSourceRequest,
    ) -> Result<(), Error> {
        let (vm, run) = (vm_id(&request.vm)?, run_id(&request.run)?);
        let row = self.facts.vm(&vm).map_err(from_facts)?;
        let gone = row.is_some_and(|row| matches!(row.role, Role::Absent(epoch) if epoch.0 == request.epoch));
        if !gone {
            let message = format!(
                "site {} did not hand vm {vm} over under epoch {}: its disk stays",
                self.site.id, request.epoch
            );
            return Err(Error::new(Class::Conflict, message));
        }
        if let Some(machine) = self.machine(&vm)? {
            machine.kill().await.map_err(|error| Error::internal("ending the source's QEMU", &error))?;
        }
        self.disks.end(&vm).await?;
        let kept = self.folder.released(&vm, &run);
        if self.folder.image(&vm).exists() {
            std::fs::rename(self.folder.image(&vm), &kept)
                .map_err(|error| Error::internal("keeping the source's disk", &error))?;
        }
        crate::prefetch::remove_file(&self.folder.map(&vm))?;
        self.folder.forget_released(&vm, &kept)?;
        self.options.faults.reach(FaultPoint::SourceReleased).await;
        tracing::info!(%vm, target, root = request.root, "the source's disk is released");
        self.edge
            .tap_remove(vm.as_str())
            .await
            .map_err(|error| Error::internal("removing the tap", &error))?;
        self.facts.moving_release(&vm, &run).map_err(from_facts)
    }

    /// Waits until nothing is absent. A disk server that was started anew fills without a limit anyway.
    async fn wait_for_all(&self, vm: &VmId, task: &Task) -> Result<(), Error> {
        let unlimited = self.disks.insist(|| async {
            let mut disk = self.disks.existing(vm).await?;
            disk.limit_fill(1000).await.map_err(refused("going on with the fill"))
        });
        unlimited.await?;
        let mut present = None;
        loop {
            let status = self.disk_status(vm).await?;
            task.check()?;
            self.keep_to_share(vm, &status, task).await?;
            let total = status.fill.allocated_bytes.unwrap_or(status.disk_bytes);
            match &status.fill.condition {
                Some(FillCondition::NoSpace) => {
                    let message = "the target's disk is full and the guest still needs the source: free space, then resume";
                    return Err(Error::new(Class::Transient, message));
                }
                Some(FillCondition::Disk { message }) => {
                    return Err(Error::new(
                        Class::Transient,
                        format!("the target's copy cannot be written: {message}"),
                    ));
                }
                Some(FillCondition::Refused { message, .. }) => {
                    let message = format!(
                        "the source does not let its disk be read, and the guest still needs it ({message}): see after vm {vm} \
                         there, then resume"
                    );
                    return Err(Error::new(Class::Transient, message));
                }
                Some(FillCondition::Unreachable { .. }) | None => {}
            }
            // What is stored now can be stored for the guest too.
            if present
                .replace(status.fill.present_bytes)
                .is_some_and(|before| before < status.fill.present_bytes)
            {
                self.let_go_on(vm).await;
            }
            if status.fill.absent_bytes == 0 {
                return Ok(());
            }
            task.progress(v1::Progress {
                bytes_done: status.fill.present_bytes,
                bytes_total: total,
                bytes_per_second: 0,
                phase: "filling the rest".to_owned(),
            });
            sleep(LOOK_EVERY).await;
        }
    }

    /// Lets a guest go on that a full disk has stopped. Settling needs the disk and not the guest, so it does not fail over
    /// a QEMU that does not answer.
    async fn let_go_on(&self, vm: &VmId) {
        if let Err(error) = self.continue_after_disk_error(vm).await {
            tracing::warn!(%vm, %error, "whether a disk error has stopped the guest is not known");
        }
    }

    /// Has every leaf compared with the source's. A disk server that was started anew begins again.
    async fn wait_for_proof(&self, vm: &VmId, task: &Task) -> Result<(), Error> {
        self.begin_proof(vm).await?;
        loop {
            let proof = self.disk_status(vm).await?.proof;
            task.check()?;
            match proof.state {
                ProofState::Good => return Ok(()),
                ProofState::Bad => {
                    let at = proof.first_bad.unwrap_or_default();
                    let message = format!(
                        "the copy differs from the source in {} of {} leaves, the first at byte {at}: the source's disk is kept; \
                         stop the vm here with `longhaul vm stop` and restore its disk from there",
                        proof.bad, proof.leaves
                    );
                    return Err(Error::new(Class::Permanent, message));
                }
                ProofState::Failed { message } => {
                    return Err(Error::new(
                        Class::Transient,
                        format!("the copy could not be compared: {message}"),
                    ));
                }
                ProofState::None => self.begin_proof(vm).await?,
                ProofState::Running => {}
            }
            task.progress(v1::Progress {
                bytes_done: proof.checked * 64 * 1024,
                bytes_total: proof.leaves * 64 * 1024,
                bytes_per_second: 0,
                phase: "comparing with the source".to_owned(),
            });
            sleep(LOOK_EVERY).await;
        }
    }

    async fn begin_proof(&self, vm: &VmId) -> Result<(), Error> {
        let begun = self.disks.insist(|| async {
            let mut disk = self.disks.existing(vm).await?;
            disk.verify().await.map_err(refused("starting the proof"))
        });
        begun.await
    }
}
