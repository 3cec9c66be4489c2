//! A run's exported records, asked what happened.

use std::collections::BTreeSet;

use serde_json::Value;

/// The records of an export as JSON, one a line.
pub(crate) fn of_export(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Steps that were announced to start after they had been done.
pub(crate) fn started_after_done(records: &[Value]) -> Vec<String> {
    let mut done = BTreeSet::new();
    let mut again = Vec::new();
    for record in records {
        let step = record["payload"]["step"].to_string();
        if record["kind"] == "done" {
            done.insert(step);
        } else if record["kind"] == "start" && done.contains(&step) {
            again.push(step);
        }
    }
    assert!(!done.is_empty(), "no step was done");
    again
}

/// A step that is started anew after it was done is found, and one that is tried again before is not.
#[test]
fn a_step_done_twice_is_found() {
    let record = |kind: &str, step: &str| serde_json::json!({"kind": kind, "payload": {"step": step}});
    let once = [record("start", "a"), record("start", "a"), record("done", "a"), record("start", "b")];
    assert_eq!(started_after_done(&once), Vec::<String>::new());
    let twice = [record("start", "a"), record("done", "a"), record("start", "a")];
    assert_eq!(started_after_done(&twice), ["\"a\""]);
}
