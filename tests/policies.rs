//! Policies, through the binary alone: what they refuse, what they want people asked, and controllers that die meanwhile.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::controller::{Controller, end, said, signal, wait};

/// Two reports, and a policy about the plan and each of them.
const WORKFLOW: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: reports
version: 1.0.0
inputs:
  rule: { type: string, default: fine }
policy:
  - { uses: ./policies/rule.rhai, at: [plan, before-step, after-step], with: { rule: \"${{ inputs.rule }}\" } }
steps:
  first: { uses: report.write@1, with: { to: first } }
  then: { needs: [first], uses: report.write@1, with: { to: then } }
";

const RULE: &str = r#"
fn decide(view, given) {
    let rule = given.rule;
    if view.hook == "plan" {
        return switch rule {
            "deny" => deny(`no more than ${view.plan.steps.len() - 1} reports`),
            "ask" => [warn("two reports"), require_approval(#{ roles: ["duty-officer"], message: "two reports?" })],
            _ => allow(),
        };
    }
    if rule == "gate" && view.hook == "before-step" && view.step.id == "then" {
        return require_approval(#{ roles: ["duty-officer"], forbid_self: true, expires: "2h" });
    }
    if rule == "loop" { loop { rule += "!"; } }
    if rule == "after" && view.hook == "after-step" && view.step.outputs.len() > 0 {
        return deny("that was one too many");
    }
    allow()
}
"#;

/// A controller, alice who operates, and carol who is on duty.
fn controller() -> Controller {
    let controller = Controller::with(&[("reports.yaml", WORKFLOW)]);
    std::fs::create_dir(controller.path("policies")).unwrap();
    controller.write("policies/rule.rhai", RULE);
    for (name, role) in [("alice", "migration-operator"), ("carol", "duty-officer")] {
        said(&controller, &["ca", "issue", "--dir", "pki", "--user", name, "--role", role], 0);
    }
    controller
}

fn asks(controller: &Controller, step: &str) -> bool {
    let output = controller.longhaul(&["status", "run-a", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    status["questions"].as_array().is_some_and(|open| open.iter().any(|one| one["step"] == step))
}

/// What a policy denies is shown by `plan` and not begun by `run`, each with an exit code of its own.
#[test]
fn a_plan_that_is_denied_does_not_begin() {
    let controller = controller();
    let planned = said(&controller, &["plan", "reports.yaml", "--offline", "--input", "rule=deny"], 8);
    assert!(planned.contains("policies/rule.rhai at plan, before-step, after-step"), "{planned}");
    assert!(planned.contains("denies it: no more than 1 reports"), "{planned}");
    let json =
        controller.longhaul(&["plan", "reports.yaml", "--offline", "--json", "--input", "rule=ask"]).output();
    let json: Value = serde_json::from_slice(&json.unwrap().stdout).unwrap();
    assert_eq!(json["verdicts"][0]["decision"]["warn"], "two reports");
    assert_eq!(json["policies"][0]["script"], RULE);
    let refused = said(&controller, &["run", "reports.yaml", "--id", "run-a", "--input", "rule=deny"], 8);
    assert!(
        refused.contains("nothing was started: policies/rule.rhai denies it: no more than 1"),
        "{refused}"
    );
    assert!(!controller.path("state/controller").exists(), "not even a journal was opened");
    assert!(said(&controller, &["graph", "reports.yaml"], 0).contains("policy policies/rule.rhai at plan"));
}

/// What a policy wants approved before a run is asked before any step begins; a no ends it.
#[test]
fn a_plan_waits_for_approval() {
    let controller = controller();
    let run = ["run", "reports.yaml", "--id", "run-a", "--input", "rule=ask"];
    let first = controller.start(&run, Stdio::null());
    assert!(wait(|| asks(&controller, "plan_approval")), "{}", controller.said());
    signal(&first, Signal::KILL);
    end(first);
    assert!(!controller.path("first.html").exists());
    said(&controller, &["approve", "run-a", "--as", "carol", "--pki", "pki"], 0);
    let second = controller.start(&["resume", "run-a"], Stdio::null());
    assert_eq!(end(second).code(), Some(0), "{}", controller.said());
    let shown = said(&controller, &["replay", "run-a"], 0);
    for line in ["plan: policies/rule.rhai warns: two reports", "plan_approval: approved by carol"] {
        assert_eq!(shown.matches(line).count(), 1, "{line}: {shown}");
    }
    assert!(std::fs::read_to_string(controller.path("then.txt")).unwrap().contains("What policies said"));
}

/// What a policy wants approved before a step is asked under the step's own name, and a resume reads no script again.
#[test]
fn a_step_waits_for_approval() {
    let controller = controller();
    let run =
        ["run", "reports.yaml", "--id", "run-a", "--input", "rule=gate", "--as", "alice", "--pki", "pki"];
    let first = controller.start(&run, Stdio::null());
    assert!(wait(|| asks(&controller, "then")), "{}", controller.said());
    signal(&first, Signal::KILL);
    end(first);
    std::fs::remove_dir_all(controller.path("policies")).unwrap();
    said(&controller, &["approve", "run-a", "then", "--as", "alice", "--pki", "pki"], 1);
    said(&controller, &["approve", "run-a", "then", "--as", "carol", "--pki", "pki"], 0);
    let second = controller.start(&["resume", "run-a"], Stdio::null());
    assert_eq!(end(second).code(), Some(0), "{}", controller.said());
    let shown = said(&controller, &["replay", "run-a"], 0);
    assert_eq!(
        shown.matches("wants 1 approval by duty-officer, not of who started the run").count(),
        1,
        "{shown}"
    );
    said(&controller, &["journal", "verify"], 0);
    let export = said(&controller, &["journal", "export", "run-a", "--redact"], 0);
    assert!(!export.contains("alice") && !export.contains("carol"), "{export}");
}

/// A script that meets a bound, and one that says no afterwards, end the run with their reason.
#[test]
fn what_is_denied_fails_the_run() {
    let cases = [
        (
            "loop",
            "first: not started: policies/rule.rhai denies it: it could not decide, and what cannot decide denies",
        ),
        ("after", "first: policies/rule.rhai denies it: that was one too many"),
    ];
    for (rule, line) in cases {
        let controller = controller();
        let input = format!("rule={rule}");
        let run = ["run", "reports.yaml", "--id", "run-a", "--input", &input];
        assert_eq!(end(controller.start(&run, Stdio::null())).code(), Some(1), "{}", controller.said());
        let shown = said(&controller, &["replay", "run-a"], 0);
        assert!(shown.contains(line), "{rule}: {shown}");
        assert!(!controller.path("then.html").exists());
    }
}

/// Nothing is undone against a policy that is asked on failure: what was done stays, and is listed. With people asked, their
/// yes undoes it, also when the controller dies while they think.
#[test]
fn nothing_is_undone_against_a_policy() {
    const BROKEN: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: broken
version: 1.0.0
inputs:
  rule: { type: string }
policy:
  - { uses: ./policies/undo.rhai, at: [on-failure], with: { rule: \"${{ inputs.rule }}\" } }
steps:
  first: { uses: report.write@1, with: { to: \"${{ run.id }}\" } }
  then: { needs: [first], uses: report.write@1, with: { to: \"${{ run.id }}.html/then\" } }
";
    const UNDO: &str = r#"
fn decide(view, given) {
    if given.rule == "never" { return deny(`${view.failure.done[0]} stays, ${view.failure.steps[0].path} failed`); }
    require_approval(#{ roles: ["duty-officer"] })
}
"#;
    let controller = controller();
    controller.write("broken.yaml", BROKEN);
    controller.write("policies/undo.rhai", UNDO);
    let left = said(&controller, &["run", "broken.yaml", "--id", "run-b", "--input", "rule=never"], 5);
    assert!(left.contains("undo: policies/undo.rhai denies it: first stays, then failed"), "{left}");
    assert!(controller.path("run-b.html").exists());
    let run = ["run", "broken.yaml", "--id", "run-a", "--input", "rule=ask"];
    let first = controller.start(&run, Stdio::null());
    assert!(wait(|| asks(&controller, "undo_approval")), "{}", controller.said());
    signal(&first, Signal::KILL);
    end(first);
    said(&controller, &["approve", "run-a", "undo_approval", "--as", "carol", "--pki", "pki"], 0);
    let second = controller.start(&["resume", "run-a"], Stdio::null());
    assert_eq!(end(second).code(), Some(1), "{}", controller.said());
    assert!(!controller.path("run-a.html").exists());
}
