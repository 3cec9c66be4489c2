//! People and other programs that answer a run, through the binary alone: their certificates, their roles, and controllers that
//! die while they think.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::controller::{Controller, end, said, signal, wait};

/// Two have to approve, and not the one who started it.
const GATE: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: gate
version: 1.0.0
steps:
  gate:
    approve:
      roles: [migration-operator, duty-officer]
      quorum: 2
      forbid_self: true
      message: \"Run ${{ run.id }} is ready\"
  storm:
    needs: [gate]
    wait:
      signal: storm_is_near
      payload: { type: object, required: [hours], properties: { hours: { type: integer } } }
outputs:
  approved_by: ${{ steps.gate.outputs.approved_by }}
  hours: ${{ steps.storm.outputs.payload.hours }}
";

/// What one person rejects or nobody answers.
const LAPSES: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: lapses
version: 1.0.0
inputs:
  expires: { type: boolean }
steps:
  quick:
    if: ${{ inputs.expires }}
    approve: { roles: [duty-officer], expires: 1s, on_expire: skip }
  behind:
    needs: [quick]
    wait: 1ms
  asked:
    approve: { roles: [duty-officer] }
";

const FILES: [(&str, &str); 2] = [("gate.yaml", GATE), ("lapses.yaml", LAPSES)];

/// A controller and people with certificates: alice and bob operate, carol is on duty, mallory is neither.
fn controller() -> Controller {
    let controller = Controller::with(&FILES);
    let people = [
        ("alice", "migration-operator"),
        ("bob", "migration-operator"),
        ("carol", "duty-officer"),
        ("mallory", "gardener"),
    ];
    for (name, role) in people {
        said(&controller, &["ca", "issue", "--dir", "pki", "--user", name, "--role", role], 0);
    }
    controller
}

fn answer(controller: &Controller, verb: &str, name: &str, code: i32) -> String {
    said(controller, &[verb, "run-a", "--as", name, "--pki", "pki"], code)
}

fn status(controller: &Controller) -> Value {
    let output = controller.longhaul(&["status", "run-a", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn asks(controller: &Controller, step: &str) -> bool {
    status(controller)["questions"].as_array().is_some_and(|open| open.iter().any(|one| one["step"] == step))
}

/// Who has no role, started the run or has approved already does not count, and is told so; nobody else is asked for than a
/// certificate of our authority. An answer that comes while no controller lives counts when one does, once.
#[test]
fn only_those_count_who_are_asked() {
    let controller = controller();
    let refused = said(&controller, &["run", "gate.yaml", "--id", "run-a"], 2);
    assert!(refused.contains("`gate` in line 7") && refused.contains("--as NAME"), "{refused}");
    let run = ["run", "gate.yaml", "--id", "run-a", "--as", "alice", "--pki", "pki"];
    let first = controller.start(&run, Stdio::null());
    assert!(wait(|| asks(&controller, "gate")), "{}", controller.said());
    assert!(answer(&controller, "approve", "mallory", 1).contains("`mallory` has none of the roles"));
    assert!(answer(&controller, "approve", "alice", 1).contains("`alice` started this run"));
    said(&controller, &["ca", "init", "--dir", "theirs"], 0);
    let stranger = ["ca", "issue", "--dir", "theirs", "--user", "bob", "--role", "migration-operator"];
    said(&controller, &stranger, 0);
    let forged = said(&controller, &["approve", "run-a", "--as", "bob", "--pki", "theirs"], 1);
    assert!(forged.contains("certificate of `bob` does not count"), "{forged}");
    assert_eq!(answer(&controller, "approve", "bob", 0), "gate: approved by bob\n");
    assert!(answer(&controller, "approve", "bob", 1).contains("`bob` has approved it already"));
    signal(&first, Signal::KILL);
    end(first);
    let shown = said(&controller, &["status", "run-a"], 130);
    assert!(
        shown.contains(
            "waits for 2 approvals by migration-operator or duty-officer, approved by bob: Run run-a is ready"
        ),
        "{shown}"
    );
    let kept = answer(&controller, "approve", "carol", 0);
    assert!(kept.contains("it counts as soon as one does"), "{kept}");
    let second = controller.start(&["resume", "run-a"], Stdio::null());
    assert!(wait(|| asks(&controller, "storm")), "{}", controller.said());
    let short = said(&controller, &["signal", "run-a", "storm_is_near", "--payload", "{}"], 1);
    assert!(short.contains("the payload does not fit") && short.contains("hours"), "{short}");
    assert!(said(&controller, &["signal", "run-a", "storm"], 1).contains("there are: storm_is_near"));
    said(&controller, &["signal", "run-a", "storm_is_near", "--payload", "{\"hours\": 6}"], 0);
    assert_eq!(end(second).code(), Some(0), "{}", controller.said());
    let shown = said(&controller, &["replay", "run-a"], 0);
    for line in [
        "gate: approved by bob",
        "gate: approved by carol",
        "output approved_by: [\"bob\",\"carol\"]",
        "output hours: 6",
    ] {
        assert_eq!(shown.matches(line).count(), 1, "{line}: {shown}");
    }
    said(&controller, &["journal", "verify"], 0);
    assert!(answer(&controller, "approve", "carol", 1).contains("asks for no approval now"));
}

/// Redacted, a run says that people answered and not who, and replays.
#[test]
fn people_are_redacted() {
    let controller = controller();
    let run = ["run", "gate.yaml", "--id", "run-a", "--as", "alice", "--pki", "pki"];
    let run = controller.start(&run, Stdio::null());
    assert!(wait(|| asks(&controller, "gate")), "{}", controller.said());
    let reason =
        ["reject", "run-a", "gate", "--as", "carol", "--pki", "pki", "--reason", "the storm turned away"];
    said(&controller, &reason, 0);
    assert_eq!(end(run).code(), Some(1), "{}", controller.said());
    let shown = said(&controller, &["replay", "run-a"], 0);
    assert!(shown.contains("gate: rejected by carol: the storm turned away"), "{shown}");
    let export = said(&controller, &["journal", "export", "run-a", "--redact"], 0);
    for name in ["alice", "carol", "BEGIN CERTIFICATE"] {
        assert!(!export.contains(name), "{name}: {export}");
    }
    assert!(export.contains("rejected by person-2: the storm turned away"), "{export}");
}

/// What nobody answers in time is passed over with all that needs it; a no ends the run.
#[test]
fn a_question_lapses() {
    let controller = controller();
    let run = ["run", "lapses.yaml", "--id", "run-a", "--input", "expires=true"];
    let run = controller.start(&run, Stdio::null());
    let state = |step: &str| {
        let status = status(&controller);
        let steps = status["steps"].as_array().cloned().unwrap_or_default();
        steps.iter().find(|one| one["step"] == step).map(|one| one["state"].clone())
    };
    assert!(wait(|| state("behind") == Some("skipped".into())), "{}", controller.said());
    assert_eq!(state("quick"), Some("skipped".into()));
    assert!(asks(&controller, "asked"));
    answer(&controller, "reject", "carol", 0);
    assert_eq!(end(run).code(), Some(1), "{}", controller.said());
}

/// What a workflow asks that runs as a step is asked under its path, and is answered from outside by that; what comes of it
/// is what its step puts out. A controller that dies meanwhile changes nothing.
#[test]
fn a_workflow_within_asks_under_its_path() {
    const AROUND: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: around
version: 1.0.0
steps:
  ask: { uses: ./gate.yaml }
outputs:
  hours: ${{ steps.ask.outputs.hours }}
";
    let controller = controller();
    controller.write("around.yaml", AROUND);
    let run = ["run", "around.yaml", "--id", "run-a", "--as", "alice", "--pki", "pki"];
    let first = controller.start(&run, Stdio::null());
    assert!(wait(|| asks(&controller, "ask/gate")), "{}", controller.said());
    assert_eq!(answer(&controller, "approve", "bob", 0), "ask/gate: approved by bob\n");
    signal(&first, Signal::KILL);
    end(first);
    said(&controller, &["approve", "run-a", "ask/gate", "--as", "carol", "--pki", "pki"], 0);
    let second = controller.start(&["resume", "run-a"], Stdio::null());
    assert!(wait(|| asks(&controller, "ask/storm")), "{}", controller.said());
    said(&controller, &["signal", "run-a", "storm_is_near", "--payload", "{\"hours\": 7}"], 0);
    assert_eq!(end(second).code(), Some(0), "{}", controller.said());
    assert!(said(&controller, &["replay", "run-a"], 0).contains("output hours: 7"));
}
