//! `longhaul journal`: what is written down about runs.

use std::path::PathBuf;

use longhaul_model::ids::RunId;
use longhaul_run::Reader;
use longhaul_run::journal::{Bundle, Error, Writer, redact, write_export};
use longhaul_saga::Saga;
use serde_json::json;

use crate::commands::{block_on, driving, replay};
use crate::errors::{Explain as _, Failure, Result};
use crate::output::Table;
use crate::settings::Settings;
use crate::{exit_code, output};

/// What writes exports, as their first line says it.
const PROGRAM: &str = concat!("longhaul ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the records of a run, or the list of runs
    Show(Show),
    /// Check every record against the hash in the next one
    Verify(Verify),
    /// Write the records of a run as JSON lines; `longhaul replay --file` shows them anywhere
    Export(Export),
    /// Take a run over from an export, as it is. It has to be over
    Import(Import),
    /// Give back the space that deleted runs took
    Compact(Compact),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The run [default: list all runs]
    run: Option<RunId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The run
    run: RunId,
    /// Take out what names machines, people and times: hosts, processes, absolute paths; the run then begins on 2000-01-01
    #[arg(long)]
    redact: bool,
    /// Give the run this id; the one that `run` makes holds its date
    #[arg(long = "as", value_name = "RUN", requires = "redact")]
    alias: Option<RunId>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// What `longhaul journal export` wrote
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Compact {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command, settings: &Settings) -> Result<u8> {
    match command {
        Command::Show(Show { run: None, json }) => list(json, settings),
        Command::Show(Show { run: Some(run), json }) => show(&run, json, settings),
        Command::Verify(args) => verify(args.json, settings),
        Command::Export(args) => export(&args, settings),
        Command::Import(args) => import(&args, settings),
        Command::Compact(args) => compact(args.json, settings),
    }
}

/// The journal of the state directory.
pub(super) fn open(settings: &Settings) -> Result<Reader> {
    let folder = settings.controller();
    let reader = Reader::open(&folder)
        .doing(exit_code::FAILED, || format!("read the journal in {}", folder.display()));
    reader.map_err(|failure| failure.advise("name its state directory with --state or LONGHAUL_STATE"))
}

fn list(json: bool, settings: &Settings) -> Result<u8> {
    let runs = open(settings)?.runs()?;
    if json {
        let run = |run: &longhaul_run::journal::RunSummary| json!({ "run": run.run, "records": run.records, "began_at_unix_ms": run.began_at_unix_ms });
        output::json(&runs.iter().map(run).collect::<Vec<_>>());
    } else {
        let mut table = Table::new(["run", "records", "began"]);
        for run in &runs {
            table.row([run.run.to_string(), run.records.to_string(), time(run.began_at_unix_ms)]);
        }
        output::data(table);
    }
    Ok(exit_code::OK)
}

fn show(run: &RunId, json: bool, settings: &Settings) -> Result<u8> {
    let records = open(settings)?.stored(run)?;
    if json {
        output::json(&records.iter().map(|record| &record.header).collect::<Vec<_>>());
        return Ok(exit_code::OK);
    }
    let mut table = Table::new(["seq", "time", "kind", "payload"]);
    for record in &records {
        let header = &record.header;
        table.row([
            header.seq.to_string(),
            time(header.at_unix_ms),
            header.kind.clone(),
            shortened(&record.text),
        ]);
    }
    output::data(table);
    Ok(exit_code::OK)
}

fn verify(json: bool, settings: &Settings) -> Result<u8> {
    match open(settings)?.verify() {
        Ok(verified) if json => {
            output::json(&json!({ "ok": true, "runs": verified.runs, "records": verified.records }));
        }
        Ok(verified) => {
            output::data(format_args!("{} records of {} runs: fine", verified.records, verified.runs));
        }
        Err(Error::Broken(broken)) => {
            if json {
                output::json(
                    &json!({ "ok": false, "run": broken.run, "seq": broken.seq, "why": broken.why }),
                );
            }
            return Err(Failure::new(exit_code::CHECK_FAILED, Error::Broken(broken)));
        }
        Err(error @ (Error::Lost { .. } | Error::Fold { .. })) => {
            return Err(Failure::new(exit_code::CHECK_FAILED, error));
        }
        Err(error @ Error::WrongState { .. }) => {
            return Err(Failure::new(exit_code::CHECK_FAILED, error)
                .advise("`longhaul journal compact` drops it; the run is then taken up from its records"));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(exit_code::OK)
}

fn export(args: &Export, settings: &Settings) -> Result<u8> {
    let records = open(settings)?.bundle(&args.run)?;
    let redact = if args.redact { " --redact" } else { "" };
    let command = format!("longhaul journal export{redact}");
    let alias = args.redact.then(|| args.alias.as_ref().unwrap_or(&args.run));
    let text = exported(&records, alias, &command)?;
    output::raw(&text);
    Ok(exit_code::OK)
}

fn import(args: &Import, settings: &Settings) -> Result<u8> {
    let export = replay::read(&args.file)?;
    let run = export.about.run.clone();
    let fold = Saga::fold(&export.records)
        .doing(exit_code::CHECK_FAILED, || "derive the run's decisions again from its events".to_owned())?;
    let status = fold.saga.status();
    if !status.is_final() {
        let message = format!(
            "run {run} is not over: it is {status}, and the controller that it has may go on with it"
        );
        return Err(Failure::said(exit_code::FAILED, message)
            .advise("let it come to its end where it is, then export it again"));
    }
    block_on(async { driving::open_journal(settings)?.import(export.bundle).await.map_err(Failure::from) })?;
    output::data(format_args!("run {run}: {} records, {status}", export.about.records));
    Ok(exit_code::OK)
}

fn compact(json: bool, settings: &Settings) -> Result<u8> {
    let freed = block_on(async { driving::open_journal(settings)?.compact().await.map_err(Failure::from) })?;
    if json {
        output::json(&json!({ "database_bytes": freed.database_bytes, "value_bytes": freed.value_bytes }));
    } else {
        let (database, values) = (freed.database_bytes / 1_000, freed.value_bytes / 1_000);
        output::data(format_args!("given back: {database} kB of the database, {values} kB of large values"));
    }
    Ok(exit_code::OK)
}

/// The export of a run's records, redacted under another id if one is given.
pub(crate) fn exported(bundle: &Bundle, redacted_as: Option<&RunId>, command: &str) -> Result<String> {
    let redacted = redacted_as.map(|alias| redact(bundle, alias)).transpose()?;
    let writer = Writer { program: PROGRAM, command, redacted: redacted.is_some() };
    let mut text = Vec::new();
    write_export(&mut text, writer, redacted.as_ref().unwrap_or(bundle))?;
    Ok(String::from_utf8(text).expect("JSON is UTF-8"))
}

/// A time of the journal as people read it.
pub(super) fn time(unix_ms: u64) -> String {
    let timestamp = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| unix_ms.to_string(), |timestamp| format!("{timestamp:.3}"))
}

/// The first characters of a payload; plans are pages long.
fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 160;
    if text.chars().count() <= SHOWN_MAX {
        text.to_owned()
    } else {
        text.chars().take(SHOWN_MAX).collect::<String>() + "..."
    }
}
