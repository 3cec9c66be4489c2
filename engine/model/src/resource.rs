//! What steps share: kinds of resources, and amounts of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::units::{Bandwidth, Size};

/// What a resource is. It says in which unit amounts of it are written, and held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// Of a link, in bits a second.
    Bandwidth,
    /// Of a site, in bytes.
    Memory,
    /// Disk space of a site, in bytes.
    Disk,
    /// Things that are counted.
    Count,
}

impl ResourceKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bandwidth, Self::Memory, Self::Disk, Self::Count];

    /// The word for it in a file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Count => "count",
        }
    }

    /// What an amount looks like, for messages.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Bandwidth => "a bandwidth such as 100Mbit/s",
            Self::Memory | Self::Disk => "a size such as 2GiB",
            Self::Count => "a whole number such as 4",
        }
    }

    /// An amount in the unit of this kind: text with its unit, or a number without one.
    ///
    /// # Errors
    /// Why it is none: a whole sentence fragment.
    pub fn amount(self, value: &Value) -> Result<u64, String> {
        let parsed = match (self, value) {
            (_, Value::Number(number)) => number.as_u64(),
            (Self::Bandwidth, Value::String(text)) => {
                text.parse().ok().map(|rate: Bandwidth| rate.as_bits_per_second())
            }
            (Self::Memory | Self::Disk, Value::String(text)) => {
                text.parse().ok().map(|size: Size| size.as_bytes())
            }
            _ => None,
        };
        parsed.ok_or_else(|| format!("{value} is not {}", self.example()))
    }

    /// An amount as people write it.
    #[must_use]
    pub fn write(self, amount: u64) -> String {
        match self {
            Self::Bandwidth => Bandwidth::from_bits_per_second(amount).to_string(),
            Self::Memory | Self::Disk => Size::from_bytes(amount).to_string(),
            Self::Count => amount.to_string(),
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Amounts have the unit of their kind, or none, and come back as they were written.
    #[test]
    fn amounts_have_the_unit_of_their_kind() {
        assert_eq!(ResourceKind::Bandwidth.amount(&json!("200Mbit/s")), Ok(200_000_000));
        assert_eq!(ResourceKind::Memory.amount(&json!("2GiB")), Ok(2 << 30));
        assert_eq!(ResourceKind::Count.amount(&json!(4)), Ok(4));
        assert_eq!(ResourceKind::Disk.amount(&json!(512)), Ok(512));
        for (kind, value) in [
            (ResourceKind::Bandwidth, json!("2GiB")),
            (ResourceKind::Memory, json!("2GB")),
            (ResourceKind::Count, json!("4")),
            (ResourceKind::Count, json!(-1)),
            (ResourceKind::Count, json!(0.5)),
            (ResourceKind::Disk, json!(true)),
        ] {
            assert!(kind.amount(&value).unwrap_err().contains(kind.example()), "{kind}: {value}");
        }
        for kind in ResourceKind::ALL {
            let value = if kind == ResourceKind::Count { json!(7) } else { json!(kind.write(7)) };
            assert_eq!(kind.amount(&value), Ok(7), "{kind}");
        }
    }
}
