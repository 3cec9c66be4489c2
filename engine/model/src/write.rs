//! Documents as text: block YAML with every string quoted, so that nothing in it can be taken for something else.

use serde::Serialize;
use serde_json::Value;

use crate::read::API_VERSION;

/// A document of that kind with a value's fields as its keys.
pub(crate) fn document(kind: &str, value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("our own types hold only what JSON has");
    let mut text = format!("apiVersion: {API_VERSION}\nkind: {kind}\n");
    write_map(&value, 0, &mut text);
    text
}

fn write_map(value: &Value, indent: usize, text: &mut String) {
    for (key, value) in value.as_object().into_iter().flatten() {
        text.push_str(&" ".repeat(indent));
        text.push_str(key);
        text.push(':');
        write_value(value, indent, text);
    }
}

fn write_value(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            text.push('\n');
            write_map(value, indent + 2, text);
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            text.push('\n');
            for item in items {
                text.push_str(&format!("{}- {item}\n", " ".repeat(indent + 2)));
            }
        }
        // JSON's own notation is YAML for scalars, for lists of them and for what is empty.
        other => text.push_str(&format!(" {other}\n")),
    }
}
