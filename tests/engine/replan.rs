//! Going on with another plan, or with some steps once more.

use std::fs;

use longhaul_model::ids::StepPath;
use longhaul_plan::Plan;
use longhaul_run::driver::Error;
use longhaul_run::{Control, Ended, Reporters};
use longhaul_saga::{Entry, Event, Record, Status};

use super::toy::{DEADLINE, Rig, foreach, item_step, pivot, plan, recorded, step};

async fn replan(rig: &Rig, plan: Option<Plan>, again: &[&str]) -> Result<Ended, Error> {
    let (driver, run, control) = (rig.driver(), "run-a".parse().unwrap(), Control::new());
    let again: Vec<StepPath> = again.iter().map(|step| step.parse().unwrap()).collect();
    let mut reporters = Reporters::new();
    let going_on = driver.replan(&run, plan, again, &mut reporters, &control);
    tokio::time::timeout(DEADLINE, going_on).await.unwrap()
}

/// What was done and undone since the run was replanned first.
fn behind(rig: &Rig, before: usize) -> Vec<String> {
    let is_end = |line: &String| line.starts_with("did") || line.starts_with("undid");
    rig.world.logged().into_iter().skip(before).filter(is_end).collect()
}

fn replanned(record: &Record) -> bool {
    matches!(record.entry, Entry::Event(Event::Replanned(_)))
}

/// A step that is named runs again with all that stands on it, after that was undone, the last first; nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_runs_again_with_what_stands_on_it() {
    let rig = Rig::new();
    let steps =
        [step("a", &[], &[]), step("b", &["a"], &[]), step("c", &["b"], &[]), step("aside", &["a"], &[])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    let before = rig.world.logged().len();
    assert_eq!(replan(&rig, None, &["b"]).await.unwrap(), Ended::At(Status::Succeeded));
    // The report is one more effect of the new end; its file is there from the first.
    assert_eq!(behind(&rig, before), ["undid c", "undid b", "did b", "did c"]);
    assert_eq!(rig.world.effects(), ["a", "aside", "b", "c", "report"]);
}

/// A run that stopped behind its pivot goes on with a file in which the step that failed is mended and another one added.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_plan_mends_a_stopped_run() {
    let rig = Rig::new();
    let steps = |script: &'static [&'static str]| {
        vec![step("copy", &[], &[]), pivot(step("move", &["copy"], &[])), step("tell", &["move"], script)]
    };
    let ended = rig.run(plan(&steps(&["permanent"]))).await;
    assert_eq!(ended, Ended::At(Status::NeedsOperator));
    let before = rig.world.logged().len();
    let mut mended = steps(&[]);
    mended.push(step("log", &["tell"], &[]));
    let ended = replan(&rig, Some(plan(&mended)), &[]).await.unwrap();
    assert_eq!(ended, Ended::At(Status::Succeeded));
    assert_eq!(behind(&rig, before), ["did tell", "did log"]);
    assert_eq!(rig.world.effects(), ["copy", "log", "move", "report", "tell"]);
    let fold = longhaul_saga::Saga::fold(&rig.records()).unwrap();
    assert_eq!(*fold.saga.plan(), plan(&mended));
}

/// Something of a step is there that the new plan does not have, or has otherwise; a pivot would run again: refused by name, and
/// the run is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_place_is_refused() {
    let rig = Rig::new();
    let steps = [step("a", &[], &[]), pivot(step("b", &["a"], &[])), step("c", &["b"], &["permanent"])];
    rig.run(plan(&steps)).await;
    let records = rig.records().len();
    let without = plan(&[pivot(step("b", &[], &[])), step("c", &["b"], &[])]);
    let before = plan(&[
        step("new", &[], &[]),
        step("a", &["new"], &[]),
        pivot(step("b", &["a"], &[])),
        step("c", &["b"], &[]),
    ]);
    let cases = [
        (Some(without), &[][..], "`a` (toy.yaml:1) is succeeded, and has no place in the new workflow"),
        (
            Some(before),
            &[],
            "`a` is succeeded, and would need `new` (toy.yaml:1), which has not come to its end",
        ),
        (None, &["a"], "`b` (toy.yaml:1) cannot run again"),
        (None, &["x"], "there is no step `x`"),
    ];
    for (plan, again, said) in cases {
        let error = replan(&rig, plan, again).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(said), "{source}");
        assert_eq!(rig.records().len(), records);
    }
}

/// One item of many is done again; the others stay, and what stands on all of them is done again as well.
#[tokio::test(flavor = "multi_thread")]
async fn one_item_runs_again() {
    let rig = Rig::new();
    let inside =
        [item_step("x", &[], &serde_json::json!([])), item_step("y", &["x"], &serde_json::json!([]))];
    let steps = [foreach("each", &[], &["v", "w"], "fail", &inside), step("last", &["each"], &[])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    let before = rig.world.logged().len();
    assert_eq!(replan(&rig, None, &["each/w/y"]).await.unwrap(), Ended::At(Status::Succeeded));
    assert_eq!(behind(&rig, before), ["undid last", "undid w-y", "did w-y", "did last"]);
}

/// An undo that does not succeed stops the run; so does a controller that is stopped over it. Either way the next one goes on
/// undoing, and then forward.
#[tokio::test(flavor = "multi_thread")]
async fn going_back_survives_whoever_does_it() {
    let rig = Rig::new();
    let steps = [step("a", &[], &[]), step("b", &["a"], &[]), step("c", &["b"], &[])];
    rig.run(plan(&steps)).await;
    let before = rig.world.logged().len();
    fs::write(rig.world.0.join("no-undo"), "").unwrap();
    assert_eq!(replan(&rig, None, &["a"]).await.unwrap(), Ended::At(Status::NeedsOperator));
    fs::remove_file(rig.world.0.join("no-undo")).unwrap();
    fs::write(rig.world.0.join("hang-undo"), "").unwrap();
    let (driver, run, control) = (rig.driver(), "run-a".parse().unwrap(), Control::new());
    let mut reporters = Reporters::new();
    let resumed = driver.resume(&run, &mut reporters, &control);
    let stop = async {
        recorded(&rig, replanned).await;
        recorded(&rig, |it| matches!(it.entry, Entry::Event(Event::RunResumed(_)))).await;
        control.stop();
        fs::remove_file(rig.world.0.join("hang-undo")).unwrap();
    };
    let (ended, ()) = tokio::join!(resumed, stop);
    assert_eq!(ended.unwrap(), Ended::Interrupted);
    assert_eq!(rig.resume().await, Ended::At(Status::Succeeded));
    // An undo that was cut short is asked for once more.
    let mut done = behind(&rig, before);
    done.dedup();
    assert_eq!(done, ["undid c", "undid b", "undid a", "did a", "did b", "did c"]);
}
