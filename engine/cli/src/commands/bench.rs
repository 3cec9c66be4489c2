//! `longhaul bench`: compares Longhaul with a named peer, on this machine, in one run.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::bench::{self, Cell, Wanted};
use crate::errors::Result;
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The comparison
    name: Name,
    /// Accepted for `cargo xtask bench`, which installs what is missing before it starts this
    #[arg(long)]
    yes: bool,
    /// Write the list of results here as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// One move of each in the first of the cells: under a minute of measuring
    #[arg(long)]
    quick: bool,
    /// Measure over these links only
    #[arg(long, value_name = "CELLS", value_delimiter = ',')]
    cells: Vec<Cell>,
    /// Begin no further move after so many minutes; a later run with the same options resumes
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    minutes: u32,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// A move of a running guest, against plain QEMU.
    FirstMove,
    /// Checking and planning of generated graphs, against checkers of another format.
    Language,
    /// What a step costs, against other durable engines.
    Engine,
}

pub(super) fn run(args: Args, settings: &Settings) -> Result<u8> {
    let Args { name, yes: _, json, quick, cells, minutes } = args;
    match name {
        Name::FirstMove => bench::first_move(settings, &Wanted::new(cells, quick), minutes, json.as_deref()),
        Name::Language => bench::language(settings, quick, json.as_deref()),
        Name::Engine => bench::engine(settings, quick, json.as_deref()),
    }
}
