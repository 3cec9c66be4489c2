//! What steps share, told to real calls.

use longhaul_run::reporter::Lines;
use longhaul_run::{Control, Ended, Reporters};
use longhaul_saga::{Entry, Event, Intent, Record, Status};
use serde_json::{Value, json};

use super::toy::{DEADLINE, Rig, World, plan, recorded, step};

fn claiming(id: &str, claims: &Value) -> Value {
    let mut step = step(id, &[], &["await"]);
    step["body"]["action"]["claims"] = claims.clone();
    step
}

fn is_done(record: &Record, step: &str) -> bool {
    matches!(&record.entry, Entry::Event(Event::Done(done)) if done.step.as_str() == step)
}

async fn logged(world: &World, line: &str) {
    let search = async {
        while !world.logged().iter().any(|logged| logged == line) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, search).await.unwrap_or_else(|_| panic!("{line}: {:?}", world.logged()));
}

/// An action begins with its share and is told of a greater one; a step whose claim is not free begins when it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_told_what_it_has() {
    let rig = Rig::new();
    let slot = json!({ "resource": "slots", "fixed": { "amount": 2 } });
    let steps = [
        claiming("a", &json!([{ "resource": "wan", "elastic": {} }, slot])),
        claiming("b", &json!([{ "resource": "wan", "elastic": {} }])),
        claiming("c", &json!([slot])),
    ];
    let mut plan = serde_json::to_value(plan(&steps)).unwrap();
    plan["resources"] = json!([
        { "name": "wan", "kind": "bandwidth", "capacity": "1Mbit/s", "reserve": { "percent": 20 } },
        { "name": "slots", "kind": "count", "capacity": 3 },
    ]);
    let control = Control::new();
    let run = rig.run_with(serde_json::from_value(plan).unwrap(), Reporters::new(), &control);
    let world = rig.world.clone();
    let go = async {
        logged(&world, r#"a begins with {"slots": 2, "wan": 400000}"#).await;
        logged(&world, r#"b begins with {"wan": 400000}"#).await;
        world.finish("b");
        logged(&world, r#"a has {"slots": 2, "wan": 800000}"#).await;
        assert!(!world.logged().iter().any(|line| line.starts_with("start c")), "{:?}", world.logged());
        world.finish("a");
        recorded(&rig, |record| is_done(record, "a")).await;
        logged(&world, r#"c begins with {"slots": 2}"#).await;
        world.finish("c");
    };
    let (ended, ()) = tokio::join!(run, go);
    assert_eq!(ended, Ended::At(Status::Succeeded));
    let shares =
        rig.records().iter().filter(|it| matches!(it.entry, Entry::Intent(Intent::Share(_)))).count();
    assert_eq!(shares, 1);
    let mut lines = Lines::default();
    let said: Vec<String> = rig.records().iter().flat_map(|record| lines.of(record)).collect();
    let waits: Vec<_> = said.iter().filter(|line| line.contains("waits for")).collect();
    assert!(
        matches!(waits[..], [line] if line.ends_with("c: waits for 2 of slots, of which 1 is free")),
        "{said:?}"
    );
}
