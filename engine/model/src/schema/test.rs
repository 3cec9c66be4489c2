//! The schema of a test file.

use serde_json::{Value, json};

use super::parts::{
    any_map, anything, dashed_id, duration, exactly, head, list, map, means, one_or_more, or_else, pattern,
    shared, size, text, titled, whole, words,
};
use crate::test::expect::{EXACTLY_ONCE, NONE_LEFT, OF_PLANS, PlanSpec, REMAINS, STATUSES};
use crate::test::mock::{ERROR_KEYS, REALLY, UNDO_KEYS};
use crate::test::sweep::{
    CRASH_KEYS, ERROR_KEYS as SWEEP_ERROR_KEYS, EVERY_ACTION, EVERY_STEP, EVERY_WRITE, KEYS as SWEEP_KEYS,
    TIMES_MAX, UNKNOWN,
};
use crate::test::{CASE_KEYS, Invariant, KEYS, SETUP_KEYS, expect, mock, outage};
use crate::workflow::ERROR_CLASSES;

/// At least one letter or digit.
const NAME: &str = r"[\p{L}\p{N}]";

pub(super) fn schema() -> Value {
    let mut schema = map(&KEYS, &["apiVersion", "kind", "workflow", "cases"], key);
    schema["$defs"] = json!({ "mock": behaviour(), "undo": map(&UNDO_KEYS, &[], behaviour_key) });
    schema
}

fn key(key: &str) -> Option<Value> {
    head(key, "Test").or_else(|| {
        Some(match key {
            "name" => means("What it is called", text()),
            "workflow" => means("The workflow it tests, relative to this file", text()),
            "defaults" => {
                means("What holds for cases that say nothing themselves", map(&SETUP_KEYS, &[], setup_key))
            }
            "cases" => means("The cases", list(&map(&CASE_KEYS, &["name", "expect"], case_key))),
            _ => return None,
        })
    })
}

fn setup_key(key: &str) -> Option<Value> {
    let invariants: Vec<&str> = Invariant::ALL.iter().map(|one| one.as_str()).collect();
    Some(match key {
        "clock" => means(
            "When the run begins",
            or_else("2026-01-01T00:00:00Z", json!({ "type": "string", "format": "date-time" })),
        ),
        "inputs" => means("The workflow's inputs", any_map()),
        "mocks" => means(
            "How actions (`vm.move@1`) and steps (`move/vm-a/prefetch`, `*` for any item) behave: once, or a list of one \
             behaviour per attempt, of which the last one stays",
            json!({ "type": "object", "patternProperties": { "^x-": true },
                "additionalProperties": one_or_more(&shared("mock")) }),
        ),
        "outages" => means("When sites do not answer", list(&map(&outage::KEYS, &["site"], outage_key))),
        "invariants" => {
            means("What must hold in every run; everything if it is not said", list(&words(&invariants)))
        }
        _ => return None,
    })
}

fn outage_key(key: &str) -> Option<Value> {
    Some(match key {
        "site" => means("The site", dashed_id()),
        "from" => means(
            "Since when, counted from the clock; from the first moment on if it is not said",
            duration(),
        ),
        "for" => means("How long; for good if it is not said", duration()),
        _ => return None,
    })
}

fn case_key(key: &str) -> Option<Value> {
    setup_key(key).or_else(|| {
        Some(match key {
            "name" => means("Its name; its snapshot is called after it", titled("text", pattern(NAME))),
            "resumes" => {
                means("How often an operator resumes a run that needs one", or_else(0, whole(0, u32::MAX)))
            }
            "expect" => means("What is expected of every one of its runs", expectation()),
            "sweep" => means("Faults, one per run", map(&SWEEP_KEYS, &[], sweep_key)),
            _ => return None,
        })
    })
}

/// A mock. What contradicts itself is refused.
fn behaviour() -> Value {
    let mut schema = map(&mock::KEYS, &[], behaviour_key);
    let fails = json!({ "required": ["error"] });
    let not_there =
        json!({ "properties": { "unknown": { "not": { "const": "done" } } }, "required": ["unknown"] });
    schema["allOf"] = json!([
        { "not": { "required": ["error", "unknown"] } },
        { "if": { "required": ["found"] }, "then": { "required": ["unknown"] } },
        { "if": { "anyOf": [fails, not_there] }, "then": { "properties": { "outputs": false } } },
    ]);
    schema
}

fn behaviour_key(key: &str) -> Option<Value> {
    Some(match key {
        "takes" => means(
            "From its start to its end; with `moves`, what it takes besides, once the bytes are moved",
            or_else("1s", duration()),
        ),
        "moves" => means(
            "What it moves besides, over a resource that its step claims: that takes as long as its share makes it",
            json!({ "type": "object", "additionalProperties": size(), "minProperties": 1, "maxProperties": 1 }),
        ),
        "outputs" => means("What it puts out; the rest is made from the action's schema", anything()),
        "error" => means("It fails and leaves nothing behind", map(&ERROR_KEYS, &["class"], error_key)),
        "unknown" => means("Nobody knows how it ended, and a probe finds this", words(&REALLY)),
        "found" => means("What the step's own probe finds; the action itself cannot tell then", anything()),
        "undo" => means("How its undo behaves", one_or_more(&shared("undo"))),
        _ => return None,
    })
}

fn error_key(key: &str) -> Option<Value> {
    Some(match key {
        "class" => means("The error class", words(&ERROR_CLASSES)),
        "message" => means("What happened", text()),
        "code" => means("The device's own code", text()),
        _ => return None,
    })
}

fn expectation() -> Value {
    let mut schema = map(&expect::KEYS, &[], expect_key);
    let but =
        |known: &[&str]| expect::KEYS.into_iter().filter(|key| !known.contains(key)).collect::<Vec<_>>();
    let denied =
        json!({ "required": ["plan"], "properties": { "plan": exactly(PlanSpec::Denied.as_str()) } });
    schema["allOf"] = json!([
        { "if": { "required": ["refused"] }, "then": super::parts::without(&[&but(&["refused"])]) },
        { "if": denied, "then": super::parts::without(&[&but(&OF_PLANS)]) },
    ]);
    schema
}

fn expect_key(key: &str) -> Option<Value> {
    let steps = || json!({ "type": "object", "additionalProperties": one_or_more(&text()) });
    Some(match key {
        "status" => means("How the run ends: one, or one of several", one_or_more(&words(&STATUSES))),
        "refused" => {
            means("No run is made: the plan is refused with these codes and no others", one_or_more(&text()))
        }
        "plan" => means(
            "What comes of the plan: what the policies say of it (no run is made of one that is denied), or that it is infeasible: \
             with these mocks its deadline passes before it is done",
            words(&PlanSpec::ALL.map(PlanSpec::as_str)),
        ),
        "because" => means(
            "Text that stands in what the policies say of the plan, or in why it gives itself up",
            text(),
        ),
        "before" => means("Steps that end before these begin", steps()),
        "after" => means("Steps that begin after these have ended", steps()),
        "outputs" => means("The run's outputs; of a map, the keys that are written", anything()),
        "effects" => means(
            "What is left in effect: everything once, nothing, or step by step",
            json!({ "anyOf": [
                words(&[EXACTLY_ONCE, NONE_LEFT]),
                { "type": "object", "additionalProperties": words(&REMAINS) },
            ] }),
        ),
        "failed" => means("Exactly these steps have failed", list(&text())),
        "within" => means("The run takes at most so long", duration()),
        "at_once" => means(
            "Of an action there are at most so many at once",
            json!({ "type": "object", "additionalProperties": whole(0, u32::MAX) }),
        ),
        _ => return None,
    })
}

fn sweep_key(key: &str) -> Option<Value> {
    Some(match key {
        "error" => means("A step fails", map(&SWEEP_ERROR_KEYS, &["at", "classes"], sweep_error_key)),
        "crash" => means(
            "The controller dies, on either side of each journal write",
            map(&CRASH_KEYS, &["at"], |key| {
                (key == "at").then(|| means("Where it dies", exactly(EVERY_WRITE)))
            }),
        ),
        "twice" => means("Each effect is asked for twice under its key", exactly(EVERY_ACTION)),
        _ => return None,
    })
}

fn sweep_error_key(key: &str) -> Option<Value> {
    let classes: Vec<&str> = ERROR_CLASSES.into_iter().chain([UNKNOWN]).collect();
    Some(match key {
        "at" => {
            means("Which steps fail, one per run", json!({ "anyOf": [exactly(EVERY_STEP), list(&text())] }))
        }
        "classes" => means("Once with each of these", list(&words(&classes))),
        "times" => means("How many attempts fail, from the first one on", whole(1, TIMES_MAX)),
        _ => return None,
    })
}
