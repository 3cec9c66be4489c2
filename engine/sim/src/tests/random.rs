//! A random plan in a random world.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use longhaul_model::ids::StepPath;
use longhaul_model::policy::{Approval, Decision, Hook, Verdict};
use longhaul_model::site::Sight;
use longhaul_model::units::Time;
use longhaul_plan::{Asking, Plan};
use longhaul_saga::{Decide, Failure, Work, intent};

use super::{Rng, Value, action, json, plan};
use crate::{Asked, Behaviour, Ending, Fault, Model, Ran, Really, Reply, Setup, Side, simulate};

/// From this time on an effect goes well, so that every run can come to an end.
const TIME_OF_PEACE: u32 = 12;

pub(super) fn run(seed: u64) -> (Arc<Plan>, Ran) {
    let mut rng = Rng::with_seed(seed);
    let plan = plan(&graph(&mut rng, "s", true, true), &[]);
    let plan = with_last_blocks(&mut rng, &plan);
    let trouble = [0, 50, 200, 500][rng.usize(0..4)];
    let plan = if rng.bool() { with_policies(&mut rng, &plan) } else { plan };
    let model = Chance { seed, trouble };
    let fault = fault(&mut rng, &plan);
    let (run, resumes) = ("run-sim".parse().unwrap(), rng.u32(0..4));
    let ran = simulate(Setup {
        plan: &plan,
        run,
        past: &[],
        clock_unix_ms: 0,
        seed,
        model: &model,
        fault,
        resumes,
    });
    (plan, ran)
}

/// A run whose end does not depend on how late anything is: nothing is given up for a deadline, sites and people are the same early
/// and late, and at most one step fails for good, in a plan in which everything can be taken back.
pub(super) fn calm(seed: u64, fault: Fault) -> (Arc<Plan>, Ran) {
    let mut rng = Rng::with_seed(seed);
    let fails = rng.bool();
    let plan = plan(&graph(&mut rng, "s", !fails, true), &[]);
    let plan = without_chance(&with_last_blocks(&mut rng, &plan), fails);
    let ids: Vec<&str> = plan.graph.steps.iter().map(|step| step.id.as_str()).collect();
    let doomed = fails.then(|| ids[rng.usize(0..ids.len())].to_owned());
    let (model, run) = (Calm { seed, doomed }, "run-sim".parse().unwrap());
    let ran = simulate(Setup {
        plan: &plan,
        run,
        past: &[],
        clock_unix_ms: 0,
        seed,
        model: &model,
        fault,
        resumes: 0,
    });
    (plan, ran)
}

/// The same plan without deadlines, and without what cannot be taken back if something fails.
fn without_chance(plan: &Plan, fails: bool) -> Arc<Plan> {
    fn walk(value: &mut Value, fails: bool) {
        match value {
            Value::Object(fields) => {
                // What is kept for good goes to whoever comes first.
                fields.retain(|name, _| name != "deadline" && name != "keep");
                fields.values_mut().for_each(|value| walk(value, fails));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, fails)),
            Value::String(text) if fails && text == "irreversible" => *text = "reversible".to_owned(),
            _ => {}
        }
    }
    let mut value = json!(plan);
    walk(&mut value, fails);
    Arc::new(serde_json::from_value(value).unwrap())
}

/// Every effect goes well, some at the second attempt, but for those of one step.
struct Calm {
    seed: u64,
    doomed: Option<String>,
}

impl Model for Calm {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        let mut hash = DefaultHasher::new();
        (self.seed, asked.step, asked.work).hash(&mut hash);
        let mut rng = Rng::with_seed(hash.finish());
        let takes_ms = [0, 500, 9_000, 60_000][rng.usize(0..4)];
        let is_doomed = self.doomed.as_deref() == asked.step.as_str().split('/').next();
        let ending = match rng.u32(0..6) {
            _ if is_doomed && asked.work == Work::Forward => {
                Ending::Failed(Failure::new("permanent", "made up"))
            }
            _ if asked.work == Work::Undo => Ending::Done(Value::Null),
            0 if asked.time == 1 => Ending::Failed(Failure::new("transient", "made up")),
            1 => {
                let failure = Failure::new("transient", "made up");
                Ending::Unknown { failure, really: Really::Done(json!({ "ok": true })) }
            }
            _ => Ending::Done(json!({ "ok": true })),
        };
        Behaviour::timed(takes_ms, ending)
    }

    fn decide(&self, _: &Decide) -> Vec<Verdict> {
        Vec::new()
    }

    fn sight(&self, _: &str, _: u64) -> Sight {
        Sight::Up
    }

    fn reply(&self, _: &StepPath, _: &intent::Asked, _: u32) -> Reply {
        Reply::Yes { after_ms: 30_000, outputs: Value::Null }
    }
}

/// The world and the policies as chance has them, alike whenever they are asked.
struct Chance {
    seed: u64,
    trouble: u32,
}

impl Model for Chance {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        behaviour(self.seed, self.trouble, asked)
    }

    fn decide(&self, decide: &Decide) -> Vec<Verdict> {
        let one = |asking: &Asking| {
            let decision = self.decision((decide.hook, &decide.step, &asking.view.workflow.name));
            Verdict { policy: asking.policy.clone(), decision }
        };
        decide.asking.iter().map(one).collect()
    }

    fn sight(&self, site: &str, at_unix_ms: u64) -> Sight {
        let mut rng = self.rng((site, at_unix_ms / 900_000));
        if rng.u32(0..1_000) < self.trouble { Sight::Down } else { Sight::Up }
    }

    fn again(&self, steps: &[StepPath], time: u32) -> Option<Vec<StepPath>> {
        let mut rng = self.rng(("again", time));
        let wanted = time < 4 && !steps.is_empty() && rng.u32(0..3) == 0;
        wanted.then(|| (0..rng.usize(1..3)).map(|_| steps[rng.usize(0..steps.len())].clone()).collect())
    }

    fn reply(&self, step: &StepPath, _: &intent::Asked, time: u32) -> Reply {
        let mut rng = self.rng((step, time));
        match rng.u32(0..6) {
            0 => Reply::Never,
            1 => Reply::No { after_ms: 400_000, by: None, reason: "made up".to_owned() },
            _ => Reply::Yes { after_ms: rng.u64(0..800_000), outputs: Value::Null },
        }
    }
}

impl Chance {
    fn rng(&self, of: impl Hash) -> Rng {
        let mut hash = DefaultHasher::new();
        (self.seed, of).hash(&mut hash);
        Rng::with_seed(hash.finish())
    }

    fn decision(&self, of: impl Hash) -> Decision {
        let mut rng = self.rng(of);
        match rng.u32(0..12) {
            0 => Decision::Deny("made up".to_owned()),
            1 => Decision::Warn("made up".to_owned()),
            2 | 3 => Decision::RequireApproval(Approval {
                roles: vec!["operator".to_owned()],
                quorum: rng.u32(1..3),
                forbid_self: rng.bool(),
                expires: Some(Time::from_millis(1_000_000)),
                message: None,
            }),
            _ => Decision::Allow,
        }
    }
}

/// Policies at some of the hooks, and what they said of the plan.
fn with_policies(rng: &mut Rng, plan: &Plan) -> Arc<Plan> {
    let mut policies = Vec::new();
    for at in Hook::ALL {
        if rng.bool() {
            policies.push(super::policies::policy(at, &[], "chance"));
        }
    }
    let chance = Chance { seed: rng.u64(..), trouble: 0 };
    let said = chance.decision("plan");
    // A plan that is denied has no run.
    let said = if matches!(said, Decision::Deny(_)) { Decision::Allow } else { said };
    let verdicts = vec![Verdict { policy: "chance.rhai".to_owned(), decision: said }];
    Arc::new(Plan { policies, verdicts, ..plan.clone() })
}

/// More than one look in the blocks at the end.
fn with_last_blocks(rng: &mut Rng, plan: &Plan) -> Arc<Plan> {
    let mut last = |prefix: &str| serde_json::from_value(json!({ "steps": graph(rng, prefix, false, true) }));
    Arc::new(Plan { on_failure: last("f").unwrap(), always: last("z").unwrap(), ..plan.clone() })
}

/// A random graph. At most one pivot, and only where `pivot` allows one.
fn graph(rng: &mut Rng, prefix: &str, pivot: bool, nested: bool) -> Value {
    let count = rng.usize(1..=6);
    let pivot_at = if pivot && rng.bool() { rng.usize(0..count) } else { usize::MAX };
    let ids: Vec<String> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    let mut steps = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let needs: Vec<&str> = ids[..n].iter().filter(|_| rng.u32(0..3) == 0).map(String::as_str).collect();
        if nested && rng.u32(0..4) == 0 {
            let list = ["none", "vms1", "vms2", "vms3"][rng.usize(0..4)];
            steps.push(json!({ "id": id, "needs": needs, "line": 1, "body": { "foreach": {
                "over": format!("${{{{ inputs.{list} }}}}"), "variable": "vm", "max_parallel": rng.u32(1..3),
                "on_item_failure": if rng.bool() { "fail" } else { "continue" },
                "graph": { "steps": graph(rng, "n", pivot, false) },
            }}}));
        } else if nested && rng.u32(0..4) == 0 {
            steps.push(
                json!({ "id": id, "needs": needs, "line": 1, "body": { "workflow": workflow(rng, pivot) } }),
            );
        } else {
            let effects = ["reversible", "reversible", "none", "irreversible"][rng.usize(0..4)];
            let mut action = action(id, &needs, effects, n == pivot_at);
            if effects == "reversible" && n != pivot_at && rng.u32(0..6) == 0 {
                action["body"]["action"]["scope"] = json!(true);
            }
            let action = claiming(rng, action);
            steps.push(looking(rng, action));
        }
    }
    Value::Array(steps)
}

/// Some depend on whether a site is up, and so does what undoes some; and some can be looked for when nobody knows.
fn looking(rng: &mut Rng, mut step: Value) -> Value {
    if rng.u32(0..10) == 0 {
        step["if"] = json!("${{ site_up(\"east\") || site_up(\"west\") }}");
    }
    if rng.u32(0..10) == 0 && step["body"]["action"]["pivot"] == json!(false) {
        step["body"]["action"]["compensate"] = json!({
            "uses": "toy.write@1", "with": { "file": "back" }, "requires": ["${{ site_up(\"east\") }}"],
        });
    }
    if rng.u32(0..5) == 0 {
        step["body"]["action"]["probe"] = json!({
            "uses": "toy.look@1", "with": {}, "done": "${{ found.there }}", "absent": "${{ !found.there }}",
            "outputs": { "ok": true },
        });
    }
    step
}

/// Some claim something of what all share, and some keep it.
fn claiming(rng: &mut Rng, mut action: Value) -> Value {
    let mut claims = Vec::new();
    match rng.u32(0..8) {
        0 => claims.push(json!({ "resource": "wan", "elastic": {} })),
        1 => claims.push(
            json!({ "resource": "wan", "elastic": { "at_least": "300kbit/s", "at_most": "500kbit/s" } }),
        ),
        2 => claims.push(json!({ "resource": "wan", "fixed": { "amount": "400kbit/s" } })),
        _ => {}
    }
    if rng.u32(0..4) == 0 {
        let fixed = json!({ "amount": rng.u32(1..=10), "keep": rng.u32(0..4) == 0 });
        claims.push(json!({ "resource": "slots", "fixed": fixed }));
    }
    action["body"]["action"]["claims"] = Value::Array(claims);
    action
}

/// What every workflow here is given.
const INPUTS: [&str; 4] = ["none", "vms1", "vms2", "vms3"];

/// A workflow that runs as a step. In it there may be items and more workflows.
fn workflow(rng: &mut Rng, pivot: bool) -> Value {
    let deadline = if rng.u32(0..6) == 0 { json!("${{ now() + duration(\"5m\") }}") } else { Value::Null };
    let with = INPUTS.map(|name| (name.to_owned(), Value::from(format!("${{{{ inputs.{name} }}}}"))));
    let inputs = INPUTS.map(|name| json!({ "name": name, "schema": { "type": "array" } }));
    let nested = rng.u32(0..3) == 0;
    let graph = graph(rng, "c", pivot, nested);
    json!({
        "workflow": { "name": "child", "version": "1.0.0", "sha256": "01", "file": "child.yaml" },
        "with": Value::Object(with.into_iter().collect()), "inputs": inputs, "deadline": deadline,
        "resources": [
            // That of the workflow around, and one of its own.
            { "name": "wan", "kind": "bandwidth", "capacity": "1Gbit/s" },
            { "name": "slots", "kind": "count", "capacity": 10 },
        ],
        "graph": { "steps": graph }, "outputs": [["count", "${{ inputs.vms3.len() }}"]],
        "on_failure": { "steps": [action("call", &[], "none", false)] },
        "always": { "steps": [action("report", &[], "none", false)] },
    })
}

/// How an effect goes: by chance, but the same whenever it is asked.
fn behaviour(seed: u64, trouble: u32, asked: &Asked<'_>) -> Behaviour {
    let mut hash = DefaultHasher::new();
    (seed, asked.step, asked.work, asked.time).hash(&mut hash);
    let mut rng = Rng::with_seed(hash.finish());
    let takes_ms = [0, 500, 9_000, 600_000, 2_000_000][rng.usize(0..5)];
    let outputs = json!({ "ok": true });
    if rng.u32(0..1_000) >= trouble || asked.time >= TIME_OF_PEACE {
        return Behaviour::timed(takes_ms.min(600_000), Ending::Done(outputs));
    }
    let failure = Failure::new(["transient", "permanent"][rng.usize(0..2)], "made up");
    let ending = match rng.u32(0..10) {
        0..5 => Ending::Failed(failure),
        5 | 6 => Ending::Unknown { failure, really: Really::Done(outputs) },
        7 => Ending::Unknown { failure, really: Really::Absent },
        8 => Ending::Unknown { failure, really: Really::Partial },
        _ => Ending::Unknown { failure, really: Really::CannotTell },
    };
    let there = match &ending {
        Ending::Unknown { really: Really::Done(_) | Really::CannotTell, .. } => Some(true),
        Ending::Unknown { really: Really::Absent, .. } => Some(false),
        Ending::Unknown { really: Really::Partial, .. } | Ending::Done(_) | Ending::Failed(_) => None,
    };
    let found = there.filter(|_| rng.bool()).map(|there| json!({ "there": there }));
    Behaviour { found, ..Behaviour::timed(takes_ms, ending) }
}

fn fault(rng: &mut Rng, plan: &Plan) -> Fault {
    let step = StepPath::root(&plan.graph.steps[rng.usize(0..plan.graph.steps.len())].id);
    match rng.u32(0..5) {
        0 => Fault::None,
        1 => Fault::Error { step, class: "permanent".to_owned(), times: rng.u32(1..3) },
        2 => Fault::Unknown { step, done: rng.bool() },
        3 => Fault::Twice { step, work: if rng.bool() { Work::Forward } else { Work::Undo } },
        _ => {
            Fault::Crash { write: rng.u64(1..60), side: if rng.bool() { Side::Before } else { Side::After } }
        }
    }
}
