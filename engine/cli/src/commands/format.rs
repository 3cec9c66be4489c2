//! `longhaul fmt`: files laid out alike.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use longhaul_model::layout::{NotLaidOut, lay_out};
use longhaul_model::source::Source;

use crate::commands::documents::{self, Shown};
use crate::commands::folders;
use crate::errors::{Explain as _, Failure, Result};
use crate::{exit_code, output};

/// Stands for standard input; what comes of it goes to standard output.
const STDIN: &str = "-";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files of any kind, and folders in which Longhaul's are meant; `-` reads standard input and writes standard output
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Write nothing; name the files that are not laid out so, and end with 4 if there are any
    #[arg(long)]
    check: bool,
}

/// How a file stood.
enum Stood {
    Well,
    Differently,
    Broken,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let files = folders::files(&args.files, folders::is_laid_out)?;
    let stood = files.iter().map(|file| one(file, args.check)).collect::<Result<Vec<_>>>()?;
    let any = |what: fn(&Stood) -> bool| stood.iter().any(what);
    Ok(if any(|stood| matches!(stood, Stood::Broken)) {
        exit_code::INVALID_FILE
    } else if args.check && any(|stood| matches!(stood, Stood::Differently)) {
        exit_code::CHECK_FAILED
    } else {
        exit_code::OK
    })
}

fn one(file: &Path, check: bool) -> Result<Stood> {
    let is_stdin = file == Path::new(STDIN);
    let source = if is_stdin { Ok(stdin()?) } else { documents::to_read(file) };
    let source = match source {
        Ok(source) => source,
        Err(found) => {
            let _shown = Shown::Text.refuse(file, &found);
            return Ok(Stood::Broken);
        }
    };
    let text = match lay_out(&source) {
        Ok(text) => text,
        Err(NotLaidOut::Mistakes(found)) => {
            let _shown = Shown::Text.refuse(file, &found);
            return Ok(Stood::Broken);
        }
        Err(error @ NotLaidOut::NotTheSame) => {
            let failure = Failure::new(exit_code::FAILED, error);
            return Err(failure.advise(format!("this is a bug; report it with {}", file.display())));
        }
    };
    let stood = if text == source.text() { Stood::Well } else { Stood::Differently };
    match (&stood, check) {
        (Stood::Differently, true) => output::data(file.display()),
        (_, false) if is_stdin => output::raw(&text),
        (Stood::Differently, false) => {
            std::fs::write(file, &text).doing(exit_code::FAILED, || format!("write {}", file.display()))?;
            output::data(file.display());
        }
        (Stood::Well | Stood::Broken, _) => {}
    }
    Ok(stood)
}

fn stdin() -> Result<Source> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.doing(exit_code::INVALID_FILE, || "read standard input".to_owned())?;
    Ok(Source::new("<stdin>", &text))
}
