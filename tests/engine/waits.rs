//! Steps that let time pass.

use longhaul_plan::Plan;
use longhaul_run::{Control, Ended, Reporters};
use longhaul_saga::{Entry, Event, Intent, Record, Status};
use serde_json::{Value, json};

use super::toy::{DEADLINE, Rig, pivot, plan, recorded, step};

const MINUTE_MS: u64 = 60_000;

fn wait(id: &str, needs: &[&str], wait: &Value) -> Value {
    json!({ "id": id, "needs": needs, "line": 1, "body": { "wait": wait } })
}

fn is_pause(record: &Record) -> bool {
    matches!(record.entry, Entry::Intent(Intent::Pause(_)))
}

fn is_resumed(record: &Record) -> bool {
    matches!(record.entry, Entry::Event(Event::RunResumed(_)))
}

/// The end of a wait is written down once; it passes while no controller runs, and not a moment sooner.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_goes_on_without_a_controller() {
    let rig = Rig::new();
    let steps =
        [step("a", &[], &[]), wait("pause", &["a"], &json!({ "for": "1h" })), step("b", &["pause"], &[])];
    let control = Control::new();
    let run = rig.run_with(plan(&steps), Reporters::new(), &control);
    let stop = async {
        recorded(&rig, is_pause).await;
        control.stop();
    };
    let (ended, ()) = tokio::join!(run, stop);
    assert_eq!(ended, Ended::Interrupted);
    rig.clock.advance_ms(50 * MINUTE_MS);
    let pass = async {
        recorded(&rig, is_resumed).await;
        rig.clock.advance_ms(9 * MINUTE_MS);
        rig.clock.advance_ms(MINUTE_MS);
    };
    let (ended, ()) = tokio::join!(rig.resume(), pass);
    assert_eq!(ended, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "b", "report"]);
    let records = rig.records();
    let pauses = records.iter().filter_map(|record| match &record.entry {
        Entry::Intent(Intent::Pause(pause)) => Some((record.at_unix_ms, pause.until_unix_ms)),
        _ => None,
    });
    let pauses: Vec<_> = pauses.collect();
    let [(at, until)] = pauses.as_slice() else { panic!("{pauses:?}") };
    assert_eq!(*until, at + 60 * MINUTE_MS);
    let fired = records.iter().find(|it| matches!(it.entry, Entry::Event(Event::TimerFired(_)))).unwrap();
    assert!(fired.at_unix_ms >= *until, "{fired:?}");
}

/// A wait can be until a time, which may be worked out, and is over at once when it has passed.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_can_be_until_a_time() {
    let rig = Rig::new();
    let steps = [
        wait("past", &[], &json!({ "until": "1970-01-01T00:00:01Z" })),
        wait("soon", &["past"], &json!({ "until": "${{ now() + duration(\"10s\") }}" })),
        step("a", &["soon"], &[]),
    ];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    let until = |id: &str| {
        let records = rig.records();
        let pause = records.iter().find_map(|record| match &record.entry {
            Entry::Intent(Intent::Pause(pause)) if pause.step.as_str() == id => {
                Some((record.at_unix_ms, pause.until_unix_ms))
            }
            _ => None,
        });
        pause.unwrap()
    };
    assert_eq!(until("past").1, 1_000);
    let (at, soon) = until("soon");
    assert_eq!(soon, at + 10_000);
}

/// Whoever gives the run up does not wait for the wait's end; and what is no time fails the step.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_called_off() {
    let rig = Rig::new();
    let steps = [step("a", &[], &[]), wait("pause", &["a"], &json!({ "for": "1d" }))];
    let control = Control::new();
    let run = rig.run_with(plan(&steps), Reporters::new(), &control);
    let give_up = async {
        recorded(&rig, is_pause).await;
        control.cancel("the storm turned away");
    };
    let (ended, ()) = tokio::join!(run, give_up);
    assert_eq!(ended, Ended::At(Status::Failed));
    assert_eq!(rig.world.effects(), ["report"]);

    let rig = Rig::new();
    let steps = [step("a", &[], &[]), wait("pause", &["a"], &json!({ "for": "${{ 1 + 1 }}" }))];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert!(!rig.records().iter().any(is_pause));
}

/// A plan that has to be done within an hour.
fn within_an_hour(steps: &[Value]) -> Plan {
    let mut plan = serde_json::to_value(plan(steps)).unwrap();
    plan["deadline"] = json!("${{ now() + duration(\"1h\") }}");
    serde_json::from_value(plan).unwrap()
}

/// A step that is not done before somebody asks it to stop.
fn endless(id: &str, needs: &[&str]) -> Value {
    let mut step = step(id, needs, &["hang"]);
    step["body"]["action"]["timeout"] = json!("1d");
    step
}

fn is_given_up(record: &Record) -> bool {
    matches!(record.entry, Entry::Intent(Intent::GiveUp(_)))
}

/// What has not passed its pivot when the deadline passes is stopped and undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_gives_the_run_up() {
    let rig = Rig::new();
    let run = rig.run(within_an_hour(&[step("a", &[], &[]), endless("b", &["a"])]));
    let pass = async {
        while !rig.world.logged().contains(&"start b 1".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        rig.clock.advance_ms(60 * MINUTE_MS);
    };
    let (ended, passed) = tokio::join!(run, tokio::time::timeout(DEADLINE, pass));
    passed.unwrap();
    assert_eq!(ended, Ended::At(Status::Failed));
    assert_eq!(rig.world.effects(), ["report"]);
    let records = rig.records();
    let reason = records.iter().find_map(|record| match &record.entry {
        Entry::Intent(Intent::GiveUp(given_up)) => Some(given_up.reason.as_str()),
        _ => None,
    });
    assert_eq!(reason, Some("its deadline has passed"));
}

/// What is past its pivot goes on, and a run that is done in time never hears of its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_stops_nothing_behind_a_pivot() {
    let rig = Rig::new();
    let mut slow = step("b", &["a"], &["silent"]);
    slow["body"]["action"]["timeout"] = json!("2h");
    let run = rig.run(within_an_hour(&[pivot(step("a", &[], &[])), slow]));
    let pass = async {
        while !rig.world.logged().contains(&"silent".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        rig.clock.advance_ms(60 * MINUTE_MS);
        recorded(&rig, is_given_up).await;
        rig.clock.advance_ms(61 * MINUTE_MS);
    };
    let (ended, ()) = tokio::join!(run, pass);
    assert_eq!(ended, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "b", "report"]);

    let rig = Rig::new();
    assert_eq!(rig.run(within_an_hour(&[step("a", &[], &[])])).await, Ended::At(Status::Succeeded));
    assert!(!rig.records().iter().any(is_given_up));
}

/// A deadline that cannot be worked out gives the run up, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_a_time() {
    let mut plan = serde_json::to_value(plan(&[step("a", &[], &[])])).unwrap();
    plan["deadline"] = json!("${{ 7 }}");
    let rig = Rig::new();
    assert_eq!(rig.run(serde_json::from_value(plan).unwrap()).await, Ended::At(Status::Failed));
    let records = rig.records();
    let reason = records.iter().find_map(|record| match &record.entry {
        Entry::Intent(Intent::GiveUp(given_up)) => Some(given_up.reason.as_str()),
        _ => None,
    });
    assert_eq!(reason, Some("wait: 7 is neither a duration nor a time"));
}
