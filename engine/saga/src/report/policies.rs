//! What policies said, as far as it was more than a yes.

use longhaul_model::policy::{Decision, Hook, Verdict};
use serde::Serialize;

use crate::event::Decided;

/// What a policy said beyond a yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyLine {
    /// The policy, by the name of its file.
    pub policy: String,
    /// When it was asked: `plan`, `before-step`, `after-step` or `on-failure`.
    pub hook: &'static str,
    /// The step it was about, if it was about one.
    pub step: Option<String>,
    /// `warn`, `deny` or `approval`.
    pub decision: &'static str,
    /// What it said.
    pub said: String,
}

pub(super) fn about_plan(verdicts: &[Verdict]) -> Vec<PolicyLine> {
    lines(Hook::Plan, None, verdicts)
}

pub(super) fn said(decided: &Decided) -> Vec<PolicyLine> {
    lines(decided.hook, decided.step.as_ref().map(ToString::to_string).as_deref(), &decided.verdicts)
}

fn lines(hook: Hook, step: Option<&str>, verdicts: &[Verdict]) -> Vec<PolicyLine> {
    let more = verdicts.iter().filter(|verdict| verdict.decision != Decision::Allow);
    let line = |verdict: &Verdict| PolicyLine {
        policy: verdict.policy.clone(),
        hook: hook.as_str(),
        step: step.map(str::to_owned),
        decision: verdict.decision.word(),
        said: verdict.decision.to_string(),
    };
    more.map(line).collect()
}
