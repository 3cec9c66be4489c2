//! A controller that is lost with its disk, and the one that goes on from what a site has kept.

use std::process::Output;

use super::midway::{MOVE, Midway};
use super::rig::{shared_turn, state};
use crate::records::started_after_done;

/// The controller dies in the middle of the memory copy, and its disk is gone. From the records that the target's agent has kept a
/// controller in another directory finishes the move: nothing that was done is done again, and the first controller, should its
/// disk come back, has no say any more.
#[test]
fn a_lost_controller_is_followed_by_another() {
    let Some(_turn) = shared_turn() else { return };
    // What an earlier run of this test has left of the other controller.
    let _ = std::fs::remove_dir_all(state().join("mvadopt-b"));
    let mut moving = Midway::of_mirrored_memory_copy("mvadopt");
    moving.kill_controller();
    let disk = state().join("mvadopt/controller");
    let away = state().join("mvadopt-away");
    let _ = std::fs::remove_dir_all(&away);
    std::fs::rename(&disk, &away).unwrap();
    moving.gate.release_all();
    let mut rig = moving.rig;

    let nowhere = rig.adopt("mvadopt-b", "mvadopt-other").output().unwrap();
    assert!(said(&nowhere).contains("site b keeps no records of run mvadopt-other"), "{}", said(&nowhere));
    let adopted = rig.adopt("mvadopt-b", "mvadopt").output().unwrap();
    assert_eq!(adopted.status.code(), Some(0), "{}", said(&adopted));
    assert!(said(&adopted).contains("records from site b, running"), "{}", said(&adopted));
    rig.assert_moved();
    let records = rig.records_of("mvadopt-b", "mvadopt");
    assert_eq!(started_after_done(&records), Vec::<String>::new(), "started although it was done");
    // The pivot's record was at the target before the pivot began: the next controller knew of it, and only ever asked for that one.
    let starts = records.iter().filter(|it| it["kind"] == "start" && it["payload"]["step"] == MOVE);
    let starts: Vec<_> = starts.map(|it| (it["seq"].as_u64(), &it["payload"]["attempt"])).collect();
    let resumed = records.iter().find(|it| it["kind"] == "run_resumed").and_then(|it| it["seq"].as_u64());
    assert!(starts[0].0 < resumed, "{starts:?}, {resumed:?}");
    assert!(starts.iter().all(|(_, attempt)| **attempt == 1), "{starts:?}");

    std::fs::rename(&away, &disk).unwrap();
    let first = rig.longhaul(&["resume", "mvadopt"]).output().unwrap();
    assert_ne!(first.status.code(), Some(0), "{}", said(&first));
    assert!(said(&first).contains("was taken over by "), "{}", said(&first));
    assert_eq!(rig.vm("b"), "running");
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat()
}
