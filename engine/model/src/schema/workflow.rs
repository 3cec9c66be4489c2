//! The schema of a workflow.

use serde_json::{Value, json};

use super::parts::{
    any_map, duration, expression, head, heartbeat, list, map, map_of, means, or_else, pattern, shared,
    step_id_form, text, timeout, titled, whole, words,
};
use super::{plugin, policy, step};
use crate::json_schema::{Holds, KEYWORDS};
use crate::workflow::retry::{ATTEMPTS_MAX, BACKOFF_KEYS, FACTOR_MAX};
use crate::workflow::shared::{self as shared_file, DEFAULTS_KEYS};
use crate::workflow::{ERROR_CLASSES, KEYS, retry, trigger};

/// The formats of inputs that are checked: what text of each is, and an example.
pub const FORMATS: [(&str, &str, &str); 6] = [
    ("vm-id", "a VM's id: a lower-case letter, then letters, digits and dashes, 40 at most", "web-1"),
    ("site-id", "a site's id, of the same form", "tampa"),
    ("duration", "a number and `ms`, `s`, `m`, `h` or `d`", "300ms"),
    ("bytes", "a size: a number and `B`, `KiB`, `MiB`, `GiB` or `TiB`", "2GiB"),
    ("bandwidth", "a rate: a number and `bit/s`, `kbit/s`, `Mbit/s` or `Gbit/s`", "800Mbit/s"),
    ("date-time", "a time of RFC 3339, with `Z` or an offset", "2026-08-30T18:00:00Z"),
];

pub(super) fn schema() -> Value {
    let mut schema = map(&KEYS, &["apiVersion", "kind", "name", "version", "steps"], key);
    schema["$defs"] = json!({
        "step": step::step(),
        "last_step": step::last_step(),
        "steps": map_of(step_id_form(), &shared("step")),
        "last_steps": map_of(step_id_form(), &shared("last_step")),
        "retry": map(&retry::KEYS, &[], retry_key),
        "input": input(),
    });
    schema
}

fn key(key: &str) -> Option<Value> {
    head(key, "Workflow").or_else(|| {
        Some(match key {
            "name" => means("Its name, in reports and journals", text()),
            "version" => means("Its version; a run is pinned to it and to the file's digest", text()),
            "summary" => means("One line about it", text()),
            "include" => means(
                "Files with shared defaults (`kind: Defaults`), seen from this one's folder; what stands here goes first",
                list(&text()),
            ),
            "inputs" => means(
                "What a run is given, by name: a JSON Schema (2020-12) for each, which may have a default",
                map_of(step_id_form(), &shared("input")),
            ),
            "plugins" => plugin::plugins(),
            "resources" => means(
                "What steps share, by name: a link's bandwidth, a site's memory",
                map_of(step_id_form(), &step::resource()),
            ),
            "defaults" => defaults(),
            "policy" => policy::policies(),
            "deadline" => means(
                "The time after which the run is given up: what has not passed its pivot by then is undone. Worked out \
                 from the inputs when the run begins",
                expression(),
            ),
            "triggers" => means(
                "What begins a run besides `longhaul run`: checked here, and served by no program of this version",
                list(&trigger()),
            ),
            "steps" => means("The steps, by their ids; their order in the file does not matter", shared("steps")),
            "outputs" => means("What a run that succeeded puts out, by name", any_map()),
            "on_failure" => means(
                "Steps that run when the run did not succeed, after what had to be undone was",
                shared("last_steps"),
            ),
            "always" => means("Steps that run at the end, whatever the outcome", shared("last_steps")),
            _ => return None,
        })
    })
}

/// One of its kinds, in a map of its own.
fn trigger() -> Value {
    let kind = |name: &str| {
        let body = match name {
            "schedule" => map(&trigger::SCHEDULE_KEYS, &["cron"], trigger_key),
            "webhook" => map(&trigger::WEBHOOK_KEYS, &["path", "schema"], trigger_key),
            _ => map(&[], &[], trigger_key),
        };
        let means_kind = match name {
            "schedule" => "The time begins it",
            "webhook" => "A message from outside begins it",
            _ => "A person begins it, with `longhaul run`",
        };
        Some(means(means_kind, body))
    };
    let mut schema = map(&trigger::KINDS, &[], kind);
    schema["oneOf"] = trigger::KINDS.iter().map(|kind| json!({ "required": [kind] })).collect();
    schema
}

/// Parts of a path that lead nowhere else, as the reader has it.
fn hook() -> Value {
    let mut path = titled("path", pattern(r"^/hooks(/[A-Za-z0-9_.~-]+)+$"));
    path["not"] = pattern(r"/\.\.?(/|$)");
    path["maxLength"] = json!(200);
    path
}

fn trigger_key(key: &str) -> Option<Value> {
    Some(match key {
        "cron" => means("Minute, hour, day of the month, month, day of the week", text()),
        "time_zone" => means(
            "Where the clock hangs that it is read from, such as Europe/Berlin; UTC if it is not said",
            or_else("UTC", text()),
        ),
        "inputs" => means("What the run is given; of a webhook, expressions read `payload`", any_map()),
        "path" => means("Where it is sent to", hook()),
        "schema" => means("JSON Schema of the payload", json!({ "type": "object", "$ref": "#/$defs/input" })),
        _ => return None,
    })
}

/// `kind: Defaults`.
pub(super) fn shared_defaults() -> Value {
    let mut schema = map(&shared_file::KEYS, &["apiVersion", "kind"], |key| {
        head(key, "Defaults").or_else(|| match key {
            "summary" => Some(means("One line about them", text())),
            "plugins" => Some(plugin::plugins()),
            "defaults" => Some(defaults()),
            "policy" => Some(policy::policies()),
            _ => None,
        })
    });
    schema["$defs"] = json!({ "retry": map(&retry::KEYS, &[], retry_key) });
    schema
}

fn defaults() -> Value {
    means("What holds for steps that say nothing themselves", map(&DEFAULTS_KEYS, &[], default_key))
}

fn default_key(key: &str) -> Option<Value> {
    Some(match key {
        "timeout" => means("How long one attempt may take; 10m if nobody says", or_else("10m", timeout())),
        "heartbeat" => means(
            "How long an action under way may give no sign of life; 1s at least, and no bound if nobody says",
            heartbeat(),
        ),
        "retry" => means("What is tried again, and when; nothing if nobody says", shared("retry")),
        _ => return None,
    })
}

fn retry_key(key: &str) -> Option<Value> {
    Some(match key {
        "max_attempts" => means("Attempts in all; 1 if it is not said", or_else(1, whole(1, ATTEMPTS_MAX))),
        "backoff" => means("How long to wait between two attempts", map(&BACKOFF_KEYS, &[], backoff_key)),
        "errors" => means(
            "The error classes that are tried again; `transient` alone if it is not said",
            or_else(
                json!(["transient"]),
                json!({ "type": "array", "items": words(&ERROR_CLASSES), "minItems": 1 }),
            ),
        ),
        _ => return None,
    })
}

fn backoff_key(key: &str) -> Option<Value> {
    Some(match key {
        "initial" => means("Before the second attempt", or_else("2s", duration())),
        "factor" => means("What each further wait is multiplied by", or_else(2, whole(1, FACTOR_MAX))),
        "max" => means("The longest wait", or_else("1m", duration())),
        "jitter" => means(
            "`full`: each wait is drawn between nothing and its length; `none`: it is its length",
            or_else("full", words(&["full", "none"])),
        ),
        _ => return None,
    })
}

/// A schema of an input: the keywords that most have are explained, and there is no keyword that JSON Schema does not have.
fn input() -> Value {
    let mut input = json!({
        "type": ["object", "boolean"],
        "patternProperties": { "^x-": true },
        "additionalProperties": false,
        "properties": {
            "type": means("Its type, or several", json!({ "$ref": "#/$defs/input/$defs/types" })),
            "format": means("What text has to look like", json!({ "type": "string", "examples": FORMATS.map(|(name, ..)| name) })),
            "description": means("What it is for, for whoever gives it", text()),
            "default": means("Its value if none is given", json!({})),
            "enum": means("The values that it may have", json!({ "type": "array" })),
            "items": means("What stands in a list", shared("input")),
            "minimum": means("The least number", json!({ "type": "number" })),
            "maximum": means("The greatest number", json!({ "type": "number" })),
            "minItems": means("The least length of a list", json!({ "type": "integer", "minimum": 0 })),
            "uniqueItems": means("Whether nothing may stand twice in a list", json!({ "type": "boolean" })),
        },
        "$defs": {
            "type": words(&["array", "boolean", "integer", "null", "number", "object", "string"]),
            "types": { "anyOf": [
                { "$ref": "#/$defs/input/$defs/type" },
                { "type": "array", "items": { "$ref": "#/$defs/input/$defs/type" } },
            ] },
        },
    });
    for holds in [Holds::Value, Holds::Schema, Holds::Schemas, Holds::Named] {
        input["patternProperties"][any_that(holds)] = behind(holds);
    }
    input
}

/// The form of the keywords that hold this.
fn any_that(holds: Holds) -> String {
    let keywords = KEYWORDS.iter().filter(|(_, other)| *other == holds);
    let keywords: Vec<String> = keywords.map(|(keyword, _)| keyword.replace('$', r"\$")).collect();
    format!("^({})$", keywords.join("|"))
}

fn behind(holds: Holds) -> Value {
    match holds {
        Holds::Value => Value::Bool(true),
        Holds::Schema => shared("input"),
        Holds::Schemas => list(&shared("input")),
        Holds::Named => json!({ "type": "object", "additionalProperties": shared("input") }),
    }
}
