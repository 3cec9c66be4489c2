//! Why a VM stays where it is.

use longhaul_wire::failure::Class;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a VM stays where it is, and what kind of reason that is: the class decides whether another try can help, the text is
/// for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// The kind. Agents that did not say it yet meant "try again".
    #[serde(default = "transient", serialize_with = "to_name", deserialize_with = "from_name")]
    pub class: Class,
}

impl Refusal {
    /// A reason of this class.
    pub fn new(class: Class, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), class }
    }

    /// A reason that goes away by itself.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::new(Class::Transient, reason)
    }

    /// A reason as the other site named it. No class is one that was not said yet; a class that this version does not know
    /// is taken for permanent, for to try again would be a guess.
    pub fn named(class: &str, reason: impl Into<String>) -> Self {
        let class = if class.is_empty() { transient() } else { class.parse().unwrap_or(Class::Permanent) };
        Self::new(class, reason)
    }
}

const fn transient() -> Class {
    Class::Transient
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn to_name<S: Serializer>(class: &Class, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.as_str())
}

fn from_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Class, D::Error> {
    Ok(Refusal::named(&String::deserialize(deserializer)?, "").class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Decision;

    /// A NACK of an agent that said no class reads as one that goes away, one of a later agent with a class of its own as one
    /// that stays, and ours survives writing.
    #[test]
    fn refusals_of_other_versions_are_read() {
        let read = |text: &str| serde_json::from_str::<Decision>(text).unwrap();
        assert_eq!(read(r#"{"Nack":{"reason":"no"}}"#), Decision::Nack(Refusal::transient("no")));
        let later = Decision::Nack(Refusal::new(Class::Permanent, "no"));
        assert_eq!(read(r#"{"Nack":{"reason":"no","class":"cosmic"}}"#), later);
        let ours = Decision::Nack(Refusal::new(Class::Precondition, "no"));
        assert_eq!(read(&serde_json::to_string(&ours).unwrap()), ours);
    }
}
