//! How a step stands, in the words that expressions, test files and reports share.

use serde_json::{Value, json};

/// How a step instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepStatus {
    /// It is done.
    Succeeded,
    /// It failed, and certainly left nothing behind.
    Failed,
    /// It was passed over.
    Skipped,
    /// It failed and left a part of itself behind.
    Partial,
    /// It was done and has been undone.
    Undone,
    /// Done, and not undone in an unwind because it cannot or must not be.
    Kept,
    /// Only a person can say how it goes on.
    NeedsOperator,
    /// Its turn has not come, or what it claims is not free.
    Waiting,
    /// It is under way.
    Running,
    /// Its undo is under way.
    Undoing,
}

impl StepStatus {
    /// All of them; those that are an end first.
    pub const ALL: [Self; 10] = [
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Partial,
        Self::Undone,
        Self::Kept,
        Self::NeedsOperator,
        Self::Waiting,
        Self::Running,
        Self::Undoing,
    ];

    /// What a step has come to that is read by one that runs only when all went well.
    const WELL: [Self; 2] = [Self::Succeeded, Self::Skipped];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Partial => "partial",
            Self::Undone => "undone",
            Self::Kept => "kept",
            Self::NeedsOperator => "needs_operator",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Undoing => "undoing",
        }
    }
}

/// The schema of `steps.x.status`, where the steps that are read may have ended otherwise than well or not.
pub(crate) fn schema(is_unsure: bool) -> Value {
    let all: &[StepStatus] = if is_unsure { &StepStatus::ALL } else { &StepStatus::WELL };
    let words: Vec<&str> = all.iter().map(|status| status.as_str()).collect();
    json!({ "type": "string", "enum": words })
}
