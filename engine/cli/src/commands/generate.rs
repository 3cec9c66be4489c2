//! `longhaul gen`: files of the source tree that are generated from the program. `cargo xtask gen` hands over to this.

use std::path::Path;

use clap::ValueEnum;
use longhaul_model::schema::Kind;

use crate::commands::schema;
use crate::errors::{Explain as _, Failure, Result};
use crate::format_reference::format_reference;
use crate::settings::Settings;
use crate::{exit_code, journals, output};

/// The reference of the command line, below the root of the source tree.
const REFERENCE: &str = "docs/reference/cli.md";

/// The reference of the functions of expressions, below the root of the source tree.
const FUNCTIONS: &str = "docs/reference/functions.md";

/// The reference of the files' keys, below the root of the source tree.
const FORMAT: &str = "docs/reference/format.md";

/// The folder of the files' schemas, below the root of the source tree.
const SCHEMAS: &str = "workflows/schema";

/// The folder of the journals that are replayed in tests, below the root of the source tree.
const JOURNALS: &str = "tests/replays/journals";

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
    /// The command line's reference
    Cli,
    /// The reference of the functions of expressions
    Functions,
    /// The reference of the files' keys
    Format,
    /// The JSON Schemas of the files
    Schemas,
    /// Journals of real moves in a lab of their own; needs root
    Journals,
    /// Journals of the cases of the test files that come along, as far as they are not there yet
    Cases,
}

pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    match (args.what, args.check) {
        (None, check) => {
            put(Path::new(REFERENCE), &crate::reference(), check)?;
            put(Path::new(FUNCTIONS), &longhaul_expr::reference(), check)?;
            put(Path::new(FORMAT), &format_reference(), check)?;
            schemas(check)
        }
        (Some(What::Cli), check) => put(Path::new(REFERENCE), &crate::reference(), check),
        (Some(What::Functions), check) => put(Path::new(FUNCTIONS), &longhaul_expr::reference(), check),
        (Some(What::Format), check) => put(Path::new(FORMAT), &format_reference(), check),
        (Some(What::Schemas), check) => schemas(check),
        (Some(What::Journals), false) => {
            let written = journals::generate(settings, Path::new(JOURNALS))?;
            written.iter().for_each(|file| output::data(file.display()));
            Ok(exit_code::OK)
        }
        (Some(What::Cases), false) => {
            let written = journals::of_cases(Path::new(JOURNALS))?;
            written.iter().for_each(|file| output::data(file.display()));
            Ok(exit_code::OK)
        }
        (Some(What::Journals | What::Cases), true) => {
            let message = "journals of real runs differ from one writing to the next";
            Err(Failure::said(exit_code::USAGE, message).advise("`cargo xtask test` checks their replays"))
        }
    }
}

fn schemas(check: bool) -> Result<u8> {
    let folder = Path::new(SCHEMAS);
    if !check {
        std::fs::create_dir_all(folder).doing(exit_code::FAILED, || format!("make {SCHEMAS}"))?;
    }
    for kind in Kind::ALL {
        put(&folder.join(kind.file()), &schema::text(kind), check)?;
    }
    Ok(exit_code::OK)
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
