//! `longhaul plan`: what a run would do. Asks nobody.

use std::path::{Path, PathBuf};

use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::workflow::Resolved;
use longhaul_plan::Plan;

use crate::commands::documents::{self, Format, Shown};
use crate::commands::files::Disk;
use crate::commands::inputs::Inputs;
use crate::errors::Result;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workflow
    #[arg(value_name = "WORKFLOW")]
    file: PathBuf,
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let shown = args.format.shown();
    let plan = make(&args.file, &args.inputs, shown)?;
    match shown {
        Shown::Text => output::raw(&longhaul_plan::render_text(&plan)),
        Shown::Json => output::json(&plan),
        Shown::Sarif => output::json(&documents::sarif(&Diagnostics::new())),
    }
    Ok(exit_code::OK)
}

/// The plan of a workflow with these inputs; every mistake in either is shown.
pub(super) fn make(file: &Path, inputs: &Inputs, shown: Shown) -> Result<Plan> {
    let given = inputs.gather(shown)?;
    let document = documents::document(file)?.map_err(|found| shown.refuse(file, &found))?;
    let workflow = Resolved::read(&document, &Disk);
    let checked = longhaul_plan::check(&workflow, &given, &longhaul_steps::catalogue());
    checked.map_err(|found| shown.refuse(file, &found))
}
