//! `longhaul run`: makes a plan of a workflow and carries it out.

use std::path::PathBuf;

use longhaul_model::ids::RunId;

use crate::commands::documents::Shown;
use crate::commands::inputs::Inputs;
use crate::commands::{block_on, driving, plan};
use crate::errors::Result;
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workflow
    #[arg(value_name = "WORKFLOW")]
    file: PathBuf,
    #[command(flatten)]
    inputs: Inputs,
    /// Id of the run [default: made of the time and chance]
    #[arg(long, value_name = "RUN")]
    id: Option<RunId>,
    #[command(flatten)]
    show: driving::Show,
}

pub(super) fn run(args: Args, settings: &Settings) -> Result<u8> {
    // The plan first: a mistake in a file is reported before anything is opened or reached.
    let plan = plan::make(&args.file, &args.inputs, Shown::by(args.show.json()))?;
    let run = args.id.unwrap_or_else(new_id);
    block_on(async {
        let driving = driving::Driving::open(settings)?;
        let ended = driving.drive(&args.show, async |driver, reporters, control| {
            driver.run(run.clone(), plan, reporters, control).await
        });
        driving.finish(&run, ended.await?, &args.show)
    })
}

/// An id that sorts by time and is not given twice: seconds, then chance.
fn new_id() -> RunId {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let chance = uuid::Uuid::new_v4().simple().to_string();
    format!("run-{now}-{}", &chance[..4]).parse().expect("digits, dashes and hex make an id")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new id is well-formed and not the one before.
    #[test]
    fn ids_are_well_formed_and_new() {
        assert_ne!(new_id(), new_id());
        assert!(new_id().as_str().starts_with("run-20"));
    }
}
