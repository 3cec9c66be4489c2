//! Copies that outlive the run that made them: kept, taken over by one run, thrown away.
//!
//! A kept copy is two files and a fact. Its disk server is ended, so everything of it is stable, nothing crosses the link for it
//! while no run answers for that, and nobody can attach to it. At the source the dirty map runs on, also over a restart of the
//! disk server and of the guest. When it ends (the host is started anew, the disk is resized, the VM moves, another site is
//! copied to) the copy is worthless, for nobody knows what it lacks: whoever takes it over sees that the map is another one,
//! and throws it away.

use std::path::Path;

use longhaul_dataplane::disk::Status;
use longhaul_model::ids::{RunId, VmId};
use longhaul_wire::v1;

use crate::agent::Agent;
use crate::disks::refused;
use crate::error::{Class, Error};
use crate::facts::{self, Copy, KeptDisk, VmFacts};
use crate::faults::FaultPoint;
use crate::operations::{Asked, Task};
use crate::prefetch::{remove_file, run_id, vm_id};
use crate::vms::from_facts;

/// What a prefetch found here of an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Bytes that need not be fetched again unless they were written since.
    pub(crate) reused_bytes: u64,
    /// Why what was here is gone; empty if nothing was thrown away.
    pub(crate) discarded: String,
}

/// A copy that a run lets go of.
pub(crate) struct LetGo<'a> {
    pub(crate) vm: &'a VmId,
    pub(crate) run: &'a RunId,
    /// The key of the effect that lets go of it; that of who made it, if it was not kept before.
    pub(crate) key: &'a str,
    pub(crate) source: &'a str,
    /// The dirty map under which it was fetched.
    pub(crate) origin: u64,
}

impl Agent {
    /// Target: the copy that is kept, if it is worth something, is the run's from now on; one that is not is thrown away. The run
    /// holds the VM.
    pub(crate) async fn take_over(
        &self,
        (vm, run): (&VmId, &RunId),
        source: &str,
        opened: &v1::OpenOriginReply,
    ) -> Result<Found, Error> {
        let Some(copy) = self.facts.copy(vm).map_err(from_facts)? else { return Ok(Found::default()) };
        if let Some(why) = worthless(&copy, source, opened) {
            tracing::warn!(%vm, why, "a copy that was kept is thrown away");
            self.remove_copy(vm).await?;
            return Ok(Found { reused_bytes: 0, discarded: why });
        }
        let (id, by) = (vm.clone(), run.clone());
        self.facts.apart(move |facts| facts.copy_take(&id, &by)).await.map_err(from_facts)?;
        tracing::info!(%vm, %run, made_by = copy.made_by, "a copy that was kept is taken over");
        self.options.faults.reach(FaultPoint::CopyTaken).await;
        Ok(Found { reused_bytes: copy.disk.present_bytes, discarded: String::new() })
    }

    /// Target: a run lets go of its copy, which is kept. The source lets the VM go first: a run that the target takes would be
    /// refused there else, and its cleaning up would find a copy of nobody's.
    ///
    /// # Errors
    /// `precondition` if the source has not counted all that the VM wrote: nothing is kept then, and the run holds the VM here.
    pub(crate) async fn keep(&self, copy: &LetGo<'_>, task: &Task) -> Result<(), Error> {
        task.phase("keeping the copy");
        let disk = self.rest(copy).await?;
        if !self.let_go_at_source(copy, task).await? {
            return Err(Error::new(Class::Precondition, not_counted(copy.vm, copy.source)));
        }
        self.options.faults.reach(FaultPoint::CopyLetGo).await;
        let (vm, run, key) = (copy.vm.clone(), copy.run.clone(), copy.key.to_owned());
        let kept = self.facts.apart(move |facts| facts.copy_keep(&vm, (&run, &key), &disk)).await;
        kept.map_err(from_facts)?;
        tracing::info!(vm = %copy.vm, run = %copy.run, "a copy is kept");
        self.options.faults.reach(FaultPoint::CopyKept).await;
        Ok(())
    }

    /// Target: what a run found here is as it was before, or newer. One that the source has stopped counting for is worthless and
    /// goes; if another run has the VM at the source, this one took nothing over.
    pub(crate) async fn give_back(&self, copy: &LetGo<'_>, task: &Task) -> Result<(), Error> {
        match self.keep(copy, task).await {
            Err(error) if error.class == Class::Precondition => {
                tracing::warn!(vm = %copy.vm, %error, "a copy that was taken over is thrown away");
                self.remove_copy(copy.vm).await?;
            }
            Err(error) if error.class == Class::Conflict => {}
            kept => return kept,
        }
        let (vm, run) = (copy.vm.clone(), copy.run.clone());
        self.facts.apart(move |facts| facts.copy_leave(&vm, &run)).await.map_err(from_facts)
    }

    /// Ends the copy's disk server, which makes everything stable. What is there then.
    async fn rest(&self, copy: &LetGo<'_>) -> Result<KeptDisk, Error> {
        // None if it was ended before, and this is a second call.
        let status = match self.disks.ask(copy.vm).await {
            Ok(mut disk) => Some(disk.status().await.map_err(refused("asking the disk server"))?),
            Err(_) => None,
        };
        self.disks.end(copy.vm).await?;
        let before = self.facts.copy(copy.vm).map_err(from_facts)?.map(|copy| copy.disk);
        let disk = status.map(|status| kept_disk(copy, &status)).or(before);
        disk.ok_or_else(|| {
            let message = format!("the copy of the disk of vm {} is not there any more: run again", copy.vm);
            Error::new(Class::Transient, message)
        })
    }

    /// Whether the source counts on for this copy.
    async fn let_go_at_source(&self, copy: &LetGo<'_>, task: &Task) -> Result<bool, Error> {
        let LetGo { vm, run, origin, source, .. } = copy;
        let request = v1::KeepOriginRequest { vm: vm.to_string(), run: run.to_string(), origin: *origin };
        let asked = self.peers.insist(task, (source, request), |mut peer, request| async move {
            peer.keep_origin(request).await
        });
        Ok(asked.await?.counts)
    }

    /// Target: an operator throws a copy away that no run has taken over. The source is told if it answers; if it does not, it
    /// counts on for nobody until it is asked for another copy.
    pub(crate) async fn discard_copy(
        &self,
        wanted: &v1::DiscardCopy,
        asked: &Asked<'_>,
    ) -> Result<v1::CopyDiscarded, Error> {
        let (vm, run) = (vm_id(&wanted.vm)?, run_id(asked.run)?);
        let (id, by, controller) = (vm.clone(), run.clone(), asked.controller.to_owned());
        let held = self.facts.apart(move |facts| facts.moving_pass(&id, &by, &controller)).await;
        let _held = held.map_err(from_facts)?;
        match self.facts.copy(&vm).map_err(from_facts)? {
            Some(copy) => self.throw_away(&copy, &run).await,
            None => Ok(v1::CopyDiscarded::default()),
        }
    }

    async fn throw_away(&self, copy: &Copy, run: &RunId) -> Result<v1::CopyDiscarded, Error> {
        let Copy { vm, disk: KeptDisk { source, .. }, .. } = copy;
        let freed_bytes =
            [self.folder.image(vm), self.folder.map(vm)].iter().map(|file| taken_bytes(file)).sum();
        let request = v1::CloseOriginRequest { vm: vm.to_string(), run: run.to_string() };
        let told = self.peers.ask(source, |mut peer| async move { peer.close_origin(request).await }).await;
        if let Err(error) = &told {
            tracing::warn!(%vm, source, %error, "the source was not told that its copy is thrown away");
        }
        self.remove_copy(vm).await?;
        Ok(v1::CopyDiscarded { source: source.clone(), freed_bytes, source_told: told.is_ok() })
    }

    /// Removes the files of what is here of another site's disk, and then the fact. Safe to repeat.
    pub(crate) async fn remove_copy(&self, vm: &VmId) -> Result<(), Error> {
        self.disks.end(vm).await?;
        // In this order: an image without a map counts as empty, and a map without an image serves nobody.
        for path in [self.folder.map(vm), self.folder.image(vm)] {
            remove_file(&path)?;
        }
        let vm = vm.clone();
        self.facts.apart(move |facts| facts.copy_forget(&vm)).await.map_err(from_facts)
    }

    /// The copies of VMs that this site never had to do with otherwise.
    pub(crate) fn copies_alone(&self, known: &[VmFacts]) -> Result<Vec<VmFacts>, Error> {
        let copies = self.facts.copies().map_err(from_facts)?;
        let alone = copies.into_iter().filter(|copy| known.iter().all(|row| row.vm != copy.vm));
        let none = facts::Epoch(0);
        let row = |copy: Copy| VmFacts { vm: copy.vm, role: facts::Role::Absent(none), highest: none };
        Ok(alone.map(row).collect())
    }

    /// What is kept here of the VM's disk, for who asks.
    pub(crate) fn copy_kept(&self, vm: &VmId) -> Result<Option<v1::Copy>, Error> {
        Ok(self.facts.copy(vm).map_err(from_facts)?.as_ref().map(to_wire))
    }
}

/// Why nobody knows what a copy lacks, if that is so.
fn worthless(copy: &Copy, source: &str, opened: &v1::OpenOriginReply) -> Option<String> {
    let Copy { vm, disk: KeptDisk { source: from, origin, disk_bytes, .. }, .. } = copy;
    if from != source {
        return Some(format!("the copy was made when vm {vm} was at site {from}, and it has moved since"));
    }
    if *disk_bytes != opened.disk_bytes {
        let now = opened.disk_bytes;
        return Some(format!(
            "the disk of vm {vm} had {disk_bytes} bytes when it was copied, and has {now} now"
        ));
    }
    (*origin != opened.origin).then(|| not_counted(vm, source))
}

fn not_counted(vm: &VmId, source: &str) -> String {
    format!(
        "site {source} has not counted everything that vm {vm} wrote since the copy was made: its host was started anew, or \
         its disk was copied to another site"
    )
}

fn kept_disk(copy: &LetGo<'_>, status: &Status) -> KeptDisk {
    let present = status.fill.present_bytes;
    KeptDisk {
        source: copy.source.to_owned(),
        origin: copy.origin,
        disk_bytes: status.disk_bytes,
        allocated_bytes: status.fill.allocated_bytes.unwrap_or(present),
        present_bytes: present,
    }
}

fn to_wire(copy: &Copy) -> v1::Copy {
    let KeptDisk { source, origin, disk_bytes, allocated_bytes, present_bytes } = &copy.disk;
    v1::Copy {
        source: source.clone(),
        origin: *origin,
        made_by: copy.maker().to_owned(),
        kept_unix_ms: copy.kept_unix_ms,
        disk_bytes: *disk_bytes,
        allocated_bytes: *allocated_bytes,
        present_bytes: *present_bytes,
        taken_by: copy.taken_by.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// What a file takes on disk; 0 if it is not there.
fn taken_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    // 512 is the unit of st_blocks whatever the file system's block size (stat(2)).
    std::fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a copy is worth something only with the disk, the size and the dirty map that it was made with, and that it
    /// is said which of them is another one.
    #[test]
    fn a_copy_is_worth_what_its_source_counts() {
        let disk = KeptDisk {
            source: "a".into(),
            origin: 7,
            disk_bytes: 90,
            allocated_bytes: 80,
            present_bytes: 80,
        };
        let copy = Copy {
            vm: "vm-a".parse().unwrap(),
            disk,
            made_by: "run-1/prefetch/1".into(),
            taken_by: None,
            kept_unix_ms: 1,
        };
        let opened = v1::OpenOriginReply { disk_bytes: 90, origin: 7, ..Default::default() };
        assert_eq!(worthless(&copy, "a", &opened), None);
        let says = |source, opened: &v1::OpenOriginReply, word: &str| {
            let why = worthless(&copy, source, opened).unwrap();
            assert!(why.contains("vm-a") && why.contains(word), "{why}");
        };
        says("c", &opened, "at site a, and it has moved");
        says("a", &v1::OpenOriginReply { disk_bytes: 91, ..opened }, "has 91 now");
        says("a", &v1::OpenOriginReply { origin: 8, ..opened }, "has not counted");
    }
}
