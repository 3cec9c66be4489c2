//! What steps share: who begins when, with how much, and how long that takes.

use std::sync::Arc;

use longhaul_model::policy::Hook;
use longhaul_plan::Plan;
use longhaul_saga::{Entry, Failure, Intent, Status, Work};

use super::questions::{child, state};
use super::{
    Asked, Behaviour, Ending, Fault, Halt, Invariant, Layout, Ran, Side, Value, action, each, fine,
    invariant, json, plan, run,
};
use crate::{Moves, Really};

fn claiming(id: &str, needs: &[&str], claims: &Value) -> Value {
    let mut step = action(id, needs, "reversible", false);
    step["body"]["action"]["claims"] = claims.clone();
    step
}

fn slots(id: &str, amount: u32) -> Value {
    claiming(id, &[], &json!([{ "resource": "slots", "fixed": { "amount": amount } }]))
}

fn elastic(id: &str, needs: &[&str], bounds: &Value) -> Value {
    claiming(id, needs, &json!([{ "resource": "wan", "elastic": bounds }]))
}

/// When each step began, in milliseconds, and with how much of everything.
fn begun(ran: &Ran) -> Vec<(String, u64, Vec<u64>)> {
    let start = |record: &longhaul_saga::Record| match &record.entry {
        Entry::Intent(Intent::Start(it)) if it.step.as_str() != "report" => {
            Some((it.step.to_string(), record.at_unix_ms, it.claims.values().copied().collect()))
        }
        _ => None,
    };
    ran.records.iter().filter_map(start).collect()
}

/// Who came to wait, when, and for what.
fn waited(ran: &Ran) -> Vec<(u64, String)> {
    let queue = |record: &longhaul_saga::Record| match &record.entry {
        Entry::Intent(Intent::Queue(it)) => Some((record.at_unix_ms, format!("{} {it}", it.step))),
        _ => None,
    };
    ran.records.iter().filter_map(queue).collect()
}

/// Every share that a step was told while it was under way: when, which step, how much.
fn told(ran: &Ran) -> Vec<(u64, String, u64)> {
    let share = |record: &longhaul_saga::Record| match &record.entry {
        Entry::Intent(Intent::Share(it)) => Some((record.at_unix_ms, it.step.to_string(), it.claims["wan"])),
        _ => None,
    };
    ran.records.iter().filter_map(share).collect()
}

fn holds(steps: &Value, ran: &Ran) {
    assert_eq!(invariant::judge(&Layout::of(&plan(steps, &[])), ran, Invariant::ALL), []);
}

/// Steps begin in the order in which they came: a small one does not overtake a big one that waits.
#[test]
fn who_came_first_begins_first() {
    let steps = json!([slots("a", 6), slots("b", 6), slots("c", 4), slots("d", 10), slots("e", 1)]);
    let ran = run(&plan(&steps, &[]), &fine, Fault::None, 1);
    let began: Vec<_> = begun(&ran).into_iter().map(|(step, at, _)| (step, at)).collect();
    let at = |step: &str, ms| (step.to_owned(), ms);
    assert_eq!(began, [at("a", 0), at("b", 1_000), at("c", 1_000), at("d", 2_000), at("e", 3_000)]);
    assert_eq!(
        waited(&ran),
        [
            (0, "b waits for 6 of slots, of which 4 is free".to_owned()),
            (0, "c waits for 4 of slots, of which 4 is free".to_owned()),
            (0, "d waits for 10 of slots, of which 4 is free".to_owned()),
            (0, "e waits for 1 of slots, of which 4 is free".to_owned()),
        ]
    );
    assert_eq!(ran.status(), Status::Succeeded);
    holds(&steps, &ran);
}

/// Over 800 kbit/s: what one leaves the other gets, and is told.
#[test]
fn elastic_claims_share_what_is_left() {
    let steps = json!([
        elastic("a", &[], &json!({})),
        claiming("pause", &[], &json!([])),
        elastic("b", &["pause"], &json!({})),
        claiming("fixed", &["b"], &json!([{ "resource": "wan", "fixed": { "amount": "600kbit/s" } }])),
        elastic("c", &["b"], &json!({ "at_most": "100kbit/s" })),
    ]);
    let model = |asked: &Asked<'_>| {
        let kilobytes =
            [("a", 200), ("b", 100), ("c", 20)].into_iter().find(|(id, _)| *id == asked.step.as_str());
        let moves = |(_, kilobytes): (_, u64)| Moves { bytes: kilobytes * 1_000, over: "wan".to_owned() };
        let takes_ms = if asked.step.as_str() == "pause" { 500 } else { 0 };
        Behaviour {
            moves: kilobytes.map(moves),
            ..Behaviour::timed(takes_ms, Ending::Done(json!({ "ok": true })))
        }
    };
    let ran = run(&plan(&steps, &[]), &model, Fault::None, 1);
    // Alone for 0.5 s a moves 50 kB. Then b begins, and needs 2 s for its 100 kB; a moves as much. The fixed claim is over at
    // once; c takes its 100 kbit/s for 1.6 s, and a has the rest for its last 50 kB.
    let took: Vec<_> = begun(&ran).into_iter().filter(|(_, _, claims)| !claims.is_empty()).collect();
    let began = |step: &str, at, share| (step.to_owned(), at, vec![share]);
    assert_eq!(
        took,
        [
            began("a", 0, 800_000),
            began("b", 500, 400_000),
            began("fixed", 2_500, 600_000),
            began("c", 2_500, 100_000)
        ]
    );
    let has = |at, step: &str, share| (at, step.to_owned(), share);
    assert_eq!(told(&ran), [has(500, "a", 400_000), has(2_500, "a", 100_000), has(2_500, "a", 700_000)]);
    let ended = ran.world.changes().iter().map(|change| (change.step.to_string(), change.at_unix_ms));
    let ended: Vec<_> = ended.filter(|(step, _)| ["a", "c"].contains(&step.as_str())).collect();
    assert_eq!(ended, [("a".to_owned(), 3_072), ("c".to_owned(), 4_100)]);
    assert_eq!(ran.status(), Status::Succeeded);
    holds(&steps, &ran);
}

/// What an action needs besides its bytes is needed once, however often its share changes meanwhile: four alike end together.
#[test]
fn what_is_needed_besides_bytes_is_needed_once() {
    let steps = json!([
        elastic("a", &[], &json!({})),
        elastic("b", &[], &json!({})),
        elastic("c", &[], &json!({})),
        elastic("d", &[], &json!({ "at_most": "100kbit/s" })),
    ]);
    let model = |asked: &Asked<'_>| {
        let kilobytes = if asked.step.as_str() == "d" { 25 } else { 100 };
        let moves = Moves { bytes: kilobytes * 1_000, over: "wan".to_owned() };
        Behaviour { moves: Some(moves), ..Behaviour::timed(3_000, Ending::Done(json!({ "ok": true }))) }
    };
    let ran = run(&plan(&steps, &[]), &model, Fault::None, 1);
    let ended = ran.world.changes().iter().map(|change| (change.step.to_string(), change.at_unix_ms));
    let ended: Vec<_> = ended.filter(|(step, _)| step.len() == 1).collect();
    // d has moved its 25 kB after 2 s and ends at 5 s; the others move for 3,429 ms at a third of what it leaves.
    let at = |step: &str, ms| (step.to_owned(), ms);
    assert_eq!(ended, [at("d", 5_000), at("a", 6_429), at("b", 6_429), at("c", 6_429)]);
}

/// What is kept stays taken until its step is undone, and a step that needs it fails instead of waiting for ever.
#[test]
fn what_is_kept_is_not_waited_for() {
    let keeps = |id: &str, amount: u32| {
        claiming(id, &[], &json!([{ "resource": "slots", "fixed": { "amount": amount, "keep": true } }]))
    };
    let steps = json!([keeps("a", 6), keeps("b", 6)]);
    let ran = run(&plan(&steps, &[]), &fine, Fault::None, 1);
    assert_eq!(ran.halt, Halt::At(Status::Failed));
    let refused = ran.records.iter().find_map(|record| match &record.entry {
        Entry::Intent(Intent::Refuse(refuse)) => Some(refuse.failure.to_string()),
        _ => None,
    });
    let why = refused.unwrap();
    assert!(why.contains("claim of `slots`: it needs 6, and all but 4 is kept by a"), "{why}");
    holds(&steps, &ran);
}

/// What a half-done step holds comes back when it is undone, and is waited for until then.
#[test]
fn what_is_about_to_be_undone_is_waited_for() {
    let copy =
        |needs: &[&str]| claiming("copy", needs, &json!([{ "resource": "slots", "fixed": { "amount": 6 } }]));
    let first = [copy(&[]), action("beside", &[], "reversible", false)];
    let second = [action("before", &[], "reversible", false), copy(&["before"])];
    let mut answer = action("answer", &["first"], "none", false);
    answer["if"] = json!("${{ failed(\"first\") }}");
    let steps = json!([child("first", &[], &first), child("second", &[], &second), answer]);
    let model = |asked: &Asked<'_>| match asked.step.as_str() {
        "first/copy" if asked.work == Work::Forward => Behaviour::timed(
            1_000,
            Ending::Unknown { failure: Failure::new("transient", "lost"), really: Really::Partial },
        ),
        "first/beside" => Behaviour::timed(600_000, Ending::Done(json!({ "ok": true }))),
        _ => fine(asked),
    };
    let ran = run(&plan(&steps, &[]), &model, Fault::None, 1);
    let second = ran.steps.iter().find(|view| view.step.as_str() == "second/copy").unwrap();
    assert_eq!((second.state, &second.failure), ("succeeded", &None), "{:?}", ran.halt);
    holds(&steps, &ran);
}

/// A controller that dies leaves nothing taken twice and nobody waiting for ever.
#[test]
fn claims_outlive_controllers() {
    let steps = json!([
        slots("a", 6),
        slots("b", 6),
        elastic("c", &[], &json!({})),
        elastic("d", &["a"], &json!({}))
    ]);
    let plan = plan(&steps, &[]);
    let whole = run(&plan, &fine, Fault::None, 1);
    for write in 1..=whole.records.len() as u64 {
        for side in [Side::Before, Side::After] {
            let ran = run(&plan, &fine, Fault::Crash { write, side }, 1);
            assert_eq!(ran.halt, Halt::At(Status::Succeeded), "{write} {side:?}");
            assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), [], "{write} {side:?}");
        }
    }
}

/// While policies are asked whether something may be undone, what would come back with that is waited for.
#[test]
fn what_policies_are_asked_to_give_back_is_waited_for() {
    let keeps = json!([{ "resource": "slots", "fixed": { "amount": 6, "keep": true } }]);
    let mut hold = claiming("hold", &[], &keeps);
    // It is not called off when the step beside it fails, and ends when nothing else is under way.
    hold["if"] = json!("${{ always() }}");
    let mut all = each("all", &[], &[hold, action("beside", &[], "reversible", false)]);
    all["body"]["foreach"]["on_item_failure"] = json!("continue");
    let undo = super::policies::policy(Hook::OnFailure, &[], "allow");
    let plan = Arc::new(Plan { policies: vec![undo], ..Plan::clone(&plan(&json!([all]), &[])) });
    let model = |asked: &Asked<'_>| match (asked.step.as_str(), asked.work) {
        ("all/vm-b/beside", Work::Forward) => {
            Behaviour::timed(500, Ending::Failed(Failure::new("permanent", "made up")))
        }
        ("all/vm-a/beside", Work::Forward) => Behaviour::timed(100, Ending::Done(json!({ "ok": true }))),
        _ => fine(asked),
    };
    let ran = run(&plan, &model, Fault::None, 1);
    let second = ran.steps.iter().find(|view| view.step.as_str() == "all/vm-a/hold").unwrap();
    assert_eq!((second.state, &second.failure), ("succeeded", &None), "{:?}", ran.halt);
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
}

/// A step that runs while its own graph turns round does not wait for what that graph will give back after it.
#[test]
fn a_last_step_does_not_wait_for_its_own_graph() {
    let slots = json!([{ "resource": "slots", "fixed": { "amount": 6, "keep": true } }]);
    let mut last =
        claiming("last", &["hold", "broken"], &json!([{ "resource": "slots", "fixed": { "amount": 6 } }]));
    last["if"] = json!("${{ always() }}");
    let broken = action("broken", &["hold"], "reversible", false);
    let inner = [claiming("hold", &[], &slots), broken, last];
    let steps = json!([child("inner", &[], &inner), action("beside", &[], "reversible", false)]);
    let model = |asked: &Asked<'_>| match (asked.step.as_str(), asked.work) {
        ("inner/broken", Work::Forward) => {
            Behaviour::timed(1_000, Ending::Failed(Failure::new("permanent", "made up")))
        }
        ("beside", Work::Forward) => Behaviour::timed(600_000, Ending::Done(json!({ "ok": true }))),
        _ => fine(asked),
    };
    let ran = run(&plan(&steps, &[]), &model, Fault::None, 1);
    let refused = ran.records.iter().find(|record| {
        matches!(&record.entry, Entry::Intent(Intent::Refuse(refuse)) if refuse.step.as_str() == "inner/last")
    });
    assert!(
        refused.is_some_and(|record| record.at_unix_ms < 60_000),
        "it waited for {:?}",
        refused.map(|it| it.at_unix_ms)
    );
    assert_eq!(ran.status(), Status::Failed);
}

/// A step of a last block that keeps what it claims gives it back before it runs again after a resume: it is never in its own
/// way, in items and wherever the controller dies. What another step keeps is still in the way.
#[test]
fn a_step_that_runs_again_is_not_in_its_own_way() {
    let keeps = |id: &str, needs: &[&str], amount: u32| {
        claiming(id, needs, &json!([{ "resource": "slots", "fixed": { "amount": amount, "keep": true } }]))
    };
    let broken = |asked: &Asked<'_>| match (asked.step.as_str(), asked.time) {
        ("behind", 1) => Behaviour::timed(5, Ending::Failed(Failure::new("permanent", "made up"))),
        _ => fine(asked),
    };
    let steps =
        json!([action("go", &[], "irreversible", true), action("behind", &["go"], "reversible", false)]);
    let always = |steps: &Value| {
        let always = serde_json::from_value(json!({ "steps": steps })).unwrap();
        Arc::new(Plan { always, ..Plan::clone(&plan(&json!(steps), &[])) })
    };
    let with = |last: &Value| {
        Arc::new(Plan { graph: plan(&steps, &[]).graph.clone(), ..Plan::clone(&always(last)) })
    };
    let alone = with(&json!([keeps("first", &[], 4), each("each", &["first"], &[keeps("second", &[], 3)])]));
    let whole = run(&alone, &broken, Fault::None, 1);
    let begun_twice = begun(&whole).iter().filter(|(step, ..)| step == "each/vm-b/second").count();
    assert_eq!((whole.status(), begun_twice), (Status::Succeeded, 2), "{:?}", begun(&whole));
    for write in 1..=whole.records.len() as u64 {
        let ran = run(&alone, &broken, Fault::Crash { write, side: Side::After }, 1);
        assert_eq!(ran.status(), Status::Succeeded, "{write}");
        assert_eq!(state(&ran, "each/vm-b/second"), Some("succeeded"), "{write}");
        assert_eq!(invariant::judge(&Layout::of(&alone), &ran, Invariant::ALL), [], "{write}");
    }
    let beside = with(&json!([keeps("first", &[], 6), keeps("second", &["first"], 6)]));
    assert_eq!(state(&run(&beside, &broken, Fault::None, 1), "second"), Some("failed"));
}
