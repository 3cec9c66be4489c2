//! `longhaul status`: how runs stand, from their records alone.

use longhaul_model::ids::RunId;
use longhaul_run::Reader;
use longhaul_saga::intent::{Asked, Instruction};
use longhaul_saga::{OpenQuestion, Record, Report, Saga, Status, StepView};
use serde_json::json;

use crate::commands::{driving, journal, runs};
use crate::errors::{Explain as _, Result};
use crate::output::Table;
use crate::settings::Settings;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run; the exit code says how it stands [default: all runs]
    run: Option<RunId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let reader = journal::open(settings)?;
    match &args.run {
        Some(run) => one(&reader, run, args.json),
        None => runs::list(&reader, args.json),
    }
}

/// The exit code is that of the run, and one of its own while it is not over: a script can wait for it.
fn one(reader: &Reader, run: &RunId, as_json: bool) -> Result<u8> {
    let records = reader.records(run)?;
    let saga = fold(run, &records)?;
    let alone = reader.owner()?.is_some_and(|owner| owner.is_gone());
    let report = Report::fold(&records);
    let to_do: &[Instruction] = report.as_ref().map_or(&[], |report| &report.instructions);
    if as_json {
        let steps: Vec<StepView> = saga.steps().collect();
        let status = saga.status();
        let questions: Vec<_> = saga.open_questions().iter().map(question).collect();
        output::json(&json!({
            "run": run, "status": status, "paused": saga.paused(), "steps": steps, "questions": questions, "instructions": to_do
        }));
    } else {
        let paused = saga.paused().map_or_else(String::new, |reason| format!(", paused: {reason}"));
        output::data(format_args!("run {run}: {}{paused}", saga.status()));
        let mut table = Table::new(["step", "action", "state", "attempt", "why"]);
        for view in saga.steps() {
            let uses = match (view.uses, view.workflow) {
                (Some(uses), _) => uses.to_string(),
                (None, Some(workflow)) => format!("workflow {workflow}"),
                (None, None) => view.does.to_owned(),
            };
            let why = view.failure.unwrap_or_default();
            table.row([view.step.to_string(), uses, view.state.to_owned(), view.attempt.to_string(), why]);
        }
        output::data(table);
        for question in saga.open_questions() {
            output::data(waits(run, &question));
        }
        if saga.status() == Status::Running && alone {
            output::data(format_args!("no controller works on it: `longhaul resume {run}` goes on"));
        }
        for Instruction { step, problem, action } in to_do {
            output::data(format_args!("{step}: {problem}"));
            output::data(format_args!("{step}: to do: {action}"));
        }
    }
    Ok(match report {
        Some(report) if saga.status() != Status::Running => driving::of_report(&report),
        _ => code(saga.status(), alone),
    })
}

fn question(question: &OpenQuestion) -> serde_json::Value {
    json!({
        "step": question.step, "asks": question.asks, "asked_at_unix_ms": question.asked_at_unix_ms,
        "until_unix_ms": question.until_unix_ms, "approved_by": question.approved_by,
    })
}

/// Who has to answer what, and how.
fn waits(run: &RunId, question: &OpenQuestion) -> String {
    let OpenQuestion { step, asks, approved_by, until_unix_ms, .. } = question;
    let until = until_unix_ms.map_or_else(String::new, |until| format!(" until {}", journal::time(until)));
    let already = if approved_by.is_empty() {
        String::new()
    } else {
        format!(", approved by {}", approved_by.join(", "))
    };
    let (message, how) = match asks {
        Asked::Approval { message, .. } => {
            (message.as_deref(), format!("longhaul approve {run} {step} --as NAME"))
        }
        Asked::Signal { name } => (None, format!("longhaul signal {run} {name}")),
    };
    let message = message.map_or_else(String::new, |message| format!(": {message}"));
    format!("{step}: waits for {asks}{until}{already}{message}\n{step}: to do: `{how}`")
}

/// A run that is not over and that no controller works on was interrupted: waiting for its end would not end.
fn code(status: Status, alone: bool) -> u8 {
    match status {
        Status::Running if alone => exit_code::INTERRUPTED,
        status => driving::of_status(status),
    }
}

fn fold(run: &RunId, records: &[Record]) -> Result<Saga> {
    let folded = Saga::fold(records).doing(exit_code::FAILED, || format!("fold the records of run {run}"))?;
    Ok(folded.saga)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script that waits for a run's end asks again only while somebody works on it.
    #[test]
    fn only_a_run_that_is_worked_on_is_waited_for() {
        assert_eq!(code(Status::Running, false), exit_code::RUNNING);
        assert_eq!(code(Status::Running, true), exit_code::INTERRUPTED);
        for over in [Status::Succeeded, Status::Failed, Status::Partial, Status::NeedsOperator] {
            for alone in [false, true] {
                assert_eq!(code(over, alone), driving::of_status(over), "{over}");
            }
        }
    }
}
