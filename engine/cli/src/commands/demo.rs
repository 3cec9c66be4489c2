//! `longhaul demo`: one command moves a running guest between two sites and judges the move from outside.

use std::path::PathBuf;

use crate::demo::{self, Break};
use crate::errors::Result;
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Accepted for `cargo xtask demo`, which installs what is missing before it starts this
    #[arg(long)]
    yes: bool,
    /// Write the figures here as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Break one thing on purpose, to see that the verdict turns red
    #[arg(long = "break", value_name = "WHAT")]
    broken: Option<Break>,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let Args { yes: _, json, broken } = args;
    demo::run(settings, json.as_deref(), *broken)
}
