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
use crate::copies::{Found, LetGo};
use crate::disks::{Begin, refused};
use crate::error::{Class, Error};
use crate::facts::{Copy, KeptDisk, Role};
use crate::faults::FaultPoint;
use crate::operations::{Asked, Task, key_text};
use crate::vms::from_facts;

/// How often the fill is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A round this small ends the prefetch: the rest is dirtied faster than it is worth asking.
const ROUND_SMALL_BYTES: u64 = 1 << 20;
/// Rounds after which a prefetch ends even if the guest keeps dirtying more: the hand-over marks the last round absent
/// anyway, so more rounds only move bytes earlier.
const ROUNDS_MAX: u32 = 8;

impl Agent {
    /// Fills this site's copy of a running VM's disk until enough is here, then holds it at that, or keeps it for another run.
    pub(crate) async fn prefetch(
        &self,
        wanted: &v1::Prefetch,
        key: &v1::Key,
        asked: &Asked<'_>,
    ) -> Result<v1::Prefetched, Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(asked.run)?);
        asked.task.phase("opening the source");
        // What is refused here has left nothing, and what is here belongs to somebody else.
        self.refuse_owned(&vm)?;
        let (id, controller) = (vm.clone(), asked.controller.to_owned());
        match self.facts.apart(move |facts| facts.moving_take(&id, &run, &controller)).await {
            // It was kept by an earlier try, which did not live to say so; another run has taken the VM since.
            Err(error @ crate::facts::Error::Moving { .. }) if wanted.keep => {
                let kept = self.facts.copy(&vm).map_err(from_facts)?;
                let ours = kept.filter(|copy| copy.made_by == key_text(key));
                return ours.map(|copy| kept_before(&copy)).ok_or_else(|| from_facts(error));
            }
            taken => taken.map_err(from_facts)?,
        };
        let error = match self.fill(wanted, key, asked).await {
            Ok(filled) => return Ok(filled),
            Err(error) if is_worth_taking_up(error.class) => return Err(error.after_effects()),
            Err(error) => error,
        };
        // A failed step is not undone by the run, so what it left goes here.
        match self.undo_prefetch(wanted, key, asked).await {
            Ok(()) => Err(error),
            Err(undo) => Err(Error::unknown(error.class, format!("{error}; and cleaning up failed: {undo}"))),
        }
    }

    async fn fill(
        &self,
        wanted: &v1::Prefetch,
        key: &v1::Key,
        asked: &Asked<'_>,
    ) -> Result<v1::Prefetched, Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(asked.run)?);
        self.tunnels.begin(&wanted.source, asked.run);
        let spec = asked.task.outlast(|| self.specification_of(&wanted.vm, &wanted.source)).await?;
        Self::refuse_abroad(&spec, [&wanted.source, self.site.id.as_str()])?;
        self.names.ensure(&spec)?;
        asked.task.outlast(|| self.tunnels.ensure(&wanted.source)).await?;
        let opened = self.opened(wanted, asked).await?;
        refuse_other_size(&spec, &opened, &wanted.source)?;
        let found = self.take_over((&vm, &run), &wanted.source, &opened).await?;
        self.refuse_no_space(&spec, &opened, &found).await?;
        let mut disk = self.disks.open(&spec, &Begin::Absent { source: &wanted.source }).await?;
        let permille = u16::try_from(wanted.present_permille.min(1000)).unwrap_or(1000);
        disk.limit_fill(permille).await.map_err(refused("limiting the fill"))?;
        self.disks.bound(&vm, asked.task.bits_per_second_max()).await?;
        disk.start_fill(opened.origin).await.map_err(refused("starting the fill"))?;
        let filled = self.rounds(&vm, wanted, asked).await?;
        if wanted.keep {
            let (key, source, origin) = (&key_text(key), &wanted.source, opened.origin);
            self.keep(&LetGo { vm: &vm, run: &run, key, source, origin }, asked.task).await?;
        }
        let Found { reused_bytes, discarded } = found;
        Ok(v1::Prefetched { reused_bytes, discarded, ..filled })
    }

    /// Has the source begin or go on with its dirty map, and let its disk be read.
    async fn opened(&self, wanted: &v1::Prefetch, asked: &Asked<'_>) -> Result<v1::OpenOriginReply, Error> {
        let request = v1::OpenOriginRequest {
            vm: wanted.vm.clone(),
            run: asked.run.to_owned(),
            controller: asked.controller.to_owned(),
        };
        self.peers
            .insist(asked.task, (&wanted.source, request), |mut peer, request| async move {
                peer.open_origin(request).await
            })
            .await
    }

    /// What a VM's disk server says of itself, also when it dies over the question.
    pub(crate) async fn disk_status(&self, vm: &VmId) -> Result<Status, Error> {
        let asked = self.disks.insist(|| async {
            let mut disk = self.disks.existing(vm).await?;
            disk.status().await.map_err(refused("asking the disk server"))
        });
        asked.await
    }

    /// Has the fill ask for no more in a second than the operation may send, also after a change.
    pub(crate) async fn keep_to_share(&self, vm: &VmId, status: &Status, task: &Task) -> Result<(), Error> {
        let most = task.bits_per_second_max();
        if status.fill.bits_per_second_max == most {
            return Ok(());
        }
        self.disks.bound(vm, most).await
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

    async fn refuse_no_space(
        &self,
        spec: &Vm,
        opened: &v1::OpenOriginReply,
        found: &Found,
    ) -> Result<(), Error> {
        let here = match self.disks.ask(&spec.id).await {
            Ok(mut disk) => disk.status().await.map_or(0, |status| status.fill.present_bytes),
            Err(_) => found.reused_bytes,
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
                    ..v1::Prefetched::default()
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
            self.keep_to_share(vm, &status, task).await?;
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

    /// Takes away what the effect of this key has made here: its copy, and the source's dirty map. A copy that it found here is
    /// kept as before. Safe to repeat.
    pub(crate) async fn undo_prefetch(
        &self,
        wanted: &v1::Prefetch,
        key: &v1::Key,
        asked: &Asked<'_>,
    ) -> Result<(), Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(asked.run)?);
        asked.task.phase("removing the copy");
        if let Some(row) = self.facts.vm(&vm).map_err(from_facts)?.filter(crate::facts::VmFacts::is_owner) {
            let message = format!("vm {vm} belongs to this site since epoch {}: its disk stays", row.highest);
            return Err(Error::new(Class::Precondition, message));
        }
        // One that was kept is nobody's; while it is taken away nobody may take it over.
        let (id, by, controller) = (vm.clone(), run.clone(), asked.controller.to_owned());
        let made_here = key_text(key);
        match self.facts.apart(move |facts| facts.moving_take(&id, &by, &controller)).await {
            // The copy is another run's; if this key made it, it is not undone.
            Err(error @ crate::facts::Error::Moving { .. }) => {
                let kept = self.facts.copy(&vm).map_err(from_facts)?;
                let is_ours = kept.is_some_and(|copy| copy.made_by == made_here);
                return if is_ours { Err(from_facts(error)) } else { Ok(()) };
            }
            taken => taken.map_err(from_facts)?,
        };
        let found = self.facts.copy(&vm).map_err(from_facts)?.filter(|copy| copy.made_by != made_here);
        if found.is_none() {
            self.end_at_source(wanted, asked).await?;
        }
        let alone = self.hand_over_alone(&vm).await;
        self.clear_prepared(&vm, &run, &wanted.source).await?;
        if let Some(copy) = found {
            // The source may be long in answering.
            drop(alone);
            let (key, source, origin) = (&copy.made_by, &copy.disk.source, copy.disk.origin);
            return self.give_back(&LetGo { vm: &vm, run: &run, key, source, origin }, asked.task).await;
        }
        self.remove_copy(&vm).await?;
        self.facts.moving_release(&vm, &run).map_err(from_facts)
    }

    async fn end_at_source(&self, wanted: &v1::Prefetch, asked: &Asked<'_>) -> Result<(), Error> {
        let request = v1::CloseOriginRequest { vm: wanted.vm.clone(), run: asked.run.to_owned() };
        self.peers
            .insist(asked.task, (&wanted.source, request), |mut peer, request| async move {
                peer.close_origin(request).await
            })
            .await
            .map(drop)
    }

    /// What was made ready for a guest that will not come is gone afterwards, but for its disk.
    async fn clear_prepared(&self, vm: &VmId, run: &RunId, source: &str) -> Result<(), Error> {
        self.refuse_prepared(vm, run).await?;
        // It may have been decided meanwhile that the guest runs here.
        self.refuse_owned(vm)?;
        if let Some(machine) = self.machine(vm)? {
            machine.kill().await.map_err(|error| Error::internal("ending the waiting QEMU", &error))?;
        }
        if let Some(spec) = self.specs.find(vm.as_str())? {
            self.clear_edge(&spec, source).await?;
        }
        Ok(())
    }

    /// The VM's specification as the site has it where it runs; it becomes this site's. What this site knows of it may be days
    /// old.
    async fn specification_of(&self, vm: &str, source: &str) -> Result<Vm, Error> {
        let request = v1::DescribeVmRequest { vm: vm.to_owned() };
        let reply = self.peers.ask(source, |mut peer| async move { peer.describe_vm(request).await }).await?;
        self.specs.store(vm, &reply.spec_yaml)
    }

    /// The VM's specification: this site's own, or the source's, which then becomes this site's.
    pub(crate) async fn specification(&self, vm: &str, source: &str) -> Result<Vm, Error> {
        if let Some(spec) = self.specs.find(vm)? {
            return Ok(spec);
        }
        self.specification_of(vm, source).await
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
}

/// A source whose file and disk differ would have the target make a disk that nothing fits into.
fn refuse_other_size(spec: &Vm, opened: &v1::OpenOriginReply, source: &str) -> Result<(), Error> {
    let (said, is) = (spec.disk.size.as_bytes(), opened.disk_bytes);
    if said == is {
        return Ok(());
    }
    let message = format!(
        "the disk of vm {} has {is} bytes at site {source}, and its file there says {said}: make them agree",
        spec.id
    );
    Err(Error::new(Class::Precondition, message))
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

/// What an earlier try of a prefetch has kept.
fn kept_before(copy: &Copy) -> v1::Prefetched {
    let KeptDisk { disk_bytes, allocated_bytes, present_bytes, .. } = copy.disk;
    v1::Prefetched {
        disk_bytes,
        allocated_bytes,
        present_bytes,
        reused_bytes: present_bytes,
        ..Default::default()
    }
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
}
