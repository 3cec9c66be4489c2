//! The result as scripts read it.

use std::path::Path;

use longhaul_sim::suite::{Failing, Verdict};
use serde_json::{Value, json};

use crate::commands::validate::as_json;

use super::play::Played;
use super::{Tested, show};

/// The same object whatever came of it. `mode` says that nothing was really done, as that of `longhaul plan --json` does; `broken` has each file with mistakes as `longhaul validate --json` shows it.
pub(super) fn of(tested: &Tested) -> Value {
    json!({
        "mode": "simulation",
        "ok": tested.is_fine(),
        "seed": tested.seed,
        "runs": tested.runs(),
        "simulated_ms": tested.simulated_ms(),
        "took_ms": tested.took_ms,
        "stale_snapshots": tested.stale.iter().map(|file| named(file)).collect::<Vec<_>>(),
        "broken": tested.broken.iter().map(|(file, found)| as_json(file, found)).collect::<Vec<_>>(),
        "cases": tested.cases.iter().map(case).collect::<Vec<_>>(),
    })
}

/// A file's name, also where it is no UTF-8.
fn named(file: &Path) -> String {
    file.display().to_string()
}

fn case(case: &Played) -> Value {
    json!({
        "file": named(&case.file),
        "name": case.name,
        "line": case.line,
        "column": case.column,
        "ok": case.is_fine(),
        "runs": case.runs,
        "simulated_ms": case.simulated_ms,
        "snapshot": { "file": named(&case.snapshot_file), "is": case.snapshot.as_str() },
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
