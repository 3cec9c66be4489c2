//! What an action says about itself: the pure half of the action contract, needed to check a workflow that uses it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name a step's `uses` gives: `storage.prefetch@1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActionName {
    kind: String,
    version: u32,
}

impl ActionName {
    /// What the action does, without its version: `storage.prefetch`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The major version of the action's contract.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }
}

/// An action name that is not `kind@version`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("action `{0}` is not of the form `noun.verb@1`")]
pub struct MalformedName(String);

impl FromStr for ActionName {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        let malformed = || MalformedName(text.to_owned());
        let (kind, version) = text.split_once('@').ok_or_else(malformed)?;
        // Not with a sign or further zeros: an action has one name.
        let version = version.parse().ok().filter(|number: &u32| number.to_string() == version);
        let version = version.ok_or_else(malformed)?;
        let well_formed = kind.contains('.')
            && kind.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_lowercase())
                    && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            });
        if well_formed { Ok(Self { kind: kind.to_owned(), version }) } else { Err(malformed()) }
    }
}

impl TryFrom<String> for ActionName {
    type Error = MalformedName;

    fn try_from(text: String) -> Result<Self, MalformedName> {
        text.parse()
    }
}

impl From<ActionName> for String {
    fn from(name: ActionName) -> String {
        name.to_string()
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.kind, self.version)
    }
}

/// What an action leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effects {
    /// Looks only; nothing to undo.
    None,
    /// Leaves something that its `compensate` takes away.
    Reversible,
    /// Leaves something that nothing can take away.
    Irreversible,
}

/// What an action promises before it is ever run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its name and major version.
    pub name: ActionName,
    /// One line for `longhaul validate` and the reference.
    pub summary: String,
    /// What it leaves behind.
    pub effects: Effects,
    /// Whether a hand-over may stand on what it leaves, as a guest does on the copy of its disk: then nothing takes that away under
    /// what is never undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foundation: bool,
    /// JSON Schema 2020-12 of what `with` may hold. Formats `site-id`, `vm-id`, `duration`, `bytes` and `bandwidth`
    /// are known to the checker.
    pub params: serde_json::Value,
    /// JSON Schema 2020-12 of what it puts out.
    pub outputs: serde_json::Value,
    /// How it is known to fail, one entry for each class.
    #[serde(default)]
    pub errors: Vec<DeclaredError>,
}

/// A way in which an action is known to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredError {
    /// The class, as `retry.errors` spells it.
    pub class: String,
    /// When it happens, in a few words.
    pub when: String,
}

/// A mistake in the parameters that only the action itself can see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// JSON pointer into the parameters, such as `/until/present`.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Looks at the parameters of one action for mistakes that its schema cannot express. Pure. What nobody knows yet stands
/// there as it is written in the workflow, `${{ }}` and all.
pub type ParameterCheck = dyn Fn(&serde_json::Value) -> Vec<Finding> + Send + Sync;

/// Every action a workflow may use.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Catalogue {
    actions: Vec<Descriptor>,
    /// Code has no form in a file: a catalogue that was read has none.
    #[serde(skip)]
    checks: BTreeMap<ActionName, Arc<ParameterCheck>>,
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("actions", &self.actions).finish_non_exhaustive()
    }
}

impl Catalogue {
    /// A catalogue of these actions, sorted by name. Of two with one name the last one stays.
    #[must_use]
    pub fn new(descriptors: impl IntoIterator<Item = Descriptor>) -> Self {
        let by_name: BTreeMap<_, _> = descriptors.into_iter().map(|d| (d.name.clone(), d)).collect();
        Self { actions: by_name.into_values().collect(), checks: BTreeMap::new() }
    }

    /// The same, with what an action itself has to say about its parameters.
    #[must_use]
    pub fn with_check(mut self, name: ActionName, check: Arc<ParameterCheck>) -> Self {
        self.checks.insert(name, check);
        self
    }

    /// What an action itself finds wrong with parameters that fit its schema; see [`ParameterCheck`].
    #[must_use]
    pub fn check(&self, name: &ActionName, params: &serde_json::Value) -> Vec<Finding> {
        self.checks.get(name).map(|check| check(params)).unwrap_or_default()
    }

    /// The action of that name and version, if there is one.
    #[must_use]
    pub fn get(&self, name: &ActionName) -> Option<&Descriptor> {
        self.actions.iter().find(|action| action.name == *name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.actions.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name survives its text form, and everything that is not `noun.verb@N` is refused.
    #[test]
    fn names_are_noun_verb_and_version() {
        let name: ActionName = "storage.prefetch@1".parse().unwrap();
        assert_eq!(
            (name.kind(), name.version(), name.to_string()),
            ("storage.prefetch", 1, "storage.prefetch@1".into())
        );
        for bad in
            ["prefetch@1", "storage.prefetch", "a.b@x", "Storage.x@1", "a..b@1", "@1", "a.b@+1", "a.b@01"]
        {
            assert!(bad.parse::<ActionName>().is_err(), "{bad}");
        }
    }
}
