//! The two sites and the three places of a lab.

use serde::{Deserialize, Serialize};

/// One of the two sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Where the guest is created.
    A,
    /// Where it is moved to first.
    B,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The site's id.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A place with a network namespace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A site.
    Site(Side),
    /// Outside both sites: whoever uses what the VMs serve.
    Client,
}

impl Place {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Site(Side::A), Self::Site(Side::B), Self::Client];

    /// The name, as in the namespace's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Site(side) => side.as_str(),
            Self::Client => "client",
        }
    }
}
