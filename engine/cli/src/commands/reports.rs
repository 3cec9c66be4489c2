//! A run's report files, written anew from its records.
//!
//! `report.write` writes them when it runs; what is known only later (the run's end, what a client saw) is in the next
//! writing. The same records always give the same bytes.

use std::path::{Path, PathBuf};

use longhaul_saga::Record;

use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// Writes the reports that the run's own steps wrote, and one at `also`. Returns the HTML files written.
pub(super) fn refresh(records: &[Record], also: Option<&Path>) -> Result<Vec<PathBuf>> {
    let mut paths = longhaul_steps::report::paths(records);
    paths.extend(also.map(Path::to_owned));
    for path in &paths {
        write_one(records, path)?;
    }
    Ok(paths)
}

/// Writes the report at `to` if that is asked for, and nowhere else. Returns the HTML files written.
pub(super) fn write(records: &[Record], to: Option<&Path>) -> Result<Vec<PathBuf>> {
    if let Some(path) = to {
        write_one(records, path)?;
    }
    Ok(to.map(Path::to_owned).into_iter().collect())
}

fn write_one(records: &[Record], path: &Path) -> Result<()> {
    let written = longhaul_steps::report::write(records, path);
    written.doing(exit_code::FAILED, || format!("write the report {}", path.display()))
}
