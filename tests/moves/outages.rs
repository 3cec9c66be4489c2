//! Parts of a move that die or are not there: disk servers, QEMUs, space, the link inside the hand-over, the VM itself.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use longhaul_agent::faults::FaultPoint;
use longhaul_lab::addresses;
use longhaul_lab::place::Side;

use super::midway::{MOVE, Midway, PREFETCH};
use super::rig::{Rig, shared_turn, take_name_at_b, turn};
use super::small::ground::Ground;
use super::small::guest;
use super::small::processes::{self, DISK_SERVER, QEMU, SOON, wait};

/// The seconds to which `workflows/evacuate.yaml` lowers the time for which an answer may be kept.
const LOWERED: Option<u64> = Some(5);
/// The same while nothing moves.
const NORMAL: Option<u64> = Some(addresses::TTL_SECONDS as u64);

/// A cut of twenty seconds right after RELINQUISH, when neither side may run the guest, ends when the link does; the guest
/// then runs at one place, its client's connection lives, and the run goes through. The answer to the guest's name may be kept
/// for a short time only by then, and for as long as ever after the move.
#[test]
fn a_cut_inside_the_hand_over_heals() {
    let Some(_turn) = shared_turn() else { return };
    let mut moving = Midway::held("mvcuthand", FaultPoint::SourceRelinquished);
    assert_eq!(moving.rig.ttl_seconds(), [LOWERED; 2]);
    let met = moving.rig.cut_drops();
    moving.rig.lab.cut().unwrap();
    moving.gate.release_all();
    // The length of the cut is what is tested; nothing signals its end.
    std::thread::sleep(Duration::from_secs(20));
    assert!(moving.rig.cut_drops() > met, "nothing met the cut");
    assert_eq!(moving.rig.runs_at(), None, "somebody ran it without knowing");
    moving.rig.lab.heal().unwrap();
    moving.succeed();
    assert_eq!(moving.rig.ttl_seconds(), [NORMAL; 2], "it was not put back");
}

/// The source's disk server is killed while the guest moves: its agent starts it again and the move goes through.
#[test]
fn a_killed_source_disk_server_comes_back() {
    let Some(_turn) = shared_turn() else { return };
    assert_eq!(moves_although_killed("mvdiska", Side::A, DISK_SERVER), 1);
}

/// The same at the target.
#[test]
fn a_killed_target_disk_server_comes_back() {
    let Some(_turn) = shared_turn() else { return };
    assert_eq!(moves_although_killed("mvdiskb", Side::B, DISK_SERVER), 1);
}

/// The QEMU that takes the guest in is killed: the guest goes on where it is, and the next attempt brings it over.
#[test]
fn a_killed_target_qemu_costs_an_attempt() {
    let Some(_turn) = shared_turn() else { return };
    assert_eq!(moves_although_killed("mvqemub", Side::B, QEMU), 2);
}

/// How many attempts the move took.
fn moves_although_killed(name: &str, side: Side, word: &str) -> usize {
    let mut moving = Midway::of_memory_copy(name);
    assert_eq!(processes::kill(&moving.rig.lab, side, word), Ok(1));
    moving.succeed();
    let records = moving.rig.records(name);
    let starts = records.iter().filter(|it| it["kind"] == "start" && it["payload"]["step"] == MOVE);
    starts.count()
}

/// The QEMU that the guest leaves is killed while it is copied: the guest's memory is lost, the run fails and says so, the
/// target is cleaned, nobody starts the VM, and it can be started where its disk is.
#[test]
fn a_killed_source_qemu_is_a_crash() {
    let Some(_turn) = turn() else { return };
    let mut moving = Midway::of_memory_copy("mvqemua");
    assert_eq!(processes::kill(&moving.rig.lab, Side::A, QEMU), Ok(1));
    let (code, said) = moving.finish();
    assert_eq!(code, Some(1), "{said}");
    let mut rig = moving.rig;
    assert!(said.contains("the guest is lost"), "{said}");
    assert_eq!((rig.vm("a").as_str(), processes::of(&rig.lab, Side::B, QEMU).len()), ("crashed", 0));
    rig.expect(&["vm", "stop", "vm-a", "--site", "a"], 0);
    assert_eq!(rig.vm("a"), "stopped");
    rig.expect(&["vm", "start", "vm-a", "--site", "a"], 0);
    rig.wait_for("the guest to run again", |rig| rig.vm("a") == "running");
    let (_, observer) = rig.watched();
    assert!(observer.exactly_one(), "{observer:?}");
}

/// The target's disk fills up while the disk is copied: the run fails, says why, removes the copy, lets
/// the answer to the guest's name be kept for as long as before, and the guest stays.
#[test]
fn a_disk_that_fills_up_ends_the_move() {
    let Some(_turn) = shared_turn() else { return };
    let mut rig = Rig::new("mvfull");
    let disks = rig.lab.files().agent(Side::B).join("disks");
    // Gone before the lab, whose folder it lies in.
    let _mounted = Mounted::small(&disks);
    assert_eq!(rig.ttl_seconds(), [NORMAL, None]);
    let mut run = rig.start("run-full");
    rig.wait_for_step(&mut run, "run-full", PREFETCH);
    rig.wait_for("the lowered time", |rig| rig.ttl_seconds() == [LOWERED; 2]);
    let copy = disks.join("vm-a.raw");
    assert!(wait(SOON, || copy.exists()), "there is no copy");
    // The copy grows meanwhile, so what was free a moment ago may be more than there is.
    let filler = File::create(disks.join("filler")).unwrap();
    assert!(wait(SOON, || take_all_but_a_mib(&disks, &filler)), "the disk does not fill up");
    let (code, said) = Rig::finish(run, "run-full");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is full"), "{said}");
    assert!(!copy.exists(), "the copy is left");
    assert_eq!(rig.ttl_seconds(), [NORMAL; 2], "it was not put back");
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

/// A prefetch whose time is up is tried again where it stopped: a disk that takes several timeouts to copy is copied, and
/// crosses the link once.
#[test]
fn a_prefetch_that_is_tried_again_goes_on() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("mvhasty");
    ground.boot(Side::A).unwrap();
    ground.slow(true);
    let crossed = || ground.lab.wan().stats().unwrap().a_to_b.bytes;
    let before = crossed();
    // At this rate the disk takes more than eight seconds.
    let code = ground.start_hasty_move("run-hasty", "3s").wait().unwrap().code();
    let said = ground.said("run-hasty");
    assert_eq!(code, Some(0), "{said}");
    let records = ground.records("run-hasty");
    let of_prefetch = |kind: &str| {
        records.iter().filter(|it| it["kind"] == kind && it["payload"]["step"] == "prefetch").count()
    };
    assert!(of_prefetch("cancel") > 0, "it was never tried again:\n{said}");
    assert_eq!(of_prefetch("start"), of_prefetch("cancel") + 1, "{said}");
    let crossed = crossed() - before;
    assert!(crossed < guest::DISK_BYTES as u64 * 3 / 2, "{crossed} bytes crossed the link");
    ground.counts_on(Side::B);
}

/// A target that has a VM of that name refuses the move, and both go on.
#[test]
fn a_name_that_is_taken_is_refused() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("mvname");
    ground.boot(Side::A).unwrap();
    take_name_at_b(&ground.lab);
    ground.boot(Side::B).unwrap();
    let code = ground.start_move("run-taken", Side::A).wait().unwrap().code();
    let said = ground.said("run-taken");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has a vm vm-a of its own"), "{said}");
    for side in Side::BOTH {
        ground.counts_on(side);
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
