//! The result as scripts read it.

use std::path::PathBuf;

use longhaul_model::diagnostic::Diagnostics;
use longhaul_sim::suite::{Failing, Verdict};
use serde_json::{Value, json};

use crate::commands::validate::as_json;

use super::play::Played;
use super::{Tested, show};

pub(super) fn of(tested: &Tested) -> Value {
    json!({
        "ok": tested.is_fine(),
        "seed": tested.seed,
        "runs": tested.runs(),
        "simulated_ms": tested.simulated_ms(),
        "took_ms": tested.took_ms,
        "stale_snapshots": tested.stale,
        "broken": broken(&tested.broken),
        "cases": tested.cases.iter().map(case).collect::<Vec<_>>(),
    })
}

/// Files with mistakes, as `longhaul validate --json` shows them.
pub(super) fn broken(files: &[(PathBuf, Diagnostics)]) -> Value {
    files.iter().map(|(file, found)| as_json(file, found)).collect()
}

fn case(case: &Played) -> Value {
    json!({
        "file": case.file,
        "name": case.name,
        "line": case.line,
        "column": case.column,
        "ok": case.is_fine(),
        "runs": case.runs,
        "simulated_ms": case.simulated_ms,
        "snapshot": { "file": case.snapshot_file, "is": case.snapshot.as_str() },
        "failing": case.of_case.iter().map(failing).collect::<Vec<_>>(),
        "failed_runs": case.wrong.iter().map(run).collect::<Vec<_>>(),
    })
}

fn run(verdict: &Verdict) -> Value {
    let until = verdict.shows_at();
    json!({
        "fault": verdict.fault.to_string(),
        "status": verdict.status,
        "failing": verdict.failing.iter().map(failing).collect::<Vec<_>>(),
        "sequence": show::sequence(&verdict.records, until),
    })
}

fn failing(failing: &Failing) -> Value {
    json!({
        "line": failing.line,
        "column": failing.column,
        "text": failing.text,
        "step": failing.step,
        "record": failing.record,
    })
}
