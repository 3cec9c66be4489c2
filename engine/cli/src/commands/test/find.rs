//! The test files below what an operator names.

use std::path::{Path, PathBuf};

use crate::commands::suites::Cases;
use crate::commands::{documents, suites};
use crate::errors::{Explain as _, Result};
use crate::exit_code;
use longhaul_model::diagnostic::Diagnostics;

/// How the name of a test file ends.
pub(super) const ENDING: &str = ".test.yaml";

/// Folders in which no test file is anybody's own.
const SKIPPED: [&str; 2] = ["target", "node_modules"];

/// A test file, and what is wrong with it.
pub(super) type Loaded = (PathBuf, std::result::Result<Cases, Diagnostics>);

/// Files as they are named, and every test file of the folders among them, each once.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || format!("read the folder {}", folder.display());
    let entries = std::fs::read_dir(folder).doing(exit_code::USAGE, reading)?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.doing(exit_code::USAGE, reading)?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let skipped = name.starts_with('.') || SKIPPED.contains(&name.as_str()) || path.is_symlink();
        if path.is_dir() && !skipped {
            below(&path, found)?;
        } else if name.ends_with(ENDING) && !name.starts_with('.') {
            found.push(path.strip_prefix("./").map_or_else(|_| path.clone(), Path::to_owned));
        }
    }
    Ok(())
}

/// Every file with its cases, or with everything that is wrong with it.
pub(super) fn load(files: &[PathBuf]) -> Result<Vec<Loaded>> {
    let load = |file: &PathBuf| {
        let suite = documents::document(file)?.and_then(|document| suites::check(file, &document));
        Ok((file.clone(), suite))
    };
    files.iter().map(load).collect()
}
