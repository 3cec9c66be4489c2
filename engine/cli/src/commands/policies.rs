//! Policies as commands ask them.

use longhaul_host_rhai::RhaiHost;
use longhaul_model::policy::Verdict;
use longhaul_plan::Plan;

use crate::commands::driving::now_unix_ms;
use crate::errors::{Failure, Result};
use crate::exit_code;

/// Has the policies say what they think of a plan, and writes it into the plan.
pub(super) fn judge(plan: &mut Plan) {
    judge_at(plan, now_unix_ms());
}

/// The same at another time, in Unix milliseconds.
pub(super) fn judge_at(plan: &mut Plan, unix_ms: u64) {
    let host = RhaiHost::default();
    let asking = plan.ask_policies(unix_ms);
    plan.verdicts = asking.iter().flat_map(|asking| asking.verdicts(&host)).collect();
}

/// Refuses to run what a policy denies.
pub(super) fn refuse_denied(plan: &Plan) -> Result<()> {
    let Some(why) = Verdict::denials(&plan.verdicts) else { return Ok(()) };
    let failure = Failure::said(exit_code::DENIED, format!("nothing was started: {why}"));
    Err(failure.advise("do what the policy asks for; `longhaul plan` shows what each policy says"))
}
