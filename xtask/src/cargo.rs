//! Cargo as this tool calls it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}

/// `cargo ARGUMENTS` at the root of the workspace, with the cargo that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command to its end; its failure is ours.
pub(crate) fn succeed(mut command: Command) -> Result<()> {
    let text = format!("{} {}", command.get_program().display(), arguments(&command));
    let status = command.status().with_context(|| format!("run {text}"))?;
    ensure!(status.success(), "{text}: {status}");
    Ok(())
}

fn arguments(command: &Command) -> String {
    command.get_args().map(|argument| argument.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// How the product is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As demo and tests use it.
    Development,
    /// As it is shipped.
    Release,
}

/// Builds the product and returns the path of its binary.
pub(crate) fn build_product(build: Build) -> Result<PathBuf> {
    let (more, folder): (&[&str], _) = match build {
        Build::Development => (&[], DEVELOPMENT),
        Build::Release => (&["--release"], "release"),
    };
    succeed(cargo(&[&["build", "--package", "longhaul-cli"], more].concat()))?;
    product(folder)
}

/// Where a development build ends up.
const DEVELOPMENT: &str = "debug";

/// Builds the product and every test in one go, and returns the path of the product's binary. `cargo test` then finds all of
/// it done; after the product alone it would build most of it again, because tests ask for more features of some crates.
pub(crate) fn build_with_tests() -> Result<PathBuf> {
    succeed(cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    product(DEVELOPMENT)
}

fn product(folder: &str) -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    Ok(metadata.target_directory.join(folder).join("longhaul").into())
}
