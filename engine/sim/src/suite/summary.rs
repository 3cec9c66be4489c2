//! What is kept of a case, to be compared with what it was before.

use std::collections::BTreeMap;
use std::fmt::Write;

use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::policy;
use longhaul_saga::Report;

use super::{Case, Verdict};
use crate::{Fault, Ran};

impl Case {
    /// The case in text: the report of its run; of a sweep, how its runs ended; of a refused plan, the mistakes.
    #[must_use]
    pub fn summary(&self, undisturbed: Option<&Ran>, swept: &[Verdict]) -> String {
        let Some(ran) = undisturbed else {
            return self.refused().map_or_else(|| denial(self.verdicts()), refusal);
        };
        let report = Report::fold(&ran.records).map_or_else(String::new, |report| report.text());
        if !self.sweeps() {
            return report;
        }
        let mut text = format!("without a fault: {}\n", ended(ran));
        for line in struck(swept).into_iter().chain(counted(swept)) {
            writeln!(text, "{line}").expect("writing into a string cannot fail");
        }
        text
    }
}

/// What the policies say of a plan that is denied.
fn denial(verdicts: &[policy::Verdict]) -> String {
    let lines = verdicts.iter().map(|verdict| format!("  {verdict}\n"));
    std::iter::once("the plan is denied\n".to_owned()).chain(lines).collect()
}

/// Codes and messages without the file's name, which depends on where somebody stands.
fn refusal(found: &Diagnostics) -> String {
    let lines = found.iter().map(|one| format!("  {} {}\n", one.code, one.message));
    std::iter::once("the plan is refused\n".to_owned()).chain(lines).collect()
}

fn ended(ran: &Ran) -> String {
    format!("{} after {}", ran.status(), duration(ran.took_ms()))
}

/// A stretch of virtual time as people read it, to the two largest units.
#[must_use]
pub fn duration(ms: u64) -> String {
    let (days, hours) = (ms / 86_400_000, ms / 3_600_000 % 24);
    let (minutes, seconds) = (ms / 60_000 % 60, ms / 1_000 % 60);
    match (days, hours) {
        (0, 0) if minutes == 0 => format!("{seconds} s"),
        (0, 0) => format!("{minutes} min {seconds} s"),
        (0, _) => format!("{hours} h {minutes} min"),
        (1, _) => format!("1 day {hours} h"),
        _ => format!("{days} days {hours} h"),
    }
}

/// Runs with a fault that somebody would name: a line each.
fn struck(swept: &[Verdict]) -> Vec<String> {
    let named = swept.iter().filter(|ran| !is_counted(&ran.fault));
    named.map(|ran| format!("with {}: {}", ran.fault, ran.status)).collect()
}

/// Runs of which there are too many to name: how many ended how.
fn counted(swept: &[Verdict]) -> Vec<String> {
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for ran in swept.iter().filter(|ran| is_counted(&ran.fault)) {
        let what =
            if matches!(ran.fault, Fault::Crash { .. }) { "a crash" } else { "an action asked for twice" };
        *counts.entry((what, ran.status.as_str())).or_default() += 1;
    }
    counts.into_iter().map(|((what, status), count)| format!("with {what}: {count} runs {status}")).collect()
}

fn is_counted(fault: &Fault) -> bool {
    matches!(fault, Fault::Crash { .. } | Fault::Twice { .. })
}
