//! What schemas are made of.

use serde_json::{Map, Value, json};

use crate::read::API_VERSION;

/// An expression and nothing beside it.
const EXPRESSION: &str = r"^\s*\$\{\{[\s\S]*\S[\s\S]*\}\}\s*$";
/// Text with an expression somewhere in it.
const HAS_EXPRESSION: &str = r"\$\{\{";
const DURATION: &str = r"^([0-9]+ms|[0-9]+(\.[0-9]{1,3})?(s|m|h|d))$";
const SIZE: &str = r"^([0-9]+B|[0-9]+(\.[0-9]{1,3})?(KiB|MiB|GiB|TiB))$";
const DASHED: &str = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$";
const UNDERSCORED: &str = "^[a-z][a-z0-9_]{0,39}$";

/// A map with these keys and no others but notes. `describe` says what may stand behind each; a key it does not know gets
/// no description, which a test finds.
pub(super) fn map(keys: &[&str], required: &[&str], describe: fn(&str) -> Option<Value>) -> Value {
    let property = |key: &&str| ((*key).to_owned(), describe(key).unwrap_or(Value::Bool(true)));
    json!({
        "type": "object",
        "properties": keys.iter().map(property).collect::<Map<_, _>>(),
        "required": required,
        "patternProperties": { "^x-": true },
        "additionalProperties": false,
    })
}

/// A map with a value of one kind behind each key that has this form; notes are free.
pub(super) fn map_of(pattern: &str, value: &Value) -> Value {
    json!({
        "type": "object",
        "patternProperties": { "^x-": true, (pattern): value },
        "additionalProperties": false,
    })
}

/// The same with what it means, which editors show.
pub(super) fn means(text: &str, schema: Value) -> Value {
    let mut all = Map::new();
    all.insert("description".to_owned(), Value::from(text));
    match schema {
        Value::Object(schema) => all.extend(schema),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
    }
    Value::Object(all)
}

/// The same with what stands for it when the key is not there.
pub(super) fn or_else(default: impl Into<Value>, mut schema: Value) -> Value {
    schema["default"] = default.into();
    schema
}

/// The same with what its form is called.
pub(super) fn titled(title: &str, mut schema: Value) -> Value {
    schema["title"] = Value::from(title);
    schema
}

/// A part that is written once, under `$defs`.
pub(super) fn shared(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

pub(super) fn anything() -> Value {
    json!({})
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn any_map() -> Value {
    json!({ "type": "object" })
}

/// A whole number that is not negative; the readers hold it in 32 bits.
pub(super) fn whole(minimum: u32, maximum: u32) -> Value {
    json!({ "type": "integer", "minimum": minimum, "maximum": maximum })
}

pub(super) fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

pub(super) fn exactly(word: &str) -> Value {
    json!({ "const": word })
}

pub(super) fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub(super) fn one_or_more(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "array", "items": schema }] })
}

pub(super) fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

pub(super) fn step_id() -> Value {
    titled("name", pattern(UNDERSCORED))
}

/// The form of a step's id, for keys.
pub(super) fn step_id_form() -> &'static str {
    UNDERSCORED
}

/// A site's or a VM's id.
pub(super) fn dashed_id() -> Value {
    titled("id", json!({ "type": "string", "pattern": DASHED, "maxLength": 40 }))
}

pub(super) fn duration() -> Value {
    titled("duration", json!({ "type": "string", "pattern": DURATION, "examples": ["300ms", "10m", "2h"] }))
}

/// A duration that is not 0.
pub(super) fn timeout() -> Value {
    let mut schema = duration();
    schema["not"] = json!({ "pattern": r"^0+(\.0+)?(ms|s|m|h|d)$" });
    schema
}

/// A duration of at least a second.
pub(super) fn heartbeat() -> Value {
    let shorter = r"^(0*[0-9]{1,3}(\.[0-9]+)?ms|0+(\.[0-9]+)?s|0+(\.0+)?[mhd])$";
    let mut schema = duration();
    schema["not"] = json!({ "pattern": shorter });
    schema["examples"] = json!(["5s", "1m"]);
    schema
}

pub(super) fn size() -> Value {
    titled("size", json!({ "type": "string", "pattern": SIZE, "examples": ["64KiB", "2GiB"] }))
}

pub(super) fn expression() -> Value {
    let schema = json!({ "type": "string", "pattern": EXPRESSION, "examples": ["${{ inputs.vms }}"] });
    titled("one expression", schema)
}

/// What `schema` says, or text with an expression in it.
pub(super) fn or_expression(schema: &Value) -> Value {
    let text = titled("text with an expression", json!({ "type": "string", "pattern": HAS_EXPRESSION }));
    json!({ "anyOf": [schema, text] })
}

/// The keys that every file begins with.
pub(super) fn head(key: &str, kind: &str) -> Option<Value> {
    match key {
        "apiVersion" => Some(means("The version of the format", exactly(API_VERSION))),
        "kind" => Some(means("What the file is", exactly(kind))),
        _ => None,
    }
}

/// Refuses keys: what stands behind a condition.
pub(super) fn without(keys: &[&[&str]]) -> Value {
    let refused = keys.iter().flat_map(|keys| keys.iter()).map(|key| ((*key).to_owned(), Value::Bool(false)));
    json!({ "properties": refused.collect::<Map<_, _>>() })
}

/// A map that has at least one of these keys.
pub(super) fn has_one_of(keys: &[&str]) -> Value {
    json!({ "anyOf": keys.iter().map(|key| json!({ "required": [key] })).collect::<Vec<_>>() })
}
