//! `longhaul disk-server`: one VM's disk at one site. Agents start it; people do not.

use std::path::PathBuf;

use longhaul_dataplane::disk;

use crate::commands::block_on;
use crate::errors::{Explain as _, Result};
use crate::exit_code;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration, JSON
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config =
        disk::Config::read(&args.config).doing(exit_code::INVALID_FILE, || "serve a disk".to_owned())?;
    block_on(async { disk::serve(config).await.doing(exit_code::FAILED, || "serve a disk".to_owned()) })?;
    Ok(exit_code::OK)
}
