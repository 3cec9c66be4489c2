//! Parts of a move that die or are not there: disk servers, QEMUs, space, the link inside the hand-over, the VM itself.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use longhaul_agent::handover::FaultPoint;
use longhaul_lab::place::Side;

use super::rig::{Rig, shared_turn, state, turn};
use super::small::gate::Gate;
use super::small::ground::Ground;
use super::small::processes::{self, DISK_SERVER, QEMU, SOON, wait};

/// The step in which the guest's memory is copied and the guest handed over.
const MOVE: &str = "move/vm-a/move_vm";
/// How often the disk server is killed under a guest that writes.
const KILLS: usize = 12;

/// A cut of twenty seconds right after RELINQUISH, when neither side may run the guest, ends when the link does; the guest
/// then runs at one place, its client's connection lives, and the run goes through.
#[test]
fn a_cut_inside_the_hand_over_heals() {
    let Some(_turn) = turn() else { return };
    let gate = state().join("mvcuthand.gate");
    let mut rig = Rig::with_arguments("mvcuthand", vec!["--fault-points".into(), gate.clone().into()]);
    let gate = Gate::open(&gate);
    gate.hold([FaultPoint::SourceRelinquished]);
    let mut run = rig.start("run-cuthand");
    let until = Instant::now() + Duration::from_secs(120);
    let ended = || !matches!(run.try_wait(), Ok(None));
    assert!(gate.wait(FaultPoint::SourceRelinquished, until, ended), "nothing was promised");
    rig.lab.cut().unwrap();
    gate.release_all();
    // The length of the cut is what is tested; nothing signals its end.
    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(rig.runs_at(), None, "somebody ran it without knowing");
    rig.lab.heal().unwrap();
    let (code, said) = Rig::finish(run, "run-cuthand");
    assert_eq!(code, Some(0), "{said}");
    rig.assert_moved();
}

/// The source's disk server is killed while the guest moves: its agent starts it again and the move goes through.
#[test]
fn a_killed_source_disk_server_comes_back() {
    let Some(_turn) = turn() else { return };
    assert_eq!(moves_although_killed("mvdiska", Side::A, DISK_SERVER), 1);
}

/// The same at the target.
#[test]
fn a_killed_target_disk_server_comes_back() {
    let Some(_turn) = turn() else { return };
    assert_eq!(moves_although_killed("mvdiskb", Side::B, DISK_SERVER), 1);
}

/// The QEMU that takes the guest in is killed: the guest goes on where it is, and the next attempt brings it over.
#[test]
fn a_killed_target_qemu_costs_an_attempt() {
    let Some(_turn) = turn() else { return };
    assert_eq!(moves_although_killed("mvqemub", Side::B, QEMU), 2);
}

/// How many attempts the move took.
fn moves_although_killed(name: &str, side: Side, word: &str) -> usize {
    let mut rig = Rig::new(name);
    let mut run = rig.start("run-killed-part");
    rig.wait_for_step(&mut run, "run-killed-part", MOVE);
    assert!(wait(SOON, || !processes::of(&rig.lab, side, word).is_empty()), "there is no {word} to kill");
    assert_eq!(processes::kill(&rig.lab, side, word), Ok(1));
    let (code, said) = Rig::finish(run, "run-killed-part");
    assert_eq!(code, Some(0), "{said}");
    rig.assert_moved();
    let records = rig.records("run-killed-part");
    let starts = records.iter().filter(|it| it["kind"] == "start" && it["payload"]["step"] == MOVE);
    starts.count()
}

/// The QEMU that the guest leaves is killed while it is copied: the guest's memory is lost, the run fails and says so, the
/// target is cleaned, nobody starts the VM, and it can be started where its disk is.
#[test]
fn a_killed_source_qemu_is_a_crash() {
    let Some(_turn) = turn() else { return };
    let mut rig = Rig::new("mvqemua");
    let mut run = rig.start("run-crash");
    rig.wait_for_step(&mut run, "run-crash", MOVE);
    assert_eq!(processes::kill(&rig.lab, Side::A, QEMU), Ok(1));
    let (code, said) = Rig::finish(run, "run-crash");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the guest is lost"), "{said}");
    assert_eq!((rig.vm("a").as_str(), processes::of(&rig.lab, Side::B, QEMU).len()), ("crashed", 0));
    rig.expect(&["vm", "stop", "vm-a", "--site", "a"], 0);
    assert_eq!(rig.vm("a"), "stopped");
    rig.expect(&["vm", "start", "vm-a", "--site", "a"], 0);
    rig.wait_for("the guest to run again", |rig| rig.vm("a") == "running");
    let (_, observer) = rig.watched();
    assert!(observer.exactly_one(), "{observer:?}");
}

/// The target's disk fills up while the disk is copied: the run fails, says why, removes the copy, and the guest stays.
#[test]
fn a_disk_that_fills_up_ends_the_move() {
    let Some(_turn) = turn() else { return };
    let mut rig = Rig::new("mvfull");
    let disks = rig.lab.files().agent(Side::B).join("disks");
    // Gone before the lab, whose folder it lies in.
    let _mounted = Mounted::small(&disks);
    let mut run = rig.start("run-full");
    rig.wait_for_step(&mut run, "run-full", "move/vm-a/prefetch");
    let copy = disks.join("vm-a.raw");
    assert!(wait(SOON, || copy.exists()), "there is no copy");
    // The copy grows meanwhile, so what was free a moment ago may be more than there is.
    let filler = File::create(disks.join("filler")).unwrap();
    assert!(wait(SOON, || take_all_but_a_mib(&disks, &filler)), "the disk does not fill up");
    let (code, said) = Rig::finish(run, "run-full");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is full"), "{said}");
    assert!(!copy.exists(), "the copy is left");
    rig.assert_stayed();
}

fn take_all_but_a_mib(disks: &std::path::Path, filler: &File) -> bool {
    let free = rustix::fs::statvfs(disks).map(|stat| stat.f_bavail * stat.f_frsize).unwrap();
    let flags = rustix::fs::FallocateFlags::empty();
    rustix::fs::fallocate(filler, flags, 0, free.saturating_sub(1 << 20)).is_ok()
}

/// A file system of its own over a folder.
struct Mounted<'a>(&'a std::path::Path);

impl<'a> Mounted<'a> {
    fn small(folder: &'a std::path::Path) -> Self {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1g", "tmpfs"]).arg(folder).status();
        assert!(mounted.unwrap().success());
        Self(folder)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Lazily: a process of a lab that is going down may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A target that has a VM of that name refuses the move, and both go on.
#[test]
fn a_name_that_is_taken_is_refused() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("mvname");
    ground.boot(Side::A).unwrap();
    for file in ["vms/vm-a.yaml", "disks/vm-a.raw"] {
        let [from, to] = Side::BOTH.map(|side| ground.lab.files().agent(side).join(file));
        std::fs::copy(from, to).unwrap();
    }
    ground.boot(Side::B).unwrap();
    let code = ground.start_move("run-taken", Side::A).wait().unwrap().code();
    let said = ground.said("run-taken");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has a vm vm-a of its own"), "{said}");
    for side in Side::BOTH {
        counts_on(&ground, side);
    }
}

/// A VM that does not run is not moved: the run says so, and leaves nothing at the target.
#[test]
fn a_vm_that_does_not_run_is_refused() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("mvstopped");
    ground.boot(Side::A).unwrap();
    ground.stop(Side::A);
    let code = ground.start_move("run-stopped", Side::A).wait().unwrap().code();
    let said = ground.said("run-stopped");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not run at site a"), "{said}");
    assert!(!ground.image(Side::B).exists(), "a copy is left");
    ground.boot(Side::A).unwrap();
}

/// A guest that writes without ever flushing, and reads back what it wrote, finds it although its disk server is killed again
/// and again: what was acknowledged is there, and what was not is written again.
#[test]
fn a_guest_reads_its_own_writes_from_a_disk_server_that_dies() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("mvwrites");
    let mut marks = ground.boot(Side::A).unwrap();
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..KILLS {
        let until = marks.count + random.u32(1..4);
        let counts = wait(SOON, || ground.marks(Side::A).count >= until);
        let (now, words) = (ground.marks(Side::A), ground.words());
        assert!(counts, "it counts no more: {now:?} after {marks:?}, {words:?}; seed {seed}");
        // Anywhere between two writes, or in one.
        let moment = Instant::now() + Duration::from_micros(random.u64(..220_000));
        assert!(wait(SOON, || Instant::now() >= moment));
        assert_eq!(ground.kill(Side::A, DISK_SERVER), Ok(1), "seed {seed}");
        marks = ground.marks(Side::A);
    }
    counts_on(&ground, Side::A);
    let after = ground.marks(Side::A);
    assert_eq!((after.lost, after.boots), (0, 1), "seed {seed}");
}

fn counts_on(ground: &Ground, side: Side) {
    let before = ground.marks(side);
    assert!(wait(SOON, || ground.marks(side).count > before.count + 1), "it counts no more at {side:?}");
    assert_eq!(ground.marks(side).lost, 0);
}
