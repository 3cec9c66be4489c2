//! Steps that run only if: passed over, answered failures, and what runs whatever became of the others.

use longhaul_run::Ended;
use longhaul_saga::{Entry, Intent, Status};
use serde_json::{Value, json};

use super::toy::{Rig, foreach, item_step, pivot, plan, plan_with, step, when};

/// The steps that were passed over, with the reason.
fn skipped(rig: &Rig) -> Vec<String> {
    let reason = |record: &longhaul_saga::Record| match &record.entry {
        Entry::Intent(Intent::Skip(skip)) => Some(format!("{}: {}", skip.step, skip.because)),
        _ => None,
    };
    rig.records().iter().filter_map(reason).collect()
}

/// What the world was asked for, in order: starts and undos.
fn done(rig: &Rig) -> Vec<String> {
    rig.world.logged()
}

/// A step whose condition does not hold is passed over; what needs it goes on, and reads the default for what it did not
/// put out.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_does_not_hold_passes_over() {
    let rig = Rig::new();
    let mut optional = when("1 > 2", step("optional", &[], &[]));
    optional["body"]["action"]["defaulted"] = json!(["file"]);
    let mut reader = step("reader", &["optional"], &[]);
    reader["body"]["action"]["with"]["file"] = json!("${{ steps.optional.outputs.file ?? \"default\" }}");
    let each = foreach("each", &[], &["vm-a"], "fail", &[item_step("x", &[], &json!([]))]);
    let steps = [optional, reader, when("false", each)];
    let outputs = json!([["items", "${{ steps.each.items.len() }}"]]);
    assert_eq!(rig.run(plan_with(&steps, &outputs)).await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["default", "report"]);
    let reasons = ["optional: `if: ${{ 1 > 2 }}` is not true", "each: `if: ${{ false }}` is not true"];
    assert_eq!(skipped(&rig), reasons);
    let records = rig.records();
    let Some(Entry::Intent(Intent::End(end))) = records.last().map(|record| &record.entry) else { panic!() };
    assert_eq!(json!(end.outputs), json!({ "items": 0 }));
}

/// A failure that a step asks for is answered: nothing is undone, what needs the failed step is passed over and so is what
/// needs that, and the run succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn an_answered_failure_goes_on() {
    let rig = Rig::new();
    let steps = [
        step("before", &[], &[]),
        step("fast", &["before"], &["permanent"]),
        step("after_fast", &["fast"], &[]),
        step("at_last", &["after_fast"], &[]),
        when("failed(\"fast\")", step("slow", &["fast"], &[])),
        when("succeeded(\"fast\") || succeeded(\"slow\")", step("both", &["fast", "slow"], &[])),
    ];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["before", "both", "report", "slow"]);
    assert_eq!(skipped(&rig), ["after_fast: it needs `fast`", "at_last: it needs `after_fast`"]);
}

/// The same where nothing failed: who answers is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn who_answers_is_passed_over_when_nothing_failed() {
    let rig = Rig::new();
    let steps = [step("fast", &[], &[]), when("failed(\"fast\")", step("slow", &["fast"], &["permanent"]))];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["fast", "report"]);
}

/// A failure that nobody answers after all, or whose answer fails as well, is undone as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_without_an_answer_unwinds() {
    let unanswered = when("failed(\"b\") && 1 > 2", step("c", &["b"], &[]));
    let failing = when("failed(\"b\")", step("c", &["b"], &["permanent"]));
    for answer in [unanswered, failing] {
        let rig = Rig::new();
        let steps = [step("a", &[], &[]), step("b", &["a"], &["permanent"]), answer];
        assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
        assert_eq!(rig.world.effects(), ["report"]);
        assert!(done(&rig).contains(&"undid a".to_owned()));
    }
}

/// Behind a pivot an answered failure keeps the run from stopping for an operator.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_behind_a_pivot_can_be_answered() {
    let rig = Rig::new();
    let steps = [
        pivot(step("move", &[], &[])),
        step("redirect", &["move"], &["permanent"]),
        when("failed(\"redirect\")", step("call", &["redirect"], &[])),
    ];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["call", "move", "report"]);
}

/// What runs always runs before its graph unwinds, is not called off, and answers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_always_runs_before_the_unwinding() {
    let rig = Rig::new();
    let steps = [
        step("a", &[], &[]),
        step("b", &["a"], &["permanent"]),
        step("never", &["b"], &[]),
        when("always()", step("count", &["never"], &["transient"])),
    ];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    let said = done(&rig);
    let place =
        |line: &str| said.iter().position(|said| said == line).unwrap_or_else(|| panic!("{line}: {said:?}"));
    assert!(
        place("start count 2") < place("undid count") && place("undid count") < place("undid a"),
        "{said:?}"
    );
    assert_eq!(rig.world.effects(), ["report"]);
}

/// A condition that is neither true nor false fails its step before anything is started.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_true_or_false() {
    let rig = Rig::new();
    let steps = [step("a", &[], &[]), when("1 + 1", step("b", &["a"], &[]))];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert!(done(&rig).iter().all(|line| !line.starts_with("start b")));
    let said =
        serde_json::to_string(&rig.records().iter().map(|it| it.entry.split()).collect::<Vec<_>>()).unwrap();
    assert!(said.contains("neither true nor false"), "{said}");
}

/// `on_failure` runs once all is undone, before `always`, and only when the run did not succeed.
#[tokio::test(flavor = "multi_thread")]
async fn on_failure_runs_when_the_run_failed() {
    let with_block = |steps: &[Value]| {
        let mut plan = serde_json::to_value(plan(steps)).unwrap();
        let tell = when("failed(\"b\") && !succeeded(\"a\")", step("tell", &[], &["permanent"]));
        plan["on_failure"] =
            json!({ "steps": [tell, step("after_tell", &["tell"], &[]), step("call", &[], &[])] });
        serde_json::from_value(plan).unwrap()
    };
    let rig = Rig::new();
    let steps = [step("a", &[], &[]), step("b", &["a"], &["permanent"])];
    assert_eq!(rig.run(with_block(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(rig.world.effects(), ["call", "report"]);
    let said = done(&rig);
    let place =
        |line: &str| said.iter().position(|said| said == line).unwrap_or_else(|| panic!("{line}: {said:?}"));
    assert!(
        place("undid a") < place("start tell 1") && place("start call 1") < place("start report 1"),
        "{said:?}"
    );
    assert_eq!(skipped(&rig), ["after_tell: it needs `tell`"]);

    let rig = Rig::new();
    assert_eq!(
        rig.run(with_block(&[step("a", &[], &[]), step("b", &[], &[])])).await,
        Ended::At(Status::Succeeded)
    );
    assert_eq!(rig.world.effects(), ["a", "b", "report"]);
}
