//! `longhaul schema`: what may stand in a file, as editors and other checkers read it.

use longhaul_model::schema::Kind;

use crate::errors::Result;
use crate::{exit_code, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kind of files
    #[arg(long, value_enum, value_name = "KIND", default_value = "workflow")]
    kind: Name,
}

/// The kinds, as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Workflows
    Workflow,
    /// Defaults that several workflows include
    Defaults,
    /// Tests of workflows
    Test,
    /// Tests of policies
    #[value(name = "policytest")]
    PolicyTest,
    /// What a controller knows of the sites
    Sites,
    /// A site's own file
    Site,
    /// Virtual machines
    Vm,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    output::raw(&text(match args.kind {
        Name::Workflow => Kind::Workflow,
        Name::Defaults => Kind::Defaults,
        Name::Test => Kind::Test,
        Name::PolicyTest => Kind::PolicyTest,
        Name::Sites => Kind::Sites,
        Name::Site => Kind::Site,
        Name::Vm => Kind::Vm,
    }));
    Ok(exit_code::OK)
}

/// The schema of a kind as a file holds it.
pub(super) fn text(kind: Kind) -> String {
    let text = serde_json::to_string_pretty(&kind.schema()).expect("a schema has only text keys");
    text + "\n"
}
