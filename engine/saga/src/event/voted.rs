//! A person's yes or no.

use longhaul_model::ids::StepPath;
use serde::{Deserialize, Serialize};

use crate::{Illegal, Saga};

/// A person approved what a step asks for, or rejected it. Whether the statement is really theirs was checked before it came
/// here; whether it counts is the saga's to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voted {
    /// The step that asks.
    pub step: StepPath,
    /// What was said.
    pub vote: Vote,
    /// Who said it.
    pub by: Person,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The proof; none where people are made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// The number of the message in which it came, so that it is taken once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vote {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

/// A person as their certificate names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The roles.
    pub roles: Vec<String>,
}

/// A statement with the signature of the person who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The statement, as it was signed.
    pub text: String,
    /// The person's certificate, PEM.
    pub certificate: String,
    /// ECDSA on P-256 with SHA-256, in hex.
    pub signature: String,
}

impl Voted {
    pub(crate) fn apply(&self, saga: &mut Saga) -> Result<(), Illegal> {
        let node = saga.find("voted", &self.step)?;
        match saga.check_vote(self) {
            Ok(()) => {
                saga.vote(node, self);
                Ok(())
            }
            Err(why) => Err(Illegal::Vote { step: self.step.clone(), why }),
        }
    }
}
