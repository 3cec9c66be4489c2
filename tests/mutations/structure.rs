//! Changes of what a text says, whatever its form: the tree of values, written as JSON again.

use fastrand::Rng;
use longhaul_model::Source;
use longhaul_model::document::Document;
use serde_json::{Value, json};

/// The text of the changed tree; the text itself where it has none.
pub(super) fn change(text: &str, rng: &mut Rng) -> String {
    let Ok(document) = Document::parse(&Source::new("it", text)) else { return text.to_owned() };
    let mut tree = document.root.to_json();
    let pointers = pointers(&tree);
    let [one, other] = [(); 2].map(|()| pointers[rng.usize(..pointers.len())].clone());
    match rng.u8(..6) {
        0 => drop(taken(&mut tree, &one)),
        1 => exchange(&mut tree, &one, &other),
        2 => moved(&mut tree, &one, &other),
        3 => put(&mut tree, &one, odd(rng)),
        4 => {
            let copy = tree.pointer(&other).cloned().unwrap_or_default();
            put(&mut tree, &one, copy);
        }
        _ => renamed(&mut tree, &one, &other),
    }
    serde_json::to_string_pretty(&tree).unwrap()
}

/// Where each value of a tree stands, but for the tree itself.
fn pointers(tree: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, found: &mut Vec<String>) {
        let token = |key: &str| key.replace('~', "~0").replace('/', "~1");
        let parts: Vec<(String, &Value)> = match value {
            Value::Object(entries) => entries.iter().map(|(key, value)| (token(key), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(at, it)| (at.to_string(), it)).collect(),
            _ => Vec::new(),
        };
        for (key, value) in parts {
            let at = format!("{at}/{key}");
            found.push(at.clone());
            walk(value, &at, found);
        }
    }
    let mut found = Vec::new();
    walk(tree, "", &mut found);
    if found.is_empty() {
        found.push(String::new());
    }
    found
}

/// Something that hardly belongs anywhere.
fn odd(rng: &mut Rng) -> Value {
    let deep = (0..60).fold(json!(1), |inside, _| json!([inside]));
    let all = [
        json!(null),
        json!(-1),
        json!(u64::MAX),
        json!(1e300),
        json!(0.1),
        json!(""),
        json!(" "),
        json!({}),
        json!([]),
        json!(true),
        json!("${{ }}"),
        json!("${{ 1 / 0 }}"),
        json!("x".repeat(300)),
        json!("9999999999999999999h"),
        json!("0ms"),
        json!({ "${{ inputs.vms }}": "${{ 1 }}" }),
        json!("./."),
        json!("a.b@4294967296"),
        deep,
    ];
    all[rng.usize(..all.len())].clone()
}

fn put(tree: &mut Value, at: &str, value: Value) {
    if let Some(place) = tree.pointer_mut(at) {
        *place = value;
    }
}

/// Takes a value out of what it stands in.
fn taken(tree: &mut Value, at: &str) -> Option<(String, Value)> {
    let (parent, key) = at.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match tree.pointer_mut(parent)? {
        Value::Object(entries) => entries.shift_remove(&key).map(|value| (key, value)),
        Value::Array(items) => {
            let at = key.parse().ok().filter(|at| *at < items.len())?;
            Some((key, items.remove(at)))
        }
        _ => None,
    }
}

fn exchange(tree: &mut Value, one: &str, other: &str) {
    let (Some(a), Some(b)) = (tree.pointer(one).cloned(), tree.pointer(other).cloned()) else { return };
    put(tree, one, b);
    put(tree, other, a);
}

/// A value stands in another one, under the name it had.
fn moved(tree: &mut Value, one: &str, other: &str) {
    let Some((key, value)) = taken(tree, one) else { return };
    match tree.pointer_mut(other) {
        Some(Value::Object(entries)) => drop(entries.insert(key, value)),
        Some(Value::Array(items)) => items.push(value),
        _ => {}
    }
}

/// A value has the name of another.
fn renamed(tree: &mut Value, one: &str, other: &str) {
    let name = other.rsplit('/').next().unwrap_or_default().to_owned();
    let Some((_, value)) = taken(tree, one) else { return };
    let parent = one.rsplit_once('/').map_or("", |(parent, _)| parent);
    if let Some(Value::Object(entries)) = tree.pointer_mut(parent) {
        entries.insert(name, value);
    }
}
