//! Moves that are disturbed, and their undisturbed opposite: kills, cuts, collisions, there and back.

use std::time::Duration;

use longhaul_agent::faults::FaultPoint;
use longhaul_lab::place::Side;

use super::midway::{MOVE, Midway, PREFETCH};
use super::rig::{Rig, shared_turn, state, turn};
use super::small::processes::{self, QEMU};
use crate::records::started_after_done;

/// How often `workflows/evacuate.yaml` tries a step.
const ATTEMPTS: usize = 4;

/// The controller is killed in the middle of the memory copy; `resume` finishes the move, no finished step runs again, and
/// `replay` prints the lines of both controllers again and writes both forms of the report again byte for byte.
#[test]
fn a_killed_controller_resumes() {
    let Some(_turn) = shared_turn() else { return };
    let mut moving = Midway::of_memory_copy("mvkill");
    moving.kill_controller();
    moving.assert_midway();
    moving.gate.release_all();
    let mut rig = moving.rig;
    let resumed = printed(&rig, &["resume", "mvkill"]);
    rig.assert_moved();
    let again = started_after_done(&rig.records("mvkill"));
    assert_eq!(again, Vec::<String>::new(), "started although it was done");
    let reports = ["html", "txt"].map(|form| state().join(format!("mvkill/reports/mvkill.{form}")));
    let written = reports.clone().map(|report| std::fs::read(report).unwrap());
    reports.iter().for_each(|report| std::fs::remove_file(report).unwrap());
    let replayed = printed(&rig, &["replay", "mvkill"]);
    for (report, written) in reports.iter().zip(written) {
        assert!(std::fs::read(report).unwrap() == written, "{} differs when replayed", report.display());
    }
    let killed = std::fs::read_to_string(state().join("mvkill.log")).unwrap();
    let killed: String = killed.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    assert!(
        killed.contains("move/vm-a/move_vm: vm.move@1") && replayed.starts_with(&killed),
        "{killed}\n{replayed}"
    );
    assert!(
        resumed.contains("run mvkill: succeeded") && replayed.ends_with(&resumed),
        "{resumed}\n{replayed}"
    );
}

/// What a command that goes well prints as data.
fn printed(rig: &Rig, arguments: &[&str]) -> String {
    let output = rig.longhaul(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A second run for a VM that is already moving is refused and names the first; the first is not disturbed.
#[test]
fn a_second_run_is_refused_by_name() {
    let Some(_turn) = shared_turn() else { return };
    let mut rig = Rig::new("mvtwice");
    let mut first = rig.start("run-first");
    rig.wait_for_step(&mut first, "run-first", PREFETCH);
    let (code, said) = Rig::finish(rig.start_of("mvtwice-other", "run-second"), "run-second");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("run-first"), "{said}");
    let (code, said) = Rig::finish(first, "run-first");
    assert_eq!(code, Some(0), "{said}");
    rig.assert_moved();
}

/// A cut of twenty seconds during the memory copy costs time and nothing else.
#[test]
fn a_cut_during_the_memory_copy_heals() {
    let Some(_turn) = shared_turn() else { return };
    cut(&mut Midway::of_memory_copy("mvcutmem"));
}

/// A cut of twenty seconds during the prefetch costs time and nothing else.
#[test]
fn a_cut_during_the_prefetch_heals() {
    let Some(_turn) = shared_turn() else { return };
    cut(&mut Midway::of_prefetch("mvcutpre"));
}

fn cut(moving: &mut Midway) {
    let met = moving.rig.cut_drops();
    moving.rig.lab.cut().unwrap();
    moving.gate.release_all();
    // The length of the cut is what is tested; nothing signals its end.
    std::thread::sleep(Duration::from_secs(20));
    assert!(moving.rig.cut_drops() > met, "nothing met the cut");
    moving.assert_midway();
    moving.rig.lab.heal().unwrap();
    moving.succeed();
}

/// The target's agent dies during the prefetch and comes back: the fill goes on where it was.
#[test]
fn a_killed_target_agent_goes_on_with_the_prefetch() {
    let Some(_turn) = shared_turn() else { return };
    kill_agent(&mut Midway::of_prefetch("mvagb"), Side::B);
}

/// The source's agent dies during the memory copy and comes back: the guest was never stopped, and moves in the end.
#[test]
fn a_killed_source_agent_takes_the_move_up() {
    let Some(_turn) = shared_turn() else { return };
    kill_agent(&mut Midway::of_memory_copy("mvaga"), Side::A);
}

fn kill_agent(moving: &mut Midway, side: Side) {
    moving.rig.kill_agent(side);
    moving.assert_midway();
    moving.rig.start_agent(side);
    moving.succeed();
}

/// The guest dies at the target right after the hand-over, and with it the agent there, whom the source then asks how the guest
/// is: the source asks until there is an answer, says that the memory was lost, and makes up no figure. Every step gets done, and
/// yet the run ends as one that leaves something to a person.
#[test]
fn a_silent_target_is_asked_again() {
    let Some(_turn) = shared_turn() else { return };
    let mut moving = Midway::held("mvsilent", FaultPoint::SourceQuit);
    moving.rig.kill_agent(Side::B);
    assert_eq!(processes::kill(&moving.rig.lab, Side::B, QEMU), Ok(1));
    moving.gate.release_all();
    moving.rig.start_agent(Side::B);
    let (code, said) = moving.finish();
    assert_eq!(code, Some(6), "{said}");
    let records = moving.rig.records(moving.name());
    let done = |record: &&serde_json::Value| record["kind"] == "done" && record["payload"]["step"] == MOVE;
    let outputs = &records.iter().find(done).expect("the move was recorded")["payload"]["outputs"];
    assert_eq!(outputs["memory_lost"], true, "{outputs}");
    // The new agent may be asked before it has looked at the disk; then it does not know.
    assert_ne!(outputs["allocated_bytes"], 0, "{outputs}");
}

/// The target's disk has too little space beside its reserve: the first step says what is free, kept and needed, nothing
/// after it begins, and the guest stays.
#[test]
fn a_target_without_space_is_refused() {
    let Some(_turn) = shared_turn() else { return };
    let mut rig = Rig::new("mvspace");
    rig.demand_reserve(Side::B, "900TiB");
    let (code, said) = Rig::finish(rig.start("run-space"), "run-space");
    assert_eq!(code, Some(1), "{said}");
    let reserve = 900 << 20;
    assert!(said.contains(&format!("keeps {reserve} MiB of that in reserve (disk_reserve): ")), "{said}");
    assert!(said.contains(" MiB free for disks") && said.contains(" MiB of disk are needed"), "{said}");
    assert_eq!(rig.step("run-space", "preflight"), "failed");
    assert_eq!(rig.step("run-space", "tunnel"), "waiting");
    assert!(!said.contains("tunnel: wan.tunnel@1"), "{said}");
    rig.assert_stayed();
}

/// A guest that was moved away goes home again over the same connection of its client.
#[test]
fn a_guest_goes_there_and_back() {
    let Some(_turn) = turn() else { return };
    let mut rig = Rig::new("mvback");
    let (code, said) = Rig::finish(rig.start("run-there"), "run-there");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(rig.runs_at(), Some(Side::B));
    let (code, said) = Rig::finish(rig.start_back("run-back"), "run-back");
    assert_eq!(code, Some(0), "{said}");
    let [there, back] = ["run-there", "run-back"].map(|run| carried_bytes(&rig.records(run)));
    // The agents, and with them their tunnel, are the same; the way back brings more of the disk.
    assert!(back > there / 2 && back < there * 3 / 2, "{there} bytes there, {back} back");
    rig.assert_stayed();
}

/// What the tunnel carried for a run, as its last step counts it.
fn carried_bytes(records: &[serde_json::Value]) -> u64 {
    let kinds = records.iter().rev().find_map(|record| record["payload"]["outputs"]["wire"].as_array());
    kinds.unwrap().iter().map(|kind| kind["wire_bytes"].as_u64().unwrap()).sum()
}

/// A guest whose writes nobody counts for the target is not moved, nor is one whose disk is not all where it runs: the step says what
/// has to come first, no packet is lost for it, and the guest stays where it is.
#[test]
fn a_guest_is_not_moved_without_its_disk() {
    let Some(_turn) = shared_turn() else { return };
    let mut rig = Rig::new("mvbare");
    let said = run_of(&rig, "bare", &[&move_to(Side::B)], 1);
    assert!(said.contains("run a storage.prefetch step to b before the move"), "{said}");
    assert_eq!(rig.runs_at(), Some(Side::A));
    let copy = "  copy:\n    uses: storage.prefetch@1\n    with: { vm: vm-a, from: a, to: b, until: { present: 0.85 } }";
    let there = format!("{}\n    needs: [copy]", move_to(Side::B));
    let back = format!("{}\n    needs: [to_b]", move_to(Side::A));
    let said = run_of(&rig, "home", &[copy, &there, &back], 6);
    assert!(said.contains("let a storage.settle step at site b end first"), "{said}");
    assert_eq!(rig.runs_at(), Some(Side::B));
    counts_on(&rig);
    let (client, observer) = rig.watched();
    assert!(observer.exactly_one(), "{observer:?}");
    assert!(client.connection_intact(), "{client:?}");
}

fn move_to(side: Side) -> String {
    let (from, to) = (side.other(), side);
    let [from, to] = [from.as_str(), to.as_str()];
    format!(
        "  to_{to}:\n    uses: vm.move@1\n    with: {{ vm: vm-a, from: {from}, to: {to}, max_pause: 300ms }}"
    )
}

/// Runs a workflow of these steps, and says what the run printed.
fn run_of(rig: &Rig, name: &str, steps: &[&str], code: i32) -> String {
    let head = format!("apiVersion: longhaul/v1\nkind: Workflow\nname: {name}\nversion: 1.0.0\nsteps:\n");
    let file = state().join(format!("mv{name}.yaml"));
    std::fs::write(&file, format!("{head}{}\n", steps.join("\n"))).unwrap();
    rig.expect(&["run", file.to_str().unwrap(), "--id", name], code)
}

/// A guest that was moved away stays where it is when nothing comes of its way back: its client, who found it at its home,
/// stays connected while its memory is copied, after every refused attempt, and when all is undone.
#[test]
fn a_refused_way_back_keeps_the_connection() {
    let Some(_turn) = shared_turn() else { return };
    let mut back = Midway::held_on_the_way_back("mvrefused", FaultPoint::TargetLoading);
    for attempt in 1.. {
        counts_on(&back.rig);
        assert_eq!(processes::kill(&back.rig.lab, Side::A, QEMU), Ok(1));
        if attempt == ATTEMPTS {
            break;
        }
        back.gate.hold([FaultPoint::TargetLoading]);
        back.reach(FaultPoint::TargetLoading);
    }
    let (code, said) = back.finish();
    assert_eq!(code, Some(1), "{said}");
    counts_on(&back.rig);
    back.rig.assert_moved();
}

/// The client's connection brings more lines than are on their way.
fn counts_on(rig: &Rig) {
    let lines = rig.seen().lines;
    rig.wait_for("more lines", |rig| rig.seen().lines > lines + 50);
}
