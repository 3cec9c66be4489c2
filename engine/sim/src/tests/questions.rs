//! Steps that ask somebody outside: every answer, no answer, and controllers that die meanwhile.

use std::sync::Arc;

use longhaul_model::ids::StepPath;
use longhaul_plan::Plan;
use longhaul_saga::{Entry, Event, Report, Status, intent};

use super::{
    Asked, Behaviour, Fault, Halt, Invariant, Layout, Model, Ran, Side, Value, action, each, fine, invariant,
    json, plan, run,
};
use crate::Reply;

/// Nobody answers steps whose name begins with `silent`, and `no` is what the others are told that begin with `refused`.
struct People;

impl Model for People {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        fine(asked)
    }

    fn reply(&self, step: &StepPath, _: &intent::Asked, _: u32) -> Reply {
        let own = step.as_str().rsplit('/').next().unwrap_or_default();
        match own {
            _ if own.starts_with("silent") => Reply::Never,
            _ if own.starts_with("refused") => {
                Reply::No { after_ms: 500, by: None, reason: "not now".to_owned() }
            }
            _ => Reply::Yes { after_ms: 30_000, outputs: json!({ "payload": { "hours": 6 } }) },
        }
    }
}

fn approval(id: &str, needs: &[&str], end: &Value) -> Value {
    question(
        id,
        needs,
        &json!({ "approval": { "roles": ["operator"], "quorum": 2, "forbid_self": true } }),
        end,
    )
}

fn signal(id: &str, needs: &[&str], end: &Value) -> Value {
    question(id, needs, &json!({ "signal": { "name": "storm" } }), end)
}

fn question(id: &str, needs: &[&str], asks: &Value, end: &Value) -> Value {
    let mut body = json!({ "asks": asks, "on_expire": "fail" });
    body.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
    json!({ "id": id, "needs": needs, "line": 1, "body": { "question": body } })
}

pub(super) fn child(id: &str, needs: &[&str], steps: &[Value]) -> Value {
    json!({ "id": id, "needs": needs, "line": 1, "body": { "workflow": {
        "workflow": { "name": "inner", "version": "1.0.0", "sha256": "01", "file": "inner.yaml" },
        "with": {}, "inputs": [], "graph": { "steps": steps }, "outputs": [],
    }}})
}

pub(super) fn state(ran: &Ran, step: &str) -> Option<&'static str> {
    ran.steps.iter().find(|view| view.step.as_str() == step).map(|view| view.state)
}

/// Approvals beside, in items and in a child, and a signal that some steps wait for before it comes and some after: each is
/// answered once, wherever the controller dies.
#[test]
fn answers_are_taken_once_wherever_the_controller_dies() {
    let end = json!({});
    let gated = [approval("gate", &[], &end), action("go", &["gate"], "reversible", false)];
    let steps = json!([
        approval("gate", &[], &end),
        each("each", &["gate"], &gated),
        child("inner", &["gate"], &[signal("storm", &[], &end), approval("again", &["storm"], &end)]),
        signal("late", &["inner"], &end),
        action("last", &["each", "late"], "reversible", false),
    ]);
    let plan = plan(&steps, &[]);
    let layout = Layout::of(&plan);
    let whole = run(&plan, &People, Fault::None, 1);
    let votes =
        |ran: &Ran| ran.records.iter().filter(|it| matches!(it.entry, Entry::Event(Event::Voted(_)))).count();
    assert_eq!((whole.status(), votes(&whole)), (Status::Succeeded, 8));
    for write in 1..=whole.records.len() as u64 {
        for side in [Side::Before, Side::After] {
            let ran = run(&plan, &People, Fault::Crash { write, side }, 1);
            assert_eq!(
                (ran.status(), votes(&ran)),
                (Status::Succeeded, 8),
                "{write} {side:?}: {:?}",
                ran.halt
            );
            assert_eq!(invariant::judge(&layout, &ran, Invariant::ALL), [], "{write} {side:?}");
        }
    }
}

/// A no fails the step; what nobody answers in time fails, is passed over with what needs it, or goes on without.
#[test]
fn a_question_ends_as_its_step_says() {
    let within = |on_expire: &str| json!({ "expires": "1h", "on_expire": on_expire });
    let ends = [
        (approval("refused", &[], &json!({})), Status::Failed, "failed", "waiting"),
        (approval("silent", &[], &within("fail")), Status::Failed, "failed", "waiting"),
        (approval("silent", &[], &within("skip")), Status::Succeeded, "skipped", "skipped"),
        (signal("silent", &[], &within("skip")), Status::Succeeded, "skipped", "skipped"),
        (signal("silent", &[], &within("continue")), Status::Succeeded, "succeeded", "succeeded"),
    ];
    for (asks, status, own, behind) in ends {
        let id = asks["id"].as_str().unwrap().to_owned();
        let plan = plan(&json!([asks, action("behind", &[&id], "reversible", false)]), &[]);
        let ran = run(&plan, &People, Fault::None, 1);
        assert_eq!(
            (ran.halt.clone(), state(&ran, &id), state(&ran, "behind")),
            (Halt::At(status), Some(own), Some(behind))
        );
        assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
    }
}

/// A child and an item that end with an approval that nobody gave in time and that is passed over came through: what needs them
/// begins, and no invariant calls that too early.
#[test]
fn what_ends_with_a_lapsed_question_came_through() {
    let lapses = |id: &str, needs: &[&str]| {
        let mut question = approval(id, needs, &json!({ "expires": "1m" }));
        question["body"]["question"]["on_expire"] = json!("skip");
        question
    };
    let inside = [action("copy", &[], "reversible", false), lapses("silent", &["copy"])];
    let behind = [
        action("copy", &[], "reversible", false),
        lapses("silent", &["copy"]),
        action("go", &["silent"], "reversible", false),
    ];
    let steps = json!([
        child("inner", &[], &inside),
        each("each", &[], &behind),
        action("last", &["inner", "each"], "reversible", false),
    ]);
    let plan = plan(&steps, &[]);
    let ran = run(&plan, &People, Fault::None, 1);
    assert_eq!((ran.status(), state(&ran, "last")), (Status::Succeeded, Some("succeeded")));
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
}

/// How the report shows a question, and when it ended.
fn shown(ran: &Ran, step: &str) -> (&'static str, Option<u64>, String) {
    let report = Report::fold(&ran.records).unwrap();
    let line = report.steps.into_iter().find(|line| line.step == step).unwrap();
    (line.state, line.to_ms, line.failure.unwrap_or_default())
}

/// A question that nobody will answer any more is not shown as open in a run that is over: it was called off when the deadline of
/// the workflow that asks passed, the run was given up, or its graph turned round. In a run that is under way it is open.
#[test]
fn a_question_that_was_called_off_is_told() {
    let silent = || approval("silent", &[], &json!({}));
    let mut inner = child("inner", &[], &[action("copy", &[], "reversible", false), silent()]);
    inner["body"]["workflow"]["deadline"] = json!("${{ now() + duration(\"1h\") }}");
    let of_child = run(&plan(&json!([inner]), &[]), &People, Fault::None, 1);
    let passed = "the deadline of `inner` has passed".to_owned();
    assert_eq!(shown(&of_child, "inner/silent"), ("called_off", Some(3_600_000), passed));
    let deadline = Some(serde_json::from_value(json!("${{ now() + duration(\"1h\") }}")).unwrap());
    let late = Plan { deadline, ..Plan::clone(&plan(&json!([silent()]), &[])) };
    let of_run = run(&Arc::new(late), &People, Fault::None, 1);
    let passed = "its deadline has passed".to_owned();
    assert_eq!(shown(&of_run, "silent"), ("called_off", Some(3_600_000), passed));
    let beside = json!([silent(), approval("refused", &[], &json!({}))]);
    let turned = run(&plan(&beside, &[]), &People, Fault::None, 1);
    assert_eq!(shown(&turned, "silent"), ("called_off", None, "its graph turned round".to_owned()));
    let until =
        turned.records.iter().position(|it| matches!(it.entry, Entry::Event(Event::Voted(_)))).unwrap();
    let open = Ran { records: turned.records[..until].to_vec(), ..turned };
    assert_eq!(shown(&open, "silent").0, "running");
}
