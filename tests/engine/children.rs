//! Workflows that run as steps.

use longhaul_plan::Plan;
use longhaul_run::{Control, Ended, Reporters};
use longhaul_saga::intent::Instruction;
use longhaul_saga::{Entry, Event, Intent, Report, Status};
use serde_json::{Value, json};

use super::crash::sweep;
use super::toy::{Rig, foreach, item_step, pivot, plan, plan_with, step, when};

/// A step that runs a workflow of these steps; `more` are further keys of it.
fn child(id: &str, needs: &[&str], steps: &[Value], more: &Value) -> Value {
    let mut body = json!({
        "workflow": { "name": "inner", "version": "1.0.0", "sha256": "cd".repeat(32), "file": "inner.yaml" },
        "with": {}, "inputs": [], "graph": { "steps": steps }, "outputs": [],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "id": id, "needs": needs, "line": 1, "body": { "workflow": body } })
}

/// A step of the toy action that writes this file.
fn writes(id: &str, needs: &[&str], file: &str) -> Value {
    let mut step = step(id, needs, &[]);
    step["body"]["action"]["with"]["file"] = json!(file);
    step
}

fn undone(rig: &Rig) -> Vec<String> {
    rig.world.logged().iter().filter_map(|line| line.strip_prefix("undid ")).map(str::to_owned).collect()
}

/// Where every step stands in the end, sorted by path.
fn states(rig: &Rig) -> Vec<(String, &'static str)> {
    let saga = longhaul_saga::Saga::fold(&rig.records()).unwrap().saga;
    saga.steps().map(|view| (view.step.to_string(), view.state)).collect()
}

/// Two items, of which the first goes forward for good and the second fails.
fn half_moved() -> Value {
    let fails_for_b = json!("${{ if vm == \"vm-b\" { [\"permanent\"] } else { [] } }}");
    let mut go = pivot(item_step("go", &[], &fails_for_b));
    // Late enough that the other item has started its pivot.
    go["body"]["action"]["with"]["takes_ms"] = json!("${{ if vm == \"vm-b\" { 500 } else { 0 } }}");
    foreach("each", &[], &["vm-a", "vm-b"], "fail", &[go])
}

/// What the run's last end asks of a person.
fn instructions(rig: &Rig) -> Vec<Instruction> {
    let records = rig.records();
    let end = records.iter().rev().find_map(|record| match &record.entry {
        Entry::Intent(Intent::End(end)) => Some(end.instructions.clone()),
        _ => None,
    });
    end.expect("the run has an end")
}

/// What the report calls safe.
fn safe_now(rig: &Rig) -> String {
    Report::fold(&rig.records()).expect("the run was created").safe_now.join("; ")
}

fn state_of(rig: &Rig, step: &str) -> &'static str {
    states(rig).into_iter().find(|(path, _)| path == step).map_or("not there", |(_, state)| state)
}

/// Inputs go in and outputs come out; inside, the names of the workflow around mean nothing, and its own steps stand below
/// the step's path.
#[tokio::test(flavor = "multi_thread")]
async fn inputs_go_in_and_outputs_come_out() {
    let rig = Rig::new();
    let inner = json!({
        "with": { "name": "${{ steps.a.outputs.file }}-1" },
        "inputs": [
            { "name": "name", "schema": { "type": "string" } },
            { "name": "suffix", "schema": { "type": "string", "default": "z" } },
        ],
        "outputs": [["made", "${{ steps.a.outputs.file }}"]],
        "always": { "steps": [writes("last", &[], "last")] },
    });
    let steps = [
        step("a", &[], &[]),
        child("one", &["a"], &[writes("a", &[], "${{ inputs.name }}${{ inputs.suffix }}")], &inner),
        writes("b", &["one"], "${{ steps.one.outputs.made }}-b"),
    ];
    let outputs = json!([["made", "${{ steps.one.outputs.made }}"]]);
    assert_eq!(rig.run(plan_with(&steps, &outputs)).await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "a-1z", "a-1z-b", "last", "report"]);
    let records = rig.records();
    let Some(Entry::Intent(Intent::End(end))) = records.last().map(|record| &record.entry) else { panic!() };
    assert_eq!(json!(end.outputs), json!({ "made": "a-1z" }));
    let entered = records.iter().find_map(|record| match &record.entry {
        Entry::Intent(Intent::Enter(enter)) => Some(json!(enter)),
        _ => None,
    });
    assert_eq!(entered, Some(json!({ "step": "one", "inputs": { "name": "a-1", "suffix": "z" } })));
    assert_eq!(state_of(&rig, "one/a"), "succeeded");
    assert_eq!(state_of(&rig, "one/last"), "succeeded");
}

/// A value that an input's schema does not allow fails the step before anything in it begins.
#[tokio::test(flavor = "multi_thread")]
async fn inputs_are_held_against_their_schemas() {
    let rig = Rig::new();
    let inner = json!({
        "with": { "n": "${{ steps.a.outputs.file.len() }}" },
        "inputs": [{ "name": "n", "schema": { "type": "integer", "maximum": 0 } }],
    });
    let steps = [step("a", &[], &[]), child("one", &["a"], &[step("b", &[], &[])], &inner)];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    let refused = rig.records().iter().find_map(|record| match &record.entry {
        Entry::Intent(Intent::Refuse(refuse)) => Some(refuse.failure.message.clone()),
        _ => None,
    });
    assert_eq!(refused.unwrap(), "inputs: its schema does not allow `n` to be 1");
    assert_eq!((rig.world.effects(), undone(&rig)), (vec!["report".to_owned()], vec!["a".to_owned()]));
}

/// A failure inside undoes what was done inside, then what was done before; `on_failure` and `always` run in between, and
/// the failure says where it comes from.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_inside_undoes_it_and_what_came_before() {
    let rig = Rig::new();
    let last = json!({
        "on_failure": { "steps": [writes("told", &[], "told")] },
        "always": { "steps": [writes("last", &[], "last")] },
    });
    let inner = [step("b", &[], &[]), step("c", &["b"], &["permanent"]), step("d", &["c"], &[])];
    let steps = [step("a", &[], &[]), child("one", &["a"], &inner, &last), step("e", &["one"], &[])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(undone(&rig), ["b", "a"]);
    assert_eq!(rig.world.effects(), ["last", "report", "told"]);
    let log = rig.world.logged();
    let at = |line: &str| log.iter().position(|it| it.starts_with(line)).unwrap();
    assert!(at("undid b") < at("start told") && at("start told") < at("start last"), "{log:?}");
    assert!(at("start last") < at("undid a"), "{log:?}");
    let saga = longhaul_saga::Saga::fold(&rig.records()).unwrap().saga;
    let one = saga.steps().find(|view| view.step.as_str() == "one").unwrap();
    assert!(one.failure.as_ref().unwrap().starts_with("c: "), "{:?}", one.failure);
    assert_eq!((one.state, one.workflow.as_deref()), ("failed", Some("inner")));
}

/// A failure after it undoes its steps in reverse, each once; its last blocks do not run again, and nothing of them is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_failure_unwinds_through_it() {
    let rig = Rig::new();
    let last = json!({
        "on_failure": { "steps": [writes("told", &[], "told")] },
        "always": { "steps": [writes("last", &[], "last")] },
    });
    let deeper = child("deeper", &["b"], &[step("c", &[], &[]), step("d", &["c"], &[])], &json!({}));
    let inner = [step("b", &[], &[]), deeper, step("f", &["deeper"], &[])];
    let steps =
        [step("a", &[], &[]), child("one", &["a"], &inner, &last), step("e", &["one"], &["permanent"])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(undone(&rig), ["f", "d", "c", "b", "a"]);
    assert_eq!(rig.world.effects(), ["last", "report"]);
    assert_eq!(state_of(&rig, "one"), "undone");
}

/// A failure beside it calls off what is under way inside; a step before it that failed passes it over.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_it_leaves_it_alone() {
    let rig = Rig::new();
    let steps = [step("a", &[], &["permanent"]), child("one", &["a"], &[step("b", &[], &[])], &json!({}))];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(rig.world.effects(), ["report"]);
    assert_eq!(state_of(&rig, "one/b"), "not there");
}

/// The pivot inside is one of the workflow around: what came before stays, also what it does not stand on, and the run waits
/// for a person where it cannot go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_pivot_inside_lets_the_run_only_go_forward() {
    let rig = Rig::new();
    let inner = [step("b", &[], &[]), pivot(step("go", &["b"], &[])), step("c", &["go"], &[])];
    let steps = [
        step("a", &[], &[]),
        step("beside", &[], &[]),
        child("one", &["a"], &inner, &json!({})),
        step("d", &["one"], &["permanent"]),
    ];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::NeedsOperator));
    assert_eq!(undone(&rig), Vec::<String>::new());
    assert_eq!(rig.world.effects(), ["a", "b", "beside", "c", "go", "report"]);
    assert_eq!(rig.resume().await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "b", "beside", "c", "d", "go", "report"]);
    assert_eq!(rig.world.logged().iter().filter(|line| line.starts_with("start b ")).count(), 1);
}

/// What fails inside behind the pivot waits for a person; a resume tries that step again and repeats nothing.
#[tokio::test(flavor = "multi_thread")]
async fn behind_the_pivot_inside_a_person_is_asked() {
    let rig = Rig::new();
    let inner = [pivot(step("go", &[], &[])), step("c", &["go"], &["permanent"])];
    let steps = [step("a", &[], &[]), child("one", &["a"], &inner, &json!({})), step("d", &["one"], &[])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::NeedsOperator));
    assert_eq!((state_of(&rig, "one"), state_of(&rig, "one/c")), ("needs_operator", "needs_operator"));
    let stuck: Vec<_> = rig
        .records()
        .iter()
        .filter_map(|record| match &record.entry {
            Entry::Intent(Intent::End(end)) => {
                Some(end.instructions.iter().map(|it| it.step.to_string()).collect::<Vec<_>>())
            }
            _ => None,
        })
        .collect();
    assert_eq!(stuck, [["one/c"]]);
    assert_eq!(rig.resume().await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.logged().iter().filter(|line| line.starts_with("start go")).count(), 1);
}

/// A failure is answered as that of any other step, once all of it is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_it_is_answered() {
    let rig = Rig::new();
    let inner = [step("b", &[], &[]), step("c", &["b"], &["permanent"])];
    let steps = [
        step("a", &[], &[]),
        child("one", &["a"], &inner, &json!({})),
        when("failed(\"one\")", step("slowly", &["one"], &[])),
    ];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    assert_eq!(
        (undone(&rig), rig.world.effects()),
        (vec!["b".into()], vec!["a".into(), "report".into(), "slowly".into()])
    );
}

/// One that failed and left a part of itself is `partial`, and no step beside it answers that; the report says why the one that asks
/// for its failure never began, also in an item. Items of a foreach speak for themselves: its failure is answered.
#[tokio::test(flavor = "multi_thread")]
async fn what_stays_in_part_is_not_answered() {
    let answers = |of: &str| when(&format!("failed(\"{of}\")"), step("instead", &[of], &[]));
    let one = child("one", &[], &[half_moved()], &json!({}));
    let outputs = json!([["one", "${{ steps.one.status }}"]]);
    let rig = Rig::new();
    assert_eq!(
        rig.run(plan_with(&[one.clone(), answers("one")], &outputs)).await,
        Ended::At(Status::Partial)
    );
    assert_eq!((state_of(&rig, "one"), state_of(&rig, "instead")), ("partial", "waiting"));
    let records = rig.records();
    let Some(Entry::Intent(Intent::End(end))) = records.last().map(|record| &record.entry) else { panic!() };
    assert_eq!(json!(end.outputs), json!({ "one": "partial" }));
    let never = "What never began\n  instead: it answers a failure of one, which left a part of itself\n";
    let text = Report::fold(&records).unwrap().text();
    assert!(text.contains(never), "{text}");

    let rig = Rig::new();
    let items = [one, answers("one")];
    let all = foreach("all", &[], &["vm-x"], "continue", &items);
    assert_eq!(rig.run(plan(&[all])).await, Ended::At(Status::Partial));
    let text = Report::fold(&rig.records()).unwrap().text();
    let never = "What never began\n  all/vm-x/instead: it answers a failure of all/vm-x/one, which left a part of itself\n";
    assert!(text.contains(never), "{text}");

    let rig = Rig::new();
    let outputs = json!([["each", "${{ steps.each.status }}"]]);
    assert_eq!(
        rig.run(plan_with(&[half_moved(), answers("each")], &outputs)).await,
        Ended::At(Status::Partial)
    );
    assert_eq!((state_of(&rig, "each"), state_of(&rig, "instead")), ("failed", "succeeded"));
}

/// An output that has no value fails the step although its steps succeeded: they are undone.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_without_a_value_fails_it() {
    let rig = Rig::new();
    let outputs = json!({ "outputs": [["made", "${{ inputs.none[3] }}"]], "with": { "none": [] }, "inputs": [{ "name": "none", "schema": {} }] });
    let steps = [step("a", &[], &[]), child("one", &["a"], &[step("b", &[], &[])], &outputs)];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(undone(&rig), ["b", "a"]);
    let saga = longhaul_saga::Saga::fold(&rig.records()).unwrap().saga;
    let one = saga.steps().find(|view| view.step.as_str() == "one").unwrap();
    assert!(one.failure.as_ref().unwrap().starts_with("output `made`: "), "{:?}", one.failure);
}

/// Behind a pivot nothing is undone for such an output: the run says that all is done and stays, which output has no value, and
/// that a resume meets the same. It does.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_without_a_value_behind_the_pivot_is_told_as_it_is() {
    let rig = Rig::new();
    let outputs = json!({ "outputs": [["made", "${{ inputs.none[3] }}"]], "with": { "none": [] }, "inputs": [{ "name": "none", "schema": {} }] });
    let inner = [step("b", &[], &[]), pivot(step("go", &["b"], &[]))];
    let steps = [step("a", &[], &[]), child("one", &["a"], &inner, &outputs), step("c", &["one"], &[])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::NeedsOperator));
    let told = instructions(&rig);
    let [Instruction { step, problem, action }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(step.as_str(), "one");
    let is_done =
        "all that the steps of `workflow inner` did is done and stays, but it has no end: output `made`: ";
    assert!(problem.starts_with(is_done) && problem.contains("has no value"), "{problem}");
    let resumed = "a resume meets the same, for the workflow's text is pinned: mend the output in the file";
    assert!(action.starts_with(resumed), "{action}");
    assert!(!safe_now(&rig).contains("longhaul resume"), "{}", safe_now(&rig));
    assert_eq!(rig.resume().await, Ended::At(Status::NeedsOperator));
    assert_eq!(
        (instructions(&rig), rig.world.effects()),
        (told, ["a", "b", "go", "report"].map(str::to_owned).into())
    );
}

/// What failed inside and left a part of itself is not told as something that left nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_stays_in_part_is_told_as_it_is() {
    let rig = Rig::new();
    let inner = [half_moved()];
    let steps = [pivot(step("a", &[], &[])), child("one", &["a"], &inner, &json!({}))];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::NeedsOperator));
    let told = instructions(&rig);
    let [Instruction { step, problem, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(step.as_str(), "one");
    let is_part =
        "a part of `workflow inner` stays, and from here the run can only go forward: each: 1 of 2 items";
    assert!(problem.starts_with(is_part), "{problem}");
}

/// Its own deadline bounds it and nothing else: what is under way is called off, what was done inside is undone.
#[tokio::test(flavor = "multi_thread")]
async fn its_deadline_is_its_own() {
    let rig = Rig::new();
    let late = json!({ "deadline": "${{ now() + duration(\"1h\") }}" });
    let pause = json!({ "id": "pause", "needs": ["b"], "line": 1, "body": { "wait": { "for": "2h" } } });
    let steps = [
        step("a", &[], &[]),
        child("one", &["a"], &[step("b", &[], &[]), pause], &late),
        when("failed(\"one\")", step("instead", &["one"], &[])),
    ];
    let control = Control::new();
    let run = rig.run_with(plan(&steps), Reporters::new(), &control);
    let pass = async {
        let paused = |rig: &Rig| {
            let records = rig.reader().records(&"run-a".parse().unwrap()).unwrap_or_default();
            records.iter().filter(|it| matches!(it.entry, Entry::Intent(Intent::Pause(_)))).count() == 2
        };
        while !paused(&rig) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        rig.clock.advance_ms(61 * 60_000);
    };
    let (ended, ()) =
        tokio::time::timeout(super::toy::DEADLINE, async { tokio::join!(run, pass) }).await.unwrap();
    assert_eq!(ended, Ended::At(Status::Succeeded));
    assert_eq!(
        (undone(&rig), rig.world.effects()),
        (vec!["b".into()], vec!["a".into(), "instead".into(), "report".into()])
    );
    let saga = longhaul_saga::Saga::fold(&rig.records()).unwrap().saga;
    let one = saga.steps().find(|view| view.step.as_str() == "one").unwrap();
    assert_eq!(one.failure.as_deref(), Some("its deadline has passed (cancelled)"));
    let fired =
        rig.records().iter().filter(|it| matches!(it.entry, Entry::Event(Event::TimerFired(_)))).count();
    assert_eq!(fired, 1);
}

/// About a dozen steps: a workflow with items in it, twice, and one in an item.
fn nested(last: &[&str]) -> Plan {
    let inner = |id: &str, needs: &[&str], prefix: &str| {
        let more = json!({
            "with": { "prefix": prefix }, "inputs": [{ "name": "prefix", "schema": { "type": "string" } }],
            "outputs": [["made", "${{ steps.first.outputs.file }}"]],
            "always": { "steps": [writes("last", &[], "${{ inputs.prefix }}-last")] },
        });
        let steps = [
            writes("first", &[], "${{ inputs.prefix }}-first"),
            writes("then", &["first"], "${{ inputs.prefix }}-then"),
        ];
        child(id, needs, &steps, &more)
    };
    plan(&[
        step("check", &[], &[]),
        inner("one", &["check"], "one"),
        foreach(
            "all",
            &["one"],
            &["vm-a", "vm-b"],
            "fail",
            &[item_step("copy", &[], &json!([])), inner("in_item", &["copy"], "${{ vm }}")],
        ),
        step("after", &["all"], last),
    ])
}

/// Cut after every record and resumed, it ends in the same way, and no finished step starts again.
#[tokio::test(flavor = "multi_thread")]
async fn it_survives_a_crash_at_every_record() {
    sweep(nested(&[]), Status::Succeeded).await;
    sweep(nested(&["permanent"; 3]), Status::Failed).await;
}
