//! Random plans, random worlds and random faults keep every invariant, and an invariant that is broken is seen.

mod breaks;
mod claims;
mod cuts;
mod detectors;
mod forked;
mod kept;
mod last_blocks;
mod policies;
mod probes;
mod questions;
mod random;
mod sites;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use longhaul_model::test::Invariant;
use longhaul_plan::Plan;
use longhaul_saga::{Entry, Failure, Intent, Report, Saga, Status, Work};
use serde_json::{Value, json};

use crate::{Asked, Behaviour, Ending, Fault, Halt, Layout, Model, Ran, Setup, Side, invariant, simulate};

/// Far above what a good step takes here, and below what some random ones do.
const TIMEOUT: &str = "30m";

fn fine(_: &Asked<'_>) -> Behaviour {
    Behaviour::timed(1_000, Ending::Done(json!({ "ok": true })))
}

fn run(plan: &Arc<Plan>, model: &dyn Model, fault: Fault, seed: u64) -> Ran {
    let run = "run-sim".parse().unwrap();
    simulate(Setup { plan, run, past: &[], clock_unix_ms: 0, seed, model, fault, resumes: 3 })
}

fn action(id: &str, needs: &[&str], effects: &str, pivot: bool) -> Value {
    json!({ "id": id, "needs": needs, "line": 1, "body": { "action": {
        "uses": "toy.write@1", "with": { "file": id }, "effects": effects, "timeout": TIMEOUT,
        "retry": { "max_attempts": 3, "errors": ["transient"],
                   "backoff": { "initial": "1s", "factor": 2, "max": "8s", "full_jitter": true } },
        "pivot": pivot, "compensate": null,
    }}})
}

fn plan(steps: &Value, vms: &[String]) -> Arc<Plan> {
    Arc::new(
        serde_json::from_value(json!({
            "workflow": { "name": "toy", "version": "1.0.0", "sha256": "00", "file": "toy.yaml" },
            "inputs": { "vms": vms, "none": [], "vms1": ["vm-a"], "vms2": ["vm-a", "vm-b"], "vms3": ["vm-a", "vm-b", "vm-c"] },
            "resources": [
                { "name": "wan", "kind": "bandwidth", "capacity": "1Mbit/s", "reserve": { "percent": 20 } },
                { "name": "slots", "kind": "count", "capacity": 10 },
            ],
            "graph": { "steps": steps }, "outputs": [],
            "always": { "steps": [action("report", &[], "none", false)] },
        }))
        .unwrap(),
    )
}

/// Evacuation in small: two steps, then for each VM a copy, the pivot and what comes after it.
fn evacuation(vms: usize, max_parallel: u32) -> Arc<Plan> {
    let names: Vec<String> = (0..vms).map(|n| format!("vm-{n}")).collect();
    let nested = json!([
        action("copy", &[], "reversible", false),
        action("dns", &[], "reversible", false),
        action("go", &["copy", "dns"], "irreversible", true),
        action("settle", &["go"], "irreversible", false),
    ]);
    let each = json!({ "id": "each", "needs": ["tunnel"], "line": 1, "body": { "foreach": {
        "over": "${{ inputs.vms }}", "variable": "vm", "max_parallel": max_parallel, "on_item_failure": "continue",
        "graph": { "steps": nested },
    }}});
    plan(
        &json!([
            action("check", &[], "none", false),
            action("tunnel", &["check"], "reversible", false),
            each
        ]),
        &names,
    )
}

/// The same setup gives the same records, and another seed other draws.
#[test]
fn a_simulation_can_be_repeated() {
    let plan = evacuation(2, 1);
    let shaky = |asked: &Asked<'_>| {
        let failure = Failure::new("transient", "made up");
        Behaviour::timed(10, if asked.time < 3 { Ending::Failed(failure) } else { fine(asked).ending })
    };
    let [first, second, other] = [1, 1, 2].map(|seed| run(&plan, &shaky, Fault::None, seed));
    assert_eq!(first.records, second.records);
    assert_ne!(first.took_ms(), other.took_ms());
    assert_eq!(first.status(), Status::Succeeded);
}

/// Simulated records are a run's records: they fold, and the report of them is whole.
#[test]
fn records_fold_and_are_reported() {
    let ran = run(&evacuation(3, 2), &fine, Fault::None, 1);
    let fold = Saga::fold(&ran.records).unwrap();
    assert_eq!((fold.saga.status(), fold.unrecorded), (Status::Succeeded, vec![]));
    insta::assert_snapshot!(Report::fold(&ran.records).unwrap().text());
}

/// Wherever the controller dies, and on either side of the write, the next one brings the run to the same end, and no
/// effect comes about twice.
#[test]
fn a_crash_at_any_write_changes_no_outcome() {
    let plan = evacuation(2, 2);
    let layout = Layout::of(&plan);
    let writes = run(&plan, &fine, Fault::None, 1).records.len() as u64;
    for (write, side) in (1..=writes).flat_map(|write| [(write, Side::Before), (write, Side::After)]) {
        let ran = run(&plan, &fine, Fault::Crash { write, side }, 1);
        assert_eq!(ran.halt, Halt::At(Status::Succeeded), "{}", ran.fault);
        assert_eq!(invariant::judge(&layout, &ran, Invariant::ALL), [], "{}", ran.fault);
        assert!(ran.world.effects().values().all(|effect| effect.times_done() == 1), "{}", ran.fault);
    }
}

/// A crash after the end of a run that needs an operator resumes nothing by itself.
#[test]
fn only_an_operator_resumes_a_stopped_run() {
    let plan = evacuation(1, 1);
    let broken = |asked: &Asked<'_>| match asked.step.as_str() {
        "each/vm-0/settle" if asked.time == 1 => {
            Behaviour::timed(5, Ending::Failed(Failure::new("permanent", "made up")))
        }
        _ => fine(asked),
    };
    let simulated = |fault, resumes| {
        let run = "run-sim".parse().unwrap();
        simulate(Setup {
            plan: &plan,
            run,
            past: &[],
            clock_unix_ms: 0,
            seed: 1,
            model: &broken,
            fault,
            resumes,
        })
    };
    let stopped = simulated(Fault::None, 0);
    assert_eq!(stopped.status(), Status::NeedsOperator);
    let write = stopped.records.len() as u64;
    for side in [Side::Before, Side::After] {
        assert_eq!(simulated(Fault::Crash { write, side }, 0).status(), Status::NeedsOperator);
    }
    assert_eq!(simulated(Fault::None, 1).status(), Status::Succeeded);
}

fn each(id: &str, needs: &[&str], steps: &[Value]) -> Value {
    json!({ "id": id, "needs": needs, "line": 1, "body": { "foreach": {
        "over": "${{ inputs.vms2 }}", "variable": "vm", "max_parallel": 2, "on_item_failure": "fail",
        "graph": { "steps": steps },
    }}})
}

/// What the way to a pivot stands on stays also when it was done item by item.
#[test]
fn items_under_a_pivot_are_kept() {
    let steps = json!([
        each("copies", &[], &[action("copy", &[], "reversible", false)]),
        each("moves", &["copies"], &[action("go", &[], "irreversible", true)]),
        action("beside", &[], "reversible", false),
    ]);
    let late = |asked: &Asked<'_>| match asked.step.as_str() {
        "beside" => Behaviour::timed(60_000, Ending::Failed(Failure::new("permanent", "made up"))),
        _ => fine(asked),
    };
    let plan = plan(&steps, &[]);
    let ran = run(&plan, &late, Fault::None, 1);
    assert_eq!(ran.status(), Status::Partial);
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
    assert!(ran.world.effects().values().all(|effect| effect.there), "{:?}", ran.world.effects());
}

/// A graph that is to turn round does so when its pivot has failed and left nothing, instead of trying it once more.
#[test]
fn a_pivot_is_not_tried_again_where_all_turn_round() {
    let plan = plan(&json!([each("moves", &[], &[action("go", &[], "irreversible", true)])]), &[]);
    let failed = |after_ms, class| Behaviour::timed(after_ms, Ending::Failed(Failure::new(class, "made up")));
    let first_fails = |asked: &Asked<'_>| match (asked.step.as_str(), asked.time) {
        ("moves/vm-a/go", 1) => failed(60_000, "transient"),
        ("moves/vm-b/go", 1) => failed(10_000, "permanent"),
        _ => fine(asked),
    };
    let ran = run(&plan, &first_fails, Fault::None, 1);
    assert_eq!(ran.status(), Status::Failed);
    let there = ran.world.effects().iter().filter(|(_, effect)| effect.there).map(|(step, _)| step.as_str());
    assert_eq!(there.collect::<Vec<_>>(), ["report"]);
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
}

/// A scope that is being closed when its graph has to turn round is closed, however often that takes: it is no effect to be
/// stopped.
#[test]
fn a_closing_scope_is_not_called_off() {
    let mut tunnel = action("tunnel", &[], "reversible", false);
    tunnel["body"]["action"]["scope"] = json!(true);
    let plan =
        plan(&json!([each("all", &[], &[tunnel, action("copy", &["tunnel"], "reversible", false)])]), &[]);
    // Its undo fails after five seconds, and while it waits to be tried again the other item fails.
    let model = |asked: &Asked<'_>| match (asked.step.as_str(), asked.work, asked.time) {
        ("all/vm-a/tunnel", Work::Undo, 1) => {
            Behaviour::timed(3_000, Ending::Failed(Failure::new("transient", "made up")))
        }
        ("all/vm-b/copy", Work::Forward, _) => {
            Behaviour::timed(4_010, Ending::Failed(Failure::new("permanent", "made up")))
        }
        _ => fine(asked),
    };
    let ran = run(&plan, &model, Fault::None, 1);
    let there = ran.world.effects().iter().filter(|(_, effect)| effect.there).map(|(step, _)| step.as_str());
    assert_eq!((there.collect::<Vec<_>>(), ran.status()), (vec!["report"], Status::Failed));
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
}

/// A look that a dead controller left under way is stopped before its graph is undone: no undo would end it.
#[test]
fn what_has_nothing_to_undo_is_asked_to_stop() {
    let plan = plan(&json!([action("look", &[], "none", false), action("broken", &[], "none", false)]), &[]);
    let slow = |asked: &Asked<'_>| match asked.step.as_str() {
        "look" => Behaviour { takes_ms: 600_000, ..fine(asked) },
        "broken" => Behaviour::timed(5, Ending::Failed(Failure::new("permanent", "made up"))),
        _ => fine(asked),
    };
    let stops = |ran: &Ran| -> Vec<u64> {
        let stop =
            |entry: &Entry| matches!(entry, Entry::Intent(Intent::Cancel(it)) if it.step.as_str() == "look");
        ran.records.iter().filter(|record| stop(&record.entry)).map(|record| record.seq).collect()
    };
    let [write] = stops(&run(&plan, &slow, Fault::None, 1))[..] else { panic!("asked once") };
    let ran = run(&plan, &slow, Fault::Crash { write, side: Side::After }, 1);
    assert_eq!((stops(&ran).len(), ran.status()), (2, Status::Failed));
    assert!(ran.took_ms() < 60_000, "it was waited for: {} ms", ran.took_ms());
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
}

/// Five hundred VMs, twenty at a time, over twelve simulated hours: every record and every invariant.
#[test]
fn a_large_evacuation_is_simulated() {
    let plan = evacuation(500, 20);
    let hours = |asked: &Asked<'_>| Behaviour {
        takes_ms: if asked.step.as_str().ends_with("/copy") { 25 * 60_000 } else { 60_000 },
        ..fine(asked)
    };
    let began = std::time::Instant::now();
    let ran = run(&plan, &hours, Fault::None, 1);
    let simulated = began.elapsed();
    assert_eq!(ran.status(), Status::Succeeded);
    assert!(ran.took_ms() > 11 * 3_600_000 && ran.took_ms() < 13 * 3_600_000, "{} ms", ran.took_ms());
    assert_eq!(invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL), []);
    println!(
        "500 VMs, {} records, {:.1} h: simulated in {simulated:?}, with invariants in {:?}",
        ran.records.len(),
        ran.took_ms() as f64 / 3_600_000.0,
        began.elapsed()
    );
}

/// In any plan, any world and with any fault every invariant holds; `LONGHAUL_SEED` repeats one.
#[test]
fn random_runs_keep_every_invariant() {
    let base = std::env::var("LONGHAUL_SEED").ok().and_then(|seed| seed.parse().ok());
    let (first, count) = base.map_or((fastrand::u64(0..1 << 40), count_of_runs()), |seed| (seed, 1));
    println!("LONGHAUL_SEED={first} and the {count} from it");
    let mut ends = BTreeMap::new();
    for seed in first..first + count {
        let (plan, ran) = random::run(seed);
        let found = invariant::judge(&Layout::of(&plan), &ran, Invariant::ALL);
        assert!(found.is_empty(), "LONGHAUL_SEED={seed}, with {}: {found:#?}\n{:#?}", ran.fault, stand(&ran));
        let fold = Saga::fold(&ran.records).unwrap_or_else(|error| panic!("LONGHAUL_SEED={seed}: {error}"));
        assert_eq!(fold.saga.status(), ran.status(), "LONGHAUL_SEED={seed}");
        *ends.entry(ran.status().as_str()).or_insert(0_u32) += 1;
    }
    println!("{ends:?}");
    assert!(base.is_some() || ends.len() == 4, "every kind of end was reached: {ends:?}");
}

/// Two thousand, or as many as `LONGHAUL_RUNS` says.
fn count_of_runs() -> u64 {
    std::env::var("LONGHAUL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000)
}

fn stand(ran: &Ran) -> Vec<String> {
    ran.steps.iter().map(|view| format!("{}: {}", view.step, view.state)).collect()
}
