//! Policies: every answer at every hook, and controllers that die meanwhile.

use longhaul_expr::Template;
use longhaul_model::ids::StepPath;
use longhaul_model::policy::{Approval, Decision, Hook, Verdict};
use longhaul_plan::Policy;
use longhaul_saga::{Decide, Entry, Event, Failure, Intent, Status, intent};

use super::questions::{child, state};
use super::{
    Arc, Asked, Behaviour, Ending, Fault, Invariant, Layout, Model, Plan, Ran, Side, action, each, fine,
    invariant, json, plan, run,
};
use crate::Reply;

/// Policies say what stands in their scripts; steps of which the name ends with `bad` fail.
struct World;

impl Model for World {
    fn behaviour(&self, asked: &Asked<'_>) -> Behaviour {
        let failure = || Ending::Failed(Failure::new("permanent", "made up"));
        let ending = if asked.step.as_str().ends_with("bad") { failure() } else { fine(asked).ending };
        Behaviour::timed(1_000, ending)
    }

    fn decide(&self, decide: &Decide) -> Vec<Verdict> {
        decide
            .asking
            .iter()
            .map(|it| Verdict { policy: it.policy.clone(), decision: says(&it.script) })
            .collect()
    }

    fn reply(&self, _: &StepPath, asks: &intent::Asked, _: u32) -> Reply {
        let intent::Asked::Approval { roles, .. } = asks else { return Reply::Never };
        match roles[0].as_str() {
            "nobody" => Reply::Never,
            "never" => Reply::No { after_ms: 500, by: None, reason: "not now".to_owned() },
            _ => Reply::Yes { after_ms: 30_000, outputs: json!({}) },
        }
    }
}

fn says(script: &str) -> Decision {
    let approval = |role: &str| {
        let (roles, message, expires) = (vec![role.to_owned()], None, "1h".parse().ok());
        Decision::RequireApproval(Approval { roles, quorum: 2, forbid_self: true, expires, message })
    };
    match script {
        "allow" => Decision::Allow,
        "warn" => Decision::Warn("look out".to_owned()),
        "deny" => Decision::Deny("not today".to_owned()),
        role => approval(role),
    }
}

pub(super) fn policy(at: Hook, steps: &[&str], script: &str) -> Policy {
    Policy {
        file: format!("{script}.rhai"),
        sha256: "00".to_owned(),
        script: script.to_owned(),
        at: vec![at],
        steps: steps.iter().map(|&step| step.to_owned()).collect(),
        with: Template::parse(json!({})).unwrap(),
    }
}

fn with(plan: &Arc<Plan>, policies: Vec<Policy>) -> Arc<Plan> {
    Arc::new(Plan { policies, ..Plan::clone(plan) })
}

/// Runs it, and with a crash on either side of every write: the end and the effects are the same, every policy is
/// recorded once for what it was asked, and every invariant holds.
fn everywhere(plan: &Arc<Plan>) -> Ran {
    let layout = Layout::of(plan);
    let whole = run(plan, &World, Fault::None, 1);
    let there = |ran: &Ran| -> Vec<String> {
        ran.world.effects().iter().filter(|(_, it)| it.there).map(|(step, _)| step.to_string()).collect()
    };
    for write in 1..=whole.records.len() as u64 {
        for side in [Side::Before, Side::After] {
            let ran = run(plan, &World, Fault::Crash { write, side }, 1);
            assert_eq!(ran.halt, whole.halt, "{write} {side:?}");
            assert_eq!(there(&ran), there(&whole), "{write} {side:?}");
            assert_eq!(decided(&ran), decided(&whole), "{write} {side:?}");
            assert_eq!(invariant::judge(&layout, &ran, Invariant::ALL), [], "{write} {side:?}");
        }
    }
    assert_eq!(invariant::judge(&layout, &whole, Invariant::ALL), []);
    whole
}

fn decided(ran: &Ran) -> Vec<String> {
    let told = |entry: &Entry| match entry {
        Entry::Event(Event::Decided(it)) => {
            let step = it.step.as_ref().map_or("run", |step| step.as_str());
            let words: Vec<&str> = it.verdicts.iter().map(|verdict| verdict.decision.word()).collect();
            Some(format!("{} {step}: {}", it.hook, words.join(", ")))
        }
        _ => None,
    };
    let mut all: Vec<String> = ran.records.iter().filter_map(|record| told(&record.entry)).collect();
    all.sort();
    all
}

fn began(ran: &Ran, step: &str) -> bool {
    let is_start =
        |entry: &Entry| matches!(entry, Entry::Intent(Intent::Start(it)) if it.step.as_str() == step);
    ran.records.iter().any(|record| is_start(&record.entry))
}

fn there(ran: &Ran, step: &str) -> bool {
    ran.world.effects().iter().any(|(path, effect)| path.as_str() == step && effect.there)
}

fn two() -> Arc<Plan> {
    plan(
        &json!([action("first", &[], "reversible", false), action("then", &["first"], "reversible", false)]),
        &[],
    )
}

/// Policies that allow, warn and want people asked, before and after steps, also in items and in a workflow within, change
/// nothing about the end, and are asked once for each step that they are about.
#[test]
fn what_is_allowed_goes_on() {
    let inner = [action("deep", &[], "reversible", false)];
    let steps = json!([
        action("first", &[], "reversible", false),
        each("each", &["first"], &[action("go", &[], "reversible", false)]),
        child("inner", &["each"], &inner),
    ]);
    let plan = with(
        &plan(&steps, &[]),
        vec![
            policy(Hook::BeforeStep, &[], "warn"),
            policy(Hook::BeforeStep, &["each/*/go", "inner/deep"], "operator"),
            policy(Hook::AfterStep, &["first", "each", "inner"], "operator"),
            policy(Hook::OnFailure, &[], "deny"),
        ],
    );
    let ran = everywhere(&plan);
    assert_eq!(ran.status(), Status::Succeeded);
    assert_eq!(
        decided(&ran),
        [
            "after-step each: approval",
            "after-step first: approval",
            "after-step inner: approval",
            "before-step each/vm-a/go: warn, approval",
            "before-step each/vm-b/go: warn, approval",
            "before-step first: warn",
            "before-step inner/deep: warn, approval",
        ]
    );
}

/// A step that is denied before it begins never begins and has failed; what was done before is undone.
#[test]
fn what_is_denied_before_never_begins() {
    for (script, said) in [("deny", "deny"), ("never", "approval"), ("nobody", "approval")] {
        let plan = with(&two(), vec![policy(Hook::BeforeStep, &["then"], script)]);
        let ran = everywhere(&plan);
        assert_eq!(ran.status(), Status::Failed, "{script}");
        assert_eq!(decided(&ran), [format!("before-step then: {said}")]);
        assert!(!began(&ran, "then") && !there(&ran, "first"), "{script}");
        assert_eq!((state(&ran, "then"), state(&ran, "first")), (Some("failed"), Some("undone")), "{script}");
    }
}

/// A step that is denied after it was done is undone with the others, and nothing that needs it begins.
#[test]
fn what_is_denied_after_is_undone() {
    for script in ["deny", "never", "nobody"] {
        let plan = with(&two(), vec![policy(Hook::AfterStep, &["first"], script)]);
        let ran = everywhere(&plan);
        assert_eq!(ran.status(), Status::Failed, "{script}");
        assert!(began(&ran, "first") && !there(&ran, "first") && !began(&ran, "then"), "{script}");
    }
}

/// Where a run can only go forward, an objection stops it for an operator, who may go on all the same.
#[test]
fn a_pivot_that_is_denied_afterwards_stops_the_run() {
    let steps = json!([
        action("first", &[], "reversible", false),
        action("go", &["first"], "irreversible", true),
        action("then", &["go"], "irreversible", false),
    ]);
    let plan = with(&plan(&steps, &[]), vec![policy(Hook::AfterStep, &["go"], "deny")]);
    let ran = run(&plan, &World, Fault::None, 1);
    let stopped = |record: &longhaul_saga::Record| matches!(&record.entry, Entry::Intent(Intent::End(end)) if end.status == Status::NeedsOperator);
    let end = ran.records.iter().position(stopped).expect("it stops");
    let then = |record: &longhaul_saga::Record| matches!(&record.entry, Entry::Intent(Intent::Start(start)) if start.step.as_str() == "then");
    assert!(ran.records.iter().position(then).is_some_and(|begun| begun > end), "it begins when resumed");
    let Entry::Intent(Intent::End(end)) = &ran.records[end].entry else { unreachable!() };
    assert!(end.instructions[0].problem.contains("deny.rhai denies it: not today"), "{:?}", end.instructions);
    assert!(["first", "go", "then"].iter().all(|step| there(&ran, step)));
    assert_eq!(everywhere(&plan).status(), Status::Succeeded);
}

/// Before the first step is undone the policies are asked, once; a no leaves everything as it is.
#[test]
fn nothing_is_undone_against_a_policy() {
    let steps =
        json!([action("first", &[], "reversible", false), action("bad", &["first"], "reversible", false),]);
    for (script, status, stays) in [
        ("allow", Status::Failed, false),
        ("operator", Status::Failed, false),
        ("deny", Status::Partial, true),
        ("never", Status::Partial, true),
        ("nobody", Status::Partial, true),
    ] {
        let plan = with(&plan(&steps, &[]), vec![policy(Hook::OnFailure, &[], script)]);
        let ran = everywhere(&plan);
        assert_eq!((ran.status(), there(&ran, "first"), decided(&ran).len()), (status, stays, 1), "{script}");
        let Some(Entry::Intent(Intent::End(end))) = ran.records.last().map(|record| &record.entry) else {
            panic!("{script}")
        };
        assert_eq!(end.instructions.len(), usize::from(stays), "{script}");
        if stays {
            let why = &end.instructions[0].problem;
            let said = ["not today", "rejected by person-1", "within 1h"];
            assert!(said.iter().any(|said| why.contains(said)), "{why}");
        }
    }
}

/// Nobody is asked whether nothing may be undone.
#[test]
fn nothing_to_undo_is_no_question() {
    let steps = json!([action("bad", &[], "reversible", false)]);
    let plan = with(&plan(&steps, &[]), vec![policy(Hook::OnFailure, &[], "deny")]);
    let ran = everywhere(&plan);
    assert_eq!((ran.status(), decided(&ran).len()), (Status::Failed, 0));
}

/// What a policy wants people to approve in a plan is asked before any step begins; a no ends the run.
#[test]
fn a_plan_waits_for_its_approvals() {
    for (role, status) in
        [("operator", Status::Succeeded), ("never", Status::Failed), ("nobody", Status::Failed)]
    {
        let verdict = |name: &str| Verdict { policy: "plan.rhai".to_owned(), decision: says(name) };
        let verdicts = vec![verdict("warn"), verdict(role), verdict("operator")];
        let plan = Arc::new(Plan { verdicts, ..Plan::clone(&two()) });
        let ran = everywhere(&plan);
        assert_eq!(ran.status(), status, "{role}");
        let asks = |record: &longhaul_saga::Record| match &record.entry {
            Entry::Intent(Intent::Ask(ask)) => Some(ask.step.to_string()),
            _ => None,
        };
        let asked: Vec<String> = ran.records.iter().filter_map(asks).collect();
        assert_eq!(asked, ["plan_approval", "plan_approval_2"]);
        assert_eq!(began(&ran, "first"), status == Status::Succeeded, "{role}");
    }
}

/// The policies of a workflow that runs as a step are asked about its plan when it begins, and about its own steps; those
/// of the run are asked about them as well.
#[test]
fn a_workflow_within_has_its_own_policies() {
    let own =
        |at: Hook, script: &str, steps: &[&str]| serde_json::to_value(policy(at, steps, script)).unwrap();
    for (script, status) in [("warn", Status::Succeeded), ("deny", Status::Failed)] {
        let mut inner = child("inner", &[], &[action("deep", &[], "reversible", false)]);
        inner["body"]["workflow"]["policies"] =
            json!([own(Hook::Plan, script, &[]), own(Hook::AfterStep, "operator", &["deep"])]);
        let plan = with(&plan(&json!([inner]), &[]), vec![policy(Hook::AfterStep, &["inner/deep"], "warn")]);
        let ran = everywhere(&plan);
        assert_eq!(ran.status(), status);
        let first = format!("before-step inner: {script}");
        let all = ["after-step inner/deep: warn, approval", first.as_str()];
        assert_eq!(decided(&ran), if status == Status::Succeeded { &all[..] } else { &all[1..] });
    }
}

/// A workflow within has a say in its own undoing; its no leaves the whole run as it is.
#[test]
fn a_workflow_within_is_not_undone_against_its_policy() {
    let steps = [action("deep", &[], "reversible", false), action("bad", &["deep"], "reversible", false)];
    for (script, status, stays) in [("operator", Status::Failed, false), ("deny", Status::Partial, true)] {
        let mut inner = child("inner", &["first"], &steps);
        inner["body"]["workflow"]["policies"] = json!([policy(Hook::OnFailure, &[], script)]);
        let plan = plan(&json!([action("first", &[], "reversible", false), inner]), &[]);
        let ran = everywhere(&plan);
        assert_eq!((ran.status(), there(&ran, "inner/deep"), there(&ran, "first")), (status, stays, stays));
        assert_eq!(decided(&ran).len(), 1, "{:?}", decided(&ran));
    }
}

/// A plan that nobody has approved when its deadline comes never begins.
#[test]
fn a_plan_is_not_approved_after_its_deadline() {
    let verdicts = vec![Verdict { policy: "plan.rhai".to_owned(), decision: says("nobody") }];
    let deadline = "${{ time(\"1970-01-01T00:10:00Z\") }}".parse().ok();
    let plan = Arc::new(Plan { verdicts, deadline, ..Plan::clone(&two()) });
    let ran = everywhere(&plan);
    assert_eq!((ran.status(), began(&ran, "first")), (Status::Failed, false));
    assert!(ran.took_ms() < 700_000, "{}", ran.took_ms());
}
