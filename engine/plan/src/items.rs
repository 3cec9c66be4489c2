//! Items of a foreach step: what a list may hold, and by which key an item's steps are told apart.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema;

/// The key of an item: the item itself if it is text, else its `key`.
///
/// # Errors
/// Why it can have none.
pub fn item_key(item: &Value) -> Result<&str, String> {
    match item.as_str().or_else(|| item.get("key").and_then(Value::as_str)) {
        Some(key) if !key.is_empty() && !key.contains('/') => Ok(key),
        Some(key) => Err(format!("`{key}` cannot be an item's key: it is empty or holds a `/`")),
        None => Err(format!("the item {item} is no text and has no `key`")),
    }
}

/// The keys of a list's items, in its order.
///
/// # Errors
/// The first item that has none, or has the key of one before it.
pub fn item_keys(items: &[Value]) -> Result<Vec<&str>, String> {
    let mut seen = BTreeSet::new();
    let keys = items.iter().map(item_key).collect::<Result<Vec<_>, _>>()?;
    match keys.iter().find(|key| !seen.insert(**key)) {
        Some(twice) => Err(format!("two items have the key `{twice}`")),
        None => Ok(keys),
    }
}

/// Why no value of a schema can be an item; none if one may, or nobody knows.
pub(crate) fn never(item: &Value) -> Option<String> {
    let types = schema::types_of(item)?;
    if !types.iter().any(|one| ["string", "object"].contains(one)) {
        return Some(format!("its items are of type {}", types.join(" or ")));
    }
    if types.contains(&"string") {
        return None;
    }
    match schema::walk(item, &["key".to_owned()]) {
        None => Some("its items are maps without a `key`".to_owned()),
        Some(key) => {
            let types = schema::types_of(key)?;
            (!types.contains(&"string"))
                .then(|| format!("the `key` of its items is of type {}", types.join(" or ")))
        }
    }
}
