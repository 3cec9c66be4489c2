//! The contract of policies: what a [`Host`] is asked and what it may answer.
//!
//! The words live in `longhaul_model`, because the saga records answers and may not see this crate; whoever writes a host
//! finds them here, beside the contract of actions. A host promises:
//!
//! * the same script, [`View`] and `with` get the same answer, for ever: it asks nobody, reads no clock and draws no number;
//! * it comes to an end, within bounds of its own, and says with file and line which bound was met;
//! * what it cannot decide is an error and no [`Decision::Allow`]: whoever asked takes an error for a no.

pub use longhaul_model::policy::{
    Approval, Decision, FailureView, Hook, Host, NoHost, PlanView, StepView, Verdict, View,
};
