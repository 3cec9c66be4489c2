//! The name of a lab, from which the names of everything in it follow.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::netns::Netns;
use crate::place::Place;

/// A name that a lab cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lab name `{0}` is not well-formed: 1 to 24 lower-case letters, digits and dashes, a letter first")]
pub struct Malformed(String);

/// The name of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

impl LabName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The namespace of a place of this lab.
    #[must_use]
    pub fn netns(&self, place: Place) -> Netns {
        Netns::named(format!("{}-{}", self.0, place.as_str()))
    }
}

impl Default for LabName {
    /// `lab`.
    fn default() -> Self {
        Self("lab".to_owned())
    }
}

impl TryFrom<String> for LabName {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        let accepted = (1..=24).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if accepted { Ok(Self(text)) } else { Err(Malformed(text)) }
    }
}

impl FromStr for LabName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::try_from(text.to_owned())
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
