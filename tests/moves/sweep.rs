//! The fault sweep: at every point of a move, everything that can die dies, and the link is cut.
//!
//! ```text
//!  for every fault:   two labs with a fast link and a guest of a few hundred bytes
//!    for every point: a run moves the VM from where it is; held at the point; the fault; let go; healed
//!                     what became of it, against docs/reference/fault-points.md; the next point moves it on from there
//! ```
//!
//! Judged from outside: one copy runs at most, at every instant; the facts of both sites name one owner; the disk is what it
//! has to be, with what the guest wrote into blocks that were absent; nothing is left behind; the next move works.

mod case;
mod fault;
mod table;

use std::collections::BTreeSet;

use longhaul_agent::faults::FaultPoint;

use self::case::Sweep;
use self::fault::Fault;
use super::rig::shared_turn;

macro_rules! sweeps {
    ($($(#[$doc:meta])* $test:ident is $fault:ident in $lab:literal;)*) => {
        $($(#[$doc])* #[test] fn $test() { sweep(Fault::$fault, $lab); })*
    };
}

sweeps! {
    /// The source's agent is killed with kill -9 and started again.
    the_source_agent_dies_at_every_point is SourceAgent in "swsa";
    /// The target's agent is killed and started again.
    the_target_agent_dies_at_every_point is TargetAgent in "swta";
    /// The controller is killed and its run resumed.
    the_controller_dies_at_every_point is Controller in "swco";
    /// The QEMU that the guest leaves is killed.
    the_source_qemu_dies_at_every_point is SourceQemu in "swsq";
    /// The QEMU that takes the guest in is killed.
    the_target_qemu_dies_at_every_point is TargetQemu in "swtq";
    /// The disk server at the source is killed; the agent has to start it again.
    the_source_disk_server_dies_at_every_point is SourceDiskServer in "swsd";
    /// The disk server at the target is killed; the agent has to start it again.
    the_target_disk_server_dies_at_every_point is TargetDiskServer in "swtd";
    /// The link is cut until packets are lost, then healed.
    the_link_is_cut_at_every_point is LinkCut in "swcut";
}

/// Visits every point with one fault, half of them in each of two labs, and reports all mismatches together.
fn sweep(fault: Fault, lab: &str) {
    let Some(_turn) = shared_turn() else { return };
    let halves = FaultPoint::ALL.split_at(FaultPoint::ALL.len() / 2);
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| visit_all(halves.1, fault, &format!("{lab}2")));
        (visit_all(halves.0, fault, &format!("{lab}1")), second.join().unwrap())
    });
    let reached: BTreeSet<_> = first.reached.into_iter().chain(second.reached).collect();
    let mismatches = [first.mismatches, second.mismatches].concat();
    let missing = FaultPoint::ALL.iter().filter(|point| !reached.contains(point));
    let missing: Vec<_> = missing.map(|point| point.name()).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}; mismatches:\n{}", mismatches.join("\n"));
    assert!(mismatches.is_empty(), "{} mismatches:\n{}", mismatches.len(), mismatches.join("\n"));
}

/// What came of some of the points.
#[derive(Default)]
struct Visited {
    reached: BTreeSet<FaultPoint>,
    mismatches: Vec<String>,
}

fn visit_all(points: &[FaultPoint], fault: Fault, lab: &str) -> Visited {
    let mut sweep = Sweep::new(lab);
    let Visited { mut reached, mut mismatches } = Visited::default();
    for point in points.iter().copied() {
        let seen = sweep.visit(point, fault);
        reached.extend(seen.reached);
        mismatches.extend(seen.mismatches.into_iter().map(|what| format!("{}: {what}", point.name())));
        if seen.is_unusable {
            drop(sweep);
            sweep = Sweep::new(lab);
        }
    }
    mismatches.extend(sweep.counts_on().err());
    Visited { reached, mismatches }
}
