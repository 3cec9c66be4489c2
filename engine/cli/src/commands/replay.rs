//! `longhaul replay`: shows a run again from its records alone, and writes its report again.

mod with;

use std::path::{Path, PathBuf};

use longhaul_model::ids::RunId;
use longhaul_run::journal::{Error, Export, read_export};
use longhaul_run::replay;
use longhaul_saga::{Record, Saga};

use crate::commands::{driving, journal, reports};
use crate::errors::{Explain as _, Failure, Result};
use crate::settings::Settings;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct Args {
    /// The run
    #[arg(group = "what")]
    run: Option<RunId>,
    /// Show the run of this file, which `longhaul journal export` wrote, instead of one of this state directory
    #[arg(long, group = "what", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Show instead what this workflow would have done with the same inputs in the same world; exit code 4 if that differs
    #[arg(long, value_name = "WORKFLOW", conflicts_with = "report")]
    with: Option<PathBuf>,
    /// Print one JSON object per record; with --with one object
    #[arg(long)]
    json: bool,
    /// Write the report here too, as HTML and beside it as text
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    if let Some(workflow) = &args.with {
        let records = match (&args.file, &args.run) {
            (Some(file), _) => read(file)?.records,
            (None, Some(run)) => journal::open(settings)?.records(run)?,
            (None, None) => unreachable!("clap asks for one of them"),
        };
        with::require_over(&records)?;
        return with::compare(&records, workflow, args.json);
    }
    let also = args.report.as_deref();
    let (records, written) = match (&args.file, &args.run) {
        (Some(file), _) => {
            let records = read(file)?.records;
            // The paths in the records of a file are those of another place: nothing is written there.
            let written = reports::write(&records, also)?;
            (records, written)
        }
        (None, Some(run)) => {
            let records = journal::open(settings)?.records(run)?;
            let written = reports::refresh(&records, also)?;
            (records, written)
        }
        (None, None) => unreachable!("clap asks for one of them"),
    };
    replay(&records, &mut driving::reporters(args.json));
    for path in written {
        output::talk(format_args!("report: {}", path.display()));
    }
    decided_again(&records)
}

/// Whether this binary's saga decides from the events what was decided.
fn decided_again(records: &[Record]) -> Result<u8> {
    let folded = Saga::fold(records);
    folded
        .doing(exit_code::CHECK_FAILED, || "derive the run's decisions again from its events".to_owned())?;
    Ok(exit_code::OK)
}

/// Reads an export.
pub(super) fn read(file: &Path) -> Result<Export> {
    let reading = || format!("read {}", file.display());
    let text = std::fs::read_to_string(file).doing(exit_code::INVALID_FILE, reading)?;
    read_export(&text).map_err(|error| refused(error, file))
}

fn refused(error: Error, file: &Path) -> Failure {
    let (code, advice) = match &error {
        Error::Broken(_) | Error::WrongValue { .. } | Error::NotThere { .. } => {
            let advice = "it was changed or cut off after it was written: export the run again; `journal export --redact` takes out what must not be seen";
            (exit_code::CHECK_FAILED, advice)
        }
        Error::NewerExport { .. } | Error::Unreadable(_) => {
            let advice = "replay it with the Longhaul that wrote it: the first line of the file names it";
            (exit_code::INVALID_FILE, advice)
        }
        Error::NoExport
        | Error::Line { .. }
        | Error::Lost { .. }
        | Error::Foreign { .. }
        | Error::NotOver { .. }
        | Error::Fold { .. }
        | Error::WrongState { .. }
        | Error::Held(_)
        | Error::Io { .. }
        | Error::Database { .. }
        | Error::Newer { .. }
        | Error::Stopped { .. }
        | Error::NoSuchRun(_)
        | Error::RunExists(_)
        | Error::Write(_)
        | Error::Redaction(_) => {
            (exit_code::INVALID_FILE, "`longhaul journal export RUN` writes such a file")
        }
    };
    let failure = Err::<(), _>(error).doing(code, || format!("read {}", file.display()));
    failure.expect_err("it was made of an error").advise(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.jsonl");
        std::fs::write(&file, text).unwrap();
        let failure = read(&file).unwrap_err();
        (failure.code(), failure.render().replace(&file.display().to_string(), "FILE"))
    }

    /// A file of another kind, one of a newer Longhaul and a torn one each say what they are and what to do.
    #[test]
    fn refusals_say_what_to_do() {
        let (code, said) = refusal("kind: Workflow\n");
        assert_eq!(code, exit_code::INVALID_FILE);
        insta::assert_snapshot!(said, @r"
        error: failed to read FILE
          because: the file is no export of a journal: its first line does not say so
          what to do: `longhaul journal export RUN` writes such a file
        ");
        let (code, said) = refusal(r#"{"export":9}"#);
        assert_eq!(code, exit_code::INVALID_FILE);
        insta::assert_snapshot!(said, @r"
        error: failed to read FILE
          because: the export has format 9; this binary reads format 1
          what to do: replay it with the Longhaul that wrote it: the first line of the file names it
        ");
        let about = r#"{"export":1,"written_by":"longhaul 0.1.0","command":"x","redacted":true,"run":"run-a","records":3,"head":"ab"}"#;
        let (code, said) = refusal(about);
        assert_eq!(code, exit_code::CHECK_FAILED);
        insta::assert_snapshot!(said, @r"
        error: failed to read FILE
          because: record 1 of run `run-a` is broken: it was written and is missing
          what to do: it was changed or cut off after it was written: export the run again; `journal export --redact` takes out what must not be seen
        ");
    }
}
