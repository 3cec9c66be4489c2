//! Identifiers. Each is a newtype that can only hold a well-formed value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An identifier that does not have the form its kind asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{text}` is not well-formed: {rule}")]
pub struct Malformed {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;

            fn try_from(text: String) -> Result<Self, Malformed> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(&text) { Ok(Self(text)) } else { Err(Malformed { kind: $kind, text, rule: $rule }) }
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Longest accepted identifier, in bytes: it must fit, with a prefix, into a network interface name's alias, a DNS
/// label and a file name.
const ID_LENGTH_MAX: usize = 40;

fn dashed(text: &str) -> bool {
    text.len() <= ID_LENGTH_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn underscored(text: &str) -> bool {
    text.len() <= ID_LENGTH_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

identifier!(
    /// Names a site: a place where VMs run. A DNS label.
    SiteId, "site", "lower-case letters, digits and dashes, starting with a letter, at most 40", dashed
);
identifier!(
    /// Names a virtual machine, everywhere and for ever. A DNS label.
    VmId, "vm", "lower-case letters, digits and dashes, starting with a letter, at most 40", dashed
);
identifier!(
    /// Names a run.
    RunId, "run", "lower-case letters, digits and dashes, starting with a letter, at most 40", dashed
);
identifier!(
    /// Names a plugin: its folder, and what workflows ask for.
    PluginName, "plugin", "lower-case letters, digits and dashes, starting with a letter, at most 40", dashed
);
identifier!(
    /// Names a step within its graph. Underscores rather than dashes: in an expression a dash is a subtraction.
    StepId, "step", "lower-case letters, digits and underscores, starting with a letter, at most 40", underscored
);

/// Where a step instance stands in a run: step ids and item keys joined by `/`, as in `move/vm-a/prefetch`; a step of the
/// workflow that the step `ask` runs is `ask/gate`.
///
/// Stable across resumes: item keys come from the item, never from its position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepPath(String);

impl StepPath {
    /// The path of a step of the outermost graph.
    #[must_use]
    pub fn root(id: &StepId) -> Self {
        Self(id.as_str().to_owned())
    }

    /// The path of a step inside one item of the foreach step at `self`.
    #[must_use]
    pub fn item(&self, key: &str, id: &StepId) -> Self {
        Self(format!("{}/{key}/{id}", self.0))
    }

    /// The path of a step of the workflow that the step at `self` runs.
    #[must_use]
    pub fn child(&self, id: &StepId) -> Self {
        Self(format!("{}/{id}", self.0))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StepPath {
    type Err = NoPath;

    fn from_str(text: &str) -> Result<Self, NoPath> {
        // Which of the parts between are items, and which are steps of workflows, the plan alone says.
        let is_step = |part: Option<&str>| part.is_some_and(|part| part.parse::<StepId>().is_ok());
        let ends_are_steps = is_step(text.split('/').next()) && is_step(text.rsplit('/').next());
        let is_path = ends_are_steps && text.split('/').all(|part| !part.is_empty());
        if is_path { Ok(Self(text.to_owned())) } else { Err(NoPath(text.to_owned())) }
    }
}

/// A text that is no path of a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no path of a step: write one such as `gate` or `move/vm-a/gate`")]
pub struct NoPath(String);

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path begins and ends with a step; between them are item keys, and steps that run workflows.
    #[test]
    fn paths_are_read() {
        for good in ["gate", "move/vm-a/gate", "a/1 b/c/x.y/d", "ask/gate", "all/vm-a/ask/gate"] {
            assert_eq!(good.parse::<StepPath>().unwrap().as_str(), good);
        }
        for bad in ["", "move/vm-a", "move//gate", "/gate", "Gate", "a/b/c-d"] {
            assert!(bad.parse::<StepPath>().is_err(), "{bad}");
        }
    }

    /// A malformed identifier is refused with its rule, and a well-formed one comes back unchanged.
    #[test]
    fn identifiers_hold_only_well_formed_text() {
        assert_eq!("vm-a".parse::<VmId>().unwrap().as_str(), "vm-a");
        assert_eq!("move_vm".parse::<StepId>().unwrap().as_str(), "move_vm");
        let refused = "move-vm".parse::<StepId>().unwrap_err().to_string();
        assert!(refused.contains("underscores"), "{refused}");
        for bad in ["", "-a", "a-", "A", "1a", "a/b"] {
            assert!(bad.parse::<SiteId>().is_err(), "{bad:?}");
        }
    }
}
