//! Policies as commands ask them.

use longhaul_host_rhai::RhaiHost;
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics, Elsewhere};
use longhaul_model::policy::{Host as _, Verdict};
use longhaul_model::source::Source;
use longhaul_model::workflow::{Files as _, PolicySpec, Shared};
use longhaul_plan::Plan;

use crate::commands::driving::now_unix_ms;
use crate::commands::files::Disk;
use crate::errors::{Failure, Result};
use crate::exit_code;

/// Has the policies say what they think of a plan, and writes it into the plan.
pub(super) fn judge(plan: &mut Plan) {
    let host = RhaiHost::default();
    let asking = plan.ask_policies(now_unix_ms());
    plan.verdicts = asking.iter().flat_map(|asking| asking.verdicts(&host)).collect();
}

/// Refuses to run what a policy denies.
pub(super) fn refuse_denied(plan: &Plan) -> Result<()> {
    let Some(why) = Verdict::denials(&plan.verdicts) else { return Ok(()) };
    let failure = Failure::said(exit_code::DENIED, format!("nothing was started: {why}"));
    Err(failure.advise("do what the policy asks for; `longhaul plan` shows what each policy says"))
}

/// What is wrong with the scripts that shared defaults name, besides `found`.
pub(super) fn check_shared(shared: &Shared, mut found: Diagnostics) -> Diagnostics {
    let host = RhaiHost::default();
    for policy in &shared.policies {
        match script(policy) {
            Ok(script) => {
                let (source, span) = (policy.source.clone(), policy.file.span);
                let user = Elsewhere { source, span, text: "this policy".to_owned() };
                found.append(host.check(&script).and_elsewhere(&[user]));
            }
            Err(one) => found.append(one),
        }
    }
    found
}

fn script(policy: &PolicySpec) -> std::result::Result<Source, Diagnostics> {
    let read = Disk.find(policy.source.name(), &policy.file.value);
    let read = read.and_then(|found| Ok(Source::new(&found.name, &Disk.read(&found)?)));
    read.map_err(|why| Diagnostic::new(Code::OtherFile, &policy.source, policy.file.span, why).into())
}
