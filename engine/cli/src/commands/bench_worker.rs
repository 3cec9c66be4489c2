//! `longhaul bench-worker`: steps that do nothing, in a process of their own. `bench engine` starts this; people do not.

use std::path::PathBuf;

use crate::bench::{self, Part, Shape};
use crate::errors::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How the steps need each other
    shape: Shape,
    /// Steps of each run
    steps: usize,
    /// Runs at the same time
    runs: usize,
    /// Where the journal is
    folder: PathBuf,
    /// What to do with them
    #[arg(long)]
    part: Part,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    bench::work_on(args.part, args.shape, args.steps, args.runs, &args.folder)
}
