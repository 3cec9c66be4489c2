//! JSON Schemas as rows that a person reads.

use serde_json::Value;

/// A value that a schema describes.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    /// Where it stands: `until.present`, `lanes[].id`.
    pub(super) name: String,
    /// What it is: `vm-id`, `list of vm-id`, `number, 0 to 1`.
    pub(super) kind: String,
    /// Whether it has to be there.
    pub(super) needed: bool,
    /// What stands for it if it is not there.
    pub(super) default: Option<String>,
    /// What it means; empty if the schema does not say.
    pub(super) means: String,
}

/// Every value below an object, those inside others after them.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    collect(schema, "", &mut found);
    found
}

fn collect(schema: &Value, above: &str, found: &mut Vec<Field>) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{above}{name}");
        found.push(Field {
            name: place.clone(),
            kind: kind(value),
            needed: required.contains(&name.as_str()),
            default: value.get("default").map(Value::to_string),
            means: value["description"].as_str().unwrap_or_default().to_owned(),
        });
        collect(value, &format!("{place}."), found);
        collect(&value["items"], &format!("{place}[]."), found);
    }
}

fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        return choices.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    let plain = match (&schema["format"], &schema["type"]) {
        (Value::String(format), _) => format.clone(),
        (_, Value::String(one)) if one == "array" => format!("list of {}", kind(&schema["items"])),
        (_, Value::String(one)) if one == "object" => "map".to_owned(),
        (_, Value::String(one)) => one.clone(),
        (_, Value::Array(several)) => {
            several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
        }
        _ => "anything".to_owned(),
    };
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Null, Value::Null) => plain,
        (least, Value::Null) => format!("{plain}, at least {least}"),
        (Value::Null, most) => format!("{plain}, at most {most}"),
        (least, most) => format!("{plain}, {least} to {most}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Maps and lists are opened up, and what a schema does not say is not made up.
    #[test]
    fn schemas_become_rows() {
        let schema = json!({
            "type": "object",
            "required": ["vms"],
            "properties": {
                "vms": { "type": "array", "items": { "type": "object", "properties": {
                    "id": { "type": "string", "format": "vm-id", "description": "which" },
                } } },
                "ttl": { "type": "integer", "minimum": 1, "maximum": 60, "default": 5 },
                "mode": { "enum": ["a", "b"] },
                "free": true,
            },
        });
        let rows: Vec<String> = fields(&schema)
            .into_iter()
            .map(|f| {
                format!("{}|{}|{}|{}|{}", f.name, f.kind, f.needed, f.default.unwrap_or_default(), f.means)
            })
            .collect();
        assert_eq!(
            rows,
            [
                "vms|list of map|true||",
                "vms[].id|vm-id|false||which",
                "ttl|integer, 1 to 60|false|5|",
                "mode|\"a\" or \"b\"|false||",
                "free|anything|false||",
            ]
        );
    }
}
