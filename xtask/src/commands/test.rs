//! `cargo xtask test`: the one way in to every test.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::cargo::{build_with_tests, cargo, succeed};
use crate::setup::{self, Consent, Need};

/// `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Install what is missing without asking; implied without a terminal.
    #[arg(long)]
    yes: bool,
    /// What `cargo test` gets besides, such as a test's name.
    #[arg(last = true)]
    rest: Vec<OsString>,
}

impl Test {
    pub(crate) fn run(&self) -> Result<()> {
        setup::ensure(Consent::from_flag(self.yes), Need::Should)?;
        build_with_tests()?;
        let mut tests = cargo(&["test", "--workspace"]);
        tests.args(&self.rest);
        succeed(tests)?;
        if !setup::root() {
            eprintln!(
                "not run: everything that needs a lab, because a lab needs root; run the same with sudo"
            );
        }
        Ok(())
    }
}
