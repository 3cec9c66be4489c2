//! `longhaul resume`: goes on with a run whose controller died, was stopped or needed an operator.

use longhaul_model::ids::RunId;

use crate::commands::{block_on, driving};
use crate::errors::Result;
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    #[command(flatten)]
    show: driving::Show,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    block_on(async {
        let driving = driving::Driving::open(settings)?;
        let ended = driving.drive(&args.show, async |driver, reporters, control| {
            driver.resume(&args.run, reporters, control).await
        });
        driving.finish(&args.run, ended.await?, &args.show, settings).await
    })
}
