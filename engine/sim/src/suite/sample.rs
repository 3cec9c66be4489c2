//! Outputs that nobody wrote, made from an action's schema: 0, no text, no items, what is required and nothing else.

use serde_json::{Map, Value, json};

/// The plainest value of a schema, as far as its own words tell one.
pub(crate) fn of(schema: &Value) -> Value {
    let given = ["const", "default"].into_iter().find_map(|key| schema.get(key).cloned());
    let listed = || schema.get("enum").and_then(|all| all.get(0)).cloned();
    given.or_else(listed).unwrap_or_else(|| by_type(schema))
}

fn by_type(schema: &Value) -> Value {
    let kind = schema.get("type").map(|kind| kind.get(0).unwrap_or(kind)).and_then(Value::as_str);
    match kind {
        Some("object") => object(schema),
        Some("array") => json!([]),
        Some("string") => text(schema),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(false),
        Some(_) => Value::Null,
        None => json!({}),
    }
}

fn object(schema: &Value) -> Value {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let property = |name: &Value| {
        let name = name.as_str()?;
        Some((name.to_owned(), of(schema.get("properties")?.get(name)?)))
    };
    Value::Object(required.filter_map(property).collect::<Map<_, _>>())
}

fn text(schema: &Value) -> Value {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("vm-id") => "vm",
        Some("site-id") => "site",
        Some("duration") => "0s",
        Some("bytes") => "0B",
        Some("bandwidth") => "0bit/s",
        Some("date-time") => "1970-01-01T00:00:00Z",
        _ => "",
    };
    json!(text)
}

#[cfg(test)]
mod tests {
    use longhaul_plan::ValueSchema;

    use super::*;

    /// What is made fits the schema it was made from.
    #[test]
    fn samples_fit() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["n", "vm", "list", "mode", "in"],
            "properties": {
                "n": { "type": "integer", "minimum": 3 }, "vm": { "type": "string", "format": "vm-id" },
                "list": { "type": "array", "items": { "type": "string" } }, "mode": { "enum": ["a", "b"] },
                "in": { "type": "object", "required": ["x"], "properties": { "x": { "type": ["boolean", "null"] } } },
                "not_needed": { "type": "string" },
            }
        });
        let made = of(&schema);
        assert_eq!(ValueSchema::new(&schema).unwrap().misfits(&made), []);
        assert_eq!(made, json!({ "n": 3, "vm": "vm", "list": [], "mode": "a", "in": { "x": false } }));
    }
}
