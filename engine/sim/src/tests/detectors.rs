//! Each invariant, broken once by hand: it is seen, and it alone.

use std::sync::Arc;

use longhaul_model::ids::StepPath;
use longhaul_model::test::Invariant;
use longhaul_plan::Plan;
use longhaul_saga::intent::Compensate;
use longhaul_saga::{Entry, Event, Intent, Status};
use serde_json::{Value, json};

use super::{action, evacuation, fine, plan, run};
use crate::{Fault, Halt, Layout, Ran, invariant};

/// A good run, and what is seen of it once `spoil` has been at it.
fn seen(spoil: impl FnOnce(&mut Ran)) -> Vec<Invariant> {
    seen_in(&evacuation(1, 1), spoil)
}

fn seen_in(plan: &Arc<Plan>, spoil: impl FnOnce(&mut Ran)) -> Vec<Invariant> {
    let mut ran = run(plan, &fine, Fault::None, 1);
    let layout = Layout::of(plan);
    assert_eq!(invariant::judge(&layout, &ran, Invariant::ALL), []);
    spoil(&mut ran);
    let mut seen: Vec<_> =
        invariant::judge(&layout, &ran, Invariant::ALL).iter().map(|one| one.invariant).collect();
    seen.dedup();
    seen
}

fn path(text: &str) -> StepPath {
    serde_json::from_value(text.into()).unwrap()
}

/// An undo that the saga would not have decided on, `after` these many records.
fn undo(ran: &mut Ran, step: &str, after: usize) {
    let undo = Intent::Compensate(Compensate {
        step: path(step),
        uses: "toy.write@1".parse().unwrap(),
        params: Value::Null,
        outputs: None,
        incarnation: 0,
        attempt: 1,
        count: 1,
    });
    let mut record = ran.records[after].clone();
    record.entry = Entry::Intent(undo);
    ran.records.insert(after, record);
}

fn position(ran: &Ran, wanted: impl Fn(&Entry) -> bool) -> usize {
    ran.records.iter().position(|record| wanted(&record.entry)).unwrap()
}

fn is_done(entry: &Entry, step: &str) -> bool {
    matches!(entry, Entry::Event(Event::Done(done)) if done.step.as_str() == step)
}

fn is_start(entry: &Entry, step: &str) -> bool {
    matches!(entry, Entry::Intent(Intent::Start(start)) if start.step.as_str() == step)
}

/// A step that starts although what it needs has no result; inside an item too.
#[test]
fn needs_come_first() {
    for step in ["check", "each/vm-0/copy"] {
        let found = seen(|ran| {
            let done = position(ran, |entry| is_done(entry, step));
            ran.records.remove(done);
        });
        assert_eq!(found, [Invariant::NeedsFirst], "{step}");
    }
}

/// What stands on something is undone first.
#[test]
fn undo_goes_in_reverse() {
    let found = seen(|ran| {
        let at = position(ran, |entry| is_start(entry, "each/vm-0/copy")) + 1;
        undo(ran, "tunnel", at);
    });
    assert_eq!(found, [Invariant::UndoneInReverse]);
}

/// Behind a pivot nothing is undone: not in its own graph, and not what the way to it stands on.
#[test]
fn nothing_is_undone_behind_a_pivot() {
    for step in ["each/vm-0/copy", "tunnel"] {
        let found = seen(|ran| {
            let at = position(ran, |entry| is_done(entry, "each/vm-0/settle")) + 1;
            undo(ran, step, at);
        });
        assert!(found.contains(&Invariant::NothingUndoneAfterPivot), "{step}: {found:?}");
    }
}

/// A run that says it failed, and left something; one that did something twice; one that began twice; one that hangs.
#[test]
fn the_world_contradicts_the_run() {
    assert_eq!(seen(|ran| ran.halt = Halt::At(Status::Failed)), [Invariant::AllUndoneWhenFailed]);
    assert_eq!(seen(|ran| ran.halt = Halt::Idle), [Invariant::Ends]);
    let twice = seen(|ran| {
        let effect = ran.world.effects.get_mut(&path("tunnel")).unwrap();
        effect.done.insert(0, 2);
    });
    assert_eq!(twice, [Invariant::DoneOnce]);
    assert_eq!(seen(|ran| ran.world.overlaps.push((5, path("tunnel")))), [Invariant::OneAttemptAtATime]);
}

/// A workflow as a step, with a pivot in it or without, between a step beside it and one behind it.
fn with_workflow(pivot: bool) -> Arc<Plan> {
    let inner = json!([
        action("a", &[], "reversible", false),
        action("b", &["a"], if pivot { "irreversible" } else { "reversible" }, pivot),
    ]);
    let one = json!({ "id": "one", "needs": [], "line": 1, "body": { "workflow": {
        "workflow": { "name": "inner", "version": "1.0.0", "sha256": "00", "file": "inner.yaml" },
        "with": {}, "inputs": [], "graph": { "steps": inner }, "outputs": [],
    }}});
    plan(
        &json!([
            action("beside", &[], "reversible", false),
            one,
            action("after", &["one"], "reversible", false)
        ]),
        &[],
    )
}

/// What is inside a workflow counts as what is beside it: its needs, what stands on it, and its pivot.
#[test]
fn workflows_are_looked_into() {
    let found = seen_in(&with_workflow(false), |ran| {
        let done = position(ran, |entry| is_done(entry, "one/a"));
        ran.records.remove(done);
    });
    assert_eq!(found, [Invariant::NeedsFirst]);
    let found = seen_in(&with_workflow(false), |ran| {
        let at = position(ran, |entry| is_done(entry, "after")) + 1;
        undo(ran, "one/b", at);
    });
    assert_eq!(found, [Invariant::UndoneInReverse]);
    let found = seen_in(&with_workflow(true), |ran| {
        let at = position(ran, |entry| is_done(entry, "one/b")) + 1;
        undo(ran, "beside", at);
    });
    assert_eq!(found, [Invariant::NothingUndoneAfterPivot]);
}

/// A step that has more than there is: told as it begins, or while it is under way.
#[test]
fn budgets_are_kept() {
    let mut steps = [action("a", &[], "none", false), action("b", &["a"], "none", false)];
    for step in &mut steps {
        step["body"]["action"]["claims"] = json!([{ "resource": "wan", "elastic": {} }]);
    }
    let plan = plan(&json!(steps), &[]);
    let too_much = seen_in(&plan, |ran| {
        let start = position(ran, |entry| is_start(entry, "b"));
        if let Entry::Intent(Intent::Start(start)) = &mut ran.records[start].entry {
            start.claims.insert("wan".to_owned(), 800_001);
        }
    });
    assert_eq!(too_much, [Invariant::Budgets]);
    let taken_twice = seen_in(&plan, |ran| {
        let done = position(ran, |entry| is_done(entry, "a"));
        ran.records.remove(done);
    });
    assert_eq!(taken_twice, [Invariant::Budgets, Invariant::NeedsFirst]);
}
