//! Journals of simulated runs: the cases of the test files that come along, each as it goes without a fault, and one that sweeps with the fault in
//! the middle of its sweep.
//!
//! They say of a decision what the journals of real moves do not reach: approvals, failures that are answered, budgets, outages,
//! operators. One that is there is never written again, because it has to be decided again as it was: whoever wants a new one
//! removes it first.

use std::path::{Path, PathBuf};

use longhaul_model::ids::RunId;

use super::COMMAND;
use crate::commands::{OfCase, exported, journals_of_cases};
use crate::errors::{Explain as _, Result};
use crate::exit_code;

/// The test files.
const FILES: [&str; 3] =
    ["workflows/evacuate.test.yaml", "workflows/consolidate.test.yaml", "workflows/fail-back.test.yaml"];

/// The longest id that a run can have.
const NAME_MAX: usize = 40;

/// As many whole words of a name as the id of a run can have.
fn shortened(name: &str) -> String {
    let mut short = name.to_owned();
    while short.len() > NAME_MAX
        && let Some((words, _)) = short.rsplit_once('-')
    {
        short.truncate(words.len());
    }
    short
}

/// Writes the journals that are not there yet, and names them.
pub(crate) fn generate(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = FILES.map(PathBuf::from);
    let mut written = Vec::new();
    for OfCase { name, bundle } in journals_of_cases(&files) {
        let name = shortened(&name);
        let file = folder.join(format!("{name}.jsonl"));
        if file.exists() {
            continue;
        }
        let alias: RunId = name.parse().doing(exit_code::FAILED, || format!("name the journal of {name}"))?;
        let text = exported(&bundle, Some(&alias), COMMAND)?;
        std::fs::write(&file, text).doing(exit_code::FAILED, || format!("write {}", file.display()))?;
        written.push(file);
    }
    Ok(written)
}
