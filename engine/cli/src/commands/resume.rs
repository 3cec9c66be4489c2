//! `longhaul resume`: goes on with a run whose controller died, was stopped or needed an operator.

use longhaul_model::ids::RunId;

use crate::commands::{block_on, driving, journal};
use crate::errors::{Explain as _, Result};
use crate::exit_code;
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    #[command(flatten)]
    show: driving::Show,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    require_foldable(&args.run, settings)?;
    block_on(async {
        let driving = driving::Driving::open(settings)?;
        let ended = driving.drive(&args.show, async |driver, reporters, control| {
            driver.resume(&args.run, reporters, control).await
        });
        driving.finish(&args.run, ended.await?, &args.show, settings).await
    })
}

/// Refuses a run that this binary cannot go on with, before anything is taken over: whoever can finds all as it was.
fn require_foldable(run: &RunId, settings: &Settings) -> Result<()> {
    let taken_up = journal::open(settings)?.take_up(run);
    let taken_up = taken_up.doing(exit_code::FAILED, || format!("take run {run} up; nothing was touched"));
    taken_up.map(drop).map_err(|failure| {
        failure.advise("go on with the Longhaul that wrote it, or look at it with `longhaul journal verify`")
    })
}
