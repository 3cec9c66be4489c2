//! Prefetch: the target's side, which drives it, and the source's answers.
//!
//! The dirty map starts before the first byte is read. What the guest dirties after its fetch comes back in a round and
//! is marked absent, so that a present block is never older than the last round. Nothing here touches the guest.

use std::time::Duration;

use longhaul_dataplane::disk::{FillCondition, Round, Status};
use longhaul_dataplane::nbd::Span;
use longhaul_model::ids::{RunId, VmId};
use longhaul_model::vm::Vm;
use longhaul_wire::v1;
use tokio::time::{Instant, sleep};

use crate::agent::Agent;
use crate::disks::{Begin, refused};
use crate::error::{Class, Error};
use crate::facts::Role;
use crate::faults::FaultPoint;
use crate::operations::{Asked, Task};
use crate::vms::from_facts;

/// How often the fill is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A round this small ends the prefetch: the rest is dirtied faster than it is worth asking.
const ROUND_SMALL_BYTES: u64 = 1 << 20;
/// Rounds after which a prefetch ends even if the guest keeps dirtying more: the hand-over marks the last round absent
/// anyway, so more rounds only move bytes earlier.
const ROUNDS_MAX: u32 = 8;

impl Agent {
    /// Fills this site's copy of a running VM's disk until enough is here, then holds it at that.
    pub(crate) async fn prefetch(
        &self,
        wanted: &v1::Prefetch,
        asked: &Asked<'_>,
    ) -> Result<v1::Prefetched, Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(asked.run)?);
        asked.task.phase("opening the source");
        // What is refused here has left nothing, and what is here belongs to somebody else.
        self.refuse_owned(&vm)?;
        let controller = asked.controller.to_owned();
        let taken = self.facts.apart(move |facts| facts.moving_take(&vm, &run, &controller)).await;
        taken.map_err(from_facts)?;
        let error = match self.fill(wanted, asked).await {
            Ok(filled) => return Ok(filled),
            Err(error) if is_worth_taking_up(error.class) => return Err(error.after_effects()),
            Err(error) => error,
        };
        // A failed step is not undone by the run, so what it left goes here.
        match self.undo_prefetch(wanted, asked.run, asked.task).await {
            Ok(()) => Err(error),
            Err(undo) => Err(Error::unknown(error.class, format!("{error}; and cleaning up failed: {undo}"))),
        }
    }

    async fn fill(&self, wanted: &v1::Prefetch, asked: &Asked<'_>) -> Result<v1::Prefetched, Error> {
        let vm = vm_id(&wanted.vm)?;
        self.tunnels.begin(&wanted.source, asked.run);
        let spec = asked.task.outlast(|| self.specification(&wanted.vm, &wanted.source)).await?;
        Self::refuse_abroad(&spec, [&wanted.source, self.site.id.as_str()])?;
        self.names.ensure(&spec)?;
        asked.task.outlast(|| self.tunnels.ensure(&wanted.source)).await?;
        let request = v1::OpenOriginRequest {
            vm: wanted.vm.clone(),
            run: asked.run.to_owned(),
            controller: asked.controller.to_owned(),
        };
        let opened = self
            .peers
            .insist(asked.task, (&wanted.source, request), |mut peer, request| async move {
                peer.open_origin(request).await
            })
            .await?;
        self.refuse_no_space(&spec, &opened).await?;
        let mut disk = self.disks.open(&spec, &Begin::Absent { source: &wanted.source }).await?;
        let permille = u16::try_from(wanted.present_permille.min(1000)).unwrap_or(1000);
        disk.limit_fill(permille).await.map_err(refused("limiting the fill"))?;
        disk.start_fill(opened.origin).await.map_err(refused("starting the fill"))?;
        self.rounds(&vm, wanted, asked).await
    }

    /// What a VM's disk server says of itself, also when it dies over the question.
    pub(crate) async fn disk_status(&self, vm: &VmId) -> Result<Status, Error> {
        let asked = self.disks.insist(|| async {
            let mut disk = self.disks.existing(vm).await?;
            disk.status().await.map_err(refused("asking the disk server"))
        });
        asked.await
    }

    fn refuse_owned(&self, vm: &VmId) -> Result<(), Error> {
        let role = self.facts.vm(vm).map_err(from_facts)?.map(|row| row.role);
        match role {
            Some(Role::Owner(_) | Role::Relinquished(_)) => Err(Error::new(
                Class::Conflict,
                format!(
                    "site {} has a vm {vm} of its own: it cannot receive another one of that name",
                    self.site.id
                ),
            )),
            Some(Role::Incoming(_) | Role::Absent(_)) | None => Ok(()),
        }
    }

    async fn refuse_no_space(&self, spec: &Vm, opened: &v1::OpenOriginReply) -> Result<(), Error> {
        let here = match self.disks.ask(&spec.id).await {
            Ok(mut disk) => disk.status().await.map_or(0, |status| status.fill.present_bytes),
            Err(_) => 0,
        };
        let needed = opened.allocated_bytes.saturating_sub(here) + self.site.disk_reserve.as_bytes();
        let free = crate::observe::disk_free_bytes(&self.folder)?;
        if free >= needed {
            return Ok(());
        }
        let message = format!(
            "site {} has {} MiB free for disks, vm {} needs {} MiB including the reserve: free some or lower disk_reserve in the site file",
            self.site.id,
            free >> 20,
            spec.id,
            needed >> 20
        );
        Err(Error::new(Class::Precondition, message))
    }

    async fn rounds(
        &self,
        vm: &VmId,
        wanted: &v1::Prefetch,
        asked: &Asked<'_>,
    ) -> Result<v1::Prefetched, Error> {
        let (mut rounds, mut applied) = (0, 0);
        loop {
            let phase = if rounds == 0 { "filling".to_owned() } else { format!("round {rounds}") };
            let status = self.wait_for_fill(vm, wanted, &phase, asked.task).await?;
            let round = self.ask_round(wanted, asked, applied).await?;
            let dirty_bytes: u64 = round.extents.iter().map(|span| span.length).sum();
            self.mark_absent(vm, &round.extents).await?;
            self.options.faults.reach(FaultPoint::PrefetchRound).await;
            rounds += 1;
            applied = round.round;
            if dirty_bytes <= ROUND_SMALL_BYTES || rounds >= ROUNDS_MAX {
                return Ok(v1::Prefetched {
                    disk_bytes: status.disk_bytes,
                    allocated_bytes: status.fill.allocated_bytes.unwrap_or_default(),
                    present_bytes: status.fill.present_bytes,
                    fetched_bytes: status.fill.fetched_bytes,
                    rounds,
                    dirty_bytes,
                });
            }
        }
    }

    /// Takes blocks back that the source has other content for.
    pub(crate) async fn mark_absent(&self, vm: &VmId, extents: &[Span]) -> Result<(), Error> {
        let marked = self.disks.insist(|| async {
            let mut disk = self.disks.existing(vm).await?;
            disk.mark_absent(extents.to_vec()).await.map_err(refused("marking dirtied blocks"))
        });
        marked.await
    }

    /// Waits until enough is here. A link that is down is waited for; a disk that is full is not, nor a source that has ended
    /// its dirty map.
    async fn wait_for_fill(
        &self,
        vm: &VmId,
        wanted: &v1::Prefetch,
        phase: &str,
        task: &Task,
    ) -> Result<Status, Error> {
        let mut seen = (Instant::now(), 0);
        loop {
            let status = self.disk_status(vm).await?;
            task.check()?;
            let fill = &status.fill;
            if let Some(error) = fill.condition.as_ref().and_then(|it| ends_prefetch(it, wanted)) {
                return Err(error);
            }
            let total = fill.allocated_bytes.unwrap_or(status.disk_bytes);
            let enough = u128::from(total) * u128::from(wanted.present_permille) / 1000;
            if fill.allocated_bytes.is_some() && u128::from(fill.present_bytes) >= enough {
                return Ok(status);
            }
            if fill.present_bytes > 0 {
                self.options.faults.reach(FaultPoint::PrefetchFilling).await;
            }
            let waiting = matches!(fill.condition, Some(FillCondition::Unreachable { .. }));
            task.progress(v1::Progress {
                bytes_done: fill.present_bytes,
                bytes_total: total,
                bytes_per_second: rate(&mut seen, fill.fetched_bytes),
                phase: if waiting { "waiting for the link".to_owned() } else { phase.to_owned() },
            });
            sleep(LOOK_EVERY).await;
        }
    }

    async fn ask_round(
        &self,
        wanted: &v1::Prefetch,
        asked: &Asked<'_>,
        applied: u64,
    ) -> Result<Round, Error> {
        let request = v1::DirtyRoundRequest { vm: wanted.vm.clone(), run: asked.run.to_owned(), applied };
        let reply = self
            .peers
            .insist(asked.task, (&wanted.source, request), |mut peer, request| async move {
                peer.dirty_round(request).await
            })
            .await?;
        let extents = reply.dirty.iter().map(|extent| Span { offset: extent.offset, length: extent.length });
        // What did not fit is dirty at the source, and comes with the rounds that follow or with the hand-over.
        Ok(Round { round: reply.round, extents: extents.collect(), rest_bytes: 0 })
    }

    /// Removes this site's copy and ends the source's dirty map. Safe to repeat.
    pub(crate) async fn undo_prefetch(
        &self,
        wanted: &v1::Prefetch,
        run: &str,
        task: &Task,
    ) -> Result<(), Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(run)?);
        task.phase("removing the copy");
        if let Some(row) = self.facts.vm(&vm).map_err(from_facts)?.filter(crate::facts::VmFacts::is_owner) {
            let message = format!("vm {vm} belongs to this site since epoch {}: its disk stays", row.highest);
            return Err(Error::new(Class::Precondition, message));
        }
        if self.facts.moving(&vm).map_err(from_facts)?.is_some_and(|moving| moving.run != run) {
            // The copy is another run's.
            return Ok(());
        }
        let request = v1::CloseOriginRequest { vm: wanted.vm.clone(), run: run.to_string() };
        self.peers
            .insist(task, (&wanted.source, request), |mut peer, request| async move {
                peer.close_origin(request).await
            })
            .await?;
        let _alone = self.hand_over_alone(&vm).await;
        self.refuse_prepared(&vm, &run).await?;
        // It may have been decided meanwhile that the guest runs here.
        self.refuse_owned(&vm)?;
        if let Some(machine) = self.machine(&vm)? {
            machine.kill().await.map_err(|error| Error::internal("ending the waiting QEMU", &error))?;
        }
        if let Some(spec) = self.specs.find(vm.as_str())? {
            self.clear_edge(&spec, &wanted.source).await?;
        }
        self.disks.end(&vm).await?;
        for path in [self.folder.image(&vm), self.folder.map(&vm)] {
            remove_file(&path)?;
        }
        self.facts.moving_release(&vm, &run).map_err(from_facts)
    }

    /// The VM's specification: this site's own, or the source's, which then becomes this site's.
    pub(crate) async fn specification(&self, vm: &str, source: &str) -> Result<Vm, Error> {
        if let Some(spec) = self.specs.find(vm)? {
            return Ok(spec);
        }
        let request = v1::DescribeVmRequest { vm: vm.to_owned() };
        let reply = self.peers.ask(source, |mut peer| async move { peer.describe_vm(request).await }).await?;
        self.specs.store(vm, &reply.spec_yaml)
    }

    /// Lowers the time that others may keep a VM's answer. A site that never heard of the VM asks the others first, for
    /// from now on it has to answer for it.
    pub(crate) async fn prepare_name(
        &self,
        wanted: &v1::PrepareName,
        key: &v1::Key,
    ) -> Result<v1::NamePrepared, Error> {
        let mut unreachable = None;
        for site in self.peers.names() {
            match self.specification(&wanted.vm, site).await {
                Ok(spec) => {
                    self.names.ensure(&spec)?;
                    return self.names.prepare(wanted, key).await;
                }
                Err(error) if error.class == Class::Unreachable => unreachable = Some(error),
                Err(_) => {}
            }
        }
        match unreachable {
            Some(error) => Err(error),
            None => self.names.prepare(wanted, key).await,
        }
    }

    /// Source: starts the dirty map and lets the target read.
    pub(crate) async fn open_origin(
        &self,
        target: &str,
        request: v1::OpenOriginRequest,
    ) -> Result<v1::OpenOriginReply, Error> {
        let (vm, run) = (vm_id(&request.vm)?, run_id(&request.run)?);
        let row = self.facts.vm(&vm).map_err(from_facts)?;
        if !row.as_ref().is_some_and(crate::facts::VmFacts::is_owner) {
            let message = format!("site {} does not own vm {vm}: start the move where it runs", self.site.id);
            return Err(Error::new(Class::Precondition, message));
        }
        let controller = request.controller;
        let id = vm.clone();
        let taken = self.facts.apart(move |facts| facts.moving_take(&id, &run, &controller)).await;
        taken.map_err(from_facts)?;
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

    /// Source: hands out what was dirtied since the last round.
    pub(crate) async fn dirty_round(
        &self,
        request: &v1::DirtyRoundRequest,
    ) -> Result<v1::DirtyRoundReply, Error> {
        let vm = vm_id(&request.vm)?;
        let round = self.disks.insist(|| async {
            let mut disk = self.disks.existing(&vm).await?;
            disk.dirty_round(request.applied).await.map_err(refused("ending a dirty round"))
        });
        let round = round.await?;
        Ok(to_wire(&round))
    }

    /// Source: ends the dirty map of a prefetch that is given up. A VM that was handed over keeps its frozen disk.
    pub(crate) async fn close_origin(&self, request: &v1::CloseOriginRequest) -> Result<(), Error> {
        let (vm, run) = (vm_id(&request.vm)?, run_id(&request.run)?);
        let owner = self.facts.vm(&vm).map_err(from_facts)?.is_some_and(|row| row.is_owner());
        if owner && self.facts.moving(&vm).map_err(from_facts)?.is_some_and(|moving| moving.run == run) {
            let mut disk = self.disks.existing(&vm).await?;
            disk.close_origin().await.map_err(refused("ending the dirty map"))?;
        }
        self.facts.moving_release(&vm, &run).map_err(from_facts)
    }
}

/// What a prefetch ends with that waits in vain.
fn ends_prefetch(condition: &FillCondition, wanted: &v1::Prefetch) -> Option<Error> {
    match condition {
        FillCondition::NoSpace => Some(Error::new(
            Class::Permanent,
            "the disk of the target site is full: free space and run again",
        )),
        FillCondition::Disk { message } => {
            Some(Error::new(Class::Permanent, format!("the target's copy cannot be written: {message}")))
        }
        FillCondition::Refused { message, .. } => {
            let (vm, source) = (&wanted.vm, &wanted.source);
            let message = format!(
                "site {source} does not let the disk of vm {vm} be read any more ({message}): its host was started anew or the \
                 copying was ended there, and what the vm wrote since is not known; see that vm {vm} runs at site {source}, \
                 then run again"
            );
            Some(Error::new(Class::Precondition, message))
        }
        FillCondition::Unreachable { .. } => None,
    }
}

fn to_wire(round: &Round) -> v1::DirtyRoundReply {
    let dirty = round.extents.iter().map(|span| v1::Extent { offset: span.offset, length: span.length });
    v1::DirtyRoundReply { dirty: dirty.collect(), round: round.round }
}

/// Whether what a failed prefetch has copied is left for the next try, which takes it up and fetches no byte twice. A run that
/// does not try again finds a part of the copy here and takes it away.
fn is_worth_taking_up(class: Class) -> bool {
    match class {
        // Cancelled also when the step's time was up, and then it may have another try.
        Class::Transient | Class::Unreachable | Class::Cancelled => true,
        Class::Permanent | Class::Precondition | Class::Conflict | Class::Auth | Class::Internal => false,
    }
}

/// Bytes a second since the last look.
fn rate(seen: &mut (Instant, u64), bytes: u64) -> u64 {
    let now = Instant::now();
    let elapsed = u64::try_from(now.duration_since(seen.0).as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = bytes.saturating_sub(seen.1) * 1000 / elapsed;
    *seen = (now, bytes);
    rate
}

pub(crate) fn remove_file(path: &std::path::Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::internal(&format!("removing {}", path.display()), &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn vm_id(text: &str) -> Result<VmId, Error> {
    text.parse().map_err(|error| Error::new(Class::Permanent, format!("{error}")))
}

pub(crate) fn run_id(text: &str) -> Result<RunId, Error> {
    text.parse().map_err(|error| Error::new(Class::Permanent, format!("{error}")))
}

#[cfg(test)]
mod tests {
    use longhaul_dataplane::disk::ROUND_EXTENTS_MAX;
    use prost::Message as _;

    use super::*;

    /// Proves that a source that says no ends a prefetch as a precondition that names the site, and one that says nothing
    /// does not.
    #[test]
    fn a_refusal_ends_a_prefetch_and_a_cut_link_does_not() {
        let wanted = v1::Prefetch { vm: "vm-a".into(), source: "site-a".into(), ..Default::default() };
        let (since_unix_ms, message) = (1, "the origin is not open".to_owned());
        let refused = FillCondition::Refused { since_unix_ms, message: message.clone() };
        let error = ends_prefetch(&refused, &wanted).unwrap();
        assert_eq!(error.class, Class::Precondition);
        let said = error.to_string();
        assert!(said.contains("site-a") && said.contains(&message) && said.contains("run again"), "{said}");
        assert!(!is_worth_taking_up(error.class), "the copy is of a dirty map that is gone");
        assert!(ends_prefetch(&FillCondition::Unreachable { since_unix_ms, message }, &wanted).is_none());
    }

    /// Proves that the longest round of the biggest disk fits into one message.
    #[test]
    fn the_longest_round_fits_into_a_message() {
        let last = u64::MAX - (1 << 32);
        let extents = (0..ROUND_EXTENTS_MAX as u64).map(|at| Span::new(last - (at << 20), 1 << 30)).collect();
        let reply = to_wire(&Round { round: u64::MAX, extents, rest_bytes: 0 });
        assert!(reply.encoded_len() < 4 << 20, "{}", reply.encoded_len());
    }
}
