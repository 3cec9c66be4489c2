//! How runs go: success, unwind, retry, unknown outcomes, pivots, items, operators.

use longhaul_run::{Control, Ended, JsonLines, Reporters, Terminal, replay};
use longhaul_saga::{Entry, Event, Intent, Record, Status};
use serde_json::json;

use super::toy::{DEADLINE, Rig, foreach, item_step, pivot, plan, plan_with, step};

/// What was undone, in order.
fn undone(rig: &Rig) -> Vec<String> {
    rig.world.logged().iter().filter_map(|line| line.strip_prefix("undid ")).map(str::to_owned).collect()
}

/// Every step runs once, after its needs; outputs see the steps; `always` runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_succeeds_and_puts_out() {
    let rig = Rig::new();
    let steps = [
        step("a", &[], &[]),
        step("b", &["a"], &[]),
        foreach("c", &["b"], &["vm-a", "vm-b"], "continue", &[item_step("x", &[], &json!([]))]),
    ];
    let outputs = json!([
        ["made", "${{ steps.b.outputs.file }}"],
        ["moved", "${{ steps.c.items.filter(|i| i.status == \"succeeded\").map(|i| i.key) }}"],
    ]);
    assert_eq!(rig.run(plan_with(&steps, &outputs)).await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "b", "report", "vm-a-x", "vm-b-x"]);
    let records = rig.records();
    let Some(Entry::Intent(Intent::End(end))) = records.last().map(|record| &record.entry) else { panic!() };
    assert_eq!(json!(end.outputs), json!({ "made": "b", "moved": ["vm-a", "vm-b"] }));
    assert_eq!(rig.reader().verify().unwrap().records, records.len() as u64);
}

/// A step that fails for good unwinds exactly what was done, in reverse, and the run says failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_unwinds_in_reverse() {
    let rig = Rig::new();
    let steps = [
        step("a", &[], &[]),
        step("b", &["a"], &[]),
        step("c", &["b"], &["permanent"]),
        step("d", &["c"], &[]),
    ];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(undone(&rig), ["b", "a"]);
    assert_eq!(rig.world.effects(), ["report"]);
}

/// A transient failure is tried again with the next attempt, and only as often as the policy says.
#[tokio::test(flavor = "multi_thread")]
async fn transient_failures_are_tried_again_up_to_the_cap() {
    let rig = Rig::new();
    assert_eq!(
        rig.run(plan(&[step("a", &[], &["transient", "transient"])])).await,
        Ended::At(Status::Succeeded)
    );
    let starts = |rig: &Rig| rig.world.logged().iter().filter(|line| line.starts_with("start a")).count();
    assert_eq!(starts(&rig), 3);

    let rig = Rig::new();
    let always = ["transient"; 5];
    assert_eq!(rig.run(plan(&[step("a", &[], &always)])).await, Ended::At(Status::Failed));
    assert_eq!(starts(&rig), 3);
}

/// An unknown outcome is probed: an effect that is there counts, one that is not is tried again, half of one is taken
/// up under the same attempt.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_outcomes_are_probed() {
    let rig = Rig::new();
    let steps = [step("a", &[], &["lost"]), step("b", &["a"], &["vanished"])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    let probes = rig.records().iter().filter(|r| matches!(r.entry, Entry::Event(Event::Probed(_)))).count();
    assert_eq!(probes, 2);
    assert_eq!(rig.world.effects(), ["a", "b", "report"]);
    assert!(rig.world.logged().contains(&"start b 2".to_owned()));
}

/// An effect that stays half done up to the cap is undone as well.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_done_is_undone() {
    let rig = Rig::new();
    let steps = [step("a", &[], &[]), step("b", &["a"], &["half"])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(undone(&rig), ["b", "a"]);
    assert_eq!(rig.world.under_way(), Vec::<String>::new());
}

/// Once a pivot has happened nothing before it is undone: the run stops for an operator, and a resume goes forward.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_pivot_the_run_only_goes_forward() {
    let rig = Rig::new();
    let steps = [step("a", &[], &[]), pivot(step("b", &["a"], &[])), step("c", &["b"], &["permanent"])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::NeedsOperator));
    assert_eq!(undone(&rig), Vec::<String>::new());
    let records = rig.records();
    let Some(Entry::Intent(Intent::End(end))) = records.last().map(|record| &record.entry) else { panic!() };
    assert_eq!(end.instructions[0].step.as_str(), "c");
    assert!(end.instructions[0].action.contains("longhaul resume run-a"), "{:?}", end.instructions);

    assert_eq!(rig.resume().await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "b", "c", "report"]);
}

/// A pivot that certainly left nothing behind has not happened: the run unwinds.
#[tokio::test(flavor = "multi_thread")]
async fn a_pivot_without_effect_unwinds() {
    let rig = Rig::new();
    let steps = [step("a", &[], &[]), pivot(step("b", &["a"], &["permanent"]))];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(undone(&rig), ["a"]);
}

/// An item past its pivot goes forward while another unwinds, and what it stands on stays: the run is partial.
#[tokio::test(flavor = "multi_thread")]
async fn items_past_their_pivot_go_forward() {
    let fails_for_b = json!("${{ if vm == \"vm-b\" { [\"permanent\"] } else { [] } }}");
    let mut moves = pivot(item_step("move", &["copy"], &fails_for_b));
    // Late enough that the other item has started its pivot.
    moves["body"]["action"]["with"]["takes_ms"] = json!("${{ if vm == \"vm-b\" { 500 } else { 0 } }}");
    let items = [item_step("copy", &[], &json!([])), moves, item_step("settle", &["move"], &json!([]))];
    for policy in ["continue", "fail"] {
        let rig = Rig::new();
        let steps =
            [step("tunnel", &[], &[]), foreach("all", &["tunnel"], &["vm-a", "vm-b"], policy, &items)];
        assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Partial), "{policy}");
        let stays = ["report", "tunnel", "vm-a-copy", "vm-a-move", "vm-a-settle"];
        assert_eq!(rig.world.effects(), stays, "{policy}");
        assert_eq!(undone(&rig), ["vm-b-copy"], "{policy}");
    }
}

/// An undo that keeps failing stops the run with what to do, and a resume after the repair finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_undo_needs_an_operator() {
    let rig = Rig::new();
    std::fs::write(rig.world.0.join("no-undo"), "").unwrap();
    let steps = [step("a", &[], &[]), step("b", &["a"], &["permanent"])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::NeedsOperator));
    assert_eq!(rig.world.effects(), ["a", "report"]);
    std::fs::remove_file(rig.world.0.join("no-undo")).unwrap();
    assert_eq!(rig.resume().await, Ended::At(Status::Failed));
    assert_eq!(rig.world.effects(), ["report"]);
}

/// An undo that outlives its time is given up: what it would say later, while another step is under way, is not heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_word_of_an_undo_is_not_heard() {
    let rig = Rig::new();
    let hang = rig.world.0.join("hang-undo");
    std::fs::write(&hang, "").unwrap();
    let mut plan = plan(&[step("a", &[], &[]), step("b", &["a"], &["permanent"])]);
    let mut report = step("report", &[], &[]);
    report["body"]["action"]["with"]["takes_ms"] = json!(500);
    // The clock may be moved once more when it has begun.
    report["body"]["action"]["timeout"] = json!("30d");
    plan.always = serde_json::from_value(json!({ "steps": [report] })).unwrap();
    let decided = |what: fn(&Intent) -> bool| {
        let records = rig.reader().records(&"run-a".parse().unwrap()).unwrap_or_default();
        records.iter().any(|record| matches!(&record.entry, Entry::Intent(intent) if what(intent)))
    };
    let undoes = |intent: &Intent| matches!(intent, Intent::Compensate(_));
    let reports = |intent: &Intent| matches!(intent, Intent::Start(start) if start.step.as_str() == "report");
    let run = rig.run(plan);
    let push = async {
        while !decided(reports) {
            if decided(undoes) {
                rig.clock.advance_ms(11 * 60_000);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        std::fs::remove_file(&hang).unwrap();
    };
    let (ended, pushed) = tokio::join!(run, tokio::time::timeout(DEADLINE, push));
    pushed.unwrap();
    assert_eq!(ended, Ended::At(Status::NeedsOperator));
}

/// A step that outlives its timeout is asked to stop, and how that ended decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_cancels_and_believes_the_outcome() {
    let rig = Rig::new();
    let run = rig.run(plan(&[step("a", &[], &[]), step("b", &["a"], &["hang"])]));
    // The timer is set before the handle's record is written.
    let push = async {
        while rig.reader().stored(&"run-a".parse().unwrap()).map_or(0, |stored| Vec::len(&stored)) < 6 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        rig.clock.advance_ms(11 * 60_000);
    };
    let (ended, pushed) = tokio::join!(run, tokio::time::timeout(DEADLINE, push));
    pushed.unwrap();
    assert_eq!(ended, Ended::At(Status::Succeeded), "the second attempt does not hang");
    let cancelled = rig.records().iter().any(|r| matches!(r.entry, Entry::Intent(Intent::Cancel(_))));
    assert!(cancelled);
}

/// What a step had done when its time was up, and kept, is taken up under the same attempt as often as the policy says, and
/// undone after that.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_timeout_left_is_taken_up() {
    let rig = Rig::new();
    let run = rig.run(plan(&[step("a", &[], &["hang-half"])]));
    let begun = || {
        let handles = |record: &Record| matches!(record.entry, Entry::Event(Event::HandleGiven(_)));
        rig.reader()
            .records(&"run-a".parse().unwrap())
            .map_or(0, |all| all.iter().filter(|it| handles(it)).count())
    };
    let push = async {
        for tries in 1..=3 {
            while begun() < tries {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            rig.clock.advance_ms(11 * 60_000);
        }
    };
    let (ended, pushed) = tokio::join!(run, tokio::time::timeout(DEADLINE, push));
    pushed.unwrap();
    assert_eq!(ended, Ended::At(Status::Failed));
    let starts: Vec<_> = rig.world.logged().into_iter().filter(|line| line.starts_with("start a")).collect();
    assert_eq!(starts, ["start a 1"; 3]);
    assert_eq!(undone(&rig), ["a"]);
}

/// An action that panics takes nobody with it: its step's outcome is unknown, it is asked about, and the run comes to an end
/// that says what happened. Where it panics while it is polled by the driver itself, and where it does so later.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failure_of_its_step() {
    for takes_ms in [0, 5] {
        let rig = Rig::new();
        let mut broken = step("b", &["a"], &["panic"]);
        broken["body"]["action"]["with"]["takes_ms"] = json!(takes_ms);
        let ended = rig.run(plan(&[step("a", &[], &[]), broken])).await;
        assert_eq!(ended, Ended::At(Status::Failed));
        assert_eq!(rig.world.effects(), ["report"], "what was done was undone");
        let said = rig.records().iter().find_map(|record| match &record.entry {
            Entry::Event(Event::Unknown(unknown)) => Some(unknown.failure.to_string()),
            _ => None,
        });
        assert_eq!(said.as_deref(), Some("its action panicked (internal)"));
    }
}

/// An action that gives no sign of life is not waited for until its timeout: it is asked about, and taken up where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_action_is_asked_about() {
    let rig = Rig::new();
    let mut silent = step("a", &[], &["silent"]);
    silent["body"]["action"]["heartbeat"] = json!("1m");
    let run = rig.run(plan(&[silent]));
    let push = async {
        while !rig.world.logged().contains(&"silent".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        rig.clock.advance_ms(61_000);
    };
    let (ended, pushed) = tokio::join!(run, tokio::time::timeout(DEADLINE, push));
    pushed.unwrap();
    assert_eq!(ended, Ended::At(Status::Succeeded));
    let said = rig.records().into_iter().find_map(|record| match record.entry {
        Entry::Event(Event::Unknown(unknown)) => Some(unknown.failure.to_string()),
        _ => None,
    });
    assert_eq!(said.unwrap(), "it gave no sign of life for 1m (unreachable)");
    assert_eq!(rig.world.effects(), ["a", "report"]);
}

/// A run that is given up undoes what it did; the step under way is asked to stop first.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_given_up_unwinds() {
    let rig = Rig::new();
    let control = Control::new();
    let run =
        rig.run_with(plan(&[step("a", &[], &[]), step("b", &["a"], &["hang"])]), Reporters::new(), &control);
    let world = rig.world.clone();
    let push = async {
        while !world.logged().contains(&"start b 1".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        control.cancel("the storm turned away");
    };
    let (ended, pushed) = tokio::join!(run, tokio::time::timeout(DEADLINE, push));
    pushed.unwrap();
    assert_eq!(ended, Ended::At(Status::Failed));
    assert_eq!(rig.world.effects(), ["report"]);
}

/// An interrupted run is whole: a resume finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_can_be_resumed() {
    let rig = Rig::new();
    let control = Control::new();
    let mut steps = vec![step("a", &[], &[]), step("b", &["a"], &[])];
    steps[1]["body"]["action"]["with"]["takes_ms"] = json!(300);
    let run = rig.run_with(plan(&steps), Reporters::new(), &control);
    let world = rig.world.clone();
    let push = async {
        while !world.logged().contains(&"start b 1".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        control.stop();
    };
    let (ended, pushed) = tokio::join!(run, tokio::time::timeout(DEADLINE, push));
    pushed.unwrap();
    assert_eq!(ended, Ended::Interrupted);
    assert_eq!(rig.resume().await, Ended::At(Status::Succeeded));
    let starts_of_a = rig.world.logged().iter().filter(|line| line.starts_with("start a")).count();
    assert_eq!(starts_of_a, 1, "a finished step does not run again");
}

/// A writer that several hands can read.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A replay prints the bytes of the live run, as lines and as JSON.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_prints_what_the_live_run_printed() {
    let rig = Rig::new();
    let steps = [step("a", &[], &["transient"]), step("b", &["a"], &["permanent"])];
    let (lines, json) = (Shared::default(), Shared::default());
    let reporters = Reporters::new().with(Terminal::plain(lines.clone())).with(JsonLines::new(json.clone()));
    rig.run_with(plan(&steps), reporters, &Control::new()).await;

    let (lines_again, json_again) = (Shared::default(), Shared::default());
    let mut reporters =
        Reporters::new().with(Terminal::plain(lines_again.clone())).with(JsonLines::new(json_again.clone()));
    replay(&rig.records(), &mut reporters);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("b: failed: as the script says (permanent)"), "{text}");
    assert_eq!(text, String::from_utf8(lines_again.0.lock().unwrap().clone()).unwrap());
    assert_eq!(*json.0.lock().unwrap(), *json_again.0.lock().unwrap());
}

/// What is open for as long as its graph runs is undone at the end, behind everything else, also when all went well; a graph that
/// unwinds undoes it in its turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_is_closed_at_the_end() {
    let scope = |id: &str, needs: &[&str]| {
        let mut step = step(id, needs, &[]);
        step["body"]["action"]["scope"] = json!(true);
        step
    };
    let rig = Rig::new();
    let steps = [
        scope("tunnel", &[]),
        scope("lease", &["tunnel"]),
        pivot(step("a", &["lease"], &[])),
        step("b", &["a"], &[]),
    ];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "b", "report"]);
    assert_eq!(undone(&rig), ["lease", "tunnel"]);
    let said = rig.world.logged();
    let place = |line: &str| said.iter().position(|said| said == line).unwrap();
    assert!(place("did b") < place("undid lease"), "{said:?}");

    let rig = Rig::new();
    let steps = [scope("tunnel", &[]), step("a", &["tunnel"], &[]), step("b", &["a"], &["permanent"])];
    assert_eq!(rig.run(plan(&steps)).await, Ended::At(Status::Failed));
    assert_eq!(undone(&rig), ["a", "tunnel"]);
}

/// A scope that cannot be closed stops the run for an operator although everything else went well; a resume closes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_stays_open_needs_an_operator() {
    let rig = Rig::new();
    std::fs::write(rig.world.0.join("no-undo"), "").unwrap();
    let mut tunnel = step("tunnel", &[], &[]);
    tunnel["body"]["action"]["scope"] = json!(true);
    assert_eq!(rig.run(plan(&[tunnel, step("a", &["tunnel"], &[])])).await, Ended::At(Status::NeedsOperator));
    std::fs::remove_file(rig.world.0.join("no-undo")).unwrap();
    assert_eq!(rig.resume().await, Ended::At(Status::Succeeded));
    assert_eq!(rig.world.effects(), ["a", "report"]);
}
