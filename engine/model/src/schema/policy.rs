//! The schema of policies: in a workflow, and in a file that others include.

use serde_json::{Value, json};

use super::parts::{any_map, list, map, means, one_or_more, pattern, text, titled, words};
use crate::policy::Hook;
use crate::workflow::policy::{POLICIES_MAX, POLICY_KEYS};

/// A script beside the workflow, or of a plugin.
const SCRIPT: &str = r"^(\.\.?|[a-z][a-z0-9_]{0,39})/.*\.rhai$";

/// `policy`.
pub(super) fn policies() -> Value {
    let mut policies = list(&policy());
    policies["maxItems"] = json!(POLICIES_MAX);
    means("Scripts that may deny or warn, or want people asked, about the plan, a step, or undoing", policies)
}

/// Who is asked about no step is asked about none in particular.
fn policy() -> Value {
    let mut policy = map(&POLICY_KEYS, &["uses", "at"], key);
    let of_steps = Hook::ALL.into_iter().filter(|hook| hook.is_of_a_step());
    let of_steps = words(&of_steps.map(Hook::as_str).collect::<Vec<_>>());
    policy["if"] =
        json!({ "required": ["steps"], "properties": { "steps": { "type": "array", "minItems": 1 } } });
    policy["then"] =
        json!({ "properties": { "at": { "anyOf": [of_steps, { "contains": of_steps, "type": "array" }] } } });
    policy
}

fn key(key: &str) -> Option<Value> {
    let mut hooks = one_or_more(&words(&Hook::ALL.map(Hook::as_str)));
    hooks["anyOf"][1]["minItems"] = json!(1);
    hooks["anyOf"][1]["uniqueItems"] = json!(true);
    Some(match key {
        "uses" => means(
            "The script: `./FILE` in this file's folder, or `NAME/FILE` of a plugin below `plugins`",
            titled("path of a script", pattern(SCRIPT)),
        ),
        "at" => means("When it is asked: once, or a list", hooks),
        "with" => means("What its script is given besides the view; may read the inputs", any_map()),
        "steps" => means(
            "Which steps it is asked about: paths, `*` for the key of an item, and actions; every step that uses an action \
             if it is not said",
            list(&text()),
        ),
        _ => return None,
    })
}
