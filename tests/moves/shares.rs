//! Copies that keep to what their run gives them of the link.

use longhaul_lab::place::Side;
use serde_json::Value;

use super::rig::shared_turn;
use super::small::disk_server;
use super::small::ground::Ground;
use super::small::processes::{AGENT, DISK_SERVER, SOON, wait};

/// A copy that takes what a measurement of the link leaves, and all of it afterwards: half a minute for the small disk.
const STEPS: &str = "
  copy:
    uses: storage.prefetch@1
    with: { vm: vm-a, from: a, to: b, until: { present: 1 } }
    claims: { wan: elastic }

  measure:
    uses: wan.tunnel@1
    with: { from: a, to: b }
    claims: { wan: 300kbit/s }

resources:
  wan: { kind: bandwidth, between: [a, b], capacity: 1Mbit/s }";

/// What the record of this kind gives the copy of the link, once there is one.
fn given(ground: &Ground, run: &str, kind: &str) -> Option<u64> {
    let records = ground.records(run);
    let of_copy = |record: &&Value| record["kind"] == kind && record["payload"]["step"] == "copy";
    records.iter().rev().find(of_copy)?["payload"]["claims"]["wan"].as_u64()
}

/// What the target's disk server says that its fill may ask for; `None` where none answers.
fn kept_to(ground: &Ground) -> Option<u64> {
    disk_server::status(&ground.lab, Side::B)?["fill"]["bits_per_second_max"].as_u64()
}

/// The copy is held to the share that its run's record names, and to the greater one that the next record names; also when its disk
/// server and its agent are started anew. Undone, nothing of it is left.
#[test]
fn a_copy_keeps_to_its_share() {
    let Some(_turn) = shared_turn() else { return };
    let ground = Ground::new("kpshare");
    ground.boot(Side::A).unwrap();
    let run = "run-share";
    let mut running = ground.start_steps(run, STEPS);
    assert!(wait(SOON, || given(&ground, run, "share").is_some()), "{}", ground.said(run));
    let (began, told) = (given(&ground, run, "start"), given(&ground, run, "share"));
    assert_eq!((began, told), (Some(700_000), Some(1_000_000)));
    assert!(wait(SOON, || kept_to(&ground) == told), "{:?}", kept_to(&ground));

    assert_eq!(ground.kill(Side::B, DISK_SERVER), Ok(1));
    assert!(wait(SOON, || kept_to(&ground) == told), "a new disk server: {:?}", kept_to(&ground));
    for word in [AGENT, DISK_SERVER] {
        assert_eq!(ground.kill(Side::B, word), Ok(1));
    }
    ground.start_agent(Side::B).unwrap();
    assert!(wait(SOON, || kept_to(&ground) == told), "a new agent: {:?}", kept_to(&ground));

    ground.types(&["cancel", run], 0);
    assert_eq!(running.wait().unwrap().code(), Some(1), "{}", ground.said(run));
    assert_eq!(ground.belongings(Side::B), Vec::<String>::new());
    ground.counts_on(Side::A);
}
