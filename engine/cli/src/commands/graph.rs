//! `longhaul graph`: the steps of a workflow as a picture.

use std::path::PathBuf;

use longhaul_plan::{dot, mermaid, outline, svg, terminal};

use crate::commands::documents::{self, Shown};
use crate::commands::files;
use crate::errors::Result;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workflow
    #[arg(value_name = "WORKFLOW")]
    file: PathBuf,
    /// Form of the picture
    #[arg(long, value_enum, value_name = "FORM", default_value = "terminal")]
    format: Form,
    /// The same as `--format svg`
    #[arg(long, conflicts_with = "format")]
    svg: bool,
}

/// Forms of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Lines and words
    Terminal,
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown pages show it
    Mermaid,
    /// A picture that needs no other program
    Svg,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let shown = Shown::Text;
    let document = documents::to_check(&args.file)?.map_err(|found| shown.refuse(&args.file, &found))?;
    let outline = outline(&files::resolved(&document), &longhaul_steps::catalogue());
    let outline = outline.map_err(|found| shown.refuse(&args.file, &found))?;
    output::raw(&match if args.svg { Form::Svg } else { args.format } {
        Form::Terminal => terminal(&outline),
        Form::Dot => dot(&outline),
        Form::Mermaid => mermaid(&outline),
        Form::Svg => svg(&outline),
    });
    Ok(exit_code::OK)
}
