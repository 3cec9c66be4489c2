//! Plugins, through the binary alone: locked, refused when they are not as they were, and in the plan of what runs.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::controller::{Controller, end, signal, wait};

/// A report that a plugin's policy is asked about.
const WORKFLOW: &str = "
apiVersion: longhaul/v1
kind: Workflow
name: reports
version: 1.0.0
inputs:
  rule: { type: string, default: fine }
plugins: { ours: rules@^1 }
policy:
  - { uses: ours/policies/rule.rhai, at: [plan, before-step], with: { rule: \"${{ inputs.rule }}\" } }
steps:
  first: { uses: report.write@1, with: { to: first } }
";

const RULE: &str = r#"
fn decide(view, given) {
    if given.rule == view.hook {
        return if view.hook == "plan" { deny("not today") } else { require_approval(#{ roles: ["duty-officer"] }) };
    }
    allow()
}
"#;

const CASES: &str = "
apiVersion: longhaul/v1
kind: PolicyTest
policy: rule.rhai
cases:
  - { name: a day like others, at: plan, with: { rule: fine }, expect: { decision: allow } }
  - { name: not today, at: plan, with: { rule: plan }, expect: { decision: deny, because: not today } }
";

const TEST: &str = "
apiVersion: longhaul/v1
kind: Test
workflow: reports.yaml
cases:
  - { name: it is denied, inputs: { rule: plan }, expect: { plan: denied, because: not today } }
";

/// A controller with the plugin in `plugins/FOLDER`, and somebody on duty. Nothing is locked.
fn controller(folder: &str, version: &str) -> Controller {
    let controller = Controller::with(&[("reports.yaml", WORKFLOW), ("reports.test.yaml", TEST)]);
    put(&controller, folder, version);
    said(&controller, "ca issue --dir pki --user carol --role duty-officer", 0);
    controller
}

fn put(controller: &Controller, folder: &str, version: &str) {
    let folder = format!("plugins/{folder}");
    std::fs::create_dir_all(controller.path(&format!("{folder}/policies"))).unwrap();
    let manifest = format!(
        "name = \"rules\"\nversion = \"{version}\"\napi = 1\nsummary = \"\"\npolicies = [\"policies/rule.rhai\"]\n"
    );
    controller.write(&format!("{folder}/plugin.toml"), &manifest);
    controller.write(&format!("{folder}/policies/rule.rhai"), RULE);
    controller.write(&format!("{folder}/policies/rule.test.yaml"), CASES);
}

/// What a command said on both outputs, once it ended with this exit code.
fn said(controller: &Controller, line: &str, code: i32) -> String {
    let arguments: Vec<&str> = line.split(' ').collect();
    let output = controller.longhaul(&arguments).output().unwrap();
    let said =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "{line}: {said}");
    said
}

fn json(controller: &Controller, arguments: &[&str]) -> Value {
    serde_json::from_slice(&controller.longhaul(arguments).output().unwrap().stdout).unwrap()
}

fn locked(controller: &Controller) -> String {
    std::fs::read_to_string(controller.path("longhaul.lock")).unwrap()
}

/// The commands that read a workflow, and what each refuses.
const READERS: [&str; 4] =
    ["validate reports.yaml", "plan reports.yaml --offline", "run reports.yaml", "test reports.test.yaml"];

fn refused(controller: &Controller, code: &str) {
    for line in READERS {
        let said = said(controller, line, 3);
        assert!(said.contains(code) && said.contains("reports.yaml:8:18"), "{line}: {said}");
    }
    assert!(!controller.path("state/controller").exists(), "not even a journal was opened");
}

/// A plugin has to be locked; then its policies hold, the plan says which bytes they are of, and anybody can work the digest
/// out.
#[test]
fn a_locked_plugin_denies_a_plan() {
    let controller = controller("rules", "1.2.0");
    refused(&controller, "LH0057");
    assert_eq!(
        said(&controller, "plugin lock --check reports.yaml", 4),
        "longhaul.lock: rules 1.2.0 added\n"
    );
    assert!(!controller.path("longhaul.lock").exists());
    said(&controller, "plugin lock reports.yaml", 0);
    let lock = locked(&controller);
    assert_eq!(said(&controller, "plugin lock --check reports.yaml", 0), "longhaul.lock: stays as it is\n");
    let list = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum";
    let digest = Command::new("sh").args(["-c", list]).current_dir(controller.path("plugins/rules")).output();
    let digest = String::from_utf8(digest.unwrap().stdout).unwrap()[..64].to_owned();
    assert!(lock.contains(&format!("version = \"1.2.0\"\nsha256 = \"{digest}\"\n")), "{lock}");

    let planned = said(&controller, "plan reports.yaml --offline --input rule=plan", 8);
    assert!(planned.contains(&format!("  rules 1.2.0  (sha256 {})\n", &digest[..12])), "{planned}");
    assert!(planned.contains("ours/policies/rule.rhai at plan, before-step"), "{planned}");
    let plan = json(&controller, &["plan", "reports.yaml", "--offline", "--json"]);
    let pins = serde_json::json!([{ "name": "rules", "version": "1.2.0", "sha256": digest }]);
    assert_eq!((&plan["plugins"], &plan["policies"][0]["script"]), (&pins, &Value::from(RULE)));
    let denied = said(&controller, "run reports.yaml --input rule=plan", 8);
    assert!(denied.contains("nothing was started: ours/policies/rule.rhai denies it: not today"), "{denied}");
}

/// Whatever is changed in a locked plugin, nothing that uses it begins, until somebody has locked it again.
#[test]
fn a_changed_plugin_is_refused() {
    let controller = controller("rules", "1.2.0");
    said(&controller, "plugin lock reports.yaml", 0);
    assert_eq!(said(&controller, "plugin verify reports.yaml", 0), "rules 1.2.0: as it is locked\n");
    let lock = locked(&controller);
    controller.write("plugins/rules/policies/rule.rhai", &RULE.replace("deny", "warn"));
    refused(&controller, "LH0058");
    said(&controller, "plugin verify reports.yaml", 4);
    said(&controller, "plugin lock --check reports.yaml", 4);
    assert_eq!(locked(&controller), lock);
    controller.write("plugins/rules/policies/rule.rhai", RULE);
    controller.write("plugins/rules/unasked", "");
    refused(&controller, "LH0058");
    assert!(said(&controller, "plugin lock reports.yaml", 0).contains("what is in it has changed"));
    said(&controller, "validate reports.yaml", 0);
}

/// Another version, be it in the range, needs another lock; a version that is there and will do is kept until somebody
/// wants the highest.
#[test]
fn another_version_needs_another_lock() {
    let controller = controller("rules", "1.2.0");
    said(&controller, "plugin lock reports.yaml", 0);
    put(&controller, "rules", "1.10.0");
    refused(&controller, "LH0057");
    assert!(said(&controller, "plugin lock reports.yaml", 0).contains("rules 1.2.0 -> 1.10.0"));
    put(&controller, "rules-1.9.0", "1.9.0");
    put(&controller, "rules-2.0.0", "2.0.0");
    said(&controller, "plugin lock --check reports.yaml", 0);
    std::fs::remove_dir_all(controller.path("plugins/rules")).unwrap();
    assert!(said(&controller, "plugin lock reports.yaml", 0).contains("rules 1.10.0 -> 1.9.0"));
    put(&controller, "rules-1.10.0", "1.10.0");
    said(&controller, "plugin lock --check reports.yaml", 0);
    let list = json(&controller, &["plugin", "list", "reports.yaml", "--json"]);
    let row = serde_json::json!({
        "file": "reports.yaml", "alias": "ours", "name": "rules", "range": "^1", "locked": "1.9.0",
        "found": ["1.9.0", "1.10.0", "2.0.0"],
    });
    assert_eq!(list, Value::from(vec![row]));
    assert!(said(&controller, "plugin lock --update reports.yaml", 0).contains("rules 1.9.0 -> 1.10.0"));
    said(&controller, "validate reports.yaml", 0);
    controller.write("longhaul.lock", &locked(&controller).replace("1.10.0", "2.0.0"));
    refused(&controller, "LH0057");
    controller.write("longhaul.lock", "version = 2\n");
    let newer = said(&controller, "plugin lock reports.yaml", 3);
    assert!(newer.contains("LH0006") && newer.contains("version 2 of a lock is not known"), "{newer}");
}

/// A run that has begun needs neither plugin nor lock: they are gone when it is resumed after its controller was killed.
#[test]
fn a_resume_needs_no_plugin() {
    let controller = controller("rules", "1.2.0");
    said(&controller, "plugin lock reports.yaml", 0);
    let run = ["run", "reports.yaml", "--id", "run-a", "--input", "rule=before-step"];
    let first = controller.start(&run, Stdio::null());
    let asks = || {
        let output = controller.longhaul(&["status", "run-a", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["questions"].as_array().is_some_and(|open| !open.is_empty())
    };
    assert!(wait(asks), "{}", controller.said());
    signal(&first, Signal::KILL);
    end(first);
    std::fs::remove_dir_all(controller.path("plugins")).unwrap();
    std::fs::remove_file(controller.path("longhaul.lock")).unwrap();
    said(&controller, "approve run-a first --as carol --pki pki", 0);
    let second = controller.start(&["resume", "run-a"], Stdio::null());
    assert_eq!(end(second).code(), Some(0), "{}", controller.said());
    let report = std::fs::read_to_string(controller.path("first.txt")).unwrap();
    assert!(report.contains("\nPlugins\n  rules 1.2.0  (sha256 "), "{report}");
    said(&controller, "journal verify", 0);
}

/// The cases beside a plugin's script are asked with all others, and alone; and who writes a plugin can check it alone.
#[test]
fn a_plugins_cases_are_asked() {
    let controller = controller("rules", "1.2.0");
    said(&controller, "plugin lock reports.yaml", 0);
    let all = said(&controller, "test --accept", 0);
    assert!(all.contains("plugins/rules/policies/rule.test.yaml") && all.contains("it is denied"), "{all}");
    said(&controller, "validate reports.yaml plugins/rules/plugin.toml", 0);
    controller.write("plugins/rules/policies/rule.rhai", &RULE.replace("deny", "warn"));
    assert!(said(&controller, "test plugins/rules", 4).contains("not today"));
    controller.write("plugins/rules/policies/rule.rhai", "fn decide(view) { eval(`1`) }");
    let broken = said(&controller, "validate plugins/rules/plugin.toml", 3);
    assert!(broken.contains("plugins/rules/policies/rule.rhai:1:19"), "{broken}");
}
