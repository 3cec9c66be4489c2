//! The test files below what an operator names.

use std::path::PathBuf;

use crate::commands::suites::Cases;
use crate::commands::{documents, folders, suites};
use crate::errors::Result;
use longhaul_model::diagnostic::Diagnostics;

/// How the name of a test file ends.
pub(super) const ENDING: &str = ".test.yaml";

/// A test file, and what is wrong with it.
pub(super) type Loaded = (PathBuf, std::result::Result<Cases, Diagnostics>);

/// Files as they are named, and every test file of the folders among them, each once.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    folders::below(paths, |path| path.to_string_lossy().ends_with(ENDING))
}

/// Every file with its cases, or with everything that is wrong with it.
pub(super) fn load(files: &[PathBuf]) -> Result<Vec<Loaded>> {
    let load = |file: &PathBuf| {
        let suite = documents::to_check(file)?.and_then(|document| suites::check(file, &document));
        Ok((file.clone(), suite))
    };
    files.iter().map(load).collect()
}
