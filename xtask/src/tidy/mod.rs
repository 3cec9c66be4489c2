//! The rules of the house that a machine can check. Each file here is one rule and holds the test that breaks it.
//!
//! Rules read the tree, never change it.

mod crate_edges;
mod length;
mod machine_paths;
mod problem;
mod ratchet;
mod readme;
mod sources;
mod test_files;
mod unfinished;
mod words;

use std::path::Path;

use anyhow::Result;

use problem::Problem;
use sources::Sources;

/// Everything in the tree that breaks a rule.
pub(crate) fn check(root: &Path) -> Result<Vec<Problem>> {
    let sources = Sources::load(root)?;
    let mut problems = length::check(&sources)?;
    problems.extend(unfinished::check(&sources));
    problems.extend(crate_edges::check(root, &sources)?);
    problems.extend(test_files::check(&sources));
    problems.extend(machine_paths::check(root, &sources));
    problems.extend(words::check(&sources)?);
    problems.extend(readme::check(&sources));
    Ok(problems)
}
