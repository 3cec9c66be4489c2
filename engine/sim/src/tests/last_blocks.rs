//! Steps of `on_failure` and `always` that hold others: what becomes of them, and what is undone.

use std::sync::Arc;

use longhaul_plan::Plan;
use longhaul_saga::{Entry, Failure, Intent, Status, Work};

use super::questions::{child, state};
use super::{
    Asked, Behaviour, Ending, Fault, Invariant, Layout, Ran, Value, action, each, fine, invariant, json,
    plan, run,
};

fn with_always(steps: &Value) -> Arc<Plan> {
    let plan = plan(&json!([action("work", &[], "reversible", false)]), &[]);
    Arc::new(Plan { always: serde_json::from_value(json!({ "steps": steps })).unwrap(), ..(*plan).clone() })
}

fn broken_at(step: &'static str) -> impl Fn(&Asked<'_>) -> Behaviour {
    move |asked: &Asked<'_>| match asked.step.as_str() == step {
        true => Behaviour::timed(10, Ending::Failed(Failure::new("permanent", "made up"))),
        false => fine(asked),
    }
}

fn there(ran: &Ran) -> Vec<&str> {
    let there = ran.world.effects().iter().filter(|(_, effect)| effect.there);
    there.map(|(step, _)| step.as_str()).collect()
}

fn is_sound(plan: &Plan, ran: &Ran) {
    assert_eq!(invariant::judge(&Layout::of(plan), ran, Invariant::ALL), []);
}

/// An item that fails stops what needs it, and nothing of what the items did is undone: what becomes of the run was decided
/// before.
#[test]
fn items_at_the_end_are_not_undone() {
    let items =
        [action("first", &[], "reversible", false), action("second", &["first"], "reversible", false)];
    let plan = with_always(&json!([each("each", &[], &items), action("after", &["each"], "none", false)]));
    let ran = run(&plan, &broken_at("each/vm-b/second"), Fault::None, 1);
    assert_eq!(ran.status(), Status::Succeeded);
    assert_eq!(there(&ran), ["each/vm-a/first", "each/vm-a/second", "each/vm-b/first", "work"]);
    assert_eq!((state(&ran, "each"), state(&ran, "after")), (Some("failed"), Some("skipped")));
    is_sound(&plan, &ran);
}

/// A workflow that runs at the end undoes its own steps when it fails, as it does anywhere.
#[test]
fn a_workflow_at_the_end_undoes_its_own() {
    let inner =
        [action("tunnel", &[], "reversible", false), action("send", &["tunnel"], "reversible", false)];
    let plan = with_always(&json!([child("tell", &[], &inner), action("report", &[], "reversible", false)]));
    let ran = run(&plan, &broken_at("tell/send"), Fault::None, 1);
    assert_eq!(ran.status(), Status::Succeeded);
    assert_eq!(there(&ran), ["report", "work"]);
    assert_eq!((state(&ran, "tell/tunnel"), state(&ran, "tell")), (Some("undone"), Some("failed")));
    is_sound(&plan, &ran);
}

/// What stays for as long as its graph runs is taken away at the end of the block, also when a step beside it failed.
#[test]
fn a_scope_at_the_end_is_closed() {
    let mut tunnel = action("tunnel", &[], "reversible", false);
    tunnel["body"]["action"]["scope"] = json!(true);
    let plan = with_always(&json!([tunnel, action("send", &["tunnel"], "reversible", false)]));
    for (model, sent) in [("nothing", true), ("send", false)] {
        let ran = run(&plan, &broken_at(model), Fault::None, 1);
        assert_eq!(ran.status(), Status::Succeeded);
        let expected: &[&str] = if sent { &["send", "work"] } else { &["work"] };
        assert_eq!((there(&ran).as_slice(), state(&ran, "tunnel")), (expected, Some("undone")));
        is_sound(&plan, &ran);
    }
}

/// What of a workflow at the end could not be undone is told to a person, and the run is no success.
#[test]
fn what_stays_open_at_the_end_is_told() {
    let inner =
        [action("tunnel", &[], "reversible", false), action("send", &["tunnel"], "reversible", false)];
    let plan = with_always(&json!([child("tell", &[], &inner)]));
    let model = |asked: &Asked<'_>| match (asked.step.as_str(), asked.work) {
        ("tell/send", _) | ("tell/tunnel", Work::Undo) => {
            Behaviour::timed(10, Ending::Failed(Failure::new("permanent", "made up")))
        }
        _ => fine(asked),
    };
    let ran = run(&plan, &model, Fault::None, 1);
    let Some(Entry::Intent(Intent::End(end))) = ran.records.last().map(|it| &it.entry) else {
        panic!("an end")
    };
    let [one] = &end.instructions[..] else { panic!("{:?}", end.instructions) };
    assert_eq!((one.step.as_str(), ran.status()), ("tell/tunnel", Status::Partial));
    assert!(one.problem.contains("undoing `toy.write@1` did not succeed"), "{}", one.problem);
    is_sound(&plan, &ran);
}
