//! The JSON Schema (2020-12) of each kind of file, for editors and for checkers of others.
//!
//! Which keys a map has is taken from the tables that the readers hold a file against; only what a key means and what may
//! stand behind it is written here. A key that a reader learns has no description until it gets one, and a test says so.
//! A schema sees less than the readers: no expression's inside, no reference to a step, no action's parameters.
//!
//! Quantities and ids are patterns and not formats: `duration` is another notation in JSON Schema, and the other names
//! nobody else knows.

mod parts;
mod plugin;
mod policy;
mod policy_test;
mod site;
mod step;
mod test;
mod vm;
mod workflow;

use serde_json::{Value, json};

pub use workflow::FORMATS;

use crate::read::API_VERSION;

/// The kinds of files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A workflow.
    Workflow,
    /// Defaults that several workflows include.
    Defaults,
    /// A test of a workflow.
    Test,
    /// A test of a policy.
    PolicyTest,
    /// What a controller knows of the sites.
    Sites,
    /// A site's own file.
    Site,
    /// A virtual machine.
    Vm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Workflow, Self::Defaults, Self::Test, Self::PolicyTest, Self::Sites, Self::Site, Self::Vm];

    /// What `kind` says in a file of this kind.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workflow => "Workflow",
            Self::Defaults => "Defaults",
            Self::Test => "Test",
            Self::PolicyTest => "PolicyTest",
            Self::Sites => "Sites",
            Self::Site => "Site",
            Self::Vm => "Vm",
        }
    }

    /// The name of the file that the schema is published in: `workflow-v1.json`.
    #[must_use]
    pub fn file(self) -> String {
        let version = API_VERSION.rsplit('/').next().unwrap_or(API_VERSION);
        format!("{}-{version}.json", self.name().to_lowercase())
    }

    /// The schema.
    #[must_use]
    pub fn schema(self) -> Value {
        let (title, body) = match self {
            Self::Workflow => ("A Longhaul workflow", workflow::schema()),
            Self::Defaults => ("Defaults that Longhaul workflows share", workflow::shared_defaults()),
            Self::Test => ("A test of a Longhaul workflow", test::schema()),
            Self::PolicyTest => ("A test of a policy of Longhaul workflows", policy_test::schema()),
            Self::Sites => ("The sites that a Longhaul controller knows", site::known()),
            Self::Site => ("A site of Longhaul", site::own()),
            Self::Vm => ("A virtual machine under Longhaul", vm::schema()),
        };
        let name = self.file();
        let id = format!("urn:longhaul:{}", name.trim_end_matches(".json"));
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": id,
            "title": title,
        });
        if let (Some(all), Value::Object(body)) = (schema.as_object_mut(), body) {
            all.extend(body);
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::KINDS;

    /// Every property without a description, by its place.
    fn unexplained(schema: &Value, at: &str, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_refusal = property == &Value::Bool(false) || property.get("const").is_some();
            let in_condition = at.contains("/then") || at.contains("/if");
            if !is_refusal && !in_condition && property["description"].as_str().is_none_or(str::is_empty) {
                found.push(format!("{at}/{name}"));
            }
        }
        let inner: Vec<(String, &Value)> = match schema {
            Value::Object(map) => map.iter().map(|(key, value)| (format!("{at}/{key}"), value)).collect(),
            Value::Array(list) => list.iter().map(|value| (at.to_owned(), value)).collect(),
            _ => Vec::new(),
        };
        inner.into_iter().for_each(|(at, value)| unexplained(value, &at, found));
    }

    /// Every key of every kind says what it means, and every kind of file has a schema.
    #[test]
    fn every_key_is_explained() {
        for kind in Kind::ALL {
            let mut found = Vec::new();
            unexplained(&kind.schema(), "", &mut found);
            assert!(found.is_empty(), "{kind:?}: without a description: {found:?}");
        }
        let names = Kind::ALL.map(Kind::name);
        assert!(KINDS.iter().all(|kind| names.contains(kind)), "{KINDS:?}");
        assert_eq!(Kind::Workflow.file(), "workflow-v1.json");
    }
}
