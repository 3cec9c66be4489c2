//! Moves that are in the middle of a step when something is done to them: bytes are on their way, and not all are there.

use std::process::Child;
use std::time::Instant;

use super::rig::{MOVE_MAX, Rig, state};
use super::small::disk_server;
use super::small::gate::Gate;
use longhaul_agent::faults::FaultPoint;
use longhaul_lab::Lab;
use longhaul_lab::place::Side;

/// The step in which the disk is copied.
pub(super) const PREFETCH: &str = "move/vm-a/prefetch";
/// The step in which the guest's memory is copied and the guest handed over.
pub(super) const MOVE: &str = "move/vm-a/move_vm";

/// A move in the middle of a step.
pub(super) struct Midway {
    pub(super) gate: Gate,
    pub(super) rig: Rig,
    run: Child,
    name: String,
    step: &'static str,
}

impl Midway {
    /// Blocks of the disk have come to the target, and more are missing than may be.
    pub(super) fn of_prefetch(lab: &str) -> Self {
        let mut moving = Self::start(ground(lab), PREFETCH, None);
        let Self { rig, run, .. } = &mut moving;
        rig.wait_for_step(run, lab, PREFETCH);
        rig.wait_for("blocks at the target", |rig| fetched_bytes(&rig.lab).is_some_and(|bytes| bytes > 0));
        moving.assert_midway();
        moving
    }

    /// The target has given its QEMU the first of the guest's memory, and is held there until it is let go.
    pub(super) fn of_memory_copy(lab: &str) -> Self {
        Self::held(lab, FaultPoint::TargetLoading)
    }

    /// The same of a run whose records are kept at both sites.
    pub(super) fn of_mirrored_memory_copy(lab: &str) -> Self {
        let (gate, rig) = ground(lab);
        gate.hold([FaultPoint::TargetLoading]);
        let name = rig.lab.name().to_string();
        let mut moving = Self { run: rig.start_mirrored(&name), gate, rig, name, step: MOVE };
        moving.reach(FaultPoint::TargetLoading);
        moving
    }

    /// An agent is held at a point of the hand-over until it is let go.
    pub(super) fn held(lab: &str, point: FaultPoint) -> Self {
        let mut moving = Self::start(ground(lab), MOVE, Some(point));
        moving.reach(point);
        moving
    }

    /// The same of a guest that has moved, and moves back.
    pub(super) fn held_on_the_way_back(lab: &str, point: FaultPoint) -> Self {
        let mut there = Self::start(ground(lab), MOVE, None);
        let (code, said) = there.finish();
        assert_eq!(code, Some(0), "{said}");
        let Self { gate, rig, .. } = there;
        gate.hold([point]);
        let name = format!("{lab}-back");
        let mut back = Self { run: rig.start_back(&name), gate, rig, name, step: MOVE };
        back.reach(point);
        back
    }

    /// Waits until an agent is held at the point.
    pub(super) fn reach(&mut self, point: FaultPoint) {
        let Self { gate, run, .. } = self;
        let ended = || !matches!(run.try_wait(), Ok(None));
        assert!(gate.wait(point, Instant::now() + MOVE_MAX, ended), "{} was not reached", point.name());
        self.assert_midway();
    }

    fn start((gate, rig): (Gate, Rig), step: &'static str, held: Option<FaultPoint>) -> Self {
        gate.hold(held);
        let name = rig.lab.name().to_string();
        Self { run: rig.start(&name), gate, rig, name, step }
    }

    /// The run.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The step is not over.
    pub(super) fn assert_midway(&self) {
        assert_eq!(self.rig.step(self.name(), self.step), "running", "{}", self.step);
    }

    /// Kills the controller.
    pub(super) fn kill_controller(&mut self) {
        self.run.kill().unwrap();
        self.run.wait().unwrap();
    }

    /// Lets the agent go that is held, and waits for the run's end: its exit code and all it printed.
    pub(super) fn finish(&mut self) -> (Option<i32>, String) {
        self.gate.release_all();
        let code = self.run.wait().unwrap().code();
        (code, Rig::said(self.name()))
    }

    /// The same of a run that has to succeed.
    pub(super) fn succeed(&mut self) {
        let (code, said) = self.finish();
        assert_eq!(code, Some(0), "{said}");
        self.rig.assert_moved();
    }
}

/// A lab whose agents tell the points of a move, and the gate that they tell them to.
fn ground(lab: &str) -> (Gate, Rig) {
    let path = state().join(format!("{lab}.gate"));
    let rig = Rig::with_arguments(lab, vec!["--fault-points".into(), path.clone().into()]);
    (Gate::open(&path), rig)
}

/// What the fill has brought to the target, in the word of its disk server; `None` before there is one.
fn fetched_bytes(lab: &Lab) -> Option<u64> {
    disk_server::status(lab, Side::B)?["fill"]["fetched_bytes"].as_u64()
}
