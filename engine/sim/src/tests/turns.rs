//! Which step's turn it is, and whose turn never comes.

use std::sync::Arc;

use longhaul_plan::Plan;
use longhaul_saga::{Entry, Failure, Intent, Status};

use super::questions::{child, state};
use super::{
    Asked, Behaviour, Ending, Fault, Invariant, Layout, Ran, Value, action, each, fine, invariant, json,
    plan, run,
};

fn begun(ran: &Ran) -> Vec<String> {
    let start = |record: &longhaul_saga::Record| match &record.entry {
        Entry::Intent(Intent::Start(it)) => Some(it.step.to_string()),
        _ => None,
    };
    ran.records.iter().filter_map(start).filter(|step| step != "report").collect()
}

/// A run whose deadline has passed begins no step, and neither does a workflow that a step runs.
#[test]
fn nothing_begins_after_a_deadline() {
    let go = || action("go", &[], "irreversible", true);
    let over = json!("${{ time(\"1970-01-01T00:00:00Z\") }}");
    let deadline = over.as_str().unwrap().parse().ok();
    let late = Arc::new(Plan { deadline, ..Plan::clone(&plan(&json!([go()]), &[])) });
    let ran = run(&late, &fine, Fault::None, 1);
    assert_eq!((ran.status(), begun(&ran)), (Status::Failed, vec![]));

    let mut inner = child("inner", &["first"], &[go()]);
    inner["body"]["workflow"]["deadline"] = over;
    let late = plan(&json!([action("first", &[], "reversible", false), inner]), &[]);
    let ran = run(&late, &fine, Fault::None, 1);
    assert_eq!((ran.status(), begun(&ran)), (Status::Failed, vec!["first".to_owned()]));
    assert_eq!(state(&ran, "first"), Some("undone"));
    assert_eq!(invariant::judge(&Layout::of(&late), &ran, Invariant::ALL), []);
}

/// A step that answers a failure may also need what that failure prevents: this is passed over, and the failure is answered.
#[test]
fn who_answers_may_need_what_was_prevented() {
    let mut answers = action("answers", &["fails", "between"], "reversible", false);
    answers["if"] = json!("${{ failed(\"fails\") }}");
    let steps = json!([
        action("first", &[], "reversible", false),
        action("fails", &["first"], "reversible", false),
        action("between", &["fails"], "reversible", false),
        answers,
    ]);
    let model = |asked: &Asked<'_>| match asked.step.as_str() {
        "fails" => Behaviour::timed(5, Ending::Failed(Failure::new("permanent", "made up"))),
        _ => fine(asked),
    };
    let plan = plan(&steps, &[]);
    let ran = run(&plan, &model, Fault::None, 1);
    assert_eq!(
        (ran.status(), begun(&ran)),
        (Status::Succeeded, vec!["first".into(), "fails".into(), "answers".into()])
    );
    assert_eq!(state(&ran, "between"), Some("skipped"));
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
}

/// What stands behind a step is found by looking at each step once: a graph in rows has more ways than anybody can walk.
#[test]
fn rows_are_walked_once() {
    const ROWS: usize = 60;
    let name = |row: usize, place: usize| format!("step_{row}_{place}");
    let mut steps = vec![action("first", &[], "reversible", false)];
    for (row, place) in (0..ROWS).flat_map(|row| [(row, 0), (row, 1)]) {
        let before = [0, 1].map(|place| if row == 0 { "first".to_owned() } else { name(row - 1, place) });
        steps.push(action(&name(row, place), &before.each_ref().map(String::as_str), "reversible", false));
    }
    let last = name(ROWS - 1, 0);
    let mut answers = action("answers", &["first", &last], "reversible", false);
    answers["if"] = json!("${{ failed(\"first\") }}");
    steps.push(answers);
    let plan = plan(&json!(steps), &[]);
    let failing = |failing: &str| {
        let model = |asked: &Asked<'_>| match asked.step.as_str() == failing {
            true => Behaviour::timed(5, Ending::Failed(Failure::new("permanent", "made up"))),
            false => fine(asked),
        };
        run(&plan, &model, Fault::None, 1)
    };
    let answered = failing("first");
    assert_eq!(
        (answered.status(), begun(&answered)),
        (Status::Succeeded, vec!["first".into(), "answers".into()])
    );
    let undone = failing(&last);
    assert_eq!((undone.status(), state(&undone, "first")), (Status::Failed, Some("undone")));
}

/// Items begin in the order of their list, and so they are served when they share something.
#[test]
fn items_begin_in_their_order() {
    let mut step = action("copy", &[], "reversible", false);
    let in_order = |step: Value| {
        let steps = json!([each("each", &[], &[step])]);
        begun(&run(&plan(&steps, &[]), &fine, Fault::None, 1))
    };
    let expected = ["each/vm-a/copy".to_owned(), "each/vm-b/copy".to_owned()];
    assert_eq!(in_order(step.clone()), expected);
    step["body"]["action"]["claims"] = json!([{ "resource": "slots", "fixed": { "amount": 10 } }]);
    assert_eq!(in_order(step), expected);
}

/// An output that has no value takes none of the others with it, and the run says that it fell short.
#[test]
fn an_output_that_fails_is_told() {
    let mut whole = (*plan(&json!([action("only", &[], "reversible", false)]), &[])).clone();
    let template = |text: &str| serde_json::from_value(json!(text)).unwrap();
    whole.outputs = vec![
        ("first".to_owned(), template("${{ inputs.vms2[0] }}")),
        ("broken".to_owned(), template("${{ inputs.vms2[7] }}")),
        ("last".to_owned(), template("${{ inputs.vms2[1] }}")),
    ];
    let ran = run(&Arc::new(whole), &fine, Fault::None, 1);
    let Some(Entry::Intent(Intent::End(end))) = ran.records.last().map(|it| &it.entry) else { panic!() };
    assert_eq!(json!(end.outputs), json!({ "first": "vm-a", "last": "vm-b" }));
    assert!(end.outputs_error.as_ref().is_some_and(|why| why.contains("output `broken`")), "{end:?}");
    assert_eq!(end.status, Status::Partial);
}

/// An item in which some of its own items failed, and others went on, is `partial` for who reads it one level up.
#[test]
fn what_was_done_in_part_within_an_item_is_partial() {
    let mut inner = each("inner", &[], &[action("copy", &[], "reversible", false)]);
    inner["body"]["foreach"]["on_item_failure"] = json!("continue");
    inner["body"]["foreach"]["variable"] = json!("disk");
    let mut whole = (*plan(&json!([each("outer", &[], &[inner])]), &[])).clone();
    let filter = "${{ steps.outer.items.map(|it| it.status) }}";
    whole.outputs = vec![("stand".to_owned(), serde_json::from_value(json!(filter)).unwrap())];
    let model = |asked: &Asked<'_>| match asked.step.as_str() {
        "outer/vm-a/inner/vm-b/copy" => {
            Behaviour::timed(5, Ending::Failed(Failure::new("permanent", "made up")))
        }
        _ => fine(asked),
    };
    let ran = run(&Arc::new(whole), &model, Fault::None, 1);
    let Some(Entry::Intent(Intent::End(end))) = ran.records.last().map(|it| &it.entry) else { panic!() };
    assert_eq!((end.status, &end.outputs["stand"]), (Status::Partial, &json!(["partial", "succeeded"])));
}
