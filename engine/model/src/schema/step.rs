//! The schema of a step: its keys, and which of them belong together.

use serde_json::{Value, json};

use super::parts::{
    any_map, dashed_id, duration, exactly, expression, flag, has_one_of, heartbeat, list, map, map_of, means,
    or_else, or_expression, pattern, shared, step_id, step_id_form, text, timeout, titled, whole, without,
    words,
};
use crate::resource::ResourceKind;
use crate::workflow::child::{OF_ATTEMPTS, OF_EFFECTS, PATH};
use crate::workflow::question::{APPROVE_KEYS, QUORUM_MAX};
use crate::workflow::resource::{CLAIM_KEYS, ELASTIC, OF_ELASTIC, RESOURCE_KEYS};
use crate::workflow::step::{
    ACTION_KEYS, COMPENSATE_KEYS, FOREACH_KEYS, OF_SIGNALS, PARALLEL_MAX, PROBE_KEYS, SHARED_KEYS, WAIT_KEYS,
    WAIT_MAP_KEYS,
};

/// `noun.verb@1`.
const ACTION: &str = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+@[0-9]+$";

/// A part of the whole.
const PERCENT: &str = "^[0-9]{1,2}%$";

/// A role, as it stands in a certificate.
const ROLE: &str = "^[a-z0-9-]{1,63}$";

/// Keys that make a step one that repeats steps.
const REPEATS: [&str; 2] = ["foreach", "steps"];

pub(super) fn step() -> Value {
    let keys: Vec<&str> =
        SHARED_KEYS.into_iter().chain(ACTION_KEYS).chain(FOREACH_KEYS).chain(WAIT_KEYS).collect();
    let mut schema = map(&keys, &[], key);
    let repeats = json!({ "required": ["foreach", "as", "steps"] });
    schema["allOf"] = json!([
        when(&["uses"], &without(&[&FOREACH_KEYS, &WAIT_KEYS])),
        when(&REPEATS, &json!({ "allOf": [repeats, without(&[&ACTION_KEYS, &WAIT_KEYS])] })),
        when(&WAIT_KEYS, &without(&[&ACTION_KEYS, &FOREACH_KEYS])),
        when_child(&without(&[&OF_ATTEMPTS, &OF_EFFECTS])),
        has_one_of(&["uses", "foreach", "steps", "wait", "approve"]),
        { "not": { "required": WAIT_KEYS } },
    ]);
    schema
}

/// A step of `on_failure` or `always`: nothing but a scope is undone there.
pub(super) fn last_step() -> Value {
    let scope = json!({ "properties": { "scope": { "const": true } }, "required": ["scope"] });
    json!({ "allOf": [
        shared("step"),
        { "properties": { "pivot": { "const": false } } },
        { "if": { "required": ["compensate"] }, "then": scope },
    ] })
}

/// What holds for a step that runs a workflow.
fn when_child(then: &Value) -> Value {
    let child = json!({ "required": ["uses"], "properties": { "uses": pattern(PATH) } });
    json!({ "if": child, "then": then })
}

fn when(keys: &[&str], then: &Value) -> Value {
    json!({ "if": has_one_of(keys), "then": then })
}

fn key(key: &str) -> Option<Value> {
    action_key(key).or_else(|| foreach_key(key)).or_else(|| {
        Some(match key {
            "needs" => means(
                "Steps of the same map that come before it. Reading an output of a step is a need, too; a step without \
                 any starts at once",
                list(&step_id()),
            ),
            "if" => means(
                "Whether it runs: true or false. `succeeded(\"x\")`, `failed(\"x\")` and `skipped(\"x\")` ask how a step \
                 ended, `always()` lets it run after a failure, too",
                expression(),
            ),
            "wait" => means(
                "Lets time pass or waits for a signal, also while no controller runs: a duration, or a map with `for`, \
                 `until` or `signal`",
                json!({ "anyOf": [or_expression(&duration()), wait()] }),
            ),
            "approve" => means("Asks people, and goes on when enough of them said yes", approve()),
            _ => return None,
        })
    })
}

fn wait() -> Value {
    let mut wait = map(&WAIT_MAP_KEYS, &[], wait_key);
    let one_of = ["for", "until", "signal"].map(|key| json!({ "required": [key] }));
    wait["oneOf"] = json!(one_of);
    wait["allOf"] = json!([when(&["for", "until"], &without(&[&OF_SIGNALS])), end_needs_expires()]);
    wait
}

fn approve() -> Value {
    let mut approve = map(&APPROVE_KEYS, &["roles"], approve_key);
    approve["allOf"] = json!([end_needs_expires()]);
    approve
}

/// What happens after a time that nobody gave.
fn end_needs_expires() -> Value {
    json!({ "if": { "required": ["on_expire"] }, "then": { "required": ["expires"] } })
}

fn approve_key(key: &str) -> Option<Value> {
    Some(match key {
        "roles" => {
            let mut roles = list(&titled("role", pattern(ROLE)));
            roles["minItems"] = json!(1);
            means("Each of them has one of these roles, by their certificates", roles)
        }
        "quorum" => means("How many have to say yes; 1 if it is not said", or_else(1, whole(1, QUORUM_MAX))),
        "forbid_self" => {
            means("Whether the person who started the run does not count", or_else(false, flag()))
        }
        "message" => means("What they are told; may hold expressions", text()),
        "on_expire" => means(
            "What happens when not enough of them answered in time: the step fails (if nothing is said), or it is passed \
             over with what needs it",
            or_else("fail", words(&["fail", "skip"])),
        ),
        _ => return expires_key(key),
    })
}

fn expires_key(key: &str) -> Option<Value> {
    (key == "expires").then(|| means("How long the answer may take; for ever if it is not said", timeout()))
}

fn wait_key(key: &str) -> Option<Value> {
    Some(match key {
        "for" => means("So long, from the moment the step's turn comes", or_expression(&duration())),
        "until" => means(
            "Until then: a time such as 2026-08-30T18:00:00Z",
            or_expression(&json!({ "type": "string", "format": "date-time" })),
        ),
        "signal" => {
            means("Until somebody says that this has happened: `longhaul signal RUN NAME`", step_id())
        }
        "payload" => means("JSON Schema of what comes with the signal", shared("input")),
        "on_expire" => means(
            "What happens when it did not come in time: the step fails (if nothing is said), it is passed over with what \
             needs it, or the run goes on as if it had come",
            or_else("fail", words(&["fail", "skip", "continue"])),
        ),
        _ => return expires_key(key),
    })
}

fn action_key(key: &str) -> Option<Value> {
    Some(match key {
        "uses" => means(
            "The action it uses and its major version (`longhaul actions` lists them), or the file of a workflow that is \
             run as this step, seen from this one's folder",
            json!({ "anyOf": [action(), titled("path of a workflow", pattern(PATH))] }),
        ),
        "with" => means(
            "The action's parameters, or the inputs of the workflow; strings may hold expressions",
            any_map(),
        ),
        "effects" => means(
            "What it leaves behind, asserted: the check fails if its action declares something else",
            words(&["none", "reversible", "irreversible"]),
        ),
        "timeout" => means(
            "How long one attempt may take; what `defaults` says if it is not said here, and 10m if nobody says",
            or_else("10m", timeout()),
        ),
        "heartbeat" => means(
            "How long it may give no sign of life before its outcome counts as unknown; no bound if nobody says",
            heartbeat(),
        ),
        "retry" => means("What is tried again, and when; what `defaults` says, or nothing", shared("retry")),
        "pivot" => means("Once it has started, the run only goes forward", or_else(false, flag())),
        "scope" => {
            means("It is undone at the end also when all went well, such as a tunnel", or_else(false, flag()))
        }
        "compensate" => means(
            "What undoes it, in place of the action's own undo",
            map(&COMPENSATE_KEYS, &["uses"], compensate_key),
        ),
        "probe" => means(
            "How to find out whether its effect is there, if nobody knows and its action cannot tell",
            map(&PROBE_KEYS, &["uses", "done"], probe_key),
        ),
        "claims" => means(
            "What it takes of the workflow's resources while it is under way, by their names; it waits until that is free",
            map_of(step_id_form(), &claim()),
        ),
        _ => return None,
    })
}

fn claim() -> Value {
    let mut bounds = map(&CLAIM_KEYS, &[], claim_key);
    let elastic = json!({ "allOf": [has_one_of(&OF_ELASTIC), without(&[&["amount", "keep"]])] });
    let fixed = json!({ "allOf": [json!({ "required": ["amount"] }), without(&[&OF_ELASTIC])] });
    bounds["anyOf"] = json!([fixed, elastic]);
    json!({ "anyOf": [amount(), exactly(ELASTIC), bounds] })
}

/// An amount of a resource of any kind.
pub(super) fn amount() -> Value {
    or_expression(&json!({ "anyOf": [quantity(), { "type": "integer", "minimum": 0 }] }))
}

fn quantity() -> Value {
    json!({
        "type": "string",
        "title": "quantity",
        "pattern": r"^([0-9]+(bit/s|B)|[0-9]+(\.[0-9]{1,3})?((k|M|G)bit/s|(Ki|Mi|Gi|Ti)B))$",
        "examples": ["200Mbit/s", "2GiB"],
    })
}

fn claim_key(key: &str) -> Option<Value> {
    Some(match key {
        "amount" => means("So much, or it waits", amount()),
        "keep" => {
            means("Whether it stays taken for as long as the step's effect is there", or_else(false, flag()))
        }
        "at_least" => means("Of what others leave: it waits until it gets so much", amount()),
        "at_most" => means("Of what others leave: it has no use for more", amount()),
        _ => return None,
    })
}

/// A resource.
pub(super) fn resource() -> Value {
    let mut resource = map(&RESOURCE_KEYS, &["kind", "capacity"], resource_key);
    let link = json!({ "properties": { "kind": exactly("bandwidth") } });
    resource["allOf"] =
        json!([{ "if": link, "then": without(&[&["site"]]), "else": without(&[&["between"]]) }]);
    resource
}

fn resource_key(key: &str) -> Option<Value> {
    Some(match key {
        "kind" => means(
            "What it is, and in which unit it is counted",
            words(&ResourceKind::ALL.map(ResourceKind::as_str)),
        ),
        "capacity" => means("How much there is of it; may read inputs", amount()),
        "reserve" => means(
            "How much of it is never given away: an amount, or a part such as 15%",
            json!({ "anyOf": [amount(), titled("percentage", pattern(PERCENT))] }),
        ),
        "between" => means(
            "The two sites whose link it is",
            json!({ "type": "array", "items": or_expression(&dashed_id()), "minItems": 2, "maxItems": 2 }),
        ),
        "site" => means("The site at which it is", or_expression(&dashed_id())),
        _ => return None,
    })
}

fn compensate_key(key: &str) -> Option<Value> {
    Some(match key {
        "uses" => means("The action that undoes", action()),
        "with" => means(
            "Its parameters; may read inputs, item variables and the outputs of the step that is undone",
            any_map(),
        ),
        "requires" => means("What must be true for it to be run", list(&expression())),
        _ => return None,
    })
}

fn probe_key(key: &str) -> Option<Value> {
    Some(match key {
        "uses" => means("The action that looks; it has no effects", action()),
        "with" => means("Its parameters", any_map()),
        "done" => means("True of what it `found` if the effect is there", expression()),
        "absent" => means("True if nothing of the effect is there", expression()),
        "partial" => means("True if a part of the effect is there", expression()),
        "outputs" => means("What the step puts out if its effect is there", any_map()),
        _ => return None,
    })
}

fn foreach_key(key: &str) -> Option<Value> {
    Some(match key {
        "foreach" => means(
            "The list; its steps run once for each item, which begin in the order of the list",
            expression(),
        ),
        "as" => means("The name under which the nested steps see their item", step_id()),
        "max_parallel" => {
            means("How many items at once; 1 if it is not said", or_else(1, whole(1, PARALLEL_MAX)))
        }
        "on_item_failure" => means(
            "What an item's failure means for the others: `fail` starts no further one, `continue` lets them go on",
            or_else("fail", words(&["fail", "continue"])),
        ),
        "steps" => means("The nested steps", shared("steps")),
        _ => return None,
    })
}

fn action() -> Value {
    let mut action = titled("action", pattern(ACTION));
    action["examples"] = json!(["vm.move@1", "storage.prefetch@1"]);
    action
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that nobody described is left without a description, which the test of all keys finds.
    #[test]
    fn a_key_that_nobody_described_says_nothing() {
        assert_eq!(map(&["new"], &[], key)["properties"]["new"], Value::Bool(true));
    }
}
