//! `longhaul resume`: goes on with a run whose controller died, was stopped or needed an operator.

mod replan;

use std::path::PathBuf;

use longhaul_model::ids::{RunId, StepPath};
use longhaul_saga::Fold;

use crate::commands::{block_on, driving, journal, reports};
use crate::errors::{Explain as _, Result};
use crate::exit_code;
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// Run this step again, and all that stands on it; what they did is undone first
    #[arg(long, value_name = "STEP")]
    from: Vec<StepPath>,
    /// Go on with this workflow: the run's own, edited
    #[arg(long, value_name = "WORKFLOW")]
    with: Option<PathBuf>,
    /// Say what --from and --with would mean, and go on with nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before --from and --with are carried out
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    #[command(flatten)]
    show: driving::Show,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let fold = foldable(&args.run, settings)?;
    let wanted = replan::wanted(args, &fold)?;
    if args.dry_run {
        return Ok(exit_code::OK);
    }
    if wanted.is_none() && fold.saga.status().is_final() && fold.unrecorded.is_empty() {
        // Its controller may have died before the last report.
        reports::refresh(&journal::open(settings)?.records(&args.run)?, None)?;
    }
    block_on(async {
        let driving = driving::Driving::open(settings)?;
        let ended = driving.drive(&args.show, async |driver, reporters, control| match wanted {
            None => driver.resume(&args.run, reporters, control).await,
            Some(plan) => driver.replan(&args.run, plan, args.from.clone(), reporters, control).await,
        });
        driving.finish(&args.run, ended.await?, &args.show, settings).await
    })
}

/// The state of a run that this binary can go on with. Asked before anything is taken over: whoever else can finds all as it was.
fn foldable(run: &RunId, settings: &Settings) -> Result<Fold> {
    let taken_up = journal::open(settings)?.take_up(run);
    let taken_up = taken_up.doing(exit_code::FAILED, || format!("take run {run} up; nothing was touched"));
    let taken_up = taken_up.map_err(|failure| {
        failure.advise("go on with the Longhaul that wrote it, or look at it with `longhaul journal verify`")
    })?;
    Ok(taken_up.fold)
}
