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
        let written = longhaul_steps::report::write(records, path);
        written.doing(exit_code::FAILED, || format!("write the report {}", path.display()))?;
    }
    Ok(paths)
}
