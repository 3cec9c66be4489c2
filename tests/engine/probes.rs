//! A step's own probe, carried out by the driver.

use longhaul_run::Ended;
use longhaul_saga::Status;
use serde_json::{Value, json};

use super::toy::{Rig, plan, step};

/// A step whose action says nothing of its effect, and a look at the world instead.
fn mute(script: &[&str]) -> Value {
    let mut step = step("reserve", &[], script);
    let action = &mut step["body"]["action"];
    action["with"]["mute"] = json!(true);
    action["probe"] = json!({
        "uses": "toy.look@1", "with": { "file": "reserve" },
        "done": "${{ found.there }}", "absent": "${{ !found.there }}", "outputs": { "file": "reserve" },
    });
    step
}

/// An answer that was lost is found out by looking: what is there is not done again, and what has vanished is. Each look is
/// another one, under a key of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_found_out_by_looking() {
    for (script, starts) in [("lost", 1), ("vanished", 2)] {
        let rig = Rig::new();
        assert_eq!(rig.run(plan(&[mute(&[script])])).await, Ended::At(Status::Succeeded));
        assert_eq!(rig.world.effects(), ["report", "reserve"]);
        let logged = rig.world.logged();
        let begun = logged.iter().filter(|line| line.starts_with("start reserve")).count();
        assert_eq!(begun, starts, "{logged:?}");
        assert!(logged.contains(&"look reserve/probe 1".to_owned()), "{logged:?}");
    }
}
