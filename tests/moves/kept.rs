//! Copies that are made days ahead of a move: kept when the run is over, taken over by the run that moves the VM, and never
//! trusted when nobody knows what they lack.

use std::process::Child;
use std::time::Instant;

use longhaul_agent::facts::Facts;
use longhaul_agent::faults::FaultPoint;
use longhaul_dataplane::disk::Control;
use longhaul_lab::place::Side;
use longhaul_model::Source;
use longhaul_model::units::Size;
use serde_json::Value;

use super::rig::{Rig, shared_turn, turn};
use super::small::disk_server;
use super::small::ground::Ground;
use super::small::guest::{self, DISK_BYTES};
use super::small::processes::{AGENT, DISK_SERVER, QEMU, SOON, wait};

/// Keeps a copy of the whole disk at B.
const KEEP: &str = "
  copy:
    uses: storage.prefetch@1
    with: { vm: vm-a, from: a, to: b, until: { present: 1 }, keep: true }";

/// Takes a copy over, or makes one, for this run alone.
const TAKE: &str = "
  copy:
    uses: storage.prefetch@1
    with: { vm: vm-a, from: a, to: b, until: { present: 1 } }";

/// Fails for good: the VM is not at B.
const FAIL: &str = "
  fail:
    needs: [copy]
    uses: storage.settle@1
    with: { vm: vm-a, from: a, to: b }";

/// Hands the VM over and nothing else.
const HAND_OVER: &str = "
  move_vm:
    uses: vm.move@1
    with: { vm: vm-a, from: a, to: b, max_pause: 300ms }";

/// A lab with a guest that counts, and a copy of its disk at B which no run holds.
fn kept(name: &str) -> Ground {
    let ground = Ground::new(name);
    ground.boot(Side::A).unwrap();
    ends(&ground, "run-keep", KEEP, 0);
    assert_kept(&ground);
    ground
}

/// Runs these steps to their end; what the run printed.
fn ends(ground: &Ground, run: &str, steps: &str, code: i32) -> String {
    ended(ground, ground.start_steps(run, steps), run, code)
}

fn ended(ground: &Ground, mut started: Child, run: &str, code: i32) -> String {
    let ended = started.wait().unwrap().code();
    let said = ground.said(run);
    assert_eq!(ended, Some(code), "{said}");
    said
}

/// Nobody holds the VM, and the copy at B is worth something, is two files, and is served by nobody.
fn assert_kept(ground: &Ground) {
    let copies = ground.copies();
    let [copy] = copies.as_slice() else { panic!("not one copy: {copies:?}") };
    assert_eq!((&copy["site"], &copy["made_by"]), (&"b".into(), &"run-keep".into()), "{copy}");
    assert_eq!((&copy["worth"], &copy["taken_by"]), (&"current".into(), &"".into()), "{copy}");
    assert_eq!(ground.belongings(Side::B), ["vm-a.raw", "vm-a.map"]);
    assert_eq!(ground.processes(Side::B, DISK_SERVER), 0);
    assert_free(ground);
}

fn assert_free(ground: &Ground) {
    let words = ground.words();
    assert!(words.iter().flatten().all(|word| word.moving.is_empty()), "{words:?}");
}

/// Nothing of a copy is anywhere.
fn assert_no_copy(ground: &Ground) {
    assert_eq!((ground.copies(), ground.belongings(Side::B)), (Vec::new(), Vec::new()));
    assert_eq!(disk_server::status(&ground.lab, Side::A).unwrap()["origin"], Value::Null);
    assert_free(ground);
}

/// Moves the VM to B; what the prefetch put out. Every byte has to be there.
fn moves(ground: &Ground, run: &str) -> Value {
    let boots = ground.marks(Side::A).boots;
    ended(ground, ground.start_move(run, Side::A), run, 0);
    ground.counts_on(Side::B);
    assert_eq!(ground.marks(Side::B).boots, boots, "it was booted again");
    assert_eq!(ground.copies(), Vec::<Value>::new(), "it is the VM's disk now");
    prefetched(&ground.records(run))
}

/// The same of a VM whose disk has its first size.
fn moves_whole(ground: &Ground, run: &str) -> Value {
    let put_out = moves(ground, run);
    assert_eq!(guest::differs(&ground.image(Side::B)).unwrap(), None);
    put_out
}

/// What the last prefetch of a run put out.
fn prefetched(records: &[Value]) -> Value {
    let outputs = records.iter().rev().map(|record| &record["payload"]["outputs"]);
    outputs
        .into_iter()
        .find(|outputs| outputs["fetched_bytes"].is_u64())
        .expect("a prefetch was done")
        .clone()
}

fn bytes(put_out: &Value, name: &str) -> u64 {
    put_out[name].as_u64().unwrap_or_else(|| panic!("no {name} in {put_out}"))
}

/// What was kept was used, and little was brought.
fn assert_reused(put_out: &Value) {
    assert!(bytes(put_out, "reused_bytes") > DISK_BYTES as u64 / 2, "{put_out}");
    assert!(bytes(put_out, "fetched_bytes") < DISK_BYTES as u64 / 4, "{put_out}");
    assert_eq!(put_out["discarded"], Value::Null);
}

/// What was kept was thrown away, for this reason, and the disk was brought anew.
fn assert_thrown_away(put_out: &Value, why: &str) {
    assert!(put_out["discarded"].as_str().unwrap_or_default().contains(why), "{put_out}");
    assert_eq!(bytes(put_out, "reused_bytes"), 0);
    // The rest follows the guest.
    assert!(bytes(put_out, "fetched_bytes") >= DISK_BYTES as u64 / 2, "{put_out}");
}

/// Site A goes down as far as the disk is concerned, and comes up again with its disk changed.
fn change_disk(ground: &Ground, change: impl FnOnce()) {
    ground.stop(Side::A);
    for word in [AGENT, DISK_SERVER] {
        assert_eq!(ground.kill(Side::A, word), Ok(1));
    }
    change();
    ground.start_agent(Side::A).unwrap();
    ground.boot(Side::A).unwrap();
}

/// A real guest's disk is copied ahead; the guest goes on writing, its run is over and holds nothing; the run that moves it takes
/// the copy over, brings a small part of the disk, and every byte arrives.
#[test]
fn a_disk_is_copied_ahead_of_a_move() {
    let Some(_turn) = turn() else { return };
    let mut rig = Rig::new("mvahead");
    let shipped = |name: &str| format!("{}/../workflows/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let sites = ["--input", "from=a", "--input", "to=b"];
    let ahead = shipped("prefetch-only");
    let ahead = ["run", &ahead, "--id", "run-ahead", "--input", "vms=[\"vm-a\"]"];
    rig.expect(&[&ahead[..], &sites].concat(), 0);
    let before = prefetched(&rig.records("run-ahead"));
    let copies = |rig: &Rig| {
        let output = rig.longhaul(&["vm", "copies", "vm-a", "--json"]).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()
    };
    rig.wait_for("the guest to write", |rig| copies(rig)[0]["lacking_bytes"].as_u64() > Some(0));
    assert_eq!((rig.vm("a").as_str(), rig.vm("b").as_str()), ("running", "copy"));
    let written = rig.lab.guest().verify().unwrap();
    assert!(written.good(), "{written:?}");

    let one = shipped("move-one");
    rig.expect(&[&["run", &one, "--id", "run-one", "--input", "vm=vm-a"], &sites[..]].concat(), 0);
    let records = rig.records("run-one");
    let after = prefetched(&records);
    let allocated = bytes(&after, "allocated_bytes");
    assert!(bytes(&before, "fetched_bytes") >= allocated / 2, "{before}");
    assert!(bytes(&after, "reused_bytes") > allocated / 2, "{after}");
    assert!(bytes(&after, "fetched_bytes") < allocated / 4, "{after}");
    let proven = records.iter().any(|record| record["payload"]["outputs"]["proof_ok"] == true);
    assert!(proven, "no byte was compared");
    assert_eq!(copies(&rig), Value::Array(Vec::new()));
    rig.assert_moved();
}

/// A copy stays worth what it was when everything around it dies and comes back; another run that keeps it brings what was
/// written since; the move uses it.
#[test]
fn a_copy_outlives_agents_and_disk_servers() {
    let Some(_turn) = shared_turn() else { return };
    let ground = kept("kpout");
    for side in Side::BOTH {
        assert_eq!(ground.kill(side, AGENT), Ok(1));
        ground.start_agent(side).unwrap();
    }
    assert_eq!(ground.kill(Side::A, DISK_SERVER), Ok(1));
    ground.counts_on(Side::A);
    assert_kept(&ground);
    ends(&ground, "run-again", KEEP, 0);
    assert_reused(&prefetched(&ground.records("run-again")));
    assert_kept(&ground);
    ground.counts_on(Side::A);
    assert_reused(&moves_whole(&ground, "run-move"));
}

/// The VM may be switched off and on while a copy of its disk is kept: what it writes is counted.
#[test]
fn a_vm_that_is_switched_on_again_is_counted_for() {
    let Some(_turn) = shared_turn() else { return };
    let ground = kept("kpboot");
    ground.stop(Side::A);
    ground.boot(Side::A).unwrap();
    assert_kept(&ground);
    assert_reused(&moves_whole(&ground, "run-move"));
}

/// A copy whose source has lost count of the writes is thrown away, and the move says so and brings the whole disk.
#[test]
fn a_copy_that_nobody_counted_for_is_thrown_away() {
    let Some(_turn) = shared_turn() else { return };
    let ground = kept("kplost");
    // As a host that is started anew loses it.
    change_disk(&ground, || {
        std::fs::remove_file(ground.image(Side::A).with_extension("map")).unwrap();
    });
    assert_eq!(ground.copies()[0]["worth"], "worthless");
    assert_thrown_away(&moves_whole(&ground, "run-move"), "has not counted");
}

/// A copy of a disk that has another size now is thrown away, and the disk arrives as it is.
#[test]
fn a_copy_of_a_resized_disk_is_thrown_away() {
    let Some(_turn) = shared_turn() else { return };
    let ground = kept("kpsize");
    let size = 2 * DISK_BYTES as u64;
    let home = ground.lab.files().agent(Side::A);
    change_disk(&ground, || {
        let image = std::fs::File::options().write(true).open(ground.image(Side::A)).unwrap();
        image.set_len(size).unwrap();
        std::fs::remove_file(ground.image(Side::A).with_extension("map")).unwrap();
        std::fs::remove_file(home.join("run/vm-a/disk-server.json")).unwrap();
        let file = home.join("vms/vm-a.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut vm = longhaul_model::parse_vm(&Source::new("vm-a.yaml", &text)).unwrap();
        vm.disk.size = Size::from_bytes(size);
        std::fs::write(file, vm.to_yaml()).unwrap();
    });
    assert_thrown_away(&moves(&ground, "run-move"), &format!("has {size} now"));
    assert_eq!(std::fs::metadata(ground.image(Side::B)).unwrap().len(), size);
}

/// A site to which the disk was copied since has a dirty map of its own: the copy of before is thrown away. Here the third site
/// is a word in the source's facts.
#[test]
fn a_copy_is_thrown_away_when_another_site_has_the_map() {
    let Some(_turn) = shared_turn() else { return };
    let ground = kept("kpother");
    assert_eq!(ground.kill(Side::A, AGENT), Ok(1));
    let facts = Facts::open(&ground.lab.files().agent(Side::A).join("agent.db")).unwrap();
    facts.copied_to_keep(&"vm-a".parse().unwrap(), &"run-c".parse().unwrap(), "c").unwrap();
    drop(facts);
    ground.start_agent(Side::A).unwrap();
    assert_eq!(ground.copies()[0]["worth"], "worthless");
    assert_thrown_away(&moves_whole(&ground, "run-move"), "was copied to another site");
}

/// A run that dies when its copy is kept and it has not said so finds it kept when it goes on, also if another run has taken the
/// VM since. Here the other one is a word in the target's facts.
#[test]
fn what_was_kept_before_is_told() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("kptold");
    ground.boot(Side::A).unwrap();
    ground.gate.hold([FaultPoint::CopyKept]);
    let mut run = ground.start_steps("run-keep", KEEP);
    let ended_early = || !matches!(run.try_wait(), Ok(None));
    assert!(ground.gate.wait(FaultPoint::CopyKept, Instant::now() + SOON, ended_early));
    assert_eq!(ground.kill(Side::B, AGENT), Ok(1));
    let (vm, other) = ("vm-a".parse().unwrap(), "run-other".parse().unwrap());
    let facts = Facts::open(&ground.lab.files().agent(Side::B).join("agent.db")).unwrap();
    facts.moving_take(&vm, &other, "elsewhere (pid 1)").unwrap();
    drop(facts);
    ground.gate.release_all();
    ground.start_agent(Side::B).unwrap();
    ended(&ground, run, "run-keep", 0);
    let put_out = prefetched(&ground.records("run-keep"));
    assert_eq!(bytes(&put_out, "present_bytes"), bytes(&ground.copies()[0], "present_bytes"));
    assert_eq!(bytes(&put_out, "reused_bytes"), bytes(&put_out, "present_bytes"));
}

/// Of two runs that want a copy one gets it and the other is refused by its name; so is whoever throws it away meanwhile.
#[test]
fn a_copy_is_taken_over_by_one_run() {
    let Some(_turn) = shared_turn() else { return };
    let ground = kept("kptwo");
    ground.gate.hold([FaultPoint::CopyTaken]);
    let mut first = ground.start_steps("run-first", KEEP);
    let ended_early = || !matches!(first.try_wait(), Ok(None));
    assert!(ground.gate.wait(FaultPoint::CopyTaken, Instant::now() + SOON, ended_early));
    assert_eq!(ground.copies()[0]["taken_by"], "run-first");
    let (code, second) = ground.run_steps_elsewhere("run-second", TAKE);
    assert_eq!(code, Some(1), "{second}");
    let third = ground.types(&["vm", "discard", "vm-a", "--site", "b"], 1);
    [second, third].iter().for_each(|said| assert!(said.contains("run-first"), "{said}"));
    ground.gate.release_all();
    ended(&ground, first, "run-first", 0);
    assert_kept(&ground);
    assert_reused(&moves_whole(&ground, "run-move"));
}

/// Undoing the run that made a copy takes it away, undoing one that took it over leaves it, and so does a hand-over that
/// is refused.
#[test]
fn an_undoing_leaves_what_was_there_before() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("kpundo");
    ground.boot(Side::A).unwrap();
    ends(&ground, "run-made", &format!("{KEEP}{FAIL}"), 1);
    assert_no_copy(&ground);
    ends(&ground, "run-keep", KEEP, 0);
    for (run, steps) in [("run-took", TAKE), ("run-kept-on", KEEP)] {
        ends(&ground, run, &format!("{steps}{FAIL}"), 1);
        assert_kept(&ground);
    }
    ground.gate.hold([FaultPoint::TargetLoaded]);
    let mut stays = ground.start_move("run-stays", Side::A);
    let ended_early = || !matches!(stays.try_wait(), Ok(None));
    assert!(ground.gate.wait(FaultPoint::TargetLoaded, Instant::now() + SOON, ended_early));
    assert_eq!(ground.kill(Side::B, QEMU), Ok(1));
    ground.gate.release_all();
    ended(&ground, stays, "run-stays", 1);
    assert_kept(&ground);
    ground.counts_on(Side::A);
    assert_reused(&moves_whole(&ground, "run-move"));
}

/// A copy that is kept is started by nobody, takes no guest in that comes without its disk, and is gone when it is thrown away.
#[test]
fn a_kept_copy_never_runs() {
    let Some(_turn) = shared_turn() else { return };
    let ground = kept("kpnever");
    ground.types(&["vm", "start", "vm-a", "--site", "b"], 1);
    let said = ends(&ground, "run-bare", HAND_OVER, 1);
    assert!(said.contains("a copy of its disk at site a is kept here"), "{said}");
    assert_eq!(ground.processes(Side::B, QEMU), 0);
    ground.counts_on(Side::A);
    assert_kept(&ground);
    let said = ground.types(&["vm", "discard", "vm-a", "--site", "b"], 0);
    assert!(said.contains("are free at site b"), "{said}");
    assert_no_copy(&ground);
    let said = ground.types(&["vm", "discard", "vm-a", "--site", "b"], 1);
    assert!(said.contains("keeps no copy"), "{said}");
    assert!(wait(SOON, || ground.processes(Side::A, QEMU) == 1));
    let put_out = moves_whole(&ground, "run-move");
    assert_eq!(bytes(&put_out, "reused_bytes"), 0);
}

/// A hand-over is refused onto a copy that was fetched under another dirty map than the one that would give the last round: what
/// was written between the two is counted by neither. Here the map is begun anew while the run waits; the guest goes on at home.
#[test]
fn a_copy_of_another_map_is_not_moved_onto() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("kpmap");
    ground.boot(Side::A).unwrap();
    let go = "\n  later: { needs: [copy], wait: { signal: later } }";
    let hand_over = HAND_OVER.replace("uses: vm.move@1", "needs: [later]\n    uses: vm.move@1");
    let mut run = ground.start_steps("run-late", &format!("{TAKE}{go}{hand_over}"));
    let asks = || run.try_wait().unwrap().is_some() || ground.said("run-late").contains("waits for signal");
    assert!(wait(SOON, asks) && run.try_wait().unwrap().is_none(), "{}", ground.said("run-late"));
    let socket = ground.lab.files().agent(Side::A).join("run/vm-a/control.sock");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut disk = Control::connect(&socket).await.unwrap();
        disk.close_origin().await.unwrap();
        disk.open_origin().await.unwrap();
    });
    ground.types(&["signal", "run-late", "later"], 0);
    let said = ended(&ground, run, "run-late", 1);
    assert!(said.contains("began to count its writes anew"), "{said}");
    ground.counts_on(Side::A);
    assert_no_copy(&ground);
}
