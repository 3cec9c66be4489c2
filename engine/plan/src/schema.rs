//! JSON Schema 2020-12: building validators, and the little arithmetic of types that expressions need.

use std::collections::BTreeMap;
use std::rc::Rc;

use jsonschema::Validator;
use serde_json::Value;

use crate::formats::{self, FORMATS};

/// What is wrong with a schema, and the JSON pointer of the part that is.
#[derive(Debug)]
pub(crate) struct NoSchema {
    pub(crate) pointer: String,
    pub(crate) message: String,
    /// What would be right, if that is known.
    pub(crate) help: Option<String>,
}

/// A validator of a schema, formats checked.
///
/// # Errors
/// Why the schema is none.
pub(crate) fn validator(schema: &Value) -> Result<Validator, NoSchema> {
    jsonschema::draft202012::meta::validate(schema).map_err(|error| no_schema(&error))?;
    formats::refuse_unknown(schema, "")?;
    let mut options =
        jsonschema::draft202012::options().should_validate_formats(true).should_ignore_unknown_formats(false);
    for (name, accepts) in FORMATS {
        options = options.with_format(name, accepts);
    }
    options.build(schema).map_err(|error| no_schema(&error))
}

fn no_schema(error: &jsonschema::ValidationError<'_>) -> NoSchema {
    let pointer = error.instance_path().as_str().to_owned();
    let message = if pointer.ends_with("/type") {
        format!("there is no type {}; there are: {}", error.instance(), TYPES.join(", "))
    } else {
        error.to_string()
    };
    NoSchema { pointer, message, help: None }
}

/// JSON Schema's types.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// The schema that accepts everything: what is known of a value that cannot be typed.
pub(crate) static ANY: Value = Value::Bool(true);

/// The schema of a value reached from one of `schema` by these names. `None` if there certainly is no such value.
pub(crate) fn walk<'s>(schema: &'s Value, path: &[String]) -> Option<&'s Value> {
    let Some((name, rest)) = path.split_first() else { return Some(schema) };
    match (schema.get("properties").and_then(|all| all.get(name)), schema.get("additionalProperties")) {
        (Some(next), _) => walk(next, rest),
        (None, Some(Value::Bool(false))) => None,
        (None, Some(Value::Object(_))) => walk(&schema["additionalProperties"], rest),
        (None, _) if is_only(schema, &["string", "number", "integer", "boolean", "null"]) => None,
        (None, _) => Some(&ANY),
    }
}

/// The names that are known where the way from `schema` ends, and the one there that is not.
pub(crate) fn end_of_the_way<'s, 'p>(schema: &'s Value, path: &'p [String]) -> (Vec<&'s str>, &'p str) {
    let known = schema.get("properties").and_then(Value::as_object);
    match path.split_first() {
        Some((name, rest))
            if !rest.is_empty()
                && let Some(next) = known.and_then(|all| all.get(name)) =>
        {
            end_of_the_way(next, rest)
        }
        first => {
            let names = known.into_iter().flat_map(|all| all.keys()).map(String::as_str).collect();
            (names, first.map_or("", |(name, _)| name))
        }
    }
}

/// Whether a schema names its types and all of them are among `types`.
fn is_only(schema: &Value, types: &[&str]) -> bool {
    types_of(schema).is_some_and(|all| all.iter().all(|one| types.contains(one)))
}

/// The types that a schema names itself.
pub(crate) fn types_of(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => Some(several.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

/// Why no value of `source` can ever stand where `target` is asked for; `None` if one may, or nobody knows.
pub(crate) fn conflict(source: &Value, target: &Value) -> Option<String> {
    let (Some(have), Some(want)) = (types_of(source), types_of(target)) else { return None };
    let accepted = |one: &&str| {
        want.contains(one)
            || (*one == "integer" && want.contains(&"number"))
            || (*one == "number" && want.contains(&"integer"))
    };
    if !have.iter().any(accepted) {
        return Some(format!("it is of type {}, {} is needed", have.join(" or "), want.join(" or ")));
    }
    if let (Some(items), Some(needed)) = (source.get("items"), target.get("items"))
        && let Some(inner) = conflict(items, needed)
    {
        return Some(format!("its items do not fit: {inner}"));
    }
    format_conflict(source, target)
}

/// Two formats that are checked and not the same: a site's id where a VM's is needed.
fn format_conflict(source: &Value, target: &Value) -> Option<String> {
    let format = |schema: &Value| schema.get("format").and_then(Value::as_str).map(str::to_owned);
    let ours = |name: &String| name == "date-time" || FORMATS.iter().any(|(known, _)| known == name);
    let (have, want) = (format(source).filter(ours)?, format(target).filter(ours)?);
    (have != want).then(|| format!("it is a {have}, a {want} is needed"))
}

/// The schema below `schema` at a JSON pointer into a value; [`ANY`] where it says nothing.
pub(crate) fn at_pointer<'s>(schema: &'s Value, pointer: &str) -> &'s Value {
    let step = |schema: &'s Value, token: &str| {
        let key = token.replace("~1", "/").replace("~0", "~");
        let next = schema.get("properties").and_then(|all| all.get(&key)).or_else(|| schema.get("items"));
        next.unwrap_or(&ANY)
    };
    pointer.split('/').skip(1).fold(schema, step)
}

/// Validators that were built, for a workflow of thousands of steps uses a few actions.
#[derive(Default)]
pub(crate) struct Validators(BTreeMap<String, Option<Rc<Validator>>>);

impl Validators {
    /// The validator of a schema that has this name; none if it is no schema.
    pub(crate) fn named(&mut self, name: String, schema: &Value) -> Option<Rc<Validator>> {
        self.0.entry(name).or_insert_with(|| validator(schema).ok().map(Rc::new)).clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each of our formats is really checked, and a format or type that nobody knows is a mistake in the schema.
    #[test]
    fn formats_are_checked() {
        let cases = [
            ("vm-id", "vm-a", "VM A"),
            ("site-id", "a", "a/b"),
            ("duration", "10m", "PT10M"),
            ("bytes", "2GiB", "2GB"),
            ("bandwidth", "1Mbit/s", "1MB"),
            ("date-time", "2026-08-30T18:00:00Z", "soon"),
        ];
        for (format, good, bad) in cases {
            let validator = validator(&json!({"type": "string", "format": format})).unwrap();
            assert!(validator.is_valid(&json!(good)) && !validator.is_valid(&json!(bad)), "{format}");
        }
        assert!(validator(&json!({"type": "string", "format": "vmid"})).is_err());
        assert!(validator(&json!({"type": "integr"})).is_err());
    }

    /// Only what can never fit is a conflict; what nobody knows is none.
    #[test]
    fn conflicts_are_certain() {
        let vm = json!({"type": "string", "format": "vm-id"});
        let site = json!({"type": "string", "format": "site-id"});
        let list = json!({"type": "array", "items": vm});
        assert!(conflict(&list, &vm).is_some() && conflict(&site, &vm).is_some());
        assert!(conflict(&list, &json!({"type": "array", "items": site})).is_some());
        assert!(conflict(&vm, &json!({"type": "string"})).is_none() && conflict(&ANY, &vm).is_none());
        assert!(conflict(&json!({"type": "integer"}), &json!({"type": "number"})).is_none());
    }
}
