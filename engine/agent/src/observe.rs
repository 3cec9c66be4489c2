//! What is the case at this site. Looks only.

use std::process::Stdio;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use longhaul_model::vm::Vm;
use longhaul_wire::v1;
use serde_json::json;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::agent::Agent;
use crate::error::{Class, Error, chain};
use crate::facts::VmFacts;
use crate::folder::Folder;
use crate::vm::Machine;
use crate::vms::from_facts;

/// How long QEMU may take to say what it is.
const QEMU_MAX: Duration = Duration::from_secs(20);
/// How long the link may take to be reached and measured. A controller waits a minute for the whole answer, and a link that is
/// down must not cost it the rest.
const LINK_MAX: Duration = Duration::from_secs(45);
/// So many VMs are looked at together: for each its QEMU samples memory for a second, and fifty have to fit into the minute for
/// which a controller waits.
const VMS_TOGETHER: usize = 8;
/// The window in which a guest's writes to memory are counted, in seconds.
const DIRTY_WINDOW_SECONDS: u64 = 1;

impl Agent {
    /// Space, memory, versions, the link to a peer, and the VMs named in the request; of each the value, or why it is not known.
    pub(crate) async fn observe(&self, request: &v1::ObserveRequest) -> v1::ObserveReply {
        // They wait for different things: a program, the site's files, the WAN, the guests.
        let (qemu, boot, link, vms) = tokio::join!(
            self.qemu(),
            self.boot.digests(),
            self.link_to(&request.peer),
            self.all_vm_facts(&request.vms)
        );
        let (disk_free_bytes, disk_failure) = value_or_why_not(disk_free_bytes(&self.folder));
        let (memory_free_bytes, memory_failure) = value_or_why_not(memory_free_bytes());
        let (qemu, qemu_failure) = value_or_why_not(qemu);
        let (kernel_digests, boot_failure) = value_or_why_not(boot);
        let (link, link_failure) = value_or_why_not(link);
        v1::ObserveReply {
            site: self.site.id.to_string(),
            disk_free_bytes,
            disk_reserve_bytes: self.site.disk_reserve.as_bytes(),
            disk_failure,
            memory_free_bytes,
            memory_failure,
            qemu_version: qemu.version,
            machine_types: qemu.machines,
            cpu_models: qemu.cpus,
            qemu_failure,
            kernel_digests,
            boot_failure,
            link,
            link_failure,
            vms,
        }
    }

    async fn link_to(&self, peer: &str) -> Result<Option<v1::PeerLink>, Error> {
        if peer.is_empty() {
            return Ok(None);
        }
        let measured = timeout(LINK_MAX, async {
            // Lanes that do not come up do not say why, and one that was up before proves nothing about a new one.
            self.peers.greet(peer).await?;
            self.tunnels.measure(peer).await
        });
        measured.await.unwrap_or_else(|_| Err(too_slow(peer))).map(Some)
    }

    async fn all_vm_facts(&self, vms: &[String]) -> Vec<v1::VmFacts> {
        side_by_side(vms.iter().map(|vm| self.vm_facts_or_why_not(vm)).collect()).await
    }

    async fn qemu(&self) -> Result<Qemu, Error> {
        self.qemu.get_or_try_init(Qemu::ask).await.cloned()
    }

    async fn vm_facts_or_why_not(&self, vm: &str) -> v1::VmFacts {
        let (facts, failure) = value_or_why_not(self.vm_facts(vm).await);
        v1::VmFacts { id: vm.to_owned(), failure, ..facts }
    }

    async fn vm_facts(&self, vm: &str) -> Result<v1::VmFacts, Error> {
        let spec = self.specs.find(vm)?;
        let id = crate::prefetch::vm_id(vm)?;
        let row = self.facts.vm(&id).map_err(from_facts)?;
        let moving = self.facts.moving(&id).map_err(from_facts)?;
        let machine = self.machine(&id)?;
        let mut facts = v1::VmFacts { id: vm.to_owned(), known: spec.is_some(), ..Default::default() };
        facts.state = match &row {
            Some(row) => self.state(row, machine.as_ref()).await.to_owned(),
            None => "gone".to_owned(),
        };
        facts.epoch = row.as_ref().map_or(0, |row| row.highest.0);
        facts.owner = row.as_ref().is_some_and(VmFacts::is_owner);
        facts.copy = self.copy_kept(&id)?;
        facts.copied_to = self.copied_to(&id).await?;
        if let Some(moving) = moving {
            facts.moving_run = moving.run.to_string();
            facts.moving_controller = moving.controller;
        }
        if let Some(spec) = &spec {
            describe(&mut facts, spec);
            facts.allocated_bytes = allocated_bytes(&self.folder, spec);
        }
        if let Some(machine) = machine.filter(|_| facts.state == "running") {
            facts.dirty_bytes_per_second = dirty_rate(&machine).await.unwrap_or_default();
        }
        Ok(facts)
    }
}

/// What is known of one part of the site, and if nothing is, why.
fn value_or_why_not<T: Default>(part: Result<T, Error>) -> (T, Option<v1::Failure>) {
    match part {
        Ok(value) => (value, None),
        Err(error) => (T::default(), Some(error.failure())),
    }
}

fn too_slow(peer: &str) -> Error {
    let seconds = LINK_MAX.as_secs();
    let message =
        format!("the link to site {peer} could not be measured within {seconds} s: see whether it is up");
    Error::new(Class::Unreachable, message)
}

/// Looks at all, some together, and gives the answers in the order of the questions.
async fn side_by_side<T>(looks: Vec<impl Future<Output = T>>) -> Vec<T> {
    stream::iter(looks).buffered(VMS_TOGETHER).collect().await
}

fn describe(facts: &mut v1::VmFacts, spec: &Vm) {
    facts.memory_bytes = spec.memory.as_bytes();
    facts.disk_bytes = spec.disk.size.as_bytes();
    facts.machine_type.clone_from(&spec.machine);
    facts.cpu_model.clone_from(&spec.cpu);
    facts.kernel_digest.clone_from(&spec.boot.kernel);
    facts.initrd_digest.clone_from(&spec.boot.initrd);
}

/// What the image takes on disk; holes do not count.
fn allocated_bytes(folder: &Folder, spec: &Vm) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    // 512 is the unit of st_blocks whatever the file system's block size (stat(2)).
    std::fs::metadata(folder.image(&spec.id)).map_or(0, |metadata| metadata.blocks() * 512)
}

/// How fast the guest writes to its memory, as QEMU samples it; `None` if QEMU will not say.
async fn dirty_rate(machine: &Machine) -> Option<u64> {
    let qmp = machine.qmp();
    let deadline = Duration::from_secs(5);
    qmp.execute("calc-dirty-rate", json!({ "calc-time": DIRTY_WINDOW_SECONDS }), deadline).await.ok()?;
    for _ in 0..30 {
        sleep(Duration::from_millis(100)).await;
        let rate = qmp.execute("query-dirty-rate", serde_json::Value::Null, deadline).await.ok()?;
        if rate["status"] == "measured" {
            // Whole MiB a second is all QEMU gives.
            return rate["dirty-rate"].as_u64().map(|rate| rate << 20);
        }
    }
    None
}

/// Bytes an ordinary file may still take in the disks folder.
pub(crate) fn disk_free_bytes(folder: &Folder) -> Result<u64, Error> {
    let stat = rustix::fs::statvfs(folder.disks())
        .map_err(|error| Error::internal("asking for free disk space", &error))?;
    Ok(stat.f_bavail * stat.f_frsize)
}

fn memory_free_bytes() -> Result<u64, Error> {
    let text = std::fs::read_to_string("/proc/meminfo")
        .map_err(|error| Error::internal("reading /proc/meminfo", &error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.unwrap_or_default() * 1024)
}

/// What the QEMU of this site is and can be; asked once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Qemu {
    version: String,
    machines: Vec<String>,
    cpus: Vec<String>,
}

impl Qemu {
    async fn ask() -> Result<Self, Error> {
        let version = run(&["--version"]).await?;
        let version =
            version.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
        Ok(Self {
            version: version.to_owned(),
            machines: first_words(&run(&["-machine", "help"]).await?),
            cpus: first_words(&run(&["-cpu", "help"]).await?),
        })
    }
}

fn first_words(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

async fn run(arguments: &[&str]) -> Result<String, Error> {
    let asked =
        Command::new("qemu-system-x86_64").args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(QEMU_MAX, asked).await;
    let output = output.map_err(|error| Error::internal("asking QEMU what it is", &error))?;
    let output = output.map_err(|error| {
        let message = format!("qemu-system-x86_64 cannot be run at this site: {}: install it", chain(&error));
        Error::new(Class::Precondition, message)
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::yield_now;

    use super::*;

    /// As many are asked together as is allowed and no more, and they come out in order, whoever answers first.
    #[tokio::test]
    async fn many_are_asked_together_and_answer_in_order() {
        let vms: Vec<usize> = (0..50).collect();
        let (asked, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (asked, most) = (&asked, &most);
        let look = |vm: usize| async move {
            most.fetch_max(asked.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The later the question, the sooner the answer.
            for _ in vm..50 {
                yield_now().await;
            }
            asked.fetch_sub(1, Ordering::SeqCst);
            vm
        };
        let answers = side_by_side(vms.iter().copied().map(look).collect()).await;
        assert_eq!(answers, vms);
        assert_eq!(most.load(Ordering::SeqCst), VMS_TOGETHER);
    }

    /// What is not known says why, with the class of the reason, and what is known says nothing.
    #[test]
    fn a_part_is_a_value_or_a_reason() {
        assert_eq!(value_or_why_not(Ok(7)), (7, None));
        let failure = Class::Precondition.failure("no QEMU");
        let unknown = value_or_why_not::<u64>(Err(Error::new(Class::Precondition, "no QEMU")));
        assert_eq!(unknown, (0, Some(failure)));
    }
}
