//! `longhaul plugin`: which plugins files use, and the lock that says exactly which is meant.

mod check;
mod list;
mod lock;
mod verify;

use std::path::Path;

use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::document::Document;
use longhaul_model::workflow::{PluginSpec, Resolved, read_shared};

pub(super) use check::check;

use crate::commands::documents::{self, Shown};
use crate::commands::files::Disk;
use crate::errors::Result;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write longhaul.lock: exactly which plugins files use; says what has changed
    Lock(lock::Args),
    /// Show the plugins that a file uses: which versions will do, which is locked, which are there
    List(list::Args),
    /// Check that the plugins that a file uses are what was locked
    Verify(verify::Args),
}

pub(super) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Lock(args) => lock::run(&args),
        Command::List(args) => list::run(&args),
        Command::Verify(args) => verify::run(&args),
    }
}

/// The plugins that a file uses, with those of the files that it names, each once.
fn used(file: &Path, shown: Shown) -> Result<Vec<PluginSpec>> {
    let document = documents::document(file)?;
    let used = document.and_then(|document| specs(&document));
    used.map_err(|found| shown.refuse(file, &found))
}

fn specs(document: &Document) -> std::result::Result<Vec<PluginSpec>, Diagnostics> {
    if document.kind() == Some("Defaults") {
        let (shared, found) = read_shared(document);
        return found.or(Some(shared.plugins));
    }
    let (mut specs, mut found) = (Vec::new(), Diagnostics::new());
    for part in Resolved::read(document, &Disk).parts {
        for spec in part.workflow.plugins {
            if !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        part.found.into_iter().filter(concerns_the_file).for_each(|one| found.push(one));
    }
    found.or(Some(specs))
}

/// Whether a mistake is one of the file: a lock is written and looked at while plugins are not as they are locked.
fn concerns_the_file(one: &Diagnostic) -> bool {
    let of_plugins = [Code::UnknownPlugin, Code::PluginFolder, Code::NotLocked, Code::PluginChanged];
    !of_plugins.contains(&one.code)
}
