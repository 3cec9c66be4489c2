//! `longhaul runs`: the runs that a state directory holds, and taking those out that nobody needs any more.

mod retention;
mod show;

use longhaul_model::ids::RunId;
use longhaul_run::Reader;
use longhaul_run::journal::RunSummary;
use longhaul_saga::event::RunCreated;
use longhaul_saga::{Entry, Event};
use serde::Serialize;

use crate::commands::{block_on, driving, journal};
use crate::errors::{Failure, Result};
use crate::output::Table;
use crate::settings::Settings;
use crate::{exit_code, output};

pub(super) use retention::tidy_up;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the runs, the oldest first
    List(List),
    /// Show what a run is pinned to, who drove it, and how it stands
    Show(Show),
    /// Delete runs that are over. `longhaul journal export` keeps one elsewhere before
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// List the runs that were deleted instead
    #[arg(long)]
    deleted: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The run
    run: RunId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(crate) struct Delete {
    /// The runs
    #[arg(value_name = "RUN", group = "which")]
    runs: Vec<RunId>,
    /// Those that `keep_runs_for` and `keep_runs` of the configuration let go
    #[arg(long, group = "which")]
    by_policy: bool,
    /// Say what would go and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Why, for the row that stays of each
    #[arg(long, value_name = "TEXT", default_value = "deleted by hand")]
    reason: String,
}

pub(super) fn run(command: Command, settings: &Settings) -> Result<u8> {
    match command {
        Command::List(List { deleted: true, json }) => list_deleted(&journal::open(settings)?, json),
        Command::List(List { deleted: false, json }) => list(&journal::open(settings)?, json),
        Command::Show(args) => show::run(&journal::open(settings)?, &args.run, args.json),
        Command::Delete(args) => delete(&args, settings),
    }
}

/// A run as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    run: RunId,
    workflow: String,
    status: String,
    began_at_unix_ms: u64,
    last_at_unix_ms: u64,
    records: u64,
}

/// Lists the runs of a journal.
pub(super) fn list(reader: &Reader, as_json: bool) -> Result<u8> {
    let mut table = Table::new(["run", "workflow", "status", "began", "last record", "records"]);
    let mut all = Vec::new();
    for summary in reader.runs()? {
        let listed = listed(reader, summary);
        let time = journal::time;
        table.row([
            listed.run.to_string(),
            listed.workflow.clone(),
            listed.status.clone(),
            time(listed.began_at_unix_ms),
            time(listed.last_at_unix_ms),
            listed.records.to_string(),
        ]);
        all.push(listed);
    }
    if as_json {
        output::json(&all);
    } else {
        output::data(table);
    }
    Ok(exit_code::OK)
}

/// One run that this binary cannot read does not hide the others.
fn listed(reader: &Reader, summary: RunSummary) -> Listed {
    let RunSummary { run, records, began_at_unix_ms } = summary;
    let unreadable = || "not readable".to_owned();
    let pin = reader.plan(&run).map(|plan| plan.workflow);
    let standing = reader.standing(&run);
    Listed {
        workflow: pin.map_or_else(|_| unreadable(), |pin| format!("{} {}", pin.name, pin.version)),
        status: standing.as_ref().map_or_else(|_| unreadable(), |standing| standing.status.to_string()),
        last_at_unix_ms: standing.map_or(began_at_unix_ms, |standing| standing.last_at_unix_ms),
        run,
        began_at_unix_ms,
        records,
    }
}

/// What a run is pinned to.
fn created(reader: &Reader, run: &RunId) -> Result<RunCreated> {
    match reader.first(run)?.entry {
        Entry::Event(Event::RunCreated(created)) => Ok(*created),
        Entry::Event(_) | Entry::Intent(_) => {
            Err(Failure::said(exit_code::FAILED, format!("the first record of run {run} does not create it")))
        }
    }
}

fn list_deleted(reader: &Reader, as_json: bool) -> Result<u8> {
    let deleted = reader.deleted()?;
    if as_json {
        output::json(&deleted);
        return Ok(exit_code::OK);
    }
    let mut table = Table::new(["run", "deleted", "records", "hash of the last", "why"]);
    for gone in deleted {
        let at = journal::time(gone.at_unix_ms);
        table.row([gone.run.to_string(), at, gone.records.to_string(), gone.digest, gone.why]);
    }
    output::data(table);
    Ok(exit_code::OK)
}

fn delete(args: &Delete, settings: &Settings) -> Result<u8> {
    let reader = journal::open(settings)?;
    let runs = if args.by_policy {
        let retention = settings.retention();
        if retention.keeps_all() {
            let message = "the configuration says nothing of how long runs are kept";
            return Err(Failure::said(exit_code::USAGE, message)
                .advise("write `keep_runs_for: 90d` or `keep_runs: 100` into the file that `longhaul config show` names"));
        }
        retention::due(&reader, retention, driving::now_unix_ms())?
    } else {
        args.runs.clone()
    };
    if args.dry_run {
        for run in &runs {
            let status = reader.standing(run)?.status;
            output::data(format_args!("run {run}: {}", would(status.is_final())));
        }
        output::talk("DRY RUN: nothing was deleted");
        return Ok(exit_code::OK);
    }
    drop(reader);
    let reason = if args.by_policy { retention::REASON } else { &args.reason };
    block_on(async {
        let journal = driving::open_journal(settings)?;
        for run in &runs {
            journal.delete(run, driving::now_unix_ms(), reason).await.map_err(not_over)?;
            output::data(format_args!("run {run}: deleted"));
        }
        Ok(exit_code::OK)
    })
}

fn would(is_over: bool) -> &'static str {
    if is_over { "would be deleted" } else { "would be refused: it is not over" }
}

fn not_over(error: longhaul_run::journal::Error) -> Failure {
    let is_open = matches!(error, longhaul_run::journal::Error::NotOver { .. });
    let failure = Failure::new(exit_code::FAILED, error);
    if is_open {
        failure.advise("`longhaul cancel RUN` and `longhaul resume RUN` bring it to its end")
    } else {
        failure
    }
}
