//! The result as people read it.

use std::fmt::Write as _;

use longhaul_run::reporter::Lines;
use longhaul_saga::Record;
use longhaul_sim::suite::{Failing, Verdict, duration};

use super::Tested;
use super::play::Played;
use super::snapshots::{self, Kept};

/// Failing runs that are shown of one case; the rest is counted.
const RUNS_SHOWN_MAX: usize = 3;
/// Lines that are shown of what led to a failure.
const LINES_SHOWN_MAX: usize = 15;

pub(super) fn text(tested: &Tested) -> String {
    let mut text = String::new();
    let mut file = None;
    for case in &tested.cases {
        if file.replace(&case.file) != Some(&case.file) {
            line(&mut text, 0, format_args!("{}", case.file.display()));
        }
        of_case(&mut text, case, tested.seed);
    }
    for file in &tested.stale {
        line(
            &mut text,
            0,
            format_args!("{}: belongs to no case; `longhaul test --accept` removes it", file.display()),
        );
    }
    for (file, found) in &tested.broken {
        let mistakes = counted(found.len(), "mistake");
        line(&mut text, 0, format_args!("{}: {mistakes}, none of its cases was tried", file.display()));
    }
    let failed = tested.cases.iter().filter(|case| !case.is_fine()).count();
    let (cases, runs) = (counted(tested.cases.len(), "case"), counted(tested.runs(), "simulated run"));
    let simulated = duration(tested.simulated_ms());
    let took = format!("{}.{:01} s", tested.took_ms / 1_000, tested.took_ms / 100 % 10);
    line(
        &mut text,
        0,
        format_args!(
            "{cases}, {} fine, {failed} not; {runs} of {simulated} in all, in {took}; seed {}",
            tested.cases.len() - failed,
            tested.seed
        ),
    );
    text
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn line(text: &mut String, indent: usize, what: impl std::fmt::Display) {
    writeln!(text, "{:indent$}{what}", "").expect("writing into a string cannot fail");
}

fn of_case(text: &mut String, case: &Played, seed: u64) {
    let mark = if case.is_fine() { "ok  " } else { "FAIL" };
    let runs = if case.has_snapshot() { format!(" ({})", counted(case.runs, "run")) } else { String::new() };
    line(text, 2, format_args!("{mark}  {}{runs}", case.name));
    for failing in &case.of_case {
        of_failing(text, case, failing);
    }
    for verdict in case.wrong.iter().take(RUNS_SHOWN_MAX) {
        of_run(text, case, verdict, seed);
    }
    if case.wrong.len() > RUNS_SHOWN_MAX {
        line(text, 8, format_args!("and {} more runs of it", case.wrong.len() - RUNS_SHOWN_MAX));
    }
    of_snapshot(text, case);
}

fn of_run(text: &mut String, case: &Played, verdict: &Verdict, seed: u64) {
    verdict.failing.iter().for_each(|failing| of_failing(text, case, failing));
    line(text, 10, format_args!("with {}, seed {seed}; what led there:", verdict.fault));
    let until = verdict.shows_at();
    sequence(&verdict.records, until).iter().for_each(|shown| line(text, 12, shown));
}

fn of_failing(text: &mut String, case: &Played, failing: &Failing) {
    line(
        text,
        8,
        format_args!("{}:{}:{}: {}", case.file.display(), failing.line, failing.column, failing.text),
    );
}

/// The last lines up to a record, as the reporters of a real run show them.
pub(super) fn sequence(records: &[Record], until: Option<u64>) -> Vec<String> {
    let mut lines = Lines::default();
    let shown = records.iter().filter(|record| until.is_none_or(|until| record.seq <= until));
    let mut all: Vec<String> = shown.flat_map(|record| lines.of(record)).collect();
    all.split_off(all.len().saturating_sub(LINES_SHOWN_MAX))
}

fn of_snapshot(text: &mut String, case: &Played) {
    let file = case.snapshot_file.display();
    match &case.snapshot {
        Kept::NotCompared | Kept::Same => {}
        Kept::Accepted => line(text, 8, format_args!("{file}: accepted")),
        Kept::New => {
            line(text, 8, format_args!("{file}: no snapshot yet; `longhaul test --review` shows it"));
        }
        Kept::Changed(before) => {
            line(
                text,
                8,
                format_args!("{file}: not as it was accepted; `longhaul test --review` asks about it"),
            );
            for changed in snapshots::difference(before, &case.summary).lines() {
                line(text, 10, changed);
            }
        }
    }
}
