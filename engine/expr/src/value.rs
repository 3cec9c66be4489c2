//! JSON to Rhai's values and back. By hand, so that nothing is rounded or dropped on the way.

use rhai::Dynamic;
use serde_json::{Map, Number, Value};

use crate::quantities;

/// The Rhai value of a JSON value. A number that is no `i64` becomes a float, as JSON readers do.
pub(crate) fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => Dynamic::from_bool(*flag),
        Value::Number(number) => number_to_dynamic(number),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => Dynamic::from_array(items.iter().map(to_dynamic).collect()),
        Value::Object(entries) => map_to_dynamic(entries),
    }
}

/// The Rhai map of a JSON object.
pub(crate) fn map_to_dynamic(entries: &Map<String, Value>) -> Dynamic {
    Dynamic::from_map(entries.iter().map(|(key, value)| (key.as_str().into(), to_dynamic(value))).collect())
}

fn number_to_dynamic(number: &Number) -> Dynamic {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Dynamic::from_int(whole),
        (None, Some(real)) => Dynamic::from_float(real),
        (None, None) => Dynamic::UNIT,
    }
}

/// The JSON value of a Rhai value; the type's name when JSON has no such value (a closure, NaN, a range).
pub(crate) fn from_dynamic(value: Dynamic) -> Result<Value, &'static str> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(flag) = value.as_bool() {
        return Ok(Value::Bool(flag));
    }
    if let Ok(whole) = value.as_int() {
        return Ok(Value::from(whole));
    }
    if let Ok(real) = value.as_float() {
        return Number::from_f64(real).map(Value::Number).ok_or("not a finite number");
    }
    if let Ok(letter) = value.as_char() {
        return Ok(Value::String(letter.to_string()));
    }
    from_compound(value)
}

fn from_compound(value: Dynamic) -> Result<Value, &'static str> {
    if let Some(text) = quantities::text_of(&value) {
        return Ok(Value::String(text));
    }
    let value = match value.try_cast_result::<rhai::Array>() {
        Ok(items) => return items.into_iter().map(from_dynamic).collect::<Result<_, _>>().map(Value::Array),
        Err(value) => value,
    };
    let value = match value.try_cast_result::<rhai::Map>() {
        Ok(entries) => {
            let entry = |(key, value): (_, Dynamic)| Ok((String::from(key), from_dynamic(value)?));
            return entries.into_iter().map(entry).collect::<Result<_, _>>().map(Value::Object);
        }
        Err(value) => value,
    };
    value.into_string().map(Value::String).map_err(|_| "not a value that JSON has")
}

/// A value as it stands inside text; its kind when it cannot.
pub(crate) fn to_text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::Null => Err("nothing"),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) => Err("a list"),
        Value::Object(_) => Err("a map"),
    }
}
