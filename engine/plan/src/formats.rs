//! The formats that schemas may name besides JSON Schema's own.

use longhaul_model::diagnostic::nearest;
use longhaul_model::ids::{SiteId, VmId};
use longhaul_model::units::{Bandwidth, Size, Time};
use serde_json::Value;

use crate::schema::NoSchema;

/// A format: its name and what text has it.
type Format = (&'static str, fn(&str) -> bool);

/// Identifiers and quantities as Longhaul writes them. `duration` replaces JSON Schema's ISO 8601 one.
pub(crate) const FORMATS: [Format; 5] = [
    ("vm-id", |text| text.parse::<VmId>().is_ok()),
    ("site-id", |text| text.parse::<SiteId>().is_ok()),
    ("duration", |text| text.parse::<Time>().is_ok()),
    ("bytes", |text| text.parse::<Size>().is_ok()),
    ("bandwidth", |text| text.parse::<Bandwidth>().is_ok()),
];

/// JSON Schema's own formats that are checked.
const STANDARD: [&str; 18] = [
    "date-time",
    "date",
    "time",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "uri-template",
    "iri",
    "iri-reference",
    "uuid",
    "regex",
    "json-pointer",
    "relative-json-pointer",
];

/// Refuses a format that nobody knows, anywhere in a schema: it would be checked by nothing.
///
/// # Errors
/// The first one, with the formats that there are.
pub(crate) fn refuse_unknown(schema: &Value, pointer: &str) -> Result<(), NoSchema> {
    let known = || FORMATS.iter().map(|(name, _)| *name).chain(STANDARD);
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && !known().any(|name| name == format)
    {
        let help = match nearest(format, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
        };
        let message = format!("there is no format `{format}`");
        return Err(NoSchema { pointer: format!("{pointer}/format"), message, help: Some(help) });
    }
    for (place, below) in parts(schema) {
        refuse_unknown(below, &format!("{pointer}/{place}"))?;
    }
    Ok(())
}

/// The schemas that a schema consists of, with their places in it.
fn parts(schema: &Value) -> Vec<(String, &Value)> {
    let mut parts = Vec::new();
    for (key, value) in schema.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("properties" | "patternProperties" | "$defs" | "dependentSchemas", Value::Object(named)) => {
                let place = |name: &str| format!("{key}/{}", name.replace('~', "~0").replace('/', "~1"));
                parts.extend(named.iter().map(|(name, part)| (place(name), part)));
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(several)) => {
                parts.extend(several.iter().zip(0..).map(|(part, index)| (format!("{key}/{index}"), part)));
            }
            (
                "items"
                | "additionalProperties"
                | "contains"
                | "not"
                | "if"
                | "then"
                | "else"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties",
                part,
            ) => parts.push((key.clone(), part)),
            _ => {}
        }
    }
    parts
}

/// What text of a format looks like, for messages.
pub(crate) fn example(format: &str) -> Option<&'static str> {
    match format {
        "vm-id" | "site-id" => Some("lower-case letters, digits and dashes, such as `vm-a`"),
        "duration" => Some("a number and a unit, such as `300ms`, `10m` or `2h`"),
        "bytes" => Some("a number and a unit, such as `64KiB` or `2GiB`"),
        "bandwidth" => Some("a number and a unit, such as `100Mbit/s`"),
        "date-time" => Some("a date and time, such as `2026-08-30T18:00:00Z`"),
        _ => None,
    }
}
