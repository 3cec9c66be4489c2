//! Who a certificate says its holder is.
//!
//! An identity is the URI in the certificate's subject alternative name: `longhaul://site/a`. Host names play no part,
//! because a site keeps its identity when its address changes.

use std::fmt;
use std::str::FromStr;

/// The longest name accepted, in bytes; a DNS label is no longer either.
const NAME_LEN_MAX: usize = 63;

/// The holder of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The agent of a site.
    Site(String),
    /// A process that runs workflows.
    Controller(String),
    /// A person, who signs what they say and connects to nobody.
    User(String),
}

/// A text that is no identity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{text}` is no identity: expected longhaul://site/NAME, longhaul://controller/NAME or longhaul://user/NAME, NAME of a-z, 0-9 and `-`"
)]
pub struct ParseError {
    text: String,
}

impl Identity {
    /// The identity of a site's agent.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate and a file name.
    pub fn site(name: &str) -> Result<Self, ParseError> {
        checked(name).map(Self::Site)
    }

    /// The identity of a controller.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate and a file name.
    pub fn controller(name: &str) -> Result<Self, ParseError> {
        checked(name).map(Self::Controller)
    }

    /// The identity of a person.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate and a file name.
    pub fn user(name: &str) -> Result<Self, ParseError> {
        checked(name).map(Self::User)
    }

    /// The name without the kind: `a` of `longhaul://site/a`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Site(name) | Self::Controller(name) | Self::User(name) => name,
        }
    }

    /// What the identity's files are called: `site-a` for `site-a.pem` and `site-a.key`.
    #[must_use]
    pub fn file_stem(&self) -> String {
        format!("{}-{}", self.kind(), self.name())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Site(_) => "site",
            Self::Controller(_) => "controller",
            Self::User(_) => "user",
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "longhaul://{}/{}", self.kind(), self.name())
    }
}

impl FromStr for Identity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let unknown = || ParseError { text: text.to_owned() };
        let rest = text.strip_prefix("longhaul://").ok_or_else(unknown)?;
        let identity = match rest.split_once('/') {
            Some(("site", name)) => Self::site(name),
            Some(("controller", name)) => Self::controller(name),
            Some(("user", name)) => Self::user(name),
            Some(_) | None => Err(unknown()),
        };
        identity.map_err(|_| unknown())
    }
}

fn checked(name: &str) -> Result<String, ParseError> {
    let byte_ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ok = name.len() <= NAME_LEN_MAX && name.bytes().all(byte_ok) && name.starts_with(|c| c != '-');
    if ok { Ok(name.to_owned()) } else { Err(ParseError { text: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed is read back as the same identity.
    #[test]
    fn display_and_parse_agree() {
        for identity in [
            Identity::site("a").unwrap(),
            Identity::controller("east-1").unwrap(),
            Identity::user("alice").unwrap(),
        ] {
            assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
        }
    }

    /// Nothing that could leave a folder or mean another kind is taken for an identity.
    #[test]
    fn bad_identities_are_refused() {
        for text in
            ["", "a", "longhaul://site/", "longhaul://site/../a", "longhaul://role/u", "https://site/a"]
        {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
