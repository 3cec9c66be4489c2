//! `longhaul gen`: files of the source tree that are generated from the program. `cargo xtask gen` hands over to this.

use std::path::Path;

use clap::ValueEnum;

use crate::errors::{Explain as _, Failure, Result};
use crate::{exit_code, output};

/// The reference of the command line, below the root of the source tree.
const REFERENCE: &str = "docs/reference/cli.md";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to write [default: everything that needs no lab]
    what: Option<What>,
    /// Write nothing; fail if a file is not as it would be written
    #[arg(long)]
    check: bool,
}

/// What can be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The command line's reference.
    Cli,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    match args.what {
        None | Some(What::Cli) => put(Path::new(REFERENCE), &crate::reference(), args.check),
    }
}

fn put(path: &Path, text: &str, check: bool) -> Result<u8> {
    let current = std::fs::read_to_string(path).is_ok_and(|current| current == text);
    if check && !current {
        let failure = Failure::said(exit_code::CHECK_FAILED, format!("{} is not current", path.display()));
        return Err(failure.advise("`cargo xtask gen` writes it"));
    }
    if !check {
        std::fs::write(path, text).doing(exit_code::FAILED, || format!("write {}", path.display()))?;
        output::data(path.display());
    }
    Ok(exit_code::OK)
}
