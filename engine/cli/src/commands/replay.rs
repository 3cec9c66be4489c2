//! `longhaul replay`: shows a run again from its records alone, and writes its report again.

use std::path::PathBuf;

use longhaul_model::ids::RunId;
use longhaul_run::replay;

use crate::commands::{driving, journal, reports};
use crate::errors::Result;
use crate::settings::Settings;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// Print one JSON object per record
    #[arg(long)]
    json: bool,
    /// Write the report here too, as HTML and beside it as text
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let records = journal::open(settings)?.records(&args.run)?;
    replay(&records, &mut driving::reporters(args.json));
    for path in reports::refresh(&records, args.report.as_deref())? {
        output::talk(format_args!("report: {}", path.display()));
    }
    Ok(exit_code::OK)
}
