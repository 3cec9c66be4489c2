//! Commands that the product's own binary carries out: this tool installs what they need, builds, and hands over.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{Build, build_product};
use crate::setup::{self, Consent, Need};

/// `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Install what is missing without asking; implied without a terminal.
    #[arg(long)]
    yes: bool,
    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Break one thing on purpose; the report must turn red.
    #[arg(long = "break", value_name = "WHAT")]
    broken: Option<String>,
}

/// `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The comparison to run: `first-move`, `language` or `engine`.
    name: String,
    /// Install what is missing without asking; implied without a terminal.
    #[arg(long)]
    yes: bool,
    /// Write the list of results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run a small subset in under a minute of measuring.
    #[arg(long)]
    quick: bool,
    /// Run these cells only.
    #[arg(long, value_name = "CELLS")]
    cells: Option<String>,
    /// Stop after this many minutes; a later run resumes.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u32>,
}

/// `cargo xtask gen`.
#[derive(Debug, Args)]
pub(crate) struct Gen {
    /// What to write; everything that needs no lab if it is not said.
    what: Option<String>,
    /// Write nothing; fail if a file is not as it would be written.
    #[arg(long)]
    check: bool,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<()> {
        setup::ensure(Consent::from_flag(self.yes), Need::Must)?;
        hand_over(Build::Development)
    }
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        // These need no lab; and their figures are those of what is shipped.
        if ["language", "engine"].contains(&self.name.as_str()) {
            return hand_over(Build::Release);
        }
        setup::ensure(Consent::from_flag(self.yes), Need::Must)?;
        hand_over(Build::Development)
    }
}

impl Gen {
    pub(crate) fn run(&self) -> Result<()> {
        if self.what.as_deref() == Some("journals") {
            setup::ensure(Consent::from_flag(false), Need::Must)?;
        }
        hand_over(Build::Development)
    }
}

/// Becomes the product, with the arguments this tool was called with: they were parsed here only so that a mistake is
/// told before anything is built.
fn hand_over(build: Build) -> Result<()> {
    let binary = build_product(build)?;
    let error = Command::new(&binary).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("run {}", binary.display()))
}
