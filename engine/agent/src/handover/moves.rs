//! The drivers with two real QEMUs and a stream in memory. The machines have no disk, no network and no kernel: their firmware
//! runs, which is enough to be copied, stopped and let go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longhaul_model::ids::{RunId, VmId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::error::Class;
use crate::facts::{Epoch, Facts, Refusal, Role};
use crate::faults::{FaultPoint, Faults};
use crate::qmp::Client;
use crate::vm::{Attachments, Launch, Machine, Paths, small};

const SOON: Duration = Duration::from_secs(60);

/// Whether QEMU is there. Without it a test is skipped with a word, except in CI, where it fails.
fn qemu_is_here() -> bool {
    let here = std::process::Command::new("qemu-system-x86_64").arg("--version").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "qemu-system-x86_64 is needed in CI");
    if !here {
        eprintln!("skipped: qemu-system-x86_64 is not installed");
    }
    here
}

/// A disk server that writes down what it was told.
#[derive(Debug, Default)]
struct Disk {
    dirty: Vec<Extent>,
    refuses_grants: bool,
    frozen: AtomicBool,
    absent: Mutex<Vec<Extent>>,
    grants: Mutex<Vec<Grant>>,
}

impl Disk {
    fn note(&self, grant: Grant) -> Result<(), HookError> {
        if self.refuses_grants {
            return Err(crate::error::Error::new(Class::Permanent, "the disk is broken").into());
        }
        self.grants.lock().unwrap().push(grant);
        Ok(())
    }
}

#[async_trait]
impl SourceDisk for Disk {
    async fn last_round(&self) -> Result<Vec<Extent>, HookError> {
        self.frozen.store(true, Ordering::SeqCst);
        Ok(self.dirty.clone())
    }

    async fn thaw(&self) -> Result<(), HookError> {
        self.frozen.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn grant(&self, grant: Grant) -> Result<(), HookError> {
        self.note(grant)
    }
}

#[async_trait]
impl TargetDisk for Disk {
    async fn mark_absent(&self, extents: &[Extent]) -> Result<(), HookError> {
        self.absent.lock().unwrap().extend(extents);
        Ok(())
    }

    async fn grant(&self, grant: Grant) -> Result<(), HookError> {
        self.note(grant)
    }
}

/// The target's agent, asked directly.
struct Peer(Facts);

#[async_trait]
impl PeerQuestions for Peer {
    async fn handover(&self, vm: &VmId, run: &RunId, asked: (Epoch, bool)) -> Result<Answer, HookError> {
        Ok(answer(&self.0, vm, run, asked).await?)
    }
}

/// Reports every fault point and holds the one that is wanted.
struct Gate {
    reached: Arc<Mutex<BTreeSet<String>>>,
    held: tokio::sync::oneshot::Receiver<UnixStream>,
    server: JoinHandle<()>,
}

impl Gate {
    fn new(path: &Path, wanted: Option<FaultPoint>) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let (tell, held) = tokio::sync::oneshot::channel();
        let reached: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (seen, mut tell) = (reached.clone(), Some(tell));
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let mut name = String::new();
                stream.read_line(&mut name).await.unwrap();
                seen.lock().unwrap().insert(name.trim().to_owned());
                if wanted.is_some_and(|point| point.name() == name.trim())
                    && let Some(tell) = tell.take()
                {
                    tell.send(stream.into_inner()).unwrap();
                }
            }
        });
        Self { reached, held, server }
    }

    async fn held(&mut self) -> UnixStream {
        timeout(SOON, &mut self.held).await.expect("the point is reached").unwrap()
    }
}

/// Two sites in one folder.
struct Bed {
    folder: tempfile::TempDir,
    gate: Gate,
    source: SourceSide,
    target: TargetSide,
    run: RunId,
    /// QEMU serves one client at a time on a socket, so all who look from outside share these.
    observers: [Client; 2],
}

impl Bed {
    async fn new(wanted: Option<FaultPoint>, target_disk: Disk) -> Self {
        let folder = tempfile::Builder::new().prefix("lha-").tempdir().unwrap();
        let vm: VmId = "vm-a".parse().unwrap();
        let gate = Gate::new(&folder.path().join("gate"), wanted);
        let faults = Faults::controlled(&folder.path().join("gate"));
        let facts = |site: &str| Facts::open(&folder.path().join(format!("{site}.db"))).unwrap();
        let (facts_a, facts_b) = (facts("a"), facts("b"));
        let epoch = facts_a.begin_start(&vm).unwrap();
        let machine = Machine::start(&launch(folder.path(), "a", epoch)).await.unwrap();
        let dirty = vec![Extent { offset: 4096, length: 8192 }];
        let source = SourceSide {
            vm: vm.clone(),
            machine: Some(machine),
            facts: facts_a,
            disk: Arc::new(Disk { dirty, ..Disk::default() }),
            peer: Arc::new(Peer(facts_b.clone())),
            limits: Limits {
                answer: Duration::from_millis(200),
                patience: Duration::from_secs(3),
                ..Limits::for_pause(Duration::from_millis(300))
            },
            faults: faults.clone(),
            breaks: Breaks::default(),
        };
        let disk = Arc::new(target_disk);
        let (faults, breaks) = (faults, Breaks::default());
        let target = TargetSide { vm, machine: None, facts: facts_b, disk, faults, breaks };
        let observer =
            |site: &str| Client::new(&Paths::new(&folder.path().join(site), &source.vm).observer());
        let observers = [observer("a"), observer("b")];
        Self { folder, gate, source, target, run: "run-1".parse().unwrap(), observers }
    }

    fn path(&self, site: &str) -> PathBuf {
        self.folder.path().join(site)
    }

    fn machine(&self, site: &str) -> Option<Machine> {
        Machine::adopt(&Paths::new(&self.path(site), &self.source.vm), &self.source.vm).unwrap()
    }

    /// Which sites' guests run, seen from outside.
    async fn running(&self) -> (bool, bool) {
        (runs(&self.observers[0]).await, runs(&self.observers[1]).await)
    }

    fn preparing(&self, epoch: Epoch) -> Preparing {
        Preparing {
            run: self.run.clone(),
            launch: launch(self.folder.path(), "b", epoch),
            source: "a".to_owned(),
            facts: self.target.facts.clone(),
            faults: self.target.faults.clone(),
        }
    }

    /// Starts both drivers. The target's begins with its preparation, as the agents do it.
    fn start(&self) -> Drivers {
        let epoch = self.source.facts.begin_attempt(&self.source.vm, &self.run, "b").unwrap();
        let (here, there) = tokio::io::duplex(64 << 10);
        let preparing = self.preparing(epoch);
        let (mut target, run) = (self.target.clone(), self.run.clone());
        let (prepared, ready) = tokio::sync::oneshot::channel();
        let receiver = tokio::spawn(async move {
            target.machine = Some(prepare_incoming(&preparing).await?);
            let _ = prepared.send(());
            receive(&Receiving { side: target, run, epoch }, there).await
        });
        let (side, run) = (self.source.clone(), self.run.clone());
        let sender = tokio::spawn(async move {
            if ready.await.is_err() {
                // As an agent does whose target cannot prepare.
                side.facts.abandon(&side.vm, epoch, "the target is not ready").unwrap();
                let why = Refusal::transient("the target is not ready");
                return Ok(Sent::Stayed(Stayed { epoch: Epoch(1), why }));
            }
            send(&Sending { side, run, epoch, progress: Arc::new(|_| {}) }, here).await
        });
        Drivers { sender, receiver }
    }

    async fn recover_target(&self) -> Option<Received> {
        let side = TargetSide { machine: self.machine("b"), ..self.target.clone() };
        timeout(SOON, recover_target(&side)).await.expect("in time").unwrap()
    }

    async fn recover_source(&mut self) -> Option<Sent> {
        // The dead agent's connection is closed, as the kernel would do it.
        self.source.machine = None;
        let side = SourceSide { machine: self.machine("a"), ..self.source.clone() };
        timeout(SOON, recover_source(&side)).await.expect("in time").unwrap()
    }

    /// The facts of the two sites name one owner, and it and nobody else runs.
    async fn one_runs(&self, told: &str) -> &'static str {
        let owner = |facts: &Facts| facts.vm(&self.source.vm).unwrap().is_some_and(|row| row.is_owner());
        let owners = (owner(&self.source.facts), owner(&self.target.facts));
        let runs = self.running().await;
        assert_eq!(owners, runs, "{told}: owners and runners");
        assert!(runs.0 != runs.1, "{told}: {runs:?}");
        if runs.0 { "a" } else { "b" }
    }

    async fn end(self) {
        for machine in [self.machine("a"), self.machine("b")].into_iter().flatten() {
            machine.kill().await.unwrap();
        }
        self.gate.server.abort();
    }
}

/// A test that fails must not leave QEMUs behind: nothing else would end them.
impl Drop for Bed {
    fn drop(&mut self) {
        for machine in [self.machine("a"), self.machine("b")].into_iter().flatten() {
            let pid = i32::try_from(machine.runtime().pid).ok().and_then(rustix::process::Pid::from_raw);
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

struct Drivers {
    sender: JoinHandle<Result<Sent, Error>>,
    receiver: JoinHandle<Result<Received, Error>>,
}

impl Drivers {
    async fn both(self) -> (Sent, Received) {
        let sent = timeout(SOON, self.sender).await.expect("the source ends").unwrap().unwrap();
        let received = timeout(SOON, self.receiver).await.expect("the target ends").unwrap().unwrap();
        (sent, received)
    }
}

fn launch(folder: &Path, site: &str, epoch: Epoch) -> Launch {
    let vm = small("vm-a");
    let paths = Paths::new(&folder.join(site), &vm.id);
    Launch { vm, epoch, paths, attachments: Attachments { disk: false, tap: None, boot: None } }
}

/// Watches both QEMUs from outside, on the observers' sockets, and counts the moments in which both ran. The source is
/// asked before and after the target, so that a hand-over between two questions does not count.
fn observe(bed: &Bed) -> JoinHandle<usize> {
    let [a, b] = bed.observers.clone();
    let stop = bed.folder.path().join("stop");
    tokio::spawn(async move {
        let mut together = 0;
        while !stop.exists() {
            let runs = runs(&a).await && runs(&b).await && runs(&a).await;
            together += usize::from(runs);
            tokio::task::yield_now().await;
        }
        together
    })
}

async fn runs(client: &Client) -> bool {
    let status = client.execute("query-status", serde_json::Value::Null, Duration::from_secs(1)).await;
    status.is_ok_and(|status| status["status"] == "running")
}

async fn observed(bed: &Bed, watch: JoinHandle<usize>) -> usize {
    std::fs::write(bed.folder.path().join("stop"), "").unwrap();
    timeout(SOON, watch).await.expect("the observer ends").unwrap()
}

/// A guest moves: the target runs it under the attempt's epoch, the source QEMU is gone, the last dirty round went along, every
/// point that a good move passes was passed, and nobody saw two run.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_moves() {
    if !qemu_is_here() {
        return;
    }
    let mut bed = Bed::new(None, Disk::default()).await;
    let watch = observe(&bed);
    let (sent, received) = bed.start().both().await;
    let Sent::Moved(moved) = &sent else { panic!("{sent:?}") };
    let Received::Runs { epoch: Epoch(2), runs_at_unix_us } = received else { panic!("{received:?}") };
    assert_eq!((moved.epoch, moved.runs_at_unix_us), (Epoch(2), runs_at_unix_us));
    assert!(moved.promise.stopped_at_unix_us < runs_at_unix_us && moved.promise.state.bytes > 0);
    assert_eq!(moved.promise.marked_absent_bytes, 8192);
    assert_eq!(bed.one_runs("after the move").await, "b");
    assert!(bed.machine("a").is_none(), "the source QEMU is gone");
    assert_eq!(observed(&bed, watch).await, 0);
    let wanted = FaultPoint::ALL.iter().filter(|point| point.in_hand_over() && !point.on_refusal_only());
    let wanted: BTreeSet<_> = wanted.map(|point| point.name().to_owned()).collect();
    assert_eq!(*bed.gate.reached.lock().unwrap(), wanted);
    assert_eq!(bed.recover_source().await, Some(sent), "recovering an ended move says the same");
    bed.end().await;
}

/// A target QEMU that dies after RELINQUISH leads to NACK, the guest goes on at the source under a fresh epoch that its
/// old disk session holds, and the next attempt succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_comes_back_from_a_refusal_and_moves_again() {
    if !qemu_is_here() {
        return;
    }
    let mut bed = Bed::new(Some(FaultPoint::TargetLoaded), Disk::default()).await;
    let disk = Arc::new(Disk::default());
    bed.source.disk = disk.clone();
    let drivers = bed.start();
    let held = bed.gate.held().await;
    bed.machine("b").unwrap().kill().await.unwrap();
    drop(held);
    let (sent, received) = drivers.both().await;
    let Sent::Stayed(Stayed { epoch: Epoch(3), why }) = &sent else { panic!("{sent:?}") };
    assert_eq!(why.class, Class::Transient, "another QEMU may live: {}", why.reason);
    assert!(matches!(received, Received::Refused { .. }), "{received:?}");
    assert_eq!(*disk.grants.lock().unwrap(), [Grant { epoch: Epoch(3), attached: Epoch(1) }]);
    assert!(!disk.frozen.load(Ordering::SeqCst));
    assert_eq!(bed.one_runs("after the refusal").await, "a");
    let (sent, _) = bed.start().both().await;
    assert!(matches!(&sent, Sent::Moved(moved) if moved.epoch == Epoch(4)), "{sent:?}");
    assert_eq!(bed.one_runs("after the second attempt").await, "b");
    bed.end().await;
}

/// What a target refuses for reaches the source with its class: a disk that cannot be written is no reason to try again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_whether_to_try_again() {
    if !qemu_is_here() {
        return;
    }
    let bed = Bed::new(None, Disk { refuses_grants: true, ..Disk::default() }).await;
    let (sent, _) = bed.start().both().await;
    let Sent::Stayed(Stayed { why, .. }) = &sent else { panic!("{sent:?}") };
    assert_eq!(why.class, Class::Permanent, "{}", why.reason);
    assert!(why.reason.ends_with("the disk is broken"), "{}", why.reason);
    assert_eq!(bed.one_runs("after the refusal").await, "a");
    bed.end().await;
}

/// A target that cannot be prepared says whether trying again as it is can help: not with a machine type that its QEMU does
/// not know, and not under an epoch that was used.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_ready_says_whether_to_try_again() {
    if !qemu_is_here() {
        return;
    }
    let bed = Bed::new(None, Disk::default()).await;
    let mut preparing = bed.preparing(Epoch(2));
    preparing.launch.vm.machine = "pc-none".to_owned();
    let unknown = prepare_incoming(&preparing).await.unwrap_err();
    assert_eq!(unknown.class(), Class::Permanent, "{}", unknown.chain());
    assert!(unknown.chain().contains("pc-none"), "{}", unknown.chain());
    let stale = prepare_incoming(&bed.preparing(Epoch(2))).await.unwrap_err();
    assert_eq!(stale.class(), Class::Conflict, "{}", stale.chain());
    bed.end().await;
}

/// The break switch really makes two run, and the observer sees it: its zero elsewhere means something.
#[tokio::test(flavor = "multi_thread")]
async fn the_observer_sees_a_second_runner() {
    if !qemu_is_here() {
        return;
    }
    let mut bed = Bed::new(None, Disk::default()).await;
    bed.source.breaks.second_runner = true;
    let drivers = bed.start();
    let watch = observe(&bed);
    drivers.both().await;
    assert_eq!(bed.running().await, (true, true));
    assert!(observed(&bed, watch).await > 0, "the observer saw nothing");
    bed.end().await;
}

/// The agent that reaches a point dies there and comes back with its facts alone: for every point of a good move and of a
/// refused one, the hand-over ends, the facts name one owner, that one runs, and nobody saw two.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_die_at_every_point() {
    if !qemu_is_here() {
        return;
    }
    for point in FaultPoint::ALL.iter().filter(|point| point.in_hand_over()) {
        let disk = Disk { refuses_grants: point.on_refusal_only(), ..Disk::default() };
        let mut bed = Bed::new(Some(*point), disk).await;
        let watch = observe(&bed);
        let drivers = bed.start();
        let held = bed.gate.held().await;
        let told = point.name();
        if told.starts_with("source-") {
            drivers.sender.abort();
            assert!(drivers.sender.await.unwrap_err().is_cancelled());
            drop(held);
            let sent = bed.recover_source().await;
            assert!(sent.is_some(), "{told}");
            timeout(SOON, drivers.receiver).await.expect(told).unwrap().unwrap();
        } else {
            drivers.receiver.abort();
            assert!(drivers.receiver.await.unwrap_err().is_cancelled());
            drop(held);
            bed.recover_target().await;
            timeout(SOON, drivers.sender).await.expect(told).unwrap().unwrap();
        }
        bed.one_runs(told).await;
        assert_eq!(observed(&bed, watch).await, 0, "{told}: two ran");
        bed.end().await;
    }
}

/// What the source said in its promise survives: a source that lost its agent right after RELINQUISH reports the same digest.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_source_reports_the_promise() {
    if !qemu_is_here() {
        return;
    }
    let mut bed = Bed::new(Some(FaultPoint::SourceRelinquishSent), Disk::default()).await;
    let drivers = bed.start();
    let mut held = bed.gate.held().await;
    let received = timeout(SOON, drivers.receiver).await.unwrap().unwrap().unwrap();
    assert!(matches!(received, Received::Runs { .. }), "{received:?}");
    drivers.sender.abort();
    let _ = drivers.sender.await;
    assert_eq!(timeout(SOON, held.read(&mut [0])).await.unwrap().unwrap(), 0);
    let promised = bed.source.facts.latest_attempt(&bed.source.vm).unwrap().unwrap().relinquished.unwrap();
    let Some(Sent::Moved(moved)) = bed.recover_source().await else { panic!("not moved") };
    assert_eq!(moved.promise, promised);
    assert_eq!(bed.source.facts.vm(&bed.source.vm).unwrap().unwrap().role, Role::Absent(Epoch(2)));
    bed.end().await;
}
