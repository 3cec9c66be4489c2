//! `longhaul lab-wan`: the emulated WAN of a lab. `lab up` starts this; people do not.

use std::path::PathBuf;

use longhaul_lab::wan;

use crate::errors::{Explain as _, Result};
use crate::exit_code;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration, JSON
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let reading = || format!("read {}", args.config.display());
    let text = std::fs::read(&args.config).doing(exit_code::INVALID_FILE, reading)?;
    let config = serde_json::from_slice(&text).doing(exit_code::INVALID_FILE, reading)?;
    wan::run(&config).doing(exit_code::FAILED, || "emulate a WAN".to_owned())?;
    Ok(exit_code::OK)
}
