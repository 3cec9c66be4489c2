//! The words in which the actions describe themselves: small pieces of JSON Schema.

use std::collections::BTreeMap;

use longhaul_model::action::{DeclaredError, Descriptor, Effects};
use longhaul_step::{Error, ErrorClass};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// A description from its parts. `name` is a literal of this crate.
pub(crate) fn describe(
    name: &str,
    summary: &str,
    effects: Effects,
    params: Value,
    outputs: Value,
    errors: Vec<DeclaredError>,
) -> Descriptor {
    let name = name.parse().expect("the native actions' names are well-formed");
    Descriptor { name, summary: summary.to_owned(), effects, foundation: false, params, outputs, errors }
}

/// How an action fails, by class.
pub(crate) fn fails<'a>(when: impl IntoIterator<Item = (ErrorClass, &'a str)>) -> Vec<DeclaredError> {
    let by_class: BTreeMap<ErrorClass, &str> = when.into_iter().collect();
    let declared = |(class, when): (ErrorClass, &str)| DeclaredError {
        class: class.as_str().to_owned(),
        when: when.to_owned(),
    };
    by_class.into_iter().map(declared).collect()
}

/// How an action fails that agents carry out: as all of them do, and in its own ways, which win over the common one of
/// their class.
pub(crate) fn fails_at_agents<const N: usize>(own: [(ErrorClass, &str); N]) -> Vec<DeclaredError> {
    let common = [
        (ErrorClass::Permanent, "a site is not in the inventory, or its agent is of another release"),
        (ErrorClass::Conflict, "another run, or a later controller, has the VM"),
        (ErrorClass::Auth, "an agent does not accept this controller's certificate"),
        (ErrorClass::Unreachable, "an agent does not answer; what it did is asked for before anything else"),
        (ErrorClass::Cancelled, "the run was asked to stop"),
        (ErrorClass::Internal, "a bug, here or in an agent; what was done is asked for first"),
    ];
    fails(common.into_iter().chain(own))
}

/// The same schema with what its value means.
pub(crate) fn means(mut schema: Value, what: &str) -> Value {
    schema["description"] = Value::from(what);
    schema
}

/// An object that holds all of `required`, may hold `optional`, and nothing else.
pub(crate) fn object<const N: usize, const M: usize>(
    required: [(&str, Value); N],
    optional: [(&str, Value); M],
) -> Value {
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        required.into_iter().chain(optional).map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

pub(crate) fn site() -> Value {
    json!({ "type": "string", "format": "site-id" })
}

pub(crate) fn vm() -> Value {
    json!({ "type": "string", "format": "vm-id" })
}

pub(crate) fn text() -> Value {
    json!({ "type": "string" })
}

pub(crate) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(crate) fn number() -> Value {
    json!({ "type": "number" })
}

/// A whole number that is not negative.
pub(crate) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(crate) fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// The parameters as the action knows them.
///
/// # Errors
/// `internal`: they passed the schema before, so schema and type have drifted apart.
pub(crate) fn read<T: DeserializeOwned>(params: &Value) -> Result<T, Error> {
    let broken = |e| {
        Error::new(ErrorClass::Internal, format!("parameters passed their schema and are not readable: {e}"))
    };
    serde_json::from_value(params.clone()).map_err(broken)
}
