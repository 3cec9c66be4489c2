//! Hosts that are started again: processes and everything that the kernel kept for them are gone, files are there.

use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use longhaul_lab::addresses;
use longhaul_lab::place::{Place, Side};

use super::midway::Midway;
use super::rig::{Rig, turn};
use super::small::processes::{self, DISK_SERVER, QEMU};

/// Kills everything of a site, takes away what its kernel knew, and starts its agent again, as the host's start would.
fn start_again(rig: &Rig, side: Side) {
    rig.kill_agent(side);
    for word in [QEMU, DISK_SERVER] {
        processes::kill(&rig.lab, side, word).unwrap();
    }
    let netns = rig.lab.netns(Place::Site(side));
    let lines = ["nft delete table ip longhaul_edge", "ip link delete lh-edge", "ip link delete lht-vm-a"];
    for line in lines {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        // What the site never had cannot be taken from it.
        command.args(words).stderr(Stdio::null());
        netns.spawn(&mut command).unwrap().wait().unwrap();
    }
    rig.start_agent(side);
}

fn now_unix_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Waits until a request by name that began after now is served at this address.
fn serves_again(rig: &Rig, address: std::net::Ipv4Addr) {
    let now = now_unix_ms();
    rig.wait_for("a request to be served", |rig| {
        let seen = rig.seen();
        seen.served.last().is_some_and(|last| last.address == address && last.last_at_unix_ms > now)
    });
}

/// A VM is away from home. Its home's host is started again: the client that knows it there stays connected. The host where it
/// is is started again: the VM is switched on there, and is found by its name.
#[test]
fn a_vm_away_from_home_is_found_after_a_restart() {
    let Some(_turn) = turn() else { return };
    let rig = Rig::new("mvreboot");
    let (code, said) = Rig::finish(rig.start("run-reboot"), "run-reboot");
    assert_eq!(code, Some(0), "{said}");
    start_again(&rig, Side::A);
    let lines = rig.seen().lines;
    rig.wait_for("more lines", |rig| rig.seen().lines > lines + 50);
    assert!(rig.seen().connection_intact(), "{:?}", rig.seen());

    start_again(&rig, Side::B);
    assert_eq!(rig.vm("b"), "crashed");
    rig.expect(&["vm", "stop", "vm-a", "--site", "b"], 0);
    rig.expect(&["vm", "start", "vm-a", "--site", "b"], 0);
    serves_again(&rig, addresses::GUEST_AT_B);
    rig.expect(&["vm", "start", "vm-a", "--site", "a"], 1);
}

/// The source's host is started again while the memory is copied: the guest is lost, the run ends and says so, and the VM can
/// be switched on again at the source.
#[test]
fn a_source_that_is_started_again_ends_the_move() {
    let Some(_turn) = turn() else { return };
    let mut moving = Midway::of_memory_copy("mvrebooted");
    start_again(&moving.rig, Side::A);
    let (code, said) = moving.finish();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the guest is lost"), "{said}");
    let rig = moving.rig;
    assert_eq!((rig.vm("a").as_str(), processes::of(&rig.lab, Side::B, QEMU).len()), ("crashed", 0));
    rig.expect(&["vm", "stop", "vm-a", "--site", "a"], 0);
    rig.expect(&["vm", "start", "vm-a", "--site", "a"], 0);
    serves_again(&rig, addresses::GUEST);
}
