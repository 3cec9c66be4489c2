//! The test files below what an operator names.

use std::path::PathBuf;

use crate::commands::suites::Cases;
use crate::commands::{documents, folders, suites};
use crate::errors::Result;
use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::document::Document;

/// A test file, and what is wrong with it.
pub(super) type Loaded = (PathBuf, std::result::Result<Cases, Diagnostics>);

/// Files as they are named, and every test file of the folders among them, each once.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    folders::below(paths, folders::is_test)
}

/// Every file with its cases, or with everything that is wrong with it; that it cannot be read is wrong with it alone.
pub(super) fn load(files: &[PathBuf]) -> Vec<Loaded> {
    let load = |file: &PathBuf| {
        let document = documents::to_read(file).and_then(|source| Document::parse_noting(&source));
        (file.clone(), document.and_then(|document| suites::check(file, &document)))
    };
    files.iter().map(load).collect()
}
