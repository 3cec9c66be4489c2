//! `longhaul plugin verify`: whether plugins are what was locked.

use std::path::PathBuf;

use longhaul_model::workflow::pinned;

use super::used;
use crate::commands::documents::Shown;
use crate::commands::files::Disk;
use crate::errors::Result;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A workflow, or a file with shared defaults; with the files that it names
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let (pins, found) = pinned(&used(&args.file, Shown::Text)?, &Disk);
    pins.iter().for_each(|pin| output::data(format_args!("{} {}: as it is locked", pin.name, pin.version)));
    let is_fine = found.is_empty();
    output::raw_talk(&found.sorted().render(output::has_terminal()));
    Ok(if is_fine { exit_code::OK } else { exit_code::CHECK_FAILED })
}
