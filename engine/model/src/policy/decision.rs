//! What a policy answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Time;

/// What a policy answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Nothing speaks against it.
    Allow,
    /// It goes on, and this is recorded and shown.
    Warn(String),
    /// It does not go on, for this reason.
    Deny(String),
    /// It goes on when people say yes.
    RequireApproval(Approval),
}

/// Who has to say yes: as `approve` of a step has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Each of them has one of these roles; there is at least one.
    pub roles: Vec<String>,
    /// How many have to say yes, at least 1.
    pub quorum: u32,
    /// Whether the person who started the run does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forbid_self: bool,
    /// How long the answer may take. When nobody answered in time, that is a no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// What they are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What one policy answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The policy, by the name of its file.
    pub policy: String,
    /// What it answered.
    pub decision: Decision,
}

impl Verdict {
    /// The verdict of a policy that could not decide: a no that says so.
    #[must_use]
    pub fn failed(policy: &str, why: &str) -> Self {
        let reason = format!("it could not decide, and what cannot decide denies: {why}");
        Self { policy: policy.to_owned(), decision: Decision::Deny(reason) }
    }

    /// The reason of a no.
    #[must_use]
    pub fn denial(&self) -> Option<&str> {
        match &self.decision {
            Decision::Deny(reason) => Some(reason),
            Decision::Allow | Decision::Warn(_) | Decision::RequireApproval(_) => None,
        }
    }

    /// What is warned of.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        match &self.decision {
            Decision::Warn(reason) => Some(reason),
            Decision::Allow | Decision::Deny(_) | Decision::RequireApproval(_) => None,
        }
    }

    /// Who has to say yes.
    #[must_use]
    pub fn approval(&self) -> Option<&Approval> {
        match &self.decision {
            Decision::RequireApproval(approval) => Some(approval),
            Decision::Allow | Decision::Warn(_) | Decision::Deny(_) => None,
        }
    }

    /// Every no among verdicts, each with its policy; nothing if there is none.
    #[must_use]
    pub fn denials(verdicts: &[Self]) -> Option<String> {
        let said: Vec<String> = verdicts
            .iter()
            .filter_map(|it| Some(format!("{} denies it: {}", it.policy, it.denial()?)))
            .collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

impl Decision {
    /// The word for it, as files of tests write it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn(_) => "warn",
            Self::Deny(_) => "deny",
            Self::RequireApproval(_) => "approval",
        }
    }

    /// What people are told with it; empty if nothing.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Allow => "",
            Self::Warn(reason) | Self::Deny(reason) => reason,
            Self::RequireApproval(approval) => approval.message.as_deref().unwrap_or_default(),
        }
    }
}

/// `allows it`, `warns: REASON`, `denies it: REASON`, `wants 2 approvals by duty-officer: MESSAGE`.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allows it"),
            Self::Warn(reason) => write!(f, "warns: {reason}"),
            Self::Deny(reason) => write!(f, "denies it: {reason}"),
            Self::RequireApproval(approval) => write!(f, "wants {approval}"),
        }
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.quorum == 1 { "" } else { "s" };
        write!(f, "{} approval{plural} by {}", self.quorum, self.roles.join(" or "))?;
        f.write_str(if self.forbid_self { ", not of who started the run" } else { "" })?;
        self.expires.map_or(Ok(()), |expires| write!(f, ", within {expires}"))?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
    }
}

/// `policies/window.rhai denies it: REASON`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.policy, self.decision)
    }
}
